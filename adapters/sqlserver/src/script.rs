//! The SQL that a DBA reads before it runs: install, grants, verify, uninstall. Made of the mappings alone.
//!
//! What the trigger must never do is make the application's statement fail, for in SQL Server an error in a trigger ends
//! the transaction, caught or not. So it has nothing that can fail by itself: it converts each value by an expression of
//! its own type, leaves out what is too long, and writes rows without identity, without a unique key of theirs and without
//! a lock on the whole outbox.

use std::{collections::BTreeMap, fmt::Write};

use vestibule_core::ports::Scripts;

use crate::{
    cell,
    quote::{literal, name},
    receive::{Capture, Deliver, Receive},
};

/// What our own sessions say in `CONTEXT_INFO` while they write back: `vestibule-write!`.
pub(crate) const GUARD: &str = "0x766573746962756C652D777269746521";

/// What a flow needs of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    pub receive: Vec<Receive>,
    pub deliver: Vec<(String, Deliver)>,
}

/// The scripts for these needs; `user`: the database user of the connection.
pub(crate) fn scripts(needs: &Needs, user: &str) -> Scripts {
    let mut schemas: BTreeMap<&str, Part<'_>> = BTreeMap::new();
    for receive in &needs.receive {
        schemas.entry(&receive.schema).or_default().receive.push(receive);
    }
    for (flow, deliver) in &needs.deliver {
        schemas.entry(&deliver.schema).or_default().deliver.push((flow, deliver));
    }
    let mut made = Scripts {
        install: String::new(),
        grants: String::new(),
        verify: String::new(),
        uninstall: String::new(),
    };
    if schemas.is_empty() {
        return made;
    }
    let begin = "SET XACT_ABORT ON;\nSET ANSI_NULLS ON;\nSET QUOTED_IDENTIFIER ON;\nBEGIN TRANSACTION;\n";
    made.install.push_str(begin);
    made.install.push_str(
        "DECLARE @spelt_d nvarchar(max), @spelt_i nvarchar(max), @made nvarchar(max), @capture nvarchar(12);\n",
    );
    made.uninstall.push_str(begin);
    made.uninstall.push_str("DECLARE @used int, @members nvarchar(max);\n");
    for (schema, part) in &schemas {
        let grants = grants(schema, part, user);
        made.install.push_str(&tables(schema, part));
        made.install.push_str(&functions(schema));
        for receive in part.receive.iter().filter(|it| it.capture == Capture::Trigger) {
            made.install.push_str(&trigger(receive));
        }
        made.install.push_str(&grants);
        made.grants.push_str(&grants);
        made.verify.push_str(&verify(schema, part));
        made.uninstall.push_str(&uninstall(schema, part));
    }
    made.install.push_str("COMMIT TRANSACTION;\n");
    made.uninstall.push_str("COMMIT TRANSACTION;\n");
    made
}

/// What is needed of one schema of ours.
#[derive(Default)]
struct Part<'n> {
    receive: Vec<&'n Receive>,
    deliver: Vec<(&'n str, &'n Deliver)>,
}

fn reader(schema: &str) -> String {
    format!("{schema}_reader")
}

/// A batch of its own, for what must be the first of one.
fn separate(sql: &str) -> String {
    format!("EXEC ({});\n", literal(sql))
}

