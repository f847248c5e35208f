//! `vestibule jobs export`

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use vestibule_core::job::{Job, JobFilter, JobId, ReplyBody};

use super::{
    super::{
        End, Stop,
        visit::{self, Visit},
    },
    which::Which,
};
use crate::{
    http::jobs::{body_json, operator_json},
    screen,
};

/// Write documents of jobs, and what became of them, to files or to standard output
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vestibule jobs export 01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11 samples/quickstart > claim.xml
  vestibule jobs export samples/quickstart --state dead --all --out dead-letters

Without --out, one document goes to standard output as it was received; with --all, one line of JSON for each job.
Values are in clear: files are readable by their owner alone, and none that is there is written over.")]
pub struct Export {
    /// Tickets, and the directory with `vestibule.yaml` where it is not this one
    #[arg(value_name = "TICKET|DIR")]
    what: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// The reply in place of the document; with --out, beside it
    #[arg(long)]
    reply: bool,
    /// JSON lines with document, reply, cause, findings, decisions and delivery; with --out, in jobs.jsonl
    #[arg(long, conflicts_with = "reply")]
    all: bool,
    /// A directory to write files to
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Export {
    /// Exports.
    pub fn run(self) -> Result<End, Stop> {
        let (mut tickets, dir) = visit::tickets_and_directory(&self.what)?;
        if tickets.is_empty() && self.which.is_all() {
            return Err(Stop::wrong_use(
                "which jobs? `jobs export` takes tickets, or --state, --flow, --older-than, --newer-than, --cause",
            ));
        }
        if !tickets.is_empty() && !self.which.is_all() {
            return Err(Stop::wrong_use("tickets and filters do not go together"));
        }
        let visit = Visit::at(&dir)?;
        if tickets.is_empty() {
            let filter = self.which.filter(Timestamp::now(), None, JobFilter::MOST);
            tickets = visit.ask(visit.store().list(filter))?.iter().map(|job| job.id).collect();
        }
        if tickets.len() > 1 && self.out.is_none() && !self.all {
            return Err(Stop::wrong_use(format!(
                "{} jobs: say --out DIR, or --all for lines of JSON",
                tickets.len()
            )));
        }
        let mut target = Target::of(self.out.as_deref(), self.all)?;
        let is_full = tickets.len() >= JobFilter::MOST;
        let mut missing = 0_usize;
        for id in tickets {
            // One at a time: many documents together may be more than there is memory.
            match visit.ask(visit.store().find(id))? {
                Some(job) => missing += usize::from(!self.write(&job, &mut target)?),
                None => {
                    missing += 1;
                    screen::tell(&format!("there is no job {id}"));
                }
            }
        }
        if is_full {
            screen::tell(&format!("these are the newest {} jobs: there may be more", JobFilter::MOST));
        }
        Ok(if missing > 0 { End::Findings } else { End::Done })
    }

    /// False where there is no reply to write.
    fn write(&self, job: &Job, target: &mut Target) -> Result<bool, Stop> {
        let reply = job.state.reply().and_then(|reply| match &reply.body {
            ReplyBody::Written { media_type, bytes } => Some((&**media_type, bytes.as_ref())),
            ReplyBody::Refused => None,
        });
        let document = (&*job.document.media_type, job.document.bytes.as_ref());
        match target {
            Target::Lines(file) => {
                let line = format!("{}\n", bundle(job));
                match file {
                    Some((path, file)) => {
                        file.write_all(line.as_bytes()).map_err(|it| unwritten(path, &it))?
                    }
                    None => screen::print(&line)?,
                }
            }
            Target::Standard if self.reply => match reply {
                Some((_, bytes)) => screen::print_bytes(bytes)?,
                None => {
                    screen::tell(&format!("{} has no reply", job.id));
                    return Ok(false);
                }
            },
            Target::Standard => screen::print_bytes(document.1)?,
            Target::Folder(folder) => {
                save(&folder.join(name(job.id, "", document.0)), document.1)?;
                if let (true, Some((media_type, bytes))) = (self.reply, reply) {
                    save(&folder.join(name(job.id, ".reply", media_type)), bytes)?;
                }
            }
        }
        Ok(true)
    }
}

/// Where the export goes.
enum Target {
    Standard,
    Folder(PathBuf),
    Lines(Option<(PathBuf, fs::File)>),
}

impl Target {
    fn of(out: Option<&Path>, is_lines: bool) -> Result<Self, Stop> {
        let Some(folder) = out else {
            return Ok(if is_lines { Self::Lines(None) } else { Self::Standard });
        };
        fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
        if !is_lines {
            return Ok(Self::Folder(folder.to_owned()));
        }
        let path = folder.join("jobs.jsonl");
        let file = create(&path)?;
        Ok(Self::Lines(Some((path, file))))
    }
}

/// Everything about a job in one line.
fn bundle(job: &Job) -> Value {
    let mut whole = operator_json(job, None);
    if let Some(document) = whole.get_mut("document").and_then(Value::as_object_mut) {
        if let Some(charset) = &job.document.charset {
            document.insert("charset".into(), (**charset).into());
        }
        if let Value::Object(content) = body_json(&job.document.media_type, &job.document.bytes) {
            document.extend(content);
        }
        let attributes = serde_json::to_value(&job.document.attributes).unwrap_or_default();
        document.insert("attributes".into(), attributes);
    }
    whole
}

fn name(id: JobId, part: &str, media_type: &str) -> String {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    let ending = match kind {
        "application/json" => "json",
        "text/csv" => "csv",
        kind if kind.ends_with("/xml") || kind.ends_with("+xml") => "xml",
        kind if kind.ends_with("+json") => "json",
        kind if kind.starts_with("text/") => "txt",
        _ => "bin",
    };
    format!("{id}{part}.{ending}")
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    create(path)?.write_all(bytes).map_err(|error| unwritten(path, &error))
}

/// A new file for its owner's eyes.
fn create(path: &Path) -> Result<fs::File, Stop> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Stop {
    Stop::failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_ticket_and_media_type() {
        let id = JobId::parse("01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11").unwrap();
        for (part, media_type, ending) in [
            ("", "text/xml; charset=utf-8", ".xml"),
            (".reply", "application/soap+xml", ".reply.xml"),
            ("", "application/problem+json", ".json"),
            ("", "text/csv", ".csv"),
            ("", "text/plain", ".txt"),
            ("", "application/pdf", ".bin"),
        ] {
            assert_eq!(name(id, part, media_type), format!("{id}{ending}"), "{media_type}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.xml");
        save(&path, b"one").unwrap();
        assert!(save(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }
}
