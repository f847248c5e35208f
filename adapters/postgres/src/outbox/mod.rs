//! `capture: trigger` and `capture: snapshot`: events that triggers wrote into an outbox in the database, and rows that
//! are there already, in one order.
//!
//! Rows of the outbox are deleted when they are settled. Nothing is kept of where the drain is: what is still there after
//! a crash is handed over again, and known by its key. A piece of a snapshot comes behind all events that it has seen
//! and before all others, so that for each row the last document is the latest.

mod backlog;
mod drain;
mod event;
mod hands;
mod runs;
mod statements;
mod window;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    job::Place,
    ports::{Intake, Positions, Source},
};

use self::{drain::Drain, statements::Statements};
use crate::{
    database::{Capture, Line, Receive, Settings, fault},
    error::Trouble,
};

#[allow(unused_imports, reason = "the trigger function's author is its user")]
pub(crate) use self::statements::channel;

/// A server may need so long for one statement where nobody vacuumed for long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A table whose changes triggers write into an outbox, or whose rows are read once.
pub(crate) struct OutboxSource {
    name: String,
    settings: Arc<Settings>,
    receive: Arc<Receive>,
    /// Where results go.
    deliver: Option<Place>,
}

impl OutboxSource {
    /// Connects to nothing.
    pub fn new(settings: Arc<Settings>, receive: Receive, deliver: Option<Place>) -> Self {
        let name = format!("postgres {} {} {}", settings.name, receive.capture.word(), receive.table);
        Self { name, settings, receive: Arc::new(receive), deliver }
    }

    async fn drain(&self, positions: Arc<dyn Positions>) -> Result<Drain, Fault> {
        let receive = &self.receive;
        let give_up = |text: String| Fault::new(FaultCode::Unavailable, text).recovery(Recovery::GiveUp);
        let statements = Statements::new(&receive.schema, &receive.flow);
        let statements = statements.map_err(|error| give_up(format!("{}: {error}", self.name)))?;
        let limit = self.settings.timeout.max(PATIENCE);
        let trouble = |trouble: Trouble| fault(&self.name, trouble);
        let mut line =
            Line::open(&self.settings, &format!("draining {}", receive.flow)).await.map_err(trouble)?;
        let own = |table: &str| format!("\"{}\".{table}", receive.schema.replace('"', "\"\""));
        let (outbox, signal, table) = (own("outbox"), own("signal"), receive.table.quoted());
        let lock = format!("{} {} {}", receive.schema, receive.flow, receive.table);
        let facts = line.run(limit, |client| {
            let statements = &statements;
            async move {
                client.batch_execute(&statements.listen).await?;
                Ok(client.query_one(&statements.facts, &[&outbox, &signal, &table, &lock]).await?)
            }
        });
        let facts = facts.await.map_err(trouble)?;
        let read = |row: &tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
        };
        let (system, outbox, signal, table, is_ours): (String, Option<u32>, Option<u32>, Option<u32>, bool) =
            read(&facts).map_err(|error| trouble(error.into()))?;
        if !is_ours {
            let text = format!("{}: another process drains", self.name);
            return Err(Fault::new(FaultCode::Unavailable, text).recovery(Recovery::Retry));
        }
        if receive.capture == Capture::Trigger && outbox.is_none() {
            let text = "the outbox is not there: run `vestibule db install`";
            return Err(give_up(format!("{}: {text}", self.name)));
        }
        let Some(table) = table else {
            return Err(give_up(format!("{}: the table {} is not there", self.name, receive.table)));
        };
        let place = drain::Place {
            name: self.name.clone(),
            receive: Arc::clone(receive),
            deliver: self.deliver.clone(),
            statements,
            limit,
            system,
            outbox: outbox.unwrap_or_default(),
            has_signals: signal.is_some(),
            table,
            table_name: receive.table.to_string(),
        };
        Drain::open(line, place, positions, format!("{} {} {}", self.name, receive.schema, receive.flow))
            .await
    }
}

impl Source for OutboxSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, positions: Arc<dyn Positions>) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(async move { Ok(Box::new(self.drain(positions).await?) as Box<dyn Intake>) })
    }
}
