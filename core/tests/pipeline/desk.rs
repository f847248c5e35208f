//! A small format, mappings compiled over it, and replies in few characters.

use std::{borrow::Cow, io, sync::Arc};

use bytes::Bytes;
use tokio::time::{Duration, Instant};
use vestibule_core::{
    document::Document,
    fault::Fault,
    flow::{
        Ended, Flow, Progress,
        written::{Written, WrittenItem},
    },
    job::{JobId, Reply, ReplyBody},
    mapping::{
        Surroundings, compile,
        plan::{Mapping, Return, Write},
    },
    ports::{Contract, Extraction, Extractor, Files, Format, Model, Renderer},
    registry::Registry,
    tree::{NodeId, Tree, TreeBuilder, extract},
};

/// When every document of these tests arrives.
pub const NOW: &str = "2026-11-20T12:00:00Z";

/// A reply that states its outcome and its findings.
pub const SAYS: &str = "return:\n  into: Reply\n  write:\n    Status: outcome\n    Why: findings\n";

/// A question with one answer, as a mapping's text.
pub const ASKS: &str = "ask:\n  route: any\n  prompt: ask.md\n  deadline: 2s\n  answer:\n    priority: { one_of: [low, high], required: yes }\n    sure: { type: decimal, range: 0..1 }\n";

/// `<a k="v">text<b/></a>`, well-formed, without entities.
pub fn tree(source: &str) -> Tree<'_> {
    let mut builder = TreeBuilder::with_capacity(64);
    builder.set_source(source);
    let mut at = 0;
    while let Some(start) = source[at..].find('<').map(|it| at + it) {
        builder.text(Cow::Borrowed(&source[at..start]));
        let end = start + source[start..].find('>').unwrap() + 1;
        let inside = source[start + 1..end - 1].trim_end_matches('/');
        if !inside.starts_with('/') {
            let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
            builder.open("", Cow::Borrowed(name), start);
            for attribute in attributes.split_whitespace() {
                let (name, value) = attribute.split_once('=').unwrap();
                builder.attribute("", Cow::Borrowed(name), Cow::Borrowed(value.trim_matches('"')));
            }
        }
        if inside.starts_with('/') || source[..end].ends_with("/>") {
            builder.close(end);
        }
        at = end;
    }
    builder.finish()
}

struct Small;

impl Format for Small {
    fn kind(&self) -> &'static str {
        "xml"
    }
    fn reads(&self, media_type: &str) -> bool {
        ["text/xml", vestibule_core::change::MEDIA_TYPE].contains(&media_type)
    }
    fn media_type(&self) -> &'static str {
        "text/plain"
    }
    fn contract(&self, _: &str, _: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault> {
        Ok(None)
    }
    fn extractor(&self, mapping: &Mapping) -> Result<Arc<dyn Extractor>, Fault> {
        Ok(Arc::new(Reader(extract::Reads::of(mapping))))
    }
    fn renderer(&self, _: &Mapping, form: &Return) -> Result<Arc<dyn Renderer>, Fault> {
        Ok(Arc::new(Writes(names(&form.write))))
    }
}

struct Reader(extract::Reads);

impl Extractor for Reader {
    fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        let source = std::str::from_utf8(&document.bytes).unwrap();
        assert!(!source.contains("<panic"), "the document asks for a panic");
        Ok(extract::extract(&tree(source), NodeId(0), &self.0, document))
    }
}

/// Names of written places, in the plan's order.
enum Name {
    Value(String),
    Each(String, Vec<Name>),
}

fn names(write: &[Write]) -> Vec<Name> {
    let name = |it: &Write| match it {
        Write::Value { place, .. } => Name::Value(place.to_string()),
        Write::Each { place, write, .. } => Name::Each(place.to_string(), names(write)),
    };
    write.iter().map(name).collect()
}

struct Writes(Vec<Name>);

