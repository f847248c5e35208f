//! `vestibule run`

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::json;
use vestibule_core::{
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    finding::Outcome,
    flow::Flow,
    job::{JobId, JobState, Reply, ReplyBody},
    mapping::plan::Durability,
    ports::{Extraction, JobStore},
    runner::{Called, Request, Runner, Wait},
};

use super::{
    End, Stop,
    operation::Operation,
    outset::{self, OpenStore},
    stop::Signals,
};
use crate::{
    config::LogFormat,
    http::jobs::reply_json,
    log, screen,
    wiring::{Plans, directory::same_file},
};

/// Files worked on at once.
const AT_ONCE: usize = 8;

/// How often it is looked for a result that gave a ticket, at first and at last.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Put files through a mapping, as callers' documents are: same gate, same models, same store
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule run samples/quickstart/mappings/claim-triage.map.yaml \\
      samples/quickstart/requests/*.xml -o replies

The store is the mapping's directory's own; a server that uses it must be stopped first. A file that was answered
before, by the same name and version of the mapping, gets the stored reply: an interrupted run is taken up by the same
line, and nothing is asked twice. With --again, or after the mapping's `version` was raised, all is asked anew.

Exit code 1: a document was rejected or failed. 4: interrupted; the same line goes on where it stopped.")]
pub struct Run {
    /// The mapping (*.map.yaml)
    mapping: PathBuf,
    /// The documents
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder for the replies; standard output when it is not said
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// One JSON object a file on standard output, with outcome and findings
    #[arg(long)]
    json: bool,
    /// Ask anew, also for files that have a stored reply
    #[arg(long)]
    again: bool,
}

/// What became of one file.
struct Finished<'f> {
    file: &'f Path,
    result: Result<(JobId, Arc<Reply>), String>,
}

impl Run {
    /// Runs all files.
    pub fn run(self) -> Result<End, Stop> {
        let registry = outset::registry();
        let mut plans = Plans::read(outset::directory_around(&self.mapping)?, &registry);
        let runtime = outset::runtime()?;
        let mut house = outset::house(&mut plans, &runtime)?;
        let flow = house
            .flows
            .iter()
            .position(|flow| same_file(Path::new(&*flow.mapping.path), &self.mapping))
            .ok_or_else(|| Stop::wrong_use(format!("{} is not a mapping", self.mapping.display())))?;
        log::start(LogFormat::Text, "warn");
        if let Some(output) = &self.output {
            std::fs::create_dir_all(output)
                .map_err(|error| Stop::not_reachable(format!("{}: {error}", output.display())))?;
        }
        let Operation { settings, returners, .. } = Operation::of(&plans.config, &house)?;
        // A batch reads its files and no queue.
        house.channels.sources.clear();
        let store = OpenStore::of(&plans, &runtime)?;
        let shared = store.as_ref().map(|it| Arc::clone(&it.store));
        let drain = plans.config.limits.drain;
        let end = runtime.block_on(async {
            let mut signals =
                Signals::listen().map_err(|error| Stop::not_reachable(format!("signals: {error}")))?;
            house.read_lookups().await;
            let runner = Runner::start(house.parts(shared.clone(), returners, settings));
            // Dropping the work drops the waiting only: what was accepted is finished by the runner.
            let keys = Keys::of(house.flows.get(flow), self.again);
            let end = tokio::select! {
                end = self.work(&runner, shared.as_ref(), flow, &keys) => end,
                () = signals.next() => Err(Stop::report("interrupted", End::Interrupted)),
            };
            let drained = tokio::select! {
                drained = runner.drain(drain) => drained,
                () = signals.next() => false,
            };
            if !drained {
                screen::tell("work was still under way; it is finished by the next start");
            }
            end
        });
        match store {
            Some(store) => store.close(runtime),
            None => drop(runtime),
        }
        end
    }

    async fn work(
        &self,
        runner: &Arc<Runner>,
        store: Option<&Arc<dyn JobStore>>,
        flow: usize,
        keys: &Keys,
    ) -> Result<End, Stop> {
        let mut names = HashSet::new();
        let mut failed = 0_usize;
        let mut work =
            stream::iter(&self.files).map(|file| finish((runner, store), flow, file, keys)).buffered(AT_ONCE);
        let mut done = 0_usize;
        while let Some(finished) = work.next().await {
            done += 1;
            failed += usize::from(finished.is_bad());
            self.deliver(&finished, &mut names)?;
            if screen::is_watched() && self.files.len() > 1 {
                screen::tell(&format!("{done} of {}: {}", self.files.len(), finished.file.display()));
            }
        }
        if screen::is_watched() && self.files.len() > 1 {
            screen::tell(&format!("{done} files, {failed} rejected or failed"));
        }
        Ok(if failed == 0 { End::Done } else { End::Findings })
    }

    fn deliver(&self, finished: &Finished<'_>, names: &mut HashSet<String>) -> Result<(), Stop> {
        let path = finished.file.display().to_string();
        let (ticket, reply) = match &finished.result {
            Ok((ticket, reply)) => (*ticket, reply),
            Err(message) => {
                screen::tell(&format!("{path}: {message}"));
                if self.json {
                    screen::print(&format!("{}\n", json!({ "file": path, "error": message })))?;
                }
                return Ok(());
            }
        };
        let written = match (&self.output, &reply.body) {
            (Some(folder), ReplyBody::Written { media_type, bytes }) => {
                let name = reply_name(finished.file, media_type, names);
                let target = folder.join(name);
                std::fs::write(&target, bytes)
                    .map_err(|error| Stop::failed(format!("{}: {error}", target.display())))?;
                Some(target.display().to_string())
            }
            _ => None,
        };
        if self.json {
            let mut line = json!({ "file": path });
            if let (Some(line), Some(all)) = (line.as_object_mut(), reply_json(reply, ticket).as_object_mut())
            {
                line.append(all);
                if let Some(written) = written {
                    line.insert("written".into(), written.into());
                }
            }
            screen::print(&format!("{line}\n"))?;
            return Ok(());
        }
        match &reply.body {
            ReplyBody::Written { bytes, .. } if self.output.is_none() => {
                screen::print_bytes(bytes)?;
                screen::print("\n")?;
            }
            ReplyBody::Written { .. } => {}
            ReplyBody::Refused => {
                screen::tell(&format!("{path}: refused\n{}", super::preview::findings(&reply.findings)));
            }
        }
        Ok(())
    }
}

impl Finished<'_> {
    fn is_bad(&self) -> bool {
        match &self.result {
            Ok((_, reply)) => reply.outcome == Outcome::Reject || reply.body == ReplyBody::Refused,
            Err(_) => true,
        }
    }
}

/// What makes a file of a later run the same as one of an earlier run.
#[derive(Debug)]
struct Keys {
    /// What stands before a file's hash; `None` where nothing is kept.
    scope: Option<String>,
    /// True where no earlier run counts.
    again: bool,
}

impl Keys {
    fn of(flow: Option<&Arc<Flow>>, again: bool) -> Self {
        let mapping = flow.map(|it| &it.mapping).filter(|it| it.durability == Durability::Full);
        let scope = mapping.map(|mapping| {
            let run = if again { format!(":{}", uuid::Uuid::now_v7()) } else { String::new() };
            format!("run:{}:{}{run}", mapping.name, mapping.version)
        });
        Self { scope, again }
    }

    /// The key of a file; of one that is too long to be a key, its hash. `None` where the mapping's own `key:` makes
    /// one.
    fn key(&self, flow: &Flow, document: &Document, extraction: &Extraction) -> Option<IdempotencyKey> {
        if !self.again && flow.key_of(extraction).is_some() {
            return None;
        }
        Some(IdempotencyKey::or_hash(&format!("{}:{}", self.scope.as_ref()?, document.digest())))
    }
}

/// Hands a document in, as often as it takes until there is room for it: what was refused for want of room was not
/// accepted, and nobody waits here who must not be kept waiting.
async fn call(runner: &Arc<Runner>, mut request: impl FnMut() -> Request) -> Result<Called, Fault> {
    loop {
        match runner.call(request()).await {
            Err(Fault { code: FaultCode::Unavailable, recovery: Recovery::RetryAfter(pause), .. }) => {
                tokio::time::sleep(pause).await;
            }
            called => return called,
        }
    }
}

async fn finish<'f>(
    (runner, store): (&Arc<Runner>, Option<&Arc<dyn JobStore>>),
    flow: usize,
    file: &'f Path,
    keys: &Keys,
) -> Finished<'f> {
    let result = async {
        let mut document = outset::document(file).map_err(|stop| stop.to_string())?;
        let plan = runner.flows().get(flow).ok_or("there is no such flow")?;
        let extraction =
            tokio::task::block_in_place(|| plan.extract(&document)).map_err(|fault| said(&fault))?;
        document.key = keys.key(plan, &document, &extraction);
        let request = || {
            let (document, extraction) = (document.clone(), extraction.clone());
            Request { flow, document, extraction, wait: Wait::Result, return_to: None }
        };
        match call(runner, request).await.map_err(|fault| said(&fault))? {
            Called::Replied(ticket, reply) => Ok((ticket, reply)),
            Called::Ticket(ticket) => {
                let store = store.ok_or("there is no store to look for its result")?;
                Ok((ticket, Arc::new(found(store, ticket).await?)))
            }
        }
    };
    Finished { file, result: result.await }
}

/// The result of a job that gave a ticket, once it is there. What is said while a person decides counts as one.
async fn found(store: &Arc<dyn JobStore>, ticket: JobId) -> Result<Reply, String> {
    let mut pause = LOOK.0;
    loop {
        let job = store.find(ticket).await.map_err(|fault| said(&fault))?;
        match job.map(|it| it.state) {
            Some(
                JobState::Answered { reply }
                | JobState::Returned { reply }
                | JobState::InReview { reply, .. },
            ) => return Ok(reply),
            Some(JobState::Dead { cause, .. }) => return Err(cause),
            Some(JobState::Queued { .. } | JobState::Leased { .. }) => {}
            None => return Err(format!("the job {ticket} is gone")),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
}

fn said(fault: &Fault) -> String {
    let place = fault.place.as_ref().map(|it| format!(" at {it}")).unwrap_or_default();
    format!("{}: {}{place}", fault.code.code(), fault.message)
}

/// `claim.xml` → `claim.reply.xml`; a second `claim.xml` of another folder → `claim-2.reply.xml`.
fn reply_name(file: &Path, media_type: &str, names: &mut HashSet<String>) -> String {
    let stem = file.file_stem().map_or_else(|| "document".into(), |it| it.to_string_lossy());
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let ending = match bare {
        "application/json" => "json",
        _ if bare.ends_with("xml") => "xml",
        _ => "bin",
    };
    let mut name = format!("{stem}.reply.{ending}");
    let mut number = 1_usize;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{stem}-{number}.reply.{ending}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reply_is_written_over_another() {
        let mut names = HashSet::new();
        for (file, media_type, expected) in [
            ("a/claim.xml", "text/xml; charset=utf-8", "claim.reply.xml"),
            ("b/claim.xml", "text/xml", "claim-2.reply.xml"),
            ("c/claim.xml", "application/json", "claim.reply.json"),
            ("..", "x", "document.reply.bin"),
        ] {
            assert_eq!(reply_name(Path::new(file), media_type, &mut names), expected, "input: {file}");
        }
    }
}
