//! Calls that nobody waits for: tickets over JSON and SOAP, and results that find their own way.

use std::{process::Command, time::Instant};

use vestibule_testkit::{
    http::{self, Response},
    process::Server,
};

use crate::{
    desk::{Desk, call, call_with, element},
    foreign::{Receiver, job_in_state},
};

/// Base64 of `results are signed so!`.
const CALLBACKS: &str = "whsec_cmVzdWx0cyBhcmUgc2lnbmVkIHNvIQ==";
const FLOW: &str = "/v1/flows/claim-triage";
const MAPPING: &str = "mappings/claim-triage.map.yaml";

fn post(server: &Server, body: &str, headers: &[(&str, &str)]) -> Response {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend(headers);
    http::post(server.address(), FLOW, &all, body.as_bytes()).unwrap()
}

fn async_desk() -> Desk {
    let desk = Desk::quickstart();
    desk.edit(MAPPING, "version: 1", "version: 1\nasync: yes");
    let pending = "pending:\n  into: SubmitClaimResponse\n  write: { Result/StatusCd: { value: IN WORK }, Result/Ticket: ticket }\n";
    desk.edit(MAPPING, "\ndeliver: reply", &format!("\n{pending}\ndeliver: reply"));
    desk
}

#[test]
fn who_prefers_it_gets_a_ticket_at_once_and_the_result_where_it_says() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.json");
    let answer = post(&server, &good, &[("Prefer", "respond-async")]);
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    assert!(answer.header("retry-after").is_some());
    let ticket = answer.header("vestibule-ticket").unwrap().to_owned();
    let body = answer.json().unwrap();
    assert_eq!(body["ticket"], ticket.as_str());
    assert_eq!(answer.header("location"), body["href"].as_str());
    assert_eq!(body["href"], format!("/v1/jobs/{ticket}"));
    let job = job_in_state(&server, &ticket, "answered");
    assert_eq!(job["outcome"], "pass", "{job}");
    let plain = post(&server, &good, &[]);
    assert_eq!((plain.status, plain.header("preference-applied")), (200, None));
}

#[test]
fn who_waits_a_little_gets_the_result_when_it_comes_in_that_time() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.json");
    let answer = post(&server, &good, &[("Prefer", "respond-async, wait=5")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
}

/// A desk whose model takes connections and never says anything, and that has no other answer.
fn slow_desk(silent: &std::net::TcpListener, tickets: &str) -> Desk {
    let desk = Desk::of("returns");
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    std::fs::write(
        desk.folder.path().join("vestibule.yaml"),
        format!(
            "models: {{ far: {{ openai: {{ url: '{url}', model: m }} }} }}\nroutes: {{ returns: [far] }}\n"
        ),
    )
    .unwrap();
    std::fs::write(desk.folder.path().join("mappings/p.md"), "Decide.").unwrap();
    let file = "mappings/return-desk.map.yaml";
    desk.edit(file, "  route: returns\n", "  route: returns\n  prompt: p.md\n  deadline: 2s\n");
    desk.edit(file, "  fallback:\n    - rules: return-desk.rules.yaml\n", "");
    desk.edit(file, "mapping: return-desk\n", &format!("mapping: return-desk\n{tickets}"));
    std::fs::remove_file(desk.folder.path().join("mappings/return-desk.rules.yaml")).unwrap();
    desk
}

#[test]
fn a_result_that_does_not_come_in_time_becomes_a_ticket_where_that_is_granted() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (tickets, prefer, status) in
        [("", "respond-async, wait=1", 202), ("async: no\n", "respond-async, wait=1", 200)]
    {
        let desk = slow_desk(&silent, tickets);
        let server = desk.serve();
        let began = Instant::now();
        let headers = [("Content-Type", "text/xml"), ("Prefer", prefer)];
        let body = desk.request("return.xml");
        let answer =
            http::post(server.address(), "/v1/flows/return-desk", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{tickets:?}: {}", answer.text());
        let took = began.elapsed().as_secs_f64();
        assert!((0.5..6.0).contains(&took), "{tickets:?}: {took} s");
        assert_eq!(answer.header("preference-applied").is_some(), status == 202, "{tickets:?}");
        if status == 202 {
            let ticket = answer.header("vestibule-ticket").unwrap();
            let job = http::get(server.address(), &format!("/v1/jobs/{ticket}")).unwrap();
            assert_eq!(job.status, 200, "{}", job.text());
        }
    }
}

#[test]
fn a_mapping_may_give_tickets_always() {
    let desk = async_desk();
    let server = desk.serve();
    let answer = post(&server, &desk.request("good.json"), &[]);
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), None);
    job_in_state(&server, answer.header("vestibule-ticket").unwrap(), "answered");
    // Files are run to their result all the same.
    drop(server);
    let output = desk.run(&["run", MAPPING, "requests/good.xml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("<ClaimNo>C00012345</ClaimNo>"), "{said}");
}

#[test]
fn a_known_key_has_its_ticket_and_no_other_document() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.json");
    let headers = [("Prefer", "respond-async"), ("Idempotency-Key", "claim-7")];
    let first = post(&server, &good, &headers);
    let again = post(&server, &good, &headers);
    assert_eq!((first.status, again.status), (202, 202), "{}", again.text());
    assert_eq!(first.header("vestibule-ticket"), again.header("vestibule-ticket"));
    let other = post(&server, &good.replace("C00012345", "C00099999"), &headers);
    assert_eq!(other.status, 409, "{}", other.text());
    assert_eq!(other.json().unwrap()["code"], "V006");
}