impl Renderer for Writes {
    /// `No=C1; Lines[Kind=B] [Kind=C]`, a line for each record.
    fn render(&self, records: &[Written]) -> Result<Bytes, Fault> {
        let lines: Vec<String> = records.iter().map(|it| line(&self.0, it)).collect();
        Ok(lines.join("\n").into())
    }
}

fn line(names: &[Name], written: &Written) -> String {
    let item = |it: &WrittenItem| match it {
        WrittenItem::Value { write, text, .. } => match &names[*write] {
            Name::Value(name) => format!("{name}={text}"),
            Name::Each(..) => panic!("a value at a repeated place"),
        },
        WrittenItem::Each { write, items } => match &names[*write] {
            Name::Each(name, inner) => {
                let items: Vec<_> = items.iter().map(|it| format!("[{}]", line(inner, it))).collect();
                format!("{name}{}", items.join(" "))
            }
            Name::Value(_) => panic!("items at a single place"),
        },
    };
    written.items.iter().map(item).collect::<Vec<_>>().join("; ")
}

struct Beside;

impl Files for Beside {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match path {
            "ask.md" => Ok(b"{{ record }}".into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

pub fn registry() -> Registry {
    Registry { formats: vec![Arc::new(Small)], ..Registry::default() }
}

fn compiled(text: &str) -> Mapping {
    let around = Surroundings { files: &Beside, registry: &registry(), routes: None };
    let compiled = compile("desk.map.yaml", text, &around);
    let problems = compiled.diagnostics.render("desk.map.yaml", text, false);
    compiled.mapping.unwrap_or_else(|| panic!("{problems}"))
}

/// A flow from the text of its mapping, without `mapping:` and `source:`.
pub fn flow(text: &str, models: Vec<Arc<dyn Model>>) -> Flow {
    flow_of(&format!("mapping: desk\nsource: {{ kind: xml }}\n{text}"), models, &registry())
}

/// A flow of several records: one for each `R`.
pub fn batch(text: &str, models: Vec<Arc<dyn Model>>) -> Flow {
    flow_of(&format!("mapping: desk\nsource: {{ kind: xml, each: R }}\n{text}"), models, &registry())
}

pub fn flow_of(text: &str, models: Vec<Arc<dyn Model>>, registry: &Registry) -> Flow {
    Flow::assemble(Arc::new(compiled(text)), registry, models, Vec::new()).unwrap()
}

pub fn document(text: &str) -> Document {
    Document::new(text.to_owned(), "text/xml", NOW.parse().unwrap())
}

/// Runs a document through a flow.
pub async fn run(flow: &Flow, text: &str) -> Result<Reply, Fault> {
    let document = document(text);
    let extraction = flow.extract(&document)?;
    let progress = Progress::fresh(JobId::fresh(), Instant::now() + Duration::from_secs(2));
    match flow.run(&document, extraction, progress).await? {
        Ended::Reply(reply) => Ok(reply),
        Ended::Review(suspension) => Ok(suspension.reply),
    }
}

/// The same where nothing is asked.
pub fn judged(flow: &Flow, text: &str) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(run(flow, text)).unwrap()
}

/// What was written; `refused` for a fault of the protocol.
pub fn written(reply: &Reply) -> String {
    match &reply.body {
        ReplyBody::Written { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
        ReplyBody::Refused => "refused".into(),
    }
}

/// Each finding as `G101 reject name at /C/Name: a value / found`.
pub fn findings(reply: &Reply) -> Vec<String> {
    let one = |it: &vestibule_core::job::Remark| {
        let outcome = format!("{:?}", it.outcome).to_lowercase();
        let at = it.xpath.as_ref().map(|it| format!(" at {it}")).unwrap_or_default();
        let found = it.found.as_ref().map(|it| format!(" / {it}")).unwrap_or_default();
        format!("{} {outcome} {}{at}: {}{found}", it.code, it.field, it.expected)
    };
    reply.findings.iter().map(one).collect()
}
