//! `vestibule.yaml`: read by the same strict reader as mappings, with the same errors. A setting that was read is valid.

mod callbacks;
pub mod codes;
mod file;
pub mod quantity;
mod store;
mod watch;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

pub use self::{
    callbacks::{Callbacks, Prefix},
    file::{ConfigFile, LogFormat},
    store::{Postgres, StorePlace, Tls},
    watch::{Retention, Thresholds},
};
use vestibule_core::{
    mapping::{
        diagnostic::{Diagnostics, Span},
        shape,
        syntax::{self, Node},
    },
    registry::Registry,
};

use self::file::{CallbacksFile, LimitsFile};

/// The name of the file.
pub const FILE_NAME: &str = "vestibule.yaml";

/// The configuration of a directory.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Scheme and authority that callers know us by.
    pub public_url: Option<String>,
    /// Where jobs are kept; `None`: nowhere.
    pub store: Option<StorePlace>,
    /// The connections, in the file's order.
    pub connections: Vec<ConnectionConfig>,
    /// Addresses that callers may have results sent to.
    pub callbacks: Callbacks,
    /// People who may decide.
    pub operators: Vec<Operator>,
    /// How long finished jobs are kept.
    pub retention: Retention,
    /// When what waits is too much.
    pub thresholds: Thresholds,
    /// The models, in the file's order.
    pub models: Vec<ModelConfig>,
    /// The routes, in the file's order.
    pub routes: Vec<Route>,
    /// Bounds.
    pub limits: Limits,
    /// How the log is written.
    pub log: LogFormat,
}

/// One model: its kind exists, its settings are the kind's to judge.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Its name.
    pub name: String,
    /// The kind's word.
    pub kind: String,
    /// The value under the kind's word.
    pub settings: Node,
}

/// One connection: its kind exists, its settings are the kind's to judge.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// Its name.
    pub name: String,
    /// The kind's word.
    pub kind: String,
    /// The value under the kind's word.
    pub settings: Node,
}

/// One person who may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The person's name, as it stands beside what was decided.
    pub name: String,
    /// Name of the environment variable with the person's token.
    pub token: String,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Positions in [`Config::models`]; one at least.
    pub models: Vec<usize>,
}

/// Bounds of size, time and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest body in bytes.
    pub body: usize,
    /// Most bytes of bodies held at once, over all connections. One body of the longest length always fits.
    pub in_flight: usize,
    /// Longest time for a body to arrive.
    pub read: Duration,
    /// Longest time for headers, for the next request of a kept connection, and for a caller to take more of an answer.
    pub header: Duration,
    /// Most connections at once.
    pub connections: usize,
    /// Most calls at once.
    pub calls: usize,
    /// From so many jobs of a flow in the queue on, its journaled sources wait.
    pub queued: usize,
    /// Longest time to drain.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 10 << 20,
            in_flight: 64 << 20,
            read: Duration::from_secs(30),
            header: Duration::from_secs(30),
            connections: 1024,
            calls: 1024,
            queued: 1_000_000,
            drain: Duration::from_secs(25),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            store: Some(StorePlace::default()),
            connections: Vec::new(),
            callbacks: Callbacks::default(),
            operators: Vec::new(),
            retention: Retention::default(),
            thresholds: Thresholds::default(),
            models: Vec::new(),
            routes: Vec::new(),
            limits: Limits::default(),
            log: LogFormat::default(),
        }
    }
}

impl Config {
    /// Reads the text of a `vestibule.yaml`. All problems are reported; what is wrong has its default, so that the
    /// rest of the directory can still be checked.
    pub fn read(text: &str, registry: &Registry, diagnostics: &mut Diagnostics) -> Self {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Self::default();
        }
        let Some(root) = syntax::parse(text, diagnostics) else { return Self::default() };
        let file: ConfigFile = shape::read(&root, FILE_NAME, diagnostics).unwrap_or_default();
        let models = read_models(root.get("models"), registry, diagnostics);
        let routes = read_routes(root.get("routes"), &models, diagnostics);
        let mut config = Self { models, routes, log: file.log.unwrap_or_default(), ..Self::default() };
        if let Some(text) = &file.listen {
            match address(text) {
                Some(address) => config.listen = address,
                None => {
                    let title = "`listen` is not an address with a port";
                    let at = span(&root, &["listen"]);
                    let found = diagnostics.push(codes::VALUE, &at, title, "expected ADDRESS:PORT");
                    found.help("write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:8080`");
                }
            }
        }
        if let Some(text) = file.public_url {
            if is_url(&text) {
                config.public_url = Some(text);
            } else {
                let at = span(&root, &["public_url"]);
                let found = diagnostics.push(codes::VALUE, &at, "`public_url` is not a web address", "here");
                found.help("write it like `https://claims.acme.example`");
            }
        }
        config.store = store::read(&root, file.store, diagnostics);
        config.connections = read_connections(root.get("connections"), registry, diagnostics);
        config.callbacks = read_callbacks(&root, file.callbacks.unwrap_or_default(), diagnostics);
        config.operators = read_operators(root.get("operators"), diagnostics);
        config.retention = watch::retention(&root, &file.retention.unwrap_or_default(), diagnostics);
        config.thresholds = watch::thresholds(&root, &file.thresholds.unwrap_or_default(), diagnostics);
        config.limits = read_limits(&root, &file.limits.unwrap_or_default(), diagnostics);
        config
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }
}

