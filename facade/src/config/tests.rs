use std::sync::Arc;

use vestibule_core::ports::{Connection, ConnectionKind, ConnectionRequest, Model, ModelKind, ModelRequest};

use super::{
    watch::{Kept, Much},
    *,
};

/// A kind of model or connection that has a word and nothing else.
struct Named(&'static str);

impl ModelKind for Named {
    fn kind(&self) -> &'static str {
        self.0
    }

    fn open(&self, _: ModelRequest<'_>, _: &mut Diagnostics) -> Option<Arc<dyn Model>> {
        None
    }
}

impl ConnectionKind for Named {
    fn kind(&self) -> &'static str {
        self.0
    }

    fn open(&self, _: ConnectionRequest<'_>, _: &mut Diagnostics) -> Option<Arc<dyn Connection>> {
        None
    }
}

fn read(text: &str) -> (Config, Diagnostics) {
    let models: Vec<Arc<dyn ModelKind>> = vec![Arc::new(Named("rules")), Arc::new(Named("openai"))];
    let connections: Vec<Arc<dyn ConnectionKind>> = vec![Arc::new(Named("amqp"))];
    let registry = Registry { models, connections, ..Registry::default() };
    let mut diagnostics = Diagnostics::default();
    let config = Config::read(text, &registry, &mut diagnostics);
    (config, diagnostics)
}

#[test]
fn an_empty_file_and_one_of_comments_mean_the_defaults() {
    for text in ["", "\n\n", "# nothing yet\n"] {
        let (config, diagnostics) = read(text);
        assert!(diagnostics.is_empty(), "input: {text:?}");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080", "input: {text:?}");
        assert_eq!(config.store, Some(StorePlace::default()), "input: {text:?}");
    }
}

