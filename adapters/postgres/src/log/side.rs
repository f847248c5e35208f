//! What is asked beside the stream, on a connection of its own: types, rows, how much log waits for us, and what people
//! want.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::warn;
use vestibule_core::change::Row;

use super::{
    position::Reading,
    rows::{Chunk, Table},
};
use crate::{
    cell::{self, Kind},
    database::{
        Line, Receive, Settings,
        quote::{Unquotable, identifier},
    },
    error::Trouble,
};

/// How often the slot is looked at.
const LOOKING: Duration = Duration::from_secs(10);

/// The other connection; made when it is first needed.
pub(super) struct Side {
    settings: Arc<Settings>,
    receive: Arc<Receive>,
    line: Option<Line>,
    /// A table for the answers to [`Side::row`].
    table: Option<Table>,
    looked: Option<Instant>,
    polled: Option<Instant>,
    /// Our tables are not there: nobody can ask for anything.
    is_deaf: bool,
    is_warned: bool,
    /// So much log waits that nothing more is asked of the server.
    is_over: bool,
    refused: Option<String>,
}

/// Somebody wants rows to be read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) id: i64,
    pub(super) from: Option<Vec<String>>,
    pub(super) to: Option<Vec<String>>,
}

fn value(error: Unquotable) -> Trouble {
    Trouble::Value(error.to_string())
}

impl Side {
    pub(super) fn new(settings: &Arc<Settings>, receive: &Arc<Receive>) -> Self {
        Self {
            settings: Arc::clone(settings),
            receive: Arc::clone(receive),
            line: None,
            table: None,
            looked: None,
            polled: None,
            is_deaf: false,
            is_warned: false,
            is_over: false,
            refused: None,
        }
    }

    /// A further connection.
    pub(super) async fn line(&mut self, role: &str) -> Result<Line, Trouble> {
        Line::open(&self.settings, &format!("{} {role}", self.receive.flow)).await
    }

    /// The connection, made if there is none. An error ends the intake, and with it this connection.
    async fn own(&mut self) -> Result<&mut Line, Trouble> {
        let line = match self.line.take() {
            Some(line) => line,
            None => self.line("log").await?,
        };
        Ok(self.line.insert(line))
    }

    /// What these types are.
    pub(super) async fn kinds(&mut self, oids: &[u32]) -> Result<HashMap<u32, Kind>, Trouble> {
        let limit = self.settings.timeout;
        let line = self.own().await?;
        line.run(limit, |client| cell::kinds_of_oids(client, oids)).await
    }

    /// The row of this key as it is now; `None`: it is not there, or can not be asked for.
    pub(super) async fn row(&mut self, key: &[(Box<str>, String)]) -> Result<Option<Row>, Trouble> {
        let mut table = match self.table.take() {
            Some(table) => table,
            None => {
                let receive = Arc::clone(&self.receive);
                Table::of(self.own().await?, &receive).await?
            }
        };
        let found = table.row(self.own().await?, key).await;
        self.table = Some(table);
        found
    }

    /// The next rows of a range.
    pub(super) async fn chunk(
        &mut self,
        table: &mut Option<Table>,
        reading: &Reading,
    ) -> Result<Chunk, Trouble> {
        let receive = Arc::clone(&self.receive);
        let line = self.own().await?;
        let table = match table {
            Some(table) => table,
            None => table.insert(Table::of(line, &receive).await?),
        };
        if table.key.is_empty() {
            return Err(Trouble::Value(
                "the table has no key that is never null: only all of it can be read, with a new slot".into(),
            ));
        }
        table.chunk(line, reading).await
    }

    /// True while more log waits for us than it may: then rows are not read beside the stream.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What [`Side::done`] says instead.
    pub(super) fn refuse(&mut self, why: String) {
        self.refused = Some(why);
    }

    /// Says that what somebody wanted is done.
    pub(super) async fn done(&mut self, id: i64, said: &str) -> Result<(), Trouble> {
        let limit = self.settings.timeout;
        let schema = identifier(&self.receive.schema).map_err(value)?;
        let said = self.refused.clone().unwrap_or_else(|| said.to_owned());
        let statement =
            format!("UPDATE {schema}.signal SET done = pg_catalog.now(), said = $2 WHERE id = $1");
        let line = self.own().await?;
        line.run(limit, |client| async move { Ok(client.execute(&statement, &[&id, &said]).await?) }).await?;
        self.refused = None;
        Ok(())
    }

    /// What is due: a look at the slot; what somebody wants.
    pub(super) async fn look(&mut self) -> Result<Option<Signal>, Trouble> {
        if self.looked.is_none_or(|it| it.elapsed() >= LOOKING) {
            self.look_at_slot().await?;
            self.looked = Some(Instant::now());
        }
        if self.is_deaf || self.polled.is_some_and(|it| it.elapsed() < self.receive.poll) {
            return Ok(None);
        }
        let signal = self.listen().await?;
        self.polled = Some(Instant::now());
        Ok(signal)
    }

    async fn look_at_slot(&mut self) -> Result<(), Trouble> {
        let (limit, receive) = (self.settings.timeout, Arc::clone(&self.receive));
        let line = self.own().await?;
        let asked = line.run(limit, |client| async move {
            let statement = "SELECT coalesce(wal_status, ''), pg_catalog.pg_wal_lsn_diff(CASE \
                 WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                 ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::bigint \
                 FROM pg_catalog.pg_replication_slots WHERE slot_name = $1::text";
            let Some(row) = client.query_opt(statement, &[&receive.slot]).await? else { return Ok(None) };
            let (status, bytes): (String, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Some((status, u64::try_from(bytes.unwrap_or_default()).unwrap_or_default())))
        });
        let Some((status, bytes)) = asked.await? else { return Ok(()) };
        let (slot, budget) = (&self.receive.slot, self.receive.wal_budget);
        self.is_over = bytes >= budget;
        if self.is_over {
            warn!(
                slot,
                bytes,
                budget,
                "the server keeps more log for us than `wal_budget`; rows are not read again until it is less"
            );
        } else if bytes >= budget / 2 && !self.is_warned {
            warn!(slot, bytes, budget, "the server keeps half of `wal_budget` for us");
        }
        self.is_warned = bytes >= budget / 2;
        if matches!(&*status, "unreserved" | "lost") {
            warn!(slot, bytes, "the server is about to drop log that we have not read ({status})");
        }
        Ok(())
    }

    async fn listen(&mut self) -> Result<Option<Signal>, Trouble> {
        let (limit, receive) = (self.settings.timeout, Arc::clone(&self.receive));
        let schema = identifier(&receive.schema).map_err(value)?;
        let statement = format!(
            "SELECT id, from_key, to_key FROM {schema}.signal WHERE flow = $1 AND done IS NULL ORDER BY id LIMIT 1"
        );
        let line = self.own().await?;
        let asked = line.run(limit, |client| async move {
            let Some(row) = client.query_opt(&statement, &[&receive.flow]).await? else { return Ok(None) };
            Ok(Some(Signal { id: row.try_get(0)?, from: row.try_get(1)?, to: row.try_get(2)? }))
        });
        match asked.await {
            Err(Trouble::Refused { state, .. }) if matches!(state.code(), "42P01" | "3F000" | "42501") => {
                self.is_deaf = true;
                warn!(
                    slot = self.receive.slot,
                    "nobody can ask for rows to be read again: run `vestibule db install`"
                );
                Ok(None)
            }
            other => other,
        }
    }
}
