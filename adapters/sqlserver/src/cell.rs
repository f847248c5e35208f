//! Values: spelt by the server as exact text, read here into cells. One spelling serves triggers, change tracking, CDC
//! tables and snapshots.
//!
//! A row is one `nvarchar(max)`: for each column a letter and, for `t`, the value's text; each ends with `;`.
//!
//! | letter | it means |
//! |---|---|
//! | `n` | NULL |
//! | `t` | the text follows, `\` as `\\` and `;` as `\,` |
//! | `l` | the value is longer than may be |
//! | `x` | the type can not be read |
//! | `u` | a trigger does not see it (`text`, `ntext`, `image`) |
//!
//! Numbers come with their scale, floats as their bits (the server's own text of them is not exact before 2016), times
//! by style 126 (ISO 8601), bytes as hexadecimal digits, text converted from its collation's code page by the server.

use base64::{Engine, engine::general_purpose::STANDARD};
use vestibule_core::change::{Cell, Row};

use crate::quote::{literal, name};

/// Longest value that is read, in bytes as the server keeps it.
pub(crate) const LONGEST: usize = 8 * 1024 * 1024;
/// Longest row: what a trigger makes must stay far below what a value may have.
const LONGEST_ROW: usize = 256 * 1024 * 1024;
/// The word for types that are made in .NET: `hierarchyid`, `geography`, `geometry`, users' own.
const CLR: &str = "clr";

/// How a type is spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Digits, signs and letters that need no escape.
    Plain,
    /// Any characters.
    Text,
    /// A JSON value.
    Json,
    /// Hexadecimal digits.
    Bytes,
    /// The bits of an IEEE 754 number.
    Double,
    /// The same, of 32 bits.
    Single,
    /// Not at all.
    Refused,
}

/// Names of types, the expression that spells one (`{c}`: the column), and how it is read.
const FORMS: [(&[&str], &str, Form); 15] = [
    (
        &["tinyint", "smallint", "int", "bigint", "decimal", "numeric", "uniqueidentifier"],
        "CONVERT(nvarchar(max), {c})",
        Form::Plain,
    ),
    (&["money", "smallmoney"], "CONVERT(nvarchar(max), {c}, 2)", Form::Plain),
    (&["bit"], "CONVERT(nvarchar(max), CASE {c} WHEN 1 THEN N'true' ELSE N'false' END)", Form::Plain),
    (&["float"], "CONVERT(nvarchar(max), CONVERT(binary(8), {c}), 2)", Form::Double),
    (&["real"], "CONVERT(nvarchar(max), CONVERT(binary(4), {c}), 2)", Form::Single),
    (&["date"], "CONVERT(nvarchar(max), {c}, 23)", Form::Plain),
    (&["time"], "CONVERT(nvarchar(max), {c}, 121)", Form::Plain),
    (&["datetime", "smalldatetime", "datetime2"], "CONVERT(nvarchar(max), {c}, 126)", Form::Plain),
    (&["datetimeoffset"], "REPLACE(CONVERT(nvarchar(max), {c}, 126), N' ', N'')", Form::Plain),
    (
        &["char", "varchar", "nchar", "nvarchar", "xml", "ntext", "vector"],
        "CONVERT(nvarchar(max), {c})",
        Form::Text,
    ),
    (&["text"], "CONVERT(nvarchar(max), CONVERT(varchar(max), {c}))", Form::Text),
    (&["json"], "CONVERT(nvarchar(max), {c})", Form::Json),
    (
        &["binary", "varbinary", "image", CLR],
        "CONVERT(nvarchar(max), CONVERT(varbinary(max), {c}), 2)",
        Form::Bytes,
    ),
    (&["timestamp", "rowversion"], "CONVERT(nvarchar(max), CONVERT(binary(8), {c}), 2)", Form::Bytes),
    (&["sql_variant"], "", Form::Refused),
];

/// Types that `inserted` and `deleted` do not have.
const UNSEEN: [&str; 3] = ["text", "ntext", "image"];

/// A column of a table with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    /// The name of its base type, or `clr`.
    pub kind: String,
    /// Its type as a declaration: `decimal(18,2)`.
    pub declared: String,
}

impl Column {
    fn form(&self) -> Form {
        form(&self.kind).map_or(Form::Refused, |(_, form)| form)
    }
}

fn form(kind: &str) -> Option<(&'static str, Form)> {
    FORMS.iter().find(|(kinds, _, _)| kinds.contains(&kind)).map(|(_, sql, form)| (*sql, *form))
}

/// Longest value where a row has so many columns.
pub(crate) fn longest(columns: usize) -> usize {
    LONGEST.min(LONGEST_ROW / columns.max(1))
}

