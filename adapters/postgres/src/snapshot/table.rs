//! What the catalogue says of a table that is to be read.

use tokio_postgres::Client;

use crate::{
    cell::{Columns, Selected, kinds_of_oids},
    database::{Relation, quote::identifier},
    error::Trouble,
};

/// The table itself: its number, its kind, and whether exactly these columns are a key of it, never null, in an order that
/// comparisons of the catalogue's own operators have.
const TABLE: &str = "SELECT c.oid, c.relkind::text, EXISTS (SELECT FROM pg_catalog.pg_index i \
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL \
    AND i.indexprs IS NULL AND i.indnkeyatts = cardinality($3::text[]) AND NOT EXISTS ( \
        SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k(number) \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number \
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
        JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END \
        WHERE NOT a.attname::text = ANY($3) OR NOT a.attnotnull \
        OR b.typtype <> 'e' AND b.typnamespace <> 'pg_catalog'::regnamespace)) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname::text = $1 AND c.relname::text = $2";
const COLUMNS: &str = "SELECT a.attname::text, a.atttypid, t.typlen, \
    pg_catalog.format_type(a.atttypid, a.atttypmod), \
    t.oid = 17 OR t.typbasetype = 17 \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname::text = ANY($2)";

/// A table with the columns that are read of it.
pub(super) struct Table {
    pub(super) columns: Columns,
    pub(super) selected: Vec<Selected>,
    /// Names and types of the key's columns, quoted; empty: it is read in the order in which it is stored.
    pub(super) key: Vec<(String, String)>,
}

/// Why a table can not be read in pieces.
pub(super) enum Unfit {
    Trouble(Trouble),
    /// In words, with names.
    Table(String),
}

impl From<tokio_postgres::Error> for Unfit {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<Trouble> for Unfit {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

pub(super) async fn read(
    client: &Client,
    relation: &Relation,
    columns: &[String],
    key: &[String],
) -> Result<Table, Unfit> {
    let found = client.query_opt(TABLE, &[&relation.schema, &relation.name, &key]).await?;
    let found = found.ok_or_else(|| Unfit::Table(format!("the table {relation} is not there")))?;
    let (oid, kind): (u32, String) = (found.try_get(0)?, found.try_get(1)?);
    let is_key = !key.is_empty() && found.try_get::<_, bool>(2)?;
    if !is_key && !matches!(kind.as_str(), "r" | "m") {
        let text = format!(
            "{relation} is no ordinary table, and its rows can be read in pieces by a unique key only, of columns that are never null"
        );
        return Err(Unfit::Table(text));
    }
    let wanted: Vec<&String> = columns.iter().chain(key).collect();
    let rows = client.query(COLUMNS, &[&oid, &wanted]).await?;
    let oids = rows.iter().map(|it| it.try_get::<_, u32>(1)).collect::<Result<Vec<_>, _>>()?;
    let kinds = kinds_of_oids(client, &oids).await?;
    let at = |name: &String| {
        let same = |it: &&tokio_postgres::Row| it.try_get::<_, &str>(0).is_ok_and(|it| it == name);
        let row = rows.iter().find(same);
        row.ok_or_else(|| Unfit::Table(format!("the table {relation} has no column {name:?}")))
    };
    let mut table = Table { columns: Columns::default(), selected: Vec::new(), key: Vec::new() };
    let quoted = |name: &str| identifier(name).map_err(|error| Unfit::Table(error.to_string()));
    for name in columns {
        let row = at(name)?;
        table.columns.names.push(name.as_str().into());
        table.columns.kinds.push(kinds.get(&row.try_get(1)?).cloned().unwrap_or_default());
        table.selected.push(Selected {
            quoted: quoted(name)?,
            length: row.try_get(2)?,
            is_bytes: row.try_get(4)?,
        });
    }
    for name in key.iter().filter(|_| is_key) {
        table.key.push((quoted(name)?, at(name)?.try_get(3)?));
    }
    Ok(table)
}
