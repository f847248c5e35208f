//! THE list of adapters. This file alone names their crates: a new one is one line here and one in `Cargo.toml`.

use std::{error::Error, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use vestibule_core::{
    change::ChangeFormat,
    fault::Fault,
    job::Place,
    mapping::{diagnostic::Diagnostics, plan::Channel},
    ports::{JobStore, Returner},
    registry::Registry,
};

use crate::config::{Postgres, Tls};

/// Every adapter of this binary, with documents of up to so many bytes (or of the adapter's own limit, where that is
/// higher).
pub fn registry(longest: usize) -> Registry {
    let xml = vestibule_soap::xml::Limits::default();
    let bytes = xml.bytes.max(longest);
    let xml = vestibule_soap::xml::Limits { bytes, text_bytes: bytes, ..xml };
    let json = vestibule_json::Limits::default();
    let json = vestibule_json::Limits { bytes: json.bytes.max(longest), ..json };
    let change = vestibule_core::change::Limits::default();
    let change = vestibule_core::change::Limits { bytes: change.bytes.max(longest), ..change };
    Registry {
        formats: vec![
            // Before JSON: its media type ends in `+json`.
            Arc::new(ChangeFormat::with_limits(change)),
            Arc::new(vestibule_soap::XmlFormat::with_limits(xml.clone())),
            Arc::new(vestibule_json::JsonFormat::with_limits(json)),
        ],
        frontends: vec![Arc::new(vestibule_soap::SoapFrontend::with_limits(xml))],
        models: vec![Arc::new(vestibule_model_rules::Rules), Arc::new(vestibule_model_http::OpenAi::new())],
        connections: vec![
            Arc::new(vestibule_amqp::Amqp),
            Arc::new(vestibule_postgres::Postgres),
            Arc::new(vestibule_sqlserver::SqlServer),
        ],
        hooks: vec![Arc::new(vestibule_webhook::Webhook)],
        ..Registry::default()
    }
}

/// Whether the shared store may keep its tables in a schema of this name.
pub fn is_store_schema(name: &str) -> bool {
    vestibule_postgres::is_schema_name(name)
}

/// SQL that makes the tables of the shared store; `None`: the schema can not have this name.
pub fn store_sql(schema: Option<&str>) -> Option<String> {
    let usual = vestibule_postgres::Settings::default().schema;
    let schema = schema.unwrap_or(&usual);
    is_store_schema(schema).then(|| vestibule_postgres::sql(schema))
}

/// JSON Schema of decision tables for editors.
pub fn rules_schema() -> serde_json::Value {
    vestibule_model_rules::json_schema()
}

/// Codes of services and webhooks; those crates have no lists of their own.
const CHANNEL_CODES: [(&str, &str, &str); 2] = [
    (
        "M071",
        "a channel can not take this mapping",
        "give each mapping of a service an operation of its own, written as the contract does; give each webhook its secret",
    ),
    (
        "M072",
        "callers of a contract get a ticket that the contract does not know",
        "write `pending:`, the reply of the contract that a caller gets for the time being",
    ),
];

/// Codes of adapters, with what each means and how to mend it.
pub fn codes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let models = vestibule_model_rules::CODES.into_iter().chain(vestibule_model_http::CODES);
    CHANNEL_CODES
        .into_iter()
        .chain(models)
        .chain(vestibule_amqp::CODES)
        .chain(vestibule_postgres::CODES)
        .chain(vestibule_sqlserver::CODES)
}

