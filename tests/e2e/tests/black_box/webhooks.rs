//! Webhooks in, from foreign senders, and callbacks out, to a foreign receiver.

use std::process::Command;

use serde_json::Value;
use vestibule_testkit::{http, process::Server};

use crate::{
    desk::Desk,
    foreign::{Receiver, ask, eventually, job_in_state},
};

/// Base64 of `the shop signs with this!`.
const ORDERS: &str = "whsec_dGhlIHNob3Agc2lnbnMgd2l0aCB0aGlzIQ==";
/// Base64 of `results are signed so!`.
const CALLBACKS: &str = "whsec_cmVzdWx0cyBhcmUgc2lnbmVkIHNvIQ==";
const STRIPE: &str = "whsec_plain_text_as_stripe_has_it";

fn secrets(command: &mut Command) {
    command.env("ORDERS_SECRET", ORDERS).env("CALLBACK_SECRET", CALLBACKS);
}

fn serve(desk: &Desk) -> Server {
    desk.serve_with(secrets)
}

fn order(desk: &Desk) -> String {
    desk.request("order.json")
}

fn post(server: &Server, arguments: &[&str], body: &str) -> Value {
    let url = format!("http://{}/hooks/orders", server.address());
    let [style, secret, rest @ ..] = arguments else { panic!("{arguments:?}") };
    let all: Vec<&str> = [*style, url.as_str(), *secret].into_iter().chain(rest.iter().copied()).collect();
    ask("webhook_sender.py", &all, body)
}

