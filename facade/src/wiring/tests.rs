//! Whole directories on disk, wired with the adapters of the binary.

use std::path::Path;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use vestibule_core::{
    job::Place,
    mapping::plan::Channel,
    ports::{Connection, ConnectionKind, ConnectionRequest, Intake, Parcel, Returner, Source},
};

use super::*;
use crate::adapters;

const MAPPING: &str = "\
mapping: desk
receive:
  soap: { service: Desk, operation: Submit }
source: { kind: xml }
record:
  claim_no: { from: Claim/ClaimNo, required: true }
ask:
  route: triage
  answer:
    urgent: { type: bool, required: true }
return:
  into: Submitted
  write:
    No: claim_no
";

const CONFIG: &str = "\
models: { table: { rules: mappings/t.rules.yaml } }
routes: { triage: [table] }
";

const RULES: &str = "\
rules: t
otherwise: { urgent: no }
";

fn world(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

/// The house and the report of a directory, with its path taken out of messages.
fn wire(root: &Path) -> (House, String) {
    let registry = Arc::new(adapters::registry(0));
    let mut plans = Plans::read(Directory::at(root).unwrap(), &registry);
    let house = plans.assemble(&registry, &|_| None);
    let report = plans.report.render(false).replace(&format!("{}/", root.display()), "");
    (house, report)
}

/// Codes of a rendered report with the file and line of each; how many of one code stand in one line is the
/// reporting crate's affair.
fn places(report: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = report.lines();
    while let Some(line) = lines.next() {
        if let Some((code, _)) = line.strip_prefix("error[").and_then(|it| it.split_once(']')) {
            let arrow = lines.find_map(|it| it.trim_start().strip_prefix("--> ")).unwrap_or_default();
            let place = arrow.rsplit_once(':').map_or(arrow, |(place, _)| place);
            out.push(format!("{code} {place}"));
        }
    }
    out.dedup();
    out
}

#[test]
fn a_directory_without_mistakes_becomes_flows_and_services() {
    let other = MAPPING.replace("mapping: desk", "mapping: other").replace("Submit }", "Cancel }");
    let root = world(&[
        ("vestibule.yaml", CONFIG),
        ("mappings/a.map.yaml", MAPPING),
        ("mappings/b.map.yaml", &other),
        ("mappings/t.rules.yaml", RULES),
    ]);
    let (house, report) = wire(root.path());
    assert_eq!(report, "");
    assert_eq!(house.flows.len(), 2);
    assert_eq!(house.flow("other").map(|(position, _)| position), Some(1));
    assert_eq!(house.services.keys().map(|it| &**it).collect::<Vec<_>>(), ["Desk"]);
}

#[test]
fn services_and_operations_may_share_a_mapping() {
    let one = "  soap: { service: Desk, operation: Submit }";
    let many = "  - soap: { service: Desk, operation: Submit }\n  - soap: { service: Desk, operation: Amend }\n  - soap: { service: Old, operation: Submit }";
    let text = MAPPING.replace(one, many);
    assert_ne!(text, MAPPING);
    let root = world(&[
        ("vestibule.yaml", CONFIG),
        ("mappings/a.map.yaml", &text),
        ("mappings/t.rules.yaml", RULES),
    ]);
    let (house, report) = wire(root.path());
    assert_eq!((report.as_str(), house.flows.len()), ("", 1));
    let mut services: Vec<_> = house.services.keys().map(|it| &**it).collect();
    services.sort_unstable();
    assert_eq!(services, ["Desk", "Old"]);

    // Another mapping of the same message would never be reached.
    let other = MAPPING.replace("mapping: desk", "mapping: other").replace("Submit }", "Amend }");
    std::fs::write(root.path().join("mappings/b.map.yaml"), other).unwrap();
    let report = wire(root.path()).1;
    assert!(report.contains("error[M071]: another mapping already receives `Amend`"), "{report}");
}

#[test]
fn the_mistakes_of_all_files_are_reported_at_once() {
    let root = world(&[
        (
            "vestibule.yaml",
            "listen: nowhere\nmodels: { table: { rules: mappings/t.rules.yaml } }\nroutes: { triage: [table] }\n",
        ),
        ("mappings/a.map.yaml", MAPPING),
        ("mappings/b.map.yaml", &MAPPING.replace("required: true }\nask", "requried: true }\nask")),
        ("mappings/c.map.yaml", MAPPING),
        ("mappings/t.rules.yaml", "rules: t\notherwise: { urgnt: no }\n"),
    ]);
    std::fs::write(root.path().join("mappings/d.map.yaml"), b"mapping: d\nowner: \xff\n").unwrap();
    let (house, report) = wire(root.path());
    assert_eq!(house.flows.len(), 0);
    assert_eq!(
        places(&report),
        [
            "C001 vestibule.yaml:1",
            "A203 mappings/t.rules.yaml:2",
            "M011 mappings/b.map.yaml:6",
            "C007 mappings/c.map.yaml:1",
            "C006 mappings/d.map.yaml",
        ],
        "report: {report}"
    );
}

#[test]
fn a_route_that_nobody_configured_is_an_error_at_its_name() {
    for (config, expected) in [
        (Some(CONFIG.replace("triage: [", "triag: [")), "mappings/a.map.yaml:8"),
        (None, "mappings/a.map.yaml:8"),
    ] {
        let root = world(&[("mappings/a.map.yaml", MAPPING), ("mappings/t.rules.yaml", RULES)]);
        if let Some(config) = &config {
            std::fs::write(root.path().join("vestibule.yaml"), config).unwrap();
        }
        let (house, report) = wire(root.path());
        assert!(house.flows.is_empty());
        assert!(
            report.contains("triage") && report.contains(expected),
            "config: {config:?}, report: {report}"
        );
    }
}

#[test]
fn a_durable_flow_without_a_store_is_refused_and_one_that_is_not_runs() {
    let config = format!("store: none\n{CONFIG}");
    let loose =
        MAPPING.replace("mapping: desk\n", "mapping: loose\ndurability: none\n").replace("Submit }", "Try }");
    let root = world(&[
        ("vestibule.yaml", &config),
        ("mappings/a.map.yaml", MAPPING),
        ("mappings/b.map.yaml", &loose),
        ("mappings/t.rules.yaml", RULES),
    ]);
    let (house, report) = wire(root.path());
    assert_eq!(places(&report), ["C010 mappings/a.map.yaml:1"], "report: {report}");
    assert_eq!(house.flows.len(), 1);
}

#[test]
fn nothing_outside_the_directory_is_read_whatever_a_mapping_names() {
    let outer = world(&[
        ("secret.rules.yaml", RULES),
        (
            "desk/vestibule.yaml",
            "models: { table: { rules: ../secret.rules.yaml } }\nroutes: { triage: [table] }\n",
        ),
        ("desk/mappings/a.map.yaml", MAPPING),
    ]);
    let (house, report) = wire(&outer.path().join("desk"));
    assert!(house.flows.is_empty());
    assert!(report.contains("the path leaves the directory"), "report: {report}");
}

#[test]
fn a_missing_key_of_a_model_is_an_error_only_for_those_who_call_it() {
    let config = "models: { far: { openai: { url: 'http://127.0.0.1:9/v1', model: m, key: FAR_KEY } } }\nroutes: { triage: [far] }\n";
    let asking = MAPPING.replace("  route: triage\n", "  route: triage\n  prompt: p.md\n");
    let root = world(&[
        ("vestibule.yaml", config),
        ("mappings/a.map.yaml", &asking),
        ("mappings/p.md", "Is it urgent?"),
    ]);
    let (_, report) = wire(root.path());
    assert!(report.contains("A102"), "report: {report}");
    let registry = Arc::new(adapters::registry(0));
    let mut plans = Plans::read(Directory::at(root.path()).unwrap(), &registry);
    let house = plans.assemble(&registry, &|_| Some("placeholder".into()));
    assert_eq!(plans.report.render(false), "");
    assert_eq!(house.flows.len(), 1);
}

#[test]
fn a_remote_model_that_would_be_asked_nothing_is_an_error_at_the_route() {
    let far = "far: { openai: { url: 'http://127.0.0.1:9/v1', model: m } }";
    for (route, expected) in [("[far]", true), ("[table, far]", true), ("[table]", false)] {
        let config = format!(
            "models: {{ table: {{ rules: mappings/t.rules.yaml }}, {far} }}\nroutes: {{ triage: {route} }}\n"
        );
        let root = world(&[
            ("vestibule.yaml", &config),
            ("mappings/a.map.yaml", MAPPING),
            ("mappings/t.rules.yaml", RULES),
        ]);
        let (house, report) = wire(root.path());
        let places = places(&report);
        assert_eq!(places.contains(&"C012 mappings/a.map.yaml:8".to_owned()), expected, "{route}: {report}");
        assert_eq!(house.flows.is_empty(), expected, "{route}: {report}");
    }
}

#[test]
fn a_wrong_model_is_reported_whatever_else_is_wrong() {
    let models = "models: { gone: { rules: nope.yaml }, far: { openai: { url: 'nowhere', model: m } } }";
    for (routes, mapping) in [
        ("routes: { triag: [gone, far] }", MAPPING.to_owned()),
        (
            "routes: { triage: [gone, far] }",
            MAPPING.replace("required: true }\nask", "requried: true }\nask"),
        ),
        ("routes: { triage: [dsk, gone, far] }\nlisten: nowhere", MAPPING.to_owned()),
        ("routes: { triage: [gone, far] }\nstore: none", MAPPING.to_owned()),
        ("routes: {}\nlisen: nowhere", MAPPING.to_owned()),
    ] {
        let config = format!("{models}\n{routes}\n");
        let root = world(&[("vestibule.yaml", &config), ("mappings/a.map.yaml", &mapping)]);
        let (_, report) = wire(root.path());
        let count = |code: &str| report.matches(&format!("[{code}]")).count();
        assert_eq!((count("A201"), count("A101")), (1, 1), "{routes}: {report}");
    }
}

#[test]
fn a_model_that_nobody_calls_needs_no_key() {
    let config = format!("{}routes: {{ triage: [table] }}\n", CONFIG.split("routes").next().unwrap())
        .replace(
            "models: { ",
            "models: { far: { openai: { url: 'http://127.0.0.1:9/v1', model: m, key: FAR_KEY } }, ",
        );
    let root = world(&[
        ("vestibule.yaml", &config),
        ("mappings/a.map.yaml", MAPPING),
        ("mappings/t.rules.yaml", RULES),
    ]);
    assert_eq!(wire(root.path()).1, "");
}

#[test]
fn a_table_that_nothing_uses_is_not_said_to_be_right() {
    let root = world(&[
        ("vestibule.yaml", CONFIG),
        ("mappings/a.map.yaml", MAPPING),
        ("mappings/t.rules.yaml", RULES),
        ("mappings/unused.rules.yaml", RULES),
    ]);
    let registry = Arc::new(adapters::registry(0));
    let mut plans = Plans::read(Directory::at(root.path()).unwrap(), &registry);
    plans.assemble(&registry, &|_| None);
    assert_eq!(plans.files(), 3, "the configuration, the mapping and its table");
    plans.expect_used(&root.path().join("mappings/t.rules.yaml"));
    assert!(plans.report.is_clean());
    plans.expect_used(&root.path().join("mappings/unused.rules.yaml"));
    assert!(plans.report.render(false).contains("C011"));
}

/// A connection technology that opens everything and connects to nothing.
struct Wires;

/// One of its connections.
struct Wire(String);

impl ConnectionKind for Wires {
    fn kind(&self) -> &'static str {
        "amqp"
    }

    fn open(&self, request: ConnectionRequest<'_>, _: &mut Diagnostics) -> Option<Arc<dyn Connection>> {
        Some(Arc::new(Wire(request.name.into())))
    }
}

