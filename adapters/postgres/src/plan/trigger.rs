//! Triggers: what runs inside the application's own statements. It must be cheap, and can not be allowed to fail.
//!
//! A statement trigger with transition tables writes all rows of a statement at once. The rows before and after an update
//! are paired by their place: PostgreSQL appends both at the same moment for each row, so this is exact also where the
//! key changes or there is none. Where one side has fewer rows (another trigger swallowed a row that moved between
//! partitions), it becomes deletes and inserts.

use vestibule_core::fault::Fault;

use super::{
    part::{capture_id, channel, function_name, number, trigger_name},
    text::{block, comment, dollars},
};
use crate::database::{
    Receive,
    line::SPELLING,
    quote::{Relation, Unquotable, identifier, literal},
};

/// What a statement can do to rows: its name in triggers, its words in SQL, and its transition tables.
pub(super) const EVENTS: [(&str, &str, &str); 4] = [
    ("insert", "INSERT", "REFERENCING NEW TABLE AS new_rows "),
    ("update", "UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "),
    ("delete", "DELETE", "REFERENCING OLD TABLE AS old_rows "),
    ("truncate", "TRUNCATE", ""),
];

/// The functions, for the owner of the schema to make.
pub(super) fn functions(receive: &Receive) -> Result<String, Fault> {
    let mut out = comment(&format!("Writes what happens to {} into the outbox.", receive.table));
    for (event, ..) in EVENTS {
        let name = function(receive, event)?;
        out.push_str(&format!("CREATE OR REPLACE FUNCTION {name}() RETURNS trigger\n"));
        out.push_str("LANGUAGE plpgsql SECURITY DEFINER\nSET search_path = pg_catalog, pg_temp\n");
        // A lock on the outbox must not stop the application for longer.
        out.push_str("SET lock_timeout = '250ms'\n");
        for (setting, value) in SPELLING {
            // Nothing in these depends on the others: a condition and names hold no backslash that would be read.
            if setting != "standard_conforming_strings" && event != "truncate" {
                out.push_str(&format!("SET {setting} = {}\n", literal(value).map_err(Fault::from)?));
            }
        }
        let body = body(receive, event)?;
        out.push_str(&format!("AS {};\n", dollars(&body)));
        out.push_str(&format!("REVOKE ALL ON FUNCTION {name}() FROM PUBLIC;\n"));
    }
    Ok(out)
}

/// The triggers, for the owner of the table to make; on its partitions as well, which statements may name directly.
pub(super) fn triggers(receive: &Receive) -> Result<String, Fault> {
    let place = literal(&receive.table.quoted())?;
    let mut out = String::new();
    for (event, words, tables) in EVENTS {
        let name = trigger_name(&receive.flow, event);
        let create = format!(
            "CREATE TRIGGER {} AFTER {words} ON %s {tables}FOR EACH STATEMENT WHEN \
             (current_setting('vestibule.writeback', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION {}()",
            identifier(&name)?.replace('%', "%%"),
            function(receive, event)?.replace('%', "%%"),
        );
        // TRUNCATE of the table runs the triggers of its partitions too, which would be events of their own.
        let below = if event == "truncate" { "" } else { BELOW };
        let body = format!(
            "DECLARE\n    place regclass;\nBEGIN\n    FOR place IN\n        SELECT {place}::regclass{}\n    LOOP\n        \
             IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = place AND tgname = {}) THEN\n            \
             EXECUTE format({},\n                place);\n        END IF;\n    END LOOP;\nEND\n",
            below.replace("{place}", &place),
            literal(&name)?,
            literal(&create)?,
        );
        out.push_str(&block(&body));
    }
    Ok(out)
}

/// Tables below a table.
const BELOW: &str = "
        UNION ALL (
            WITH RECURSIVE below AS (
                SELECT inhrelid FROM pg_inherits WHERE inhparent = {place}::regclass
                UNION
                SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid
            ) SELECT inhrelid::regclass FROM below JOIN pg_class ON oid = inhrelid WHERE relkind IN ('r', 'p')
        )";

