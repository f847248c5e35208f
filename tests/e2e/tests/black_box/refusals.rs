//! What arrives broken or hostile gets a clear answer in the caller's own format, quickly.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use vestibule_testkit::http;

use crate::desk::{Desk, SOAP, call, element};

#[test]
fn broken_messages_get_a_typed_fault() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.xml");
    let body = |inner: &str| {
        format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{inner}</s:Body></s:Envelope>"#
        )
    };
    let deep = body(&("<a>".repeat(200) + &"</a>".repeat(200)));
    let wide = body(&format!("<a {}/>", (0..200).map(|n| format!("a{n}=\"\" ")).collect::<String>()));
    let doctype = good.replacen("<soapenv:Envelope", "<!DOCTYPE x [<!ENTITY e \"v\">]><soapenv:Envelope", 1);
    let header = |attribute: &str| {
        let header = format!(
            r#"<soapenv:Header><x:Secret xmlns:x="urn:x" {attribute}/></soapenv:Header><soapenv:Body>"#
        );
        good.replacen("<soapenv:Body>", &header, 1)
    };
    let cases: Vec<(&str, String, &str)> = vec![
        ("nothing", String::new(), "V001"),
        ("no XML", "hello".into(), "V001"),
        ("cut", good[..good.len() / 2].to_owned(), "V001"),
        ("two roots", format!("{good}<again/>"), "V001"),
        ("trailing text", format!("{good}again"), "V001"),
        ("a DOCTYPE", doctype, "V001"),
        ("an unbound prefix", good.replacen("<c:Lines>", "<c:Lines q:x=\"1\">", 1), "V001"),
        ("a control character", good.replacen("burst", "bur\u{1}st", 1), "V001"),
        ("a character reference to it", good.replacen("burst", "bur&#1;st", 1), "V001"),
        ("an unknown entity", good.replacen("burst", "&burst;", 1), "V001"),
        ("too deep", deep, "V002"),
        ("too many attributes", wide, "V002"),
        ("no envelope", "<a/>".into(), "V003"),
        ("an empty body", body(""), "V003"),
        ("two bodies' worth", body("<a/><b/>"), "V003"),
        ("an unknown operation", body("<Nonsense/>"), "V003"),
        (
            "an unknown envelope",
            good.replace("http://schemas.xmlsoap.org/soap/envelope/", "urn:other"),
            "V003",
        ),
        ("a header it must understand", header("soapenv:mustUnderstand=\"1\""), "V004"),
    ];
    for (name, body, code) in cases {
        let reply = call(&server, &body);
        assert!(reply.status == 500 || reply.status == 413, "{name}: {} {}", reply.status, reply.text());
        assert!(reply.header("content-type").is_some_and(|it| it.starts_with("text/xml")), "{name}");
        assert_eq!(element(&reply.text(), "code").as_deref(), Some(code), "{name}: {}", reply.text());
        assert!(element(&reply.text(), "faultstring").is_some(), "{name}: {}", reply.text());
    }
    assert_eq!(call(&server, &header("")).status, 200, "a header that need not be understood is passed over");
}

#[test]
fn json_errors_are_problems() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let json = ("Content-Type", "application/json");
    let cases: [(&str, &str, &[u8], u16, &str); 7] = [
        ("claim-triage", "application/json", b"{", 400, "V001"),
        ("claim-triage", "application/json", b"{\"a\":1,\"a\":2}", 400, "V001"),
        ("claim-triage", "application/json", b"{} {}", 400, "V001"),
        ("claim-triage", "application/json", b"\xff", 400, "V001"),
        ("claim-triage", "text/plain", b"hello", 415, "V003"),
        ("nobody", "application/json", b"{}", 404, "V007"),
        ("claim-triage", "application/xml", b"<Claim>", 400, "V001"),
    ];
    for (flow, media_type, body, status, code) in cases {
        let path = format!("/v1/flows/{flow}");
        let reply = http::post(server.address(), &path, &[("Content-Type", media_type)], body).unwrap();
        let name = format!("{flow} {media_type} {:?}", String::from_utf8_lossy(body));
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{name}");
        assert_eq!(reply.json().unwrap()["code"], code, "{name}: {}", reply.text());
    }
    // Another flow would read it.
    let desk = Desk::of("events");
    let events = desk.serve_with(|command| {
        command
            .env("ORDERS_SECRET", "whsec_dGVzdHRlc3R0ZXN0")
            .env("CALLBACK_SECRET", "whsec_dGVzdHRlc3R0ZXN0");
    });
    let xml = ("Content-Type", "application/xml");
    let reply = http::post(events.address(), "/v1/flows/order-check", &[xml], b"<a/>").unwrap();
    assert_eq!(reply.status, 415, "{}", reply.text());
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let reply = http::post(server.address(), "/v1/flows/claim-triage", &[json], &deep).unwrap();
    assert_eq!(reply.json().unwrap()["code"], "V002", "{}", reply.text());
    let reply = http::get(server.address(), "/v1/jobs/not-a-ticket").unwrap();
    assert_eq!(
        (reply.status, reply.json().unwrap()["code"].as_str()),
        (404, Some("V007")),
        "{}",
        reply.text()
    );
}