/// JSON Schema of `vestibule.yaml` for editors.
pub fn json_schema() -> serde_json::Value {
    shape::schema_for::<ConfigFile>()
}

fn span(root: &Node, path: &[&str]) -> Span {
    path.iter().try_fold(root, |node, key| node.get(key)).unwrap_or(root).span.clone()
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.split_once(':') {
        Some(("localhost", port)) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        _ => text.parse().ok(),
    }
}

/// It is repeated in contracts: nothing that could end an attribute may stand in it.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let plain = |it: char| it.is_ascii_alphanumeric() || "-._~:/[]%".contains(it);
        !rest.is_empty() && !rest.starts_with('/') && rest.len() <= 1024 && rest.chars().all(plain)
    })
}

fn read_models(node: Option<&Node>, registry: &Registry, diagnostics: &mut Diagnostics) -> Vec<ModelConfig> {
    let mut models = Vec::new();
    for (key, value) in node.map_or(&[][..], Node::entries) {
        let Some(name) = key.text() else { continue };
        let [(word, settings)] = value.entries() else {
            if matches!(value.kind, syntax::Kind::Map(_)) {
                let title = format!("the model `{name}` needs exactly one kind");
                let found = diagnostics.push(codes::ONE_KIND, &key.span, title, "this model");
                found.help("write one word and its settings: `{ rules: triage.rules.yaml }`");
            }
            continue;
        };
        let Some(kind) = word.text() else { continue };
        if registry.model(kind).is_none() {
            let title = format!("`{kind}` is not a kind of model");
            let found = diagnostics.push(codes::MODEL_KIND, &word.span, title, "unknown kind");
            found.suggest(kind, &word.span, registry.models.iter().map(|it| it.kind()));
        }
        // Kept although its kind is unknown: a route that names it is not a second mistake.
        models.push(ModelConfig { name: name.into(), kind: kind.into(), settings: settings.clone() });
    }
    models
}

fn read_connections(
    node: Option<&Node>,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) -> Vec<ConnectionConfig> {
    let mut connections = Vec::new();
    for (key, value) in node.map_or(&[][..], Node::entries) {
        let Some(name) = key.text() else { continue };
        let [(word, settings)] = value.entries() else {
            if matches!(value.kind, syntax::Kind::Map(_)) {
                let title = format!("the connection `{name}` needs exactly one kind");
                let found = diagnostics.push(codes::CONNECTION, &key.span, title, "this connection");
                found.help("write one word and its settings: `{ amqp: { url: 'amqp://127.0.0.1' } }`");
            }
            continue;
        };
        let Some(kind) = word.text() else { continue };
        if registry.connection(kind).is_none() {
            let title = format!("`{kind}` is not a kind of connection");
            let found = diagnostics.push(codes::CONNECTION, &word.span, title, "unknown kind");
            found.suggest(kind, &word.span, registry.connections.iter().map(|it| it.kind()));
        }
        // Kept although its kind is unknown: a mapping that names it is not a second mistake.
        connections.push(ConnectionConfig {
            name: name.into(),
            kind: kind.into(),
            settings: settings.clone(),
        });
    }
    connections
}

fn read_callbacks(root: &Node, file: CallbacksFile, diagnostics: &mut Diagnostics) -> Callbacks {
    let mut allow = Vec::new();
    let listed = root.get("callbacks").and_then(|it| it.get("allow"));
    for item in listed.map_or(&[][..], Node::items) {
        let Some(text) = item.text().filter(|it| !it.is_empty()) else { continue };
        match Prefix::read(text) {
            Some(prefix) => allow.push(prefix),
            None => {
                let title = "this is not the beginning of a web address";
                let found = diagnostics.push(codes::CALLBACK, &item.span, title, "can not be called");
                found.help("write it like `https://erp.acme.example/hooks`: no user, no query, no `#`");
            }
        }
    }
    if file.secret.as_deref().is_some_and(|it| !secret_name(it)) {
        not_a_name(&span(root, &["callbacks", "secret"]), diagnostics);
    }
    if !allow.is_empty() && file.secret.is_none() {
        let title = "`callbacks` needs a `secret`: nothing is posted unsigned";
        let found = diagnostics.push(codes::SECRET, &span(root, &["callbacks"]), title, "signed with what?");
        found.help("write the name of an environment variable, like `secret: CALLBACK_SECRET`");
    }
    Callbacks { allow, secret: file.secret }
}

