//! Everything that runs: the flows of a directory, the services that offer them, and what works on them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use vestibule_core::{
    flow::Flow,
    ports::{JobStore, Service},
    registry::Registry,
    runner::Runner,
};

use crate::config::Limits;

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
    /// Scheme and authority that callers know us by; `None`: as each request's `Host` says.
    pub public_url: Option<String>,
    draining: AtomicBool,
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
        Self { house, runner, store, limits, public_url, draining: AtomicBool::new(false) }
    }

    /// True once the process is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on `/readyz` says no.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
