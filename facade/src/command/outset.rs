//! What several commands begin with: the files, the store, the runtime.

use std::{
    path::Path,
    sync::Arc,
    thread::{JoinHandle, available_parallelism},
};

use tokio::runtime::{Builder, Runtime};
use vestibule_core::{ports::JobStore, registry::Registry, runner::Runner};

use super::{End, Stop};
use crate::{
    adapters, screen,
    wiring::{Plans, directory::Directory},
};

/// Deep enough for every recursion that is bounded elsewhere, and a small part of what threads have by default.
const STACK: usize = 1 << 20;

/// The async runtime: as many workers as processors.
pub fn runtime() -> Result<Runtime, Stop> {
    Builder::new_multi_thread()
        .worker_threads(available_parallelism().map_or(2, std::num::NonZero::get))
        .thread_stack_size(STACK)
        .max_blocking_threads(32)
        .thread_name("vestibule")
        .enable_all()
        .build()
        .map_err(|error| Stop::not_reachable(format!("no runtime: {error}")))
}

/// The directory at a path that a person gave.
pub fn directory(path: &Path) -> Result<Directory, Stop> {
    Directory::at(path).map_err(|error| Stop::not_reachable(format!("{}: {error}", path.display())))
}

/// The directory that a file belongs to.
pub fn directory_around(file: &Path) -> Result<Directory, Stop> {
    Directory::around(file).map_err(|error| Stop::not_reachable(format!("{}: {error}", file.display())))
}

/// All problems of a directory's files, for standard error.
pub fn wrong_files(plans: &Plans) -> Stop {
    let count = plans.report.errors();
    let text = plans.report.render(screen::errors_have_color());
    Stop::report(format!("{text}{count} error{}", if count == 1 { "" } else { "s" }), End::WrongUse)
}

/// Secrets as the environment has them.
pub fn secrets(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

/// The registry of this binary.
pub fn registry() -> Arc<Registry> {
    Arc::new(adapters::registry())
}

/// An open job store with the thread that works for it.
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn JobStore>,
    engine: JoinHandle<()>,
}

impl OpenStore {
    /// Opens the store of a directory; `None` where its configuration says so.
    pub fn of(plans: &Plans) -> Result<Option<Self>, Stop> {
        let Some(path) = &plans.config.store else { return Ok(None) };
        let path = plans.directory.root.join(path);
        let (store, engine) = adapters::open_store(&path).map_err(|fault| stop_of_store(&path, &fault))?;
        let engine = Runner::on_thread("store", engine)
            .map_err(|fault| Stop::not_reachable(format!("the store's thread: {}", fault.message)))?;
        Ok(Some(Self { store, engine }))
    }

    /// Waits until everything is on disk. All other handles of the store must be gone.
    pub fn close(self) {
        drop(self.store);
        if self.engine.join().is_err() {
            screen::tell("error: the store's thread ended in a panic");
        }
    }
}

/// What a person is told when a store can not be opened.
pub fn stop_of_store(path: &Path, fault: &vestibule_core::fault::Fault) -> Stop {
    let cause = fault.source.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    Stop::not_reachable(format!("the job store {}: {}{cause}", path.display(), fault.message))
}
