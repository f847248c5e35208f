//! Databases behind a connection: what a DBA reads and runs, and reference data for rules.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::{
    fault::Fault,
    mapping::plan::{Channel, Mapping},
};

/// What flows need of a database, for the person who owns it. Nothing is changed but by [`Database::execute`]
/// and [`Database::resync`].
pub trait Database: Send + Sync {
    /// The SQL that these uses need. Reads the mappings alone; connects to nothing. The text is the same each time.
    fn scripts(&self, uses: &[Use]) -> Result<Scripts, Fault>;
    /// What would go wrong, or cost something; reads the catalogue, changes nothing.
    fn preflight<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Vec<Advice>, Fault>>;
    /// Runs exactly this text, in one transaction, as this user.
    fn execute<'a>(&'a self, script: &'a str, login: Option<&'a Login>) -> BoxFuture<'a, Result<(), Fault>>;
    /// Where each use stands.
    fn status<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Vec<Standing>, Fault>>;
    /// Asks the running source to read rows again, those of a key range or all: they arrive as changes of the
    /// operation `snapshot`, each in its place among the others. Also lets a source go on that stopped because changes
    /// are missing.
    fn resync<'a>(&'a self, of: &'a Use, range: &'a KeyRange) -> BoxFuture<'a, Result<String, Fault>>;
}

/// A mapping with the channel by which it uses this database: one of its `receive`, or its `deliver`.
#[derive(Clone)]
pub struct Use {
    /// The mapping.
    pub mapping: Arc<Mapping>,
    /// The channel that documents arrive by.
    pub receive: Option<Channel>,
    /// The channel that results are delivered by.
    pub deliver: Option<Channel>,
}

/// A user that is not the connection's own: a DBA.
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
}

/// SQL for a person to read. Each text is complete and ends with a line break; empty: nothing is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scripts {
    /// Makes everything; one transaction.
    pub install: String,
    /// What the reader may do. Part of `install`; here to be read by itself.
    pub grants: String,
    /// Says whether everything is there; changes nothing.
    pub verify: String,
    /// Removes everything that `install` made, and what the source made by itself (a slot).
    pub uninstall: String,
}

/// Something that a DBA should know before an installation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// How grave it is.
    pub level: Level,
    /// A stable word: `no-key`, `replica-identity`.
    pub topic: &'static str,
    /// The mapping.
    pub flow: String,
    /// What was seen, and what follows from it.
    pub text: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

/// How grave an advice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be, or costs this much.
    Info,
    /// It works, and has a price or a risk.
    Warning,
    /// It will not work, or would break the application.
    Error,
}

/// Where a use of a database stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The mapping.
    pub flow: String,
    /// What: `trigger public.orders`, `log public.orders`, `write public.orders`.
    pub what: String,
    /// `ok`, `behind`, `stopped`, `missing`, `partly`.
    pub state: String,
    /// What it is behind by, in rows.
    pub rows: Option<u64>,
    /// In bytes: of log that the database keeps for it, or of the outbox.
    pub bytes: Option<u64>,
    /// In seconds.
    pub seconds: Option<f64>,
    /// For people: what is missing, where the position is.
    pub text: String,
}

/// Rows by their key, as text; both ends belong to it. `None`: no end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The first, one text for each column of the key.
    pub from: Option<Vec<String>>,
    /// The last.
    pub to: Option<Vec<String>>,
}

/// What a source keeps between its lives: where it is. Durable when `keep` ends in `Ok`.
pub trait Positions: Send + Sync {
    /// What was kept under this name last.
    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>>;
    /// Keeps this text, at most 64 KiB, instead of what was there.
    fn keep<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Reference data: the keys that a rule's `in` asks for. Read whole, kept in memory by the runner, read again after a
/// while.
pub trait Lookup: Send + Sync {
    /// For findings and logs: `policies from claims_db POLICY`.
    fn name(&self) -> &str;
    /// After how long it is read again.
    fn refresh(&self) -> Duration;
    /// All keys as text in the spelling of a [`crate::change::Cell::Text`]; more than `most` is a fault.
    fn keys(&self, most: usize) -> BoxFuture<'_, Result<Vec<Box<str>>, Fault>>;
}
