//! From the text of a mapping to its plan: everything that the shape of the file can not say.
//!
//! All problems are found in one pass. A field with a mistake keeps its name, and rules over such a field are not
//! judged by its type, so that one mistake is one message.

mod answer_schema;
mod ask;
mod back;
mod bounds;
mod channels;
mod databases;
mod echo;
mod fields;
mod handling;
mod hooks;
mod limits;
mod lookups;
mod names;
mod queues;
mod rules;
mod source;
mod spelling;
mod tables;
mod write;

pub use self::{bounds::duration, databases::size};

use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;
use jiff::tz::TimeZone;

use self::{
    names::{Names, Sketch},
    tables::Table,
};
use super::{
    address::Path,
    diagnostic::{Diagnostics, Span, shown},
    file::{Durability, MappingFile},
    plan, shape,
    syntax::{self, Node},
};
use crate::{
    ports::{Contract, Files},
    registry::Registry,
    rule::{Root, Type},
};

/// Longest wait of a caller when the mapping says none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Most fields, checks or written places of one block: more is a generated file, and names are looked up one by one.
const MOST_IN_BLOCK: usize = 2_000;

/// What a mapping is checked against.
pub struct Surroundings<'a> {
    /// Files beside the mapping.
    pub files: &'a dyn Files,
    /// The adapters of this binary.
    pub registry: &'a Registry,
    /// Names of the routes in `vestibule.yaml`; `None`: not known, not checked.
    pub routes: Option<&'a [String]>,
}

/// What became of a mapping file.
pub struct Compiled {
    /// The plan; there exactly when there are no diagnostics.
    pub mapping: Option<plan::Mapping>,
    /// Every problem.
    pub diagnostics: Diagnostics,
}

/// Checks and compiles the text of a mapping. `path` names it in the plan; files are read through `around` alone.
pub fn compile(path: &str, text: &str, around: &Surroundings<'_>) -> Compiled {
    let mut diagnostics = Diagnostics::default();
    let mapping = syntax::parse(text, &mut diagnostics).and_then(|root| {
        let file: MappingFile = shape::read(&root, "mapping file", &mut diagnostics)?;
        let plan = assemble(path, &root, &file, around, &mut diagnostics);
        let kind_is_guessed = file.source.as_ref().is_some_and(|it| it.kind.is_none());
        echo::silence(text, &root, kind_is_guessed, &mut diagnostics);
        Some(plan)
    });
    let mapping = mapping.filter(|_| diagnostics.is_empty());
    Compiled { mapping, diagnostics }
}

/// What all parts of a mapping share.
struct Desk<'a> {
    around: &'a Surroundings<'a>,
    kind: &'static str,
    namespaces: IndexMap<String, String>,
    zone: TimeZone,
    contract: Option<Arc<dyn Contract>>,
    /// Each operation that `receive` names, once.
    operations: Vec<String>,
    tables: IndexMap<String, Table>,
    /// False when the section `codes` itself is misspelt.
    tables_are_known: bool,
    spoilt: Spoilt,
}

/// Where the shape of the file is wrong: what stands there has no known type.
struct Spoilt {
    starts: Vec<usize>,
    /// Keys that were meant by misspelt ones.
    meant: Vec<String>,
}

impl Spoilt {
    fn of(diagnostics: &Diagnostics) -> Self {
        let decides = |fix: &str| {
            matches!(fix, "type" | "codes" | "each" | "record" | "one_of" | "compute" | "from" | "value")
        };
        let mut starts: Vec<usize> = diagnostics
            .all
            .iter()
            .filter(|it| match it.code {
                "M010" | "M012" | "M013" | "M014" => true,
                "M011" => it.fix.as_ref().is_some_and(|(_, fix)| decides(fix)),
                _ => false,
            })
            .map(|it| it.span.start)
            .collect();
        starts.sort_unstable();
        let unknown = diagnostics.all.iter().filter(|it| it.code == "M011");
        let meant = unknown.filter_map(|it| it.fix.as_ref()).map(|(_, fix)| fix.clone()).collect();
        Self { starts, meant }
    }

    fn touches(&self, span: &Span) -> bool {
        let first = self.starts.partition_point(|start| *start < span.start);
        self.starts.get(first).is_some_and(|start| *start <= span.end)
    }
}

