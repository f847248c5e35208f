//! A real OpenAI-compatible server behind `model-http`: its good answer is the reply, and whatever goes wrong with it
//! ends in the fallback, inside the deadline, with a reply that the caller can read.
//!
//! Each failure has a server of its own, so that none is answered by a breaker that an earlier one opened; and each
//! proves both that the model was asked and that the fallback answered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vestibule_testkit::{http, process::Server};

use crate::{
    desk::{Desk, call, element},
    llmock::Llmock,
};

/// What the mapping of these tests gives a call.
const DEADLINE: Duration = Duration::from_secs(2);
/// Who answers when the model does not.
const FALLBACK: &str = "fallback:rules triage.rules.yaml";

/// The quickstart with one model: this server.
fn desk(llmock: &Llmock) -> Desk {
    let desk = Desk::quickstart();
    let model = format!("  large: {{ openai: {{ url: {}, model: gpt-test }} }}\nroutes:", llmock.url());
    desk.edit("vestibule.yaml", "routes:", &model)
        .edit("vestibule.yaml", "triage: [desk]", "triage: [large]")
        .edit("mappings/claim-triage.map.yaml", "deadline: 8s", "deadline: 2s");
    desk
}

/// Whatever proxy this machine's environment names: llmock is asked directly.
fn serve(desk: &Desk) -> Server {
    desk.serve_with(|command| {
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    })
}

/// The good claim; its story names the case that llmock plays.
fn claim(desk: &Desk, case: &str) -> String {
    let story = "turned the water off within the hour.";
    let good = desk.request("good.xml");
    assert!(good.contains(story));
    good.replace(story, &format!("{story} vestibule-case {case}"))
}

/// Sends the claim and gives what the typed SOAP reply says, with how long it took.
fn triage(server: &Server, body: &str) -> (Triage, Duration) {
    let began = Instant::now();
    let response = call(server, body);
    let took = began.elapsed();
    let xml = response.text();
    assert_eq!(response.status, 200, "{xml}");
    assert!(response.header("content-type").is_some_and(|it| it.starts_with("text/xml")), "{xml}");
    assert!(element(&xml, "SubmitClaimResponse").is_some() && element(&xml, "Body").is_some(), "{xml}");
    let text = |name: &str| element(&xml, name).unwrap_or_else(|| panic!("no {name}: {xml}"));
    assert_eq!(text("ClaimNo"), "C00012345", "{xml}");
    let said = [text("PriorityCd"), text("FraudFlg"), text("ReasonTxt"), text("StatusCd")];
    (Triage { said, ticket: text("Ticket") }, took)
}

/// The decision that a reply carries.
struct Triage {
    /// Priority, fraud, reason and status, in the legacy system's codes.
    said: [String; 4],
    ticket: String,
}

/// The decision table's answer to the good claim, whatever story it ends with.
const ROUTINE: [&str; 4] = ["2", "N", "Routine claim", "OK"];

fn job(server: &Server, ticket: &str) -> Value {
    http::get(server.address(), &format!("/v1/jobs/{ticket}")).unwrap().json().unwrap()
}

#[test]
fn a_good_answer_of_a_model_is_the_reply() {
    let llmock = Llmock::start();
    let desk = desk(&llmock);
    let server = serve(&desk);
    let (reply, _) = triage(&server, &claim(&desk, "good"));
    assert_eq!(reply.said, ["1", "N", "The roof is open and the family cannot stay", "OK"]);
    assert_eq!(llmock.asked("good"), 1);

    let job = job(&server, &reply.ticket);
    assert_eq!(job["answered_by"], "large", "{job}");
    // llmock counts a token for every four characters; what matters is that its counts are the job's.
    let tokens = |name: &str| job["usage"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {job}"));
    assert!(tokens("input_tokens") > 100, "{job}");
    assert_eq!((tokens("cached_input_tokens"), tokens("output_tokens")), (0, 27), "{job}");

    let shown = desk.run(&["jobs", "show", &reply.ticket, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["answered_by"], &shown["usage"]), (&job["answered_by"], &job["usage"]));
}

#[test]
fn whatever_goes_wrong_with_a_model_ends_in_the_fallback_inside_the_deadline() {
    let llmock = Llmock::start();
    // The case, and how often the model is asked: what may pass is tried once more, what will not is not.
    for (case, asked) in [
        ("malformed", 1),
        ("garbage", 1),
        ("outside", 1),
        ("ratelimit", 2),
        ("quota", 1),
        ("error", 2),
        ("refused", 1),
        ("disconnect", 2),
        ("hang", 1),
    ] {
        let desk = desk(&llmock);
        let server = serve(&desk);
        let (reply, took) = triage(&server, &claim(&desk, case));
        assert!(took < DEADLINE, "{case}: {took:?}");
        assert_eq!(reply.said, ROUTINE, "{case}");
        assert_eq!(llmock.asked(case), asked, "{case}: the model was not asked as often as it should be");
        let job = job(&server, &reply.ticket);
        assert_eq!(job["answered_by"], FALLBACK, "{case}: {job}");
    }
}

#[test]
fn a_model_that_keeps_failing_is_left_alone_for_a_while() {
    let llmock = Llmock::start();
    let desk = desk(&llmock);
    let server = serve(&desk);
    // Two calls with two tries each; the third call's first try is the fifth failure.
    let tickets: Vec<_> = (0..4).map(|_| triage(&server, &claim(&desk, "error")).0.ticket).collect();
    assert_eq!(llmock.asked("error"), 5, "the model is left alone after five failures");
    for ticket in tickets {
        assert_eq!(job(&server, &ticket)["answered_by"], FALLBACK);
    }
}

#[test]
fn no_masked_value_reaches_a_model() {
    let llmock = Llmock::start();
    let desk = desk(&llmock);
    let server = serve(&desk);
    let body =
        claim(&desk, "good").replace("within the hour.", "within the hour. Write to luis@perez.example.");
    let (reply, _) = triage(&server, &body);
    assert_eq!(job(&server, &reply.ticket)["answered_by"], "large");

    let journal = llmock.journal();
    assert_eq!(journal.len(), 1, "{journal:#?}");
    assert_eq!(journal[0]["path"], "/v1/chat/completions");
    assert_eq!(journal[0]["body"]["response_format"]["json_schema"]["strict"], json!(true));
    let seen = journal[0].to_string();
    for sent in ["A pipe burst on the upper floor", "water", "1250.00", "building"] {
        assert!(seen.contains(sent), "{sent} is sent: {seen}");
    }
    // The claimant's name, also inside the story; an address that only the story holds; and what `send` leaves out.
    for hidden in
        ["Luis", "P\u{e9}rez", "rez", "luis@perez.example", "PL-7781", "C00012345", "kmoreno", "Ana Ruiz"]
    {
        assert!(!seen.contains(hidden), "{hidden} left the house: {seen}");
    }
}
