//! The SQL that makes everything: one transaction, which refuses by itself what would break the application.

use vestibule_core::fault::Fault;

use super::{
    grants,
    part::{Part, Way, capture_id, number, owner, reader},
    text::{block, comment, identifiers, texts},
    trigger,
};
use crate::database::{
    Capture, Receive, Relation,
    quote::{Unquotable, identifier, literal},
};

const HEAD: &str = "\
-- Vestibule: install. Run by a role that may CREATE ROLE and owns the tables (no superuser).
-- One transaction: all or nothing. Nobody waits for us: what can not be locked within 5 s is left for another hour.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';

";

/// The whole script. `user`: the connection's.
pub(super) fn script(parts: &[Part], user: &str) -> Result<String, Fault> {
    let mut out = String::from(HEAD);
    for schema in schemas(parts) {
        let mine: Vec<&Part> = parts.iter().filter(|it| it.schema() == schema).collect();
        out.push_str(&comment(&format!("The schema {schema}, and what the mappings need in it.")));
        out.push_str(&checks(&mine)?);
        out.push_str(&roles(schema, user)?);
        out.push_str(&tables(schema)?);
        out.push_str(&captures(&mine)?);
        for receive in receives(&mine, Capture::Trigger) {
            out.push_str(&trigger::functions(receive)?);
        }
        out.push_str("RESET ROLE;\n\n");
        for receive in receives(&mine, Capture::Trigger) {
            out.push_str(&comment(&format!(
                "Triggers on {}: one for each kind of statement.",
                receive.table
            )));
            out.push_str(&trigger::triggers(receive)?);
        }
        for receive in receives(&mine, Capture::Log) {
            out.push_str(&publication(receive)?);
        }
        out.push('\n');
        out.push_str(&grants::of_schema(schema, &mine, user)?);
    }
    out.push_str("COMMIT;\n");
    Ok(out)
}

pub(super) fn schemas(parts: &[Part]) -> Vec<&str> {
    let mut found: Vec<&str> = parts.iter().map(Part::schema).collect();
    found.sort_unstable();
    found.dedup();
    found
}

pub(super) fn receives<'p>(parts: &[&'p Part], capture: Capture) -> Vec<&'p Receive> {
    let receive = |it: &&'p Part| match *it {
        Part::Receive(receive) if receive.capture == capture => Some(receive),
        _ => None,
    };
    parts.iter().filter_map(receive).collect()
}

/// Tables and columns that are there, of a kind that will do.
fn checks(parts: &[&Part]) -> Result<String, Fault> {
    let mut out = String::from("-- Refuses what is not there, or what would break the application.\n");
    for part in parts {
        match part {
            Part::Receive(it) => {
                let kinds =
                    if it.capture == Capture::Snapshot { "'r', 'p', 'v', 'm', 'f'" } else { "'r', 'p'" };
                out.push_str(&of_table(&it.table, &it.columns, kinds)?);
            }
            Part::Deliver(it) if it.write != Way::Call => {
                let all: Vec<String> = it.columns.iter().chain(&it.compared).cloned().collect();
                out.push_str(&of_table(&it.table, &all, "'r', 'p', 'v'")?);
            }
            Part::Deliver(_) => {}
        }
    }
    out.push('\n');
    Ok(out)
}

fn of_table(table: &Relation, columns: &[String], kinds: &str) -> Result<String, Fault> {
    let (shown, place) = (literal(&table.to_string())?, literal(&table.quoted())?);
    Ok(block(&format!(
        "DECLARE
    place regclass := to_regclass({place});
    missing text;
BEGIN
    IF place IS NULL THEN
        RAISE EXCEPTION 'there is no table %', {shown} USING ERRCODE = 'undefined_table';
    END IF;
    SELECT string_agg(quote_ident(name), ', ') INTO missing
    FROM unnest({}) AS name
    WHERE NOT EXISTS (SELECT FROM pg_attribute
                      WHERE attrelid = place AND attname = name AND attnum > 0 AND NOT attisdropped);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% has no column %', {shown}, missing USING ERRCODE = 'undefined_column';
    END IF;
    IF (SELECT relkind NOT IN ({kinds}) FROM pg_class WHERE oid = place) THEN
        RAISE EXCEPTION '% is not a table that this works with', {shown} USING ERRCODE = 'wrong_object_type';
    END IF;
END
",
        texts(columns)?
    )))
}

fn roles(schema: &str, user: &str) -> Result<String, Fault> {
    let mut out = comment("Two roles that nobody logs in as: one owns what is made here, one may read it.");
    for role in [owner(schema), reader(schema)] {
        let (name, text) = (identifier(&role)?, literal(&role)?);
        out.push_str(&block(&format!(
            "BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN\n        CREATE ROLE {name} \
             NOLOGIN;\n    ELSIF (SELECT rolcanlogin OR rolsuper FROM pg_roles WHERE rolname = {text}) THEN\n        RAISE \
             EXCEPTION 'the role % is somebody else''s', {text} USING ERRCODE = 'duplicate_object';\n    END IF;\nEND\n"
        )));
    }
    let text = literal(user)?;
    out.push_str(&block(&format!(
        "BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN\n        RAISE EXCEPTION 'there is no \
         role %, which the connection uses', {text} USING ERRCODE = 'undefined_object';\n    END IF;\nEND\n"
    )));
    let owner = owner(schema);
    let (name, text) = (identifier(&owner)?, literal(&owner)?);
    out.push_str("-- To make things for the owner, one must be a member.\n");
    out.push_str(&block(&format!(
        "BEGIN\n    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)\n        AND NOT pg_has_role({text}, \
         'MEMBER') THEN\n        GRANT {name} TO CURRENT_USER;\n    END IF;\nEND\n"
    )));
    let quoted = identifier(schema)?;
    out.push_str(&format!("CREATE SCHEMA IF NOT EXISTS {quoted} AUTHORIZATION {name};\n"));
    out.push_str(&format!("SET LOCAL ROLE {name};\n\n"));
    Ok(out)
}