fn tables(schema: &str, part: &Part<'_>) -> String {
    let s = name(schema);
    let mut sql = format!("-- our schema {s}: everything of ours is in it, but for the triggers\n");
    let create = format!("CREATE SCHEMA {s} AUTHORIZATION [dbo]");
    let _ = write!(sql, "IF SCHEMA_ID({}) IS NULL\n    {}", literal(schema), separate(&create));
    let role = name(&reader(schema));
    let create = format!("CREATE ROLE {role} AUTHORIZATION [dbo]");
    let _ = write!(
        sql,
        "IF DATABASE_PRINCIPAL_ID({}) IS NULL\n    {}",
        literal(&reader(schema)),
        separate(&create)
    );
    let mut table = |table: &str, columns: &str| {
        let object = literal(&format!("{s}.[{table}]"));
        let _ = write!(
            sql,
            "IF OBJECT_ID({object}) IS NULL\n    CREATE TABLE {s}.[{table}] (\n{columns}    );\n"
        );
    };
    if !part.receive.is_empty() {
        table(
            "capture",
            "        id int IDENTITY NOT NULL PRIMARY KEY,\n        flow nvarchar(128) NOT NULL,\n        \
             relation nvarchar(260) NOT NULL,\n        columns nvarchar(max) NOT NULL,\n        \
             made datetime2(0) NOT NULL DEFAULT SYSUTCDATETIME()\n",
        );
        table(
            "captured",
            "        capture int NOT NULL,\n        ordinal int NOT NULL,\n        name sysname NOT NULL,\n        \
             kind sysname NOT NULL,\n        PRIMARY KEY (capture, ordinal)\n",
        );
        // No identity: the application may read @@IDENTITY after its own insert.
        table(
            "outbox",
            "        rv rowversion NOT NULL,\n        capture int NOT NULL,\n        op char(1) NOT NULL,\n        \
             at datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(),\n        before nvarchar(max) NULL,\n        \
             after nvarchar(max) NULL,\n        PRIMARY KEY CLUSTERED (capture, rv)\n",
        );
        table(
            "signal",
            "        id bigint IDENTITY NOT NULL PRIMARY KEY,\n        flow nvarchar(128) NOT NULL,\n        \
             relation nvarchar(260) NOT NULL,\n        kind nvarchar(16) NOT NULL,\n        from_key nvarchar(max) NULL,\n        to_key nvarchar(max) NULL,\n        \
             at_key nvarchar(max) NULL,\n        asked datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(),\n        \
             done datetime2(3) NULL,\n        said nvarchar(400) NULL\n",
        );
    }
    if !part.deliver.is_empty() {
        table(
            "written",
            "        message nvarchar(255) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY,\n        \
             at datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(),\n        outcome nvarchar(16) NOT NULL\n",
        );
    }
    if !part.receive.is_empty() {
        // Settled rows are deleted while the application writes: never by a lock on the whole table.
        let _ = writeln!(sql, "ALTER TABLE {s}.[outbox] SET (LOCK_ESCALATION = DISABLE);");
    }
    sql
}

/// What an installation finds out about columns: their types are in the catalogue, not in a mapping.
fn functions(schema: &str) -> String {
    let s = name(schema);
    let kind = format!(
        "CREATE FUNCTION {s}.[kind] (@object int, @column sysname) RETURNS sysname AS\nBEGIN\n    \
         RETURN (SELECT CASE WHEN c.system_type_id = 240 THEN N'clr' ELSE TYPE_NAME(c.system_type_id) END\n        \
         FROM sys.columns AS c WHERE c.object_id = @object AND c.name = @column);\nEND"
    );
    let spelt = format!(
        "CREATE FUNCTION {s}.[spelt] (@object int, @column sysname, @alias nchar(1), @longest int) RETURNS nvarchar(max) AS\n\
         BEGIN\n    DECLARE @kind sysname = {s}.[kind](@object, @column);\n    IF @kind IS NULL RETURN NULL;\n    \
         RETURN REPLACE(REPLACE(\n{},\n        N'{{l}}', CONVERT(nvarchar(12), @longest)),\n        \
         N'{{c}}', @alias + N'.' + QUOTENAME(@column));\nEND",
        cell::on_the_server("        ")
    );
    let mut sql = String::from("-- how values of each type are spelt; used while installing alone\n");
    for (function, text) in [("kind", kind), ("spelt", spelt)] {
        let object = literal(&format!("{s}.[{function}]"));
        let _ = write!(sql, "IF OBJECT_ID({object}) IS NULL\n{}", separate(&text));
    }
    sql
}

/// The name of a flow's trigger.
fn trigger_name(receive: &Receive) -> String {
    let full = format!("vestibule_{}", receive.flow);
    format!("{}.{}", name(&receive.table.schema), name(&full.chars().take(128).collect::<String>()))
}

