//! Rows that are there already, in pieces: by ranges of the key, or, for a table without one, of the places where it
//! keeps its rows. Each piece is one statement, so each is consistent; all of them are where [`Snapshot::begin`] was
//! called. A place is known after each piece, and reading goes on from it in another life.

mod table;

#[cfg(test)]
mod tests;

use std::{pin::Pin, time::Duration};

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, RowStream};
use vestibule_core::{
    change::{Change, Op},
    document::Hash,
    fault::{Fault, FaultCode, Recovery},
};

use self::table::{Table, Unfit};
use crate::{
    cell::{Texts, selected},
    database::{Line, Receive, Relation, fault, quote},
    error::Trouble,
};

/// What a piece should not be larger than, as text.
const BITE: usize = 8 << 20;
/// Pages of a table without a key that are read at once at first.
const PAGES: u64 = 8;

/// Which rows of which table.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) table: Relation,
    pub(crate) columns: Vec<String>,
    pub(crate) key: Vec<String>,
    /// In SQL.
    pub(crate) condition: Option<String>,
    /// Both ends belong to it; `None`: no end. One text for each column of the key.
    pub(crate) from: Option<Vec<String>>,
    pub(crate) to: Option<Vec<String>>,
}

impl Wanted {
    /// All rows that a mapping asks for.
    pub fn all(receive: &Receive) -> Self {
        Self {
            table: receive.table.clone(),
            columns: receive.columns.clone(),
            key: receive.key.clone(),
            condition: receive.condition.clone(),
            from: None,
            to: None,
        }
    }
}

/// Up to where rows were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    /// Nothing was read.
    Start,
    /// The row of this key, and all before it.
    Key(Vec<String>),
    /// All pages before this one.
    Page(u64),
    /// Everything.
    End,
}

/// A table that is being read.
pub(crate) struct Snapshot {
    wanted: Wanted,
    table: Table,
    /// Names this reading in keys and positions.
    run: String,
    mark: Mark,
    rows: usize,
    pages: u64,
}

/// A piece that is being read. Reading it does not change where its snapshot is.
pub(crate) struct Piece {
    stream: Pin<Box<RowStream>>,
    asked: usize,
    read: usize,
    bytes: usize,
    /// The stream has ended, and is not to be asked again.
    is_read: bool,
    last: Mark,
    /// What the statement saw, as `txid_current_snapshot` says it; empty before its first row.
    pub(crate) seen: String,
}

impl Snapshot {
    /// Looks at the table; reads no row. `run` names this reading: a row that is read twice in one run without having
    /// changed is the same document. A table or a column that is not there is a fault that names it.
    pub async fn open(
        line: &mut Line,
        limit: Duration,
        wanted: Wanted,
        run: String,
        mark: Mark,
    ) -> Result<Self, Fault> {
        let place = format!("reading {}", wanted.table);
        let asked = &wanted;
        let found = line.run(limit, |client| async move {
            Ok(match table::read(client, &asked.table, &asked.columns, &asked.key).await {
                Ok(table) => Ok(table),
                Err(Unfit::Trouble(trouble)) => return Err(trouble),
                Err(Unfit::Table(text)) => Err(text),
            })
        });
        let found = found.await.map_err(|it| fault(&place, it))?;
        let give_up = |text: String| Fault::new(FaultCode::Unavailable, text).recovery(Recovery::GiveUp);
        let table = found.map_err(give_up)?;
        let is_bound = wanted.from.is_some() || wanted.to.is_some();
        let fits = |it: &Option<Vec<String>>| it.as_ref().is_none_or(|it| it.len() == table.key.len());
        if is_bound && (table.key.is_empty() || !fits(&wanted.from) || !fits(&wanted.to)) {
            let text =
                format!("{place}: a range of keys needs a unique key, and a value for each of its columns");
            return Err(give_up(text));
        }
        // The table may have got or lost its key meanwhile: then from the start.
        let mark = match mark {
            Mark::Key(key) if key.len() != table.key.len() => Mark::Start,
            Mark::Page(_) if !table.key.is_empty() => Mark::Start,
            mark => mark,
        };
        Ok(Self { wanted, table, run, mark, rows: 1_000, pages: PAGES })
    }

    /// Makes all pieces that are read on this line parts of one moment: of the exported snapshot of this name, or of now.
    pub async fn begin(line: &mut Line, limit: Duration, exported: Option<&str>) -> Result<(), Trouble> {
        let mut text = String::from("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        if let Some(name) = exported {
            let name = quote::literal(name).map_err(|error| Trouble::Value(error.to_string()))?;
            text.push_str(&format!("; SET TRANSACTION SNAPSHOT {name}"));
        }
        line.run(limit, |client| async move { Ok(client.batch_execute(&text).await?) }).await
    }

    /// Up to where it was read.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The name of this reading.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Asks for the next piece, of at most so many rows.
    pub async fn start(&self, client: &Client, most: usize) -> Result<Piece, Trouble> {
        let asked = most.min(self.rows).max(1);
        let (statement, values) = self.statement(asked);
        let stream = Box::pin(client.query_raw(&statement, values.iter()).await?);
        let last = match &self.mark {
            _ if !self.table.key.is_empty() => self.mark.clone(),
            Mark::Page(page) => Mark::Page(page.saturating_add(self.pages)),
            _ => Mark::Page(self.pages),
        };
        Ok(Piece { stream, asked, read: 0, bytes: 0, is_read: false, last, seen: String::new() })
    }

