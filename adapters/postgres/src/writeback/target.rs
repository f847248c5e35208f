//! What the catalogue says of a table or function that is written.

use std::collections::HashMap;

use tokio_postgres::{Client, Row};

use super::{
    deliver::{Deliver, Mode},
    refusal::Refusal,
};

/// A type without its length: a cast to it neither cuts nor rounds, the column itself refuses what does not fit.
const COLUMNS: &str = "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, -1), \
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END = 'bytea'::pg_catalog.regtype, \
    coalesce(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '' \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'f') AND a.attnum > 0 \
    AND NOT a.attisdropped";
const FUNCTIONS: &str = "SELECT coalesce(pg_catalog.to_jsonb(p) ->> 'prokind', 'f'), p.pronargdefaults::int4, \
    coalesce(p.proargnames, '{}'), coalesce(p.proargmodes::text[], '{}'), \
    (SELECT coalesce(array_agg(pg_catalog.format_type(it, -1) ORDER BY at), '{}') \
     FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS them(it, at)) \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
    WHERE n.nspname = $1 AND p.proname = $2 LIMIT 100";
const INSTALLED: &str = "SELECT count(*) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname IN ('written', 'signal')";

/// A table with its columns, or a function with its arguments.
#[derive(Debug, Default)]
pub(super) struct Target {
    columns: HashMap<String, Column>,
    pub is_procedure: bool,
}

/// A column or an argument.
#[derive(Debug)]
pub(super) struct Column {
    kind: String,
    is_bytes: bool,
    is_generated: bool,
}

impl Column {
    /// The parameter as a value of this column.
    pub fn cast(&self, parameter: &str) -> String {
        match self.is_bytes {
            true => format!("pg_catalog.decode({parameter}, 'base64')"),
            false => format!("{parameter}::{}", self.kind),
        }
    }
}

impl Target {
    /// Reads the catalogue. `written`: the names that are to be written, which choose among functions of one name.
    pub async fn read(client: &Client, deliver: &Deliver, written: &[String]) -> Result<Self, Refusal> {
        let failed = |error| Refusal::of(&deliver.target.to_string(), error);
        let installed = client.query_one(INSTALLED, &[&deliver.schema]).await.map_err(failed)?;
        if installed.try_get::<_, i64>(0).map_err(failed)? < 2 {
            return Err(Refusal::NotInstalled { schema: deliver.schema.clone() });
        }
        let statement = if deliver.mode == Mode::Call { FUNCTIONS } else { COLUMNS };
        let names: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&deliver.target.schema, &deliver.target.name];
        let rows = client.query(statement, &names).await.map_err(failed)?;
        let refused =
            |what: &str| Refusal::Target { target: deliver.target.to_string(), what: what.to_owned() };
        if rows.is_empty() {
            return Err(refused("it is not there, or its schema is not ours to use"));
        }
        if deliver.mode != Mode::Call {
            return table(&rows).map_err(failed);
        }
        let mut fitting = Vec::new();
        for row in &rows {
            fitting.extend(function(row, written).map_err(failed)?);
        }
        match fitting.len() {
            1 => fitting.pop().ok_or_else(|| refused("it is not there")),
            0 => Err(refused("it has no arguments of these names, needs others, or has some without a name")),
            _ => Err(refused("several of this name take these arguments")),
        }
    }

    /// The column of this name; `Err` says that there is none.
    pub fn column(&self, name: &str) -> Result<&Column, String> {
        self.columns.get(name).ok_or_else(|| format!("there is no column {name:?}"))
    }

    /// The same for one that is written.
    pub fn writable(&self, name: &str) -> Result<&Column, String> {
        let column = self.column(name)?;
        if column.is_generated { Err(format!("the column {name:?} is generated")) } else { Ok(column) }
    }
}

fn table(rows: &[Row]) -> Result<Target, tokio_postgres::Error> {
    let mut target = Target::default();
    for row in rows {
        let column =
            Column { kind: row.try_get(1)?, is_bytes: row.try_get(2)?, is_generated: row.try_get(3)? };
        target.columns.insert(row.try_get(0)?, column);
    }
    Ok(target)
}

/// The function, where it can be called with these arguments by name.
fn function(row: &Row, written: &[String]) -> Result<Option<Target>, tokio_postgres::Error> {
    let kind: String = row.try_get(0)?;
    let defaults = usize::try_from(row.try_get::<_, i32>(1)?).unwrap_or_default();
    let (names, modes, kinds): (Vec<String>, Vec<String>, Vec<String>) =
        (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let is_procedure = kind == "p";
    if !matches!(kind.as_str(), "f" | "p") {
        return Ok(None);
    }
    let mut target = Target { is_procedure, ..Target::default() };
    let mut inputs = Vec::new();
    for (at, kind) in kinds.into_iter().enumerate() {
        let name = names.get(at).cloned().unwrap_or_default();
        match modes.get(at).map_or("i", String::as_str) {
            "i" | "b" => {
                let is_bytes = kind == "bytea";
                inputs.push(name.clone());
                target.columns.insert(name, Column { kind, is_bytes, is_generated: false });
            }
            // What a procedure gives back must be named in CALL; a function's is only not looked at.
            "o" | "t" if !is_procedure => {}
            _ => return Ok(None),
        }
    }
    let needed = inputs.len().saturating_sub(defaults);
    let are_there = inputs.iter().take(needed).all(|it| !it.is_empty() && written.contains(it));
    let are_known = written.iter().all(|it| !it.is_empty() && inputs.contains(it));
    Ok((are_there && are_known).then_some(target))
}
