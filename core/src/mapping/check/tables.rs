//! Code tables: reversible, and there when they are named.

use std::{io::ErrorKind, sync::Arc};

use indexmap::IndexMap;

use super::{
    super::{
        diagnostic::{Diagnostics, Span, shown},
        file::{Codes, MappingFile},
        syntax::Node,
    },
    Desk, Surroundings,
};
use crate::interpret::CodeTable;

/// A table that has a name. `None`: it is there, but could not be read (that is reported already).
pub(super) type Table = Option<Arc<CodeTable>>;

/// The tables under `codes`.
pub(super) fn all(
    root: &Node,
    file: &MappingFile,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> IndexMap<String, Table> {
    let mut tables = IndexMap::new();
    for (key, value) in root.get("codes").map(Node::entries).unwrap_or_default() {
        let Some(name) = key.text() else { continue };
        let table = match file.codes.as_ref().and_then(|it| it.get(name)) {
            Some(Codes::File(path)) => from_file(path, &value.span, around, diagnostics),
            Some(Codes::Table(_)) => in_place(name, value, diagnostics),
            None => None,
        };
        tables.entry(name.to_owned()).or_insert(table);
    }
    tables
}

/// The table that a field's `codes` names. `Err(())`: it is named, but not usable.
pub(super) fn named(
    desk: &Desk<'_>,
    node: &Node,
    diagnostics: &mut Diagnostics,
) -> Result<Arc<CodeTable>, ()> {
    let name = node.text().unwrap_or_default();
    if let Some(table) = desk.tables.get(name) {
        return table.clone().ok_or(());
    }
    if name.ends_with(".csv") {
        return from_file(name, &node.span, desk.around, diagnostics).ok_or(());
    }
    if !desk.tables_are_known {
        return Err(());
    }
    let title = format!("there is no code table `{}`", shown(name));
    diagnostics.push("M021", &node.span, title, "not under `codes:`").suggest(
        name,
        &node.span,
        desk.tables.keys().map(String::as_str),
    );
    Err(())
}

fn in_place(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Table {
    let before = diagnostics.len();
    let mut rows = Vec::new();
    let mut places = Vec::new();
    for (word, codes) in node.entries() {
        let Some(clean) = word.text() else { continue };
        let listed: Vec<&Node> =
            codes.items().iter().filter(|it| it.text().is_some() && !it.is_blank()).collect();
        if listed.is_empty() && !codes.is_blank() {
            let title = format!("`{}` has no legacy code", shown(clean));
            diagnostics.push("M027", &codes.span, title, "expected at least one code");
        }
        rows.push((clean.to_owned(), listed.iter().filter_map(|it| it.text()).map(str::to_owned).collect()));
        places.push((clean, listed));
    }
    let table = CodeTable::new(rows);
    for double in table.duplicates().into_iter().filter(|it| it.is_code) {
        let at = |(row, code): (usize, usize)| {
            let (clean, listed) = places.get(row)?;
            Some((*clean, *listed.get(code)?))
        };
        let (Some((first, first_node)), Some((again, again_node))) = (at(double.first), at(double.again))
        else {
            continue;
        };
        let code = shown(&double.text);
        if first == again {
            diagnostics
                .push(
                    "M022",
                    &again_node.span,
                    format!("legacy code `{code}` is listed twice"),
                    "second time",
                )
                .also(&first_node.span, "first time");
        } else {
            let title = format!(
                "in `{name}`, legacy code `{code}` means both `{}` and `{}`",
                shown(first),
                shown(again)
            );
            diagnostics
                .push("M022", &again_node.span, title, format!("`{}` here", shown(again)))
                .also(&first_node.span, format!("`{}` here", shown(first)));
        }
    }
    (diagnostics.len() == before).then(|| Arc::new(table))
}

fn from_file(path: &str, span: &Span, around: &Surroundings<'_>, diagnostics: &mut Diagnostics) -> Table {
    let text = read_text(path, span, around, diagnostics)?;
    match CodeTable::from_csv(&text) {
        Ok(table) => Some(Arc::new(table)),
        Err(problems) => {
            let title = format!("`{}` is not a code table", shown(path));
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let found = diagnostics.push("M037", span, title, first);
            problems.iter().skip(1).take(9).for_each(|it| {
                found.help(it.to_string());
            });
            None
        }
    }
}

/// Why a file can not be read, for people.
fn unreadable(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::NotFound => "there is no such file".into(),
        ErrorKind::PermissionDenied => "it may not be read, or lies outside of the directory".into(),
        other => other.to_string(),
    }
}

/// A text file beside the mapping; reported when it is not there.
pub(super) fn read_text(
    path: &str,
    span: &Span,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    match around.files.read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => {
                diagnostics.push("M036", span, format!("`{}` is not UTF-8 text", shown(path)), "named here");
                None
            }
        },
        Err(error) => {
            let title = format!("`{}` can not be read", shown(path));
            diagnostics
                .push("M036", span, title, unreadable(error.kind()))
                .help("paths are relative to the mapping");
            None
        }
    }
}
