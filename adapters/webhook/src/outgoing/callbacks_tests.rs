use jiff::Timestamp;
use vestibule_core::{
    document::Document,
    fault::Recovery,
    finding::Outcome,
    job::{Delivery, JobId, Place, Remark, Reply, ReturnAddress},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, path},
};

use super::*;

const TICKET: &str = "0192f0c1-2c4e-7cc1-8a5b-6f1de1a0b0c1";

fn remark() -> Remark {
    Remark {
        code: "G101".into(),
        check: "required".into(),
        outcome: Outcome::Reject,
        field: "claim_no".into(),
        xpath: None,
        expected: "a value".into(),
        found: None,
        say: None,
    }
}

fn reply(outcome: Outcome, body: ReplyBody) -> Reply {
    let findings = vec![remark()];
    Reply { outcome, body, findings, answered_by: "".into(), usage: Default::default(), flow_version: 1 }
}

fn job(state: JobState) -> Job {
    let mut document = Document::new("<\u{e9}/>", "text/xml", Timestamp::UNIX_EPOCH);
    document.charset = Some("utf-8".into());
    Job {
        id: JobId::parse(TICKET).unwrap(),
        flow: "claims".into(),
        document,
        state,
        accepted: Timestamp::UNIX_EPOCH,
        changed: Timestamp::UNIX_EPOCH,
        order: None,
        return_to: Some(ReturnAddress { message: Some("msg-1".into()), ..ReturnAddress::default() }),
        delivery: Delivery::Nothing,
        decisions: Vec::new(),
    }
}

fn parcel(url: &str, secret: Option<&str>, purpose: Purpose, state: JobState) -> Parcel {
    let mut to = std::collections::BTreeMap::from([("url".to_owned(), url.to_owned())]);
    to.extend(secret.map(|it| ("secret".to_owned(), it.to_owned())));
    Parcel { purpose, place: Place { returner: NAME.into(), to }, job: Arc::new(job(state)) }
}

fn callbacks(usual: Option<&str>) -> Callbacks {
    let secrets = |name: &str| match name {
        "USUAL" => Some("dXN1YWw=".to_owned()),
        "OWN" => Some("b3du".to_owned()),
        "BAD" => Some("???".to_owned()),
        _ => None,
    };
    Callbacks::new(Arc::new(Poster::new()), Box::new(secrets), usual.map(str::to_owned))
}

fn written() -> JobState {
    let body = ReplyBody::Written { media_type: "application/xml".into(), bytes: "<r/>".into() };
    JobState::Answered { reply: reply(Outcome::Pass, body) }
}

#[tokio::test]
async fn each_end_of_a_job_is_posted_in_its_own_way() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let refused = || JobState::Returned { reply: reply(Outcome::Reject, ReplyBody::Refused) };
    let dead = || JobState::Dead { cause: "V009: no answer".into(), findings: vec![remark()] };
    let parcels = [
        parcel(&server.uri(), None, Purpose::Result, written()),
        parcel(&server.uri(), None, Purpose::Result, refused()),
        parcel(&server.uri(), None, Purpose::Result, dead()),
        parcel(&server.uri(), None, Purpose::DeadLetter, dead()),
    ];
    // One after the other, so that they arrive in this order.
    for one in &parcels {
        let done = callbacks(Some("USUAL")).hand_back(std::slice::from_ref(one)).await;
        assert!(matches!(done.as_slice(), [Ok(())]), "{done:?}");
    }
    let sent = server.received_requests().await.unwrap();
    let said = |cause: &str, outcome: &str| {
        json!({"ticket": TICKET, "flow": "claims", "outcome": outcome, "cause": cause, "findings": [remark()]})
            .to_string()
    };
    let expected = [
        ("application/xml", "pass", None, "<r/>".to_owned()),
        ("application/json", "reject", None, said("V005: the record was refused", "reject")),
        ("application/json", "dead", None, said("V009: no answer", "dead")),
        ("text/xml; charset=utf-8", "dead", Some("V009: no answer"), "<\u{e9}/>".to_owned()),
    ];
    for (request, (kind, outcome, cause, body)) in sent.iter().zip(expected) {
        let header = |name: &str| request.headers.get(name).map(|it| it.to_str().unwrap());
        assert_eq!(String::from_utf8_lossy(&request.body), body);
        assert_eq!((header("content-type"), header("vestibule-outcome")), (Some(kind), Some(outcome)));
        assert_eq!((header("vestibule-ticket"), header("vestibule-flow")), (Some(TICKET), Some("claims")));
        assert_eq!((header("webhook-id"), header("idempotency-key")), (Some("msg-1"), Some("msg-1")));
        assert_eq!(header("vestibule-cause"), cause);
        assert!(header("webhook-signature").unwrap().starts_with("v1,"));
    }
}

#[tokio::test]
async fn each_parcel_has_its_own_result_in_the_same_order() {
    let server = MockServer::start().await;
    Mock::given(path("/ok")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path("/gone")).respond_with(ResponseTemplate::new(410)).mount(&server).await;
    Mock::given(path("/busy")).respond_with(ResponseTemplate::new(503)).mount(&server).await;
    let url = |path: &str| format!("{}{path}", server.uri());
    let result = |path: &str| parcel(&url(path), Some("OWN"), Purpose::Result, written());
    let mut parcels: Vec<_> = (0..20).map(|_| result("/ok")).collect();
    parcels.insert(3, result("/gone"));
    parcels.insert(18, result("/busy"));
    let results = callbacks(None).hand_back(&parcels).await;
    assert_eq!(results.len(), 22);
    for (at, result) in results.iter().enumerate() {
        let found = result.as_ref().copied().map_err(|it| it.recovery);
        let expected = match at {
            3 => Err(Recovery::GiveUp),
            18 => Err(Recovery::Retry),
            _ => Ok(()),
        };
        assert_eq!(found, expected, "parcel {at}");
    }
}

#[tokio::test]
async fn nothing_is_posted_unsigned_or_unfinished() {
    let server = MockServer::start().await;
    let waiting = JobState::Leased { attempt: 1 };
    for (secret, state, code) in [
        (None, written(), FaultCode::Undeliverable),
        (Some("NONE"), written(), FaultCode::Undeliverable),
        (Some("BAD"), written(), FaultCode::Undeliverable),
        (Some("OWN"), waiting, FaultCode::Internal),
    ] {
        let parcel = parcel(&server.uri(), secret, Purpose::Result, state);
        let results = callbacks(None).hand_back(std::slice::from_ref(&parcel)).await;
        let fault = results.into_iter().next().unwrap().unwrap_err();
        assert_eq!((fault.code, fault.recovery), (code, Recovery::GiveUp), "{secret:?}");
        assert!(!fault.message.contains("???") && !fault.message.contains(&server.uri()));
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}