fn ticket(answer: &Value) -> String {
    assert_eq!(answer["status"], 202, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(answer["headers"]["location"].as_str(), body["href"].as_str(), "{answer}");
    body["ticket"].as_str().unwrap().to_owned()
}

#[test]
fn an_event_that_comes_again_under_a_new_name_is_the_same_by_the_mappings_key() {
    let desk = Desk::of("events");
    desk.edit("mappings/order-check.map.yaml", "version: 1", "version: 1\nkey: order_no");
    let server = serve(&desk);
    let event = order(&desk);
    let first = ticket(&post(&server, &["svix", ORDERS, "msg_1"], &event));
    let renamed = ticket(&post(&server, &["svix", ORDERS, "msg_2"], &event));
    assert_eq!(first, renamed);
}

#[test]
fn an_event_of_a_foreign_sender_is_taken_once_and_a_tampered_one_is_not() {
    let desk = Desk::of("events");
    let server = serve(&desk);
    let event = order(&desk);
    let first = ticket(&post(&server, &["svix", ORDERS, "msg_1"], &event));
    let again = ticket(&post(&server, &["svix", ORDERS, "msg_1"], &event));
    assert_eq!(first, again, "a delivery that is known has the same ticket");
    let other = ticket(&post(&server, &["svix", ORDERS, "msg_2"], &event));
    assert_ne!(first, other);
    for (arguments, what) in [
        (&["svix", ORDERS, "msg_3", "tampered"][..], "a changed body"),
        (&["svix", CALLBACKS, "msg_3"], "another secret"),
        (&["stripe", ORDERS, "msg_3"], "another style"),
    ] {
        let refused = post(&server, arguments, &event);
        assert_eq!(refused["status"], 401, "{what}: {refused}");
        let body = refused["body"].as_str().unwrap();
        assert!(body.contains("V014") && !body.contains("order"), "{what}: {body}");
    }
    // Only who runs the server learns why.
    let log = server.stderr();
    assert!(log.contains("no signature is of one of the secrets"), "{log}");
    assert!(log.contains("a header of the signature is missing"), "{log}");
    let job = job_in_state(&server, &first, "answered");
    assert_eq!(job["outcome"], "pass", "{job}");
    let listed = desk.run(&["jobs", "list", ".", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn an_event_with_a_known_name_and_another_body_is_a_conflict() {
    let desk = Desk::of("events");
    let server = serve(&desk);
    let event = order(&desk);
    ticket(&post(&server, &["svix", ORDERS, "msg_1"], &event));
    let other = post(&server, &["svix", ORDERS, "msg_1"], &event.replace("120.00", "121.00"));
    assert_eq!(other["status"], 409, "{other}");
}

#[test]
fn stripes_own_library_is_understood() {
    let desk = Desk::of("events");
    desk.edit(
        "mappings/order-check.map.yaml",
        "secret: ORDERS_SECRET }",
        "secret: ORDERS_SECRET, style: stripe }",
    );
    let server = desk.serve_with(|command| {
        command.env("ORDERS_SECRET", STRIPE).env("CALLBACK_SECRET", CALLBACKS);
    });
    // Stripe names its events inside of them.
    let event = order(&desk).replacen('{', r#"{"id": "evt_1", "#, 1);
    let first = ticket(&post(&server, &["stripe", STRIPE, "-"], &event));
    assert_eq!(first, ticket(&post(&server, &["stripe", STRIPE, "-"], &event)));
    assert_eq!(post(&server, &["stripe", STRIPE, "-", "tampered"], &event)["status"], 401);
    job_in_state(&server, &first, "answered");
}

#[test]
fn an_accepted_event_survives_the_end_of_the_process() {
    let desk = Desk::of("events");
    let mut server = serve(&desk);
    let tickets: Vec<String> = (0..5)
        .map(|number| ticket(&post(&server, &["svix", ORDERS, &format!("msg_{number}")], &order(&desk))))
        .collect();
    server.kill().unwrap();
    let server = serve(&desk);
    for ticket in &tickets {
        assert_eq!(job_in_state(&server, ticket, "answered")["outcome"], "pass");
    }
    let again = ticket(&post(&server, &["svix", ORDERS, "msg_3"], &order(&desk)));
    assert_eq!(again, tickets[3], "the name is known after a restart");
}

#[test]
fn what_is_no_event_is_told_so() {
    let desk = Desk::of("events");
    let server = serve(&desk);
    for (method, path, status) in [
        ("GET", "/hooks/orders", 405),
        ("POST", "/hooks/orders", 401),
        ("POST", "/hooks/orders/", 404),
        ("POST", "/hooks/", 404),
        ("POST", "/hooks/other", 404),
    ] {
        let answer = http::request(server.address(), method, path, &[], b"{}").unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let broken = post(&server, &["svix", ORDERS, "msg_1"], "{\"order\": ");
    assert_eq!(broken["status"], 400, "{broken}");
}

/// A desk whose callers may have results sent to this receiver.
fn desk_with_callbacks(receiver: &Receiver) -> Desk {
    let desk = Desk::of("events");
    desk.edit("vestibule.yaml", "http://127.0.0.1:8099/results", &receiver.url("/results"));
    desk
}

#[test]
fn a_callback_is_signed_and_repeated_under_its_name_until_it_is_taken() {
    let receiver = Receiver::start(CALLBACKS, 2);
    let desk = desk_with_callbacks(&receiver);
    let server = serve(&desk);
    let url = receiver.url("/results/1");
    let headers = [("Content-Type", "application/json"), ("Vestibule-Callback", url.as_str())];
    let answer =
        http::post(server.address(), "/v1/flows/order-check", &headers, order(&desk).as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let ticket = answer.header("vestibule-ticket").unwrap().to_owned();
    let posts = receiver.wait_for(3);
    for post in &posts {
        assert_eq!(post["right"], true, "{post}");
        assert_eq!(post["headers"]["webhook-id"], ticket.as_str(), "{post}");
        assert_eq!(post["headers"]["idempotency-key"], ticket.as_str(), "{post}");
        assert!(post["body"].as_str().unwrap().contains("\"decision\":\"ship\""), "{post}");
    }
    assert_eq!(posts[2]["status"], 204);
    job_in_state(&server, &ticket, "returned");
    assert_eq!(receiver.posts().len(), 3, "what was taken is not sent again");
}

#[test]
fn a_callback_survives_the_end_of_the_process() {
    let receiver = Receiver::start(CALLBACKS, 1);
    let desk = desk_with_callbacks(&receiver);
    let mut server = serve(&desk);
    let url = receiver.url("/results");
    let headers = [("Content-Type", "application/json"), ("Vestibule-Callback", url.as_str())];
    let answer =
        http::post(server.address(), "/v1/flows/order-check", &headers, order(&desk).as_bytes()).unwrap();
    let ticket = answer.header("vestibule-ticket").unwrap().to_owned();
    receiver.wait_for(1);
    server.kill().unwrap();
    let server = serve(&desk);
    let posts = receiver.wait_for(2);
    assert_eq!(posts[1]["headers"]["webhook-id"], ticket.as_str(), "{posts:?}");
    job_in_state(&server, &ticket, "returned");
}

#[test]
fn only_addresses_that_an_operator_allows_are_called() {
    let receiver = Receiver::start(CALLBACKS, 0);
    let desk = desk_with_callbacks(&receiver);
    let server = serve(&desk);
    let base = receiver.url("");
    for url in [
        format!("{base}/"),
        format!("{base}/resultsx"),
        format!("{base}/results/../admin"),
        format!("{base}/results/%2e%2e/admin"),
        base.replace("http://", "http://user@") + "/results",
        format!("{base}/results#there"),
        "http://127.0.0.1:1/results".into(),
        "results".into(),
    ] {
        let headers = [("Content-Type", "application/json"), ("Vestibule-Callback", url.as_str())];
        let answer =
            http::post(server.address(), "/v1/flows/order-check", &headers, order(&desk).as_bytes()).unwrap();
        assert_eq!(answer.status, 403, "{url}: {}", answer.text());
        assert_eq!(answer.json().unwrap()["code"], "V003", "{url}");
    }
    let listed = desk.run(&["jobs", "list", ".", "--json"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "", "nothing was accepted");
    assert_eq!(receiver.posts(), Vec::<Value>::new());
}

#[test]
fn a_mapping_may_send_all_its_results_to_one_address() {
    let receiver = Receiver::start(CALLBACKS, 0);
    let desk = Desk::of("events");
    let deliver = format!(
        "deliver:\n  webhook: {{ url: '{}', secret: CALLBACK_SECRET }}\n\nreturn:",
        receiver.url("/erp")
    );
    desk.edit("mappings/order-check.map.yaml", "return:", &deliver);
    let server = serve(&desk);
    let ticket = ticket(&post(&server, &["svix", ORDERS, "msg_1"], &order(&desk)));
    let posts = receiver.wait_for(1);
    assert_eq!((&posts[0]["right"], posts[0]["path"].as_str()), (&Value::Bool(true), Some("/erp")));
    assert_eq!(posts[0]["headers"]["vestibule-ticket"], ticket.as_str());
    eventually("its return", || {
        let job = http::get(server.address(), &format!("/v1/jobs/{ticket}")).ok()?.json().ok()?;
        (job["state"] == "returned").then_some(())
    });
}

#[test]
fn a_server_whose_secrets_are_not_there_does_not_start() {
    let desk = Desk::of("events");
    let output = desk.run(&["serve", ".", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ORDERS_SECRET") && said.contains("CALLBACK_SECRET"), "{said}");
    let output = desk.run(&["check", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}
