//! The slot: what the server says of it, whether what we know fits it, and how it is made and begun.

use std::time::Duration;

use vestibule_core::fault::{Fault, FaultCode, Recovery};

use super::{
    position::{Lsn, Position},
    wire::{Wire, broken},
};
use crate::{
    database::{
        Receive,
        quote::{identifier, literal},
    },
    error::Trouble,
};

/// The server of an open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) system: String,
    pub(super) timeline: String,
    /// The end of its log.
    pub(super) end: Lsn,
    /// Its major version.
    pub(super) version: u32,
    /// How long it waits for a word of ours.
    pub(super) patience: Duration,
    is_logical: bool,
    is_standby: bool,
    /// `max_slot_wal_keep_size` has no limit.
    is_unlimited: bool,
}

/// A slot as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    plugin: String,
    database_is_ours: bool,
    confirmed: Option<Lsn>,
    is_lost: bool,
}

/// What to do with a slot, by what we know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Make it: nothing was handed over yet.
    Make,
    /// Remove what an attempt to make it left, and make it.
    MakeAgain,
    /// Go on from where we are.
    Go,
}

/// Why a source can not go on by itself. Each names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gap {
    #[error(
        "the slot {slot} is not there any more: changes from {from} to {to} may be missing; `vestibule db resync` reads the rows again and goes on"
    )]
    Gone { slot: String, from: Lsn, to: Lsn },
    #[error(
        "the slot {slot} lost its log: changes from {from} to {to} may be missing; `vestibule db resync` reads the rows again and goes on"
    )]
    Lost { slot: String, from: Lsn, to: Lsn },
    #[error(
        "the slot {slot} was moved or made anew by others: changes from {from} to {to} are missing; `vestibule db resync` reads the rows again and goes on"
    )]
    Advanced { slot: String, from: Lsn, to: Lsn },
    #[error(
        "this is another server (system {found}, not {known}): changes since {from} may be missing; `vestibule db resync` reads the rows again and goes on"
    )]
    OtherServer { known: String, found: String, from: Lsn },
    #[error(
        "the server's log ends at {end}, before {known} that was read already: it was set back; `vestibule db resync` reads the rows again and goes on"
    )]
    SetBack { known: Lsn, end: Lsn },
    #[error(
        "there is a slot {slot} already, and nothing is known here of what was read from it; `vestibule db resync` makes it anew and reads the rows"
    )]
    Stranger { slot: String },
    #[error("the slot {slot} is not one of this database for pgoutput: name another one under `slot`")]
    Foreign { slot: String },
}

impl Gap {
    /// As a fault that waits for a person.
    pub(super) fn fault(self, place: &str) -> Fault {
        Fault::new(FaultCode::Unavailable, format!("{place}: {self}"))
            .recovery(Recovery::GiveUp)
            .because(self)
    }
}

/// What a person must do before a slot is made.
pub(super) fn refused(place: &str, why: impl std::fmt::Display) -> Fault {
    Fault::new(FaultCode::Unavailable, format!("{place}: {why}")).recovery(Recovery::GiveUp)
}

/// Asks the server who it is.
pub(super) async fn server(wire: &mut Wire) -> Result<Server, Trouble> {
    let identity = one(wire.query("IDENTIFY_SYSTEM").await?)?;
    let settings = one(wire
        .query(
            "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('wal_level'), \
             pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('max_slot_wal_keep_size', true), \
             (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout')",
        )
        .await?)?;
    let at = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let patience = at(&settings, 4).parse::<u64>().ok().filter(|it| *it > 0).unwrap_or(60_000);
    Ok(Server {
        system: at(&identity, 0),
        timeline: at(&identity, 1),
        end: Lsn::read(&at(&identity, 2)).ok_or_else(|| broken("the server has no place in its log"))?,
        version: at(&settings, 0).parse::<u32>().unwrap_or_default() / 10_000,
        patience: Duration::from_millis(patience),
        is_logical: at(&settings, 1) == "logical",
        is_standby: at(&settings, 2) == "t",
        is_unlimited: at(&settings, 3) == "-1",
    })
}