/// The expression that spells one value; `column`: quoted, with its alias.
fn spelt(kind: &str, column: &str, longest: usize) -> String {
    let Some((sql, form)) = form(kind).filter(|(_, form)| *form != Form::Refused) else {
        return "CONVERT(nvarchar(max), N'x;')".into();
    };
    let text = sql.replace("{c}", column);
    let text = match form {
        Form::Text | Form::Json => escaped(&text),
        _ => text,
    };
    let too_long = match form {
        Form::Text | Form::Json | Form::Bytes => format!(" WHEN DATALENGTH({column}) > {longest} THEN N'l;'"),
        _ => String::new(),
    };
    format!("CASE WHEN {column} IS NULL THEN N'n;'{too_long} ELSE N't' + {text} + N';' END")
}

fn escaped(text: &str) -> String {
    format!("REPLACE(REPLACE({text} COLLATE Latin1_General_100_BIN2, N'\\', N'\\\\'), N';', N'\\,')")
}

/// The expression that spells a row; `alias`: of the table in its statement.
pub(crate) fn row(columns: &[Column], alias: &str) -> String {
    let longest = longest(columns.len());
    let mut sql = String::from("CONVERT(nvarchar(max), N'')");
    for column in columns {
        sql.push_str(" + ");
        sql.push_str(&spelt(&column.kind, &format!("{alias}.{}", name(&column.name)), longest));
    }
    sql
}

/// The expression over `@kind` and `@column` (quoted, with its alias) that makes the expression of [`row`] for one
/// column, on the server: an installation knows the types only there.
pub(crate) fn on_the_server(indent: &str) -> String {
    let mut sql = format!("{indent}CASE\n");
    for (kinds, _, form) in FORMS {
        for kind in kinds.iter().filter(|_| form != Form::Refused) {
            let made = if UNSEEN.contains(kind) {
                "CONVERT(nvarchar(max), N'u;')".to_owned()
            } else {
                // The number stands for itself: a literal can not be part of another.
                spelt(kind, "{c}", 0).replace("> 0 THEN", "> {l} THEN")
            };
            sql.push_str(&format!("{indent}    WHEN @kind = {} THEN {}\n", literal(kind), literal(&made)));
        }
    }
    sql.push_str(&format!("{indent}    ELSE {}\n{indent}END", literal("CONVERT(nvarchar(max), N'x;')")));
    sql
}

/// Why a spelt row could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misspelt;

/// Reads a spelt row.
pub(crate) fn read(text: &str, columns: &[Column]) -> Result<Row, Misspelt> {
    let mut rest = text;
    let mut cells = Vec::with_capacity(columns.len());
    for column in columns {
        let end = rest.find(';').ok_or(Misspelt)?;
        let (field, after) = rest.split_at_checked(end).ok_or(Misspelt)?;
        rest = after.get(1..).ok_or(Misspelt)?;
        let cell = match field {
            "n" => Cell::Null,
            "l" => Cell::Unreadable("it is longer than a value may be".into()),
            "x" => Cell::Unreadable("a value of this type can not be read".into()),
            "u" => Cell::Unreadable("a trigger does not see values of text, ntext and image".into()),
            _ => cell(column.form(), field.strip_prefix('t').ok_or(Misspelt)?),
        };
        cells.push((column.name.as_str().into(), cell));
    }
    if rest.is_empty() { Ok(Row(cells)) } else { Err(Misspelt) }
}

