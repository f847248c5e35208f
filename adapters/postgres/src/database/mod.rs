//! Databases of others as sources and sinks: `connections: { orders_db: { postgres: … } }`.
//!
//! Nothing of a DBA's is changed but by the SQL of [`crate::plan`], which is read first. Nothing here reconnects or
//! spawns: a connection that is lost is an error, and the runner opens it anew.

pub(crate) mod line;
pub(crate) mod quantity;
pub(crate) mod quote;
pub(crate) mod receive;
pub(crate) mod settings;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, LookupPlan, Mapping},
    },
    ports::{Connection, ConnectionKind, ConnectionRequest, Database, Lookup, Returner, Source},
};

pub(crate) use self::{
    line::Line,
    quote::Relation,
    receive::{Capture, Overflow, Receive, Unchanged},
    settings::Settings,
};
use crate::{
    error::Trouble,
    log::LogSource,
    lookup::PgLookup,
    outbox::OutboxSource,
    plan::Desk,
    writeback::{Deliver, PgReturner},
};

/// Diagnostics of this adapter: code, meaning, remedy.
pub const CODES: [(&str, &str, &str); 12] = [
    (
        "D101",
        "the address of a database is not usable",
        "write host, port, database and user; see docs/databases.md",
    ),
    (
        "D102",
        "there is no password for a database",
        "name an environment variable that is set under `password`; leave it out where the server asks for none",
    ),
    (
        "D103",
        "the encryption of a database's connection is not settled",
        "write `tls: verify` with a `ca`, `tls: require` or `tls: off`",
    ),
    ("D104", "a time of a database's connection is outside its limits", "write 1s to 10m"),
    ("D105", "a table can not be used as the mapping asks", "see docs/databases.md for what each key takes"),
    ("D106", "`deliver: postgres` is not right", "see docs/write-back.md for what each key takes"),
    (
        "D111",
        "the row of a result is gone, or changed since it was read",
        "look at the row; `vestibule jobs retry` tries again, `on_conflict` says what happens by itself",
    ),
    ("D112", "nothing is installed for write-back", "let a DBA run `vestibule db install`"),
    (
        "D113",
        "a table or procedure is not as the mapping says",
        "compare `return.write` and `deliver` with the catalogue; names are to the letter",
    ),
    ("D114", "there is nothing that can be written", "see docs/write-back.md: what is written"),
    (
        "D115",
        "the database refuses what was to be written",
        "the SQLSTATE and the constraint say what is wrong; mend the mapping or the row, then `vestibule jobs retry`",
    ),
    ("D107", "a look-up can not be read", "see docs/lookups.md: `from` and `key` are names of the catalogue"),
];

/// The word of `connections`, `receive` and `deliver`.
pub(crate) const KIND: &str = "postgres";

/// Connections to PostgreSQL: `connections: { orders_db: { postgres: … } }`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

impl ConnectionKind for Postgres {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn open(
        &self,
        request: ConnectionRequest<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Connection>> {
        let settings = Arc::new(Settings::read(&request, diagnostics)?);
        let returner = Arc::new(PgReturner::new(Arc::clone(&settings)));
        Some(Arc::new(Server { settings, returner }))
    }
}

/// One connection of `vestibule.yaml`.
struct Server {
    settings: Arc<Settings>,
    returner: Arc<PgReturner>,
}

impl Connection for Server {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn source(
        &self,
        mapping: &Arc<Mapping>,
        channel: &Channel,
        deliver: Option<&Place>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Source>> {
        let receive = Receive::read(mapping, channel, diagnostics)?;
        match receive.capture {
            Capture::Log => Some(Arc::new(LogSource::new(&self.settings, receive, deliver.cloned()))),
            Capture::Trigger | Capture::Snapshot => {
                Some(Arc::new(OutboxSource::new(Arc::clone(&self.settings), receive, deliver.cloned())))
            }
        }
    }

    fn place(&self, mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Place> {
        Some(Deliver::read(mapping, channel, diagnostics)?.to_place(self.returner.name()))
    }

    fn returner(&self) -> Arc<dyn Returner> {
        self.returner.clone()
    }

    fn topology(&self, _: &Mapping, _: &Channel) -> Vec<String> {
        Vec::new()
    }

    fn lookup(
        &self,
        _: &Mapping,
        plan: &LookupPlan,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Lookup>> {
        Some(Arc::new(PgLookup::open(&self.settings, plan, diagnostics)?))
    }

    fn database(&self) -> Option<Arc<dyn Database>> {
        Some(Arc::new(Desk { settings: Arc::clone(&self.settings) }))
    }
}

/// A fault of a database for the runner and for people. `place`: what was being done, without values: `trigger
/// public.orders`. The text of [`Trouble`] speaks of names alone.
pub(crate) fn fault(place: &str, trouble: Trouble) -> Fault {
    let (code, recovery) = match &trouble {
        Trouble::Connection(_) | Trouble::Slow(_) => (FaultCode::Unavailable, Recovery::Retry),
        Trouble::Value(_) => (FaultCode::Internal, Recovery::GiveUp),
        Trouble::Refused { state, .. } => match state.code().get(..2).unwrap_or_default() {
            "08" | "25" | "40" | "53" | "55" | "57" | "58" => (FaultCode::Unavailable, Recovery::Retry),
            _ => (FaultCode::Unavailable, Recovery::GiveUp),
        },
    };
    Fault::new(code, format!("{place}: {trouble}")).recovery(recovery).because(trouble)
}
