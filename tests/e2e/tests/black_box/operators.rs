//! What operators do, beside a running server and over HTTP.

use std::fs;

use serde_json::{Value, json};
use vestibule_testkit::{
    http::{self, Response},
    process::Server,
};

use crate::{
    desk::{Desk, call, element},
    foreign::job_in_state,
};

const TOKEN: &str = "anna-7-and-more";

/// A claim desk where a person decides what is in doubt.
fn desk() -> Desk {
    let desk = Desk::quickstart();
    let mapping = desk.folder.path().join("mappings/claim-triage.map.yaml");
    let text = fs::read_to_string(&mapping).unwrap();
    fs::write(&mapping, format!("{text}\nreview: {{ within: 48h, lapse: reject }}\n")).unwrap();
    let config = desk.folder.path().join("vestibule.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\noperators: {{ anna: ANNA_TOKEN }}\n")).unwrap();
    desk
}

fn serve(desk: &Desk) -> Server {
    desk.serve_with(|command| {
        command.env("ANNA_TOKEN", TOKEN);
    })
}

/// A claim without a cause, which the mapping leaves to a person; its ticket.
fn doubtful(desk: &Desk, server: &Server, number: u32) -> String {
    let claim = desk.request("good.xml");
    let claim = claim.replace("<c:CauseCd>2A</c:CauseCd>", "");
    let answer = call(server, &claim.replace("C00012345", &format!("C{number:08}"))).text();
    assert_eq!(element(&answer, "StatusCd").as_deref(), Some("PD"), "{answer}");
    element(&answer, "Ticket").unwrap()
}

fn post(server: &Server, path: &str, body: &Value) -> Response {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    http::post(server.address(), path, &headers, body.to_string().as_bytes()).unwrap()
}

fn get(server: &Server, path: &str) -> Response {
    let bearer = format!("Bearer {TOKEN}");
    http::request(server.address(), "GET", path, &[("Authorization", bearer.as_str())], b"").unwrap()
}

/// Exit code, and what was said.
fn run(desk: &Desk, arguments: &[&str]) -> (Option<i32>, String) {
    let output = desk.run(arguments);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn a_review_is_decided_on_the_command_line_beside_the_server() {
    let desk = desk();
    let server = serve(&desk);
    let ticket = doubtful(&desk, &server, 1);
    let (code, said) = run(&desk, &["reviews", "list", "."]);
    assert!(code == Some(0) && said.contains(&ticket) && said.contains("cause"), "{said}");
    let (_, said) = run(&desk, &["reviews", "show", &ticket, ".", "--hold", "10m", "--by", "anna"]);
    assert!(said.contains("held by") && said.contains("/Claim/ClaimNo"), "{said}");

    let (code, said) = run(&desk, &["reviews", "release", &ticket, ".", "--by", "bert"]);
    assert!(code == Some(1) && said.contains("`anna` looks at this job"), "{said}");
    let correct = ["reviews", "correct", &ticket, ".", "--by", "anna", "--set"];
    for record in ["2", "4294967295"] {
        let (code, said) = run(&desk, &[&correct[..], &["cause=02", "--record", record]].concat());
        assert!(code == Some(2) && said.contains(&format!("there is no record {record}")), "{said}");
        let release = ["reviews", "release", &ticket, ".", "--by", "anna", "--record", record];
        let (code, said) = run(&desk, &release);
        assert!(code == Some(2) && said.contains("the document has 1"), "{said}");
    }
    job_in_state(&server, &ticket, "in-review");
    let (code, said) = run(&desk, &[&correct[..], &["cuase=02"]].concat());
    assert!(code == Some(1) && said.contains("did you mean `cause`?"), "{said}");
    let (code, said) = run(&desk, &[&correct[..], &["cause=zz"]].concat());
    assert!(code == Some(0) && said.contains("still ask for a person"), "{said}");
    job_in_state(&server, &ticket, "in-review");
    let (code, said) = run(&desk, &[&correct[..], &["cause=02"]].concat());
    assert!(code == Some(0) && said.contains("it goes on"), "{said}");

    let job = job_in_state(&server, &ticket, "answered");
    assert_eq!(job["outcome"], "pass", "{job}");
    let (_, said) = run(&desk, &["jobs", "show", &ticket, ".", "--lineage"]);
    assert!(said.contains("corrected cause='02' by anna"), "{said}");
    assert!(said.contains("/Claim/CauseCd  corrected by anna"), "{said}");
}

#[test]
fn a_review_is_decided_over_http_by_an_operator_alone() {
    let desk = desk();
    let server = serve(&desk);
    let ticket = doubtful(&desk, &server, 1);
    let path = format!("/v1/reviews/{ticket}");
    for (path, method) in
        [("/v1/reviews", "GET"), (path.as_str(), "GET"), (&format!("{path}/release"), "POST")]
    {
        for headers in [&[][..], &[("Authorization", "Bearer wrong")], &[("Authorization", TOKEN)]] {
            let answer = http::request(server.address(), method, path, headers, b"").unwrap();
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        }
    }
    let list = get(&server, "/v1/reviews?flow=claim-triage").json().unwrap();
    assert_eq!(list["reviews"][0]["ticket"], ticket.as_str(), "{list}");
    assert_eq!(get(&server, "/v1/reviews?flow=other").json().unwrap(), json!({ "reviews": [] }));
    let shown = get(&server, &path).json().unwrap();
    assert_eq!(shown["records"][0]["record"]["claim_no"], "C00000001", "{shown}");

    let correct = |body| post(&server, &format!("{path}/correct"), &body);
    assert_eq!(correct(json!({ "set": {} })).status, 422);
    assert_eq!(correct(json!({ "set": { "cuase": "02" } })).status, 422);
    assert_eq!(correct(json!({ "set": { "cause": "02" }, "record": 2 })).status, 404);
    for verb in ["release", "correct", "reject"] {
        let answer = post(&server, &format!("{path}/{verb}"), &json!({ "record": 7 }));
        let said = answer.json().unwrap();
        let is_empty = verb == "correct";
        assert_eq!(answer.status, if is_empty { 422 } else { 404 }, "{said}");
        let expected = if is_empty { "nothing is corrected" } else { "there is no record 7" };
        assert!(said["detail"].as_str().unwrap().contains(expected), "{said}");
    }
    job_in_state(&server, &ticket, "in-review");
    assert_eq!(correct(json!({ "sets": {} })).status, 400);
    assert_eq!(post(&server, &format!("{path}/approve"), &json!({})).status, 404);
    let done = correct(json!({ "set": { "cause": "02" }, "note": "called" }));
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json().unwrap()["records"][0]["outcome"], "pass");
    job_in_state(&server, &ticket, "answered");
    assert_eq!(correct(json!({ "set": { "cause": "03" } })).status, 409);
}

