//! Results into the database: a row, columns of the same row, or a procedure, in one transaction with the ledger that
//! knows each result by its name. Names are looked up in the catalogue, values are parameters.

use std::{collections::HashMap, sync::Arc};

use futures_util::{future::BoxFuture, lock::Mutex};
use serde_json::Value;
use tiberius::ToSql;
use vestibule_core::{
    change::Change,
    fault::{Fault, FaultCode, Recovery},
    job::{JobState, Purpose, ReplyBody},
    ports::{Parcel, Returner},
};

use crate::{
    catalog,
    cell::{self, Column},
    error::Trouble,
    keyset,
    line::{Line, some_text},
    quote::{literal, name},
    receive::{Deliver, Mode, OnConflict},
    script::GUARD,
    settings::Settings,
};

/// Writes over one connection.
pub(crate) struct Writer {
    pub name: String,
    pub settings: Arc<Settings>,
    pub line: Mutex<Option<Open>>,
}

/// An open session with what it learned of tables.
pub(crate) struct Open {
    line: Line,
    known: HashMap<String, Vec<Column>>,
}

/// What is written.
struct Write {
    message: String,
    flow: String,
    relation: String,
    values: Vec<(String, Option<String>)>,
    key: Vec<(String, String)>,
    version: Option<(String, Option<String>)>,
}

/// A statement with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statement {
    sql: String,
    values: Vec<Option<String>>,
}

impl Statement {
    /// Adds a value for a column; the expression that stands for it.
    fn bind(&mut self, column: &Column, value: Option<&str>) -> Result<String, Fault> {
        let place = self.values.len() + 1;
        let Some(value) = value else {
            self.values.push(None);
            return Ok(format!("CONVERT({}, @P{place})", column.declared));
        };
        let made = cell::parameter(column, value, place);
        let (value, sql) = made.ok_or_else(|| refused(format!("{} can not take this value", column.name)))?;
        self.values.push(Some(value));
        Ok(sql)
    }

    fn text(&mut self, value: &str) -> String {
        self.values.push(Some(value.to_owned()));
        format!("@P{}", self.values.len())
    }
}

fn refused(text: impl Into<String>) -> Fault {
    Fault::new(FaultCode::Undeliverable, text)
}

impl Returner for Writer {
    fn name(&self) -> &str {
        &self.name
    }

    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let mut open = self.line.lock().await;
            let mut results = Vec::with_capacity(parcels.len());
            for parcel in parcels {
                results.push(self.one(&mut open, parcel).await);
            }
            results
        })
    }
}

impl Writer {
    async fn one(&self, open: &mut Option<Open>, parcel: &Parcel) -> Result<(), Fault> {
        let deliver =
            Deliver::of_place(&parcel.place).ok_or_else(|| refused("the place of this result is none"))?;
        if parcel.purpose == Purpose::DeadLetter {
            return Err(refused("a database takes no dead letters"));
        }
        let Some(write) = write(parcel, &deliver)? else { return Ok(()) };
        if open.is_none() {
            let line = Line::open(&self.settings, "writing").await.map_err(Fault::from)?;
            *open = Some(Open { line, known: HashMap::new() });
        }
        let Some(session) = open.as_mut() else { return Err(refused("there is no session")) };
        let done = session.write(&deliver, &write).await;
        if let Err(error) = &done
            && error.is_over
        {
            *open = None;
        }
        done.map_err(|it| it.fault)
    }
}

/// Why nothing was written, and whether the session is of no use any more.
struct Failed {
    fault: Fault,
    is_over: bool,
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        // After an error the catalogue is read again, too.
        let is_over = trouble.is_fatal() || trouble.recovery() == Recovery::GiveUp;
        Self { fault: trouble.into(), is_over }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, is_over: true }
    }
}