fn one(rows: Vec<Vec<Option<String>>>) -> Result<Vec<Option<String>>, Trouble> {
    rows.into_iter().next().ok_or_else(|| broken("the server does not say what it was asked"))
}

/// The slot of this name.
pub(super) async fn slot(wire: &mut Wire, name: &str) -> Result<Option<Slot>, Trouble> {
    let name = literal(name).map_err(|error| Trouble::Value(error.to_string()))?;
    let rows = wire
        .query(&format!(
            "SELECT plugin, database = pg_catalog.current_database(), confirmed_flush_lsn, wal_status \
             FROM pg_catalog.pg_replication_slots WHERE slot_name = {name}"
        ))
        .await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let at = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    Ok(Some(Slot {
        plugin: at(0).to_owned(),
        database_is_ours: at(1) == "t",
        confirmed: Lsn::read(at(2)),
        is_lost: at(3) == "lost",
    }))
}

/// Whether what is kept here and what the server has belong together.
pub(super) fn course(
    kept: Option<&Position>,
    slot: Option<&Slot>,
    server: &Server,
    name: &str,
) -> Result<Course, Gap> {
    let slot_name = || name.to_owned();
    if slot.is_some_and(|it| it.plugin != "pgoutput" || !it.database_is_ours) {
        return Err(Gap::Foreign { slot: slot_name() });
    }
    let (kept, slot) = match (kept, slot) {
        (None, None) => return Ok(Course::Make),
        (None, Some(_)) => return Err(Gap::Stranger { slot: slot_name() }),
        (Some(kept), slot) => (kept, slot),
    };
    if kept.system != server.system {
        let (known, found) = (kept.system.clone(), server.system.clone());
        return Err(Gap::OtherServer { known, found, from: kept.lsn });
    }
    // It was about to be made, and nothing of it was handed over.
    if kept.lsn == Lsn::default() {
        return Ok(if slot.is_some() { Course::MakeAgain } else { Course::Make });
    }
    let (from, to) = (kept.lsn, server.end);
    if from > to {
        return Err(Gap::SetBack { known: from, end: to });
    }
    match slot {
        None => Err(Gap::Gone { slot: slot_name(), from, to }),
        Some(slot) if slot.is_lost => Err(Gap::Lost { slot: slot_name(), from, to }),
        Some(Slot { confirmed: Some(confirmed), .. }) if *confirmed > from => {
            Err(Gap::Advanced { slot: slot_name(), from, to: *confirmed })
        }
        Some(_) => Ok(Course::Go),
    }
}

/// Whether a slot may be made: what would fill the server's disk, or never say anything, is refused.
pub(super) async fn check(
    wire: &mut Wire,
    server: &Server,
    receive: &Receive,
    place: &str,
) -> Result<Result<(), Fault>, Trouble> {
    let publication = literal(&receive.publication).map_err(|error| Trouble::Value(error.to_string()))?;
    let (schema, name) = (literal(&receive.table.schema), literal(&receive.table.name));
    let quoted = |it: Result<String, _>| {
        it.map_err(|error: crate::database::quote::Unquotable| Trouble::Value(error.to_string()))
    };
    let (schema, name) = (quoted(schema)?, quoted(name)?);
    if server.version < 14 {
        return Ok(Err(refused(
            place,
            "the server is older than PostgreSQL 14, which `capture: log` needs: use `capture: trigger`",
        )));
    }
    if !server.is_logical {
        return Ok(Err(refused(place, "the server has no `wal_level = logical`")));
    }
    if server.is_unlimited && !receive.unlimited {
        let why = "the server would keep log for us without a limit: set `max_slot_wal_keep_size`, or write `unlimited: yes`";
        return Ok(Err(refused(place, why)));
    }
    let published = wire
        .query(&format!(
            "SELECT 1 FROM pg_catalog.pg_publication_tables \
             WHERE pubname = {publication} AND schemaname = {schema} AND tablename = {name}"
        ))
        .await?;
    if published.is_empty() {
        let why = format!(
            "the publication {} does not have this table: run `vestibule db install`",
            receive.publication
        );
        return Ok(Err(refused(place, why)));
    }
    Ok(Ok(()))
}