fn trigger(receive: &Receive) -> String {
    let s = name(&receive.schema);
    let table = receive.table.quoted();
    let columns = serde_json::Value::from(receive.columns.clone()).to_string();
    let (flow, scope) = (literal(&receive.flow), receive.scope());
    let relation = literal(&receive.table.to_string());
    let trigger = trigger_name(receive);
    let mut sql = format!("-- {} of {}\n", receive.flow, receive.table.quoted().replace(['\r', '\n'], " "));
    let _ = write!(
        sql,
        "IF {} IS NULL\n    THROW 51210, 'the table is not there', 1;\n",
        receive.table.object_id()
    );
    let _ = write!(sql, "{}", owner_check(receive));
    let _ = write!(sql, "{}", key_check(receive));
    let _ = write!(
        sql,
        "INSERT INTO {s}.[capture] (flow, relation, columns) VALUES ({flow}, {relation}, {columns});\n\
         SET @capture = CONVERT(nvarchar(12), SCOPE_IDENTITY());\n",
        columns = literal(&columns),
    );
    let _ = write!(
        sql,
        "INSERT INTO {s}.[captured] (capture, ordinal, name, kind)\n    SELECT @capture, v.ordinal, v.name, \
         {s}.[kind]({object}, v.name) FROM (VALUES\n",
        object = receive.table.object_id(),
    );
    let rows: Vec<String> = receive
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| format!("        ({}, {})", place + 1, literal(column)))
        .collect();
    let _ = writeln!(sql, "{}) AS v (ordinal, name);", rows.join(",\n"));
    let _ = writeln!(sql, "IF OBJECT_ID({}) IS NOT NULL\n    DROP TRIGGER {trigger};", literal(&trigger));
    sql.push_str(&made_trigger(receive, &trigger, &table));
    if receive.initial {
        let _ = write!(
            sql,
            "IF NOT EXISTS (SELECT 1 FROM {s}.[signal] AS c WHERE {scope})\n    \
             INSERT INTO {s}.[signal] (flow, relation, kind) VALUES ({flow}, {relation}, N'snapshot');\n"
        );
    }
    sql
}

/// The statement that makes the trigger, with the expressions for the types that the table has.
fn made_trigger(receive: &Receive, trigger: &str, table: &str) -> String {
    let s = name(&receive.schema);
    let object = receive.table.object_id();
    let longest = cell::longest(receive.columns.len() * 2);
    let part = |alias: &str| -> String {
        let each = receive.columns.iter().map(|column| {
            format!("\n    + N' + ' + {s}.[spelt]({object}, {}, N'{alias}', {longest})", literal(column))
        });
        each.collect()
    };
    let empty = literal("CONVERT(nvarchar(max), N'')");
    let body = body(receive, trigger, table);
    // Put together, not replaced: no name in it can be taken for a mark.
    let parts = body.split_inclusive(MARKS).map(|part| {
        let variable = match part.chars().next_back() {
            Some(CAPTURE) => " + @capture",
            Some(OLD) => " + @spelt_d",
            Some(NEW) => " + @spelt_i",
            _ => "",
        };
        format!("\n    + {}{variable}", literal(part.trim_end_matches(MARKS)))
    });
    let made: String = parts.collect();
    let mut sql = String::new();
    let _ = writeln!(sql, "SET @spelt_d = {empty}{};", part("d"));
    let _ = writeln!(sql, "SET @spelt_i = {empty}{};", part("i"));
    let _ = write!(
        sql,
        "SET @made = CONVERT(nvarchar(max), N''){made};\n\
         IF @made IS NULL\n    THROW 51211, 'a column of the mapping is not in the table', 1;\n\
         EXEC sys.sp_executesql @made;\n",
    );
    sql
}

/// Where the number of the capture, the old row and the new row go into the trigger's text: characters that no name has.
const CAPTURE: char = '\u{1}';
const OLD: char = '\u{2}';
const NEW: char = '\u{3}';
const MARKS: [char; 3] = [CAPTURE, OLD, NEW];

