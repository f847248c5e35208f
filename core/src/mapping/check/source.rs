//! What a document is; addresses against the contract.

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::tz::TimeZone;

use super::{
    super::{
        address::Path,
        diagnostic::{Diagnostics, Span, shown},
        file::{MappingFile, SourceKind},
        plan,
        syntax::Node,
    },
    Desk, Spoilt, Surroundings, fields,
    names::{Names, Sketch},
};
use crate::ports::{Contract, Direction, NotInContract};

/// What of the source only the record's own compilation needs.
pub(super) struct Head {
    pub each: Option<Path>,
}

/// Reads the section `source` and the contract that it names.
pub(super) fn desk<'a>(
    root: &Node,
    file: &MappingFile,
    around: &'a Surroundings<'a>,
    spoilt: Spoilt,
    receive: &[plan::Channel],
    diagnostics: &mut Diagnostics,
) -> (Desk<'a>, Head) {
    let node = root.get("source");
    let source = file.source.as_ref();
    let kind = source.and_then(|it| it.kind).unwrap_or(SourceKind::Xml).word();
    let mut operations: Vec<String> = Vec::new();
    for name in receive.iter().filter_map(|it| it.get("operation")) {
        if !operations.iter().any(|it| it == name) {
            operations.push(name.to_owned());
        }
    }
    let mut desk = Desk {
        around,
        kind,
        namespaces: source.and_then(|it| it.namespaces.clone()).unwrap_or_default(),
        zone: TimeZone::UTC,
        contract: None,
        operations,
        tables: IndexMap::new(),
        tables_are_known: true,
        spoilt,
    };
    let at = |key: &str| node.and_then(|it| it.get(key));
    if let (Some(name), Some(node)) = (source.and_then(|it| it.timezone.as_deref()), at("timezone")) {
        desk.zone = zone(name, node, diagnostics);
    }
    if let (Some(_), Some(node)) = (source.and_then(|it| it.kind), at("kind"))
        && around.registry.format(kind).is_none()
    {
        let title = format!("this binary has no adapter for documents of kind `{kind}`");
        diagnostics.push("M016", &node.span, title, "not in this build");
    }
    encoding(&desk, at("encoding"), diagnostics);
    if let (Some(path), Some(node)) = (source.and_then(|it| it.contract.as_deref()), at("contract")) {
        desk.contract = contract(&desk, path, &node.span, diagnostics);
    }
    operations_in_contract(&mut desk, root, diagnostics);
    let each = at("each").and_then(|node| {
        let text = node.text().filter(|_| !node.is_blank())?;
        let found = Path::parse(text, desk.kind, &desk.namespaces);
        match found.and_then(|path| if desk.kind == "cdc" { path.in_row(text) } else { Ok(path) }) {
            Ok(path)
                if fields::repeats(&path, node, diagnostics)
                    && in_contract(&desk, node, Direction::Request, &[], &path, diagnostics) =>
            {
                Some(path)
            }
            // A path without steps: the fields below it are not checked against the contract.
            Ok(_) => Some(Path::default()),
            Err(error) => {
                fields::report(&error, node, "in the address of the records", diagnostics);
                None
            }
        }
    });
    (desk, Head { each })
}