impl Open {
    async fn write(&mut self, deliver: &Deliver, write: &Write) -> Result<(), Failed> {
        let target = deliver.target.quoted();
        if !self.known.contains_key(&target) {
            let found = match deliver.mode {
                Mode::Call => catalog::parameters(&mut self.line, &deliver.target).await?,
                Mode::Insert | Mode::Update => catalog::columns(&mut self.line, &deliver.target).await?,
            };
            self.known.insert(target.clone(), found);
        }
        let columns = self.known.get(&target).map(Vec::as_slice).unwrap_or_default();
        let statement = statement(deliver, write, columns)?;
        let texts: Vec<Option<&str>> = statement.values.iter().map(Option::as_deref).collect();
        let values: Vec<&dyn ToSql> = texts.iter().map(|it| it as &dyn ToSql).collect();
        let rows = self.line.last(&statement.sql, &values).await;
        let rows = match rows {
            Err(trouble) => {
                // A transaction may be open where an error did not end it: the session goes, and it with it.
                return Err(Failed { is_over: true, ..Failed::from(trouble) });
            }
            Ok(rows) => rows,
        };
        let said = rows.first().map(|it| some_text(it, 0)).transpose()?.unwrap_or("nothing");
        match said {
            "written" | "known" => Ok(()),
            "skipped" | "retried" => {
                tracing::info!(target = %deliver.target, outcome = said, "the row was changed meanwhile");
                Ok(())
            }
            "changed" => Err(refused("D131: the row was changed since it was read").into()),
            "gone" => Err(refused("D131: the row is not there any more").into()),
            "many" => Err(refused("D131: the key finds several rows: nothing was written").into()),
            _ => Err(refused("the database did not say what became of a result").into()),
        }
    }
}

/// What a parcel's result writes; `None`: nothing.
fn write(parcel: &Parcel, deliver: &Deliver) -> Result<Option<Write>, Fault> {
    let reply = match &parcel.job.state {
        JobState::Answered { reply } | JobState::Returned { reply } | JobState::InReview { reply, .. } => {
            reply
        }
        JobState::Dead { .. } | JobState::Queued { .. } | JobState::Leased { .. } => return Ok(None),
    };
    let ReplyBody::Written { bytes, .. } = &reply.body else { return Ok(None) };
    let body: Value = serde_json::from_slice(bytes).map_err(|_| refused("the result is no JSON object"))?;
    let body = body.as_object().ok_or_else(|| refused("the result is no JSON object"))?;
    let text = |value: &Value| match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) => Some(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => None,
    };
    let values = body.iter().map(|(name, value)| text(value).map(|it| (name.clone(), it)));
    let values: Vec<_> =
        values.collect::<Option<_>>().ok_or_else(|| refused("the result is no object of texts"))?;
    let change = Change::from_bytes(&parcel.job.document.bytes).ok();
    let row = change.as_ref().and_then(|it| it.after.as_ref().or(it.before.as_ref()));
    let mut key = Vec::new();
    let mut version = None;
    if deliver.mode != Mode::Insert {
        let missing = || refused("the document is no row with the columns that `key` names");
        if !deliver.key.is_empty() {
            let texts = row.and_then(|it| keyset::texts(it, &deliver.key)).ok_or_else(missing)?;
            key = deliver.key.iter().cloned().zip(texts).collect();
        }
        if let Some(column) = &deliver.version {
            use vestibule_core::change::Cell;
            let read = match row.and_then(|it| it.get(column)) {
                Some(Cell::Text(text)) => Some(text.to_string()),
                Some(Cell::Null) => None,
                _ => return Err(refused("the document has no value of the column that `version` names")),
            };
            version = Some((column.clone(), read));
        }
    }
    Ok(Some(Write {
        message: parcel.message_id(),
        flow: parcel.job.flow.to_string(),
        relation: change.map(|it| it.table.to_string()).unwrap_or_default(),
        values,
        key,
        version,
    }))
}

fn column<'c>(columns: &'c [Column], name: &str) -> Result<&'c Column, Fault> {
    let exact = columns.iter().find(|it| it.name == name);
    let found = exact.or_else(|| columns.iter().find(|it| it.name.eq_ignore_ascii_case(name)));
    found.ok_or_else(|| refused(format!("D126: there is no column or parameter {name}")))
}

/// The statement: the ledger first, then what is written, then what became of it.
fn statement(deliver: &Deliver, write: &Write, columns: &[Column]) -> Result<Statement, Fault> {
    let s = name(&deliver.schema);
    let mut made = Statement::default();
    let message = made.text(&write.message);
    let mut sql = format!(
        "SET CONTEXT_INFO {GUARD};\nDECLARE @count int, @said nvarchar(16) = N'written';\nBEGIN TRANSACTION;\n\
         INSERT INTO {s}.[written] (message, outcome) SELECT {message}, N'written'\n    \
         WHERE NOT EXISTS (SELECT 1 FROM {s}.[written] WITH (UPDLOCK, HOLDLOCK) WHERE message = {message});\n\
         SET @count = @@ROWCOUNT;\nIF @count = 0 SET @said = N'known';\nELSE\nBEGIN\n"
    );
    match deliver.mode {
        Mode::Insert => {
            let mut names = Vec::new();
            let mut values = Vec::new();
            for (target, value) in &write.values {
                let column = column(columns, target)?;
                names.push(name(&column.name));
                values.push(made.bind(column, value.as_deref())?);
            }
            sql.push_str(&format!(
                "    INSERT INTO {} ({}) VALUES ({});\n",
                deliver.target.quoted(),
                names.join(", "),
                values.join(", ")
            ));
        }
        Mode::Call => sql.push_str(&call(deliver, write, columns, &mut made)?),
        Mode::Update => sql.push_str(&update(deliver, write, columns, &mut made)?),
    }
    sql.push_str("END;\nIF @@TRANCOUNT > 0 COMMIT TRANSACTION;\nSELECT @said AS said;");
    made.sql = sql;
    Ok(made)
}