#[test]
fn tickets_survive_the_end_of_the_process() {
    let desk = async_desk();
    let mut server = desk.serve();
    let good = desk.request("good.json");
    let tickets: Vec<String> =
        (0..20).map(|_| post(&server, &good, &[]).header("vestibule-ticket").unwrap().to_owned()).collect();
    server.kill().unwrap();
    let server = desk.serve();
    for ticket in &tickets {
        assert_eq!(job_in_state(&server, ticket, "answered")["outcome"], "pass");
    }
}

fn get_result(ticket: &str) -> String {
    format!(
        "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><GetResult \
         xmlns=\"urn:vestibule:jobs:1\"><Ticket>{ticket}</Ticket></GetResult></e:Body></e:Envelope>"
    )
}

#[test]
fn a_soap_caller_gets_a_ticket_and_asks_for_its_result_in_the_same_service() {
    let desk = async_desk();
    let server = desk.serve();
    let answer = call(&server, &desk.request("good.xml"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let ticket = element(&answer.text(), "Ticket").expect("a ticket");
    assert_eq!(answer.header("vestibule-ticket"), Some(ticket.as_str()));
    job_in_state(&server, &ticket, "answered");
    let result = call(&server, &get_result(&ticket)).text();
    assert_eq!(element(&result, "ClaimNo").as_deref(), Some("C00012345"), "{result}");
    for unknown in ["01932f6a-0000-7000-8000-000000000001", "nothing", ""] {
        let fault = call(&server, &get_result(unknown));
        assert_eq!(fault.status, 500, "{}", fault.text());
        assert_eq!(element(&fault.text(), "code").as_deref(), Some("V007"), "{}", fault.text());
    }
}

#[test]
fn a_ticket_of_another_service_is_none() {
    let desk = async_desk();
    let other = std::fs::read_to_string(desk.folder.path().join(MAPPING)).unwrap();
    let other = other
        .replace("mapping: claim-triage", "mapping: other")
        .replace("service: ClaimService", "service: Other");
    std::fs::write(desk.folder.path().join("mappings/other.map.yaml"), other).unwrap();
    let server = desk.serve();
    let answer = call(&server, &desk.request("good.xml"));
    let ticket = answer.header("vestibule-ticket").unwrap().to_owned();
    job_in_state(&server, &ticket, "answered");
    let headers = [("Content-Type", "text/xml"), ("SOAPAction", "\"\"")];
    let body = get_result(&ticket);
    let there = http::post(server.address(), "/soap/Other", &headers, body.as_bytes()).unwrap();
    assert_eq!(element(&there.text(), "code").as_deref(), Some("V007"), "{}", there.text());
}

fn with_reply_to(body: &str, url: &str) -> String {
    let header = format!(
        "<soapenv:Header xmlns:wsa=\"http://www.w3.org/2005/08/addressing\">\
         <wsa:MessageID>urn:uuid:7</wsa:MessageID><wsa:ReplyTo><wsa:Address>{url}</wsa:Address></wsa:ReplyTo>\
         </soapenv:Header><soapenv:Body>"
    );
    body.replacen("<soapenv:Body>", &header, 1)
}

fn desk_with_callbacks(receiver: &Receiver) -> Desk {
    let desk = Desk::quickstart();
    let lines =
        format!("callbacks: {{ allow: '{}', secret: CALLBACK_SECRET }}\nmodels:", receiver.url("/erp"));
    desk.edit("vestibule.yaml", "models:", &lines);
    desk
}

fn secret(command: &mut Command) {
    command.env("CALLBACK_SECRET", CALLBACKS);
}

#[test]
fn a_reply_goes_to_the_address_that_a_soap_caller_names() {
    let receiver = Receiver::start(CALLBACKS, 1);
    let desk = desk_with_callbacks(&receiver);
    let mut server = desk.serve_with(secret);
    let answer = call(&server, &with_reply_to(&desk.request("good.xml"), &receiver.url("/erp/in")));
    assert_eq!((answer.status, answer.text().as_str()), (202, ""));
    let ticket = answer.header("vestibule-ticket").unwrap().to_owned();
    receiver.wait_for(1);
    // The first post was refused: the reply survives the end of the process.
    server.kill().unwrap();
    let server = desk.serve_with(secret);
    let posts = receiver.wait_for(2);
    let body = posts[1]["body"].as_str().unwrap();
    assert_eq!(posts[1]["right"], true);
    assert!(posts[1]["headers"]["content-type"].as_str().unwrap().starts_with("text/xml"), "{posts:?}");
    assert_eq!(element(body, "ClaimNo").as_deref(), Some("C00012345"), "{body}");
    assert_eq!(element(body, "RelatesTo").as_deref(), Some("urn:uuid:7"), "{body}");
    job_in_state(&server, &ticket, "returned");
}

#[test]
fn a_reply_address_that_nobody_allowed_is_a_fault_and_nothing_is_accepted() {
    let receiver = Receiver::start(CALLBACKS, 0);
    let desk = desk_with_callbacks(&receiver);
    let server = desk.serve_with(secret);
    for url in ["http://127.0.0.1:1/erp", "http://169.254.169.254/latest", "not an address"] {
        let answer = call(&server, &with_reply_to(&desk.request("good.xml"), url));
        assert_eq!(answer.status, 500, "{url}: {}", answer.text());
        assert_eq!(element(&answer.text(), "code").as_deref(), Some("V003"), "{url}: {}", answer.text());
    }
    let listed = desk.run(&["jobs", "list", ".", "--json"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "");
}

#[test]
fn soap_callers_may_prefer_a_ticket_too() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let answer = call_with(&server, &desk.request("good.xml"), &[("Prefer", "respond-async")]);
    assert_eq!(answer.header("preference-applied"), Some("respond-async"), "{}", answer.text());
    assert!(element(&answer.text(), "Ticket").is_some(), "{}", answer.text());
    assert_eq!(element(&answer.text(), "ClaimNo"), None, "{}", answer.text());
}
