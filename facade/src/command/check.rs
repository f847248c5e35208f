//! `vestibule check`

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use serde_json::json;

use super::{End, Stop, outset};
use crate::{
    config, screen,
    wiring::{
        Plans,
        directory::{Directory, is_mapping},
    },
};

/// Report every error of every mapping, decision table and configuration, with its place
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule check samples/quickstart
  vestibule check mappings/claim-triage.map.yaml

No network is used, and no secret is needed. Exit code 0: no errors; 1: errors, all of them listed.")]
pub struct Check {
    /// Directories, or single files of them: *.map.yaml, *.rules.yaml, vestibule.yaml
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Checks everything.
    pub fn run(self) -> Result<End, Stop> {
        let started = Instant::now();
        let registry = outset::registry();
        let mut directories: Vec<(Directory, Vec<&Path>)> = Vec::new();
        for path in &self.paths {
            let directory = directory_of(path)?;
            let tables = Some(path.as_path()).filter(|it| is_table(it));
            match directories.iter_mut().find(|(known, _)| *known == directory) {
                Some((_, known)) => known.extend(tables),
                None => directories.push((directory, tables.into_iter().collect())),
            }
        }
        let runtime = outset::runtime()?;
        let _inside = runtime.enter();
        let checked: Vec<_> = directories
            .into_iter()
            .map(|(directory, tables)| {
                let mut plans = Plans::read(directory, &registry);
                // A key that is set only where the server runs is no error of the files.
                plans.assemble(&registry, &|name| {
                    Some(outset::secrets(name).unwrap_or_else(|| outset::STAND_IN.into()))
                });
                tables.into_iter().for_each(|table| plans.expect_used(table));
                plans
            })
            .collect();
        let files: usize = checked.iter().map(Plans::files).sum();
        let errors: usize = checked.iter().map(|it| it.report.errors()).sum();
        if self.json {
            let problems: Vec<_> = checked.iter().flat_map(|it| it.report.to_json()).collect();
            let whole = json!({ "files": files, "errors": errors, "problems": problems });
            screen::print(&format!("{whole:#}\n"))?;
        } else {
            let color = screen::has_color();
            let text: String = checked.iter().map(|it| it.report.render(color)).collect();
            let said = match errors {
                0 => "no errors".to_owned(),
                1 => "1 error".to_owned(),
                many => format!("{many} errors"),
            };
            let plural = if files == 1 { "" } else { "s" };
            let took = started.elapsed().as_millis();
            screen::print(&format!("{text}{files} file{plural}, {said} in {took} ms\n"))?;
        }
        Ok(if errors == 0 { End::Done } else { End::Findings })
    }
}

/// True for the name of a decision table.
fn is_table(path: &Path) -> bool {
    path.file_name().and_then(|it| it.to_str()).is_some_and(|name| name.ends_with(".rules.yaml"))
}

/// A directory whole; of a single mapping's directory that mapping alone. The configuration is always read with it,
/// for the routes and models that it names.
fn directory_of(path: &Path) -> Result<Directory, Stop> {
    if path.is_dir() {
        return outset::directory(path);
    }
    if !path.is_file() {
        return Err(Stop::not_reachable(format!("{}: there is no such file or directory", path.display())));
    }
    let directory = outset::directory_around(path)?;
    if is_mapping(path) {
        return Ok(directory.with_only(path));
    }
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    // A decision table is judged against the mappings that use it, so its whole directory is.
    if name == config::FILE_NAME || is_table(path) {
        return Ok(directory);
    }
    Err(Stop::wrong_use(format!(
        "{}: nothing to check; name a directory, *.map.yaml, *.rules.yaml or {}",
        path.display(),
        config::FILE_NAME
    )))
}
