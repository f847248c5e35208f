//! What a runner is made of, and what it is asked for.

use std::{sync::Arc, time::Duration};

use super::RunnerSettings;
use crate::{
    document::Document,
    flow::Flow,
    job::{JobId, Place, Reply, ReturnAddress},
    lookup::Feed,
    ports::{Extraction, JobStore, Returner, Source},
};

/// What a runner works with.
pub struct Parts {
    /// The flows, by the position that [`Request::flow`] takes.
    pub flows: Vec<Arc<Flow>>,
    /// Where jobs are kept; `None`: nowhere.
    pub store: Option<Arc<dyn JobStore>>,
    /// Where documents arrive by themselves.
    pub sources: Vec<Fed>,
    /// What sends results.
    pub returners: Vec<Arc<dyn Returner>>,
    /// Where the results of each flow go that has a `deliver` of its own, by the flow's position.
    pub deliver: Vec<Option<Place>>,
    /// Reference data that is read again and again.
    pub lookups: Vec<Arc<Feed>>,
    /// What an operator sets.
    pub settings: RunnerSettings,
}

impl Parts {
    /// Flows that are only called.
    pub fn called(flows: Vec<Arc<Flow>>, store: Option<Arc<dyn JobStore>>) -> Self {
        let (sources, returners, deliver) = (Vec::new(), Vec::new(), Vec::new());
        let settings = RunnerSettings::default();
        Self { flows, store, sources, returners, deliver, lookups: Vec::new(), settings }
    }
}

/// A source and the flow that it feeds.
pub struct Fed {
    /// Position of the flow.
    pub flow: usize,
    /// The source.
    pub source: Arc<dyn Source>,
}

/// A document for a flow.
pub struct Request {
    /// Position of the flow.
    pub flow: usize,
    /// The document.
    pub document: Document,
    /// What was read from it.
    pub extraction: Extraction,
    /// How long its sender waits.
    pub wait: Wait,
    /// Where the result goes; the flow's own `deliver` comes first.
    pub return_to: Option<ReturnAddress>,
}

/// How long a sender waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the result, at the longest for the flow's deadline; then as the mapping's `async` says.
    Result,
    /// For the result, at the longest this long and the flow's deadline; then it gets a ticket.
    AtMost(Duration),
    /// Until the job is durable.
    Ticket,
}

/// What a sender gets.
#[derive(Debug)]
pub enum Called {
    /// The result, or what is said while a person decides.
    Replied(JobId, Arc<Reply>),
    /// A ticket: the job is durable and its result can be asked for.
    Ticket(JobId),
}