/// The trigger's text, with marks for what is known on the server alone.
fn body(receive: &Receive, trigger: &str, table: &str) -> String {
    let s = name(&receive.schema);
    let same: Vec<String> = receive.key.iter().map(|it| format!("i.{0} = d.{0}", name(it))).collect();
    let same = same.join(" AND ");
    let from = |rows: &str, alias: &str| match &receive.filter {
        None => format!("{rows} AS {alias}"),
        Some(condition) => format!("(SELECT * FROM {rows} WHERE ({condition}\n    )) AS {alias}"),
    };
    let (old, new) = (from("deleted", "d"), from("inserted", "i"));
    let mut text = format!(
        "CREATE TRIGGER {trigger} ON {table} AFTER INSERT, UPDATE, DELETE AS\nBEGIN\n    SET NOCOUNT ON;\n    \
         IF SUBSTRING(CONTEXT_INFO(), 1, 16) = {GUARD} RETURN;\n"
    );
    let Some(first) = receive.key.first() else {
        let _ = write!(
            text,
            "    INSERT INTO {s}.[outbox] (capture, op, before) SELECT {CAPTURE}, 'd', {OLD}\n    FROM {old};\n    \
             INSERT INTO {s}.[outbox] (capture, op, after) SELECT {CAPTURE}, 'i', {NEW}\n    FROM {new};\nEND"
        );
        return text;
    };
    let first = name(first);
    let _ = write!(
        text,
        "    IF NOT EXISTS (SELECT 1 FROM deleted)\n    BEGIN\n        \
         INSERT INTO {s}.[outbox] (capture, op, after) SELECT {CAPTURE}, 'i', {NEW}\n        FROM {new};\n        \
         RETURN;\n    END;\n    \
         INSERT INTO {s}.[outbox] (capture, op, before) SELECT {CAPTURE}, 'd', {OLD}\n    FROM {old}\n    \
         WHERE NOT EXISTS (SELECT 1 FROM {new} WHERE {same}) OPTION (HASH JOIN);\n    \
         IF NOT EXISTS (SELECT 1 FROM inserted) RETURN;\n    \
         INSERT INTO {s}.[outbox] (capture, op, before, after)\n    \
         SELECT {CAPTURE}, CASE WHEN d.{first} IS NULL THEN 'i' ELSE 'u' END,\n        \
         CASE WHEN d.{first} IS NULL THEN NULL ELSE {OLD} END, {NEW}\n    \
         FROM {new} LEFT JOIN {old} ON {same} OPTION (HASH JOIN);\nEND"
    );
    text
}

/// The trigger writes the outbox for users who know nothing of it: that needs one owner of both.
fn owner_check(receive: &Receive) -> String {
    format!(
        "IF OBJECTPROPERTY({}, 'OwnerId') <> (SELECT principal_id FROM sys.schemas WHERE name = {})\n    \
         THROW 51212, 'the table has another owner than our schema: its writers could not reach the outbox', 1;\n",
        receive.table.object_id(),
        literal(&receive.schema),
    )
}

/// Rows before and after are joined by the key: a key that is not unique would make changes that never were.
fn key_check(receive: &Receive) -> String {
    if receive.key.is_empty() {
        return String::new();
    }
    let names: Vec<String> = receive.key.iter().map(|it| literal(it)).collect();
    format!(
        "IF NOT EXISTS (SELECT 1 FROM sys.indexes AS x WHERE x.object_id = {} AND x.is_unique = 1 AND x.has_filter = 0\n    \
         AND NOT EXISTS (SELECT 1 FROM sys.index_columns AS k JOIN sys.columns AS c\n        \
         ON c.object_id = k.object_id AND c.column_id = k.column_id\n        \
         WHERE k.object_id = x.object_id AND k.index_id = x.index_id AND k.key_ordinal > 0 AND c.name NOT IN ({})))\n    \
         THROW 51213, 'the key of the mapping is not unique: no unique index has these columns alone', 1;\n",
        receive.table.object_id(),
        names.join(", "),
    )
}

fn grants(schema: &str, part: &Part<'_>, user: &str) -> String {
    let s = name(schema);
    let role = name(&reader(schema));
    let mut sql = format!("-- what the role {role} may do\n");
    if !part.receive.is_empty() {
        let _ = write!(
            sql,
            "GRANT SELECT ON {s}.[capture] TO {role};\nGRANT SELECT ON {s}.[captured] TO {role};\n\
             GRANT SELECT, INSERT, DELETE ON {s}.[outbox] TO {role};\nGRANT SELECT, INSERT, UPDATE ON {s}.[signal] TO {role};\n"
        );
    }
    for receive in &part.receive {
        let _ = writeln!(sql, "GRANT SELECT ON {} TO {role};", receive.table.quoted());
        if receive.capture == Capture::Tracking {
            let _ = writeln!(sql, "GRANT VIEW CHANGE TRACKING ON {} TO {role};", receive.table.quoted());
        }
    }
    if !part.deliver.is_empty() {
        let _ = writeln!(sql, "GRANT SELECT, INSERT, UPDATE ON {s}.[written] TO {role};");
    }
    for (_, deliver) in &part.deliver {
        let what = match deliver.mode {
            crate::receive::Mode::Insert => "INSERT",
            crate::receive::Mode::Update => "SELECT, UPDATE",
            crate::receive::Mode::Call => "EXECUTE",
        };
        let _ = writeln!(sql, "GRANT {what} ON {} TO {role};", deliver.target.quoted());
    }
    let _ = write!(
        sql,
        "IF DATABASE_PRINCIPAL_ID({}) IS NOT NULL\n    ALTER ROLE {role} ADD MEMBER {};\n",
        literal(user),
        name(user)
    );
    sql
}

