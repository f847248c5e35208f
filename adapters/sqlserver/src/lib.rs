//! SQL Server as a source and a sink: triggers with an outbox, change tracking, CDC tables, snapshots, write-back and
//! look-ups.
//!
//! What it promises:
//!
//! - Values are spelt by the server as exact text, whatever the column's type, and read by one decoder (`cell`).
//! - The trigger has nothing in it that can fail by itself: in SQL Server that would end the application's transaction.
//! - A session is dropped after a time-out: what it answers then belongs to nobody.
//! - Nothing here reconnects, waits to try again or spawns: the runner does.
//! - Names are quoted by `quote` alone; values are parameters; texts of the server pass only where they name objects.

mod catalog;
mod cdc;
mod cell;
mod database;
mod duration;
mod error;
mod intake;
mod keyset;
mod line;
mod lookup;
mod outbox;
mod quote;
mod receive;
mod script;
mod settings;
mod signal;
mod snapshot;
mod source;
mod stream;
mod tracking;
mod writeback;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::lock::Mutex;
use vestibule_core::{
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, LookupPlan, Mapping},
    },
    ports::{Connection, ConnectionKind, ConnectionRequest, Database, Lookup, Returner, Source},
};

use self::{
    database::Dba,
    lookup::Keys,
    quote::Table,
    receive::{Deliver, Receive},
    settings::{Encrypt, Settings},
    source::ChangeSource,
    writeback::Writer,
};

/// Diagnostics of this adapter: code, meaning, remedy.
pub const CODES: [(&str, &str, &str); 11] = [
    ("D121", "the address of a SQL Server is not usable", "write host, port or instance, database and user"),
    (
        "D122",
        "there is no password for a SQL Server",
        "name an environment variable that is set under `password`",
    ),
    ("D123", "a time of a SQL Server's connection is outside its limits", "write 1s to 10m"),
    (
        "D124",
        "the encryption of a SQL Server's connection is not settled",
        "see docs/sqlserver.md: encrypt, trust and ca",
    ),
    (
        "D125",
        "a table of SQL Server can not be used as the mapping asks",
        "see docs/sqlserver.md for what each key takes",
    ),
    (
        "D126",
        "a table, column or procedure of a mapping is not in the database",
        "compare the mapping with the catalogue",
    ),
    (
        "D127",
        "a source is not installed, or not switched on in the database",
        "vestibule db plan MAPPING, for the DBA",
    ),
    (
        "D128",
        "a key can not be used to read rows in its order",
        "name the columns of a unique key without NULL",
    ),
    ("D129", "changes are gone from the server before they were read", "vestibule db resync MAPPING"),
    ("D130", "a look-up has too many keys, or one that can not be read", "look up in a view that has fewer"),
    (
        "D131",
        "a row was changed or is gone before its result was written",
        "decide by hand, or set `on_conflict`",
    ),
];

/// The word of `connections`, `receive` and `deliver`.
pub(crate) const KIND: &str = "sqlserver";

/// Connections to databases of SQL Server: `connections: { orders_db: { sqlserver: … } }`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlServer;

impl ConnectionKind for SqlServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn open(
        &self,
        request: ConnectionRequest<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Connection>> {
        let settings = Arc::new(Settings::read(&request, diagnostics)?);
        if settings.encrypt == Encrypt::No {
            tracing::warn!(
                connection = request.name,
                "nothing of this connection is encrypted, the password included"
            );
        }
        if settings.trust {
            tracing::warn!(connection = request.name, "any certificate of this server is taken");
        }
        let name = format!("{KIND} {}", request.name);
        let writer = Arc::new(Writer { name, settings: Arc::clone(&settings), line: Mutex::new(None) });
        Some(Arc::new(Server { name: request.name.to_owned(), settings, writer }))
    }
}

/// One connection of `vestibule.yaml`.
struct Server {
    name: String,
    settings: Arc<Settings>,
    writer: Arc<Writer>,
}

impl Connection for Server {
    fn name(&self) -> &str {
        &self.name
    }

    fn source(
        &self,
        mapping: &Arc<Mapping>,
        channel: &Channel,
        deliver: Option<&Place>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Source>> {
        let receive = Receive::read(mapping, channel, diagnostics)?;
        Some(Arc::new(ChangeSource {
            name: format!("{KIND} {} {}", self.name, receive.what()),
            settings: Arc::clone(&self.settings),
            receive: Arc::new(receive),
            deliver: deliver.cloned(),
        }))
    }

    fn place(&self, mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Place> {
        Some(Deliver::read(mapping, channel, diagnostics)?.to_place(&self.writer.name))
    }

    fn returner(&self) -> Arc<dyn Returner> {
        self.writer.clone()
    }

    fn topology(&self, mapping: &Mapping, channel: &Channel) -> Vec<String> {
        let mut unheard = Diagnostics::default();
        if mapping.receive.contains(channel) {
            let found = Receive::read(mapping, channel, &mut unheard);
            return found.map(|it| format!("reads {}", it.what())).into_iter().collect();
        }
        let found = Deliver::read(mapping, channel, &mut unheard);
        found.map(|it| format!("writes {}", it.target)).into_iter().collect()
    }

    fn database(&self) -> Option<Arc<dyn Database>> {
        Some(Arc::new(Dba { settings: Arc::clone(&self.settings) }))
    }

    fn lookup(
        &self,
        _: &Mapping,
        plan: &LookupPlan,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Lookup>> {
        let table = Table::read(&plan.from).filter(|_| quote::is_name(&plan.key));
        let Some(table) = table else {
            diagnostics.push(
                "D125",
                &plan.span,
                "the table or column of this look-up is no name",
                "e.g. dbo.policies",
            );
            return None;
        };
        Some(Arc::new(Keys::new(&self.name, plan, table, Arc::clone(&self.settings))))
    }
}