fn zone(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> TimeZone {
    match TimeZone::get(name) {
        Ok(zone) => zone,
        Err(_) => {
            let known: Vec<String> = jiff::tz::db().available().map(|it| it.as_str().to_owned()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let title = format!("there is no time zone `{}`", shown(name));
            let found = diagnostics.push("M035", &node.span, title, "unknown time zone");
            match super::super::diagnostic::nearest(name, &known) {
                Some(near) => found.fix(&node.span, near),
                None => found.help("a name of the IANA database, e.g. Europe/Madrid"),
            };
            TimeZone::UTC
        }
    }
}

fn encoding(desk: &Desk<'_>, node: Option<&Node>, diagnostics: &mut Diagnostics) {
    let Some(node) = node.filter(|it| !it.is_blank()) else { return };
    let Some(name) = node.text() else { return };
    let fits = !name.is_empty() && name.len() <= 40 && name.bytes().all(|it| it.is_ascii_graphic());
    let known = desk.around.registry.format(desk.kind).is_none_or(|it| it.knows_charset(name));
    if !fits || !known {
        diagnostics
            .push(
                "M035",
                &node.span,
                format!("`{}` is not a character set", shown(name)),
                "unknown character set",
            )
            .help("e.g. utf-8, windows-1252, iso-8859-15");
    }
}

/// Reads a contract. One that can not be read is reported once, and nothing is checked against it.
pub(super) fn contract(
    desk: &Desk<'_>,
    path: &str,
    span: &Span,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<dyn Contract>> {
    let format = desk.around.registry.format(desk.kind)?;
    match format.contract(path, desk.around.files) {
        Ok(Some(contract)) => Some(contract),
        Ok(None) => {
            let title = format!("documents of kind {} have no contract", desk.kind);
            diagnostics.push("M039", span, title, "remove this");
            None
        }
        Err(fault) => {
            let title = format!("the contract `{}` can not be read", shown(path));
            let label = match &fault.place {
                Some(place) => format!("{} at {place}", fault.message),
                None => fault.message.clone(),
            };
            diagnostics.push("M039", span, title, label).help("paths are relative to the mapping");
            None
        }
    }
}

/// Each operation that the mapping receives is one of the contract's; else nothing more can be checked.
fn operations_in_contract(desk: &mut Desk<'_>, root: &Node, diagnostics: &mut Diagnostics) {
    let Some(contract) = &desk.contract else { return };
    let known = contract.operations();
    let is_unknown = |name: &str| !known.is_empty() && !known.iter().any(|it| it == name);
    if !desk.operations.iter().any(|it| is_unknown(it)) {
        return;
    }
    let blocks = root.get("receive").map(Node::items).unwrap_or_default();
    for node in blocks.iter().filter_map(|it| it.get("soap")?.get("operation")) {
        let Some(name) = node.text().filter(|it| is_unknown(it)) else { continue };
        let title = format!("the contract has no operation `{}`", shown(name));
        diagnostics.push("M029", &node.span, title, "not in the contract").suggest(
            name,
            &node.span,
            known.iter().map(String::as_str),
        );
    }
    desk.contract = None;
}

/// Fields of the record that closes the document.
pub(super) fn trailer(
    desk: &Desk<'_>,
    root: &Node,
    file: &MappingFile,
    diagnostics: &mut Diagnostics,
) -> (Option<plan::Shape>, Vec<Sketch>) {
    let node = root.get("source").and_then(|it| it.get("trailer"));
    let fields = file.source.as_ref().and_then(|it| it.trailer.as_ref());
    let (Some(node), Some(fields)) = (node, fields) else { return (None, Vec::new()) };
    let (shape, sketches) = fields::block(desk, node, fields, &[], &mut Names::default(), diagnostics);
    (Some(shape), sketches)
}

/// Reports an address that the contract does not have, at the step that it does not have. False when it has not.
pub(super) fn in_contract(
    desk: &Desk<'_>,
    node: &Node,
    direction: Direction,
    base: &[&Path],
    path: &Path,
    diagnostics: &mut Diagnostics,
) -> bool {
    let Some(contract) = &desk.contract else { return true };
    against(contract.as_ref(), desk, node, direction, base, path, diagnostics)
}

/// The same against a contract of its own.
pub(super) fn against(
    contract: &dyn Contract,
    desk: &Desk<'_>,
    node: &Node,
    direction: Direction,
    base: &[&Path],
    path: &Path,
    diagnostics: &mut Diagnostics,
) -> bool {
    // Below a list that is not in the contract (or not an address) nothing can be; that is reported already.
    if base.iter().any(|it| it.steps.is_empty() && !it.absolute) {
        return true;
    }
    let Some(missing) = missing(contract, desk, direction, base, path) else { return true };
    let text = node.text().unwrap_or_default();
    let range = step_range(text, missing.step);
    let got = text.get(range.clone()).unwrap_or_default();
    let span = node.sub(range.clone());
    let title = format!("`{}` is not in the contract", shown(got));
    let found = diagnostics.push("M028", &span, title, "the contract has no such name here");
    let bare = got.rsplit(':').next().unwrap_or(got);
    let known: Vec<&str> = missing.known.iter().map(String::as_str).collect();
    let bare_span = node.sub(range.end.saturating_sub(bare.len())..range.end);
    found.suggest(bare, &bare_span, known);
    false
}

/// What of an address the contract does not have. What is read may stand in the requests of some of the mapping's
/// operations alone; what is written is part of all replies.
fn missing(
    contract: &dyn Contract,
    desk: &Desk<'_>,
    direction: Direction,
    base: &[&Path],
    path: &Path,
) -> Option<NotInContract> {
    let check = |operation: Option<&String>| {
        contract.check(operation.map(String::as_str), direction, base, path).err()
    };
    let Some(first) = desk.operations.first() else { return check(None) };
    let mut others = desk.operations.iter().skip(1);
    match (direction, check(Some(first))) {
        (Direction::Request, Some(missing)) => others.all(|it| check(Some(it)).is_some()).then_some(missing),
        (Direction::Reply, None) => others.find_map(|it| check(Some(it))),
        (_, found) => found,
    }
}

/// Bytes of the name of a path's step, from 0, without what picks among its matches.
fn step_range(text: &str, step: usize) -> Span {
    let mut start = None;
    let (mut count, mut depth, mut quoted) = (0, 0u32, false);
    let mut name_end = None;
    let lead = text.len() - text.trim_start().len();
    for (at, letter) in text.char_indices().skip_while(|(at, _)| *at < lead) {
        if letter == '\'' {
            quoted = !quoted;
        }
        let is_joint = letter == '/' && !quoted && depth == 0;
        if is_joint {
            if let Some(begun) = start.take() {
                if count == step {
                    return begun..name_end.unwrap_or(at);
                }
                count += 1;
            }
            name_end = None;
            continue;
        }
        start.get_or_insert(at);
        match letter {
            '(' | '[' | '{' if !quoted => {
                if letter != '{' {
                    name_end.get_or_insert(at);
                }
                depth = depth.saturating_add(1);
            }
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    match start {
        Some(begun) if count == step => begun..name_end.unwrap_or(text.trim_end().len()),
        _ => 0..text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_an_address_is_found_in_its_text() {
        for (text, step, expected) in [
            ("Claim/Lines/Line(2)/Amt", 2, "Line"),
            ("Claim/Lines/Line(2)/Amt", 3, "Amt"),
            ("Claim/@policy", 1, "@policy"),
            ("Claim/Party(@role='a/b')/Name", 2, "Name"),
            ("/Envelope/Body", 0, "Envelope"),
            ("//Note(last)", 0, "Note"),
            ("a//b", 1, "b"),
            ("{urn:x/y}Claim/Name", 1, "Name"),
            ("'odd/name'/b", 0, "'odd/name'"),
            (" Claim ", 0, "Claim"),
            ("a/b", 7, "a/b"),
            ("", 0, ""),
        ] {
            assert_eq!(&text[step_range(text, step)], expected, "input: {text} {step}");
        }
    }
}
