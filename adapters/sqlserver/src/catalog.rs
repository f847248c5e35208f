//! What the server's catalogue says of tables and procedures. Every name that a mapping writes is looked up here before
//! it goes into a statement.

use crate::{
    cell::Column,
    error::Trouble,
    line::{Line, some_text},
    quote::Table,
    receive::Receive,
};

/// The columns of an object with their types, in the table's order. The alias types of users are followed to their base.
const COLUMNS: &str = "\
SELECT c.name, CASE WHEN c.system_type_id = 240 THEN N'clr' ELSE TYPE_NAME(c.system_type_id) END,
    c.max_length, c.precision, c.scale
FROM sys.columns AS c WHERE c.object_id = OBJECT_ID(@P1) ORDER BY c.column_id";

const PARAMETERS: &str = "\
SELECT p.name, CASE WHEN p.system_type_id = 240 THEN N'clr' ELSE TYPE_NAME(p.system_type_id) END,
    p.max_length, p.precision, p.scale
FROM sys.parameters AS p WHERE p.object_id = OBJECT_ID(@P1) AND p.parameter_id > 0 ORDER BY p.parameter_id";

/// All columns of a table.
pub(crate) async fn columns(line: &mut Line, table: &Table) -> Result<Vec<Column>, Trouble> {
    of(line, COLUMNS, table, "table").await
}

/// All parameters of a procedure; their names without `@`.
pub(crate) async fn parameters(line: &mut Line, procedure: &Table) -> Result<Vec<Column>, Trouble> {
    of(line, PARAMETERS, procedure, "procedure with parameters").await
}

async fn of(line: &mut Line, sql: &str, object: &Table, what: &str) -> Result<Vec<Column>, Trouble> {
    let rows = line.rows(sql, &[&object.quoted()]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let small = |place: usize| -> Result<i64, Trouble> {
            let read = row.try_get::<i16, _>(place).map(|it| it.map(i64::from));
            let read = read.or_else(|_| row.try_get::<u8, _>(place).map(|it| it.map(i64::from)));
            let read = read.or_else(|_| row.try_get::<i32, _>(place).map(|it| it.map(i64::from)));
            Ok(read?.unwrap_or_default())
        };
        let kind = some_text(row, 1)?.to_owned();
        let declared = declared(&kind, small(2)?, small(3)?, small(4)?);
        let name = some_text(row, 0)?;
        let name = name.strip_prefix('@').filter(|_| sql == PARAMETERS).unwrap_or(name).to_owned();
        found.push(Column { name, kind, declared });
    }
    if found.is_empty() {
        return Err(Trouble::Stopped(format!(
            "D126: there is no {what} {object}, or our user may not see it"
        )));
    }
    Ok(found)
}

/// A type as a declaration.
fn declared(kind: &str, length: i64, precision: i64, scale: i64) -> String {
    let sized =
        |unit: i64| if length < 0 { format!("{kind}(max)") } else { format!("{kind}({})", length / unit) };
    match kind {
        "char" | "varchar" | "binary" | "varbinary" => sized(1),
        "nchar" | "nvarchar" => sized(2),
        "decimal" | "numeric" => format!("{kind}({precision},{scale})"),
        "time" | "datetime2" | "datetimeoffset" => format!("{kind}({scale})"),
        "text" => "varchar(max)".into(),
        "ntext" => "nvarchar(max)".into(),
        "image" | "clr" => "varbinary(max)".into(),
        "timestamp" => "binary(8)".into(),
        _ => kind.to_owned(),
    }
}

/// Of these columns those with these names, in the order of the names; a name that is none stops the flow.
pub(crate) fn chosen(all: &[Column], names: &[String], table: &Table) -> Result<Vec<Column>, Trouble> {
    let find = |name: &String| {
        let exact = all.iter().find(|it| it.name == *name);
        let found = exact.or_else(|| all.iter().find(|it| it.name.eq_ignore_ascii_case(name)));
        // Handed over under the name that the mapping asks for.
        found.map(|it| Column { name: name.clone(), ..it.clone() }).ok_or_else(|| name.clone())
    };
    let missing = |name: String| {
        Trouble::Stopped(format!("D126: {table} has no column {name}: the table or the mapping changed"))
    };
    names.iter().map(find).collect::<Result<_, _>>().map_err(missing)
}

/// Names this database the same way on every server that it moves to.
pub(crate) async fn system(line: &mut Line) -> Result<String, Trouble> {
    const SYSTEM: &str =
        "SELECT CONVERT(nvarchar(36), service_broker_guid) FROM sys.databases WHERE database_id = DB_ID()";
    let rows = line.batch(SYSTEM).await?;
    let row = rows.first().ok_or(Trouble::Value("the database has no name"))?;
    some_text(row, 0).map(str::to_owned)
}

/// Waits for nobody: this session alone reads for the flow from now on, until it ends.
pub(crate) async fn alone(line: &mut Line, receive: &Receive) -> Result<(), Trouble> {
    const LOCK: &str = "DECLARE @got int; EXEC @got = sys.sp_getapplock @Resource = @P1, @LockMode = N'Exclusive', \
                        @LockOwner = N'Session', @LockTimeout = 0; SELECT @got AS got;";
    let resource: String =
        format!("{}/{}/{}", receive.schema, receive.flow, receive.table).chars().take(255).collect();
    let rows = line.last(LOCK, &[&resource]).await?;
    let got = rows.first().map(|it| crate::line::some_number(it, 0)).transpose()?;
    if got.is_some_and(|it| it >= 0) {
        return Ok(());
    }
    Err(Trouble::Busy("another process reads the changes of this flow".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_declared_as_the_catalogue_has_them() {
        for (kind, length, precision, scale, expected) in [
            ("int", 4, 10, 0, "int"),
            ("decimal", 9, 18, 2, "decimal(18,2)"),
            ("nvarchar", 40, 0, 0, "nvarchar(20)"),
            ("nvarchar", -1, 0, 0, "nvarchar(max)"),
            ("varchar", 40, 0, 0, "varchar(40)"),
            ("datetime2", 8, 27, 7, "datetime2(7)"),
            ("timestamp", 8, 0, 0, "binary(8)"),
        ] {
            assert_eq!(declared(kind, length, precision, scale), expected);
        }
    }
}
