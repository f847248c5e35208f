//! From the files of a directory to flows and services that can be called. All problems of all files in one pass.

pub mod channels;
pub mod directory;
pub mod files;
mod models;
mod offers;
pub mod report;

use std::{collections::HashSet, path::Path, sync::Arc};

use vestibule_core::{
    fault::Fault,
    flow::Flow,
    mapping::{
        Surroundings, compile,
        diagnostic::{Diagnostics, Span},
        plan::{Durability, Mapping},
        syntax,
    },
    registry::Registry,
};

use self::{
    directory::Directory,
    files::{Folder, Used},
    report::{FileId, Report},
};
use crate::{
    config::{Config, codes},
    house::House,
};

/// Secrets by their environment name.
pub type Secrets<'s> = &'s dyn Fn(&str) -> Option<String>;

/// What is needed to open what the configuration names: models, connections and channels.
struct Opening<'a> {
    /// The configuration.
    config: &'a Config,
    /// Its file; `None` where there is none.
    config_file: Option<FileId>,
    /// The directory that its files are relative to.
    root: &'a Path,
    /// The technologies.
    registry: &'a Registry,
    /// Their secrets.
    secrets: Secrets<'a>,
    /// Files that were read.
    used: &'a Used,
    /// Where problems go.
    report: &'a mut Report,
}

/// What a directory's files say, compiled as far as they are right.
pub struct Plans {
    /// The directory.
    pub directory: Directory,
    /// Its configuration; defaults where there is none or it is wrong.
    pub config: Config,
    /// Its mappings that compile.
    pub mappings: Vec<MappingPlan>,
    /// What is wrong.
    pub report: Report,
    config_file: Option<FileId>,
    used: Used,
}

/// One mapping that compiles.
pub struct MappingPlan {
    /// The mapping.
    pub mapping: Arc<Mapping>,
    /// The files it may name.
    pub folder: Folder,
    /// Its own file.
    pub file: FileId,
}

impl Plans {
    /// Reads every file of the directory.
    pub fn read(directory: Directory, registry: &Registry) -> Self {
        let mut report = Report::default();
        let (config, config_file) = read_config(&directory, registry, &mut report);
        // Without a configuration nobody has said which routes there are, so none is wrong.
        let routes = config_file.map(|_| config.routes.iter().map(|it| it.name.clone()).collect::<Vec<_>>());
        let mut plans =
            Self { directory, config, mappings: Vec::new(), report, config_file, used: Used::default() };
        let mut names: Vec<(String, String)> = Vec::new();
        for path in plans.directory.mappings.clone() {
            if let Some(plan) = plans.read_mapping(&path, registry, routes.as_deref(), &mut names) {
                plans.mappings.push(plan);
            }
        }
        plans
    }

    /// How many files were looked at: the configuration, mappings, and what they name.
    pub fn files(&self) -> usize {
        self.report.files() + self.used.count()
    }

    /// A problem where this file was not read, although nothing else is wrong: it was asked to be checked, and a
    /// decision table can only be judged with a mapping that uses it.
    pub fn expect_used(&mut self, path: &Path) {
        if self.report.is_clean() && !self.used.has(path) {
            self.report.add_loose(path, codes::UNUSED, "no mapping of its directory uses this file");
        }
    }

    /// The flow of the first mapping for looking at documents: the models of its route are not opened, and can not
    /// be asked. `None` when there is a problem in the report.
    pub fn assemble_unasked(&mut self, registry: &Arc<Registry>) -> Option<Flow> {
        let plan = self.mappings.first()?;
        let nobody = |_: &str| None;
        let mut opening = Opening {
            config: &self.config,
            config_file: self.config_file,
            root: &self.directory.root,
            registry,
            secrets: &nobody,
            used: &self.used,
            report: &mut self.report,
        };
        let fallback = opening.of_fallback(plan)?;
        Flow::assemble(Arc::clone(&plan.mapping), registry, Vec::new(), fallback)
            .map_err(|fault| add_fault(&mut self.report, plan, &fault))
            .ok()
    }

    /// `retention` and `thresholds` of a flow that is not there would be found out when it is too late.
    fn check_flow_names(&mut self) {
        // A mapping that does not compile has a name as well, and one that was left out may be meant.
        let Some(file) = self.config_file.filter(|_| self.report.is_clean() && !self.directory.is_part)
        else {
            return;
        };
        let mut found = Diagnostics::default();
        let known: Vec<&str> = self.mappings.iter().map(|it| &*it.mapping.name).collect();
        let kept = self.config.retention.flows.iter().map(|it| (&it.flow, &it.span));
        let watched = self.config.thresholds.flows.iter().map(|it| (&it.flow, &it.span));
        for (flow, span) in kept.chain(watched).filter(|(flow, _)| !known.contains(&flow.as_str())) {
            let title = format!("there is no flow `{flow}`");
            let problem = found.push(codes::UNKNOWN_FLOW, span, title, "no mapping has this name");
            problem.suggest(flow, span, known.iter().copied());
        }
        self.report.extend(file, found);
    }

