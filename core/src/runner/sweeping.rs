//! Retention: finished work is forgotten when its time is over.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::{Retention, Runner, ending::cause};
use crate::{fault::Fault, job::Sweep, ports::JobStore};

/// How often it is looked for what is to be forgotten.
const EVERY: Duration = Duration::from_secs(60);
/// Most jobs that are forgotten at once.
const BITE: usize = 500;

impl Runner {
    /// Forgets finished jobs, each minute, while this process alone does so among all that share the store.
    pub(super) async fn sweep(self: Arc<Self>, store: Arc<dyn JobStore>) {
        loop {
            // Cancel-safe: both only wait.
            tokio::select! { () = sleep(EVERY) => {}, () = self.tasks.draining() => return }
            if !store.lead("sweep").await.unwrap_or(false) {
                continue;
            }
            for retention in &self.settings.retention {
                match self.sweep_flow(&store, retention).await {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(flow = %retention.flow, jobs, "finished jobs were forgotten"),
                    Err(fault) => {
                        tracing::warn!(flow = %retention.flow, %fault, cause = cause(&fault), "finished jobs could not be forgotten");
                    }
                }
            }
        }
    }

    /// Small bites, with as long a pause after each: others use the store as well.
    async fn sweep_flow(&self, store: &Arc<dyn JobStore>, retention: &Retention) -> Result<u64, Fault> {
        let mut all = 0_u64;
        let until = Instant::now() + EVERY;
        loop {
            let began = Instant::now();
            let sweep = Sweep {
                flow: Arc::clone(&retention.flow),
                finished_before: ago(retention.finished),
                dead_before: ago(retention.dead),
                most: BITE,
            };
            if sweep.finished_before.is_none() && sweep.dead_before.is_none() {
                return Ok(all);
            }
            let gone = store.sweep(sweep).await?;
            all = all.saturating_add(gone);
            if gone < BITE as u64 || Instant::now() >= until || self.tasks.is_draining() {
                return Ok(all);
            }
            sleep(began.elapsed().max(Duration::from_millis(1))).await;
        }
    }
}

fn ago(kept: Option<Duration>) -> Option<Timestamp> {
    let kept = SignedDuration::try_from(kept?).ok()?;
    Timestamp::now().checked_sub(kept).ok()
}
