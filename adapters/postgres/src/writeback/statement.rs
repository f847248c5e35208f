//! The statements that write a result and its line in the ledger: names are those of the catalogue, quoted; values are
//! parameters.

use crate::database::quote::Relation;

use super::{
    deliver::{Conflict, Mode},
    row::Intent,
    target::Target,
};

/// What begins every transaction of ours: triggers and the log know it by this, and let it pass.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL vestibule.writeback = 'on'; SET LOCAL lock_timeout = '1s'; \
    SELECT pg_catalog.pg_logical_emit_message(true, 'vestibule.writeback', '')";

/// A statement and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The ledger's own statement, where it is one of its own: before a procedure is called.
    pub first: Option<(String, Vec<Option<String>>)>,
    /// What returns how often it was known already, how many rows it changed, and whether the row is there; a procedure
    /// returns anything.
    pub sql: String,
    pub values: Vec<Option<String>>,
}

/// Numbers parameters as they are used.
#[derive(Default)]
struct Parameters {
    values: Vec<Option<String>>,
}

impl Parameters {
    fn add(&mut self, value: Option<String>) -> String {
        self.values.push(value);
        format!("${}::text", self.values.len())
    }
}

/// The statement of this result; `Err` names what the target does not have.
pub(super) fn of(intent: &Intent, target: &Target) -> Result<Written, String> {
    let ledger = ours(&intent.deliver.schema, "written");
    let mut parameters = Parameters::default();
    let message = parameters.add(Some(intent.message.clone()));
    let mut set = Vec::with_capacity(intent.set.len());
    for (name, value) in &intent.set {
        let column = target.writable(name)?;
        set.push((quoted(name), column.cast(&parameters.add(value.clone()))));
    }
    let known = format!("WITH known AS (SELECT 1 FROM {ledger} WHERE message = {message})");
    let is_new = "NOT EXISTS (SELECT 1 FROM known)";
    let once = format!(
        "once AS (INSERT INTO {ledger} (message, outcome) SELECT {message}, 'written' WHERE {is_new})"
    );
    let relation = intent.deliver.target.quoted();
    let counts = |what: &str| format!("SELECT (SELECT count(*) FROM known), {what}");
    let sql = match intent.deliver.mode {
        Mode::Update => update(intent, target, &set, &known, &mut parameters)?,
        Mode::Insert => {
            let names = joined(set.iter().map(|(name, _)| name.clone()), ", ");
            let values = joined(set.into_iter().map(|(_, value)| value), ", ");
            let rest = counts("1::bigint, true");
            format!(
                "{known}, added AS (INSERT INTO {relation} ({names}) SELECT {values} WHERE {is_new} RETURNING 1), \
                 {once} {rest}"
            )
        }
        Mode::Call => {
            let arguments = joined(set.into_iter().map(|(name, value)| format!("{name} => {value}")), ", ");
            if target.is_procedure {
                return Ok(call(&relation, intent, target));
            }
            let rest = counts("count(*) + 1, true FROM called");
            format!("{known}, called AS (SELECT {relation}({arguments}) WHERE {is_new}), {once} {rest}")
        }
    };
    Ok(Written { first: None, sql, values: parameters.values })
}

/// A procedure can not be part of a statement: the ledger comes first, and a known name ends the transaction.
fn call(relation: &str, intent: &Intent, target: &Target) -> Written {
    let mut parameters = Parameters::default();
    let argument = |(name, value): &(String, Option<String>)| {
        let value = parameters.add(value.clone());
        let value = target.writable(name).map_or(value.clone(), |it| it.cast(&value));
        format!("{} => {value}", quoted(name))
    };
    let arguments = joined(intent.set.iter().map(argument), ", ");
    let ledger = ours(&intent.deliver.schema, "written");
    let first = format!("INSERT INTO {ledger} (message, outcome) VALUES ($1::text, 'written')");
    Written {
        first: Some((first, vec![Some(intent.message.clone())])),
        sql: format!("CALL {relation}({arguments})"),
        values: parameters.values,
    }
}

fn update(
    intent: &Intent,
    target: &Target,
    set: &[(String, String)],
    known: &str,
    parameters: &mut Parameters,
) -> Result<String, String> {
    let deliver = &intent.deliver;
    let ledger = ours(&deliver.schema, "written");
    let relation = deliver.target.quoted();
    let mut key = Vec::with_capacity(intent.key.len());
    let mut texts = Vec::with_capacity(intent.key.len());
    for (name, value) in &intent.key {
        let text = parameters.add(value.clone());
        key.push(format!("t.{} = {}", quoted(name), target.column(name)?.cast(&text)));
        texts.push(text);
    }
    let key = joined(key.into_iter(), " AND ");
    let version = match &intent.version {
        None => String::new(),
        Some((name, value)) => {
            let text = parameters.add(value.clone());
            format!(" AND t.{} IS NOT DISTINCT FROM {}", quoted(name), target.column(name)?.cast(&text))
        }
    };
    let set = joined(set.iter().map(|(name, value)| format!("{name} = {value}")), ", ");
    let is_new = "NOT EXISTS (SELECT 1 FROM known)";
    let changed = format!(
        "changed AS (UPDATE {relation} AS t SET {set} WHERE {key}{version} AND {is_new} RETURNING 1)"
    );
    let is_changed = "EXISTS (SELECT 1 FROM changed)";
    let (again, when, otherwise) = match deliver.on_conflict {
        Conflict::Skip => (String::new(), String::new(), "skipped"),
        Conflict::Review => (String::new(), format!(" AND {is_changed}"), "written"),
        Conflict::Retry => {
            let signal = ours(&deliver.schema, "signal");
            let flow = parameters.add(Some(deliver.flow.clone()));
            let texts = joined(texts.into_iter(), ", ");
            let again = format!(
                ", again AS (INSERT INTO {signal} (flow, kind, from_key, to_key) \
                 SELECT {flow}, 'snapshot', ARRAY[{texts}], ARRAY[{texts}] WHERE {is_new} AND NOT {is_changed})"
            );
            (again, String::new(), "again")
        }
    };
    let once = format!(
        "once AS (INSERT INTO {ledger} (message, outcome) \
         SELECT $1::text, CASE WHEN {is_changed} THEN 'written' ELSE '{otherwise}' END WHERE {is_new}{when})"
    );
    // A key that names several rows is no key: the division undoes it all.
    let guard = "count(*) / (CASE WHEN count(*) > 1 THEN 0 ELSE 1 END)";
    Ok(format!(
        "{known}, {changed}{again}, {once} SELECT (SELECT count(*) FROM known), (SELECT {guard} FROM changed), \
         EXISTS (SELECT 1 FROM {relation} AS t WHERE {key})"
    ))
}

/// A table of our schema.
pub(super) fn ours(schema: &str, name: &str) -> String {
    Relation { schema: schema.to_owned(), name: name.to_owned() }.quoted()
}

/// Names were checked when the mapping was read, or are those of the catalogue.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}