fn call(deliver: &Deliver, write: &Write, columns: &[Column], made: &mut Statement) -> Result<String, Fault> {
    let mut sql = String::new();
    let mut arguments = Vec::new();
    let key = write.key.iter().map(|(name, value)| (name, Some(value.as_str())));
    let all = key.chain(write.values.iter().map(|(name, value)| (name, value.as_deref())));
    for (place, (target, value)) in all.enumerate() {
        let column = column(columns, target)?;
        if !column.name.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '$' | '#')) {
            return Err(refused(format!("D126: the parameter {target} can not be named in a call")));
        }
        let value = made.bind(column, value)?;
        // An argument must be a name: no expression may stand there.
        sql.push_str(&format!("    DECLARE @V{place} {} = {value};\n", column.declared));
        arguments.push(format!("@{} = @V{place}", column.name));
    }
    sql.push_str(&format!("    EXEC {} {};\n", deliver.target.quoted(), arguments.join(", ")));
    Ok(sql)
}

fn update(
    deliver: &Deliver,
    write: &Write,
    columns: &[Column],
    made: &mut Statement,
) -> Result<String, Fault> {
    let target = deliver.target.quoted();
    let mut sets = Vec::new();
    for (to, value) in &write.values {
        let column = column(columns, to)?;
        sets.push(format!("{} = {}", name(&column.name), made.bind(column, value.as_deref())?));
    }
    let mut key = Vec::new();
    for (of, value) in &write.key {
        let column = column(columns, of)?;
        key.push(format!("{} = {}", name(&column.name), made.bind(column, Some(value))?));
    }
    let key = key.join(" AND ");
    let mut filter = key.clone();
    if let Some((of, value)) = &write.version {
        let column = column(columns, of)?;
        filter.push_str(&match value {
            Some(value) => format!(" AND {} = {}", name(&column.name), made.bind(column, Some(value))?),
            None => format!(" AND {} IS NULL", name(&column.name)),
        });
    }
    let s = name(&deliver.schema);
    let conflict = match deliver.on_conflict {
        // Known by the ledger from now on.
        OnConflict::Skip => format!(
            "UPDATE {s}.[written] SET outcome = N'skipped' WHERE message = @P1; SET @said = N'skipped';"
        ),
        OnConflict::Retry => {
            let texts: Vec<&str> = write.key.iter().map(|(_, it)| it.as_str()).collect();
            let key = made.text(&Value::from(texts).to_string());
            format!(
                "INSERT INTO {s}.[signal] (flow, relation, kind, from_key, to_key) VALUES ({}, {}, N'snapshot', {key}, {key}); \
                 UPDATE {s}.[written] SET outcome = N'retried' WHERE message = @P1; SET @said = N'retried';",
                literal(&write.flow),
                literal(&write.relation),
            )
        }
        OnConflict::Review => "ROLLBACK TRANSACTION; SET @said = N'changed';".into(),
    };
    let skips = i32::from(deliver.on_conflict == OnConflict::Skip);
    Ok(format!(
        "    UPDATE {target} SET {} WHERE {filter};\n    SET @count = @@ROWCOUNT;\n    \
         IF @count > 1 BEGIN ROLLBACK TRANSACTION; SET @said = N'many'; END\n    \
         ELSE IF @count = 0 AND {skips} = 0 AND NOT EXISTS (SELECT 1 FROM {target} WHERE {key})\n    \
         BEGIN ROLLBACK TRANSACTION; SET @said = N'gone'; END\n    \
         ELSE IF @count = 0\n    BEGIN {conflict} END;\n",
        sets.join(", "),
    ))
}

#[cfg(test)]
mod tests;
