//! Rows that are there already: read whole under the slot's own snapshot, or in ranges of the key between two marks in the
//! log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio_postgres::{Client, Row as Answer, types::ToSql};
use uuid::Uuid;
use vestibule_core::{
    change::{Cell, Change, Op, Row},
    document::Hash,
};

use super::{decode::WATERMARK, position::Reading};
use crate::{
    cell::{self, Kind},
    database::{
        Line, Receive,
        quote::{Unquotable, identifier, literal},
    },
    error::Trouble,
};

/// The longest value that is read.
const LONGEST: usize = cell::LONGEST;
/// What one reading should bring at once, in bytes of rows.
const BITE: usize = 2 << 20;
/// Rows of the first reading, when nothing is known of their size.
const FIRST: usize = 32;
/// The most rows of one.
const MOST: usize = 2_000;
/// The longest time for one.
const LIMIT: Duration = Duration::from_secs(55);

/// A table as the catalogue has it now, and how many rows of it are read at once.
pub(super) struct Table {
    receive: Arc<Receive>,
    columns: Vec<Column>,
    /// Columns of the key with their types in SQL; empty: there is none, or it may be null.
    pub(super) key: Vec<(Box<str>, String)>,
    /// Types in SQL, by the column's name.
    kinds: HashMap<String, String>,
    bite: usize,
    /// Rows that were fetched, and whether it is not known what became of the last fetching.
    fetched: usize,
    is_unsure: bool,
}

struct Column {
    name: Box<str>,
    quoted: String,
    kind: Kind,
    can_be_long: bool,
}

/// A row with its key, as the database spells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) key: Vec<String>,
    pub(super) row: Row,
}

/// Rows of a range, read between two marks in the log.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) low: String,
    pub(super) high: String,
    /// `pg_current_snapshot()` of the reading.
    pub(super) snapshot: String,
    rows: Vec<Option<Found>>,
    places: HashMap<Vec<String>, usize>,
    /// The key of its last row.
    pub(super) last: Option<Vec<String>>,
    /// Nothing of the range comes behind it.
    pub(super) is_end: bool,
    /// The stream is between the marks.
    pub(super) is_open: bool,
    /// A transaction that was read before may be missing in it.
    pub(super) is_stale: bool,
}

impl Chunk {
    fn new(run: Uuid, rows: Vec<Found>, snapshot: String, is_end: bool) -> Self {
        let places = rows.iter().enumerate().map(|(at, it)| (it.key.clone(), at)).collect();
        let last = rows.last().map(|it| it.key.clone());
        let one = Uuid::now_v7();
        Self {
            low: format!("{run}:{one}:low"),
            high: format!("{run}:{one}:high"),
            snapshot,
            rows: rows.into_iter().map(Some).collect(),
            places,
            last,
            is_end,
            is_open: false,
            is_stale: false,
        }
    }

    /// The row of this key changed while it was read: the stream says what it is.
    pub(super) fn forget(&mut self, key: &[String]) {
        if let Some(place) = self.places.get(key).and_then(|at| self.rows.get_mut(*at)) {
            *place = None;
        }
    }

    /// All rows are gone.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// What is left of it.
    pub(super) fn into_rows(self) -> impl Iterator<Item = Found> {
        self.rows.into_iter().flatten()
    }
}

fn value(error: Unquotable) -> Trouble {
    Trouble::Value(error.to_string())
}

