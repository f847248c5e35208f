//! Channels and jobs: what the keys become, and mistakes in them, one at a time.

use std::time::Duration;

use super::fixture::{check, compile_bare, problems, render};
use crate::{
    document::AttributeKind,
    mapping::{
        codes,
        plan::{self, Lapse, Tickets},
    },
    rule::Root,
};

/// All keys of queues, webhooks and jobs.
const QUEUE: &str = r"mapping: claims-queue
receive:
  - amqp:
      connection: broker
      queue: claims.in
      prefetch: 50
      declare: yes
      queue_type: quorum
      redeliveries: 5
      retry: [5s, 1m]
      dead_letter: claims.dead
      dead_letter_exchange: dead
      exchange: claims
      routing_key: claims.new
      content_type: text/xml; charset=iso-8859-1
  - webhook:
      path: /hooks/claims
      secret: [CLAIMS_HOOK, CLAIMS_HOOK_OLD]
      style: hmac
      header: x-signature
      prefix: 'sha512='
      encoding: base64
      algorithm: sha512
      timestamp: x-time
      signed: '{id}.{timestamp}.{body}'
      id: x-delivery
      tolerance: 10m
      part: claim
      field: payload
source: { kind: xml, contract: ClaimService.wsdl }
key: claim_no
record:
  claim_no: { from: Claim/ClaimNo, required: yes }
  policy: { from: Claim/@policy, required: review }
  tenant: header X-Tenant
  number: { from: [property correlation_id, header x-tenant] }
  doubled: { compute: claim_no, required: yes }
  lines: { each: Claim/Lines/Line, record: { kind: Type, hop: header x-hop } }
ask: { route: triage, answer: { word: { length: ..4, required: yes } } }
return: { into: SubmitClaimResponse, write: { Result/ClaimNo: claim_no } }
pending:
  into: SubmitClaimResponse
  write:
    Result/ClaimNo: ticket
    Result/ReasonTxt: { value: in work }
    Result/StatusCd: { compute: flow.version + 1 }
deliver: { amqp: { connection: broker, queue: claims.out, declare: true, queue_type: classic } }
async: late
order: [policy]
concurrency: 16
patience: 1h
review: { within: 48h, lapse: reject }
";

#[test]
fn every_key_of_channels_and_jobs_becomes_a_plan() {
    let compiled = check(QUEUE);
    assert_eq!(render(QUEUE, &compiled), "");
    let plan = compiled.mapping.unwrap();
    let [queue, hook] = plan.receive.as_slice() else { panic!("two channels") };
    assert_eq!(
        (&*queue.kind, queue.get("queue"), queue.get("declare")),
        ("amqp", Some("claims.in"), Some("yes"))
    );
    assert_eq!(queue.all("retry").collect::<Vec<_>>(), ["5s", "1m"]);
    assert_eq!((&*hook.kind, hook.get("part")), ("webhook", Some("claim")));
    assert_eq!(hook.all("secret").collect::<Vec<_>>(), ["CLAIMS_HOOK", "CLAIMS_HOOK_OLD"]);
    assert_eq!(
        plan.attributes(),
        [
            (AttributeKind::Header, "X-Tenant"),
            (AttributeKind::Property, "correlation_id"),
            (AttributeKind::Header, "x-hop"),
        ]
    );

    let handling = &plan.handling;
    let deliver = handling.deliver.as_ref().unwrap();
    assert_eq!((deliver.get("queue"), deliver.get("declare")), (Some("claims.out"), Some("yes")));
    assert_eq!(handling.tickets, Tickets::Late);
    assert_eq!(
        handling.order.iter().map(|it| (it.root, it.path.to_vec())).collect::<Vec<_>>(),
        [(Root::Here, vec![1])]
    );
    assert_eq!(
        (handling.concurrency.map(Into::into), handling.patience),
        (Some(16), Duration::from_secs(3600))
    );
    let review = handling.review.as_ref().unwrap();
    assert_eq!((review.within, review.lapse), (Some(Duration::from_secs(48 * 3600)), Lapse::Reject));
    let pending = handling.pending.as_ref().unwrap();
    assert_eq!((pending.into.as_str(), pending.write.len()), ("SubmitClaimResponse", 3));
}

