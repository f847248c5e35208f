//! Rows in the order of their key, a page at a time: no cursor is held open, and a page can be asked for again.

use vestibule_core::change::Cell;

use crate::{
    cell::{self, Column},
    error::Trouble,
    quote::name,
};

/// A condition with the values of its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub sql: String,
    pub values: Vec<String>,
}

/// Which side of a key rows are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    After,
    From,
    To,
}

/// Rows of the alias `t` on this side of a key, compared column by column; its parameters are `@P{first}` and on.
pub(crate) fn side(
    key: &[Column],
    values: &[String],
    side: Side,
    first: usize,
) -> Result<Condition, Trouble> {
    if key.len() != values.len() || key.is_empty() {
        return Err(Trouble::Stopped(format!("D128: a key of this table has {} columns", key.len())));
    }
    let mut found = Condition::default();
    let mut expressions = Vec::with_capacity(key.len());
    for (place, (column, value)) in key.iter().zip(values).enumerate() {
        let made = cell::parameter(column, value, first + place);
        let (value, sql) =
            made.ok_or_else(|| Trouble::Stopped(format!("D128: {} can not be ordered by", column.name)))?;
        found.values.push(value);
        expressions.push((format!("t.{}", name(&column.name)), sql));
    }
    let (strict, last) = match side {
        Side::After => (">", ">"),
        Side::From => (">", ">="),
        Side::To => ("<", "<="),
    };
    let mut sql = String::new();
    for (column, value) in expressions.into_iter().rev() {
        sql = match sql.is_empty() {
            true => format!("{column} {last} {value}"),
            false => format!("({column} {strict} {value} OR ({column} = {value} AND {sql}))"),
        };
    }
    found.sql = sql;
    Ok(found)
}

/// `t.[a], t.[b]`
pub(crate) fn order(key: &[Column]) -> String {
    let columns: Vec<String> = key.iter().map(|it| format!("t.{}", name(&it.name))).collect();
    columns.join(", ")
}

/// The texts of a key's cells; `None`: a part has none.
pub(crate) fn texts(row: &vestibule_core::change::Row, key: &[impl AsRef<str>]) -> Option<Vec<String>> {
    key.iter()
        .map(|it| match row.get(it.as_ref()) {
            Some(Cell::Text(text)) => Some(text.to_string()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_columns_are_compared_one_after_the_other() {
        let column = |name: &str| Column { name: name.into(), kind: "int".into(), declared: "int".into() };
        let key = [column("a"), column("b]")];
        let made = side(&key, &["1".into(), "2".into()], Side::After, 4);
        let made = made.unwrap_or_default();
        assert_eq!(
            made.sql,
            "(t.[a] > CONVERT(int, @P4) OR (t.[a] = CONVERT(int, @P4) AND t.[b]]] > CONVERT(int, @P5)))"
        );
        assert_eq!(made.values, ["1", "2"]);
        assert!(side(&key, &["1".into()], Side::To, 1).is_err());
        assert_eq!(
            side(&key[..1], &["1".into()], Side::To, 1).unwrap_or_default().sql,
            "t.[a] <= CONVERT(int, @P1)"
        );
    }
}
