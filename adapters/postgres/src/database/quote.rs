//! Names and texts in SQL. Everything that is no parameter of a statement is written by these two functions.

/// The longest name that PostgreSQL keeps whole, in bytes.
pub(crate) const LONGEST_NAME: usize = 63;

/// Why a text can not stand in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unquotable {
    /// A name without a character.
    #[error("a name is empty")]
    Empty,
    /// PostgreSQL would cut it, and mean another one.
    #[error("a name is longer than {LONGEST_NAME} bytes")]
    Long,
    /// PostgreSQL has no such character.
    #[error("a text holds a NUL character")]
    Nul,
}

/// The name as the catalogue spells it, between quotes: nothing in it is folded, and nothing of it ends the quotes.
pub(crate) fn identifier(name: &str) -> Result<String, Unquotable> {
    check_name(name)?;
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Whether the catalogue can have this name.
pub(crate) fn check_name(name: &str) -> Result<(), Unquotable> {
    match name {
        "" => Err(Unquotable::Empty),
        _ if name.contains('\0') => Err(Unquotable::Nul),
        _ if name.len() > LONGEST_NAME => Err(Unquotable::Long),
        _ => Ok(()),
    }
}

/// The text as a constant that reads the same whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> Result<String, Unquotable> {
    if text.contains('\0') {
        return Err(Unquotable::Nul);
    }
    let quoted = text.replace('\'', "''");
    Ok(if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    })
}

/// A table (or function) with its schema, as the catalogue spells both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Relation {
    /// The schema's name.
    pub schema: String,
    /// Its own name.
    pub name: String,
}

impl Relation {
    /// Reads `table`, `schema.table` or, for names with a dot in them, `"sche.ma"."ta.ble"`. Names stand as the catalogue
    /// spells them; without a schema it is `public`.
    pub fn parse(text: &str) -> Result<Self, Unquotable> {
        let (first, rest) = part(text)?;
        let relation = match rest {
            None => Self { schema: "public".into(), name: first },
            Some(rest) => {
                // Further dots belong to the name.
                let name = if rest.starts_with('"') { part(rest)?.0 } else { rest.to_owned() };
                Self { schema: first, name }
            }
        };
        check_name(&relation.schema)?;
        check_name(&relation.name)?;
        Ok(relation)
    }

    /// For statements: `"public"."orders"`.
    pub fn quoted(&self) -> String {
        // Both were checked when it was read.
        format!("\"{}\".\"{}\"", self.schema.replace('"', "\"\""), self.name.replace('"', "\"\""))
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The first name of a dotted text, and what comes after its dot.
fn part(text: &str) -> Result<(String, Option<&str>), Unquotable> {
    let Some(inside) = text.strip_prefix('"') else {
        return Ok(match text.split_once('.') {
            Some((name, rest)) => (name.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        });
    };
    let mut name = String::new();
    let mut rest = inside.chars();
    loop {
        match rest.next() {
            None => return Err(Unquotable::Empty),
            Some('"') if rest.as_str().starts_with('"') => {
                rest.next();
                name.push('"');
            }
            Some('"') => break,
            Some(other) => name.push(other),
        }
    }
    match rest.as_str() {
        "" => Ok((name, None)),
        rest => rest.strip_prefix('.').map(|rest| (name, Some(rest))).ok_or(Unquotable::Empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_or_refused() {
        for (name, expected) in [
            ("orders", Ok("\"orders\"")),
            ("Order \"A\"; DROP", Ok("\"Order \"\"A\"\"; DROP\"")),
            ("Straße 1", Ok("\"Straße 1\"")),
            ("", Err(Unquotable::Empty)),
            ("a\0b", Err(Unquotable::Nul)),
        ] {
            assert_eq!(identifier(name).as_deref(), expected.as_ref().copied(), "input: {name:?}");
        }
        assert!(identifier(&"a".repeat(63)).is_ok());
        assert_eq!(identifier(&"ä".repeat(32)), Err(Unquotable::Long));
    }

    #[test]
    fn tables_are_read_with_and_without_a_schema() {
        let relation = |schema: &str, name: &str| Ok(Relation { schema: schema.into(), name: name.into() });
        for (text, expected) in [
            ("orders", relation("public", "orders")),
            ("sales.Orders", relation("sales", "Orders")),
            ("sales.or.ders", relation("sales", "or.ders")),
            ("\"sa.les\".\"or\"\"ders\"", relation("sa.les", "or\"ders")),
            ("\"or.ders\"", relation("public", "or.ders")),
            ("", Err(Unquotable::Empty)),
            (".orders", Err(Unquotable::Empty)),
            ("sales.", Err(Unquotable::Empty)),
            ("\"open", Err(Unquotable::Empty)),
            ("\"a\"b", Err(Unquotable::Empty)),
        ] {
            assert_eq!(Relation::parse(text), expected, "input: {text:?}");
        }
    }
}