#[test]
fn what_is_left_out_has_a_default() {
    let base = "mapping: a\nsource: { kind: json }\nrecord: { b: b }\n";
    let handling = |more: &str| {
        let text = format!("{base}{more}");
        let compiled = check(&text);
        assert_eq!(render(&text, &compiled), "");
        compiled.mapping.unwrap().handling
    };
    for (more, tickets) in [
        ("", Tickets::Asked),
        ("async: yes\n", Tickets::Always),
        ("async: no\n", Tickets::Never),
        ("durability: none\n", Tickets::Never),
        ("durability: none\nasync: no\n", Tickets::Never),
        ("deliver: reply\n", Tickets::Asked),
    ] {
        let found = handling(more);
        assert_eq!((found.tickets, found.deliver.is_none()), (tickets, true), "keys: {more:?}");
        assert_eq!((found.patience.as_secs(), found.order.len()), (86_400, 0), "keys: {more:?}");
    }
    let review = handling("review: {}\n").review;
    assert_eq!(review, Some(plan::ReviewPlan { within: None, lapse: Lapse::Fallback }));
    let queue = "receive: { amqp: { connection: b, queue: q } }\ndurability: none\n\
                 deliver: { webhook: { url: 'http://h.example:81/x?a=b', secret: OUT } }\n";
    assert_eq!(handling(queue).deliver.unwrap().get("secret"), Some("OUT"));
}

