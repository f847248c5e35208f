//! Opening the models that a mapping needs.

use std::{path::Path, sync::Arc};

use vestibule_core::{
    mapping::{
        diagnostic::{Diagnostics, Span},
        plan::Fallback,
        syntax::{self, Node},
    },
    ports::{Model, ModelRequest},
    registry::Registry,
};

use super::{
    MappingPlan, Secrets,
    files::{Folder, Used},
    report::{FileId, Report},
};
use crate::config::{Config, codes};

/// The kind of model behind `rules:` of a fallback.
const RULES: &str = "rules";

/// What is needed to open models.
pub struct Opening<'a> {
    /// The configuration that names them.
    pub config: &'a Config,
    /// Its file; `None` where there is none.
    pub config_file: Option<FileId>,
    /// The directory that files are relative to.
    pub root: &'a Path,
    /// The kinds.
    pub registry: &'a Registry,
    /// Their secrets.
    pub secrets: Secrets<'a>,
    /// Files that were read.
    pub used: &'a Used,
    /// Where problems go.
    pub report: &'a mut Report,
}

impl Opening<'_> {
    /// The models of a mapping's route, in order. `None` when one of them could not be opened.
    pub fn of_route(&mut self, plan: &MappingPlan) -> Option<Vec<Arc<dyn Model>>> {
        let Some(ask) = &plan.mapping.ask else { return Some(Vec::new()) };
        let (name, span) = &ask.route;
        let Some(route) = self.config.route(name) else {
            let mut found = Diagnostics::default();
            let title = format!("there is no route `{name}`");
            let problem = found.push(codes::ROUTE, span, title, "not under `routes:` of vestibule.yaml");
            problem.suggest(name, span, self.config.routes.iter().map(|it| it.name.as_str()));
            self.report.extend(plan.file, found);
            return None;
        };
        let files = match Folder::new(self.root, self.root, self.used) {
            Ok(files) => files,
            Err(error) => {
                self.report.add_loose(self.root, codes::UNREADABLE, format!("it can not be read: {error}"));
                return None;
            }
        };
        let chosen = route.models.iter().filter_map(|position| self.config.models.get(*position));
        let opened: Vec<Option<Arc<dyn Model>>> = chosen
            .map(|model| {
                let kind = self.registry.model(&model.kind)?;
                let mut found = Diagnostics::default();
                let request = ModelRequest {
                    name: &model.name,
                    settings: &model.settings,
                    mapping: &plan.mapping,
                    files: &files,
                    secrets: self.secrets,
                };
                let opened = kind.open(request, &mut found).filter(|_| found.is_empty());
                if let Some(file) = self.config_file {
                    self.report.extend(file, found);
                }
                opened
            })
            .collect();
        opened.into_iter().collect()
    }

    /// A model for each step of a mapping's fallback that needs one. `None` when one of them could not be opened.
    pub fn of_fallback(&mut self, plan: &MappingPlan) -> Option<Vec<Option<Arc<dyn Model>>>> {
        let steps = plan.mapping.ask.as_ref().map_or(&[][..], |ask| &ask.fallback);
        let opened: Vec<Option<Option<Arc<dyn Model>>>> = steps
            .iter()
            .map(|step| match step {
                Fallback::Rules { path, span } => self.open_rules(plan, path, span).map(Some),
                Fallback::Cached(_) | Fallback::Answer(_) => Some(None),
            })
            .collect();
        opened.into_iter().collect()
    }

    fn open_rules(&mut self, plan: &MappingPlan, path: &str, span: &Span) -> Option<Arc<dyn Model>> {
        let mut found = Diagnostics::default();
        let settings = self.report.text(plan.file).and_then(|text| rules_node(text, span));
        let opened = match (self.registry.model(RULES), &settings) {
            (Some(kind), Some(settings)) => {
                let request = ModelRequest {
                    name: path,
                    settings,
                    mapping: &plan.mapping,
                    files: &plan.folder,
                    secrets: self.secrets,
                };
                kind.open(request, &mut found).filter(|_| found.is_empty())
            }
            _ => {
                found.push(
                    codes::MODEL_KIND,
                    span,
                    "this program has no decision tables",
                    "needs the kind `rules`",
                );
                None
            }
        };
        self.report.extend(plan.file, found);
        opened
    }
}

/// The node of a fallback's `rules:`, as a model kind takes its settings.
fn rules_node(text: &str, span: &Span) -> Option<Node> {
    let mut known = Diagnostics::default();
    let root = syntax::parse(text, &mut known)?;
    let steps = root.get("ask")?.get("fallback")?.items();
    steps.iter().filter_map(|step| step.get(RULES)).find(|node| node.span == *span).cloned()
}
