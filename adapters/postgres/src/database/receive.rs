//! What a mapping says of `receive: postgres`, checked.

use std::time::Duration;

use vestibule_core::mapping::{
    diagnostic::Diagnostics,
    plan::{Channel, Mapping},
};

use super::{
    quantity,
    quote::{self, Relation},
};

/// Default of `schema`.
pub(crate) const SCHEMA: &str = "vestibule";
const BACKLOG: u64 = 1_000_000;
const WAL_BUDGET: u64 = 1_000_000_000;
const PURGE: u32 = 5_000;
const POLL: Duration = Duration::from_secs(1);
/// Most columns that a table of PostgreSQL has.
const COLUMNS: usize = 1_600;

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capture {
    /// Triggers write them into an outbox.
    Trigger,
    /// The database's own log is decoded.
    Log,
    /// The rows that are there are read.
    Snapshot,
}

impl Capture {
    /// Every way with its word.
    pub const WORDS: [(Self, &'static str); 3] =
        [(Self::Trigger, "trigger"), (Self::Log, "log"), (Self::Snapshot, "snapshot")];

    /// The word of `capture`.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(it, _)| *it == self).map_or("", |(_, word)| word)
    }
}

/// Where the value of a column that did not change is taken from when the log does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// From the row before, else it is a finding.
    Before,
    /// From the table.
    Read,
    /// From nowhere: a finding.
    Finding,
}

/// What happens to a backlog that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It is told, and kept.
    Alarm,
    /// The oldest events are dropped, which is told and becomes an event of its own.
    Drop,
}

/// `receive: postgres`, checked. Every name in it can be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receive {
    /// The mapping's name.
    pub flow: String,
    pub table: Relation,
    pub capture: Capture,
    /// Columns of the key; empty: there is none.
    pub key: Vec<String>,
    /// Columns that are captured, those of the key first, each once.
    pub columns: Vec<String>,
    /// A condition in SQL.
    pub condition: Option<String>,
    /// Our schema in their database.
    pub schema: String,
    pub unchanged: Unchanged,
    /// Hand over first what is there already.
    pub initial: bool,
    /// Rows.
    pub backlog: u64,
    pub overflow: Overflow,
    pub slot: String,
    pub publication: String,
    /// Bytes of log that may wait for us.
    pub wal_budget: u64,
    /// A server that keeps log without a limit is accepted.
    pub unlimited: bool,
    pub poll: Duration,
    /// Rows that are deleted at once.
    pub purge: u32,
}

impl Receive {
    /// Reads and checks the settings; every problem is reported at the channel's place.
    pub fn read(mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let mut reader = Reader { channel, diagnostics };
        let table = reader.table();
        let capture = reader.word("capture", &Capture::WORDS, None);
        let key = reader.names("key");
        // Checked alone: what is read is known to the mapping.
        reader.names("columns");
        let condition = reader.condition(capture);
        let schema = reader.name("schema", SCHEMA);
        let own = default_name(&mapping.name);
        let unchanged =
            [(Unchanged::Before, "before"), (Unchanged::Read, "read"), (Unchanged::Finding, "finding")];
        let unchanged = reader.word("unchanged", &unchanged, Some(Unchanged::Before));
        let snapshot = [(true, "initial"), (false, "never")];
        let initial = reader.word("snapshot", &snapshot, Some(false));
        let overflow = [(Overflow::Alarm, "alarm"), (Overflow::Drop, "drop")];
        let overflow = reader.word("overflow", &overflow, Some(Overflow::Alarm));
        let unlimited = reader.word("unlimited", &[(true, "yes"), (false, "no")], Some(false));
        let backlog = reader.number("backlog", BACKLOG, 1..=1_000_000_000_000);
        let purge = reader.number("purge", PURGE.into(), 1..=100_000);
        let (wal_budget, poll) = (reader.wal_budget(), reader.poll());
        let (slot, publication) = (reader.name("slot", &own), reader.name("publication", &own));
        if !is_slot(&slot) {
            reader.problem("`slot` is not a name of a slot", "small letters, digits and _");
        }
        let read = reader.columns(read_columns(mapping, channel));
        if diagnostics.len() > before {
            return None;
        }
        Some(Self {
            flow: mapping.name.to_string(),
            table: table?,
            capture: capture?,
            columns: key_first(&key, read),
            key,
            condition,
            schema,
            unchanged: unchanged?,
            initial: initial?,
            backlog,
            overflow: overflow?,
            slot,
            publication,
            wal_budget,
            unlimited: unlimited?,
            poll,
            purge: u32::try_from(purge).unwrap_or(PURGE),
        })
    }
}

/// The columns that a mapping lists or reads, with those that its write-back finds the row by.
fn read_columns(mapping: &Mapping, channel: &Channel) -> Vec<String> {
    mapping.captured(channel).iter().map(|it| it.to_string()).collect()
}

