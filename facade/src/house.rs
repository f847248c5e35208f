//! Everything that runs: the flows of a directory, the services that offer them, and what works on them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::watch, time::timeout};
use vestibule_core::{
    fault::{Fault, FaultCode, Recovery},
    flow::Flow,
    ports::{JobStore, Returner, Service},
    registry::Registry,
    runner::{Called, Parts, Request, Runner, RunnerSettings},
};

use crate::{
    config::{Callbacks, Config, Limits},
    http::room::Room,
    operators::Operators,
    wiring::channels::Channels,
};

/// Longest wait for reference data before the first document is taken.
const LOOKUPS: Duration = Duration::from_secs(10);

/// The flows and services of one directory, compiled: what exists here can be called.
pub struct House {
    /// Every adapter.
    pub registry: Arc<Registry>,
    /// The flows, in the order of their files' names. Positions are what services and the runner call them by.
    pub flows: Vec<Arc<Flow>>,
    /// Services by name.
    pub services: HashMap<Box<str>, Arc<dyn Service>>,
    /// What flows receive from and send to by themselves.
    pub channels: Channels,
}

impl House {
    /// Nothing yet.
    pub fn empty(registry: Arc<Registry>) -> Self {
        Self { registry, flows: Vec::new(), services: HashMap::new(), channels: Channels::default() }
    }

    /// What a runner works with. Sources are given away: only one runner reads them.
    pub fn parts(
        &mut self,
        store: Option<Arc<dyn JobStore>>,
        mut returners: Vec<Arc<dyn Returner>>,
        settings: RunnerSettings,
    ) -> Parts {
        returners.extend(self.channels.connections.iter().map(|it| it.returner()));
        Parts {
            sources: std::mem::take(&mut self.channels.sources),
            returners,
            deliver: self.channels.deliver.clone(),
            lookups: self.channels.lookups.clone(),
            settings,
            ..Parts::called(self.flows.clone(), store)
        }
    }

    /// Reads all reference data once, so that the first documents find it; ends after [`LOOKUPS`] although some was not
    /// read, for the runner goes on with it.
    pub async fn read_lookups(&self) {
        let all = join_all(self.channels.lookups.iter().map(|it| it.read()));
        // Which failed is logged, and is a finding of every document that needs it.
        drop(timeout(LOOKUPS, all).await);
    }

    /// True where this service has an operation of this flow.
    pub fn offers(&self, service: &str, flow: &str) -> bool {
        let Some((_, flow)) = self.flow(flow) else { return false };
        let is_called = |kind: &str| self.registry.frontend(kind).is_some();
        flow.mapping.receive.iter().any(|it| is_called(&it.kind) && it.get("service") == Some(service))
    }

    /// Position of the flow of this mapping.
    pub fn flow(&self, mapping: &str) -> Option<(usize, &Arc<Flow>)> {
        self.flows.iter().enumerate().find(|(_, flow)| &*flow.mapping.name == mapping)
    }
}

/// What requests are answered with.
pub struct Front {
    /// Flows and services.
    pub house: House,
    /// What works on them.
    pub runner: Arc<Runner>,
    /// Where jobs are kept; `None` where the configuration says so.
    pub store: Option<Arc<dyn JobStore>>,
    /// Bounds of what is read.
    pub limits: Limits,
    /// Room for bodies, over all connections.
    pub room: Room,
    /// Scheme and authority that callers know us by; `None`: as each request's `Host` says.
    pub public_url: Option<String>,
    /// Addresses that callers may have results sent to.
    pub callbacks: Callbacks,
    /// People who may decide.
    pub operators: Operators,
    draining: AtomicBool,
    hurry: watch::Sender<bool>,
}

impl Front {
    /// A front that takes work.
    pub fn new(
        house: House,
        runner: Arc<Runner>,
        store: Option<Arc<dyn JobStore>>,
        config: &Config,
        operators: Operators,
    ) -> Self {
        Self {
            house,
            runner,
            store,
            room: Room::new(&config.limits),
            limits: config.limits,
            public_url: config.public_url.clone(),
            callbacks: config.callbacks.clone(),
            operators,
            draining: AtomicBool::new(false),
            hurry: watch::Sender::new(false),
        }
    }

    /// True once the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on `/readyz` says no.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Ends all waiting for results: callers are told to come again, which is better than a connection that breaks.
    /// Durable jobs go on, and are finished after the next start where they do not end in time.
    pub fn stop_waiting(&self) {
        self.hurry.send_replace(true);
    }

    /// Accepts a document and waits for its result, for as long as the process may.
    pub async fn call(&self, request: Request) -> Result<Called, Fault> {
        let mut hurried = self.hurry.subscribe();
        // Dropping the call drops the waiting, never a durable job.
        tokio::select! {
            biased;
            result = self.runner.call(request) => result,
            _ = hurried.wait_for(|it| *it) => {
                let message = "the service is shutting down before there is a result; send the document again";
                Err(Fault::new(FaultCode::Unavailable, message).recovery(Recovery::Retry))
            }
        }
    }
}
