//! What an operator sees of the process: how fast it is ready, how little it holds, how it stops.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use std::io::{Read, Write};

use vestibule_testkit::http;

use crate::desk::{Desk, SOAP, call};

#[test]
fn it_is_ready_at_once_and_small() {
    let desk = Desk::quickstart();
    crate::desk::binary();
    let start = Instant::now();
    let server = desk.serve();
    let ready = start.elapsed();
    let memory = server.resident_memory().unwrap();
    // The figures are for the release binary (200 ms, 25 MB); a debug build under a loaded test run gets more.
    let (slowest, largest) =
        if std::env::var_os("VESTIBULE_BIN").is_some() { (200, 25_000_000) } else { (3_000, 60_000_000) };
    assert!(ready < Duration::from_millis(slowest), "ready after {ready:?}");
    assert!(memory < largest, "{memory} bytes when idle");
    eprintln!("ready after {ready:?}, {memory} bytes");
}

#[test]
fn a_term_signal_lets_calls_finish_and_ends_with_0() {
    let desk = Desk::quickstart();
    let mut server = desk.serve();
    // The head and half of the body are there when the signal comes.
    let body = desk.request("good.xml");
    let (first, second) = body.split_at(body.len() / 2);
    let head = format!(
        "POST {SOAP} HTTP/1.1\r\nHost: desk\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut caller = http::connect(server.address(), Duration::from_secs(10)).unwrap();
    caller.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    server.terminate().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    caller.write_all(second.as_bytes()).unwrap();
    let mut reply = Vec::new();
    caller.read_to_end(&mut reply).unwrap();
    let reply = http::parse(&reply).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let ended = server.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(ended.code(), Some(0), "{}", server.stderr());
    assert!(TcpStream::connect(server.address()).is_err());
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let desk = Desk::quickstart();
    let mut server = desk.serve();
    let _idle = http::connect(server.address(), Duration::from_secs(10)).unwrap();
    assert_eq!(call(&server, &desk.request("good.xml")).status, 200);
    server.terminate().unwrap();
    let start = Instant::now();
    assert_eq!(server.wait(Duration::from_secs(10)).unwrap().code(), Some(0), "{}", server.stderr());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn nothing_of_a_claim_is_logged() {
    let desk = Desk::quickstart();
    let server = desk.serve_with(|command| {
        command.env("VESTIBULE_LOG", "trace");
    });
    for name in ["good.xml", "incomplete.xml", "suspicious.xml"] {
        call(&server, &desk.request(name));
    }
    call(&server, "<broken>Luis Pérez");
    let log = server.stderr();
    for value in ["Luis", "Marta", "PL-7781", "C00012345", "1250.00", "pipe burst"] {
        assert!(!log.contains(value), "{value} is in the log:\n{log}");
    }
}

#[test]
fn health_is_told() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    for path in ["/livez", "/readyz"] {
        assert_eq!(http::get(server.address(), path).unwrap().status, 200, "{path}");
    }
    assert_eq!(http::get(server.address(), "/nowhere").unwrap().status, 404);
}
