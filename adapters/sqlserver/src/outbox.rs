//! Reads our outbox in the source database: what the triggers wrote, in the order of its row versions.
//!
//! A row counts when every transaction that wrote an older row version has ended (`MIN_ACTIVE_ROWVERSION`), so that the
//! order of commits can hide none. Two transactions that touch one key are serialised by the lock of its row, and take
//! their row versions while they hold it. No position is kept: settled rows are deleted, what is there after a crash is
//! handed over again under the same key.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use vestibule_core::change::{Change, Op, Row};

use crate::{
    catalog,
    cell::{self, Column},
    error::Trouble,
    intake::{Event, Mark, Reader},
    line::{Line, number, some_number, some_text, text},
    quote::{Table, name},
    receive::Receive,
    signal,
};

/// Reads the outbox of one flow.
pub(crate) struct Outbox {
    receive: Arc<Receive>,
    system: String,
    /// Of each capture its table and its columns as they were when the trigger was made.
    captures: HashMap<i64, (Box<str>, Vec<Column>)>,
    /// The greatest row version that was handed over.
    after: i64,
    /// Rows that are locked by our transaction, where others compete.
    locked: usize,
    is_in_transaction: bool,
    /// Reads of the outbox since its size was looked at.
    since_counted: u32,
    signals: signal::Signals,
}

impl Outbox {
    pub async fn open(line: &mut Line, receive: &Arc<Receive>) -> Result<Self, Trouble> {
        let schema = name(&receive.schema);
        let there = format!(
            "SELECT CASE WHEN OBJECT_ID(N'{}.[outbox]') IS NULL THEN 0 ELSE 1 END AS there",
            schema.replace('\'', "''")
        );
        let rows = line.batch(&there).await?;
        if rows.first().map(|it| some_number(it, 0)).transpose()? != Some(1) {
            return Err(not_installed(receive));
        }
        if !receive.is_competing {
            catalog::alone(line, receive).await?;
        }
        let mut outbox = Self {
            receive: Arc::clone(receive),
            system: catalog::system(line).await?,
            captures: HashMap::new(),
            after: 0,
            locked: 0,
            is_in_transaction: false,
            since_counted: 0,
            signals: signal::Signals::new(receive),
        };
        outbox.learn(line).await?;
        if outbox.captures.is_empty() {
            return Err(not_installed(receive));
        }
        Ok(outbox)
    }

    /// Reads what was captured how: the columns of old rows are those of their time.
    async fn learn(&mut self, line: &mut Line) -> Result<(), Trouble> {
        let schema = name(&self.receive.schema);
        let sql = format!(
            "SELECT c.id, c.relation, d.name, d.kind FROM {schema}.[capture] AS c \
             JOIN {schema}.[captured] AS d ON d.capture = c.id WHERE {} ORDER BY c.id, d.ordinal",
            self.receive.scope()
        );
        let rows = line.rows(&sql, &[]).await?;
        self.captures.clear();
        for row in &rows {
            let id = some_number(row, 0)?;
            let relation = some_text(row, 1)?;
            let kind = some_text(row, 3)?.to_owned();
            let column = Column { name: some_text(row, 2)?.to_owned(), declared: kind.clone(), kind };
            self.captures.entry(id).or_insert_with(|| (relation.into(), Vec::new())).1.push(column);
        }
        Ok(())
    }

