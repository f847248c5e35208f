//! SQL as text for people.

use crate::database::quote::{self, Unquotable};

/// `"a", "b"`
pub(super) fn identifiers(names: &[String]) -> Result<String, Unquotable> {
    let quoted: Result<Vec<String>, Unquotable> = names.iter().map(|it| quote::identifier(it)).collect();
    Ok(quoted?.join(", "))
}

/// `ARRAY['a', 'b']::text[]`
pub(super) fn texts(names: &[String]) -> Result<String, Unquotable> {
    let quoted: Result<Vec<String>, Unquotable> = names.iter().map(|it| quote::literal(it)).collect();
    Ok(format!("ARRAY[{}]::text[]", quoted?.join(", ")))
}

/// A body between dollars that do not stand in it.
pub(super) fn dollars(body: &str) -> String {
    let mut tag = String::from("$vestibule$");
    let mut number = 1_u32;
    while body.contains(&tag) {
        number = number.saturating_add(1);
        tag = format!("$vestibule{number}$");
    }
    format!("{tag}\n{body}{tag}")
}

/// `DO` with this body.
pub(super) fn block(body: &str) -> String {
    format!("DO {};\n", dollars(body))
}

/// A comment of one line: no name ends it.
pub(super) fn comment(text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    format!("-- {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_ends_its_dollars_and_no_name_its_comment() {
        assert_eq!(dollars("a $vestibule$ b\n"), "$vestibule2$\na $vestibule$ b\n$vestibule2$");
        assert_eq!(comment("a\nDROP b"), "-- a DROP b\n");
    }
}
