//! How the jobs of a flow are handled: order, tickets, reviews.

use std::time::Duration;

use super::{
    super::{
        diagnostic::{Diagnostics, shown},
        file::{self, MappingFile},
        plan::{self, Lapse, ReviewPlan, Tickets},
        syntax::Node,
    },
    MOST_IN_BLOCK, databases, limits,
    names::Names,
};
use crate::rule::{Slot, Type};

/// Longest time that anything waits.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Compiles what is said of the jobs, but for `deliver`, `order` and `pending`.
pub(super) fn section(root: &Node, file: &MappingFile, diagnostics: &mut Diagnostics) -> plan::Handling {
    let mut handling = plan::Handling { tickets: tickets(file), ..plan::Handling::default() };
    handling.concurrency = file.concurrency.map(Into::into);
    if let Some(found) = waiting(root, "patience", diagnostics) {
        handling.patience = found;
    }
    handling.review = file.review.as_ref().map(|it| review(root, it, diagnostics));
    if let (Some(file::Tickets::Flag(false)), Some((key, _))) = (file.tickets, root.entry("pending")) {
        let found =
            diagnostics.push("M015", &key.span, "with `async: no` nobody gets a ticket", "never written");
        if let Some((never, _)) = root.entry("async") {
            found.also(&never.span, "because of this");
        }
    }
    handling
}

fn tickets(file: &MappingFile) -> Tickets {
    match file.tickets {
        Some(file::Tickets::Flag(true)) => Tickets::Always,
        Some(file::Tickets::Flag(false)) => Tickets::Never,
        Some(file::Tickets::Late(_)) => Tickets::Late,
        // A job that is not stored can not be asked for later.
        None if file.durability == Some(file::Durability::None) => Tickets::Never,
        None => Tickets::Asked,
    }
}

fn review(root: &Node, review: &file::Review, diagnostics: &mut Diagnostics) -> ReviewPlan {
    let block = root.get("review").unwrap_or(root);
    let within = review.within.as_ref().and_then(|_| waiting(block, "within", diagnostics));
    if let (Some((key, _)), None) = (block.entry("lapse"), block.get("within")) {
        diagnostics
            .push("M046", &key.span, "`lapse` has no effect without `within`", "the time is never over")
            .help("e.g. within: 48h");
    }
    let lapse = match review.lapse {
        Some(file::Lapse::Fallback) | None => Lapse::Fallback,
        Some(file::Lapse::Review) => Lapse::Review,
        Some(file::Lapse::Reject) => Lapse::Reject,
    };
    ReviewPlan { within, lapse }
}

/// A length of time that something waits at the longest.
fn waiting(block: &Node, key: &str, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let node = block.get(key)?;
    let text = node.text().filter(|_| !node.is_blank())?;
    let found = limits::duration(node, text, key, diagnostics)?;
    if found.is_zero() || found > LONGEST {
        let title = format!("`{key}` can not be `{}`", shown(text));
        diagnostics.push("M033", &node.span, title, "expected 1ms to 366d");
    }
    Some(found)
}

/// With `durability: none` there is no job: nothing that needs one can be.
pub(super) fn needs_jobs(
    root: &Node,
    file: &MappingFile,
    receive: &[plan::Channel],
    diagnostics: &mut Diagnostics,
) {
    if file.durability != Some(file::Durability::None) {
        return;
    }
    for (key, _) in databases::channels(root, "receive") {
        let title = format!("rows of `{}` need durable jobs", key.text().unwrap_or_default());
        let found = diagnostics.push("M047", &key.span, title, "there would be no job");
        if let Some((_, none)) = root.entry("durability") {
            found.also(&none.span, "because of this");
        }
        found.help("a database is told that a row is done when its job is stored");
    }
    let into_database = databases::channels(root, "deliver").next().is_some();
    let from_queue = receive.iter().any(|it| &*it.kind == "amqp");
    let asks = |key: &str| match key {
        "async" => !matches!(file.tickets, None | Some(file::Tickets::Flag(false))),
        "deliver" => matches!(file.deliver, Some(file::Deliver::To(_))) && (into_database || !from_queue),
        // Reported already: with `async: no` nobody gets a ticket.
        "pending" => file.tickets != Some(file::Tickets::Flag(false)),
        _ => true,
    };
    for key in ["async", "pending", "order", "patience", "review", "deliver"] {
        let Some((name, value)) = root.entry(key).filter(|(_, value)| !value.is_blank() && asks(key)) else {
            continue;
        };
        let span = if key == "async" { &value.span } else { &name.span };
        let found =
            diagnostics.push("M047", span, format!("`{key}` needs durable jobs"), "there would be no job");
        if let Some((_, none)) = root.entry("durability") {
            found.also(&none.span, "because of this");
        }
        if key == "deliver" && !into_database {
            found.help("without a job, a result is delivered only for what comes by `amqp`");
        }
    }
}

/// The fields that make a key: the idempotency key, or the order.
pub(super) fn fields(
    root: &Node,
    key: &str,
    names: &Names,
    record: &plan::Shape,
    diagnostics: &mut Diagnostics,
) -> Vec<Slot> {
    let Some(node) = root.get(key) else { return Vec::new() };
    let (label, without) = match key {
        "key" => ("part of the key", "a repeated document would be new"),
        _ => ("part of the order", "a document without it would overtake the others"),
    };
    let mut slots = Vec::new();
    for item in node.items().iter().take(MOST_IN_BLOCK) {
        let Some((kind, slot)) = names.find(item, diagnostics) else { continue };
        let name = shown(item.text().unwrap_or_default());
        let field = record.fields.iter().find(|it| Some(&*it.name) == item.text());
        if matches!(kind, Type::List(_)) {
            let title = format!("`{name}` is a list: it can not be {label}");
            diagnostics.push("M018", &item.span, title, "a single value is needed here");
        } else if field.is_some_and(|it| it.rules.required.is_none()) {
            let title = format!("`{name}` may be absent: then {without}");
            diagnostics
                .push("M043", &item.span, title, label)
                .help("say `required: yes` (or note, review) on the field");
        } else if field.is_some_and(|it| !matches!(it.from, plan::From::Addresses(_))) {
            let title = format!("`{name}` is not read from the document");
            diagnostics
                .push("M043", &item.span, title, label)
                .help("take the fields that it is made of: they are known before the document is checked");
        } else if slots.contains(&slot) {
            diagnostics.push("M005", &item.span, format!("`{name}` is listed twice"), "second time");
        }
        slots.push(slot);
    }
    slots
}