fn cell(form: Form, text: &str) -> Cell {
    let broken = || Cell::Unreadable("its spelling is none of its type".into());
    match form {
        Form::Plain => Cell::Text(text.into()),
        Form::Text => unescaped(text).map_or_else(broken, |it| Cell::Text(it.into())),
        Form::Json => unescaped(text).map_or_else(broken, |it| Cell::Json(it.into())),
        Form::Bytes => bytes(text).map_or_else(broken, |it| Cell::Text(STANDARD.encode(it).into())),
        Form::Double => {
            let read = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
            read.map_or_else(broken, |it| Cell::Text(f64::from_bits(it).to_string().into()))
        }
        Form::Single => {
            let read = (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok()).flatten();
            read.map_or_else(broken, |it| Cell::Text(f32::from_bits(it).to_string().into()))
        }
        Form::Refused => broken(),
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(one) = rest.next() {
        match one {
            '\\' => out.push(match rest.next()? {
                '\\' => '\\',
                ',' => ';',
                _ => return None,
            }),
            _ => out.push(one),
        }
    }
    Some(out)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |it: &u8| char::from(*it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|it| match it {
            [high, low] => Some((digit(high)? << 4) | digit(low)?),
            _ => None,
        })
        .collect()
}

/// A cell's text as a parameter for a column, and the expression that makes the column's type of it. `None`: the text can
/// be no value of this type.
pub(crate) fn parameter(column: &Column, text: &str, place: usize) -> Option<(String, String)> {
    let declared = &column.declared;
    let at = format!("@P{place}");
    Some(match column.kind.as_str() {
        "binary" | "varbinary" | "image" | "timestamp" | "rowversion" => {
            let bytes = STANDARD.decode(text).ok()?;
            let digits = bytes.iter().map(|it| format!("{it:02X}")).collect();
            (digits, format!("CONVERT({declared}, CONVERT(varbinary(max), {at}, 2))"))
        }
        CLR | "sql_variant" => return None,
        "datetime" | "smalldatetime" => (text.to_owned(), format!("CONVERT({declared}, {at}, 126)")),
        "text" => (text.to_owned(), format!("CONVERT(varchar(max), {at})")),
        _ => (text.to_owned(), format!("CONVERT({declared}, {at})")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column { name: name.into(), kind: kind.into(), declared: kind.into() }
    }

    #[test]
    fn every_type_is_read_as_the_mapping_language_spells_it() {
        for (kind, spelt, expected) in [
            ("int", "t-7;", Cell::Text("-7".into())),
            ("decimal", "t12.50;", Cell::Text("12.50".into())),
            ("money", "t-922337203685477.5808;", Cell::Text("-922337203685477.5808".into())),
            ("bit", "ttrue;", Cell::Text("true".into())),
            ("float", "t3FB999999999999A;", Cell::Text("0.1".into())),
            ("float", "t7FEFFFFFFFFFFFFF;", Cell::Text(f64::MAX.to_string().into())),
            ("real", "t3DCCCCCD;", Cell::Text("0.1".into())),
            ("datetime2", "t2026-11-20T10:00:00.1234567;", Cell::Text("2026-11-20T10:00:00.1234567".into())),
            ("varbinary", "t00FF10;", Cell::Text("AP8Q".into())),
            ("timestamp", "t00000000000007D1;", Cell::Text("AAAAAAAAB9E=".into())),
            ("varchar", "ta\\,b\\\\;", Cell::Text("a;b\\".into())),
            ("nvarchar", "tn;", Cell::Text("n".into())),
            ("nvarchar", "t;", Cell::Text("".into())),
            ("nvarchar", "tz\u{0}\u{1F600};", Cell::Text("z\u{0}\u{1F600}".into())),
            ("nvarchar", "n;", Cell::Null),
            ("json", "t{\"a\":1};", Cell::Json("{\"a\":1}".into())),
        ] {
            let read = read(spelt, &[column("c", kind)]);
            assert_eq!(read, Ok(Row(vec![("c".into(), expected)])), "{kind}: {spelt:?}");
        }
    }

    #[test]
    fn what_can_not_be_read_says_so() {
        for (kind, spelt) in [
            ("float", "t12;"),
            ("varbinary", "t0;"),
            ("varbinary", "tzz;"),
            ("varchar", "ta\\b;"),
            ("varchar", "l;"),
            ("sql_variant", "x;"),
            ("text", "u;"),
            ("strange", "t1;"),
        ] {
            let read = read(spelt, &[column("c", kind)]);
            assert!(
                matches!(read, Ok(Row(cells)) if matches!(cells[0].1, Cell::Unreadable(_))),
                "{kind}: {spelt:?}"
            );
        }
        for broken in ["", "q;", "t1;t2;", "t1", "n"] {
            assert_eq!(read(broken, &[column("c", "int")]), Err(Misspelt), "input: {broken:?}");
        }
    }

    #[test]
    fn names_of_columns_can_not_leave_their_quotes() {
        let sql = row(&[column("a] FROM x --", "int")], "t");
        assert_eq!(
            sql,
            "CONVERT(nvarchar(max), N'') + CASE WHEN t.[a]] FROM x --] IS NULL THEN N'n;' ELSE N't' + \
             CONVERT(nvarchar(max), t.[a]] FROM x --]) + N';' END"
        );
    }

    #[test]
    fn long_values_are_not_made_into_text() {
        let sql = row(&[column("c", "varchar")], "t");
        assert!(sql.contains("WHEN DATALENGTH(t.[c]) > 8388608 THEN N'l;'"), "{sql}");
        assert!(longest(1000) < LONGEST);
    }

    #[test]
    fn values_become_parameters_of_their_columns_types() {
        let made = |kind: &str, text: &str| parameter(&column("c", kind), text, 3);
        assert_eq!(made("int", "1"), Some(("1".into(), "CONVERT(int, @P3)".into())));
        assert_eq!(
            made("varbinary", "AP8Q"),
            Some(("00FF10".into(), "CONVERT(varbinary, CONVERT(varbinary(max), @P3, 2))".into()))
        );
        assert_eq!(made("datetime", "x"), Some(("x".into(), "CONVERT(datetime, @P3, 126)".into())));
        assert_eq!(made("varbinary", "!"), None);
        assert_eq!(made("sql_variant", "1"), None);
    }
}
