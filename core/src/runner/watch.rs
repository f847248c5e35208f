//! Queue health: what waits in the store, and when somebody must look.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::{Alert, Measure, Runner, Threshold, ending::cause};
use crate::{job::Census, ports::JobStore};

/// How often it is counted what waits.
const EVERY: Duration = Duration::from_secs(5);
/// How long an alarm may take.
const ALARM: Duration = Duration::from_secs(30);

/// What is passed now.
type Passed = HashMap<(Arc<str>, Measure), ()>;

impl Runner {
    /// What waits in the store, by flow: at most some seconds old. Empty without a store, or when it could not be asked.
    pub fn census(&self) -> Arc<Vec<Census>> {
        Arc::clone(&self.census.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The thresholds that are passed now.
    pub fn alerts(&self) -> Vec<Alert> {
        let census = self.census();
        let passed =
            |it: &Threshold| judge(it, &census).into_iter().filter(|it| it.is_passed).collect::<Vec<_>>();
        self.settings.thresholds.iter().flat_map(passed).collect()
    }

    /// Counts, and tells of every threshold that is passed and of every one that is over.
    pub(super) async fn watch(self: Arc<Self>, store: Arc<dyn JobStore>) {
        let mut passed = Passed::new();
        loop {
            match store.census().await {
                Ok(census) => self.look(&store, census, &mut passed).await,
                Err(fault) => {
                    tracing::warn!(%fault, cause = cause(&fault), "what waits in the store could not be counted");
                }
            }
            // Cancel-safe: both only wait.
            tokio::select! { () = sleep(EVERY) => {}, () = self.tasks.draining() => return }
        }
    }

    async fn look(&self, store: &Arc<dyn JobStore>, census: Vec<Census>, passed: &mut Passed) {
        for served in &self.served {
            let queued = census.iter().find(|it| it.flow == *served.name()).map_or(0, |it| it.queued);
            served.counted(queued);
        }
        let mut news = Vec::new();
        for threshold in &self.settings.thresholds {
            let alerts = judge(threshold, &census);
            self.shed(threshold, &alerts);
            news.extend(alerts.into_iter().filter(|alert| {
                let name = (Arc::clone(&alert.flow), alert.measure);
                match alert.is_passed {
                    true => passed.insert(name, ()).is_none(),
                    false => passed.remove(&name).is_some(),
                }
            }));
        }
        *self.census.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(census);
        for alert in &news {
            say(alert);
        }
        self.raise(store, news).await;
    }

    fn shed(&self, threshold: &Threshold, alerts: &[Alert]) {
        let too_much = |it: &Alert| it.is_passed && it.measure != Measure::Dead;
        let sheds = threshold.shed && alerts.iter().any(too_much);
        if self.serving(&threshold.flow).is_some_and(|it| it.shed(sheds)) {
            match sheds {
                true => tracing::warn!(flow = %threshold.flow, "this flow takes no new work for now"),
                false => tracing::info!(flow = %threshold.flow, "this flow takes work again"),
            }
        }
    }

    /// Calls the alarm, where this process alone does so among all that share the store.
    async fn raise(&self, store: &Arc<dyn JobStore>, news: Vec<Alert>) {
        let Some(alarm) = &self.settings.alarm else { return };
        // Asked each time, so that the role is kept.
        if !store.lead("alerts").await.unwrap_or(false) {
            return;
        }
        for alert in news {
            let raised = alarm(alert);
            self.tasks.spawn(async move {
                if timeout(ALARM, raised).await.is_err() {
                    tracing::warn!("an alarm was not taken in time");
                }
            });
        }
    }
}

/// Each limit of a threshold, and whether it is passed.
fn judge(threshold: &Threshold, census: &[Census]) -> Vec<Alert> {
    let none = Census::default();
    let counted = census.iter().find(|it| it.flow == threshold.flow).unwrap_or(&none);
    let age = counted.oldest.map_or(0, |it| Timestamp::now().duration_since(it).as_secs());
    [
        (Measure::Age, threshold.age.map(|it| it.as_secs()), u64::try_from(age).unwrap_or(0)),
        (Measure::Depth, threshold.depth, counted.queued),
        (Measure::Dead, threshold.dead, counted.dead),
        (Measure::Undelivered, threshold.undelivered, counted.undelivered),
    ]
    .into_iter()
    .filter_map(|(measure, limit, value)| {
        let limit = limit?;
        Some(Alert { flow: Arc::clone(&threshold.flow), measure, value, limit, is_passed: value > limit })
    })
    .collect()
}

fn say(alert: &Alert) {
    let Alert { flow, measure, value, limit, is_passed } = alert;
    match is_passed {
        true => tracing::warn!(%flow, measure = measure.word(), value, limit, "a threshold is passed"),
        false => {
            tracing::info!(%flow, measure = measure.word(), value, limit, "a threshold is no longer passed")
        }
    }
}
