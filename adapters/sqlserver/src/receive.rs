//! What a mapping says of `receive: sqlserver` and `deliver: sqlserver`.

use std::{collections::BTreeMap, time::Duration};

use vestibule_core::{
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, From, Mapping, Shape, Write},
    },
};

use crate::{
    duration,
    quote::{Table, is_name, literal},
};

/// Most columns that are taken of one row.
const MOST_COLUMNS: usize = 250;
const SCHEMA: &str = "vestibule";
const BACKLOG: u64 = 1_000_000;
const PURGE: usize = 500;
const SECOND: Duration = Duration::from_secs(1);

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capture {
    Trigger,
    Tracking,
    Cdc,
    Snapshot,
}

impl Capture {
    pub const WORDS: [(Self, &'static str); 4] = [
        (Self::Trigger, "trigger"),
        (Self::Tracking, "change-tracking"),
        (Self::Cdc, "cdc"),
        (Self::Snapshot, "snapshot"),
    ];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(it, _)| *it == self).map_or("", |(_, word)| word)
    }
}

/// `receive: sqlserver`, checked.
#[derive(Debug, Clone)]
pub(crate) struct Receive {
    pub flow: String,
    pub table: Table,
    pub capture: Capture,
    /// Those that are handed over, the key's among them.
    pub columns: Vec<String>,
    pub key: Vec<String>,
    /// A condition in the words of the database.
    pub filter: Option<String>,
    /// Our schema.
    pub schema: String,
    /// What is there already is handed over first.
    pub initial: bool,
    pub backlog: u64,
    /// What is over the backlog is dropped, the oldest first.
    pub is_dropping: bool,
    pub poll: Duration,
    pub purge: usize,
    pub instances: Vec<String>,
    pub is_competing: bool,
    /// Columns of the same table that the flow itself writes: an update of these alone is its own.
    pub written: Vec<String>,
}

impl Receive {
    /// Reads and checks the settings; every problem is reported at the channel's place.
    pub fn read(mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let table = table(channel, "table", diagnostics);
        let capture = word(channel, "capture", &Capture::WORDS, None, diagnostics);
        let key: Vec<String> = channel.all("key").map(str::to_owned).collect();
        let deliver = mapping.handling.deliver.as_ref().filter(|it| &*it.kind == crate::KIND);
        let deliver = deliver.filter(|it| it.get("table").and_then(Table::read) == table);
        let columns = columns(mapping, channel, deliver, &key);
        names(channel, "columns", &columns, diagnostics);
        if columns.len() > MOST_COLUMNS {
            problem(
                channel,
                diagnostics,
                "too many columns",
                &format!("at most {MOST_COLUMNS}: name those you need in `columns`"),
            );
        }
        if key.is_empty() && capture.is_some_and(|it| it != Capture::Trigger) {
            problem(channel, diagnostics, "`key` is missing", "the columns of a unique key, e.g. [ORDER_NO]");
        }
        let schema = channel.get("schema").unwrap_or(SCHEMA).to_owned();
        names(channel, "schema", std::slice::from_ref(&schema), diagnostics);
        let instances: Vec<String> = channel.all("capture_instance").map(str::to_owned).collect();
        names(channel, "capture_instance", &instances, diagnostics);
        let filter = channel.get("where").map(str::to_owned);
        if filter.is_some() && matches!(capture, Some(Capture::Tracking | Capture::Cdc)) {
            problem(
                channel,
                diagnostics,
                "`where` is for triggers and snapshots",
                "use `source.only` instead",
            );
        }
        let initial =
            word(channel, "snapshot", &[(true, "initial"), (false, "never")], Some(false), diagnostics);
        let is_dropping =
            word(channel, "overflow", &[(true, "drop"), (false, "alarm")], Some(false), diagnostics);
        let is_competing =
            word(channel, "competing", &[(true, "yes"), (false, "no")], Some(false), diagnostics);
        let backlog = number(channel, "backlog", BACKLOG, diagnostics);
        let purge = number(channel, "purge", PURGE as u64, diagnostics);
        let poll = match channel.get("poll") {
            None => Some(SECOND),
            Some(text) => duration::read(text).filter(|it| *it >= Duration::from_millis(10)),
        };
        if poll.is_none() {
            problem(channel, diagnostics, "`poll` is not a time", "10ms or more, e.g. `1s`");
        }
        if diagnostics.len() > before {
            return None;
        }
        Some(Self {
            flow: mapping.name.to_string(),
            table: table?,
            capture: capture?,
            columns,
            key,
            filter,
            schema,
            initial: initial?,
            backlog: backlog?,
            is_dropping: is_dropping?,
            poll: poll?,
            // One statement holds few locks: the application writes into the same table.
            purge: usize::try_from(purge?).unwrap_or(PURGE).clamp(1, 1000),
            instances,
            is_competing: is_competing?,
            written: deliver.map(|_| written(mapping)).unwrap_or_default(),
        })
    }

