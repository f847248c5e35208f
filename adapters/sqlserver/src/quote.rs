//! Names and literals in Transact-SQL. Nothing else in this crate puts a name into a statement.

use std::fmt;

/// Longest name, in UTF-16 units, as the server counts.
const LONGEST: usize = 128;

/// A name as an identifier: `[odd ]] name]`.
pub(crate) fn name(text: &str) -> String {
    format!("[{}]", text.replace(']', "]]"))
}

/// A text as a literal: `N'it''s'`.
pub(crate) fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// True for what the server takes as a name, and a terminal can show.
pub(crate) fn is_name(text: &str) -> bool {
    let length = text.encode_utf16().count();
    (1..=LONGEST).contains(&length) && !text.chars().any(char::is_control)
}

/// A table, view or procedure with its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Table {
    pub schema: String,
    pub name: String,
}

impl Table {
    /// Reads `orders`, `sales.orders` or `[odd.schema].[odd table]`. `None`: it is neither.
    pub fn read(text: &str) -> Option<Self> {
        let (first, rest) = part(text.trim())?;
        let found = match rest.strip_prefix('.') {
            None if rest.is_empty() => Self { schema: "dbo".into(), name: first },
            None => return None,
            Some(rest) => {
                let (name, rest) = part(rest)?;
                if !rest.is_empty() {
                    return None;
                }
                Self { schema: first, name }
            }
        };
        (is_name(&found.schema) && is_name(&found.name)).then_some(found)
    }

    /// As an identifier of two parts.
    pub fn quoted(&self) -> String {
        format!("{}.{}", name(&self.schema), name(&self.name))
    }

    /// `OBJECT_ID(N'[dbo].[orders]')`.
    pub fn object_id(&self) -> String {
        format!("OBJECT_ID({})", literal(&self.quoted()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The first part of a name of several, and what follows it.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('[') else {
        let end = text.find('.').unwrap_or(text.len());
        let (found, rest) = text.split_at_checked(end)?;
        return Some((found.to_owned(), rest));
    };
    let mut found = String::new();
    loop {
        let end = rest.find(']')?;
        found.push_str(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
        match rest.strip_prefix(']') {
            Some(more) => {
                found.push(']');
                rest = more;
            }
            None => return Some((found, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_so_that_nothing_gets_out_of_them() {
        assert_eq!(name("a]; DROP TABLE x --"), "[a]]; DROP TABLE x --]");
        assert_eq!(literal("it's"), "N'it''s'");
    }

    #[test]
    fn tables_are_read_with_and_without_a_schema_and_brackets() {
        let table = |schema: &str, name: &str| Some(Table { schema: schema.into(), name: name.into() });
        for (text, expected) in [
            ("orders", table("dbo", "orders")),
            ("sales.orders", table("sales", "orders")),
            ("[a.b].[c]]d]", table("a.b", "c]d")),
            (" sales.Größe ", table("sales", "Größe")),
            ("a.b.c", None),
            ("", None),
            (".x", None),
            ("x.", None),
            ("[open", None),
            ("a\u{0}b", None),
        ] {
            assert_eq!(Table::read(text), expected, "input: {text:?}");
        }
        assert_eq!(Table::read(&"x".repeat(129)), None);
    }

    #[test]
    fn what_is_printed_quoted_reads_back() {
        let table = Table { schema: "s].[x".into(), name: "t'".into() };
        assert_eq!(Table::read(&table.quoted()), Some(table));
    }
}
