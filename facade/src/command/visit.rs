//! The store of a directory, opened beside a server that may be running on it.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::runtime::Runtime;
use vestibule_core::{
    fault::Fault,
    flow::Flow,
    job::{Job, JobId},
    ports::JobStore,
};

use super::{
    Stop,
    outset::{self, OpenStore},
};
use crate::{screen, wiring::Plans};

/// A visit to a store: what is asked of it is answered from what is durable, whoever else uses it.
pub struct Visit {
    runtime: Runtime,
    open: OpenStore,
    dir: PathBuf,
}

impl Visit {
    /// Opens the store of this directory.
    pub fn at(dir: &Path) -> Result<Self, Stop> {
        let mut directory = outset::directory(dir)?;
        // The store's place is in the configuration; mappings with errors must not keep an operator from looking.
        directory.mappings.clear();
        let plans = Plans::read(directory, &outset::registry());
        if !plans.report.is_clean() {
            return Err(outset::wrong_files(&plans));
        }
        let runtime = outset::runtime()?;
        let Some(open) = OpenStore::beside(&plans, &runtime)? else {
            return Err(Stop::wrong_use(format!("{} has `store: none`: no jobs are kept", dir.display())));
        };
        Ok(Self { runtime, open, dir: dir.to_owned() })
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.open.store
    }

    /// Waits for an answer of the store.
    pub fn ask<T>(&self, question: impl Future<Output = Result<T, Fault>>) -> Result<T, Stop> {
        self.runtime.block_on(question).map_err(|fault| Stop::not_reachable(outset::with_causes(&fault)))
    }

    /// One job, whole.
    pub fn find(&self, id: JobId) -> Result<Job, Stop> {
        self.ask(self.store().find(id))?.ok_or_else(|| Stop::failed(format!("there is no job {id}")))
    }

    /// The flow of a job, for reading its document again: its models can not be asked.
    pub fn flow_of(&self, job: &Job) -> Result<Flow, Stop> {
        let registry = outset::registry();
        let mut plans = Plans::read(outset::directory(&self.dir)?, &registry);
        plans.mappings.retain(|it| it.mapping.name == job.flow);
        if plans.mappings.is_empty() {
            if !plans.report.is_clean() {
                return Err(outset::wrong_files(&plans));
            }
            let dir = self.dir.display();
            return Err(Stop::failed(format!("{dir} has no mapping `{}` any more", job.flow)));
        }
        plans.assemble_unasked(&registry).ok_or_else(|| outset::wrong_files(&plans))
    }

    /// Waits until everything that was changed is on disk.
    pub fn close(self) {
        self.open.close(self.runtime);
    }
}

/// A ticket that a person gave.
pub fn ticket(text: &str) -> Result<JobId, Stop> {
    JobId::parse(text)
        .ok_or_else(|| Stop::wrong_use(format!("`{}` is not a ticket", screen::one_line(text, 40))))
}

/// Tickets, and at most one directory among them.
pub fn tickets_and_directory(words: &[String]) -> Result<(Vec<JobId>, PathBuf), Stop> {
    let mut directory: Option<&String> = None;
    let mut tickets = Vec::new();
    for word in words {
        match (JobId::parse(word), directory) {
            (Some(id), _) if !tickets.contains(&id) => tickets.push(id),
            (Some(_), _) => {}
            (None, None) => directory = Some(word),
            // Of two words that are no tickets, the one that is no directory was meant as one.
            (None, Some(first)) => {
                let wrong = if Path::new(first).is_dir() { word } else { first };
                return Err(Stop::wrong_use(format!("`{}` is not a ticket", screen::one_line(wrong, 40))));
            }
        }
    }
    Ok((tickets, directory.map_or_else(|| PathBuf::from("."), PathBuf::from)))
}

/// Who acts: as said, else as the system knows the person.
pub fn by(said: Option<String>) -> Result<String, Stop> {
    let known = || ["USER", "LOGNAME"].into_iter().find_map(outset::secrets);
    said.or_else(known).ok_or_else(|| Stop::wrong_use("say who you are: --by NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: &str = "01932f6a-7c1e-7b1a-9d61-2f0c5a1e8b11";

    #[test]
    fn tickets_and_a_directory_may_stand_in_any_order() {
        let id = JobId::parse(TICKET).unwrap();
        let words = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
            tickets_and_directory(&words).map_err(|stop| stop.to_string())
        };
        assert_eq!(words(&[]), Ok((vec![], ".".into())));
        assert_eq!(words(&[TICKET, TICKET]), Ok((vec![id], ".".into())));
        assert_eq!(words(&["/tmp", TICKET]), Ok((vec![id], "/tmp".into())));
        assert_eq!(words(&[TICKET, "src"]), Ok((vec![id], "src".into())));
        assert_eq!(words(&["/tmp", "01932f6a"]), Err("error: `01932f6a` is not a ticket".into()));
        assert_eq!(words(&["01932f6a", "/tmp"]), Err("error: `01932f6a` is not a ticket".into()));
    }
}