    /// The condition for rows of ours, with the alias `c`, that are of this flow and table.
    pub fn scope(&self) -> String {
        format!("c.flow = {} AND c.relation = {}", literal(&self.flow), literal(&self.table.to_string()))
    }

    /// For logs and lists: `trigger dbo.orders`.
    pub fn what(&self) -> String {
        format!("{} {}", self.capture.word(), self.table)
    }
}

/// Columns that are handed over: those that are named, else those that the record and the write-back read; the key's
/// always.
fn columns(mapping: &Mapping, channel: &Channel, deliver: Option<&Channel>, key: &[String]) -> Vec<String> {
    let mut columns: Vec<String> = channel.all("columns").map(str::to_owned).collect();
    if columns.is_empty() {
        addressed(&mapping.record, &mut columns);
        let more = deliver.iter().flat_map(|it| it.all("key").chain(it.get("version")));
        columns.extend(more.map(str::to_owned));
    }
    columns.extend(key.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    columns.retain(|it| seen.insert(it.to_lowercase()));
    columns
}

/// Columns that the mapping's fields come from.
fn addressed(shape: &Shape, found: &mut Vec<String>) {
    use vestibule_core::mapping::address::Address;
    for field in &shape.fields {
        match &field.from {
            From::Addresses(addresses) => found.extend(addresses.iter().filter_map(|it| match it {
                Address::Path(path) => {
                    path.steps.last().map(|step| step.name.to_string()).filter(|it| !it.is_empty())
                }
                _ => None,
            })),
            From::Each { shape, .. } => addressed(shape, found),
            From::Constant(_) | From::Computed(_) | From::Model => {}
        }
    }
}

/// Columns that `return.write` writes.
pub(crate) fn written(mapping: &Mapping) -> Vec<String> {
    let places = mapping.back.iter().flat_map(|it| &it.write).filter_map(|it| match it {
        Write::Value { place, .. } => place.steps.last().map(|step| step.name.to_string()),
        Write::Each { .. } => None,
    });
    places.collect()
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Insert,
    Update,
    Call,
}

const MODES: [(Mode, &str); 3] = [(Mode::Insert, "insert"), (Mode::Update, "update"), (Mode::Call, "call")];

/// What happens when the row is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    Skip,
    Retry,
    Review,
}

const POLICIES: [(OnConflict, &str); 3] =
    [(OnConflict::Skip, "skip"), (OnConflict::Retry, "retry"), (OnConflict::Review, "review")];

/// `deliver: sqlserver`, checked. Kept with each job as its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deliver {
    /// The table, or the procedure.
    pub target: Table,
    pub mode: Mode,
    pub key: Vec<String>,
    pub version: Option<String>,
    pub on_conflict: OnConflict,
    pub schema: String,
}