fn assemble(
    path: &str,
    root: &Node,
    file: &MappingFile,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> plan::Mapping {
    let spoilt = Spoilt::of(diagnostics);
    let meant = |key: &str| spoilt.meant.iter().any(|it| it == key);
    let (ask_is_misspelt, codes_are_misspelt) = (meant("ask"), meant("codes"));
    let receive = channels::receive(root, around, diagnostics);
    let deliver = channels::deliver(root, around, diagnostics);
    let (mut desk, head) = source::desk(root, file, around, spoilt, &receive, diagnostics);
    desk.tables = tables::all(root, file, around, diagnostics);
    desk.tables_are_known = !codes_are_misspelt;
    let desk = desk;

    let (trailer, trailer_sketch) = source::trailer(&desk, root, file, diagnostics);
    let mut names = Names::default();
    let lookups = lookups::section(root, file, around, diagnostics);
    lookups::declare(root, &lookups, &mut names);
    let base: Vec<_> = head.each.iter().collect();
    let (record, sketch) = record(&desk, root, file, &base, &mut names, diagnostics);
    names::reserved(root.get("record"), diagnostics);
    let only = root
        .get("source")
        .and_then(|it| it.get("only"))
        .and_then(|node| names.rule(node, Some(&Type::Bool), diagnostics));

    let record = Arc::new(record);
    let key = handling::fields(root, "key", &names, &record, diagnostics);
    let order = handling::fields(root, "order", &names, &record, diagnostics);
    document_names(&sketch, &trailer_sketch, &mut names);
    let checks = rules::checks(root, file, &names, diagnostics);
    let mut deadline = DEFAULT_DEADLINE;
    let asked = ask::section(&desk, root, file, &record, &names, &mut deadline, diagnostics);
    let (ask, answer_sketch) = asked.map_or((None, Vec::new()), |(ask, sketch)| (Some(ask), sketch));
    names.declare(&answer_sketch, "answer.", Root::Answer);
    // The names of an answer that could not be read are not known; nobody who uses them is to blame.
    names.all_doubtful |= ask_is_misspelt || (root.get("ask").is_some() && ask.is_none());
    let answer = ask.as_ref().map(|it| Arc::clone(&it.answer));
    let shapes = write::Shapes { record: &record, answer: answer.as_deref(), trailer: trailer.as_ref() };
    let pending = back::pending(&desk, root, file, shapes, names.clone(), diagnostics);
    let back = back::section(&desk, root, file, shapes, names, diagnostics);
    handling::needs_jobs(root, file, &receive, diagnostics);
    let handling = handling::section(root, file, diagnostics);
    let handling = plan::Handling { deliver, pending, order, ..handling };

    let mapping = plan::Mapping {
        name: name(root, file, diagnostics),
        version: file.version.unwrap_or(1),
        owner: file.owner.clone(),
        path: path.into(),
        receive,
        source: plan::Source {
            kind: desk.kind.into(),
            contract: desk.contract.clone(),
            contract_path: file.source.as_ref().and_then(|it| it.contract.clone()),
            encoding: file.source.as_ref().and_then(|it| it.encoding.clone()),
            timezone: desk.zone.clone(),
            each: head.each,
            only,
            trailer: trailer.map(Arc::new),
        },
        record,
        checks,
        ask,
        back,
        key,
        durability: match file.durability {
            Some(Durability::None) => plan::Durability::None,
            Some(Durability::Full) | None => plan::Durability::Full,
        },
        deadline,
        handling,
        lookups,
    };
    databases::whole(root, file, &mapping, diagnostics);
    mapping
}

/// The clean record. Without one every name may be one of its.
fn record(
    desk: &Desk<'_>,
    root: &Node,
    file: &MappingFile,
    base: &[&Path],
    names: &mut Names,
    diagnostics: &mut Diagnostics,
) -> (plan::Shape, Vec<Sketch>) {
    match (root.get("record"), &file.record) {
        (Some(node), Some(fields)) => fields::block(desk, node, fields, base, names, diagnostics),
        _ => {
            names.all_doubtful = true;
            (plan::Shape { fields: Vec::new() }, Vec::new())
        }
    }
}

/// Names of all records of a document, and of its trailer, for control totals.
fn document_names(record: &[Sketch], trailer: &[Sketch], names: &mut Names) {
    names.declare_one("records", Type::List(Box::new(Type::Record)), Root::Records);
    names.declare_lists(record, "records.", Root::Records);
    names.declare(trailer, "trailer.", Root::Trailer);
}

fn name(root: &Node, file: &MappingFile, diagnostics: &mut Diagnostics) -> Arc<str> {
    let Some(name) = &file.mapping else { return "".into() };
    let fits = !name.is_empty()
        && name.len() <= 100
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'-' | b'_'));
    if let (false, Some(node)) = (fits, root.get("mapping")) {
        diagnostics
            .push("M025", &node.span, format!("`{}` can not name a mapping", shown(name)), "here")
            .help("small letters, digits and `-`, at most 100: it is part of the address /v1/flows/NAME");
    }
    name.as_str().into()
}

#[cfg(test)]
mod tests;