pub(super) fn function(receive: &Receive, event: &str) -> Result<String, Unquotable> {
    let relation = Relation { schema: receive.schema.clone(), name: function_name(receive, event) };
    Ok(relation.quoted())
}

fn body(receive: &Receive, event: &str) -> Result<String, Fault> {
    let schema = identifier(&receive.schema)?;
    let id = capture_id(receive);
    let outbox = format!("{schema}.outbox");
    let cells = cells(receive)?;
    let fits = receive.condition.as_ref().map(|it| format!("\n        WHERE ({it})")).unwrap_or_default();
    let head = format!("SELECT txid_current(), clock_timestamp(), {id}");
    let into = |columns: &str| format!("INSERT INTO {outbox} (txid, at, capture, op{columns})");
    let inserts =
        format!("{}\n        {head}, 'i', {cells}\n        FROM new_rows{fits};\n", into(", after"));
    let deletes =
        format!("{}\n        {head}, 'd', {cells}\n        FROM old_rows{fits};\n", into(", before"));
    let work = match event {
        "insert" => inserts,
        "delete" => deletes,
        "truncate" => format!("{}\n        {head}, 't';\n", into("")),
        _ => format!(
            "IF (SELECT count(*) FROM old_rows) = (SELECT count(*) FROM new_rows) THEN\n        {}        ELSE\n        \
             {deletes}        {inserts}        END IF;\n",
            updates(receive, &head, &into(", before, after"), &cells)
        ),
    };
    let hint = literal(&channel(&receive.schema, &receive.flow))?;
    let hinted = number(&["hint", &receive.schema, &receive.flow]);
    let missed = literal(&format!("{schema}.missed"))?;
    Ok(format!(
        "#variable_conflict use_column
BEGIN
    BEGIN
        {work}        -- A hint, where it can not be in the way: NOTIFY forbids PREPARE TRANSACTION, and commits that wait
        -- for each other are slow.
        IF FOUND AND current_setting('max_prepared_transactions') = '0' AND pg_try_advisory_xact_lock({hinted}) THEN
            PERFORM pg_notify({hint}, '');
        END IF;
    EXCEPTION WHEN OTHERS THEN
        -- The application's statement goes on, whatever is wrong here; that something is missing is written down.
        BEGIN
            {} VALUES (txid_current(), clock_timestamp(), {id}, 'x', SQLSTATE);
        EXCEPTION WHEN OTHERS THEN
            BEGIN
                PERFORM nextval({missed});
            EXCEPTION WHEN OTHERS THEN
                RAISE LOG 'vestibule: a change was not written down';
            END;
        END;
    END;
    RETURN NULL;
END
",
        into(", note")
    ))
}

fn updates(receive: &Receive, head: &str, into: &str, cells: &str) -> String {
    let (fits, either) = match &receive.condition {
        None => (String::new(), ""),
        Some(it) => {
            (format!(", ({it}) AS vestibule_fits"), "\n        WHERE o.vestibule_fits OR n.vestibule_fits")
        }
    };
    let side = |rows: &str| {
        format!(
            "(SELECT row_number() OVER () AS vestibule_place, {cells} AS vestibule_cells{fits}\n              FROM {rows})"
        )
    };
    format!(
        "{into}\n        {head}, 'u', o.vestibule_cells, n.vestibule_cells\n        FROM {} o\n        JOIN {} n USING \
         (vestibule_place){either}\n        ORDER BY vestibule_place;\n",
        side("old_rows"),
        side("new_rows")
    )
}

/// The columns in PostgreSQL's own spelling: a cast to text cuts the blanks of `char(n)` and spells booleans otherwise.
fn cells(receive: &Receive) -> Result<String, Unquotable> {
    let mut all = Vec::with_capacity(receive.columns.len());
    for name in &receive.columns {
        all.push(spelt(&identifier(name)?));
    }
    Ok(format!("ARRAY[\n            {}]::text[]", all.join(",\n            ")))
}

/// A column (already quoted) as PostgreSQL's own text output spells it, or NULL: the one spelling of outbox, snapshot and
/// log.
pub(crate) fn spelt(quoted: &str) -> String {
    format!("CASE WHEN {quoted} IS DISTINCT FROM NULL THEN concat({quoted}) END")
}