impl Deliver {
    /// Reads and checks the settings; every problem is reported at the channel's place.
    pub fn read(mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let procedure = channel.get("procedure").is_some();
        let usual = procedure.then_some(Mode::Call);
        let mode = word(channel, "mode", &MODES, usual, diagnostics);
        let target =
            table(channel, if mode == Some(Mode::Call) { "procedure" } else { "table" }, diagnostics);
        let mut key: Vec<String> = channel.all("key").map(str::to_owned).collect();
        if key.is_empty() && mode == Some(Mode::Update) {
            // The row that the source read is found by what the source calls its key.
            let source = mapping.receive.iter().find(|it| &*it.kind == crate::KIND);
            key = source.iter().flat_map(|it| it.all("key")).map(str::to_owned).collect();
        }
        names(channel, "key", &key, diagnostics);
        if mode == Some(Mode::Update) && key.is_empty() {
            problem(channel, diagnostics, "`mode: update` needs `key`", "the columns that find the row");
        }
        let on_conflict = word(channel, "on_conflict", &POLICIES, Some(OnConflict::Review), diagnostics);
        let version = channel.get("version").map(str::to_owned);
        names(channel, "version", version.as_slice(), diagnostics);
        let schema = channel.get("schema").unwrap_or(SCHEMA).to_owned();
        names(channel, "schema", std::slice::from_ref(&schema), diagnostics);
        if diagnostics.len() > before {
            return None;
        }
        Some(Self { target: target?, mode: mode?, key, version, on_conflict: on_conflict?, schema })
    }

    /// As a returner of this name keeps it with a job.
    pub fn to_place(&self, returner: &str) -> Place {
        let word = |all: &[(Mode, &str)]| {
            all.iter().find(|(it, _)| *it == self.mode).map_or("", |(_, it)| *it).to_owned()
        };
        let policy = POLICIES.iter().find(|(it, _)| *it == self.on_conflict).map_or("", |(_, it)| *it);
        let mut to = BTreeMap::from([
            ("target".to_owned(), self.target.quoted()),
            ("mode".to_owned(), word(&MODES)),
            ("key".to_owned(), serde_json::Value::from(self.key.clone()).to_string()),
            ("on_conflict".to_owned(), policy.to_owned()),
            ("schema".to_owned(), self.schema.clone()),
        ]);
        if let Some(version) = &self.version {
            to.insert("version".to_owned(), version.clone());
        }
        Place { returner: returner.into(), to }
    }

    /// What [`Deliver::to_place`] made.
    pub fn of_place(place: &Place) -> Option<Self> {
        let get = |key: &str| place.to.get(key).map(String::as_str);
        Some(Self {
            target: Table::read(get("target")?)?,
            mode: MODES.iter().find(|(_, it)| get("mode") == Some(it))?.0,
            key: serde_json::from_str(get("key")?).ok()?,
            version: get("version").map(str::to_owned),
            on_conflict: POLICIES.iter().find(|(_, it)| get("on_conflict") == Some(it))?.0,
            schema: get("schema").filter(|it| is_name(it))?.to_owned(),
        })
    }
}

fn problem(channel: &Channel, diagnostics: &mut Diagnostics, title: &str, label: &str) {
    diagnostics.push("D125", &channel.span, title, label);
}

fn table(channel: &Channel, key: &str, diagnostics: &mut Diagnostics) -> Option<Table> {
    let found = channel.get(key).and_then(Table::read);
    if found.is_none() {
        problem(
            channel,
            diagnostics,
            &format!("`sqlserver` needs `{key}`"),
            "e.g. dbo.orders or [odd.schema].[odd name]",
        );
    }
    found
}

fn word<T: Copy>(
    channel: &Channel,
    key: &str,
    words: &[(T, &'static str)],
    usual: Option<T>,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let said = channel.get(key);
    let found = match said {
        None => usual,
        Some(said) => words.iter().find(|(_, it)| *it == said).map(|(it, _)| *it),
    };
    if found.is_none() {
        let all: Vec<&str> = words.iter().map(|(_, it)| *it).collect();
        problem(
            channel,
            diagnostics,
            &format!("`{key}` is not usable"),
            &format!("one of {}", all.join(", ")),
        );
    }
    found
}

fn number(channel: &Channel, key: &str, usual: u64, diagnostics: &mut Diagnostics) -> Option<u64> {
    let found = channel.get(key).map_or(Some(usual), |it| it.parse().ok().filter(|it| *it > 0));
    if found.is_none() {
        problem(channel, diagnostics, &format!("`{key}` is not a number"), "1 or more");
    }
    found
}

fn names(channel: &Channel, key: &str, names: &[String], diagnostics: &mut Diagnostics) {
    if names.iter().any(|it| !is_name(it)) {
        problem(
            channel,
            diagnostics,
            &format!("`{key}` has a name that is none"),
            "1 to 128 characters, none of them a control character",
        );
    }
}
