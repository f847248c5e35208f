//! What a mapping says of `deliver: postgres`, checked; what that needs of the database; and the place it becomes.

use std::collections::BTreeMap;

use vestibule_core::{
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, Mapping, Write},
    },
};

use crate::database::{
    quote::{self, Relation},
    receive::SCHEMA,
};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As a new row.
    Insert,
    /// Into the row that has the key.
    Update,
    /// By a function or procedure, with the written values as its arguments by name.
    Call,
}

impl Mode {
    const WORDS: [(Self, &'static str); 3] =
        [(Self::Insert, "insert"), (Self::Update, "update"), (Self::Call, "call")];
}

/// What happens where the row is gone or has another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// Nothing is written, and that is the end of it.
    Skip,
    /// Nothing is written; the row is handed over again as it is now.
    Retry,
    /// A person looks.
    Review,
}

impl Conflict {
    const WORDS: [(Self, &'static str); 3] =
        [(Self::Skip, "skip"), (Self::Retry, "retry"), (Self::Review, "review")];
}

/// `deliver: postgres`, checked. Every name in it can be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deliver {
    /// The mapping's name.
    pub flow: String,
    /// The table, or the function.
    pub target: Relation,
    pub mode: Mode,
    /// Columns of the key; empty: those that the source says.
    pub key: Vec<String>,
    /// The column that must have the value that was read.
    pub version: Option<String>,
    pub on_conflict: Conflict,
    /// Our schema in their database.
    pub schema: String,
}

/// What writing back needs of a database, for its grants and checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The table that is written, or the function that is called.
    pub target: Relation,
    /// How.
    pub mode: Mode,
    /// Columns to be inserted into.
    pub insert: Vec<String>,
    /// Columns to be changed.
    pub update: Vec<String>,
    /// Columns to be compared.
    pub select: Vec<String>,
    /// Our schema: its tables `written` (SELECT, INSERT, UPDATE, DELETE) and `signal` (INSERT).
    pub schema: String,
}

/// What this `deliver` needs; `None` where it is not right, which is reported when it is opened.
pub(crate) fn needs(channel: &Channel, mapping: &Mapping) -> Option<Needs> {
    let deliver = Deliver::read(mapping, channel, &mut Diagnostics::default())?;
    let written = written(mapping);
    let key = match (deliver.mode, deliver.key.is_empty()) {
        (Mode::Update, true) => source_key(mapping),
        (Mode::Update, false) => deliver.key.clone(),
        (Mode::Insert | Mode::Call, _) => Vec::new(),
    };
    let mut needs = Needs {
        target: deliver.target,
        mode: deliver.mode,
        insert: Vec::new(),
        update: Vec::new(),
        select: Vec::new(),
        schema: deliver.schema,
    };
    match deliver.mode {
        Mode::Insert => needs.insert = written,
        Mode::Update => {
            needs.update = written;
            needs.select = key;
            if let Some(version) = deliver.version.filter(|it| !needs.select.contains(it)) {
                needs.select.push(version);
            }
        }
        Mode::Call => {}
    }
    Some(needs)
}

/// The columns that `return.write` writes, in its order.
pub(crate) fn written(mapping: &Mapping) -> Vec<String> {
    let plans = mapping.back.as_ref().map(|it| it.write.as_slice()).unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    for plan in plans {
        let (Write::Value { place, .. } | Write::Each { place, .. }) = plan;
        if let Some(step) = place.steps.last()
            && !found.iter().any(|it| **it == *step.name)
        {
            found.push(step.name.to_string());
        }
    }
    found
}

/// The key that the mapping's own source names.
fn source_key(mapping: &Mapping) -> Vec<String> {
    let source = mapping.receive.iter().find(|it| it.get("capture").is_some());
    source.map(|it| it.all("key").map(str::to_owned).collect()).unwrap_or_default()
}

impl Deliver {
    /// Reads and checks the settings; every problem is reported at the channel's place.
    pub fn read(mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let mut problem = |title: &str, label: &str| {
            diagnostics.push("D106", &channel.span, title, label);
        };
        let procedure = channel.get("procedure");
        let target = match (channel.get("table"), procedure) {
            (Some(table), None) => Some(table),
            (None, Some(procedure)) => Some(procedure),
            (None, None) => {
                problem("`deliver: postgres` needs `table` or `procedure`", "where to?");
                None
            }
            (Some(_), Some(_)) => {
                problem("`table` and `procedure` do not go together", "one of them");
                None
            }
        };
        let target = target.and_then(|it| {
            let read = Relation::parse(it);
            if read.is_err() {
                problem("this is not the name of a table or procedure", "e.g. orders, sales.orders");
            }
            read.ok()
        });
        let usual = if procedure.is_some() { Mode::Call } else { Mode::Update };
        let mode = word(channel.get("mode"), &Mode::WORDS, usual);
        if mode.is_none_or(|it| procedure.is_some() && it != Mode::Call) {
            problem("`mode` is insert, update or call", "a procedure is called, a table is not");
        }
        let on_conflict = word(channel.get("on_conflict"), &Conflict::WORDS, Conflict::Review);
        if on_conflict.is_none() {
            problem("`on_conflict` is skip, retry or review", "none of them");
        }
        let key: Vec<String> = channel.all("key").map(str::to_owned).collect();
        let version = channel.get("version").map(str::to_owned);
        let schema = channel.get("schema").unwrap_or(SCHEMA).to_owned();
        let columns = written(mapping);
        if !key.iter().chain(&version).chain([&schema]).chain(&columns).all(is_name) {
            problem("a name can not be one of PostgreSQL", "1 to 63 bytes, without NUL");
        }
        if mode == Some(Mode::Update)
            && key.is_empty()
            && source_key(mapping).is_empty()
            && !reads_rows(mapping)
        {
            problem("`deliver: postgres` needs a `key`", "which row is to be changed?");
        }
        if columns.is_empty() && mode != Some(Mode::Call) {
            problem(
                "nothing is written: `return.write` has no columns",
                "e.g. write: { RISK: answer.score }",
            );
        }
        if diagnostics.len() > before {
            return None;
        }
        let flow = mapping.name.to_string();
        Some(Self { flow, target: target?, mode: mode?, key, version, on_conflict: on_conflict?, schema })
    }