fn verify(schema: &str, part: &Part<'_>) -> String {
    let s = name(schema);
    let mut lines = Vec::new();
    let mut there = |what: &str| {
        lines.push(format!(
            "SELECT {0} AS [object], CASE WHEN OBJECT_ID({0}) IS NULL THEN 'missing' ELSE 'there' END AS state",
            literal(what)
        ));
    };
    if !part.receive.is_empty() {
        for table in ["capture", "captured", "outbox", "signal"] {
            there(&format!("{s}.[{table}]"));
        }
    }
    if !part.deliver.is_empty() {
        there(&format!("{s}.[written]"));
    }
    for receive in part.receive.iter().filter(|it| it.capture == Capture::Trigger) {
        there(&trigger_name(receive));
    }
    format!("{};\n", lines.join("\nUNION ALL "))
}

fn uninstall(schema: &str, part: &Part<'_>) -> String {
    let s = name(schema);
    let mut sql = String::new();
    for receive in &part.receive {
        let trigger = trigger_name(receive);
        let scope = receive.scope();
        let _ = writeln!(sql, "IF OBJECT_ID({}) IS NOT NULL\n    DROP TRIGGER {trigger};", literal(&trigger));
        let gone = format!(
            "DELETE FROM {s}.[outbox] WHERE capture IN (SELECT c.id FROM {s}.[capture] AS c WHERE {scope}); \
             DELETE FROM {s}.[captured] WHERE capture IN (SELECT c.id FROM {s}.[capture] AS c WHERE {scope}); \
             DELETE c FROM {s}.[capture] AS c WHERE {scope}; DELETE c FROM {s}.[signal] AS c WHERE {scope};"
        );
        let capture = literal(&format!("{s}.[capture]"));
        let _ = write!(sql, "IF OBJECT_ID({capture}) IS NOT NULL\n    {}", separate(&gone));
    }
    // What other flows still use stays.
    sql.push_str("SET @used = 0;\n");
    let capture = literal(&format!("{s}.[capture]"));
    let count = format!("SELECT @used = COUNT(*) FROM {s}.[capture]");
    let _ = write!(
        sql,
        "IF OBJECT_ID({capture}) IS NOT NULL\n    EXEC sys.sp_executesql {}, N'@used int OUTPUT', @used = @used OUTPUT;\n\
         IF @used = 0\nBEGIN\n",
        literal(&count)
    );
    for table in ["outbox", "captured", "capture", "signal", "written"] {
        let object = literal(&format!("{s}.[{table}]"));
        let _ = writeln!(sql, "    IF OBJECT_ID({object}) IS NOT NULL DROP TABLE {s}.[{table}];");
    }
    for function in ["spelt", "kind"] {
        let object = literal(&format!("{s}.[{function}]"));
        let _ = writeln!(sql, "    IF OBJECT_ID({object}) IS NOT NULL DROP FUNCTION {s}.[{function}];");
    }
    let role = reader(schema);
    // A role with members can not be dropped.
    let _ = write!(
        sql,
        "    IF DATABASE_PRINCIPAL_ID({0}) IS NOT NULL\n    BEGIN\n        SET @members = N'';\n        \
         SELECT @members = @members + N'ALTER ROLE ' + QUOTENAME({0}) + N' DROP MEMBER ' + QUOTENAME(USER_NAME(member_principal_id)) + N'; '\n        \
         FROM sys.database_role_members WHERE role_principal_id = DATABASE_PRINCIPAL_ID({0});\n        \
         EXEC sys.sp_executesql @members;\n        DROP ROLE {1};\n    END;\n    \
         IF SCHEMA_ID({2}) IS NOT NULL DROP SCHEMA {s};\nEND;\n",
        literal(&role),
        name(&role),
        literal(schema)
    );
    sql
}

#[cfg(test)]
mod tests;
