//! What an operator sets: how much at once, how long finished work is kept, and when somebody must look.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

/// What an operator sets.
#[derive(Clone)]
pub struct RunnerSettings {
    /// Most documents of one flow that are worked on at once, where its mapping has no `concurrency`; and most callers
    /// of a flow that wait for their turn.
    pub most_calls: usize,
    /// From so many jobs of a flow in the queue on, its journaled sources wait. What waits then stays with the other side,
    /// which pays for it.
    pub most_queued: u64,
    /// How long finished work is kept; flows without an entry: for ever.
    pub retention: Vec<Retention>,
    /// When somebody must look; flows without an entry: never.
    pub thresholds: Vec<Threshold>,
    /// Told when a threshold is passed and when it is over, by one process of all that share a store. It has 30 seconds.
    pub alarm: Option<Alarm>,
}

/// Told of alerts. Its future is dropped after 30 seconds.
pub type Alarm = Arc<dyn Fn(Alert) -> BoxFuture<'static, ()> + Send + Sync>;

impl Default for RunnerSettings {
    fn default() -> Self {
        Self {
            most_calls: 1024,
            most_queued: 1_000_000,
            retention: Vec::new(),
            thresholds: Vec::new(),
            alarm: None,
        }
    }
}

impl fmt::Debug for RunnerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerSettings")
            .field("most_calls", &self.most_calls)
            .field("most_queued", &self.most_queued)
            .field("retention", &self.retention)
            .field("thresholds", &self.thresholds)
            .finish_non_exhaustive()
    }
}

/// How long the finished jobs of a flow are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The flow.
    pub flow: Arc<str>,
    /// Jobs with a result that was handed back; `None`: for ever.
    pub finished: Option<Duration>,
    /// Dead jobs; `None`: for ever.
    pub dead: Option<Duration>,
}

/// What is too much for a flow; `None`: nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// The flow.
    pub flow: Arc<str>,
    /// Age of the oldest job that is queued or worked on.
    pub age: Option<Duration>,
    /// Jobs in the queue.
    pub depth: Option<u64>,
    /// Dead jobs.
    pub dead: Option<u64>,
    /// Finished jobs whose result or dead letter was not handed back yet.
    pub undelivered: Option<u64>,
    /// New work is refused while `age`, `depth` or `undelivered` is passed. Dead jobs shed nothing: refusing work does
    /// not make them fewer.
    pub shed: bool,
}

/// Something passed its threshold, or is below it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The flow.
    pub flow: Arc<str>,
    /// What.
    pub measure: Measure,
    /// How much it is: seconds for an age, else a number of jobs.
    pub value: u64,
    /// How much is allowed.
    pub limit: u64,
    /// True: passed; false: over.
    pub is_passed: bool,
}

/// What a threshold is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Age of the oldest job that is queued or worked on, in seconds.
    Age,
    /// Jobs in the queue.
    Depth,
    /// Dead jobs.
    Dead,
    /// Results and dead letters that were not handed back yet.
    Undelivered,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 4] = [Self::Age, Self::Depth, Self::Dead, Self::Undelivered];

    /// The word in `vestibule.yaml`, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Depth => "depth",
            Self::Dead => "dead",
            Self::Undelivered => "undelivered",
        }
    }
}