    /// What is kept with the job.
    pub fn to_place(&self, returner: &str) -> Place {
        let said = |words: &[(&str, String)]| -> BTreeMap<String, String> {
            words.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let mut to = said(&[
            ("flow", self.flow.clone()),
            ("target", self.target.quoted()),
            ("mode", spelt(self.mode, &Mode::WORDS)),
            ("on_conflict", spelt(self.on_conflict, &Conflict::WORDS)),
            ("schema", self.schema.clone()),
        ]);
        if !self.key.is_empty() {
            to.insert("key".into(), serde_json::Value::from(self.key.clone()).to_string());
        }
        if let Some(version) = &self.version {
            to.insert("version".into(), version.clone());
        }
        Place { returner: returner.into(), to }
    }

    /// Reads what [`Deliver::to_place`] wrote; `None`: it was not.
    pub fn of_place(place: &Place) -> Option<Self> {
        let get = |key: &str| place.to.get(key);
        let key: Vec<String> = match get("key") {
            Some(list) => serde_json::from_str(list).ok()?,
            None => Vec::new(),
        };
        let mode = get("mode").map(String::as_str);
        let on_conflict = get("on_conflict").map(String::as_str);
        let read = Self {
            flow: get("flow")?.clone(),
            target: Relation::parse(get("target")?).ok()?,
            mode: word(Some(mode?), &Mode::WORDS, Mode::Update)?,
            key,
            version: get("version").cloned(),
            on_conflict: word(Some(on_conflict?), &Conflict::WORDS, Conflict::Review)?,
            schema: get("schema")?.clone(),
        };
        let are_names = read.key.iter().chain(&read.version).chain([&read.schema]).all(is_name);
        are_names.then_some(read)
    }
}

#[allow(clippy::ptr_arg, reason = "it is asked of strings in iterators")]
fn is_name(name: &String) -> bool {
    quote::check_name(name).is_ok()
}

/// A row of a database says its own key.
fn reads_rows(mapping: &Mapping) -> bool {
    &*mapping.source.kind == "cdc"
}

fn word<T: Copy>(said: Option<&str>, words: &[(T, &str)], usual: T) -> Option<T> {
    said.map_or(Some(usual), |said| words.iter().find(|(_, word)| *word == said).map(|(it, _)| *it))
}

fn spelt<T: Copy + PartialEq>(it: T, words: &[(T, &str)]) -> String {
    words.iter().find(|(other, _)| *other == it).map_or_else(String::new, |(_, word)| (*word).to_owned())
}