#[test]
fn every_setting_is_read() {
    let text = "\
listen: 0.0.0.0:9000
public_url: https://claims.acme.example
store: none
models:
  desk: { rules: triage.rules.yaml }
  spare: { rules: spare.rules.yaml }
routes:
  triage: [desk, spare]
  simple: desk
  block: { models: [spare] }
limits: { body: 1MiB, in_flight: 8MiB, read: 5s, header: 500ms, connections: 10, calls: 20, queued: 30000, drain: 1m }
log: json
";
    let (config, diagnostics) = read(text);
    assert_eq!(diagnostics.render("vestibule.yaml", text, false), "");
    assert_eq!(config.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(config.public_url.as_deref(), Some("https://claims.acme.example"));
    assert_eq!(config.store, None);
    assert_eq!(config.log, LogFormat::Json);
    let models: Vec<_> = config.models.iter().map(|it| (it.name.as_str(), it.kind.as_str())).collect();
    assert_eq!(models, [("desk", "rules"), ("spare", "rules")]);
    let routes: Vec<_> = config.routes.iter().map(|it| (it.name.as_str(), it.models.as_slice())).collect();
    assert_eq!(routes, [("triage", &[0, 1][..]), ("simple", &[0]), ("block", &[1])]);
    let expected = Limits {
        body: 1 << 20,
        in_flight: 8 << 20,
        read: Duration::from_secs(5),
        header: Duration::from_millis(500),
        connections: 10,
        calls: 20,
        queued: 30_000,
        drain: Duration::from_secs(60),
    };
    assert_eq!(config.limits, expected);
}

#[test]
fn every_setting_of_durable_work_is_read() {
    let text = "\
store:
  postgres:
    url: postgres://db.acme.example:6543/jobs
    user: desk
    password: DESK_DB
    schema: jobs
    tls: require
    ca: ca.pem
    connections: 8
    lease: 2m
    timeout: 5s
connections:
  broker: { amqp: { url: 'amqp://127.0.0.1' } }
callbacks: { allow: ['https://erp.acme.example/hooks', 'http://127.0.0.1:8099'], secret: CALLBACK_SECRET }
operators: { anna: ANNA_TOKEN, bert: BERT_TOKEN }
retention: { finished: 30d, dead: 90d, flows: { triage: { dead: forever }, other: { finished: 12h } } }
thresholds:
  age: 5m
  depth: 1000
  dead: 10
  undelivered: 100
  shed: yes
  call: https://ops.acme.example/alerts
  secret: OPS_SECRET
  flows: { triage: { age: 1m, shed: no } }
";
    let (config, diagnostics) = read(text);
    assert_eq!(diagnostics.render("vestibule.yaml", text, false), "");
    let Some(StorePlace::Postgres(server)) = config.store else { panic!("{:?}", config.store) };
    let expected = Postgres {
        host: "db.acme.example".into(),
        port: 6543,
        database: "jobs".into(),
        user: Some("desk".into()),
        password: Some("DESK_DB".into()),
        schema: Some("jobs".into()),
        tls: Tls::Require,
        ca: Some("ca.pem".into()),
        connections: Some(8),
        lease: Some(Duration::from_secs(120)),
        timeout: Some(Duration::from_secs(5)),
    };
    assert_eq!(*server, expected);
    let named: Vec<_> = config.connections.iter().map(|it| (it.name.as_str(), it.kind.as_str())).collect();
    assert_eq!(named, [("broker", "amqp")]);
    assert_eq!(config.callbacks.allow.len(), 2);
    assert_eq!(config.callbacks.secret.as_deref(), Some("CALLBACK_SECRET"));
    let operators: Vec<_> = config.operators.iter().map(|it| (it.name.as_str(), it.token.as_str())).collect();
    assert_eq!(operators, [("anna", "ANNA_TOKEN"), ("bert", "BERT_TOKEN")]);
    let days = |number: u64| Some(Duration::from_secs(number * 86_400));
    for (flow, expected) in [
        ("any", Kept { finished: days(30), dead: days(90) }),
        ("triage", Kept { finished: days(30), dead: None }),
        ("other", Kept { finished: Some(Duration::from_secs(43_200)), dead: days(90) }),
    ] {
        assert_eq!(config.retention.of(flow), expected, "flow: {flow}");
    }
    let all = Much {
        age: Some(Duration::from_secs(300)),
        depth: Some(1000),
        dead: Some(10),
        undelivered: Some(100),
        shed: true,
    };
    assert_eq!(config.thresholds.of("any"), all);
    let own = Much { age: Some(Duration::from_secs(60)), shed: false, ..all };
    assert_eq!(config.thresholds.of("triage"), own);
    let call = config.thresholds.call.unwrap();
    assert_eq!((&*call.url, call.secret.as_deref()), ("https://ops.acme.example/alerts", Some("OPS_SECRET")));
}

#[test]
fn every_mistake_about_durable_work_is_reported_at_its_place_in_one_pass() {
    for (text, codes) in [
        ("store: {}", "C013"),
        ("store: { sqlite: a.db, postgres: { url: 'postgres://db/jobs' } }", "C013"),
        ("store: { postgres: {} }", "C013"),
        ("store: { postgres: { url: 'postgres://me:secret@db/jobs' } }", "C013"),
        ("store: { postgres: { url: 'postgres://[::1]/jobs' } }", ""),
        ("store: { postgres: { url: 'postgres://db/jobs' } }", "C013"),
        ("store: { postgres: { url: 'postgres://db/jobs', ca: ca.pem } }", ""),
        ("store: { postgres: { url: 'postgres://db/jobs', tls: require } }", ""),
        ("store: { postgres: { url: 'postgres://localhost/jobs', tls: verify } }", "C013"),
        ("store: { postgres: { url: 'postgres://localhost/jobs', password: 'my secret' } }", "C017"),
        ("store: { postgres: { url: 'postgres://localhost/jobs', lease: 1s, connections: 1 } }", "C013 C013"),
        ("store: { postgres: { url: 'postgres://localhost/jobs', tls: maybe } }", "M013"),
        ("store: { postgres: { ulr: x } }", "C013 M011"),
        ("connections: { broker: {} }", "C014"),
        ("connections: { broker: { amqq: {} } }", "C014"),
        ("connections: { broker: { amqp: {}, soap: {} } }", "C014"),
        ("callbacks: { allow: [erp.acme.example, 'https://me@erp.acme.example'] }", "C016 C016"),
        ("callbacks: { allow: 'https://erp.acme.example' }", "C017"),
        ("callbacks: { secret: CALLBACK_SECRET }", ""),
        ("callbacks: { secret: 'whsec/MfKQ9r8G=' }", "C017"),
        ("operators: { anna: 's3cret!' }", "C017"),
        ("retention: { finished: soon, dead: 30 }", "C001 C001"),
        ("retention: { dead: forever }", "C001"),
        ("retention: { flows: { a: { dead: never } } }", "C001"),
        ("thresholds: { age: long, call: ops }", "C001 C001"),
        ("thresholds: { secret: OPS }", "C001"),
        ("thresholds: { flows: { a: { age: 1x } } }", "C001"),
        ("thresholds: { depth: many }", "M010"),
    ] {
        let (_, diagnostics) = read(text);
        let mut found: Vec<_> = diagnostics.all.iter().map(|it| it.code).collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), codes, "input: {text}");
    }
    let text = "\
store: { postgres: { url: 'postgres://db/jobs?x', connections: 900 } }
connections:
  broker: { amqq: {} }
  none: {}