fn key_first(key: &[String], read: Vec<String>) -> Vec<String> {
    let mut columns = key.to_vec();
    for name in read {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    columns
}

/// `vestibule_<mapping>` with what a slot's name can not hold replaced, cut to what one can hold.
fn default_name(flow: &str) -> String {
    let plain = flow.chars().map(|it| match it.to_ascii_lowercase() {
        it @ ('a'..='z' | '0'..='9' | '_') => it,
        _ => '_',
    });
    "vestibule_".chars().chain(plain).take(quote::LONGEST_NAME).collect()
}

fn is_slot(name: &str) -> bool {
    name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}

/// True where the text can only be a condition: it ends no statement, no bracket and no quote that it did not begin.
/// What it says is the DBA's to read: it stands in the printed SQL.
fn is_one_condition(text: &str) -> bool {
    let mut depth = 0_i32;
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            // What is between quotes is passed over.
            quote @ ('\'' | '"') if !rest.by_ref().any(|it| it == quote) => return false,
            '(' => depth = depth.saturating_add(1),
            ')' if depth == 0 => return false,
            ')' => depth = depth.saturating_sub(1),
            ';' | '\0' | '\\' | '$' => return false,
            '-' if rest.peek() == Some(&'-') => return false,
            '/' if rest.peek() == Some(&'*') => return false,
            _ => {}
        }
    }
    depth == 0 && !text.trim().is_empty()
}

struct Reader<'a> {
    channel: &'a Channel,
    diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn problem(&mut self, title: &str, label: &str) {
        self.diagnostics.push("D105", &self.channel.span, title, label);
    }

    fn problem_and<T>(&mut self, title: &str, label: &str, instead: T) -> T {
        self.problem(title, label);
        instead
    }

    fn table(&mut self) -> Option<Relation> {
        let Some(text) = self.channel.get("table") else {
            self.problem("`postgres` needs `table`", "which table?");
            return None;
        };
        let read = Relation::parse(text);
        if read.is_err() {
            self.problem("`table` is not the name of a table", "e.g. orders, sales.orders");
        }
        read.ok()
    }

    fn condition(&mut self, capture: Option<Capture>) -> Option<String> {
        let condition = self.channel.get("where")?;
        if capture == Some(Capture::Log) {
            let why = "the log has no conditions: use `source.only`";
            self.problem("`where` does not go with `capture: log`", why);
        }
        if !is_one_condition(condition) {
            let why = "no `;`, no comments, and brackets and quotes in pairs";
            self.problem("`where` is not one condition", why);
        }
        Some(condition.to_owned())
    }

    fn wal_budget(&mut self) -> u64 {
        match self.channel.get("wal_budget").map(quantity::size) {
            None => WAL_BUDGET,
            Some(Some(size)) if size >= 1_000_000 => size,
            Some(_) => self.problem_and("`wal_budget` is not a size", "from 1MB, e.g. 1GB", WAL_BUDGET),
        }
    }

    fn poll(&mut self) -> Duration {
        let limits = Duration::from_millis(10)..=Duration::from_secs(3600);
        match self.channel.get("poll").map(quantity::duration) {
            None => POLL,
            Some(Some(poll)) if limits.contains(&poll) => poll,
            Some(_) => self.problem_and("`poll` is not a time", "10ms to 1h, e.g. 1s", POLL),
        }
    }

    fn columns(&mut self, read: Vec<String>) -> Vec<String> {
        if read.is_empty() || read.len() > COLUMNS {
            self.problem("there are no columns to capture", "name `columns`, or read some in `record`");
        }
        if read.iter().any(|it| quote::check_name(it).is_err()) {
            self.problem("a column can not have a name that the mapping reads", "1 to 63 bytes");
        }
        read
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(T, &str)], usual: Option<T>) -> Option<T> {
        let said = self.channel.get(key);
        let found =
            said.map_or(usual, |said| words.iter().find(|(_, word)| *word == said).map(|(it, _)| *it));
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
            self.problem(&format!("`{key}` is one of {}", known.join(", ")), "none of them");
        }
        found
    }

    fn name(&mut self, key: &str, usual: &str) -> String {
        let name = self.channel.get(key).unwrap_or(usual);
        if quote::check_name(name).is_err() {
            self.problem(&format!("`{key}` is not a name"), "1 to 63 bytes");
        }
        name.to_owned()
    }

    fn names(&mut self, key: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for name in self.channel.all(key) {
            if quote::check_name(name).is_err() || found.iter().any(|it| it == name) {
                self.problem(
                    &format!("`{key}` has a name that is none, or one twice"),
                    "1 to 63 bytes, each once",
                );
            }
            found.push(name.to_owned());
        }
        found
    }

    fn number(&mut self, key: &str, usual: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(said) = self.channel.get(key) else { return usual };
        match said.parse().ok().filter(|it| range.contains(it)) {
            Some(number) => number,
            None => {
                let title = format!("`{key}` is not a number from {} to {}", range.start(), range.end());
                self.problem_and(&title, "not in these limits", usual)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_one_condition_or_none() {
        for (text, expected) in [
            ("status = 'open'", true),
            ("(a > 1 OR b < 2) AND c IS NOT NULL", true),
            ("name = 'it''s (fine; -- here'", true),
            ("true) OR (true", false),
            ("1 = 1; DROP TABLE orders", false),
            ("a = 1 -- and nothing else", false),
            ("a = 1 /* hidden", false),
            ("a = $$x$$", false),
            ("a = 'open", false),
            ("", false),
        ] {
            assert_eq!(is_one_condition(text), expected, "input: {text:?}");
        }
    }

    #[test]
    fn slots_have_names_that_postgresql_takes() {
        for (flow, expected) in
            [("order-risk", "vestibule_order_risk"), ("Aufträge 2", "vestibule_auftr_ge_2")]
        {
            assert_eq!(default_name(flow), expected, "input: {flow:?}");
        }
        assert_eq!(default_name(&"x".repeat(100)).len(), 63);
    }
}
