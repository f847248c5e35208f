use bytes::Bytes;

use super::*;

const NOW: i64 = 1_614_265_330;
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// A request at `NOW`, later by so many seconds.
fn prove(
    style: &Style,
    secrets: &[Secret],
    headers: &[(&str, &str)],
    body: &str,
    later: i64,
) -> Result<String, FaultCode> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    let received = Timestamp::from_second(NOW + later).unwrap();
    let request = HookRequest { headers: &headers, body: Bytes::copy_from_slice(body.as_bytes()), received };
    let proven = style.prove(&request, secrets, FIVE_MINUTES);
    if let Err(fault) = &proven
        && fault.code == FaultCode::Unauthorized
    {
        assert_eq!(fault.message, "the signature is missing or wrong", "it says nothing about why");
    }
    proven.map(|it| it.as_str().to_owned()).map_err(|it| it.code)
}

const NO: Result<String, FaultCode> = Err(FaultCode::Unauthorized);

fn yes(key: &str) -> Result<String, FaultCode> {
    Ok(key.to_owned())
}

/// The vector that the libraries of Standard Webhooks and Svix are tested with.
#[test]
fn standard_webhooks_are_proven_by_their_published_vector() {
    let secret = || Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let other = || Secret::standard("whsec_b3RoZXI=").unwrap();
    let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(crate::signature::standard(&secret(), id, "1614265330", body.as_bytes()), good);
    let several = format!("v1,AAAA v1a,xxx {good}");
    let later = "1614265331";
    let at = "1614265330";
    for (prefix, secrets, id, time, signature, body, passed, expected) in [
        ("webhook", vec![secret()], id, at, good, body, 0, yes(id)),
        ("svix", vec![secret()], id, at, good, body, 0, yes(id)),
        ("webhook", vec![other(), secret()], id, at, &several, body, 0, yes(id)),
        ("webhook", vec![secret()], id, at, good, body, 300, yes(id)),
        ("webhook", vec![secret()], id, at, good, body, -300, yes(id)),
        ("webhook", vec![secret()], id, at, good, body, 301, NO),
        ("webhook", vec![secret()], id, at, good, body, -301, NO),
        ("webhook", vec![other()], id, at, good, body, 0, NO),
        ("webhook", vec![], id, at, good, body, 0, NO),
        ("webhook", vec![secret()], id, at, good, "{\"test\": 2432232315}", 0, NO),
        ("webhook", vec![secret()], "msg_other", at, good, body, 0, NO),
        ("webhook", vec![secret()], id, later, good, body, 0, NO),
        ("webhook", vec![secret()], id, at, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", body, 0, NO),
        ("webhook", vec![secret()], id, at, "", body, 0, NO),
        ("webhook", vec![secret()], "", at, good, body, 0, NO),
        ("webhook", vec![secret()], id, "now", good, body, 0, NO),
        ("webhook", vec![secret()], id, "-1", good, body, 0, NO),
        ("webhook", vec![secret()], id, "99999999999999999999", good, body, 0, NO),
    ] {
        let names = ["id", "timestamp", "signature"].map(|it| format!("{prefix}-{it}"));
        let headers = [(&*names[0], id), (&*names[1], time), (&*names[2], signature)];
        let found = prove(&Style::Standard, &secrets, &headers, body, passed);
        assert_eq!(found, expected, "{prefix} {id} {time} {signature} {passed}");
    }
    assert_eq!(prove(&Style::Standard, &[secret()], &[], body, 0), NO);
    // Identifier and time stamp are joined by a dot: moved, it would be the same text.
    let moved = crate::signature::standard(&secret(), "a.1", at, b"x");
    let headers = [("webhook-id", "a.1"), ("webhook-timestamp", at), ("webhook-signature", &*moved)];
    assert_eq!(prove(&Style::Standard, &[secret()], &headers, "x", 0), NO);
}

/// The example of GitHub's documentation.
#[test]
fn github_is_proven_by_its_published_example() {
    let secret = || vec![Secret::plain("It's a Secret to Everybody").unwrap()];
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let upper = good.to_uppercase().replace("SHA256", "sha256");
    for (signature, delivery, body, expected) in [
        (good, "guid-1", "Hello, World!", yes("guid-1")),
        (&*upper, "guid-1", "Hello, World!", yes("guid-1")),
        (good, "guid-1", "Hello, World?", NO),
        (&good[7..], "guid-1", "Hello, World!", NO),
        (&good[..60], "guid-1", "Hello, World!", NO),
        ("sha256=", "guid-1", "Hello, World!", NO),
        // Who sent it is proven, but it has no name that a repeated one would be known by.
        (good, "", "Hello, World!", Err(FaultCode::NotUnderstood)),
    ] {
        let headers = [("x-hub-signature-256", signature), ("x-github-delivery", delivery)];
        assert_eq!(
            prove(&Style::GitHub, &secret(), &headers, body, 0),
            expected,
            "{signature} {delivery} {body}"
        );
    }
    let old = [("x-hub-signature", good), ("x-github-delivery", "guid-1")];
    assert_eq!(prove(&Style::GitHub, &secret(), &old, "Hello, World!", 0), NO);
}

/// Signed with Python's `hmac`, as Stripe's documentation describes it.
#[test]
fn stripe_is_proven_by_time_stamp_and_body() {
    let secret = || vec![Secret::plain("whsec_test_secret").unwrap()];
    let body = "{\"id\":\"evt_1\",\"object\":\"event\"}";
    let v1 = STRIPE;
    let good = format!("t=1614265330,v1={v1}");
    let rolled = format!("t=1614265330,v1={},v1={v1},v0={v1}", "0".repeat(64));
    let old = format!("t=1614265330,v0={v1}");
    let moved = format!("t=1614265331,v1={v1}");
    for (header, body, passed, expected) in [
        (&good, body, 0, yes("evt_1")),
        (&rolled, body, 0, yes("evt_1")),
        (&good, body, 301, NO),
        (&good, body, -301, NO),
        (&old, body, 0, NO),
        (&moved, body, 0, NO),
        (&good, "{\"id\":\"evt_2\",\"object\":\"event\"}", 0, NO),
        (&String::new(), body, 0, NO),
        (&format!("{good},t=1614265330"), body, 0, NO),
    ] {
        let found = prove(&Style::Stripe, &secret(), &[("stripe-signature", header)], body, passed);
        assert_eq!(found, expected, "{header} {body} {passed}");
    }
    // Proven, but no event.
    for body in ["[]", "{}", "{\"id\":\"\"}", "{\"id\":1}", "x"] {
        let signed = Algorithm::Sha256.sign(&secret()[0], &[b"1614265330.", body.as_bytes()]);
        let hex: String = signed.iter().map(|it| format!("{it:02x}")).collect();
        let header = format!("t=1614265330,v1={hex}");
        let found = prove(&Style::Stripe, &secret(), &[("stripe-signature", &header)], body, 0);
        assert_eq!(found, Err(FaultCode::NotUnderstood), "{body}");
    }
}

const STRIPE: &str = "42b3d2b2181207b6b299df380bf37599bb895dc182467ba12e046b1916c4cd19";

fn custom(signed: &str, timestamp: Option<&str>, id: Option<&str>, encoding: Encoding) -> Style {
    Style::Hmac(Box::new(Custom {
        algorithm: Algorithm::Sha512,
        header: "x-sign".into(),
        prefix: "hmac ".into(),
        encoding,
        timestamp: timestamp.map(str::to_owned),
        id: id.map(str::to_owned),
        signed: Template::read(signed).unwrap(),
    }))
}

#[test]
fn what_the_mapping_describes_is_proven_as_it_says() {
    use base64::Engine as _;
    let secret = || vec![Secret::plain("hush").unwrap()];
    let sign = |text: &str| Algorithm::Sha512.sign(&secret()[0], &[text.as_bytes()]);
    let hex =
        |text: &str| format!("hmac {}", sign(text).iter().map(|it| format!("{it:02x}")).collect::<String>());
    let base64 =
        |text: &str| format!("hmac {}", base64::engine::general_purpose::STANDARD.encode(sign(text)));
    let bare = custom("{body}", None, None, Encoding::Hex);
    let coded = custom("{body}", None, None, Encoding::Base64);
    let full = custom("v0:{timestamp}:{id}:{body}", Some("x-time"), Some("x-id"), Encoding::Hex);
    let key = |text: &str| yes(&Hash::of(text.as_bytes()).to_string());
    let at = |time: &'static str| vec![("x-time", time), ("x-id", "d1")];
    for (style, signature, others, expected) in [
        (&bare, hex("body"), vec![], key("body")),
        (&coded, base64("body"), vec![], key("body")),
        (&coded, hex("body"), vec![], NO),
        (&bare, base64("body"), vec![], NO),
        (&bare, hex("other"), vec![], NO),
        (&bare, hex("body").replace("hmac ", ""), vec![], NO),
        (&full, hex("v0:1614265330:d1:body"), at("1614265330"), yes("d1")),
        (&full, hex("v0:1614265330000:d1:body"), at("1614265330000"), yes("d1")),
        (&full, hex("v0:2021-02-25T15:02:10Z:d1:body"), at("2021-02-25T15:02:10Z"), yes("d1")),
        (&full, hex("v0:2021-02-25T15:12:10Z:d1:body"), at("2021-02-25T15:12:10Z"), NO),
        (&full, hex("v0:1614265330:d2:body"), at("1614265330"), NO),
        (&full, hex("v0:1614265330:d1:body"), vec![("x-time", "1614265330")], NO),
        (&full, hex("v0:1614265330:d1:body"), vec![("x-id", "d1")], NO),
        (&full, hex("v0:soon:d1:body"), at("soon"), NO),
    ] {
        let mut headers = others.clone();
        headers.push(("x-sign", &signature));
        assert_eq!(prove(style, &secret(), &headers, "body", 0), expected, "{style:?} {headers:?}");
    }
}

#[test]
fn a_template_says_where_everything_stands() {
    for (text, expected) in [
        ("{body}", Ok(())),
        ("{timestamp}.{body}", Ok(())),
        ("v0:{timestamp}:{id}:{body}!", Ok(())),
        ("", Err("it needs `{body}`, once")),
        ("{timestamp}", Err("it needs `{body}`, once")),
        ("{body}.{body}", Err("it needs `{body}`, once")),
        ("{timestamp}{body}", Err("something must stand between two of them, such as `.`")),
        ("{body", Err("a `{` without its `}`")),
        ("{Body}", Err("there are `{id}`, `{timestamp}` and `{body}`")),
    ] {
        assert_eq!(Template::read(text).map(drop), expected, "input: {text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_header_is_believed_or_breaks_anything(
        id in ".{0,40}", time in "[0-9]{0,20}|.{0,20}", signature in "(v1,|t=1614265330,v1=|sha256=|hmac )?.{0,80}", body in ".{0,40}",
    ) {
        let secrets = [Secret::plain("hush").unwrap()];
        let headers = [
            ("webhook-id", &*id), ("webhook-timestamp", &time), ("webhook-signature", &signature),
            ("x-hub-signature-256", &signature), ("x-github-delivery", &id), ("stripe-signature", &signature),
            ("x-sign", &signature), ("x-time", &time), ("x-id", &id),
        ];
        let full = custom("{timestamp}.{id}.{body}", Some("x-time"), Some("x-id"), Encoding::Base64);
        for style in [&Style::Standard, &Style::GitHub, &Style::Stripe, &full] {
            proptest::prop_assert_eq!(prove(style, &secrets, &headers, &body, 0), NO);
        }
    }
}
