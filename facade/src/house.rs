//! Everything that runs: the flows of a directory, the services that offer them, and what works on them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;
use vestibule_core::{
    document::Document,
    fault::{Fault, FaultCode, Recovery},
    flow::Flow,
    job::{JobId, Reply},
    ports::{Extraction, JobStore, Service},
    registry::Registry,
    runner::{Called, Request, Runner, Wait},
};

use crate::{config::Limits, http::room::Room};

/// The flows and services of one directory, compiled: what exists here can be called.
pub struct House {
    /// Every adapter.
    pub registry: Arc<Registry>,
    /// The flows, in the order of their files' names. Positions are what services and the runner call them by.
    pub flows: Vec<Arc<Flow>>,
    /// Services by name.
    pub services: HashMap<Box<str>, Arc<dyn Service>>,
}

impl House {
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
    draining: AtomicBool,
    hurry: watch::Sender<bool>,
}

impl Front {
    /// A front that takes work.
    pub fn new(
        house: House,
        runner: Arc<Runner>,
        store: Option<Arc<dyn JobStore>>,
        limits: Limits,
        public_url: Option<String>,
    ) -> Self {
        Self {
            house,
            runner,
            store,
            room: Room::new(&limits),
            limits,
            public_url,
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
    pub async fn call(
        &self,
        flow: usize,
        document: Document,
        extraction: Extraction,
    ) -> Result<(JobId, Arc<Reply>), Fault> {
        let mut hurried = self.hurry.subscribe();
        // Dropping the call drops the waiting, never a durable job.
        tokio::select! {
            biased;
            result = self.runner.call(Request { flow, document, extraction, wait: Wait::Result, return_to: None }) => {
                match result? {
                    Called::Replied(ticket, reply) => Ok((ticket, reply)),
                    Called::Ticket(ticket) => {
                        Err(Fault::new(FaultCode::Internal, "not built yet").about(ticket))
                    }
                }
            }
            _ = hurried.wait_for(|it| *it) => {
                let message = "the service is shutting down before there is a result; send the document again";
                Err(Fault::new(FaultCode::Unavailable, message).recovery(Recovery::Retry))
            }
        }
    }
}