callbacks: { allow: erp.acme.example/hooks }
operators: { anna: 's3cret!' }
retention: { finished: 11y, flows: { triage: { dead: soon } } }
thresholds: { age: old, shed: perhaps }
";
    let (_, diagnostics) = read(text);
    insta::assert_snapshot!(diagnostics.render("vestibule.yaml", text, false));
}

#[test]
fn every_mistake_is_reported_at_its_place_in_one_pass() {
    let text = "\
lisen: 127.0.0.1:8080
listen: somewhere
public_url: claims.acme.example
store: { sqlit: data/jobs.db }
models:
  desk: { ruls: triage.rules.yaml }
  two: { rules: a.rules.yaml, openai: { model: m } }
  none: {}
routes:
  triage: [dsk]
  twice: [desk, desk]
  empty: []
limits: { body: 10 apples, in_flight: 0, read: 30, connections: 0, bodi: 1 }
log: jason
";
    let (_, diagnostics) = read(text);
    insta::assert_snapshot!(diagnostics.render("vestibule.yaml", text, false));
}

#[test]
fn an_address_needs_a_port() {
    for (text, expected) in [
        ("127.0.0.1:0", Some("127.0.0.1:0")),
        ("localhost:80", Some("127.0.0.1:80")),
        ("[::1]:8080", Some("[::1]:8080")),
        ("127.0.0.1", None),
        (":8080", None),
        ("claims.acme.example:80", None),
        ("127.0.0.1:70000", None),
    ] {
        assert_eq!(address(text).map(|it| it.to_string()).as_deref(), expected, "input: {text:?}");
    }
}

#[test]
fn a_public_url_can_not_break_out_of_a_contract() {
    for (text, expected) in [
        ("https://claims.acme.example", true),
        ("http://10.0.0.1:8080/desk", true),
        ("claims.acme.example", false),
        ("ftp://claims.acme.example", false),
        ("https://", false),
        ("https:///x", false),
        ("https://a\"/><evil/>", false),
        ("https://a b", false),
    ] {
        assert_eq!(is_url(text), expected, "input: {text:?}");
    }
}

#[test]
fn the_schema_for_editors_names_every_setting() {
    let schema = json_schema();
    let mut names: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "callbacks",
        "connections",
        "limits",
        "listen",
        "log",
        "models",
        "operators",
        "public_url",
        "retention",
        "routes",
        "store",
        "thresholds",
    ];
    assert_eq!(names, expected);
}
