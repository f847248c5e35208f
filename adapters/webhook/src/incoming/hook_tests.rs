use jiff::Timestamp;
use vestibule_core::{
    fault::FaultCode,
    interpret::{Codec, Spelling},
    mapping::plan::{Durability, FieldPlan, FieldRules, Handling, Source},
};

use super::*;

fn field(name: &str, from: Origin) -> FieldPlan {
    FieldPlan {
        name: name.into(),
        from,
        codec: Codec::compile(&Spelling::default()).unwrap(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    }
}

/// A mapping that reads these headers and properties.
fn mapping(headers: &[&str], properties: &[&str]) -> Arc<Mapping> {
    let of =
        |kind, name: &&str| field("f", Origin::Addresses(vec![Address::Attribute(kind, (*name).into())]));
    let mut fields: Vec<_> = headers.iter().map(|it| of(AttributeKind::Header, it)).collect();
    fields.extend(properties.iter().map(|it| of(AttributeKind::Property, it)));
    Arc::new(Mapping {
        name: "m".into(),
        version: 1,
        owner: None,
        path: "m.map.yaml".into(),
        receive: Vec::new(),
        source: Source {
            kind: "json".into(),
            contract: None,
            contract_path: None,
            encoding: None,
            timezone: jiff::tz::TimeZone::UTC,
            each: None,
            only: None,
            trailer: None,
        },
        record: Arc::new(Shape { fields }),
        checks: Vec::new(),
        ask: None,
        back: None,
        key: Vec::new(),
        durability: Durability::Full,
        deadline: Duration::from_secs(1),
        handling: Handling::default(),
        lookups: Vec::new(),
    })
}

fn secrets(name: &str) -> Option<String> {
    match name {
        "OLD" => Some("b2xk".into()),
        "NEW" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
        "PLAIN" => Some("It's a Secret to Everybody".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn open(settings: &[(&str, &str)], mapping: &Arc<Mapping>) -> Result<Arc<dyn Hook>, Vec<String>> {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let channel = Channel { kind: "webhook".into(), settings, span: 0..0 };
    let mut diagnostics = Diagnostics::default();
    let hook = Webhook.open(mapping, &channel, &secrets, &mut diagnostics);
    let said: Vec<_> = diagnostics.all.iter().map(|it| format!("{} {}", it.code, it.title)).collect();
    assert_eq!(hook.is_some(), said.is_empty(), "{said:?}");
    hook.ok_or(said)
}

fn request(headers: &[(&str, &str)], body: &'static str) -> (Vec<(String, Bytes)>, Bytes) {
    let header =
        |(name, value): &(&str, &str)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    (headers.iter().map(header).collect(), Bytes::from_static(body.as_bytes()))
}

#[test]
fn a_signed_post_becomes_a_document_with_its_name_and_what_the_mapping_reads() {
    let mapping = mapping(&["X-Tenant", "x-absent"], &[]);
    let settings = [("path", "/hooks/claims"), ("secret", "OLD"), ("secret", "NEW")];
    let hook = open(&settings, &mapping).unwrap();
    assert_eq!(hook.path(), "/hooks/claims");
    let (headers, body) = request(
        &[
            ("content-type", "application/json"),
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ("x-tenant", "acme"),
            ("x-tenant", "second"),
            ("x-other", "not read"),
        ],
        "{\"test\": 2432232314}",
    );
    let received = Timestamp::from_second(1_614_265_400).unwrap();
    let document = hook.accept(&HookRequest { headers: &headers, body: body.clone(), received }).unwrap();
    assert_eq!((&document.bytes, &*document.media_type), (&body, "application/json"));
    assert_eq!(document.key.as_ref().map(|it| it.as_str()), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
    let attributes: Vec<_> =
        document.attributes.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
    assert_eq!((attributes, document.received), (vec!["x-tenant=acme".to_owned()], received));
    let late = Timestamp::from_second(1_614_266_000).unwrap();
    let fault = hook.accept(&HookRequest { headers: &headers, body, received: late }).unwrap_err();
    assert_eq!((fault.code, &*fault.message), (FaultCode::Unauthorized, "the signature is missing or wrong"));
}

#[test]
fn a_body_is_not_read_before_its_sender_is_proven() {
    let mapping = mapping(&[], &[]);
    let hook = open(&[("path", "/hooks/h"), ("secret", "PLAIN"), ("style", "github")], &mapping).unwrap();
    let (headers, body) = request(&[("content-type", "multipart/form-data")], "no parts");
    let fault =
        hook.accept(&HookRequest { headers: &headers, body, received: Timestamp::now() }).unwrap_err();
    assert_eq!(fault.code, FaultCode::Unauthorized);
}

#[test]
fn settings_that_can_not_work_are_reported() {
    let plain = mapping(&[], &[]);
    let good = [("path", "/hooks/a/b-1"), ("secret", "NEW")];
    let hmac = [("path", "/hooks/a"), ("secret", "PLAIN"), ("style", "hmac"), ("header", "X-Sign")];
    let with =
        |base: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]| [base, more].concat();
    assert!(open(&good, &plain).is_ok());
    assert!(
        open(&with(&good, &[("tolerance", "1d"), ("part", "doc"), ("field", "payload")]), &plain).is_ok()
    );
    assert!(open(&hmac, &plain).is_ok());
    assert!(
        open(
            &with(
                &hmac,
                &[("timestamp", "x-time"), ("id", "x-id"), ("encoding", "base64"), ("algorithm", "sha1")]
            ),
            &plain
        )
        .is_ok()
    );
    for (settings, expected) in [
        (vec![("secret", "NEW")], "M012 `webhook` needs a `path`"),
        (vec![("path", "/claims"), ("secret", "NEW")], "M013 a webhook's `path`"),
        (vec![("path", "/hooks/"), ("secret", "NEW")], "M013 a webhook's `path`"),
        (vec![("path", "/hooks/../v1"), ("secret", "NEW")], "M013 a webhook's `path`"),
        (vec![("path", "/hooks/a?b"), ("secret", "NEW")], "M013 a webhook's `path`"),
        (vec![("path", "/hooks/a")], "M012 `webhook` needs a `secret`"),
        (vec![("path", "/hooks/a"), ("secret", "NONE")], "M071 the environment has no `NONE`"),
        (vec![("path", "/hooks/a"), ("secret", "PLAIN")], "M071 the secret in `PLAIN` is not Base64"),
        (
            vec![("path", "/hooks/a"), ("secret", "EMPTY"), ("style", "github")],
            "M071 the secret in `EMPTY` is empty",
        ),
        (with(&good, &[("style", "gitlab")]), "M013 `gitlab` is no style"),
        (with(&good, &[("tolerance", "2d")]), "M013 `tolerance` is a time"),
        (with(&good, &[("header", "x")]), "M015 `header` is for `style: hmac` alone"),
        (with(&good, &[("secrets", "x")]), "M011 `webhook` has no setting `secrets`"),
        (with(&good, &[("secret", "NEW"); 9]), "M008 more than 8 secrets"),
        (hmac[..3].to_vec(), "M012 `style: hmac` needs the `header`"),
        (with(&hmac, &[("algorithm", "md5")]), "M013 `algorithm` is one of sha256, sha512, sha1"),
        (with(&hmac, &[("encoding", "hex64")]), "M013 `encoding` is one of hex, base64"),
        (with(&hmac, &[("signed", "{body")]), "M013 `signed` can not be read"),
        (with(&hmac, &[("signed", "{timestamp}.{body}")]), "M015 `timestamp` names the header"),
        (with(&hmac, &[("timestamp", "x-time"), ("signed", "{body}")]), "M015 `timestamp` names the header"),
        (with(&hmac, &[("signed", "{id}.{body}")]), "M012 `signed` has `{id}`"),
        (with(&hmac, &[("id", "x id")]), "M013 `id` is not the name of a header"),
    ] {
        let said = open(&settings, &plain).map(drop).unwrap_err();
        assert!(said.len() == 1 && said[0].starts_with(expected), "{settings:?}: {said:?}");
        assert!(!said[0].contains("Everybody"), "{said:?}");
    }
}

#[test]
fn no_mapping_reads_a_secret_from_a_header() {
    let hmac = [("path", "/hooks/a"), ("secret", "PLAIN"), ("style", "hmac"), ("header", "X-Sign")];
    for name in ["Authorization", "cookie", "X-SIGN"] {
        let said = open(&hmac, &mapping(&[name], &[])).map(drop).unwrap_err();
        assert!(said[0].starts_with("M015 `header"), "{said:?}");
    }
    let standard = [("path", "/hooks/a"), ("secret", "NEW")];
    assert!(open(&standard, &mapping(&["Webhook-Signature"], &[])).is_err());
    assert!(open(&standard, &mapping(&["webhook-id", "x-sign"], &["tenant"])).is_ok());
}

proptest::proptest! {
    /// Any change of a body and its type is a document or a reason, never more.
    #[test]
    fn hostile_bodies_break_nothing(
        kind in "multipart/form-data; ?boundary=\"?b\"?|application/x-www-form-urlencoded(; charset=.{0,12})?|.{0,40}",
        pieces in proptest::collection::vec(
            "--b|\r\n|Content-Disposition: form-data; name=a|; filename=\"f|\"|Content-Type: text/xml|\r\n\r\n|a=|&|%|%4|%41|\\PC{0,6}", 0..30,
        ),
    ) {
        let body = Bytes::from(pieces.concat());
        probe(&kind, &body);
        if let Err(fault) = Place::default().find(Some(&kind), &body) {
            proptest::prop_assert!(!Fault::from(fault).message.is_empty());
        }
    }
}

/// `cargo test -p vestibule-webhook -- --ignored speed --nocapture`
#[test]
#[ignore = "prints figures"]
fn speed() {
    const LARGE: usize = 10 << 20;
    let part = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    for (kind, piece) in [
        ("multipart/form-data; boundary=b", "\r\n--"),
        ("multipart/form-data; boundary=b", "\r\n--a"),
        ("multipart/form-data; boundary=b", part),
        ("multipart/form-data; boundary=b", "--b\r\nX: "),
        ("application/x-www-form-urlencoded", "&"),
        ("application/x-www-form-urlencoded", "%41"),
        ("application/x-www-form-urlencoded", "a=b&"),
        ("application/json", "["),
        ("text/xml", " "),
    ] {
        let body = Bytes::from(piece.repeat(LARGE / piece.len()));
        let start = std::time::Instant::now();
        probe(kind, &body);
        println!("{:?} {kind} {piece:?}", start.elapsed());
    }
}