    async fn read(&mut self, line: &mut Line, most: usize) -> Result<Vec<Event>, Trouble> {
        self.watch(line).await?;
        if self.receive.is_competing && !self.is_in_transaction {
            line.batch("BEGIN TRANSACTION").await?;
            self.is_in_transaction = true;
            self.after = 0;
        }
        let rows = line.last(&drain(&self.receive, most), &[&self.after]).await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let version = some_number(row, 0)?;
            let capture = some_number(row, 1)?;
            if !self.captures.contains_key(&capture) {
                // Installed anew while we ran.
                return Err(Trouble::Connection(
                    "the columns of this flow have changed: it is opened anew".into(),
                ));
            }
            self.after = self.after.max(version);
            events.push(self.event(row, version, capture)?);
        }
        self.locked += if self.is_in_transaction { events.len() } else { 0 };
        if self.is_in_transaction && self.locked == 0 {
            line.batch("COMMIT TRANSACTION").await?;
            self.is_in_transaction = false;
        }
        if events.is_empty() && !self.is_in_transaction {
            self.signals.insert(line, &self.receive).await?;
        }
        Ok(events)
    }

    fn event(&self, row: &tiberius::Row, version: i64, capture: i64) -> Result<Event, Trouble> {
        const BROKEN: Trouble = Trouble::Value("a row of the outbox is not as our trigger writes it");
        let (relation, columns) = self.captures.get(&capture).ok_or(BROKEN)?;
        let image = |place: usize| -> Result<Option<Row>, Trouble> {
            let Some(text) = text(row, place)? else { return Ok(None) };
            cell::read(text, columns).map(Some).map_err(|_| BROKEN)
        };
        let op = match some_text(row, 2)?.trim() {
            "i" => Op::Insert,
            "u" => Op::Update,
            "d" => Op::Delete,
            "s" => Op::Snapshot,
            _ => return Err(BROKEN),
        };
        let at = some_text(row, 3)?.parse::<Timestamp>().ok();
        let change = Change {
            op,
            table: relation.clone(),
            at,
            position: version.to_string().into(),
            txid: None,
            key: self.receive.key.iter().map(|it| it.as_str().into()).collect(),
            before: image(4)?,
            after: image(5)?,
        };
        let key = format!("ms:{}:{}.outbox:{version}", self.system, self.receive.schema);
        Ok(Event { change, key, mark: version.to_string().into() })
    }

    /// Looks at the size of the outbox now and then, and does with it what the mapping says.
    async fn watch(&mut self, line: &mut Line) -> Result<(), Trouble> {
        const EVERY: u32 = 60;
        self.since_counted += 1;
        if self.since_counted % EVERY != 1 {
            return Ok(());
        }
        let receive = &self.receive;
        // Counts no further than it must.
        let most = receive.backlog.min(1 << 40) + 1;
        let sql = format!(
            "SELECT COUNT_BIG(*) FROM (SELECT TOP ({most}) o.rv FROM {0}.[outbox] AS o WITH (READPAST) WHERE o.capture IN \
             (SELECT c.id FROM {0}.[capture] AS c WHERE {1})) AS few",
            name(&receive.schema),
            receive.scope()
        );
        let rows = line.rows(&sql, &[]).await?;
        let count = rows.first().map(|it| number(it, 0)).transpose()?.flatten().unwrap_or_default();
        if u64::try_from(count).unwrap_or_default() < most {
            return Ok(());
        }
        if !receive.is_dropping {
            tracing::warn!(
                flow = receive.flow,
                backlog = receive.backlog,
                "the outbox holds more rows than its backlog"
            );
            return Ok(());
        }
        // The oldest go until what is left fits; a batch each time, so that no lock is held for long.
        let sql = format!(
            "DECLARE @many bigint = (SELECT COUNT_BIG(*) FROM {0}.[outbox] AS o WITH (READPAST) WHERE o.capture IN \
             (SELECT c.id FROM {0}.[capture] AS c WHERE {1})) - @P1; \
             IF @many > 1000 BEGIN SET @many = 1000 END; \
             WITH old AS (SELECT TOP (@many) o.rv FROM {0}.[outbox] AS o WITH (READPAST, ROWLOCK) WHERE o.capture IN \
             (SELECT c.id FROM {0}.[capture] AS c WHERE {1}) ORDER BY o.rv) DELETE FROM old; \
             SELECT CONVERT(bigint, @@ROWCOUNT) AS dropped;",
            name(&receive.schema),
            receive.scope()
        );
        let limit = i64::try_from(receive.backlog).unwrap_or(i64::MAX);
        let rows = line.last(&sql, &[&limit]).await?;
        let dropped = rows.first().map(|it| number(it, 0)).transpose()?.flatten().unwrap_or_default();
        tracing::error!(
            flow = receive.flow,
            dropped,
            "the outbox was over its backlog: the oldest rows were dropped, as the mapping says"
        );
        self.since_counted = 0;
        Ok(())
    }

    async fn forget(&mut self, line: &mut Line, marks: Vec<Mark>) -> Result<(), Trouble> {
        for some in marks.chunks(self.receive.purge) {
            // Numbers of our own, read as such before: nothing else can be in them.
            let numbers: Vec<i64> = some.iter().filter_map(|it| it.parse().ok()).collect();
            line.batch(&forget(&self.receive, &numbers)).await?;
        }
        if self.is_in_transaction {
            self.locked = self.locked.saturating_sub(marks.len());
            if self.locked == 0 {
                line.batch("COMMIT TRANSACTION").await?;
                self.is_in_transaction = false;
            }
        }
        Ok(())
    }
}