/// What is replaced in the sample, by what, and all that is said about it.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("path: /hooks/claims", "path: claims", &["M044 `claims` is not a path of a webhook"]),
    ("path: /hooks/claims", "path: /hooks/../jobs", &["M044 "]),
    ("path: /hooks/claims", "path: /hooks/a b", &["M044 "]),
    ("path: /hooks/claims", "path: /hooks/", &["M044 "]),
    ("      path: /hooks/claims\n", "", &["M012 `webhook` needs `path`"]),
    (
        "[CLAIMS_HOOK, CLAIMS_HOOK_OLD]",
        "whsec_c2VjcmV0",
        &["M045 this is not the name of an environment variable"],
    ),
    ("[CLAIMS_HOOK, CLAIMS_HOOK_OLD]", "[A, A]", &["M005 `A` is listed twice"]),
    ("style: hmac", "style: hmack", &["M013 `hmack` is not a valid `style`"]),
    ("      header: x-signature\n", "", &["M012 `style: hmac` needs `header`"]),
    ("header: x-signature", "header: 'x signature'", &["M048 `header` can not be `x signature`"]),
    ("encoding: base64", "encoding: base32", &["M013 `base32` is not a valid `encoding`"]),
    ("algorithm: sha512", "algorithm: md5", &["M013 `md5` is not a valid `algorithm`"]),
    ("{timestamp}.{body}'", "{timestamp}'", &["M048 what is signed has the body in it, once"]),
    ("{timestamp}.{body}'", "{timestmp}.{body}'", &["M048 `{timestmp}` is not a part of what is signed"]),
    ("{timestamp}.{body}'", "{timestamp}.{body'", &["M048 this `{` is not closed"]),
    ("{id}.{timestamp}.{body}", "{body}", &["M048 the timestamp is not signed"]),
    (
        "      timestamp: x-time\n",
        "",
        &[
            "M012 `signed` uses `{timestamp}`, and no `timestamp` names its header",
            "M046 `tolerance` has no effect without `timestamp`",
        ],
    ),
    ("tolerance: 10m", "tolerance: 2d", &["M033 `tolerance` can not be `2d`"]),
    ("      part: claim\n", "      part: ''\n", &["M014 `part` is empty"]),
    (
        "declare: yes",
        "declare: no",
        &[
            "M046 `queue_type` has no effect without `declare: yes`",
            "M046 `exchange` has no effect without `declare: yes`",
            "M046 `routing_key` has no effect without `declare: yes`",
        ],
    ),
    ("      exchange: claims\n", "", &["M046 `routing_key` has no effect without `exchange`"]),
    ("prefetch: 50", "prefetch: 0", &["M010 `prefetch` can not be `0`"]),
    ("prefetch: 50", "prefetch: 65536", &["M010 `prefetch` can not be `65536`"]),
    ("queue_type: quorum", "queue_type: stream", &["M013 `stream` is not a valid `queue_type`"]),
    ("retry: [5s, 1m]", "retry: [1m, 5s]", &["M049 the delays of `retry` do not grow"]),
    ("retry: [5s, 1m]", "retry: []", &["M049 `retry` names no delay"]),
    ("retry: [5s, 1m]", "retry: 0s", &["M049 `retry` can not wait `0s`"]),
    ("retry: [5s, 1m]", "retry: [5]", &["M033 `retry` can not be `5`"]),
    (
        "dead_letter: claims.dead\n      dead_letter_exchange: dead",
        "dead_letter: claims.in",
        &["M048 dead letters would come back into the queue they come from"],
    ),
    ("queue: claims.in", "queue: amq.claims", &["M048 `amq.claims` can not be declared"]),
    ("text/xml; charset=iso-8859-1", "xml", &["M048 `xml` is not a media type"]),
    ("connection: broker\n", "conection: broker\n", &["M011 `conection` is not a key of `amqp`"]),
    (
        "  - webhook:\n",
        "  - amqp: { connection: broker, queue: claims.in }\n  - webhook:\n",
        &["M005 this channel stands twice"],
    ),
    ("header X-Tenant", "header X Tenant", &["M020 `X Tenant` is not the name of a header"]),
    (
        "property correlation_id",
        "property corelation_id",
        &["M020 `corelation_id` is not a property of a message"],
    ),
    ("order: [policy]", "order: [polcy]", &["M023 there is no field `polcy`"]),
    ("order: [policy]", "order: [policy, policy]", &["M005 `policy` is listed twice"]),
    (
        "order: [policy]",
        "order: tenant",
        &["M043 `tenant` may be absent: then a document without it would overtake"],
    ),
    ("order: [policy]", "order: doubled", &["M043 `doubled` is not read from the document"]),
    ("key: claim_no", "key: doubled", &["M043 `doubled` is not read from the document"]),
    ("order: [policy]", "order: lines", &["M018 `lines` is a list: it can not be part of the order"]),
    ("concurrency: 16", "concurrency: 0", &["M010 `concurrency` can not be `0`"]),
    ("patience: 1h", "patience: 0s", &["M033 `patience` can not be `0s`"]),
    ("patience: 1h", "patience: an hour", &["M033 `patience` can not be `an hour`"]),
    ("within: 48h, lapse", "lapse", &["M046 `lapse` has no effect without `within`"]),
    ("lapse: reject", "lapse: rejekt", &["M013 `rejekt` is not a valid `lapse`"]),
    ("async: late", "async: later", &["M013 `later` is not a valid `async`"]),
    ("async: late", "async: no", &["M015 with `async: no` nobody gets a ticket"]),
    ("ClaimNo: ticket", "ClaimNo: claim_no", &["M050 `claim_no` is not known when a ticket is given"]),
    ("ClaimNo: ticket", "ClaimNo: outcome", &["M050 `outcome` is not known when a ticket is given"]),
    ("ClaimNo: ticket", "ClaimNo: answer.word", &["M050 `answer.word` is not known when a ticket is given"]),
    ("ClaimNo: ticket", "ClaimNo: tickt", &["M023 there is no field `tickt`"]),
    ("flow.version + 1", "length(claim_no)", &["M050 `claim_no` is not known when a ticket is given"]),
    ("flow.version + 1", "length(claim_nr)", &["M041 there is no field `claim_nr`"]),
    ("ClaimNo: ticket", "ClaimNr: ticket", &["M028 `ClaimNr` is not in the contract"]),
    (
        "pending:\n  into: SubmitClaimResponse",
        "pending:\n  into: Else",
        &["M029 the reply's root element is"],
    ),
    ("pending:\n  into: SubmitClaimResponse\n", "pending:\n", &["M012 `pending` needs `into`"]),
    (
        "review: {",
        "durability: none\nreview: {",
        &[
            "M047 `pending` needs durable jobs",
            "M047 `async` needs durable jobs",
            "M047 `order` needs durable jobs",
            "M047 `patience` needs durable jobs",
            "M047 `review` needs durable jobs",
        ],
    ),
    (
        "queue: claims.out, ",
        "",
        &["M012 `amqp` needs `queue`, or", "M046 `queue_type` has no effect without `queue`"],
    ),
    (
        "queue: claims.out, ",
        "queue: claims.out, exchange: x, ",
        &["M015 results go to a queue or to an exchange"],
    ),
    (
        "queue: claims.out, ",
        "queue: claims.out, routing_key: x, ",
        &["M046 `routing_key` has no effect without `exchange`"],
    ),
    ("declare: true, ", "", &["M046 `queue_type` has no effect without `declare: yes`"]),
    (
        "deliver: { amqp: {",
        "deliver: { webhook: { url: 'http://a', secret: B }, amqp: {",
        &["M015 a result goes one way"],
    ),
    ("deliver: { amqp: {", "deliver: { ampq: {", &["M011 `ampq` is not a key of `deliver`"]),
    (
        "deliver: { amqp: { connection: broker, queue: claims.out, declare: true, queue_type: classic } }",
        "deliver: {}",
        &["M012 `deliver` names no channel"],
    ),
    (
        "deliver: { amqp: { connection: broker, queue: claims.out, declare: true, queue_type: classic } }",
        "deliver: caller",
        &["M013 `caller` is not a valid `deliver`"],
    ),
];

