//! Queues and exchanges of a broker: the channel `amqp`.

use std::time::Duration;

use super::{
    super::{
        address::is_token,
        diagnostic::{Diagnostics, shown},
        syntax::Node,
    },
    channels::{needs, said, unusable},
};

/// Longest name that AMQP 0-9-1 carries (a short string), in bytes.
const LONGEST_NAME: usize = 255;
/// Most delays: each is a queue of its own.
const MOST_DELAYS: usize = 10;
/// Longest delay: RabbitMQ takes no longer time to live.
const LONGEST_DELAY: Duration = Duration::from_secs(40 * 86_400);

/// Checks the settings of `receive: amqp`.
pub(super) fn receive(block: &Node, diagnostics: &mut Diagnostics) {
    names(block, &["queue", "exchange", "routing_key", "dead_letter", "dead_letter_exchange"], diagnostics);
    if !declares(block) {
        needs(block, &["queue_type", "exchange", "routing_key"], "declare: yes", diagnostics);
    } else if block.get("exchange").is_none() {
        needs(block, &["routing_key"], "exchange", diagnostics);
    }
    if let (Some((queue, _)), Some((dead, node))) = (said(block, "queue"), said(block, "dead_letter"))
        && queue == dead
        && block.get("dead_letter_exchange").is_none()
    {
        let title = "dead letters would come back into the queue they come from".into();
        unusable(node, title, "the same queue", diagnostics)
            .help("name a queue of their own, e.g. claims.dead");
    }
    if let Some(node) = block.get("retry") {
        delays(node, diagnostics);
    }
    if let Some((text, node)) = said(block, "content_type")
        && !is_media_type(text)
    {
        let title = format!("`{}` is not a media type", shown(text));
        unusable(node, title, "expected TYPE/SUBTYPE", diagnostics)
            .help("e.g. text/xml, application/json, text/xml; charset=iso-8859-1");
    }
}

/// Checks the settings of `deliver: amqp`.
pub(super) fn deliver(block: &Node, diagnostics: &mut Diagnostics) {
    names(block, &["queue", "exchange", "routing_key"], diagnostics);
    match (block.entry("queue"), block.entry("exchange")) {
        (None, None) if !block.entries().is_empty() => {
            let at = block.entries().first().map_or(&block.span, |(key, _)| &key.span);
            diagnostics
                .push("M012", at, "`amqp` needs `queue`, or `exchange` and `routing_key`", "missing here")
                .help("e.g. amqp: { connection: broker, queue: claims.out }");
        }
        (Some((queue, _)), Some((exchange, _))) => {
            diagnostics
                .push(
                    "M015",
                    &exchange.span,
                    "results go to a queue or to an exchange",
                    "leave one of them out",
                )
                .also(&queue.span, "and here");
        }
        (Some(_), None) => needs(block, &["routing_key"], "exchange", diagnostics),
        _ => {}
    }
    if !declares(block) {
        needs(block, &["queue_type"], "declare: yes", diagnostics);
    } else if block.get("queue").is_none() {
        needs(block, &["queue_type"], "queue", diagnostics);
    }
}

fn declares(block: &Node) -> bool {
    matches!(block.get("declare").and_then(Node::text), Some("yes" | "true"))
}

fn names(block: &Node, keys: &[&str], diagnostics: &mut Diagnostics) {
    for (key, (text, node)) in keys.iter().filter_map(|key| Some((key, said(block, key)?))) {
        if text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
            let title = format!("`{key}` can not be `{}`", shown(text));
            let label = format!("expected at most {LONGEST_NAME} bytes, without control characters");
            unusable(node, title, &label, diagnostics);
        } else if text.starts_with("amq.") && *key == "queue" && declares(block) {
            let title = format!("`{}` can not be declared", shown(text));
            unusable(node, title, "the broker keeps names with `amq.` to itself", diagnostics);
        }
    }
}

/// Each longer than the one before, so that a message that fails again waits longer.
fn delays(node: &Node, diagnostics: &mut Diagnostics) {
    if node.items().is_empty() {
        diagnostics
            .push("M049", &node.span, "`retry` names no delay", "expected at least one")
            .help("e.g. [5s, 1m, 10m]");
    }
    let mut before: Option<Duration> = None;
    for (at, item) in node.items().iter().enumerate() {
        let Some(text) = item.text().filter(|it| !it.is_empty()) else { continue };
        if at == MOST_DELAYS {
            let title = format!("more than {MOST_DELAYS} delays");
            diagnostics.push("M049", &item.span, title, "each is a queue of its own");
            return;
        }
        let Some(delay) = super::limits::duration(item, text, "retry", diagnostics) else { continue };
        if delay.is_zero() || delay > LONGEST_DELAY {
            let title = format!("`retry` can not wait `{}`", shown(text));
            diagnostics.push("M049", &item.span, title, "expected 1ms to 40d");
        } else if before.is_some_and(|it| delay <= it) {
            diagnostics
                .push(
                    "M049",
                    &item.span,
                    "the delays of `retry` do not grow",
                    "not longer than the one before",
                )
                .help("list them from the shortest to the longest: [5s, 1m, 10m]");
        }
        before = Some(delay);
    }
}

/// `type/subtype`, with or without parameters.
fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_name = |it: &str| !it.is_empty() && it.bytes().all(is_token);
    let is_parameter = |it: &str| {
        it.split_once('=').is_some_and(|(name, value)| {
            is_name(name.trim()) && value.bytes().all(|it| it.is_ascii_graphic()) && !value.is_empty()
        })
    };
    text.len() <= LONGEST_NAME
        && essence.trim().split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
        && (parameters.is_empty() || parameters.split(';').all(|it| is_parameter(it.trim())))
}
