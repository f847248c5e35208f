use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::*;

fn post<'p>(url: &'p str, id: &'p str, secret: Option<&'p Secret>) -> Post<'p> {
    let headers = vec![("vestibule-flow", "claims \u{e9}\r\nx: y".to_owned())];
    Post { url, id, content_type: "text/xml", body: Bytes::from_static(b"<r/>"), headers, secret }
}

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_post_carries_its_name_its_time_and_a_signature_that_a_receiver_can_check() {
    let server = server(ResponseTemplate::new(202).set_body_string("thanks")).await;
    let secret = Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let (poster, url) = (Poster::new(), format!("{}/in", server.uri()));
    for id in ["msg_1", "ID:host.example-1", "a\r\nb"] {
        poster.post(post(&url, id, Some(&secret))).await.unwrap();
        poster.post(post(&url, id, Some(&secret))).await.unwrap();
    }
    let sent = server.received_requests().await.unwrap();
    let header = |at: usize, name: &str| sent[at].headers.get(name).unwrap().to_str().unwrap().to_owned();
    for (at, it) in sent.iter().enumerate() {
        assert_eq!((it.method.as_str(), it.url.path(), &it.body[..]), ("POST", "/in", &b"<r/>"[..]));
        let (id, time) = (header(at, "webhook-id"), header(at, "webhook-timestamp"));
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", b"<r/>"];
        let signature = header(at, "webhook-signature");
        let given = crate::signature::from_base64(signature.strip_prefix("v1,").unwrap()).unwrap();
        assert!(crate::signature::Algorithm::Sha256.verifies(
            std::slice::from_ref(&secret),
            &parts,
            &[given]
        ));
        assert!(!id.contains('.'), "{id}");
        assert_eq!(header(at, "content-type"), "text/xml");
        assert_eq!(header(at, "vestibule-flow"), "claims ???x: y");
    }
    assert_eq!((header(0, "webhook-id"), header(0, "idempotency-key")), ("msg_1".into(), "msg_1".into()));
    assert_eq!(header(2, "idempotency-key"), "ID:host.example-1");
    // The same post has the same name, whatever it is.
    for at in [0, 2, 4] {
        assert_eq!(header(at, "webhook-id"), header(at + 1, "webhook-id"));
        assert_eq!(header(at, "idempotency-key"), header(at + 1, "idempotency-key"));
    }
}

#[tokio::test]
async fn what_a_receiver_says_decides_whether_it_is_asked_again() {
    let after = |seconds| Recovery::RetryAfter(Duration::from_secs(seconds));
    for (status, wait, expected) in [
        (408, None, Recovery::Retry),
        (425, None, Recovery::Retry),
        (429, Some("7"), after(7)),
        (429, Some("999999"), after(3600)),
        (429, Some("99999999999999999999999"), after(3600)),
        (429, Some("soon"), Recovery::Retry),
        (500, None, Recovery::Retry),
        (503, Some("Fri, 20 Nov 2020 12:00:00 GMT"), after(0)),
        (400, None, Recovery::GiveUp),
        (401, Some("7"), Recovery::GiveUp),
        (404, None, Recovery::GiveUp),
        (410, None, Recovery::GiveUp),
        (302, None, Recovery::GiveUp),
    ] {
        let mut answer = ResponseTemplate::new(status).insert_header("location", "http://127.0.0.1:9/");
        if let Some(wait) = wait {
            answer = answer.insert_header("retry-after", wait);
        }
        let server = server(answer).await;
        let error = Poster::new().post(post(&server.uri(), "1", None)).await.unwrap_err();
        assert_eq!(error.recovery(), expected, "{status} {wait:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "no redirect is followed");
        let fault = Fault::from(error);
        assert_eq!(
            (fault.code, fault.message),
            (FaultCode::Undeliverable, format!("the receiver said {status}"))
        );
    }
}

#[tokio::test]
async fn what_can_not_be_reached_or_is_silent_is_tried_again_and_never_named() {
    let late = server(ResponseTemplate::new(200).set_delay(Duration::from_secs(5))).await;
    let poster = Poster::with_deadline(Duration::from_millis(200));
    // Nobody listens at port 9.
    for (url, expected) in [(late.uri(), "in time"), ("http://127.0.0.1:9/secret-path".into(), "connection")]
    {
        let error = poster.post(post(&url, "1", None)).await.unwrap_err();
        assert_eq!(error.recovery(), Recovery::Retry);
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected) && !text.contains("secret-path"), "{text}");
    }
    for url in ["ftp://127.0.0.1/", "http://user:word@127.0.0.1/", "", "127.0.0.1:9"] {
        let error = poster.post(post(url, "1", None)).await.unwrap_err();
        assert_eq!((error.recovery(), error.to_string().contains("127")), (Recovery::GiveUp, false), "{url}");
    }
}

#[tokio::test]
async fn an_answer_without_end_costs_its_connection_alone() {
    let server = server(ResponseTemplate::new(200).set_body_bytes(vec![0; 8 << 20])).await;
    let poster = Poster::new();
    for _ in 0..2 {
        poster.post(post(&server.uri(), "1", None)).await.unwrap();
    }
}