impl Table {
    /// Asks the catalogue.
    pub(super) async fn of(line: &mut Line, receive: &Arc<Receive>) -> Result<Self, Trouble> {
        let relation = receive.table.quoted();
        let found = line.run(LIMIT, |client| async move {
            let statement = "SELECT a.attname::text, a.atttypid, a.attlen, pg_catalog.format_type(a.atttypid, -1), \
                 a.attnotnull, pg_catalog.array_position(i.indkey::int2[], a.attnum) \
                 FROM pg_catalog.pg_attribute a \
                 LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
                 WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped";
            let rows = client.query(statement, &[&relation]).await?;
            let kinds: Vec<u32> = rows.iter().map(|it| it.try_get(1)).collect::<Result<_, _>>()?;
            Ok((rows, cell::kinds_of_oids(client, &kinds).await?))
        });
        let (rows, kinds) = found.await?;
        let (mut known, mut primary) = (HashMap::new(), Vec::new());
        for row in &rows {
            let (name, kind): (String, u32) = (row.try_get(0)?, row.try_get(1)?);
            let (length, sql, is_never_null): (i16, String, bool) =
                (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let place: Option<i32> = row.try_get(5)?;
            primary.extend(place.map(|it| (it, name.clone())));
            known.insert(name, (kind, length, sql, is_never_null));
        }
        let mut columns = Vec::new();
        for name in &receive.columns {
            let Some((kind, length, ..)) = known.get(name) else {
                return Err(Trouble::Value(format!("the table has no column {name:?}")));
            };
            columns.push(Column {
                name: name.as_str().into(),
                quoted: identifier(name).map_err(value)?,
                kind: kinds.get(kind).cloned().unwrap_or_default(),
                can_be_long: *length < 0,
            });
        }
        primary.sort_unstable();
        let key = if receive.key.is_empty() {
            primary.into_iter().map(|(_, name)| name).collect()
        } else {
            receive.key.clone()
        };
        let of_key = key.iter().map(|name| {
            let (_, _, sql, is_never_null) = known.get(name)?;
            let is_read = columns.iter().any(|it| *it.name == **name);
            (*is_never_null && is_read).then(|| (Box::from(name.as_str()), sql.clone()))
        });
        let key = of_key.collect::<Option<Vec<_>>>().unwrap_or_default();
        let kinds = known.into_iter().map(|(name, (_, _, sql, _))| (name, sql)).collect();
        let receive = Arc::clone(receive);
        Ok(Self { receive, columns, key, kinds, bite: FIRST, fetched: 0, is_unsure: false })
    }

    /// The columns, then for each whether it was too long to be read.
    fn list(&self) -> String {
        let mut list = String::new();
        for Column { quoted, can_be_long, .. } in &self.columns {
            if *can_be_long {
                list.push_str(&format!(
                    "CASE WHEN pg_catalog.octet_length({quoted}::text) <= {LONGEST} THEN {quoted}::text END, \
                     coalesce(pg_catalog.octet_length({quoted}::text), 0), "
                ));
            } else {
                list.push_str(&format!("{quoted}::text, 0, "));
            }
        }
        list
    }

    /// The columns of the key, as the table `r` has them: a name alone would be the text of the same name that is selected,
    /// and texts are in another order.
    fn key_list(&self) -> Result<String, Trouble> {
        let names: Result<Vec<String>, _> =
            self.key.iter().map(|(name, _)| identifier(name).map(|it| format!("r.{it}"))).collect();
        Ok(names.map_err(value)?.join(", "))
    }

    /// Begins the reading of all rows as this snapshot sees them.
    pub(super) async fn begin(&self, line: &mut Line, snapshot: &str) -> Result<(), Trouble> {
        let order =
            if self.key.is_empty() { String::new() } else { format!(" ORDER BY {}", self.key_list()?) };
        let statement = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; \
             SET LOCAL idle_in_transaction_session_timeout = 0; \
             DECLARE vestibule_rows SCROLL CURSOR FOR SELECT {} ''::text FROM {} AS r{order}",
            literal(snapshot).map_err(value)?,
            self.list(),
            self.receive.table.quoted(),
        );
        line.run(LIMIT, |client| async move { Ok(client.batch_execute(&statement).await?) }).await
    }

    /// The next rows of it; none: that were all. Cancel-safe: what was fetched for nobody is fetched again.
    pub(super) async fn fetch(&mut self, line: &mut Line) -> Result<Vec<Found>, Trouble> {
        if self.is_unsure {
            let back = format!("MOVE ABSOLUTE {} FROM vestibule_rows", self.fetched);
            line.run(LIMIT, |client| async move { Ok(client.batch_execute(&back).await?) }).await?;
        }
        self.is_unsure = true;
        let statement = format!("FETCH {} FROM vestibule_rows", self.bite);
        let rows = line.run(LIMIT, |client| async move { Ok(client.query(&statement, &[]).await?) }).await?;
        self.is_unsure = false;
        self.fetched = self.fetched.saturating_add(rows.len());
        self.found(&rows)
    }

    /// The row of this key, as it is now.
    pub(super) async fn row(
        &mut self,
        line: &mut Line,
        key: &[(Box<str>, String)],
    ) -> Result<Option<Row>, Trouble> {
        let mut conditions = Vec::new();
        for (at, (name, _)) in (1..).zip(key) {
            let Some(kind) = self.kinds.get(&**name) else { return Ok(None) };
            conditions.push(format!("{} = ${at}::text::{kind}", identifier(name).map_err(value)?));
        }
        let (list, table, conditions) = (self.list(), self.receive.table.quoted(), conditions.join(" AND "));
        let statement = format!("SELECT {list} ''::text FROM {table} WHERE {conditions} LIMIT 2");
        let rows = line.run(LIMIT, |client| async move {
            let values: Vec<&(dyn ToSql + Sync)> = key.iter().map(|(_, value)| value as _).collect();
            Ok(client.query(&statement, &values).await?)
        });
        let rows = rows.await?;
        // Two rows are no answer: what the mapping calls a key is none.
        let found = if rows.len() == 1 { self.found(&rows)? } else { Vec::new() };
        Ok(found.into_iter().next().map(|it| it.row))
    }