impl Reader for Outbox {
    fn fetch<'a>(
        &'a mut self,
        line: &'a mut Line,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, Trouble>> {
        Box::pin(self.read(line, most))
    }

    fn settled<'a>(
        &'a mut self,
        line: &'a mut Line,
        marks: Vec<Mark>,
        _up_to: Option<Mark>,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(self.forget(line, marks))
    }
}

/// The rows after `@P1` that no transaction under way can come before.
fn drain(receive: &Receive, most: usize) -> String {
    let hint = if receive.is_competing { " WITH (ROWLOCK, UPDLOCK, READPAST)" } else { "" };
    format!(
        "DECLARE @until binary(8) = MIN_ACTIVE_ROWVERSION();\n\
         SELECT TOP ({most}) CONVERT(bigint, o.rv), o.capture, o.op, CONVERT(nvarchar(30), o.at, 126) + N'Z', o.before, o.after\n\
         FROM {0}.[outbox] AS o{hint}\n\
         WHERE o.capture IN (SELECT c.id FROM {0}.[capture] AS c WHERE {1})\n  \
         AND o.rv > CONVERT(binary(8), CONVERT(bigint, @P1)) AND o.rv < @until ORDER BY o.rv;",
        name(&receive.schema),
        receive.scope()
    )
}

/// Deletes settled rows.
fn forget(receive: &Receive, versions: &[i64]) -> String {
    let list: Vec<String> = versions.iter().map(|it| format!("0x{it:016X}")).collect();
    format!(
        "DELETE FROM {0}.[outbox] WITH (ROWLOCK) WHERE capture IN (SELECT id FROM {0}.[capture]) AND rv IN ({1});",
        name(&receive.schema),
        list.join(", ")
    )
}

fn not_installed(receive: &Receive) -> Trouble {
    let table = Table { schema: receive.schema.clone(), name: "outbox".into() };
    Trouble::Stopped(format!(
        "D127: {table} is not installed for the flow {}: let the DBA run `vestibule db install {}`",
        receive.flow, receive.flow
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(is_competing: bool) -> Receive {
        Receive { is_competing, schema: "o]x".into(), ..crate::tests::receive() }
    }

    #[test]
    fn what_is_asked_waits_for_older_transactions_and_asks_in_order() {
        insta::assert_snapshot!(drain(&receive(false), 16), @r"
        DECLARE @until binary(8) = MIN_ACTIVE_ROWVERSION();
        SELECT TOP (16) CONVERT(bigint, o.rv), o.capture, o.op, CONVERT(nvarchar(30), o.at, 126) + N'Z', o.before, o.after
        FROM [o]]x].[outbox] AS o
        WHERE o.capture IN (SELECT c.id FROM [o]]x].[capture] AS c WHERE c.flow = N'orders' AND c.relation = N'dbo.orders')
          AND o.rv > CONVERT(binary(8), CONVERT(bigint, @P1)) AND o.rv < @until ORDER BY o.rv;
        ");
        assert!(drain(&receive(true), 1).contains("AS o WITH (ROWLOCK, UPDLOCK, READPAST)"));
    }

    #[test]
    fn settled_rows_are_deleted_by_their_version() {
        insta::assert_snapshot!(
            forget(&receive(false), &[1, 2001]),
            @"DELETE FROM [o]]x].[outbox] WITH (ROWLOCK) WHERE capture IN (SELECT id FROM [o]]x].[capture]) AND rv IN (0x0000000000000001, 0x00000000000007D1);"
        );
    }
}
