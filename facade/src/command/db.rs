//! `vestibule db`

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use vestibule_core::{
    fault::Fault,
    ports::{Connection, Database, KeyRange, Level, Login, Scripts, Use},
};

use super::{End, Stop, outset};
use crate::{screen, wiring::Plans};

/// Read, run and remove the SQL that mappings need in databases, and see where everything stands
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db plan samples/orders")]
pub struct Db {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    Plan(Plan),
    Preflight(Look),
    Install(Change),
    Uninstall(Remove),
    Status(Status),
    Resync(Resync),
}

/// Print the SQL of install, grants, verify and uninstall; connects to nothing
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db plan samples/orders --only install > install.sql")]
struct Plan {
    /// Mapping file, or directory with `vestibule.yaml` and `mappings/`
    mapping: PathBuf,
    /// One of the texts alone, as it is run
    #[arg(long)]
    only: Option<Text>,
    /// One JSON object a connection
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Text {
    Install,
    Grants,
    Verify,
    Uninstall,
}

/// Say, read-only, what would go wrong in the database, and what it will cost
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db preflight samples/orders

Ends with 1 where something would not work.")]
struct Look {
    /// Mapping file, or directory with `vestibule.yaml` and `mappings/`
    mapping: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Say how far each use of a database is behind, and what is missing
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db status samples/orders --json

Ends with 1 where something is missing or has stopped.")]
struct Status {
    /// Mapping file, or directory with `vestibule.yaml` and `mappings/`
    mapping: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Run exactly the text of `db plan --only install`, in one transaction
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db install samples/orders --user dba --password-env DBA_PASSWORD --yes

Without --yes the text is printed, and nothing is changed.")]
struct Change {
    #[command(flatten)]
    how: How,
}

/// Run exactly the text of `db plan --only uninstall`, in one transaction
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db uninstall samples/orders --user dba --password-env DBA_PASSWORD --yes

Without --yes the text is printed, and nothing is changed. Stop `serve` first.")]
struct Remove {
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Mapping file, or directory with `vestibule.yaml` and `mappings/`
    mapping: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// The DBA's role; without it that of the connection
    #[arg(long)]
    user: Option<String>,
    /// Environment variable with the password of --user
    #[arg(long, value_name = "ENV", requires = "user")]
    password_env: Option<String>,
    /// One JSON object a connection
    #[arg(long)]
    json: bool,
}

/// Have the running source read rows again: all, or those of a range of keys; also after it stopped at a gap
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule db resync samples/orders --from A100 --to A199

A key of several columns: give --from and --to once for each column, in the order of `key`.")]
struct Resync {
    /// Mapping file, or directory with `vestibule.yaml` and `mappings/`
    mapping: PathBuf,
    /// First key, as text
    #[arg(long)]
    from: Vec<String>,
    /// Last key, as text
    #[arg(long)]
    to: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Db {
    /// Looks, or changes.
    pub fn run(self) -> Result<End, Stop> {
        match self.command {
            DbCommand::Plan(it) => it.run(),
            DbCommand::Preflight(it) => it.run(),
            DbCommand::Install(it) => it.how.run("install", |scripts| &scripts.install),
            DbCommand::Uninstall(it) => it.how.run("uninstall", |scripts| &scripts.uninstall),
            DbCommand::Status(it) => it.run(),
            DbCommand::Resync(it) => it.run(),
        }
    }
}

/// A connection to a database with what mappings use it for.
struct Used {
    connection: Arc<dyn Connection>,
    database: Arc<dyn Database>,
    uses: Vec<Use>,
}

/// The databases that these mappings use. Connects to nothing. `needs_secrets`: a missing one is a mistake.
fn used(
    path: &std::path::Path,
    runtime: &tokio::runtime::Runtime,
    needs_secrets: bool,
) -> Result<Vec<Used>, Stop> {
    let directory = if path.is_dir() { outset::directory(path)? } else { outset::directory_around(path)? };
    let registry = outset::registry();
    let mut plans = Plans::read(directory, &registry);
    let stand_in =
        |name: &str| outset::secrets(name).or_else(|| (!needs_secrets).then(|| outset::STAND_IN.to_owned()));
    let inside = runtime.enter();
    let house = plans.assemble(&registry, &stand_in);
    drop(inside);
    if !plans.report.is_clean() {
        return Err(outset::wrong_files(&plans));
    }
    let mut found: Vec<Used> = Vec::new();
    for connection in &house.channels.connections {
        let Some(database) = connection.database() else { continue };
        let mut uses = Vec::new();
        for flow in &house.flows {
            let mapping = &flow.mapping;
            let is_here = |it: &&vestibule_core::mapping::plan::Channel| {
                it.get("connection") == Some(connection.name())
            };
            let mine = |receive, deliver| Use { mapping: Arc::clone(mapping), receive, deliver };
            uses.extend(mapping.receive.iter().filter(is_here).map(|it| mine(Some(it.clone()), None)));
            uses.extend(
                mapping.handling.deliver.iter().filter(is_here).map(|it| mine(None, Some(it.clone()))),
            );
        }
        if !uses.is_empty() {
            found.push(Used { connection: Arc::clone(connection), database, uses });
        }
    }
    if found.is_empty() {
        return Err(Stop::wrong_use(format!("{}: no mapping uses a database", path.display())));
    }
    Ok(found)
}

/// What a person is told about a database; unreachable and refused are told apart.
fn stop(name: &str, fault: &Fault) -> Stop {
    use vestibule_core::fault::Recovery;
    let text = format!("{name}: {fault}");
    match fault.recovery {
        Recovery::Retry | Recovery::RetryAfter(_) => Stop::not_reachable(text),
        Recovery::FailOver | Recovery::GiveUp => Stop::failed(text),
    }
}

fn scripts(used: &Used) -> Result<Scripts, Stop> {
    used.database
        .scripts(&used.uses)
        .map_err(|it| Stop::wrong_use(format!("{}: {it}", used.connection.name())))
}

impl Plan {
    fn run(self) -> Result<End, Stop> {
        let runtime = outset::runtime()?;
        let mut out = String::new();
        for used in used(&self.mapping, &runtime, false)? {
            let scripts = scripts(&used)?;
            let name = used.connection.name();
            let all = [
                ("install", &scripts.install),
                ("grants", &scripts.grants),
                ("verify", &scripts.verify),
                ("uninstall", &scripts.uninstall),
            ];
            if self.json {
                out.push_str(&format!("{}\n", json!({ "connection": name, "scripts": scripts })));
                continue;
            }
            for (at, (what, text)) in all.into_iter().enumerate() {
                match self.only {
                    Some(only) if only as usize == at => out.push_str(text),
                    Some(_) => {}
                    None => out.push_str(&format!("-- ===== {what}: {name} =====\n\n{text}\n")),
                }
            }
        }
        screen::print(&out)?;
        Ok(End::Done)
    }
}

impl Look {
    fn run(self) -> Result<End, Stop> {
        let runtime = outset::runtime()?;
        let (mut out, mut end) = (String::new(), End::Done);
        for used in used(&self.mapping, &runtime, true)? {
            let name = used.connection.name();
            let found =
                runtime.block_on(used.database.preflight(&used.uses)).map_err(|it| stop(name, &it))?;
            for advice in found {
                if advice.level == Level::Error {
                    end = End::Findings;
                }
                if self.json {
                    out.push_str(&format!("{}\n", json!({ "connection": name, "advice": advice })));
                    continue;
                }
                let level = match advice.level {
                    Level::Info => "info",
                    Level::Warning => "warning",
                    Level::Error => "error",
                };
                out.push_str(&format!("{level:<8} {} {}: {}\n", advice.flow, advice.topic, advice.text));
                if !advice.remedy.is_empty() {
                    out.push_str(&format!("         {}\n", advice.remedy));
                }
            }
        }
        screen::print(&out)?;
        Ok(end)
    }
}

impl Status {
    fn run(self) -> Result<End, Stop> {
        let runtime = outset::runtime()?;
        let (mut out, mut end) = (String::new(), End::Done);
        for used in used(&self.mapping, &runtime, true)? {
            let name = used.connection.name();
            let found = runtime.block_on(used.database.status(&used.uses)).map_err(|it| stop(name, &it))?;
            for it in found {
                if matches!(&*it.state, "missing" | "partly" | "stopped") {
                    end = End::Findings;
                }
                if self.json {
                    out.push_str(&format!("{}\n", json!({ "connection": name, "status": it })));
                    continue;
                }
                let number = |it: Option<u64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
                let seconds = it.seconds.map_or_else(|| "-".to_owned(), |it| format!("{it:.1}"));
                let (rows, bytes) = (number(it.rows), number(it.bytes));
                let text = format!(
                    "{} {}: {}, behind by {rows} rows, {bytes} bytes, {seconds} s",
                    it.flow, it.what, it.state
                );
                out.push_str(&format!("{text}\n"));
                if !it.text.is_empty() {
                    out.push_str(&format!("  {}\n", it.text));
                }
            }
        }
        screen::print(&out)?;
        Ok(end)
    }
}

impl How {
    fn run(self, what: &str, text: impl Fn(&Scripts) -> &String) -> Result<End, Stop> {
        let runtime = outset::runtime()?;
        let all = used(&self.mapping, &runtime, self.yes)?;
        if !self.yes {
            for used in &all {
                screen::print(text(&scripts(used)?))?;
            }
            return Err(Stop::wrong_use(format!("nothing was changed: `--yes` runs this {what}")));
        }
        let password = match &self.password_env {
            None => None,
            Some(name) => Some(
                outset::secrets(name)
                    .ok_or_else(|| Stop::wrong_use(format!("the environment has no `{name}`")))?,
            ),
        };
        let login = self.user.map(|user| Login { user, password });
        let mut out = String::new();
        for used in &all {
            let name = used.connection.name();
            let scripts = scripts(used)?;
            let done = runtime.block_on(used.database.execute(text(&scripts), login.as_ref()));
            done.map_err(|it| stop(name, &it))?;
            out.push_str(&if self.json {
                format!("{}\n", json!({ "connection": name, "done": what }))
            } else {
                format!("{name}: {what} is done\n")
            });
        }
        screen::print(&out)?;
        Ok(End::Done)
    }
}

impl Resync {
    fn run(self) -> Result<End, Stop> {
        let runtime = outset::runtime()?;
        let some = |it: &Vec<String>| (!it.is_empty()).then(|| it.clone());
        let range = KeyRange { from: some(&self.from), to: some(&self.to) };
        let mut out = String::new();
        for used in used(&self.mapping, &runtime, true)? {
            let name = used.connection.name();
            for one in used.uses.iter().filter(|it| it.receive.is_some()) {
                let said =
                    runtime.block_on(used.database.resync(one, &range)).map_err(|it| stop(name, &it))?;
                out.push_str(&if self.json {
                    format!("{}\n", json!({ "connection": name, "flow": &*one.mapping.name, "said": said }))
                } else {
                    format!("{said}\n")
                });
            }
        }
        screen::print(&out)?;
        Ok(End::Done)
    }
}
