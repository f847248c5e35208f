//! What our role may do: as little as the mappings need.

use vestibule_core::fault::Fault;

use super::{
    install::schemas,
    part::{Part, Way, reader},
    text::{block, comment, identifiers},
};
use crate::database::quote::{Unquotable, identifier, literal};

/// All grants, to be read by themselves.
pub(super) fn script(parts: &[Part], user: &str) -> Result<String, Fault> {
    let mut out = String::new();
    for schema in schemas(parts) {
        let mine: Vec<&Part> = parts.iter().filter(|it| it.schema() == schema).collect();
        out.push_str(&of_schema(schema, &mine, user)?);
    }
    Ok(out)
}

/// The grants of one schema.
pub(super) fn of_schema(schema: &str, parts: &[&Part], user: &str) -> Result<String, Fault> {
    let role = identifier(&reader(schema))?;
    let s = identifier(schema)?;
    let mut out = comment("What the reader may do.");
    out.push_str(&format!("GRANT USAGE ON SCHEMA {s} TO {role};\n"));
    out.push_str(&format!("GRANT SELECT ON {s}.capture, {s}.missed TO {role};\n"));
    out.push_str(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {s}.outbox, {s}.signal, {s}.written TO {role};\n"
    ));
    for part in parts {
        out.push_str(&of_part(part, &role)?);
    }
    out.push_str(&format!("GRANT {role} TO {};\n", identifier(user)?));
    Ok(out)
}

fn of_part(part: &Part, role: &str) -> Result<String, Unquotable> {
    let table = part.relation();
    let quoted = table.quoted();
    let mut out = String::new();
    let mut may = |what: &str, columns: &[String]| -> Result<(), Unquotable> {
        if !columns.is_empty() {
            out.push_str(&format!("GRANT {what} ({}) ON {quoted} TO {role};\n", identifiers(columns)?));
        }
        Ok(())
    };
    match part {
        Part::Receive(it) => {
            may("SELECT", &it.columns)?;
            if it.key.is_empty() {
                // Rows without a key are read by their place.
                may("SELECT", &["ctid".to_owned()])?;
            }
            out.push_str(&uses_schema(&table.schema, role)?);
        }
        Part::Deliver(it) => {
            match it.write {
                Way::Insert => may("INSERT", &it.columns)?,
                Way::Update => {
                    may("SELECT", &it.compared)?;
                    may("UPDATE", &it.columns)?;
                }
                Way::Call => out.push_str(&block(&format!(
                    "DECLARE\n    one regprocedure;\nBEGIN\n    FOR one IN SELECT p.oid::regprocedure FROM pg_proc p JOIN \
                     pg_namespace n ON n.oid = p.pronamespace\n        WHERE n.nspname = {} AND p.proname = {}\n    LOOP\n        \
                     EXECUTE format({}, one);\n    END LOOP;\nEND\n",
                    literal(&table.schema)?,
                    literal(&table.name)?,
                    literal(&format!("GRANT EXECUTE ON ROUTINE %s TO {}", role.replace('%', "%%")))?,
                ))),
            }
            out.push_str(&uses_schema(&table.schema, role)?);
        }
    }
    Ok(out)
}

/// Everybody may use `public`, unless somebody said otherwise.
fn uses_schema(schema: &str, role: &str) -> Result<String, Unquotable> {
    Ok(if schema == "public" {
        String::new()
    } else {
        format!("GRANT USAGE ON SCHEMA {} TO {role};\n", identifier(schema)?)
    })
}
