//! One key, one result: byte for byte, whoever asks and however often.

use std::sync::Barrier;

use vestibule_testkit::http;

use crate::desk::{Desk, call, call_with, element};

const KEY: (&str, &str) = ("Idempotency-Key", "claim-00012345");

#[test]
fn the_same_key_gives_the_same_bytes() {
    let desk = Desk::quickstart();
    let mut server = desk.serve();
    let good = desk.request("good.xml");
    let first = call_with(&server, &good, &[KEY]);
    assert_eq!(first.status, 200, "{}", first.text());
    let second = call_with(&server, &good, &[KEY]);
    assert_eq!(first.text(), second.text());
    let without = call(&server, &good);
    assert_ne!(element(&without.text(), "Ticket"), element(&first.text(), "Ticket"), "no key, no memory");
    // And after a restart.
    server.kill().unwrap();
    let server = desk.serve();
    assert_eq!(call_with(&server, &good, &[KEY]).text(), first.text());
}

#[test]
fn the_same_key_with_another_claim_is_a_conflict() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.xml");
    call_with(&server, &good, &[KEY]);
    let other = good.replace("C00012345", "C00099999");
    let refused = call_with(&server, &other, &[KEY]);
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert_eq!(element(&refused.text(), "code").as_deref(), Some("V006"), "{}", refused.text());
    let json = [("Content-Type", "application/json"), KEY];
    let good = desk.request("good.json");
    let refused = http::post(server.address(), "/v1/flows/claim-triage", &json, good.as_bytes()).unwrap();
    assert_eq!(refused.status, 409, "{}", refused.text());
}

#[test]
fn a_fault_is_the_same_fault_again() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let incomplete = desk.request("incomplete.xml");
    let first = call_with(&server, &incomplete, &[KEY]);
    let second = call_with(&server, &incomplete, &[KEY]);
    assert_eq!(element(&first.text(), "code").as_deref(), Some("V005"));
    assert_eq!(first.text(), second.text());
}

#[test]
fn a_ws_addressing_message_id_is_a_key() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let header = r#"<soapenv:Header xmlns:wsa="http://www.w3.org/2005/08/addressing"><wsa:MessageID>urn:uuid:1</wsa:MessageID></soapenv:Header><soapenv:Body>"#;
    let body = desk.request("good.xml").replacen("<soapenv:Body>", header, 1);
    let (first, second) = (call(&server, &body), call(&server, &body));
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.text(), second.text());
    assert!(first.text().contains("urn:uuid:1"), "RelatesTo: {}", first.text());
}

#[test]
fn the_mapping_can_name_the_key() {
    for durability in ["full", "none"] {
        let desk = Desk::quickstart();
        desk.edit(
            "mappings/claim-triage.map.yaml",
            "version: 1",
            &format!("version: 1\nkey: claim_no\ndurability: {durability}"),
        );
        let server = desk.serve();
        let good = desk.request("good.xml");
        let (first, second) = (call(&server, &good), call(&server, &good));
        assert_eq!(first.status, 200, "{}", first.text());
        assert_eq!(first.text(), second.text(), "durability: {durability}");
        let other = good.replace("1250.00", "1251.00");
        assert_eq!(
            element(&call(&server, &other).text(), "code").as_deref(),
            Some("V006"),
            "durability: {durability}"
        );
    }
}

#[test]
fn callers_that_race_with_one_key_share_one_result() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let good = desk.request("good.xml");
    let start = Barrier::new(16);
    let replies: Vec<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    call_with(&server, &good, &[KEY]).text()
                })
            })
            .collect();
        callers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(replies.iter().all(|it| *it == replies[0]), "{replies:#?}");
}
