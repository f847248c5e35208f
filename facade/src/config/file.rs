//! What may stand in `vestibule.yaml`. The doc comments are what editors show.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use vestibule_core::mapping::shape::{OneOrMany, Word};

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
    /// Where jobs are kept: `{ sqlite: data/jobs.db }`, which is also the default, `{ postgres: … }`, or `none`.
    pub store: Option<StoreFile>,
    /// Connections by name, each with one kind and its settings: `broker: { amqp: { url: 'amqps://mq.acme.example' } }`.
    #[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
    pub connections: Option<IndexMap<String, IndexMap<String, Value>>>,
    /// Addresses that callers may have results sent to.
    pub callbacks: Option<CallbacksFile>,
    /// People who may decide, by name: each with the name of the environment variable that holds their token.
    #[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
    pub operators: Option<IndexMap<String, Word>>,
    /// How long finished jobs are kept. Nothing said: for ever.
    pub retention: Option<RetentionFile>,
    /// When what waits is too much: an alert is logged and, where one is named, an address is called.
    pub thresholds: Option<ThresholdsFile>,
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
    /// A file of this machine, or a server.
    Place(Box<StoreBlock>),
}

/// No store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoStore {
    /// Nothing is kept.
    None,
}

/// A file of this machine, or a server: exactly one of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct StoreBlock {
    /// Path of the database, relative to this file. Its directory is made when it is not there.
    pub sqlite: Option<String>,
    /// A PostgreSQL server, which any number of `vestibule serve` may share.
    pub postgres: Option<PostgresFile>,
}

/// A PostgreSQL server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct PostgresFile {
    /// Where it is: `postgres://db.acme.example:5432/vestibule`, without a user or a password.
    pub url: Option<String>,
    /// The role to connect as.
    pub user: Option<String>,
    /// Name of the environment variable that holds its password.
    pub password: Option<String>,
    /// The schema that holds the tables: `vestibule`.
    pub schema: Option<String>,
    /// How the connection is protected: `verify` (the server's certificate and name are checked; the default for other
    /// machines), `require` (encrypted, not checked) or `off` (the default for this machine).
    pub tls: Option<TlsMode>,
    /// File with the certificates of the authority that signed the server's, relative to this file. `verify` needs it.
    pub ca: Option<String>,
    /// Connections of this process, one of which only reads: `4`.
    pub connections: Option<u32>,
    /// How long a job belongs to a process that says nothing any more: `60s`.
    pub lease: Option<String>,
    /// Longest time for a connection or a statement: `10s`.
    pub timeout: Option<String>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Not at all.
    Off,
    /// Encrypted; whoever answers is trusted.
    Require,
    /// Encrypted, and the server's certificate and name are checked.
    Verify,
}

/// Addresses that callers may have results sent to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct CallbacksFile {
    /// Beginnings of addresses: `https://erp.acme.example/hooks`. The scheme, the host and the port must be the same, and
    /// the path's steps.
    #[expect(dead_code, reason = "checked here, read with its places from the file's tree")]
    pub allow: Option<OneOrMany>,
    /// Name of the environment variable that holds the secret that results are signed with.
    pub secret: Option<String>,
}

/// How long finished jobs are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct RetentionFile {
    /// Of jobs with a result that was handed back: `30d`.
    pub finished: Option<String>,
    /// Of jobs that were given up: `90d`.
    pub dead: Option<String>,
    /// The same for single flows, by the mapping's name.
    pub flows: Option<IndexMap<String, FlowRetentionFile>>,
}

/// How long finished jobs of one flow are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct FlowRetentionFile {
    /// Of jobs with a result that was handed back: `30d`, or `forever`.
    pub finished: Option<String>,
    /// Of jobs that were given up: `90d`, or `forever`.
    pub dead: Option<String>,
}

/// When what waits is too much.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct ThresholdsFile {
    /// Age of the oldest job that waits or is worked on: `5m`.
    pub age: Option<String>,
    /// Jobs that wait: `1000`.
    pub depth: Option<u32>,
    /// Jobs that were given up: `10`.
    pub dead: Option<u32>,
    /// Results that could not be handed back yet: `100`.
    pub undelivered: Option<u32>,
    /// Refuse new work of the flow while one of them is passed: `no`.
    pub shed: Option<bool>,
    /// Address that is called when one is passed and when it is over.
    pub call: Option<String>,
    /// Name of the environment variable that holds the secret that these calls are signed with.
    pub secret: Option<String>,
    /// The same for single flows, by the mapping's name.
    pub flows: Option<IndexMap<String, FlowThresholdsFile>>,
}

/// When what waits of one flow is too much.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct FlowThresholdsFile {
    /// Age of the oldest job that waits or is worked on: `5m`.
    pub age: Option<String>,
    /// Jobs that wait: `1000`.
    pub depth: Option<u32>,
    /// Jobs that were given up: `10`.
    pub dead: Option<u32>,
    /// Results that could not be handed back yet: `100`.
    pub undelivered: Option<u32>,
    /// Refuse new work of the flow while one of them is passed: `no`.
    pub shed: Option<bool>,
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
    /// From so many jobs of a flow in the queue on, logs of databases are not read for it: `1000000`. Until then what they
    /// have is taken into the store, whether there is room to work on it or not.
    pub queued: Option<u32>,
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