fn tables(schema: &str) -> Result<String, Unquotable> {
    let s = identifier(schema)?;
    Ok(format!(
        "-- What is captured: one row for each flow, table and list of columns.
CREATE TABLE IF NOT EXISTS {s}.capture (
    id int PRIMARY KEY,
    flow text NOT NULL,
    relation text NOT NULL,
    columns text[] NOT NULL,
    types text[] NOT NULL,
    key text[] NOT NULL
);
-- Changes that wait to be read. They are deleted when they are safe elsewhere.
-- op: i insert, u update, d delete, t truncate, x a trigger could not write a change down, o dropped for overflow.
CREATE TABLE IF NOT EXISTS {s}.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    txid bigint NOT NULL DEFAULT txid_current(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    capture int NOT NULL,
    op \"char\" NOT NULL,
    before text[],
    after text[],
    note text
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.05);
-- Counts what could not even be written into the outbox, because it was locked or gone.
CREATE SEQUENCE IF NOT EXISTS {s}.missed;
-- What running sources are asked to do: read rows again, go on after a gap.
CREATE TABLE IF NOT EXISTS {s}.signal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow text NOT NULL,
    kind text NOT NULL,
    from_key text[],
    to_key text[],
    asked timestamptz NOT NULL DEFAULT now(),
    done timestamptz,
    said text
);
-- Results that were written back: each once.
CREATE TABLE IF NOT EXISTS {s}.written (
    message text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    outcome text
);

"
    ))
}

/// A row of `capture` for each part; those of write-back keep the schema from being removed under them.
fn captures(parts: &[&Part]) -> Result<String, Unquotable> {
    let mut out = String::new();
    for part in parts {
        let (id, columns, key) = match part {
            Part::Receive(it) => (capture_id(it), &it.columns, &it.key),
            Part::Deliver(it) => {
                (number(&["deliver", &it.flow, &it.table.quoted()]), &it.columns, &it.compared)
            }
        };
        let table = part.relation();
        out.push_str(&format!(
            "INSERT INTO {}.capture (id, flow, relation, columns, types, key)
SELECT {id}, {}, {}, {columns}, ARRAY(
    SELECT coalesce(format_type(a.atttypid, a.atttypmod), '')
    FROM unnest({columns}) WITH ORDINALITY AS c (name, place)
    LEFT JOIN pg_attribute a ON a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = (
        -- By name: the owner of this schema may not look into that one.
        SELECT t.oid FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = {} AND t.relname = {})
    ORDER BY c.place), {}
ON CONFLICT (id) DO UPDATE SET types = excluded.types;\n",
            identifier(part.schema())?,
            literal(part.flow())?,
            literal(&table.to_string())?,
            literal(&table.schema)?,
            literal(&table.name)?,
            texts(key)?,
            columns = texts(columns)?,
        ));
    }
    out.push('\n');
    Ok(out)
}

/// The publication, made only where no statement of the application fails for it.
fn publication(receive: &Receive) -> Result<String, Fault> {
    let (shown, place) = (literal(&receive.table.to_string())?, literal(&receive.table.quoted())?);
    let name = identifier(&receive.publication)?;
    let create = format!("CREATE PUBLICATION {name} FOR TABLE ONLY {}", receive.table.quoted());
    // A partitioned table is published with its partitions, in its own name.
    let create = create.replace(" ONLY", "");
    let with = " WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)";
    let listed = format!("{create} ({}){with}", identifiers(&receive.columns)?);
    let mut out =
        comment(&format!("{} in the log: these columns alone, and never all tables.", receive.table));
    out.push_str(&block(&format!(
        "DECLARE
    place regclass := to_regclass({place});
    identity \"char\" := (SELECT relreplident FROM pg_class WHERE oid = place);
    missing text;
BEGIN
    IF (SELECT relpersistence <> 'p' FROM pg_class WHERE oid = place) THEN
        RAISE EXCEPTION '% is not in the log (unlogged)', {shown} USING ERRCODE = 'wrong_object_type';
    END IF;
    IF identity = 'n' OR identity <> 'f' AND NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = place AND CASE identity WHEN 'i' THEN indisreplident ELSE indisprimary END) THEN
        RAISE EXCEPTION '% has no replica identity: its UPDATE and DELETE would fail. Give it a primary key, or capture by trigger',
            {shown} USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF identity = 'f' AND current_setting('server_version_num')::int >= 150000 THEN
        RAISE EXCEPTION '% has REPLICA IDENTITY FULL: with a list of columns its UPDATE and DELETE would fail. Capture by trigger',
            {shown} USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ') INTO missing
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = place AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = place AND CASE identity WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
        AND a.attname <> ALL ({});
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'the columns for % must have those of its key: %', {shown}, missing
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT string_agg(quote_ident(attname), ', ') INTO missing
    FROM pg_attribute WHERE attrelid = place AND attgenerated <> '' AND attname = ANY ({});
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'generated columns of % are not in the log: %', {shown}, missing
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = {}) THEN
        DROP PUBLICATION {name};
    END IF;
    IF current_setting('server_version_num')::int >= 150000 THEN
        {listed};
    ELSE
        {create}{with};
    END IF;
END
",
        texts(&receive.columns)?,
        texts(&receive.columns)?,
        literal(&receive.publication)?,
    )));
    Ok(out)
}