fn read_operators(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<Operator> {
    let mut operators = Vec::new();
    for (key, value) in node.map_or(&[][..], Node::entries) {
        let (Some(name), Some(token)) = (key.text(), value.text()) else { continue };
        if !secret_name(token) {
            not_a_name(&value.span, diagnostics);
        }
        operators.push(Operator { name: name.into(), token: token.into() });
    }
    operators
}

/// Says that a secret stands where its name should: without repeating it.
fn not_a_name(at: &Span, diagnostics: &mut Diagnostics) {
    let title = "this is not the name of an environment variable";
    let found = diagnostics.push(codes::SECRET, at, title, "expected a name like ANNA_TOKEN");
    found.help("the secret itself stands in the environment, never in a file");
}

/// A name that an environment variable can have.
fn secret_name(name: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    name.len() <= 128 && name.bytes().all(plain) && name.bytes().next().is_some_and(|it| !it.is_ascii_digit())
}

fn read_routes(node: Option<&Node>, models: &[ModelConfig], diagnostics: &mut Diagnostics) -> Vec<Route> {
    let mut routes = Vec::new();
    for (key, value) in node.map_or(&[][..], Node::entries) {
        let Some(name) = key.text() else { continue };
        let list = value.get("models").unwrap_or(value);
        let mut chosen = Vec::new();
        for item in list.items() {
            let Some(model) = item.text() else { continue };
            match models.iter().position(|it| it.name == model) {
                Some(position) if chosen.contains(&position) => {
                    let title = format!("the route `{name}` names `{model}` twice");
                    diagnostics.push(codes::ROUTE, &item.span, title, "it was tried before");
                }
                Some(position) => chosen.push(position),
                None => {
                    let title = format!("there is no model `{model}`");
                    let found =
                        diagnostics.push(codes::UNKNOWN_MODEL, &item.span, title, "not under `models:`");
                    found.suggest(model, &item.span, models.iter().map(|it| it.name.as_str()));
                }
            }
        }
        if matches!(&list.kind, syntax::Kind::Seq(items) if items.is_empty()) {
            let title = format!("the route `{name}` names no model");
            diagnostics.push(codes::ROUTE, &key.span, title, "nothing would answer");
        }
        routes.push(Route { name: name.into(), models: chosen });
    }
    routes
}

fn read_limits(root: &Node, file: &LimitsFile, diagnostics: &mut Diagnostics) -> Limits {
    let mut limits = Limits::default();
    let mut wrong = |key: &str, expected: &str| {
        let at = span(root, &["limits", key]);
        diagnostics.push(
            codes::VALUE,
            &at,
            format!("`{key}` can not be this"),
            format!("expected {expected}"),
        );
    };
    if let Some(text) = &file.body {
        match quantity::size(text) {
            Some(size @ 1..=MOST_BODY) => limits.body = size,
            _ => wrong("body", "a size up to 1GiB, like 10MiB"),
        }
    }
    if let Some(text) = &file.in_flight {
        match quantity::size(text) {
            Some(size @ 1..) => limits.in_flight = size,
            _ => wrong("in_flight", "a size, like 64MiB"),
        }
    }
    for (key, text, place) in [
        ("read", &file.read, &mut limits.read),
        ("header", &file.header, &mut limits.header),
        ("drain", &file.drain, &mut limits.drain),
    ] {
        if let Some(text) = text {
            match quantity::duration(text) {
                Some(duration) => *place = duration,
                None => wrong(key, "a time up to 24h, like 30s or 500ms"),
            }
        }
    }
    for (key, number, place, most) in [
        ("connections", file.connections, &mut limits.connections, MOST_AT_ONCE),
        ("calls", file.calls, &mut limits.calls, MOST_AT_ONCE),
        ("queued", file.queued, &mut limits.queued, MOST_QUEUED),
    ] {
        if let Some(number) = number {
            match usize::try_from(number) {
                Ok(number) if (1..=most).contains(&number) => *place = number,
                _ => wrong(key, &format!("a number from 1 to {most}")),
            }
        }
    }
    limits
}

const MOST_BODY: usize = 1 << 30;
const MOST_AT_ONCE: usize = 100_000;
const MOST_QUEUED: usize = 1_000_000_000;

#[cfg(test)]
mod tests;
