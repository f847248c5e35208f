//! A flow as the runner serves it: its room, its counters, where its results go, and whether it takes work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    figures::{FlowFigures, Tally},
    lanes::{Lane, busy},
};
use crate::{
    fault::{Fault, FaultCode, Recovery},
    flow::Flow,
    job::{Place, ReturnAddress},
    mapping::plan::Durability,
};

/// When work that a threshold turned away may come again.
const SHED: Duration = Duration::from_secs(10);

pub(super) struct Served {
    pub flow: Arc<Flow>,
    pub lane: Arc<Lane>,
    pub tally: Tally,
    deliver: Option<Place>,
    is_shedding: AtomicBool,
    /// Jobs in the queue of the store, as of the last census and what was seen since then.
    backlog: AtomicU64,
}

impl Served {
    pub(super) fn new(flow: Arc<Flow>, lane: Lane, deliver: Option<Place>) -> Self {
        Self {
            flow,
            lane: Arc::new(lane),
            tally: Tally::default(),
            deliver,
            is_shedding: AtomicBool::new(false),
            backlog: AtomicU64::new(0),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.flow.mapping.name
    }

    pub(super) fn is_durable(&self) -> bool {
        self.flow.mapping.durability == Durability::Full
    }

    /// The return address of a job: the flow's own place comes before the sender's wish.
    pub(super) fn return_to(&self, asked: Option<ReturnAddress>) -> Option<ReturnAddress> {
        let mut address = asked.unwrap_or_default();
        if let Some(place) = &self.deliver {
            address.reply = Some(place.clone());
        }
        (!address.is_empty()).then_some(address)
    }

    /// Whether work that nobody waits for would start within half of the flow's patience.
    pub(super) fn starts_in_time(&self) -> Result<(), Fault> {
        let waiting = usize::try_from(self.backlog.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let patience = self.flow.mapping.handling.patience / 2;
        match self.lane.turn_of(waiting.saturating_add(1)).filter(|turn| *turn > patience) {
            Some(turn) if waiting > 0 => Err(busy(turn - patience)),
            _ => Ok(()),
        }
    }

    pub(super) fn takes_work(&self) -> Result<(), Fault> {
        if !self.is_shedding() {
            return Ok(());
        }
        Err(Fault::new(FaultCode::Unavailable, "this flow takes no work: too much waits already")
            .recovery(Recovery::RetryAfter(SHED)))
    }

    pub(super) fn is_shedding(&self) -> bool {
        self.is_shedding.load(Ordering::Relaxed)
    }

    /// True where that is a change.
    pub(super) fn shed(&self, sheds: bool) -> bool {
        self.is_shedding.swap(sheds, Ordering::Relaxed) != sheds
    }

    pub(super) fn counted(&self, queued: u64) {
        self.backlog.store(queued, Ordering::Relaxed);
    }

    /// Jobs in the queue, as far as this process knows: some seconds old.
    pub(super) fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn queued_one(&self) {
        self.backlog.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn claimed_one(&self) {
        let less = |it: u64| Some(it.saturating_sub(1));
        let _ = self.backlog.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(super) fn figures(&self) -> FlowFigures {
        let width = self.lane.width();
        FlowFigures {
            flow: Arc::clone(self.name()),
            width,
            busy_now: width.saturating_sub(self.lane.room()),
            waiting: self.lane.waiting(),
            is_shedding: self.is_shedding(),
            ..self.tally.read()
        }
    }
}
