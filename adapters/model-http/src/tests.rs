//! The adapter against servers that behave and servers that do not.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};
use vestibule_core::{
    ask::Answered,
    fault::{Fault, FaultCode, Recovery},
    mapping::{diagnostic::Diagnostics, syntax},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_partial_json, header, method, path},
};

use crate::{
    client::Clients,
    model::{ChatModel, Question},
    settings::Settings,
};

/// A value that is in every prompt and must be in no fault.
const PRIVATE: &str = "Maria-Lopez-4711";
const SECRET: &str = "sk-test-very-secret";

fn open(yaml: &str) -> Result<ChatModel, String> {
    let mut diagnostics = Diagnostics::default();
    let node = syntax::parse(yaml, &mut diagnostics).ok_or("not YAML")?;
    let secrets = |name: &str| (name == "TEST_KEY").then(|| SECRET.to_owned());
    let settings = Settings::read(&node, &secrets, &mut diagnostics);
    match settings {
        Some(settings) => {
            let client = Clients::default().for_url(&settings.url).map_err(|error| error.to_string())?;
            Ok(ChatModel::new("desk", settings, client))
        }
        None => Err(diagnostics.render("vestibule.yaml", yaml, false)),
    }
}

fn model_at(address: &str) -> ChatModel {
    open(&format!("url: {address}/v1\nmodel: gpt-test\nkey: TEST_KEY\n")).unwrap()
}

fn question<'a>(prompt: &'a str, schema: &'a Value) -> Question<'a> {
    Question { flow: "claim-triage", prompt, schema, request_id: "0198-7" }
}

async fn ask(model: &ChatModel, time: Duration) -> Result<Answered, Fault> {
    let prompt = format!("Judge the claim of {PRIVATE}.");
    let schema = json!({ "type": "object" });
    model.converse(question(&prompt, &schema), Instant::now() + time).await
}

fn completion(content: &str) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 },
    })
}

/// Everything that a log could show of a fault.
fn shown(fault: &Fault) -> String {
    let mut text = format!("{fault} {fault:?}");
    let mut cause = std::error::Error::source(fault);
    while let Some(it) = cause {
        text.push_str(&format!(" {it} {it:?}"));
        cause = it.source();
    }
    text
}

