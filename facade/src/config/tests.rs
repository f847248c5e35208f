use std::sync::Arc;

use vestibule_core::ports::{Model, ModelKind, ModelRequest};

use super::*;

/// A kind of model that has a word and nothing else.
struct Named(&'static str);

impl ModelKind for Named {
    fn kind(&self) -> &'static str {
        self.0
    }

    fn open(&self, _: ModelRequest<'_>, _: &mut Diagnostics) -> Option<Arc<dyn Model>> {
        None
    }
}

fn read(text: &str) -> (Config, Diagnostics) {
    let models: Vec<Arc<dyn ModelKind>> = vec![Arc::new(Named("rules")), Arc::new(Named("openai"))];
    let registry = Registry { models, ..Registry::default() };
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
        assert_eq!(config.store.as_deref(), Some("data/jobs.db"), "input: {text:?}");
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
limits: { body: 1MiB, in_flight: 8MiB, read: 5s, header: 500ms, connections: 10, calls: 20, drain: 1m }
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
        drain: Duration::from_secs(60),
    };
    assert_eq!(config.limits, expected);
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
    assert_eq!(names, ["limits", "listen", "log", "models", "public_url", "routes", "store"]);
}
