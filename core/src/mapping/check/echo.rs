//! Complaints that only follow from another mistake: whoever mends the one mends both.

use super::super::{diagnostic::Diagnostics, syntax::Node};

/// Drops what only follows from a comma that cut a value in two, or from a `kind` that is no kind.
pub(super) fn silence(text: &str, root: &Node, kind_is_guessed: bool, diagnostics: &mut Diagnostics) {
    let cuts: Vec<usize> = diagnostics
        .all
        .iter()
        .filter(|it| it.code == "M011" && it.help.iter().any(|line| line.starts_with("a comma inside")))
        .map(|it| it.span.start)
        .collect();
    let kind = root.get("source").and_then(|it| it.get("kind")).map(|it| it.span.clone());
    diagnostics.all.retain(|it| {
        let of_kind = kind_is_guessed && kind.as_ref() != Some(&it.span) && speaks_of_kind(&it.title);
        let cut = cuts.partition_point(|cut| *cut < it.span.end);
        let is_half = matches!(it.code, "M020" | "M040" | "M041")
            && cuts.get(cut).is_some_and(|cut| is_one_value(text, it.span.end, *cut));
        !of_kind && !is_half
    });
}

/// Between a complaint and the comma's second half nothing else begins.
fn is_one_value(text: &str, end: usize, cut: usize) -> bool {
    text.get(end..cut).is_some_and(|it| it.len() < 200 && !it.contains([':', '\n', '{', '}']))
}

fn speaks_of_kind(title: &str) -> bool {
    title.ends_with(" xml source") || title.contains(" kind xml")
}
