//! The place of a mapping's `deliver: webhook`.

use std::collections::BTreeMap;

use vestibule_core::{
    job::Place,
    mapping::{diagnostic::Diagnostics, plan::Channel},
};

use super::{callbacks::NAME, poster::target};
use crate::signature::Secret;

/// Reads a `deliver` channel. `secrets` says whether the secret is there; the place keeps its name alone. Problems are
/// reported at the channel's span.
pub fn place(
    channel: &Channel,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Place> {
    let before = diagnostics.len();
    let span = &channel.span;
    for (key, _) in channel.settings.iter().filter(|(key, _)| !matches!(&**key, "url" | "secret")) {
        let title = format!("`webhook` has no setting `{key}` here");
        diagnostics.push("M011", span, title, "not known").suggest(key, span, ["url", "secret"]);
    }
    let url = channel.get("url").map(str::trim);
    match url.map(target) {
        None => drop(diagnostics.push("M012", span, "`deliver: webhook` needs a `url`", "to which address?")),
        Some(None) => {
            let title = "`url` is an address of HTTP or HTTPS, without credentials";
            diagnostics.push("M013", span, title, "not such an address");
        }
        Some(Some(_)) => {}
    }
    let secret = channel.get("secret").map(str::trim);
    match secret.map(|name| (name, secrets(name))) {
        None => {
            let title = "`deliver: webhook` needs a `secret`: the name of an environment variable";
            diagnostics.push("M012", span, title, "the receiver could not tell who posted");
        }
        Some((name, None)) => {
            let title = format!("the environment has no `{name}`");
            diagnostics.push("M071", span, title, "the secret is not there");
        }
        Some((name, Some(text))) if Secret::standard(&text).is_none() => {
            let title = format!("the secret in `{name}` is not Base64, with or without `whsec_` before it");
            diagnostics.push("M071", span, title, "of Standard Webhooks");
        }
        Some(_) => {}
    }
    let (true, Some(url), Some(secret)) = (diagnostics.len() == before, url, secret) else { return None };
    let to = [("url", url), ("secret", secret)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Some(Place { returner: NAME.into(), to: BTreeMap::from(to) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_has_an_address_and_a_secret() {
        let secrets = |name: &str| match name {
            "GOOD" => Some("whsec_c2VjcmV0".to_owned()),
            "BAD" => Some("???".to_owned()),
            _ => None,
        };
        for (settings, expected) in [
            (&[("url", "https://a.example/x"), ("secret", "GOOD")][..], vec![]),
            (&[("secret", "GOOD")], vec!["M012"]),
            (&[("url", "https://a.example/x")], vec!["M012"]),
            (&[("url", "a.example/x"), ("secret", "GOOD")], vec!["M013"]),
            (&[("url", "https://u:p@a.example/x"), ("secret", "GOOD")], vec!["M013"]),
            (&[("url", "https://a.example/x"), ("secret", "NONE")], vec!["M071"]),
            (&[("url", "https://a.example/x"), ("secret", "BAD")], vec!["M071"]),
            (&[("url", "https://a.example/x"), ("secret", "GOOD"), ("ulr", "x")], vec!["M011"]),
        ] {
            let settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let channel = Channel { kind: "webhook".into(), settings, span: 0..0 };
            let mut diagnostics = Diagnostics::default();
            let place = place(&channel, &secrets, &mut diagnostics);
            let codes: Vec<_> = diagnostics.all.iter().map(|it| it.code).collect();
            assert_eq!(
                (codes.clone(), place.is_some()),
                (expected, codes.is_empty()),
                "{:?}",
                channel.settings
            );
        }
    }
}
