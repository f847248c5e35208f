//! People who may decide: who a request is from, by the token that it carries.

use hyper::{HeaderMap, header};
use vestibule_core::document::Hash;

use crate::{config::Operator, wiring::Secrets};

/// The operators of `vestibule.yaml` with their tokens, which are kept as hashes alone.
#[derive(Default)]
pub struct Operators(Vec<(String, Hash)>);

impl Operators {
    /// Takes the tokens from the environment. `Err`: the names of those that are not there.
    pub fn read(operators: &[Operator], secrets: Secrets<'_>) -> Result<Self, Vec<String>> {
        let mut known = Vec::with_capacity(operators.len());
        let mut missing = Vec::new();
        for operator in operators {
            match secrets(&operator.token) {
                Some(token) => known.push((operator.name.clone(), Hash::of(token.as_bytes()))),
                None => missing.push(operator.token.clone()),
            }
        }
        if missing.is_empty() { Ok(Self(known)) } else { Err(missing) }
    }

    /// True where nobody may decide over HTTP.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who sends this request: the operator whose token stands in `Authorization: Bearer`. How long it takes says nothing
    /// about any token.
    pub fn who(&self, headers: &HeaderMap) -> Option<&str> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let given = Hash::of(token.trim().as_bytes());
        // Of all, not of the first that fits; and of hashes, whose bytes nobody chooses one by one.
        self.0.iter().fold(None, |found, (name, hash)| {
            let differs = hash.0.iter().zip(given.0).fold(0_u8, |all, (own, other)| all | (own ^ other));
            if differs == 0 { Some(name.as_str()) } else { found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators() -> Operators {
        let named = |name: &str, token: &str| Operator { name: name.into(), token: token.into() };
        let secrets = |name: &str| match name {
            "ANNA" => Some("anna-7".to_owned()),
            "BERT" => Some("bert-9".to_owned()),
            _ => None,
        };
        assert_eq!(
            Operators::read(&[named("anna", "ANNA"), named("carl", "CARL")], &secrets).err(),
            Some(vec!["CARL".to_owned()])
        );
        Operators::read(&[named("anna", "ANNA"), named("bert", "BERT")], &secrets).unwrap()
    }

    #[test]
    fn a_token_names_its_operator_and_nobody_else() {
        let operators = operators();
        for (value, expected) in [
            ("Bearer anna-7", Some("anna")),
            ("bearer  bert-9 ", Some("bert")),
            ("Bearer anna-8", None),
            ("Bearer ANNA-7", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic anna-7", None),
            ("anna-7", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(operators.who(&headers), expected, "input: {value:?}");
        }
        let mut two = HeaderMap::new();
        two.append(header::AUTHORIZATION, "Bearer anna-7".parse().unwrap());
        two.append(header::AUTHORIZATION, "Bearer bert-9".parse().unwrap());
        assert_eq!(operators.who(&two), None);
        assert_eq!(operators.who(&HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer anna-7".parse().unwrap());
        assert_eq!(Operators::default().who(&headers), None);
    }
}