    /// Takes the end of a piece into account: the next one begins behind it, and is as large as is good. `pages`: of the
    /// table, now, where it has no key.
    pub fn finish(&mut self, piece: &Piece, pages: u64) {
        let is_end = match &piece.last {
            Mark::Page(page) => *page >= pages,
            _ => piece.read < piece.asked,
        };
        self.mark = if is_end { Mark::End } else { piece.last.clone() };
        let each = (piece.bytes / piece.read.max(1)).max(1);
        self.rows = (BITE / each).clamp(1, 10_000).min(self.rows.saturating_mul(4));
        if let Mark::Page(_) = piece.last {
            let grown = if piece.bytes < BITE / 2 { self.pages.saturating_mul(2) } else { self.pages / 2 };
            self.pages = grown.clamp(1, 1024);
        }
    }

    #[allow(dead_code, reason = "the log's handover is its user")]
    /// The rows of the next piece, at most so many where the table has a key; none: it was the last one.
    pub async fn next(
        &mut self,
        line: &mut Line,
        limit: Duration,
        most: usize,
    ) -> Result<Vec<Change>, Trouble> {
        while self.mark != Mark::End {
            let this = &*self;
            let read = line.run(limit, |client| async move {
                let mut piece = this.start(client, most).await?;
                let mut rows = Vec::new();
                while let Some(change) = this.take(&mut piece).await? {
                    rows.push(change);
                }
                Ok((rows, this.size(client).await?, piece))
            });
            let (rows, pages, piece) = read.await?;
            self.finish(&piece, pages);
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }

    /// How many pages the table has now; 0 where nobody needs to know.
    pub async fn size(&self, client: &Client) -> Result<u64, Trouble> {
        if !self.table.key.is_empty() {
            return Ok(0);
        }
        let statement = "SELECT pg_catalog.pg_relation_size(pg_catalog.to_regclass($1)) \
            / pg_catalog.current_setting('block_size')::bigint";
        let row = client.query_one(statement, &[&self.wanted.table.quoted()]).await?;
        let pages: Option<i64> = row.try_get(0)?;
        let gone = || Trouble::Value(format!("the table {} is gone", self.wanted.table));
        Ok(u64::try_from(pages.ok_or_else(gone)?).unwrap_or_default())
    }

    /// The next row of a piece. Cancel-safe: a row is either here or still in the stream.
    pub async fn take(&self, piece: &mut Piece) -> Result<Option<Change>, Trouble> {
        if piece.is_read {
            return Ok(None);
        }
        let Some(row) = piece.stream.try_next().await? else {
            piece.is_read = true;
            return Ok(None);
        };
        piece.read += 1;
        piece.bytes = piece.bytes.saturating_add(row.raw_size_bytes());
        if piece.seen.is_empty() {
            piece.seen = row.try_get(0)?;
        }
        let values: Texts<'_> = row.try_get(1)?;
        let after = self.table.columns.row(&values, row.try_get(2)?);
        if !self.table.key.is_empty() {
            let Texts(key) = row.try_get(3)?;
            let text = |it: &Option<&[u8]>| Some(std::str::from_utf8((*it)?).ok()?.to_owned());
            let key = key.iter().map(text).collect::<Option<Vec<_>>>();
            piece.last = Mark::Key(key.ok_or_else(|| Trouble::Value("a key is no text".into()))?);
        }
        Ok(Some(Change {
            op: Op::Snapshot,
            table: self.wanted.table.to_string().into(),
            at: None,
            position: self.run.as_str().into(),
            txid: None,
            key: self.wanted.key.iter().map(|it| it.as_str().into()).collect(),
            after: Some(after),
            before: None,
        }))
    }

    /// The name of a row of this run: of what it holds, so that a row that changed between two readings is another
    /// document.
    pub fn event_id(&self, system: &str, document: &[u8]) -> String {
        let hash = Hash::of(document).to_string();
        let hash = hash.get(..32).unwrap_or(&hash);
        format!("pg:{system}:snapshot:{}:{}:{hash}", self.run, self.wanted.table)
    }

    fn statement(&self, asked: usize) -> (String, Vec<String>) {
        let mut values: Vec<String> = Vec::new();
        let mut conditions: Vec<String> = Vec::new();
        let names = |it: &Table| it.key.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let key = names(&self.table);
        let mut compare = |how: &str, bound: &[String]| {
            let casts = self.table.key.iter().zip(bound).map(|((_, kind), value)| {
                values.push(value.clone());
                format!("${}::text::{kind}", values.len())
            });
            let casts = casts.collect::<Vec<_>>().join(", ");
            conditions.push(format!("ROW({key}) {how} ROW({casts})"));
        };
        match (&self.mark, &self.wanted.from) {
            (Mark::Key(after), _) => compare(">", after),
            (_, Some(from)) => compare(">=", from),
            _ => {}
        }
        if let Some(to) = &self.wanted.to {
            compare("<=", to);
        }
        let mut end = String::new();
        let mut shown = String::from("NULL::text[]");
        if key.is_empty() {
            let first = if let Mark::Page(page) = self.mark { page } else { 0 };
            let last = first.saturating_add(self.pages).min(u64::from(u32::MAX));
            conditions.push(format!("ctid >= '({first},0)'::tid AND ctid < '({last},0)'::tid"));
        } else {
            end = format!(" ORDER BY {key} LIMIT {asked}");
            let texts: Vec<String> = self.table.key.iter().map(|(name, _)| format!("{name}::text")).collect();
            shown = format!("ARRAY[{}]::text[]", texts.join(", "));
        }
        if let Some(condition) = &self.wanted.condition {
            conditions.push(format!("({condition})"));
        }
        let conditions = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let statement = format!(
            "SELECT pg_catalog.txid_current_snapshot()::text, {}, {shown} FROM {}{conditions}{end}",
            selected(&self.table.selected),
            self.wanted.table.quoted(),
        );
        (statement, values)
    }
}