/// Where a mapping's `deliver: webhook` goes. Problems are reported at the channel's span.
pub fn webhook_place(
    channel: &Channel,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Place> {
    vestibule_webhook::place(channel, secrets, diagnostics)
}

/// True for the text of a secret that posts can be signed with.
pub fn can_sign(secret: &str) -> bool {
    vestibule_webhook::Secret::standard(secret).is_some()
}

/// What posts to addresses of others; one for the process.
#[derive(Clone, Default)]
pub struct Poster(Arc<vestibule_webhook::Poster>);

/// One post.
pub struct Letter<'l> {
    /// Where to.
    pub url: &'l str,
    /// Its stable name, the same each time it is sent.
    pub id: &'l str,
    /// The body's media type with its parameters.
    pub content_type: &'l str,
    /// The body.
    pub body: Bytes,
    /// Headers besides those that say who posts.
    pub headers: Vec<(&'static str, String)>,
    /// The text of the secret that it is signed with.
    pub secret: Option<&'l str>,
}

impl Poster {
    /// Posts once, by a deadline of its own. `Ok`: the receiver has it.
    pub async fn post(&self, letter: Letter<'_>) -> Result<(), Fault> {
        let Letter { url, id, content_type, body, headers, secret } = letter;
        let secret = secret.and_then(vestibule_webhook::Secret::standard);
        let post = vestibule_webhook::Post { url, id, content_type, body, headers, secret: secret.as_ref() };
        self.0.post(post).await.map_err(Fault::from)
    }

    /// What posts results to callers' addresses, signed with the secret of this environment name where a place names
    /// none of its own.
    pub fn callbacks(
        &self,
        secrets: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        usual: Option<String>,
    ) -> Arc<dyn Returner> {
        Arc::new(vestibule_webhook::Callbacks::new(Arc::clone(&self.0), Box::new(secrets), usual))
    }
}

/// Blocking work with the name of the thread that it wants.
pub struct Engine {
    /// The thread's name.
    pub name: &'static str,
    /// Ends after the store was closed.
    pub work: Box<dyn FnOnce() + Send>,
}

/// An open job store with what works for it.
pub struct OwnedStore {
    /// The store.
    pub store: Arc<dyn JobStore>,
    /// Blocking work, each for a thread of its own.
    pub engines: Vec<Engine>,
    /// Futures that drive its connections; each ends by itself after the store was closed.
    pub drivers: Vec<BoxFuture<'static, ()>>,
    /// Lets the engines and drivers finish what waits, and end.
    pub close: Box<dyn Fn() + Send + Sync>,
}

/// Where a job store is, with nothing left to look up.
pub enum StoreAt {
    /// A file.
    Sqlite(PathBuf),
    /// A server, with its password and the file of its authority.
    Postgres(Box<Postgres>, Option<String>, Option<PathBuf>),
}

/// Why a job store could not be opened.
pub type NoStore = Box<dyn Error + Send + Sync>;

/// Opens the job store for a process that works on its jobs: a file for this process alone, a server for any number of
/// them.
pub async fn open_store(at: StoreAt) -> Result<OwnedStore, NoStore> {
    let settings = vestibule_sqlite::Settings::default();
    match at {
        StoreAt::Sqlite(path) => Ok(of_sqlite(vestibule_sqlite::SqliteStore::open(&path, &settings)?)),
        StoreAt::Postgres(server, password, ca) => postgres(*server, password, ca).await,
    }
}

/// Opens the job store for a command that may run beside such a process.
pub async fn open_store_beside(at: StoreAt) -> Result<OwnedStore, NoStore> {
    let settings = vestibule_sqlite::Settings::default();
    match at {
        StoreAt::Sqlite(path) => Ok(of_sqlite(vestibule_sqlite::SqliteStore::visit(&path, &settings)?)),
        StoreAt::Postgres(server, password, ca) => postgres(*server, password, ca).await,
    }
}

async fn postgres(
    server: Postgres,
    password: Option<String>,
    ca: Option<PathBuf>,
) -> Result<OwnedStore, NoStore> {
    let usual = vestibule_postgres::Settings::default();
    let settings = vestibule_postgres::Settings {
        host: server.host,
        port: server.port,
        database: server.database,
        user: server.user.unwrap_or(usual.user),
        password: password.map(vestibule_postgres::Password::new),
        schema: server.schema.unwrap_or(usual.schema),
        tls: match server.tls {
            Tls::Off => vestibule_postgres::Tls::Off,
            Tls::Require => vestibule_postgres::Tls::Require,
            Tls::Verify => vestibule_postgres::Tls::Verify,
        },
        ca,
        connections: server.connections.unwrap_or(usual.connections),
        lease: server.lease.unwrap_or(usual.lease),
        timeout: server.timeout.unwrap_or(usual.timeout),
        held: usual.held,
    };
    let (store, drivers) = vestibule_postgres::PostgresStore::open(&settings).await?;
    let closing = store.clone();
    Ok(OwnedStore {
        store: Arc::new(store),
        engines: Vec::new(),
        drivers: drivers.into_iter().map(|it| Box::pin(it) as BoxFuture<'static, ()>).collect(),
        close: Box::new(move || closing.close()),
    })
}

fn of_sqlite<const N: usize>(
    (store, engines): (vestibule_sqlite::SqliteStore, [vestibule_sqlite::Engine; N]),
) -> OwnedStore {
    let engine = |it: vestibule_sqlite::Engine| Engine { name: it.name(), work: Box::new(move || it.run()) };
    let closing = store.clone();
    OwnedStore {
        store: Arc::new(store),
        engines: engines.into_iter().map(engine).collect(),
        drivers: Vec::new(),
        close: Box::new(move || closing.close()),
    }
}
