//! Opening the models that a mapping needs.

use std::{collections::HashSet, sync::Arc};

use vestibule_core::{
    mapping::{
        Surroundings, compile,
        diagnostic::{Diagnostics, Span},
        plan::{Fallback, Mapping},
        syntax::{self, Node},
    },
    ports::{Model, ModelRequest},
};

use super::{MappingPlan, Opening, Secrets, files::Folder};
use crate::config::{ModelConfig, codes};

/// The kind of model behind `rules:` of a fallback.
const RULES: &str = "rules";

/// A mapping for judging settings that no mapping of the directory leads to.
const STAND_IN: &str = "\
mapping: none
source: { kind: json }
record:
  it: { from: it }
ask:
  route: none
  answer:
    it: { type: bool, required: true }
";

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
                let (opened, found) = self.open(model, &plan.mapping, &files, self.secrets)?;
                if let Some(file) = self.config_file {
                    self.report.extend(file, found);
                }
                opened
            })
            .collect();
        if ask.prompt.is_none() {
            let asked = opened.iter().flatten().find(|it| it.is_remote());
            if let Some(model) = asked {
                let mut found = Diagnostics::default();
                let title = format!("the route `{name}` has a model that needs a prompt");
                let label = format!("`{}` would be asked nothing", model.name());
                found.push(codes::NO_PROMPT, span, title, label).help("write `prompt: FILE.md` under `ask`");
                self.report.extend(plan.file, found);
                return None;
            }
        }
        opened.into_iter().collect()
    }

    /// Judges the settings of the models that no right mapping leads to: one mistake must not hide another. What a
    /// table of decisions says can only be judged with its mapping, so that is left out here.
    pub fn judge_unreached(&mut self, reached: &HashSet<usize>) {
        let Some(file) = self.config_file else { return };
        let Ok(files) = Folder::new(self.root, self.root, self.used) else { return };
        let surroundings = Surroundings { files: &files, registry: self.registry, routes: None };
        let Some(mapping) = compile("", STAND_IN, &surroundings).mapping else { return };
        // A key that is not there harms nobody who does not call the model.
        let anything: Secrets<'_> = &|_| Some("unset".into());
        for (position, model) in self.config.models.iter().enumerate() {
            if reached.contains(&position) {
                continue;
            }
            let Some((_, mut found)) = self.open(model, &mapping, &files, anything) else { continue };
            found.all.retain(|it| it.file.is_none());
            self.report.extend(file, found);
        }
    }

    /// The model, where it opens, and what is wrong with its settings. `None` where there is no such kind.
    fn open(
        &self,
        model: &ModelConfig,
        mapping: &Mapping,
        files: &Folder,
        secrets: Secrets<'_>,
    ) -> Option<(Option<Arc<dyn Model>>, Diagnostics)> {
        let kind = self.registry.model(&model.kind)?;
        let mut found = Diagnostics::default();
        let (name, settings) = (&*model.name, &model.settings);
        let request = ModelRequest { name, settings, mapping, files, secrets };
        let opened = kind.open(request, &mut found).filter(|_| found.is_empty());
        Some((opened, found))
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