    fn read_mapping(
        &mut self,
        path: &Path,
        registry: &Registry,
        routes: Option<&[String]>,
        names: &mut Vec<(String, String)>,
    ) -> Option<MappingPlan> {
        let text = read_text(path, &mut self.report)?;
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = match Folder::new(&self.directory.root, parent, &self.used) {
            Ok(folder) => folder,
            Err(error) => {
                self.report.add_loose(
                    path,
                    codes::UNREADABLE,
                    format!("its folder can not be read: {error}"),
                );
                return None;
            }
        };
        let shown = path.display().to_string();
        let compiled = compile(&shown, &text, &Surroundings { files: &folder, registry, routes });
        let mut found = compiled.diagnostics;
        if let Some(mapping) = &compiled.mapping {
            check_name(&mapping.name, &shown, &text, names, &mut found);
        }
        let is_right = found.is_empty();
        let file = self.report.add(path, text);
        self.report.extend(file, found);
        let mapping = compiled.mapping.filter(|_| is_right)?;
        Some(MappingPlan { mapping: Arc::new(mapping), folder, file })
    }

    /// Opens the models of every mapping and puts flows and services together. Without a problem in the report, all
    /// of them are there.
    pub fn assemble(&mut self, registry: &Arc<Registry>, secrets: Secrets<'_>) -> House {
        let mut house = House::empty(Arc::clone(registry));
        let mut opening = Opening {
            config: &self.config,
            config_file: self.config_file,
            root: &self.directory.root,
            registry,
            secrets,
            used: &self.used,
            report: &mut self.report,
        };
        let mut offered = Vec::new();
        let mut reached = HashSet::new();
        for plan in &self.mappings {
            let route = plan.mapping.ask.as_ref().and_then(|ask| self.config.route(&ask.route.0));
            reached.extend(route.map_or(&[][..], |route| &route.models));
            let models = opening.of_route(plan);
            let fallback = opening.of_fallback(plan);
            if lacks_store(&self.config, plan, opening.report) {
                continue;
            }
            let (Some(models), Some(fallback)) = (models, fallback) else { continue };
            match Flow::assemble(Arc::clone(&plan.mapping), registry, models, fallback) {
                Ok(flow) => {
                    offered.push((house.flows.len(), plan));
                    house.flows.push(Arc::new(flow));
                }
                Err(fault) => add_fault(opening.report, plan, &fault),
            }
        }
        opening.judge_unreached(&reached);
        house.channels = opening.channels(&offered);
        house.services = offers::services(&offered, registry, &mut self.report);
        self.check_flow_names();
        house
    }
}

/// Reports a durable flow where there is no store: silently less than the mapping promises would be found out at the
/// first crash.
fn lacks_store(config: &Config, plan: &MappingPlan, report: &mut Report) -> bool {
    if config.store.is_some() || plan.mapping.durability == Durability::None {
        return false;
    }
    let at = place_of(report.text(plan.file), &["durability", "mapping"]);
    let mut found = Diagnostics::default();
    let title = format!("`{}` is durable, and there is no store", plan.mapping.name);
    let problem = found.push(codes::NO_STORE, &at, title, "vestibule.yaml says `store: none`");
    problem.help("give `store:` a place in vestibule.yaml, or write `durability: none` here");
    report.extend(plan.file, found);
    true
}

fn add_fault(report: &mut Report, plan: &MappingPlan, fault: &Fault) {
    let cause = fault.source.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    let path = Path::new(&*plan.mapping.path);
    report.add_loose(path, codes::ASSEMBLY, format!("{}{cause}", fault.message));
}

fn read_config(directory: &Directory, registry: &Registry, report: &mut Report) -> (Config, Option<FileId>) {
    let Some(path) = &directory.config else { return (Config::default(), None) };
    let Some(text) = read_text(path, report) else { return (Config::default(), None) };
    let mut found = Diagnostics::default();
    let config = Config::read(&text, registry, &mut found);
    let file = report.add(path, text);
    report.extend(file, found);
    (config, Some(file))
}

/// The text of a file that people write. What can not be read is a problem of its own.
fn read_text(path: &Path, report: &mut Report) -> Option<String> {
    let bytes = match files::read_bounded(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.add_loose(path, codes::UNREADABLE, format!("the file can not be read: {error}"));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let line =
                error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|it| **it == b'\n');
            let message = format!("line {} is not UTF-8 text", line.count() + 1);
            report.add_loose(path, codes::UNREADABLE, message);
            None
        }
    }
}

fn check_name(
    name: &str,
    path: &str,
    text: &str,
    names: &mut Vec<(String, String)>,
    found: &mut Diagnostics,
) {
    let Some((_, earlier)) = names.iter().find(|(it, _)| it == name) else {
        names.push((name.to_owned(), path.to_owned()));
        return;
    };
    let title = format!("there is another mapping `{name}`");
    let label = format!("also the name of {earlier}");
    found.push(codes::SAME_NAME, &place_of(Some(text), &["mapping"]), title, label);
}

/// Where the value of the first of these keys that is there stands; the file's beginning where none is.
fn place_of(text: Option<&str>, keys: &[&str]) -> Span {
    let mut known = Diagnostics::default();
    let root = text.and_then(|text| syntax::parse(text, &mut known));
    let found = root.and_then(|root| keys.iter().find_map(|key| Some(root.get(key)?.span.clone())));
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests;
