//! Where documents arrive and where results go: `receive` and `deliver`.

use super::{
    super::{
        diagnostic::{Diagnostics, Span, shown},
        plan,
        syntax::Node,
    },
    Surroundings, databases, hooks, queues,
};

/// Most channels of one mapping.
const MOST_CHANNELS: usize = 100;
/// Most values of one setting: delays, secrets.
const MOST_VALUES: usize = 20;
/// Most columns of one setting: no table has more.
const MOST_COLUMNS: usize = 1_600;
/// Channels that documents arrive by.
const ARRIVE: [&str; 7] = ["soap", "amqp", "postgres", "sqlserver", "folder", "webhook", "schedule"];
/// Of these, the ones that no version runs yet.
const LATER: [&str; 2] = ["folder", "schedule"];

/// Channels that results are delivered by.
const DELIVER: [&str; 4] = ["amqp", "webhook", "postgres", "sqlserver"];

/// The channels under `receive`, which is a block or a list of blocks.
pub(super) fn receive(
    root: &Node,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<plan::Channel> {
    let Some(node) = root.get("receive") else { return Vec::new() };
    let mut channels: Vec<plan::Channel> = Vec::new();
    if node.items().len() > MOST_CHANNELS {
        let title = format!("more than {MOST_CHANNELS} channels");
        diagnostics.push("M008", &node.span, title, "too many");
        return channels;
    }
    if node.items().iter().all(|it| it.entries().is_empty()) && node.text().is_none() {
        diagnostics
            .push("M012", &node.span, "`receive` names no channel", "expected at least one")
            .help("e.g. soap: { service: ClaimService, operation: SubmitClaim }");
    }
    for (key, value) in node.items().iter().flat_map(Node::entries) {
        let Some(word) = key.text().filter(|it| ARRIVE.contains(it)) else { continue };
        is_in_build(word, key, around, diagnostics);
        let channel = channel(word, key, value, diagnostics);
        match word {
            "amqp" => queues::receive(value, diagnostics),
            "webhook" => hooks::receive(value, diagnostics),
            "postgres" | "sqlserver" => databases::receive(word, value, diagnostics),
            _ => {}
        }
        if let Some(first) = channels.iter().find(|it| is_same(it, &channel)) {
            diagnostics
                .push("M005", &channel.span, "this channel stands twice", "second time")
                .also(&first.span, "and here");
        }
        channels.push(channel);
    }
    channels
}

/// Two that take the same documents.
fn is_same(one: &plan::Channel, other: &plan::Channel) -> bool {
    if databases::is_database(&one.kind) {
        return one.kind == other.kind && databases::is_same(one, other);
    }
    let names: &[&str] = match &*one.kind {
        "soap" => &["service", "operation"],
        "amqp" => &["connection", "queue"],
        "webhook" => &["path"],
        _ => return false,
    };
    one.kind == other.kind
        && names.iter().all(|it| one.get(it).is_some_and(|found| Some(found) == other.get(it)))
}

fn is_in_build(word: &str, key: &Node, around: &Surroundings<'_>, diagnostics: &mut Diagnostics) {
    if LATER.contains(&word) {
        let title = format!("documents can not arrive by `{word}` in this version");
        diagnostics.push("M016", &key.span, title, "not yet in this version").help(
            "this version receives by soap, amqp, webhook, postgres and sqlserver, and at /v1/flows/NAME without any \
             `receive`",
        );
    } else if word != "soap" && !around.registry.receives(word) {
        let title = format!("this binary has no adapter to receive by `{word}`");
        diagnostics.push("M016", &key.span, title, "not in this build");
    }
}

/// The channel under `deliver`; `None`: `reply`.
pub(super) fn deliver(
    root: &Node,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<plan::Channel> {
    let node = root.get("deliver")?;
    let is_channel = |word: &str| DELIVER.contains(&word);
    let mut found = node.entries().iter().filter(|(key, _)| key.text().is_some_and(is_channel));
    let Some((key, value)) = found.next() else {
        if matches!(&node.kind, super::super::syntax::Kind::Map(entries) if entries.is_empty()) {
            diagnostics
                .push(
                    "M012",
                    &node.span,
                    "`deliver` names no channel",
                    "expected reply, amqp, webhook or a database",
                )
                .help("e.g. amqp: { connection: broker, queue: claims.out }");
        }
        return None;
    };
    if let Some((second, _)) = found.next() {
        diagnostics
            .push("M015", &second.span, "a result goes one way", "leave one of them out")
            .also(&key.span, "and here");
    }
    let word = key.text()?;
    if !around.registry.receives(word) {
        let title = format!("this binary has no adapter to deliver by `{word}`");
        diagnostics.push("M016", &key.span, title, "not in this build");
    }
    match word {
        "amqp" => queues::deliver(value, diagnostics),
        "postgres" | "sqlserver" => databases::deliver(word, value, diagnostics),
        _ => hooks::deliver(value, diagnostics),
    }
    let mut channel = channel(word, key, value, diagnostics);
    if databases::is_database(word) {
        databases::complete(&mut channel);
    }
    Some(channel)
}

fn channel(word: &str, key: &Node, value: &Node, diagnostics: &mut Diagnostics) -> plan::Channel {
    let mut settings = Vec::new();
    for (name, node) in value.entries() {
        let Some(name) = name.text() else { continue };
        let most = if name == "columns" { MOST_COLUMNS } else { MOST_VALUES };
        if node.items().len() > most {
            let title = format!("more than {most} values of `{}`", shown(name));
            diagnostics.push("M008", &node.span, title, "too many");
        }
        for item in node.items().iter().take(most) {
            let Some(text) = item.text() else { continue };
            if text.is_empty() && !item.is_blank() {
                let title = format!("`{}` is empty", shown(name));
                diagnostics.push("M014", &item.span, title, "expected a name");
            }
            settings.push((name.to_owned(), spelt(name, text).to_owned()));
        }
    }
    plan::Channel { kind: word.into(), settings, span: key.span.start..value.span.end }
}

/// Yes and no have one spelling, so that no adapter needs to know both.
fn spelt<'t>(name: &str, text: &'t str) -> &'t str {
    match (name, text) {
        ("declare" | "unlimited" | "competing", "true") => "yes",
        ("declare" | "unlimited" | "competing", "false") => "no",
        _ => text,
    }
}

