//! Signed events and callbacks: the channel `webhook`.

use std::time::Duration;

use super::{
    super::{
        address::is_token,
        diagnostic::{Diagnostics, shown},
        syntax::Node,
    },
    channels::{needs, said, secrets, unusable},
    limits,
};

/// What every path of a webhook begins with.
const ROOT: &str = "/hooks/";
/// Longest path and URL, in bytes.
const LONGEST: usize = 1_000;
/// A window that is wider keeps nobody from sending a recorded event again.
const WIDEST: Duration = Duration::from_secs(86_400);
/// Keys that only a signature of one's own has.
const OWN: [&str; 7] = ["header", "prefix", "encoding", "algorithm", "timestamp", "signed", "id"];
/// What `signed` may name.
const PARTS: [&str; 3] = ["body", "timestamp", "id"];

/// Checks the settings of `receive: webhook`.
pub(super) fn receive(block: &Node, diagnostics: &mut Diagnostics) {
    path(block, diagnostics);
    secrets(block, diagnostics);
    let style = block.get("style").map(|it| it.text().unwrap_or_default());
    match style {
        None | Some("standard" | "github" | "stripe") => {
            needs(block, &OWN, "style: hmac", diagnostics);
            if style == Some("github") && block.get("tolerance").is_some() {
                let node = block.entry("tolerance").map_or(block, |(key, _)| key);
                let title = "GitHub signs no time: there is nothing to tolerate";
                diagnostics.push("M015", &node.span, title, "remove this");
            }
        }
        Some("hmac") => own_signature(block, diagnostics),
        // Reported where the word was read.
        Some(_) => {}
    }
    if let Some((text, node)) = said(block, "tolerance")
        && let Some(found) = limits::duration(node, text, "tolerance", diagnostics)
        && (found.is_zero() || found > WIDEST)
    {
        let title = format!("`tolerance` can not be `{}`", shown(text));
        diagnostics.push("M033", &node.span, title, "expected 1s to 24h");
    }
    for (key, (text, node)) in ["part", "field"].iter().filter_map(|key| Some((key, said(block, key)?))) {
        if text.len() > 200 || text.chars().any(char::is_control) {
            let title = format!("`{key}` can not be `{}`", shown(text));
            unusable(node, title, "expected at most 200 bytes, without control characters", diagnostics);
        }
    }
}

fn path(block: &Node, diagnostics: &mut Diagnostics) {
    let Some((text, node)) = said(block, "path") else { return };
    let is_segment = |it: &str| {
        !it.is_empty()
            && it != "."
            && it != ".."
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.' | b'~'))
    };
    let fits =
        text.len() <= LONGEST && text.strip_prefix(ROOT).is_some_and(|rest| rest.split('/').all(is_segment));
    if fits {
        return;
    }
    let title = format!("`{}` is not a path of a webhook", shown(text));
    let found = diagnostics.push("M044", &node.span, title, "expected /hooks/NAME");
    let bare = text.trim_matches('/');
    let bare = bare.strip_prefix("hooks/").unwrap_or(bare);
    if !text.starts_with(ROOT) && bare.split('/').all(is_segment) {
        found.fix(&node.span, format!("{ROOT}{bare}"));
    } else {
        found.help("letters, digits, `-`, `_`, `.`, `~`, and `/` between two names");
    }
}

/// Checks `style: hmac`.
fn own_signature(block: &Node, diagnostics: &mut Diagnostics) {
    if block.get("header").is_none() {
        let at = block.entry("style").map_or(block, |(key, _)| key);
        diagnostics
            .push("M012", &at.span, "`style: hmac` needs `header`", "missing here")
            .help("header: the header with the signature, e.g. x-signature");
    }
    let named = ["header", "timestamp", "id"];
    for (key, (text, node)) in named.iter().filter_map(|key| Some((key, said(block, key)?))) {
        if text.len() > 100 || !text.bytes().all(is_token) {
            let title = format!("`{key}` can not be `{}`", shown(text));
            unusable(node, title, "expected the name of a header, e.g. x-signature", diagnostics);
        }
    }
    if block.get("timestamp").is_none() {
        needs(block, &["tolerance"], "timestamp", diagnostics);
    }
    if let Some((text, node)) = said(block, "prefix")
        && (text.len() > 100 || !text.bytes().all(|it| it.is_ascii_graphic() || it == b' '))
    {
        let title = format!("`prefix` can not be `{}`", shown(text));
        unusable(node, title, "expected printable ASCII", diagnostics);
    }
    if let Some((text, node)) = said(block, "signed") {
        signed(block, text, node, diagnostics);
    }
}

/// What is signed: with the body in it, and with the time where it is used, for what is not signed can be changed.
fn signed(block: &Node, text: &str, node: &Node, diagnostics: &mut Diagnostics) {
    let mut rest = text;
    let mut offset = 0;
    let mut used: Vec<&str> = Vec::new();
    while let Some(open) = rest.find('{') {
        let after = rest.get(open + 1..).unwrap_or_default();
        let Some(length) = after.find('}') else {
            let span = node.sub(offset + open..text.len());
            diagnostics.push("M048", &span, "this `{` is not closed", "in `signed`");
            return;
        };
        let name = after.get(..length).unwrap_or_default();
        let start = offset + open + 1;
        if PARTS.contains(&name) {
            used.push(name);
        } else {
            let span = if name.is_empty() {
                node.sub(start - 1..start + 1)
            } else {
                node.sub(start..start + length)
            };
            let title = format!("`{{{}}}` is not a part of what is signed", shown(name));
            diagnostics.push("M048", &span, title, "unknown part").suggest(name, &span, PARTS);
            return;
        }
        offset = start + length + 1;
        rest = text.get(offset..).unwrap_or_default();
    }
    if used.iter().filter(|it| **it == "body").count() != 1 {
        unusable(node, "what is signed has the body in it, once".into(), "expected `{body}`", diagnostics)
            .help("e.g. '{timestamp}.{body}'");
    }
    for name in ["timestamp", "id"].into_iter().filter(|it| used.contains(it) && block.get(it).is_none()) {
        let title = format!("`signed` uses `{{{name}}}`, and no `{name}` names its header");
        diagnostics.push("M012", &node.span, title, format!("needs `{name}`"));
    }
    if let (Some((key, _)), false) = (block.entry("timestamp"), used.contains(&"timestamp")) {
        let title = "the timestamp is not signed: whoever sends an event again could change it";
        diagnostics
            .push("M048", &key.span, title, "`signed` has no `{timestamp}`")
            .also(&node.span, "not in here");
    }
}

/// Checks the settings of `deliver: webhook`.
pub(super) fn deliver(block: &Node, diagnostics: &mut Diagnostics) {
    secrets(block, diagnostics);
    let Some((text, node)) = said(block, "url") else { return };
    if let Err(expected) = url(text) {
        let title = format!("`url` can not be `{}`", shown(text));
        unusable(node, title, expected, diagnostics).help("e.g. https://claims.example/results");
    }
}

/// A URL as results are posted to: nothing in it that does not belong to the place.
fn url(text: &str) -> Result<(), &'static str> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("expected https://… or http://…")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if text.len() > LONGEST || !text.bytes().all(|it| it.is_ascii_graphic()) {
        return Err("expected at most 1000 printable ASCII characters");
    }
    if authority.contains('@') {
        return Err("no user and no password here");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("expected the name of a host");
    }
    if text.contains('#') {
        return Err("nothing after `#` is sent");
    }
    Ok(())
}
