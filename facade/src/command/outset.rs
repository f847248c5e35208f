//! What several commands begin with: the files, the store, the runtime.

use std::{
    path::Path,
    sync::Arc,
    thread::{JoinHandle, available_parallelism},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use jiff::Timestamp;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::timeout,
};
use vestibule_core::{document::Document, ports::JobStore, registry::Registry, runner::Runner};

use super::{End, Stop};
use crate::{
    adapters::{self, NoStore, OwnedStore, StoreAt},
    config::{Config, StorePlace},
    house::House,
    screen,
    wiring::{Plans, directory::Directory, files::read_bounded},
};

/// Deep enough for every recursion that is bounded elsewhere, and a small part of what threads have by default.
const STACK: usize = 1 << 20;
/// Deep enough for headers that are nested as deep as a frame allows: letting go of them is recursion.
const DEEP_STACK: usize = 64 << 20;

/// How long a store on a server has to take what is left when the process ends.
const CLOSING: Duration = Duration::from_secs(10);

/// The async runtime: as many workers as processors.
pub fn runtime() -> Result<Runtime, Stop> {
    runtime_with(STACK)
}

/// The async runtime of a process that reads from others' queues. What of a stack is not used costs nothing.
pub fn deep_runtime() -> Result<Runtime, Stop> {
    runtime_with(DEEP_STACK)
}

fn runtime_with(stack: usize) -> Result<Runtime, Stop> {
    Builder::new_multi_thread()
        .worker_threads(available_parallelism().map_or(2, std::num::NonZero::get))
        .thread_stack_size(stack)
        .max_blocking_threads(32)
        .thread_name("vestibule")
        .enable_all()
        .build()
        .map_err(|error| Stop::not_reachable(format!("no runtime: {error}")))
}

/// Everything that the files say, ready to be called; all that is wrong with them otherwise.
pub fn house(plans: &mut Plans, runtime: &Runtime) -> Result<House, Stop> {
    // Models may make connection pools, which belong to a runtime.
    let inside = runtime.enter();
    let house = plans.assemble(&registry_for(&plans.config), &secrets);
    drop(inside);
    if plans.report.is_clean() { Ok(house) } else { Err(wrong_files(plans)) }
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

/// Stands for a secret that is set only where the server runs: Base64, as signing secrets must be.
pub const STAND_IN: &str = "dW5zZXQ=";

/// The adapters for reading the files of a directory.
pub fn registry() -> Arc<Registry> {
    Arc::new(adapters::registry(0))
}

/// The adapters for documents as long as the configuration allows.
pub fn registry_for(config: &Config) -> Arc<Registry> {
    Arc::new(adapters::registry(config.limits.body))
}

/// An open job store with what works for it.
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn JobStore>,
    close: Box<dyn Fn() + Send + Sync>,
    engines: Vec<JoinHandle<()>>,
    drivers: Vec<oneshot::Receiver<()>>,
}

impl OpenStore {
    /// Opens the store of a directory for a process that works on its jobs; `None` where its configuration says so.
    pub fn of(plans: &Plans, runtime: &Runtime) -> Result<Option<Self>, Stop> {
        Self::open(plans, runtime, |at| Box::pin(adapters::open_store(at)))
    }

    /// Opens it for a command that may run beside such a process.
    pub fn beside(plans: &Plans, runtime: &Runtime) -> Result<Option<Self>, Stop> {
        Self::open(plans, runtime, |at| Box::pin(adapters::open_store_beside(at)))
    }

    fn open(
        plans: &Plans,
        runtime: &Runtime,
        how: impl FnOnce(StoreAt) -> BoxFuture<'static, Result<OwnedStore, NoStore>>,
    ) -> Result<Option<Self>, Stop> {
        let Some(at) = store_at(plans)? else { return Ok(None) };
        runtime.block_on(how(at)).map_err(|error| stop_of_store(&*error))?.start(runtime).map(Some)
    }

    /// Waits until everything that was handed to the store is durable, and ends the runtime: what drives connections
    /// lives on it.
    pub fn close(self, runtime: Runtime) {
        (self.close)();
        let drivers = join_all(self.drivers);
        if runtime.block_on(async { timeout(CLOSING, drivers).await }).is_err() {
            screen::tell("error: the store did not take what was left in time");
        }
        drop(runtime);
        for engine in self.engines {
            if engine.join().is_err() {
                screen::tell("error: a thread of the store ended in a panic");
            }
        }
    }
}

impl OwnedStore {
    /// Starts what works for it.
    fn start(self, runtime: &Runtime) -> Result<OpenStore, Stop> {
        let _inside = runtime.enter();
        let mut drivers = Vec::with_capacity(self.drivers.len());
        for driver in self.drivers {
            let (ended, end) = oneshot::channel();
            drivers.push(end);
            Runner::in_background(async move {
                driver.await;
                drop(ended);
            });
        }
        let started: Result<Vec<_>, _> =
            self.engines.into_iter().map(|it| Runner::on_thread(it.name, it.work)).collect();
        let engines = started
            .map_err(|fault| Stop::not_reachable(format!("the store's threads: {}", fault.message)))?;
        Ok(OpenStore { store: self.store, close: self.close, engines, drivers })
    }
}

/// Where the store of a directory is; `None` where its configuration says that there is none.
fn store_at(plans: &Plans) -> Result<Option<StoreAt>, Stop> {
    let Some(place) = &plans.config.store else { return Ok(None) };
    match place {
        StorePlace::Sqlite(path) => Ok(Some(StoreAt::Sqlite(plans.directory.root.join(path)))),
        StorePlace::Postgres(server) => {
            let password = match &server.password {
                None => None,
                Some(name) => Some(secrets(name).ok_or_else(|| {
                    Stop::wrong_use(format!("vestibule.yaml: the environment has no `{name}`"))
                })?),
            };
            let ca = server.ca.as_ref().map(|it| plans.directory.root.join(it));
            Ok(Some(StoreAt::Postgres(server.clone(), password, ca)))
        }
    }
}

/// What a person is told when a store can not be opened.
pub fn stop_of_store(error: &(dyn std::error::Error + 'static)) -> Stop {
    Stop::not_reachable(with_causes(error))
}

/// An error with what caused it, in one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A file as a document: what it is says its ending, else its first character.
pub fn document(path: &Path) -> Result<Document, Stop> {
    let bytes =
        read_bounded(path).map_err(|error| Stop::not_reachable(format!("{}: {error}", path.display())))?;
    let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
    let media_type = match ending.as_str() {
        "xml" => "text/xml",
        "json" => "application/json",
        _ => sniff(&bytes),
    };
    let mut document = Document::new(bytes, media_type, Timestamp::now());
    document.name = path.file_name().and_then(|it| it.to_str()).map(Into::into);
    Ok(document)
}

/// A byte order mark and white space may stand before the first character.
fn sniff(bytes: &[u8]) -> &'static str {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match bytes.trim_ascii_start().first() {
        Some(b'{' | b'[') => "application/json",
        _ => "text/xml",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_known_ending_is_known_by_its_first_character() {
        for (bytes, expected) in [
            (&b"{}"[..], "application/json"),
            (b" \n[1]", "application/json"),
            (b"\xEF\xBB\xBF{\"a\":1}", "application/json"),
            (b"<a/>", "text/xml"),
            (b"", "text/xml"),
        ] {
            assert_eq!(sniff(bytes), expected, "input: {bytes:?}");
        }
    }
}
