//! Tables of databases as places that documents arrive from and results go to, and reference data.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::mapping::shape::OneOrMany;

/// Rows of a PostgreSQL table.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct PostgresReceive {
    /// Name of a connection in vestibule.yaml
    #[schemars(required)]
    pub connection: Option<String>,
    /// The table, with its schema where that is not public: sales.orders
    #[schemars(required)]
    pub table: Option<String>,
    /// How rows are noticed: trigger (an outbox filled by triggers), log (logical replication), snapshot (all rows, once)
    #[schemars(required)]
    pub capture: Option<PostgresCapture>,
    /// The columns that are read; those that the record, `key` and the write-back need when left out
    pub columns: Option<OneOrMany>,
    /// The column(s) that tell rows apart; the table's primary key when left out
    pub key: Option<OneOrMany>,
    /// Only rows for which this SQL condition holds, e.g. status = 'new'. Only with `capture: trigger` or `snapshot`
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Our own schema in their database; vestibule when left out
    pub schema: Option<String>,
    /// What stands for a long value that the database does not repeat: before (the old row's, where it is known; when
    /// left out), read (it is read again), finding
    pub unchanged: Option<Unchanged>,
    /// Whether rows that are there already are handed over first: initial, or never (when left out)
    pub snapshot: Option<InitialSnapshot>,
    /// Most rows that wait in the outbox before `overflow` applies; 1000000 when left out. Only with `capture: trigger`
    pub backlog: Option<NonZeroU32>,
    /// What happens to more: alarm (they are kept; when left out) or drop (the oldest go, each with a finding). Only with
    /// `capture: trigger`
    pub overflow: Option<Backlog>,
    /// Name of the replication slot; vestibule_MAPPING when left out. Only with `capture: log`
    pub slot: Option<String>,
    /// Name of the publication; vestibule_MAPPING when left out. Only with `capture: log`
    pub publication: Option<String>,
    /// Most log that the server may keep for us, e.g. 1GB (when left out). Only with `capture: log`
    pub wal_budget: Option<String>,
    /// yes: accept a server that sets no limit of its own to the log that it keeps (max_slot_wal_keep_size). Only with
    /// `capture: log`
    pub unlimited: Option<bool>,
    /// How often the database is asked where nothing wakes us; 1s when left out
    pub poll: Option<String>,
    /// How many rows of the outbox are deleted at once. Only with `capture: trigger`
    pub purge: Option<NonZeroU32>,
}

/// Ways in which changes of a PostgreSQL table are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PostgresCapture {
    /// Statement triggers write to an outbox in the same database
    Trigger,
    /// The database's own log, by logical replication
    Log,
    /// All rows, once
    Snapshot,
}

/// Rows of a SQL Server table.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct SqlServerReceive {
    /// Name of a connection in vestibule.yaml
    #[schemars(required)]
    pub connection: Option<String>,
    /// The table, with its schema where that is not dbo: sales.orders
    #[schemars(required)]
    pub table: Option<String>,
    /// How rows are noticed: trigger (an outbox filled by triggers), change-tracking, cdc, snapshot (all rows, once)
    #[schemars(required)]
    pub capture: Option<SqlServerCapture>,
    /// The columns that are read; those that the record, `key` and the write-back need when left out
    pub columns: Option<OneOrMany>,
    /// The column(s) that tell rows apart; the table's primary key when left out
    pub key: Option<OneOrMany>,
    /// Only rows for which this SQL condition holds, e.g. status = 'new'. Only with `capture: trigger` or `snapshot`
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Our own schema in their database; vestibule when left out
    pub schema: Option<String>,
    /// What stands for a long value that the database does not repeat: before (the old row's, where it is known; when
    /// left out), read (it is read again), finding
    pub unchanged: Option<Unchanged>,
    /// Whether rows that are there already are handed over first: initial, or never (when left out)
    pub snapshot: Option<InitialSnapshot>,
    /// Most rows that wait in the outbox before `overflow` applies; 1000000 when left out. Only with `capture: trigger`
    pub backlog: Option<NonZeroU32>,
    /// What happens to more: alarm (they are kept; when left out) or drop (the oldest go, each with a finding). Only with
    /// `capture: trigger`
    pub overflow: Option<Backlog>,
    /// How often the database is asked; 1s when left out
    pub poll: Option<String>,
    /// How many rows of the outbox are deleted at once. Only with `capture: trigger`
    pub purge: Option<NonZeroU32>,
    /// Name(s) of the capture instances, two while the table's schema changes; all of the table when left out. Only with
    /// `capture: cdc`
    pub capture_instance: Option<OneOrMany>,
    /// yes: several processes drain one outbox; rows then arrive in no order. Only with `capture: trigger`
    pub competing: Option<bool>,
}

/// Ways in which changes of a SQL Server table are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SqlServerCapture {
    /// Triggers write to an outbox in the same database
    Trigger,
    /// The database says which keys changed; the rows are read as they are now
    ChangeTracking,
    /// The database's own change tables
    Cdc,
    /// All rows, once
    Snapshot,
}

/// What stands for a value that did not change and that the database does not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unchanged {
    /// The old row's value, where the database says it; else a finding
    Before,
    /// The value as it is now: the row is read again by its key
    Read,
    /// A finding
    Finding,
}

/// Whether rows that are there already are handed over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitialSnapshot {
    /// They are, before the first change
    Initial,
    /// Only changes are
    Never,
}

/// What happens when an outbox holds more rows than `backlog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backlog {
    /// They are kept, and it is said
    Alarm,
    /// The oldest are dropped, and that is a finding
    Drop,
}

/// What a result is written into.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct DatabaseDeliver {
    /// Name of a connection in vestibule.yaml
    #[schemars(required)]
    pub connection: Option<String>,
    /// The table that is written, with its schema where that is not the usual one: sales.scores
    pub table: Option<String>,
    /// How: insert (a row for each result), update (columns of the row that the result is about), call (a procedure)
    pub mode: Option<WriteMode>,
    /// The procedure or function that is called, with its schema: sales.set_score. Only with `mode: call`
    pub procedure: Option<String>,
    /// The column(s) by which the row is found; those that the source says when left out. Only with `mode: update`
    pub key: Option<OneOrMany>,
    /// The column that must still have the value that was read, e.g. row_version. Only with `mode: update`
    pub version: Option<String>,
    /// What happens when the row changed meanwhile, or is gone: skip, retry (with the row as it is now), review (when
    /// left out). Only with `mode: update`
    pub on_conflict: Option<OnConflict>,
    /// Our own schema in their database; vestibule when left out
    pub schema: Option<String>,
}

/// Ways of writing a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WriteMode {
    /// A row for each result
    Insert,
    /// Columns of the row that the result is about
    Update,
    /// A procedure or function with the written columns as its named arguments
    Call,
}

/// What happens to a result whose row changed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It is not written
    Skip,
    /// The row, as it is now, is a new document
    Retry,
    /// A person decides
    Review,
}

/// Reference data on a connection.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct Lookup {
    /// Name of a connection in vestibule.yaml
    #[schemars(required)]
    pub connection: Option<String>,
    /// The table, with its schema where that is not the usual one: public.policies
    #[schemars(required)]
    pub from: Option<String>,
    /// The column whose values a rule's `in` finds: POLICY_NO
    #[schemars(required)]
    pub key: Option<String>,
    /// After how long it is read again; 10m when left out
    pub refresh: Option<String>,
}
