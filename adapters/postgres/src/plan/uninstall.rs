//! The SQL that removes everything: what other flows still use stays.

use vestibule_core::fault::Fault;

use super::{
    install::{receives, schemas},
    part::{Part, owner, reader},
    text::{block, comment, texts},
    trigger::{self, EVENTS},
};
use crate::database::{
    Capture,
    quote::{Unquotable, identifier, literal},
};

const HEAD: &str = "\
-- Vestibule: uninstall. Stop Vestibule first. One transaction: all or nothing.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';

";

/// The whole script.
pub(super) fn script(parts: &[Part]) -> Result<String, Fault> {
    let mut out = String::from(HEAD);
    for schema in schemas(parts) {
        let mine: Vec<&Part> = parts.iter().filter(|it| it.schema() == schema).collect();
        out.push_str(&comment(&format!("What these mappings have in the schema {schema}.")));
        out.push_str(&member(schema)?);
        for receive in receives(&mine, Capture::Trigger) {
            out.push_str(&comment(&format!("The functions with their triggers on {}.", receive.table)));
            for (event, ..) in EVENTS {
                out.push_str(&format!(
                    "DROP FUNCTION IF EXISTS {}() CASCADE;\n",
                    trigger::function(receive, event)?
                ));
            }
        }
        for receive in receives(&mine, Capture::Log) {
            out.push_str(&format!("DROP PUBLICATION IF EXISTS {};\n", identifier(&receive.publication)?));
        }
        out.push_str(&forget(schema, &mine)?);
        out.push_str(&rest(schema)?);
    }
    let all: Vec<&Part> = parts.iter().collect();
    for receive in receives(&all, Capture::Log) {
        out.push_str("-- The slot, last: this is not undone. Only a role with REPLICATION may.\n");
        out.push_str(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots\nWHERE slot_name = {} AND database = \
             current_database();\n",
            literal(&receive.slot)?
        ));
    }
    out.push_str("COMMIT;\n");
    Ok(out)
}

fn member(schema: &str) -> Result<String, Unquotable> {
    let role = owner(schema);
    let (name, text) = (identifier(&role)?, literal(&role)?);
    Ok(block(&format!(
        "BEGIN\n    IF EXISTS (SELECT FROM pg_roles WHERE rolname = {text})\n        AND NOT pg_has_role({text}, 'MEMBER') \
         THEN\n        GRANT {name} TO CURRENT_USER;\n    END IF;\nEND\n"
    )))
}

/// Their rows, and the privileges on tables that nobody else of ours uses.
fn forget(schema: &str, parts: &[&Part]) -> Result<String, Unquotable> {
    let mut flows: Vec<String> = parts.iter().map(|it| it.flow().to_owned()).collect();
    flows.dedup();
    let s = identifier(schema)?;
    let capture = literal(&format!("{s}.capture"))?;
    let role = reader(schema);
    let mut body = format!(
        "BEGIN\n    IF to_regclass({capture}) IS NULL THEN\n        RETURN;\n    END IF;\n    DELETE FROM {s}.outbox WHERE \
         capture IN (SELECT id FROM {s}.capture WHERE flow = ANY ({flows}));\n    DELETE FROM {s}.signal WHERE flow = ANY \
         ({flows});\n    DELETE FROM {s}.capture WHERE flow = ANY ({flows});\n",
        flows = texts(&flows)?
    );
    for part in parts {
        let table = part.relation();
        if matches!(part, Part::Deliver(it) if it.write == super::part::Way::Call) {
            continue;
        }
        body.push_str(&format!(
            "    IF to_regclass({}) IS NOT NULL AND NOT EXISTS (SELECT FROM {s}.capture WHERE relation = {}) THEN\n        \
             REVOKE ALL ON {} FROM {};\n    END IF;\n",
            literal(&table.quoted())?,
            literal(&table.to_string())?,
            table.quoted(),
            identifier(&role)?,
        ));
    }
    body.push_str("END\n");
    Ok(block(&body))
}

/// Schema and roles, where nothing of ours is left in them.
fn rest(schema: &str) -> Result<String, Unquotable> {
    let s = identifier(schema)?;
    let (owner, reader) = (owner(schema), reader(schema));
    let (owner_name, reader_name) = (identifier(&owner)?, identifier(&reader)?);
    let mut out = comment("The schema and its roles, unless other flows or other databases use them.");
    out.push_str(&block(&format!(
        "DECLARE
    used boolean := false;
BEGIN
    IF to_regclass({}) IS NOT NULL THEN
        SELECT EXISTS (SELECT FROM {s}.capture) INTO used;
    END IF;
    IF used THEN
        RETURN;
    END IF;
    DROP TABLE IF EXISTS {s}.written, {s}.signal, {s}.outbox, {s}.capture;
    DROP SEQUENCE IF EXISTS {s}.missed;
    -- Not CASCADE: what is in it by now is somebody's.
    DROP SCHEMA IF EXISTS {s};
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN
        IF NOT pg_has_role({}, 'MEMBER') THEN
            GRANT {reader_name} TO CURRENT_USER;
        END IF;
        -- Privileges alone: this role owns nothing.
        DROP OWNED BY {reader_name};
        IF NOT EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
                       AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = {})) THEN
            DROP ROLE {reader_name};
        END IF;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = {}) AND NOT EXISTS (
        SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
        AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = {})) THEN
        DROP ROLE {owner_name};
    END IF;
END
",
        literal(&format!("{s}.capture"))?,
        literal(&reader)?,
        literal(&reader)?,
        literal(&reader)?,
        literal(&owner)?,
        literal(&owner)?,
    )));
    Ok(out)
}