    /// The next rows of a range, between marks in the log.
    pub(super) async fn chunk(&mut self, line: &mut Line, reading: &Reading) -> Result<Chunk, Trouble> {
        let (keys, table) = (self.key_list()?, self.receive.table.quoted());
        let mut values: Vec<String> = Vec::new();
        let mut conditions = Vec::new();
        let after = (reading.after.as_ref(), ">");
        let from = (reading.from.as_ref().filter(|_| reading.after.is_none()), ">=");
        for (bound, sign) in [after, from, (reading.to.as_ref(), "<=")] {
            let Some(bound) = bound else { continue };
            if bound.len() != self.key.len() {
                return Err(Trouble::Value("an end of the range has not as many values as the key".into()));
            }
            let first = values.len() + 1;
            let marks: Vec<String> =
                (first..).zip(&self.key).map(|(at, (_, kind))| format!("${at}::text::{kind}")).collect();
            conditions.push(format!("ROW({keys}) {sign} ROW({})", marks.join(", ")));
            values.extend(bound.iter().cloned());
        }
        let only =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let bite = self.bite;
        let statement = format!(
            "SELECT {} pg_catalog.pg_current_snapshot()::text FROM {table} AS r {only} ORDER BY {keys} LIMIT {bite}",
            self.list()
        );
        let mut chunk = Chunk::new(reading.run, Vec::new(), String::new(), true);
        let (low, high) = (chunk.low.clone(), chunk.high.clone());
        let rows = line.run(LIMIT, |client| async move {
            emit(client, &low).await?;
            let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|it| it as _).collect();
            let rows = client.query(&statement, &parameters).await?;
            emit(client, &high).await?;
            Ok(rows)
        });
        let rows = rows.await?;
        let at = self.columns.len() * 2;
        let snapshot = rows.first().map(|it| it.try_get::<_, String>(at)).transpose()?.unwrap_or_default();
        let is_end = rows.len() < bite;
        let found = self.found(&rows)?;
        let (low, high) = (std::mem::take(&mut chunk.low), std::mem::take(&mut chunk.high));
        Ok(Chunk { low, high, ..Chunk::new(reading.run, found, snapshot, is_end) })
    }

    fn found(&mut self, rows: &[Answer]) -> Result<Vec<Found>, Trouble> {
        let (mut bytes, mut found) = (0usize, Vec::with_capacity(rows.len()));
        for answer in rows {
            let (mut cells, mut texts) = (Vec::with_capacity(self.columns.len()), HashMap::new());
            for (at, column) in self.columns.iter().enumerate() {
                let text: Option<&str> = answer.try_get(at * 2)?;
                let length: i32 = answer.try_get(at * 2 + 1)?;
                let length = usize::try_from(length).unwrap_or_default();
                bytes = bytes.saturating_add(text.map_or(8, str::len));
                if let Some(text) = text.filter(|_| self.key.iter().any(|(name, _)| *name == column.name)) {
                    texts.insert(&*column.name, text.to_owned());
                }
                let cell = match text {
                    Some(text) => cell::cell(text.as_bytes(), &column.kind),
                    None if length > LONGEST => cell::too_long(length),
                    None => Cell::Null,
                };
                cells.push((column.name.clone(), cell));
            }
            let key = self.key.iter().filter_map(|(name, _)| texts.remove(&**name)).collect();
            found.push(Found { key, row: Row(cells) });
        }
        if !rows.is_empty() {
            let each = (bytes / rows.len()).max(1);
            self.bite = (BITE / each).clamp(1, MOST);
        }
        Ok(found)
    }
}

/// Writes a mark into the log, durable when this ends.
async fn emit(client: &Client, mark: &str) -> Result<(), Trouble> {
    let statement = "SELECT pg_catalog.pg_logical_emit_message(true, $1, $2::text)";
    client.query(statement, &[&WATERMARK, &mark]).await?;
    Ok(())
}

impl Found {
    /// The row as a change, with what names it among the rows of a reading: its key and a hash of what it is, so that
    /// the same row read twice is one document, and a row that changed meanwhile another.
    pub(super) fn into_change(
        self,
        table: &str,
        key: &[Box<str>],
        position: &str,
        number: u64,
    ) -> (String, Change) {
        let digest = Hash::of(format!("{:?}", self.row).as_bytes()).to_string();
        let digest = digest.get(..16).unwrap_or_default();
        let name = if self.key.is_empty() { format!("#{number}") } else { self.key.join(",") };
        let change = Change {
            op: Op::Snapshot,
            table: table.into(),
            at: None,
            position: position.into(),
            txid: None,
            key: key.to_vec(),
            after: Some(self.row),
            before: None,
        };
        (format!("{name}:{digest}"), change)
    }
}
