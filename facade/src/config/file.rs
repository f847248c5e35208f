//! What may stand in `vestibule.yaml`. The doc comments are what editors show.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use vestibule_core::mapping::shape::OneOrMany;

/// The configuration of a directory: where it listens, what it keeps, which models answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct ConfigFile {
    /// Address and port to listen on; `127.0.0.1:8080` when it is not said. Port 0 takes a free one.
    pub listen: Option<String>,
    /// Scheme and authority by which callers reach this server, for the address in `?wsdl`. Without it, the
    /// request's own `Host` is used.
    pub public_url: Option<String>,
    /// Where jobs are kept: `{ sqlite: data/jobs.db }`, which is also the default, or `none`.
    pub store: Option<StoreFile>,
    /// Models by name, each with one kind and its settings: `desk: { rules: triage.rules.yaml }`.
    #[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
    pub models: Option<IndexMap<String, IndexMap<String, Value>>>,
    /// Routes by name: the models that a mapping's `ask.route` tries, in order.
    #[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
    pub routes: Option<IndexMap<String, RouteFile>>,
    /// Bounds of size, time and number.
    pub limits: Option<LimitsFile>,
    /// How the log on standard error is written.
    pub log: Option<LogFormat>,
}

/// Where jobs are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StoreFile {
    /// No store: for flows with `durability: none` only.
    None(NoStore),
    /// A file of this machine.
    Sqlite(SqliteFile),
}

/// No store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoStore {
    /// Nothing is kept.
    None,
}

/// A file of this machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteFile {
    /// Path of the database, relative to this file. Its directory is made when it is not there.
    pub sqlite: String,
}

/// The models of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
pub enum RouteFile {
    /// Names of models, tried in order.
    Models(OneOrMany),
    /// The same, as a block.
    Block(RouteBlock),
}

/// The models of a route, as a block.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteBlock {
    /// Names of models, tried in order.
    #[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
    pub models: OneOrMany,
}

/// Bounds of size, time and number.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct LimitsFile {
    /// Longest body: `10MiB`.
    pub body: Option<String>,
    /// Most bytes of bodies held at once, over all connections: `64MiB`. More wait, at most for the time of `read`. One
    /// body of the longest length always fits.
    pub in_flight: Option<String>,
    /// Longest time for a body to arrive: `30s`.
    pub read: Option<String>,
    /// Longest time for a request's headers, and for the next request on a kept connection: `30s`.
    pub header: Option<String>,
    /// Most connections served at once: `1024`.
    pub connections: Option<u32>,
    /// Most calls worked on at once: `1024`. More are refused, never queued without end.
    pub calls: Option<u32>,
    /// Longest time for work under way when the process is told to end: `25s`.
    pub drain: Option<String>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