/// Makes the slot; where it begins, and the name of the snapshot of that moment where one is wanted. The snapshot is gone
/// with the next word on this connection.
pub(super) async fn make(
    wire: &mut Wire,
    server: &Server,
    name: &str,
    is_exporting: bool,
) -> Result<(Lsn, Option<String>), Trouble> {
    let name = identifier(name).map_err(|error| Trouble::Value(error.to_string()))?;
    let options = match (server.version, is_exporting) {
        (17.., true) if !server.is_standby => "(SNAPSHOT 'export', FAILOVER true)",
        (17.., false) if !server.is_standby => "(SNAPSHOT 'nothing', FAILOVER true)",
        (15.., true) => "(SNAPSHOT 'export')",
        (15.., false) => "(SNAPSHOT 'nothing')",
        (_, true) => "EXPORT_SNAPSHOT",
        (_, false) => "NOEXPORT_SNAPSHOT",
    };
    let command = format!("CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput {options}");
    // It waits for the transactions that are open now.
    let row = one(wire.query_patiently(&command, Duration::from_secs(600)).await?)?;
    let at = |at: usize| row.get(at).cloned().flatten();
    let begin = at(1).and_then(|it| Lsn::read(&it));
    Ok((begin.ok_or_else(|| broken("a slot begins nowhere"))?, at(2).filter(|it| !it.is_empty())))
}

/// Removes the slot.
pub(super) async fn remove(wire: &mut Wire, name: &str) -> Result<(), Trouble> {
    let name = identifier(name).map_err(|error| Trouble::Value(error.to_string()))?;
    wire.query(&format!("DROP_REPLICATION_SLOT {name}")).await.map(drop)
}

/// Begins the stream.
pub(super) async fn begin(wire: &mut Wire, receive: &Receive, from: Lsn) -> Result<(), Trouble> {
    let value = |error: crate::database::quote::Unquotable| Trouble::Value(error.to_string());
    let slot = identifier(&receive.slot).map_err(value)?;
    let publication = literal(&identifier(&receive.publication).map_err(value)?).map_err(value)?;
    let command = format!(
        "START_REPLICATION SLOT {slot} LOGICAL {from} (proto_version '1', publication_names {publication}, messages 'true')"
    );
    wire.stream(&command).await
}

/// What our tables say is to be read again. `resume`: a stop is over. Where they are not there, nothing is asked.
pub(super) async fn resumes(wire: &mut Wire, receive: &Receive) -> Result<Vec<i64>, Trouble> {
    let value = |error: crate::database::quote::Unquotable| Trouble::Value(error.to_string());
    let (schema, flow) =
        (identifier(&receive.schema).map_err(value)?, literal(&receive.flow).map_err(value)?);
    let answer = wire
        .query(&format!(
            "SELECT id FROM {schema}.signal WHERE flow = {flow} AND kind = 'resume' AND done IS NULL ORDER BY id"
        ))
        .await;
    match answer {
        Ok(rows) => Ok(rows.iter().filter_map(|it| it.first()?.as_deref()?.parse().ok()).collect()),
        Err(Trouble::Refused { state, .. }) if matches!(state.code(), "42P01" | "3F000" | "42501") => {
            Ok(Vec::new())
        }
        Err(trouble) => Err(trouble),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::log) fn server(system: &str, end: u64) -> Server {
        Server {
            system: system.into(),
            timeline: "1".into(),
            end: Lsn(end),
            version: 15,
            patience: Duration::from_secs(60),
            is_logical: true,
            is_standby: false,
            is_unlimited: false,
        }
    }

    pub(in crate::log) fn slot(plugin: &str, confirmed: u64, is_lost: bool) -> Slot {
        Slot { plugin: plugin.into(), database_is_ours: true, confirmed: Some(Lsn(confirmed)), is_lost }
    }
}