#[test]
fn each_mistake_in_a_channel_is_one_message() {
    let mut wrong = Vec::new();
    for (old, new, expected) in MISTAKES {
        assert!(QUEUE.contains(old), "the sample has no {old:?}");
        let compiled = check(&QUEUE.replacen(old, new, 1));
        let got = problems(&compiled);
        let same = got.len() == expected.len()
            && got.iter().zip(*expected).all(|(got, wanted)| got.starts_with(wanted));
        if !same || compiled.mapping.is_some() {
            wrong.push(format!("{old:?} -> {new:?}: {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let seen = |code: &str| MISTAKES.iter().any(|(_, _, all)| all.iter().any(|it| it.starts_with(code)));
    for code in ["M044", "M045", "M046", "M047", "M048", "M049", "M050"] {
        assert!(seen(code) && codes::explain(code).is_some(), "{code}");
    }
}

#[test]
fn a_secret_in_a_mapping_is_not_repeated_in_the_message() {
    let text = QUEUE.replacen("[CLAIMS_HOOK, CLAIMS_HOOK_OLD]", "hunter2-secret", 1);
    let compiled = check(&text);
    let said = format!("{:?}", compiled.diagnostics.all);
    assert!(said.contains("M045") && !said.contains("hunter2"), "{said}");
}

#[test]
fn other_styles_have_no_keys_of_their_own() {
    let hook = |style: &str, more: &str| {
        format!(
            "mapping: a\nsource: {{ kind: json }}\nrecord: {{ b: b }}\n\
             receive: {{ webhook: {{ path: /hooks/a, secret: A, style: {style}{more} }} }}\n"
        )
    };
    let cases: &[(&str, &str, &[&str])] = &[
        ("github", "", &[]),
        ("stripe", ", tolerance: 1m", &[]),
        ("standard", ", header: x-sig", &["M046 `header` has no effect without `style: hmac`"]),
        ("github", ", tolerance: 1m", &["M015 GitHub signs no time: there is nothing to tolerate"]),
    ];
    for (style, more, expected) in cases {
        assert_eq!(problems(&check(&hook(style, more))), *expected, "style: {style}{more}");
    }
}

#[test]
fn a_result_without_a_job_is_delivered_only_for_what_a_queue_keeps() {
    let base = "mapping: a\nsource: { kind: json }\nrecord: { b: b }\ndurability: none\n\
                deliver: { webhook: { url: 'https://h.example/', secret: A } }\n";
    assert_eq!(problems(&check(base)), ["M047 `deliver` needs durable jobs"]);
    let hook = format!("{base}receive: {{ webhook: {{ path: /hooks/a, secret: A }} }}\n");
    assert_eq!(problems(&check(&hook)), ["M047 `deliver` needs durable jobs"]);
    let queue = format!("{base}receive: {{ amqp: {{ connection: b, queue: q }} }}\n");
    assert_eq!(problems(&check(&queue)), [""; 0]);
}

#[test]
fn urls_of_deliveries_hold_no_secret() {
    for (url, label) in [
        ("https://claims.example/results?a=b", None),
        ("http://127.0.0.1:8080/", None),
        ("claims.example", Some("expected https://… or http://…")),
        ("https://u:p@claims.example/", Some("no user and no password here")),
        ("https://", Some("expected the name of a host")),
        ("https:///x", Some("expected the name of a host")),
        ("https://h/#x", Some("nothing after `#` is sent")),
        ("https://h/a b", Some("expected at most 1000 printable ASCII characters")),
    ] {
        let text = format!(
            "mapping: a\nsource: {{ kind: json }}\nrecord: {{ b: b }}\n\
             deliver: {{ webhook: {{ url: '{url}', secret: A }} }}\n"
        );
        let found = check(&text).diagnostics.all.first().map(|it| (it.code, it.label.clone()));
        assert_eq!(found, label.map(|it| ("M048", it.to_owned())), "url: {url}");
    }
}

#[test]
fn a_channel_without_an_adapter_is_not_in_this_build() {
    let text = QUEUE;
    let got = problems(&compile_bare(text));
    assert_eq!(
        got,
        [
            "M016 this binary has no adapter to receive by `amqp`",
            "M016 this binary has no adapter to receive by `webhook`",
            "M016 this binary has no adapter to deliver by `amqp`",
        ]
    );
}