#[tokio::test]
async fn a_good_answer_passes_and_the_request_is_the_agreed_one() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", format!("Bearer {SECRET}").as_str()))
        .and(header("openai-organization", "claims"))
        .and(header("idempotency-key", "0198-7"))
        .and(body_partial_json(json!({
            "model": "gpt-test",
            "temperature": 0.0,
            "max_tokens": 300,
            "response_format": { "type": "json_schema", "json_schema": { "name": "claim-triage", "strict": true } },
        })))
        .respond_with(ResponseTemplate::new(200).set_body_json(completion(r#"{"priority":"high"}"#)))
        .expect(1)
        .mount(&server)
        .await;
    let model = open(&format!(
        "url: {}/v1/\nmodel: gpt-test\nkey: TEST_KEY\ntemperature: 0\nmax_tokens: 300\nheaders: {{ OpenAI-Organization: claims }}\n",
        server.uri()
    ))
    .unwrap();
    let answered = ask(&model, Duration::from_secs(5)).await.unwrap();
    assert_eq!(Value::Object(answered.answer), json!({ "priority": "high" }));
    assert_eq!((answered.usage.input, answered.usage.output), (7, 3));
}

#[tokio::test]
async fn every_bad_response_is_a_classified_fault_that_shows_no_value() {
    let echo = json!({ "error": { "message": format!("can not judge {PRIVATE}"), "code": "bad" } });
    let quota = json!({ "error": { "code": "insufficient_quota" } });
    let long = "x".repeat(1024 * 1024 + 1);
    for (name, response, expected) in [
        ("400", ResponseTemplate::new(400).set_body_json(&echo), Recovery::GiveUp),
        ("401", ResponseTemplate::new(401).set_body_json(&echo), Recovery::FailOver),
        ("404", ResponseTemplate::new(404), Recovery::FailOver),
        ("429", ResponseTemplate::new(429), Recovery::Retry),
        (
            "429 with a time",
            ResponseTemplate::new(429).insert_header("retry-after", "1"),
            Recovery::RetryAfter(Duration::from_secs(1)),
        ),
        ("429 without money", ResponseTemplate::new(429).set_body_json(&quota), Recovery::FailOver),
        ("500", ResponseTemplate::new(500).set_body_string("<html>"), Recovery::Retry),
        (
            "a redirect",
            ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:1/"),
            Recovery::FailOver,
        ),
        ("not JSON", ResponseTemplate::new(200).set_body_string("<html>"), Recovery::FailOver),
        (
            "malformed answer",
            ResponseTemplate::new(200).set_body_json(completion("{\"a\":")),
            Recovery::GiveUp,
        ),
        ("too long", ResponseTemplate::new(200).set_body_string(&long), Recovery::FailOver),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(response).expect(1).mount(&server).await;
        let fault = ask(&model_at(&server.uri()), Duration::from_secs(5)).await.expect_err(name);
        assert_eq!((fault.code, fault.recovery), (FaultCode::Model, expected), "{name}: {fault}");
        let shown = shown(&fault);
        for hidden in [PRIVATE, SECRET, &server.uri()] {
            assert!(!shown.contains(hidden), "{name} shows {hidden}: {shown}");
        }
    }
}

/// A server that reads a request's head and then does what the test says.
async fn raw_server(says: &'static [u8], then_hangs: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a test server lives beside its test")]
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(says).await;
            if then_hangs {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_hangs_ends_with_the_deadline_at_every_stage() {
    for (name, says) in [
        ("before the head", &b""[..]),
        ("inside the head", b"HTTP/1.1 200 OK\r\nContent-"),
        ("before the body", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("inside the body", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"cho\r\n"),
        ("inside an error", b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n{"),
    ] {
        let model = model_at(&raw_server(says, true).await);
        let began = Instant::now();
        let fault = ask(&model, Duration::from_millis(200)).await.expect_err(name);
        assert_eq!(
            (fault.code, fault.recovery),
            (FaultCode::Deadline, Recovery::FailOver),
            "{name}: {fault}"
        );
        assert!(began.elapsed() < Duration::from_millis(600), "{name}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_models_own_timeout_is_shorter_than_the_deadline() {
    let address = raw_server(b"", true).await;
    let model = open(&format!("url: {address}/v1\nmodel: gpt-test\ntimeout: 100ms\n")).unwrap();
    let began = Instant::now();
    let fault = ask(&model, Duration::from_secs(30)).await.expect_err("late");
    assert_eq!(fault.code, FaultCode::Deadline);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_dropped_or_refused_connection_may_be_tried_again() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (name, address) in [
        ("dropped at once", raw_server(b"", false).await),
        ("dropped in the body", raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", false).await),
        ("refused", refused),
    ] {
        let fault = ask(&model_at(&address), Duration::from_secs(5)).await.expect_err(name);
        assert_eq!((fault.code, fault.recovery), (FaultCode::Model, Recovery::Retry), "{name}: {fault}");
        assert!(!shown(&fault).contains(PRIVATE), "{name}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        let mut sent = 0;
        while stream.write_all(&chunk).await.is_ok() && sent < 64 {
            sent += 1;
        }
    };
    let model = model_at(&address);
    let (fault, ()) = tokio::join!(ask(&model, Duration::from_secs(5)), server);
    let fault = fault.expect_err("too long");
    assert_eq!(fault.message, "the model's response is longer than 1048576 bytes");
}

#[test]
fn every_mistake_in_the_settings_is_reported_at_once() {
    let yaml = "url: ftp://user@models\nmodel: ''\nkey: sk-live-51Habc/xyz\ntemperature: 7\nmax_tokens: 0\ntimeout: soon\nheaders: { Authorization: Bearer x }\n";
    let report = open(yaml).err().unwrap();
    for expected in ["A101", "A102", "A103"] {
        assert!(report.contains(expected), "{expected} is missing in\n{report}");
    }
    assert_eq!(report.matches("error[").count(), 7, "{report}");
}

#[test]
fn a_key_that_is_not_in_the_environment_is_named() {
    let report = open("url: https://models/v1\nmodel: gpt\nkey: OTHER_KEY\n").err().unwrap();
    assert!(report.contains("the environment variable `OTHER_KEY` holds no key"), "{report}");
}

/// Against a real OpenAI-compatible server, started as tests/e2e/aimock/README.md says.
/// `AIMOCK_URL=http://127.0.0.1:4010 cargo test -p vestibule-model-http -- --ignored aimock`
#[tokio::test]
#[ignore = "needs a running aimock"]
async fn aimock_behaves_as_each_case_says() {
    use Recovery::{FailOver, GiveUp, Retry, RetryAfter};
    let address = std::env::var("AIMOCK_URL").expect("AIMOCK_URL");
    let model = model_at(&address);
    let second = Duration::from_secs(1);
    for (case, expected) in [
        ("good", Ok("high")),
        // What is outside the schema is an object all the same: core checks the schema.
        ("outside", Ok("urgent")),
        ("malformed", Err((FaultCode::Model, GiveUp))),
        ("garbage", Err((FaultCode::Model, FailOver))),
        ("ratelimit", Err((FaultCode::Model, RetryAfter(second)))),
        ("quota", Err((FaultCode::Model, FailOver))),
        ("error", Err((FaultCode::Model, Retry))),
        ("refused", Err((FaultCode::Model, GiveUp))),
        ("disconnect", Err((FaultCode::Model, Retry))),
        ("hang", Err((FaultCode::Deadline, FailOver))),
    ] {
        let began = Instant::now();
        let prompt = format!("Judge. vestibule-case {case} .");
        let schema = json!({ "type": "object" });
        let outcome = model.converse(question(&prompt, &schema), began + 2 * second).await;
        let took = began.elapsed();
        println!("{case}: {took:?} {outcome:?}");
        let priority = outcome.as_ref().map(|it| it.answer["priority"].as_str().unwrap());
        assert_eq!(priority.map_err(|fault| (fault.code, fault.recovery)), expected, "{case}");
        assert!(took < Duration::from_millis(2300), "{case}: {took:?}");
    }
}
