//! Hands over the rows that are there, page by page in the order of their key, and goes on after a stop where it was.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tiberius::ToSql;
use vestibule_core::{
    change::{Change, Op},
    ports::Positions,
};

use crate::{
    catalog,
    cell::{self, Column},
    error::Trouble,
    intake::{Event, Mark, Reader},
    keyset::{self, Side},
    line::{Line, some_text},
    receive::Receive,
};

/// Where a snapshot stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Which one: a part of the events' names.
    pub run: String,
    /// The last key that was settled.
    pub after: Option<Vec<String>>,
    /// Whether there is no more.
    pub done: bool,
    /// The first key of the range that is read; none: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<String>>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
}

impl Progress {
    /// One that begins now.
    pub fn fresh() -> Self {
        Self { run: Timestamp::now().as_millisecond().to_string(), ..Self::default() }
    }
}

/// Reads pages of a table.
pub(crate) struct Pages {
    receive: Arc<Receive>,
    system: String,
    columns: Vec<Column>,
    key: Vec<Column>,
}

impl Pages {
    pub async fn open(line: &mut Line, receive: &Arc<Receive>, system: &str) -> Result<Self, Trouble> {
        let all = catalog::columns(line, &receive.table).await?;
        Ok(Self {
            receive: Arc::clone(receive),
            system: system.to_owned(),
            columns: catalog::chosen(&all, &receive.columns, &receive.table)?,
            key: catalog::chosen(&all, &receive.key, &receive.table)?,
        })
    }

    /// The columns that are handed over.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Those of them that are the key's.
    pub fn key(&self) -> &[Column] {
        &self.key
    }

    /// The next rows; each mark is the row's key as JSON.
    pub async fn next(
        &self,
        line: &mut Line,
        progress: &Progress,
        after: Option<&[String]>,
        most: usize,
    ) -> Result<Vec<Event>, Trouble> {
        const BROKEN: Trouble = Trouble::Value("a row is not as it was asked for");
        let (sql, values) = self.sql(progress, after, most)?;
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let values: Vec<&dyn ToSql> = texts.iter().map(|it| it as &dyn ToSql).collect();
        let rows = line.rows(&sql, &values).await?;
        let (now, run) = (Timestamp::now(), progress.run.as_str());
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = cell::read(some_text(row, 0)?, &self.columns).map_err(|_| BROKEN)?;
            let Some(key) = keyset::texts(&row, &self.receive.key) else {
                let text =
                    format!("D128: {} has a row whose key is NULL or can not be read", self.receive.table);
                return Err(Trouble::Stopped(text));
            };
            let mark: Mark = serde_json::Value::from(key).to_string().into();
            let change = Change {
                op: Op::Snapshot,
                table: self.receive.table.to_string().into(),
                at: Some(now),
                position: run.into(),
                txid: None,
                key: self.receive.key.iter().map(|it| it.as_str().into()).collect(),
                after: Some(row),
                before: None,
            };
            let key = format!("ms:{}:snapshot:{run}:{}:{mark}", self.system, self.receive.table);
            events.push(Event { change, key, mark });
        }
        Ok(events)
    }

    fn sql(
        &self,
        progress: &Progress,
        after: Option<&[String]>,
        most: usize,
    ) -> Result<(String, Vec<String>), Trouble> {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        let bounds = [
            (progress.from.as_deref(), Side::From),
            (progress.to.as_deref(), Side::To),
            (after, Side::After),
        ];
        for (key, side) in bounds {
            if let Some(key) = key {
                let found = keyset::side(&self.key, key, side, values.len() + 1)?;
                conditions.push(found.sql);
                values.extend(found.values);
            }
        }
        conditions.extend(self.receive.filter.iter().map(|it| format!("({it}\n)")));
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!("WHERE {} ", conditions.join(" AND "))
        };
        let sql = format!(
            "SELECT TOP ({most}) {} FROM {} AS t {filter}ORDER BY {}",
            cell::row(&self.columns, "t"),
            self.receive.table.quoted(),
            keyset::order(&self.key)
        );
        Ok((sql, values))
    }
}

/// A source that is a snapshot alone.
pub(crate) struct Snapshot {
    pages: Pages,
    progress: Progress,
    /// The last key that was handed over.
    at: Option<Vec<String>>,
    /// Everything was handed over.
    is_read: bool,
    name: String,
    positions: Arc<dyn Positions>,
}

impl Snapshot {
    pub async fn open(
        line: &mut Line,
        receive: &Arc<Receive>,
        positions: Arc<dyn Positions>,
    ) -> Result<Self, Trouble> {
        let system = catalog::system(line).await?;
        catalog::alone(line, receive).await?;
        let name = format!("{} snapshot {}", receive.flow, receive.table);
        let kept = positions.kept(&name).await.map_err(Trouble::Position)?;
        let progress = match kept {
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| Trouble::Value("the kept position is none"))?
            }
            None => Progress::fresh(),
        };
        let at = progress.after.clone();
        let pages = Pages::open(line, receive, &system).await?;
        Ok(Self { pages, is_read: progress.done, progress, at, name, positions })
    }

    async fn keep(&mut self) -> Result<(), Trouble> {
        let text = serde_json::to_string(&self.progress).map_err(|_| Trouble::Value("a position is none"))?;
        self.positions.keep(&self.name, text).await.map_err(Trouble::Position)
    }
}

impl Reader for Snapshot {
    fn fetch<'a>(
        &'a mut self,
        line: &'a mut Line,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, Trouble>> {
        Box::pin(async move {
            if self.is_read {
                return Ok(Vec::new());
            }
            let events = self.pages.next(line, &self.progress, self.at.as_deref(), most).await?;
            match events.last() {
                Some(last) => self.at = serde_json::from_str(&last.mark).ok(),
                None => {
                    self.is_read = true;
                    if self.progress.after == self.at {
                        self.progress.done = true;
                        self.keep().await?;
                    }
                }
            }
            Ok(events)
        })
    }

    fn settled<'a>(
        &'a mut self,
        _line: &'a mut Line,
        _marks: Vec<Mark>,
        up_to: Option<Mark>,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let Some(up_to) = up_to else { return Ok(()) };
            self.progress.after = serde_json::from_str(&up_to).ok();
            self.progress.done = self.is_read && self.progress.after == self.at;
            self.keep().await
        })
    }
}
