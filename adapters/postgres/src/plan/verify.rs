//! The SQL that says whether everything is there: one SELECT, a row for each thing.

use vestibule_core::fault::Fault;

use super::{
    part::{Part, reader, trigger_name},
    text::comment,
    trigger::EVENTS,
};
use crate::database::{
    Capture,
    quote::{Unquotable, identifier, literal},
};

/// The whole script; read-only.
pub(super) fn script(parts: &[Part], user: &str) -> Result<String, Fault> {
    let mut rows = Vec::new();
    for schema in super::install::schemas(parts) {
        let s = identifier(schema)?;
        for table in ["capture", "outbox", "signal", "written", "missed"] {
            let place = literal(&format!("{s}.{table}"))?;
            rows.push(row(&format!("{schema}.{table}"), &format!("to_regclass({place}) IS NOT NULL"))?);
        }
        let reader = reader(schema);
        let (role, member) = (literal(&reader)?, literal(user)?);
        let is_member = format!(
            "EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member \
             WHERE r.rolname = {role} AND u.rolname = {member})"
        );
        rows.push(row(&format!("{user} is a member of {reader}"), &is_member)?);
    }
    for part in parts {
        if let Part::Receive(receive) = part {
            let place = literal(&receive.table.quoted())?;
            match receive.capture {
                Capture::Snapshot => {}
                Capture::Trigger => {
                    for (event, ..) in EVENTS {
                        let name = trigger_name(&receive.flow, event);
                        let there = format!(
                            "EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass({place}) AND tgname = {} AND \
                             tgenabled IN ('O', 'A'))",
                            literal(&name)?
                        );
                        rows.push(row(&format!("trigger {name} on {}", receive.table), &there)?);
                    }
                }
                Capture::Log => {
                    let there = format!(
                        "EXISTS (SELECT FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE p.pubname \
                         = {} AND r.prrelid = to_regclass({place}))",
                        literal(&receive.publication)?
                    );
                    rows.push(row(
                        &format!("publication {} of {}", receive.publication, receive.table),
                        &there,
                    )?);
                }
            }
        }
    }
    if rows.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "{}{};\n",
        comment("Says whether everything is there; changes nothing."),
        rows.join("\nUNION ALL ")
    ))
}

fn row(what: &str, holds: &str) -> Result<String, Unquotable> {
    Ok(format!("SELECT {} AS what, CASE WHEN {holds} THEN 'ok' ELSE 'missing' END AS state", literal(what)?))
}
