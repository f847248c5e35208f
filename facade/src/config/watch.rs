//! How long finished work is kept, and when what waits is too much.

use std::time::Duration;

use vestibule_core::mapping::{
    diagnostic::{Diagnostics, Span},
    syntax::Node,
};

use super::{
    callbacks, codes,
    file::{FlowThresholdsFile, RetentionFile, ThresholdsFile},
    quantity, span,
};

/// How long finished jobs are kept. `None`: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// With a result that was handed back.
    pub finished: Option<Duration>,
    /// Given up.
    pub dead: Option<Duration>,
}

/// Retention of all flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Of flows without an entry of their own.
    pub all: Kept,
    /// Of single flows.
    pub flows: Vec<Named<Kept>>,
}

/// What is too much. `None`: nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Much {
    /// Age of the oldest job that waits or is worked on.
    pub age: Option<Duration>,
    /// Jobs that wait.
    pub depth: Option<u64>,
    /// Jobs that were given up.
    pub dead: Option<u64>,
    /// Results that could not be handed back yet.
    pub undelivered: Option<u64>,
    /// Whether new work is refused then.
    pub shed: bool,
}

/// Thresholds of all flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// Of every flow, as far as it says nothing else.
    pub all: Much,
    /// Of single flows, already completed by those of every flow.
    pub flows: Vec<Named<Much>>,
    /// Who is called.
    pub call: Option<Call>,
}

/// Who is called when a threshold is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The address.
    pub url: String,
    /// Name of the environment variable with the secret that calls are signed with.
    pub secret: Option<String>,
    /// Where that name stands.
    pub span: Span,
}

/// Something of one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// The flow.
    pub flow: String,
    /// Where its name stands.
    pub span: Span,
    /// What.
    pub value: T,
}

impl Retention {
    /// What holds for this flow.
    pub fn of(&self, flow: &str) -> Kept {
        self.flows.iter().find(|it| it.flow == flow).map_or(self.all, |it| it.value)
    }
}

impl Thresholds {
    /// What holds for this flow.
    pub fn of(&self, flow: &str) -> Much {
        self.flows.iter().find(|it| it.flow == flow).map_or(self.all, |it| it.value)
    }
}

pub(super) fn retention(root: &Node, file: &RetentionFile, diagnostics: &mut Diagnostics) -> Retention {
    let mut read = |path: &[&str], text: Option<&String>, other: Option<Duration>| {
        let Some(text) = text else { return other };
        let is_flow = path.len() > 2;
        if is_flow && text == "forever" {
            return None;
        }
        let expected = "a time up to ten years, like 30d or 12h";
        let expected = if is_flow {
            format!("expected {expected}, or `forever`")
        } else {
            format!("expected {expected}")
        };
        let time = quantity::period(text);
        if time.is_none() {
            wrong(root, path, "retention", expected, diagnostics);
        }
        time
    };
    let all = Kept {
        finished: read(&["retention", "finished"], file.finished.as_ref(), None),
        dead: read(&["retention", "dead"], file.dead.as_ref(), None),
    };
    let mut flows = Vec::new();
    for (flow, own) in file.flows.iter().flatten() {
        let value = Kept {
            finished: read(&["retention", "flows", flow, "finished"], own.finished.as_ref(), all.finished),
            dead: read(&["retention", "flows", flow, "dead"], own.dead.as_ref(), all.dead),
        };
        flows.push(Named { flow: flow.clone(), span: key(root, &["retention", "flows"], flow), value });
    }
    Retention { all, flows }
}

pub(super) fn thresholds(root: &Node, file: &ThresholdsFile, diagnostics: &mut Diagnostics) -> Thresholds {
    let whole = FlowThresholdsFile {
        age: file.age.clone(),
        depth: file.depth,
        dead: file.dead,
        undelivered: file.undelivered,
        shed: file.shed,
    };
    let all = much(root, &["thresholds"], &whole, Much::default(), diagnostics);
    let mut flows = Vec::new();
    for (flow, own) in file.flows.iter().flatten() {
        let value = much(root, &["thresholds", "flows", flow], own, all, diagnostics);
        flows.push(Named { flow: flow.clone(), span: key(root, &["thresholds", "flows"], flow), value });
    }
    let call = file.call.as_ref().and_then(|text| {
        let url = callbacks::address(text);
        if url.is_none() {
            wrong(root, &["thresholds", "call"], "call", "expected a web address".into(), diagnostics);
        }
        let at = span(root, &["thresholds", "secret"]);
        Some(Call { url: url?.into(), secret: file.secret.clone(), span: at })
    });
    if file.secret.is_some() && file.call.is_none() {
        let title = "`secret` signs calls, and nobody is called";
        let at = span(root, &["thresholds", "secret"]);
        diagnostics.push(codes::VALUE, &at, title, "there is no `call`");
    }
    Thresholds { all, flows, call }
}

fn much(
    root: &Node,
    path: &[&str],
    file: &FlowThresholdsFile,
    all: Much,
    diagnostics: &mut Diagnostics,
) -> Much {
    let mut age = all.age;
    if let Some(text) = &file.age {
        age = quantity::period(text);
        if age.is_none() {
            let path: Vec<&str> = path.iter().copied().chain(["age"]).collect();
            wrong(root, &path, "age", "expected a time, like 5m or 12h".into(), diagnostics);
        }
    }
    Much {
        age,
        depth: file.depth.map(u64::from).or(all.depth),
        dead: file.dead.map(u64::from).or(all.dead),
        undelivered: file.undelivered.map(u64::from).or(all.undelivered),
        shed: file.shed.unwrap_or(all.shed),
    }
}

fn wrong(root: &Node, path: &[&str], what: &str, expected: String, diagnostics: &mut Diagnostics) {
    let name = path.last().copied().unwrap_or(what);
    diagnostics.push(codes::VALUE, &span(root, path), format!("`{name}` can not be this"), expected);
}

fn key(root: &Node, path: &[&str], name: &str) -> Span {
    let block = path.iter().try_fold(root, |node, key| node.get(key));
    block.and_then(|it| it.entry(name)).map_or_else(Span::default, |(key, _)| key.span.clone())
}