/// A single value under a key that has one: its text and node.
pub(super) fn said<'n>(block: &'n Node, key: &str) -> Option<(&'n str, &'n Node)> {
    let node = block.get(key)?;
    node.text().filter(|it| !it.is_empty()).map(|text| (text, node))
}

/// Reports keys that have no effect without another one, or without this value of it.
pub(super) fn needs(block: &Node, keys: &[&str], other: &str, diagnostics: &mut Diagnostics) {
    for (key, _) in keys.iter().filter_map(|it| block.entry(it)) {
        let name = key.text().unwrap_or_default();
        let title = format!("`{name}` has no effect without `{other}`");
        diagnostics.push("M046", &key.span, title, format!("add `{other}`, or remove this"));
    }
}

/// Reports a setting that can not be used.
pub(super) fn unusable<'d>(
    node: &Node,
    title: String,
    label: &str,
    diagnostics: &'d mut Diagnostics,
) -> &'d mut super::super::diagnostic::Diagnostic {
    diagnostics.push("M048", &node.span, title, label)
}

/// A secret is named by its environment variable and never stands in a mapping.
pub(super) fn secrets(block: &Node, diagnostics: &mut Diagnostics) {
    let items = block.get("secret").map(Node::items).unwrap_or_default();
    let mut seen: Vec<(&str, &Span)> = Vec::new();
    for item in items.iter().take(MOST_VALUES) {
        let Some(text) = item.text().filter(|it| !it.is_empty()) else { continue };
        if !is_variable(text) {
            // The text may be the secret itself: it is not repeated in the message.
            diagnostics
                .push("M045", &item.span, "this is not the name of an environment variable", "expected a name")
                .help("the secret itself never stands in a mapping: put it into the environment, e.g. CLAIMS_HOOK");
        } else if let Some((_, first)) = seen.iter().find(|(name, _)| *name == text) {
            let title = format!("`{}` is listed twice", shown(text));
            diagnostics.push("M005", &item.span, title, "second time").also(first, "and here");
        }
        seen.push((text, &item.span));
    }
}

/// Names of environment variables as people write them: what looks like anything else may be a secret.
fn is_variable(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|it: char| it.is_ascii_uppercase() || it == '_')
        && text.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
}