impl Connection for Wire {
    fn name(&self) -> &str {
        &self.0
    }

    fn source(
        &self,
        _: &Arc<Mapping>,
        channel: &Channel,
        deliver: Option<&Place>,
        _: &mut Diagnostics,
    ) -> Option<Arc<dyn Source>> {
        let queue = channel.get("queue").unwrap_or_default();
        let place = deliver.map_or("the sender's wish", |it| &it.returner);
        Some(Arc::new(Wire(format!("{queue} to {place}"))))
    }

    fn place(&self, _: &Mapping, _: &Channel, _: &mut Diagnostics) -> Option<Place> {
        Some(Place { returner: format!("amqp {}", self.0).into(), to: std::collections::BTreeMap::new() })
    }

    fn returner(&self) -> Arc<dyn Returner> {
        Arc::new(Wire(format!("amqp {}", self.0)))
    }

    fn topology(&self, _: &Mapping, _: &Channel) -> Vec<String> {
        Vec::new()
    }
}

impl Source for Wire {
    fn name(&self) -> &str {
        &self.0
    }

    fn open(
        &self,
        _: Arc<dyn vestibule_core::ports::Positions>,
    ) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(std::future::ready(Err(Fault::new(vestibule_core::fault::FaultCode::Unavailable, "down"))))
    }
}