#[test]
fn without_operators_nothing_is_there_to_decide() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    for path in ["/v1/reviews", "/v1/reviews/x", "/v1/jobs/x/cancel"] {
        assert_eq!(post(&server, path, &json!({})).status, 404, "{path}");
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
}

#[test]
fn jobs_are_cancelled_retried_and_exported_beside_the_server() {
    let desk = desk();
    let server = serve(&desk);
    let tickets: Vec<String> = (1..=3).map(|number| doubtful(&desk, &server, number)).collect();
    let (code, said) = run(&desk, &["jobs", "cancel", ".", "--state", "in-review"]);
    assert_eq!((code, said.as_str()), (Some(0), "3 jobs would be cancelled; add --yes to do it\n"));
    let (code, said) =
        run(&desk, &["jobs", "cancel", ".", &tickets[0], "--by", "anna", "--note", "sent twice"]);
    assert!(code == Some(0) && said.contains("cancelled"), "{said}");
    let (code, _) = run(&desk, &["jobs", "cancel", &tickets[0], ".", "--by", "anna"]);
    assert_eq!(code, Some(1), "it is finished");
    let answer = post(&server, &format!("/v1/jobs/{}/cancel", tickets[1]), &json!({ "note": "too" }));
    assert_eq!(answer.status, 200, "{}", answer.text());

    let (_, said) = run(&desk, &["jobs", "list", ".", "--state", "dead", "--cause", "SENT TWICE", "--json"]);
    let dead: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(dead["cause"], "V015: cancelled by anna: sent twice");
    let (_, document) = run(&desk, &["jobs", "export", ".", &tickets[0]]);
    assert!(document.contains("C00000001"), "{document}");
    let (_, said) = run(&desk, &["jobs", "export", ".", "--state", "dead", "--all"]);
    let lines: Vec<Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|it| it["document"]["text"].as_str().unwrap().contains("ClaimNo")), "{lines:?}");
    let (code, _) = run(&desk, &["jobs", "export", ".", "--state", "dead"]);
    assert_eq!(code, Some(2), "two documents do not go to one output");
    let (code, _) = run(&desk, &["jobs", "export", ".", "--state", "dead", "--out", "dead"]);
    assert_eq!(code, Some(0));
    let written = fs::read_to_string(desk.folder.path().join(format!("dead/{}.xml", tickets[0]))).unwrap();
    assert_eq!(written, document);
    let (code, said) = run(&desk, &["jobs", "export", ".", "--state", "dead", "--out", "dead"]);
    assert!(code == Some(1), "nothing is written over: {said}");

    let (code, said) = run(&desk, &["jobs", "retry", ".", "--state", "dead", "--cause", "anna", "--yes"]);
    assert!(code == Some(0) && said.lines().count() == 2, "{said}");
    job_in_state(&server, &tickets[0], "in-review");
    let (code, said) = run(&desk, &["jobs", "retry", "."]);
    assert!(code == Some(2) && said.contains("which jobs?"), "{said}");
}

#[test]
fn figures_are_read_without_a_value_of_any_document() {
    let desk = desk();
    let server = serve(&desk);
    let ticket = doubtful(&desk, &server, 1);
    call(&server, &desk.request("good.xml"));
    let metrics = http::get(server.address(), "/metrics").unwrap();
    let text = metrics.text();
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(text.contains("vestibule_documents_accepted_total{flow=\"claim-triage\"} 2\n"), "{text}");
    assert!(text.contains("outcome=\"pass\"} 1\n") && text.ends_with("# EOF\n"), "{text}");
    for value in [ticket.as_str(), "C00000001", "C00012345", "PL-7781", "Luis"] {
        assert!(!text.contains(value), "{value} in {text}");
    }
    assert_eq!(http::post(server.address(), "/metrics", &[], b"").unwrap().status, 405);
}