#[test]
fn a_body_past_the_limit_is_refused_before_it_is_read() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let head = format!(
        "POST {SOAP} HTTP/1.1\r\nHost: desk\r\nContent-Type: text/xml\r\nContent-Length: 99999999999\r\n\r\n<a>"
    );
    let start = Instant::now();
    let reply =
        http::parse(&http::raw(server.address(), head.as_bytes(), Duration::from_secs(10)).unwrap()).unwrap();
    // The server reads on for a moment so that the answer is not lost to a reset.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(element(&reply.text(), "code").as_deref(), Some("V002"), "{}", reply.text());
}

#[test]
fn a_caller_that_is_too_slow_is_answered_inside_the_read_time() {
    let desk = Desk::quickstart();
    desk.edit("vestibule.yaml", "listen: 127.0.0.1:8080", "listen: 127.0.0.1:8080\nlimits: { read: 500ms }");
    let server = desk.serve();
    let head = format!(
        "POST {SOAP} HTTP/1.1\r\nHost: desk\r\nContent-Type: text/xml\r\nContent-Length: 900\r\n\r\n<a>"
    );
    let start = Instant::now();
    let mut caller = http::connect(server.address(), Duration::from_secs(10)).unwrap();
    caller.write_all(head.as_bytes()).unwrap();
    let mut reply = Vec::new();
    std::io::Read::read_to_end(&mut caller, &mut reply).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let reply = http::parse(&reply).unwrap();
    assert!(element(&reply.text(), "code").is_some(), "{}: {}", reply.status, reply.text());
}

#[test]
fn a_caller_of_an_unknown_service_gets_a_fault_of_its_own_version() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.xml");
    for (kind, namespace) in [
        ("text/xml; charset=utf-8", "http://schemas.xmlsoap.org/soap/envelope/"),
        ("application/soap+xml", "http://www.w3.org/2003/05/soap-envelope"),
    ] {
        for path in ["/soap/Unknown", "/soap/", "/soap", "/soap/ClaimService/More"] {
            let reply =
                http::post(server.address(), path, &[("Content-Type", kind)], good.as_bytes()).unwrap();
            let text = reply.text();
            assert_eq!(element(&text, "code").as_deref(), Some("V007"), "{path} {kind}: {text}");
            assert!(text.contains(namespace), "{path} {kind}: {text}");
            let media_type = kind.split(';').next().unwrap();
            assert!(reply.header("content-type").is_some_and(|it| it.starts_with(media_type)), "{path}");
        }
    }
    let reply = http::get(server.address(), "/soap/Unknown?wsdl").unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/problem+json")));
}

/// Most memory that a process ever held, in MiB.
#[cfg(target_os = "linux")]
fn peak(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

#[cfg(target_os = "linux")]
#[test]
fn many_large_bodies_at_once_take_no_more_memory_than_the_room_for_bodies() {
    let desk = Desk::quickstart();
    desk.edit(
        "vestibule.yaml",
        "listen: 127.0.0.1:8080",
        "listen: 127.0.0.1:8080\nlimits: { in_flight: 8MiB }",
    );
    let server = desk.serve();
    let good = desk.request("good.xml");
    // Not well-formed at the end, so that a body costs little more than its bytes.
    let body = format!("{good}<again>{}", " ".repeat(4 << 20));
    std::thread::scope(|scope| {
        for _ in 0..120 {
            scope.spawn(|| {
                let reply = call(&server, &body);
                let code = element(&reply.text(), "code");
                assert!(matches!(code.as_deref(), Some("V001" | "V011")), "{}", reply.text());
            });
        }
    });
    let peak = peak(server.pid());
    assert!(peak < 150, "120 bodies of 4 MiB took {peak} MiB");
}