impl Returner for Wire {
    fn name(&self) -> &str {
        &self.0
    }

    fn hand_back<'a>(&'a self, _: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

const QUEUED: &str = "\
mapping: queued
receive:
  amqp: { connection: broker, queue: claims.in }
source: { kind: xml }
record:
  claim_no: { from: Claim/ClaimNo, required: true }
deliver:
  amqp: { connection: broker, queue: claims.out }
";

const HOOKED: &str = "\
mapping: hooked
receive:
  webhook: { path: /hooks/claims, secret: HOOK_SECRET }
source: { kind: json }
record:
  claim_no: { from: claim/no, required: true }
";

fn wire_channels(files: &[(&str, &str)]) -> (House, String) {
    let root = world(files);
    let mut registry = adapters::registry(0);
    registry.connections = vec![Arc::new(Wires)];
    let registry = Arc::new(registry);
    let mut plans = Plans::read(Directory::at(root.path()).unwrap(), &registry);
    let house = plans.assemble(&registry, &|name| (name != "UNSET").then(|| "c2VjcmV0".to_owned()));
    let report = plans.report.render(false).replace(&format!("{}/", root.path().display()), "");
    (house, report)
}

#[test]
fn queues_and_webhooks_are_wired_to_their_flows() {
    let called =
        MAPPING.replace("ask:\n  route: triage\n  answer:\n    urgent: { type: bool, required: true }\n", "");
    let (mut house, report) = wire_channels(&[
        ("vestibule.yaml", "connections: { broker: { amqp: {} }, spare: { amqp: {} } }\n"),
        ("mappings/a.map.yaml", &called),
        ("mappings/b.map.yaml", QUEUED),
        ("mappings/c.map.yaml", HOOKED),
        (
            "mappings/d.map.yaml",
            &QUEUED
                .replace("mapping: queued", "mapping: asked")
                .replace("deliver:\n  amqp: { connection: broker, queue: claims.out }\n", ""),
        ),
    ]);
    assert_eq!(report, "");
    let hooks: Vec<_> = house.channels.hooks.iter().map(|(path, (flow, _))| (&**path, *flow)).collect();
    assert_eq!(hooks, [("/hooks/claims", 2)]);
    let parts = house.parts(None, Vec::new(), vestibule_core::runner::RunnerSettings::default());
    let sources: Vec<_> = parts.sources.iter().map(|it| (it.flow, it.source.name())).collect();
    assert_eq!(sources, [(1, "claims.in to amqp broker"), (3, "claims.in to the sender's wish")]);
    // A result may wait for a connection that no mapping names any more.
    let returners: Vec<_> = parts.returners.iter().map(|it| it.name()).collect();
    assert_eq!(returners, ["amqp broker", "amqp spare"]);
    let deliver: Vec<_> = parts.deliver.iter().map(|it| it.as_ref().map(|it| &*it.returner)).collect();
    assert_eq!(deliver, [None, Some("amqp broker"), None, None]);
    assert!(
        house.offers("Desk", "desk") && !house.offers("Desk", "queued") && !house.offers("Other", "desk")
    );
}

#[test]
fn what_is_wrong_with_a_channel_is_said_at_its_place() {
    const CONFIG: &str = "connections: { broker: { amqp: {} } }\n";
    for (config, mapping, expected) in [
        (CONFIG, QUEUED.to_owned(), ""),
        (
            CONFIG,
            QUEUED.replace("connection: broker, queue: claims.in", "connection: brokr, queue: claims.in"),
            "C015 mappings/a.map.yaml:3",
        ),
        (
            CONFIG,
            QUEUED.replace("connection: broker, queue: claims.out", "connection: other, queue: claims.out"),
            "C015 mappings/a.map.yaml:8",
        ),
        (
            "listen: 127.0.0.1:80\n",
            QUEUED.to_owned(),
            "C015 mappings/a.map.yaml:3 C015 mappings/a.map.yaml:8",
        ),
        (CONFIG, HOOKED.to_owned(), ""),
        (CONFIG, HOOKED.replace("HOOK_SECRET", "UNSET"), "M071 mappings/a.map.yaml:3"),
        ("store: none\n", format!("{HOOKED}durability: none\n"), "C008 mappings/a.map.yaml:3"),
        (CONFIG, format!("{HOOKED}async: no\n"), "C008 mappings/a.map.yaml:3"),
        (
            CONFIG,
            format!("{HOOKED}deliver:\n  webhook: {{ url: 'https://erp.acme.example/in', secret: OUT }}\n"),
            "",
        ),
        ("retention: { flows: { hookd: { dead: 1d } } }\n", HOOKED.to_owned(), "C018 vestibule.yaml:1"),
        (
            "thresholds: { flows: { hooked: { depth: 1 }, other: { depth: 1 } } }\n",
            HOOKED.to_owned(),
            "C018 vestibule.yaml:1",
        ),
    ] {
        let (_, report) = wire_channels(&[("vestibule.yaml", config), ("mappings/a.map.yaml", &mapping)]);
        assert_eq!(places(&report).join(" "), expected, "input: {config}{mapping}\n{report}");
    }
    let (_, report) = wire_channels(&[
        ("vestibule.yaml", CONFIG),
        ("mappings/a.map.yaml", HOOKED),
        ("mappings/b.map.yaml", &HOOKED.replace("mapping: hooked", "mapping: other")),
    ]);
    assert_eq!(places(&report), ["C019 mappings/b.map.yaml:3"], "{report}");
    let near = QUEUED.replace("connection: broker, queue: claims.in", "connection: brokr, queue: claims.in");
    let (_, report) = wire_channels(&[("vestibule.yaml", CONFIG), ("mappings/a.map.yaml", &near)]);
    assert!(report.contains("did you mean `broker`?"), "{report}");
}
