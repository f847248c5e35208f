//! Reference data for rules: the section `lookups`.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        diagnostic::{Diagnostics, shown},
        file::MappingFile,
        plan::LookupPlan,
        syntax::Node,
    },
    Surroundings, databases, fields, limits,
    names::{self, Names},
};
use crate::lookup::Table;

/// How old reference data may be when the mapping says nothing.
const USUAL_REFRESH: Duration = Duration::from_secs(600);
/// A shorter time is a question for each row.
const LEAST_REFRESH: Duration = Duration::from_secs(1);
/// Longest time.
const MOST_REFRESH: Duration = Duration::from_secs(366 * 86_400);
/// Most lookups of one mapping: each is a table in memory.
const MOST_LOOKUPS: usize = 20;

/// Compiles the section.
pub(super) fn section(
    root: &Node,
    file: &MappingFile,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<LookupPlan> {
    let (Some((key, node)), Some(listed)) = (root.entry("lookups"), &file.lookups) else { return Vec::new() };
    if node.entries().len() > MOST_LOOKUPS {
        let title = format!("more than {MOST_LOOKUPS} lookups");
        diagnostics.push("M008", &key.span, title, "too many");
        return Vec::new();
    }
    let has_databases = ["postgres", "sqlserver"].iter().any(|it| around.registry.connection(it).is_some());
    if !has_databases && !node.entries().is_empty() {
        let title = "this binary has no adapter that reads lookups";
        diagnostics.push("M016", &key.span, title, "not in this build");
    }
    names::reserved(Some(node), diagnostics);
    let mut plans = Vec::new();
    for (key, block) in node.entries() {
        let Some(name) = key.text() else { continue };
        fields::lower_case(key, diagnostics);
        is_free(root, name, key, diagnostics);
        let Some(lookup) = listed.get(name) else { continue };
        table_and_key(block, diagnostics);
        let refresh = refresh(block, diagnostics).unwrap_or(USUAL_REFRESH);
        let (Some(connection), Some(from), Some(column)) = (&lookup.connection, &lookup.from, &lookup.key)
        else {
            continue;
        };
        plans.push(LookupPlan {
            name: name.into(),
            connection: connection.clone(),
            from: from.clone(),
            key: column.clone(),
            refresh,
            span: key.span.start..block.span.end,
            table: Table::new(name),
        });
    }
    plans
}

/// Makes the lookups known to rules; the names of those that are wrong too, so that one mistake is one message.
pub(super) fn declare(root: &Node, plans: &[LookupPlan], names: &mut Names) {
    for (key, _) in root.get("lookups").map(Node::entries).unwrap_or_default() {
        let Some(name) = key.text() else { continue };
        match plans.iter().find(|it| &*it.name == name) {
            Some(plan) => names.declare_lookup(Arc::clone(&plan.table)),
            None => names.declare_doubtful(name),
        }
    }
}

/// A rule could not tell a lookup from a field, or from a word of the language.
fn is_free(root: &Node, name: &str, key: &Node, diagnostics: &mut Diagnostics) {
    let field = root.get("record").and_then(|it| it.entry(name));
    if let Some((field, _)) = field {
        let title = format!("`{}` is a field of the record", shown(name));
        diagnostics.push("M059", &key.span, title, "choose another name").also(&field.span, "this one");
    }
}

fn table_and_key(block: &Node, diagnostics: &mut Diagnostics) {
    // Which database it is stands in vestibule.yaml: names may be as long as in either, and in the quotes of either.
    if let Some((text, node)) = super::channels::said(block, "from") {
        databases::report_name("", "from", text, node, diagnostics);
    }
    if let Some((text, node)) = super::channels::said(block, "key")
        && !databases::is_name("sqlserver", text)
    {
        let title = format!("`{}` can not name a column", shown(text));
        diagnostics.push("M051", &node.span, title, "expected a name");
    }
    for key in ["connection", "from", "key"] {
        if let Some(node) = block.get(key)
            && node.text().is_some_and(str::is_empty)
            && !node.is_blank()
        {
            diagnostics.push("M059", &node.span, format!("`{key}` is empty"), "expected a name");
        }
    }
}

fn refresh(block: &Node, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let (text, node) = super::channels::said(block, "refresh")?;
    let found = limits::duration(node, text, "refresh", diagnostics)?;
    if found < LEAST_REFRESH || found > MOST_REFRESH {
        let title = format!("`refresh` can not be `{}`", shown(text));
        diagnostics.push("M059", &node.span, title, "expected 1s to 366d");
    }
    Some(found)
}
