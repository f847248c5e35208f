//! Tasks, leases and sources: the only file that spawns.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{
    document::Document,
    fault::{Fault, FaultCode},
    flow::Flow,
    job::{JobId, Reply},
    ports::{Extraction, JobStore},
};

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// Most calls worked on at once; more are refused with `Unavailable`.
    pub most_calls: usize,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        Self { most_calls: 1024 }
    }
}

/// Owns every task of the process.
pub struct Runner {
    flows: Vec<Arc<Flow>>,
}

impl Runner {
    /// Starts the runner: interrupted jobs of the store are finished in the background.
    pub fn start(flows: Vec<Arc<Flow>>, store: Option<Arc<dyn JobStore>>, settings: RunnerSettings) -> Arc<Self> {
        let _ = (store, settings);
        Arc::new(Self { flows })
    }

    /// Runs blocking work on a thread of its own, until it returns by itself.
    pub fn on_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, Fault> {
        std::thread::Builder::new()
            .name(name.into())
            .spawn(work)
            .map_err(|error| Fault::new(FaultCode::Internal, "a thread could not be started").because(error))
    }

    /// Accepts a document for a flow and waits for its result. Dropping the future drops the waiting, never the job.
    pub async fn call(
        self: &Arc<Self>,
        flow: usize,
        document: Document,
        extraction: Extraction,
    ) -> Result<(JobId, Arc<Reply>), Fault> {
        let _ = (document, extraction, self.flows.get(flow));
        Err(Fault::new(FaultCode::Unavailable, "not ready"))
    }

    /// Serves one connection until it ends.
    pub fn serve_connection(&self, work: impl Future<Output = ()> + Send + 'static) {
        let _ = work;
    }

    /// Takes no more work and waits for what is under way. False: `within` passed first.
    pub async fn drain(&self, within: Duration) -> bool {
        let _ = within;
        true
    }
}
