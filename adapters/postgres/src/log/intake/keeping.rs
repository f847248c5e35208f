//! How far everything is durable: kept, and told to the server.

use std::time::{Duration, Instant};

use tracing::info;
use uuid::Uuid;
use vestibule_core::fault::Fault;

use super::{
    super::{ledger::Mark, position::Reading, side::Signal},
    Beside, LogIntake, Phase, REPORTING, clock,
};
use crate::database::fault;

/// After so long a position that moved is kept.
const KEEPING: Duration = Duration::from_millis(100);
/// After so long the position of a log without events for us is kept.
const IDLING: Duration = Duration::from_secs(1);

impl LogIntake {
    /// What is due: the position, a word to the server, a look at the slot and at what people asked for.
    pub(super) async fn tend(&mut self) -> Result<(), Fault> {
        self.advance(false).await?;
        if self.reported.elapsed() >= REPORTING {
            self.report().await?;
        }
        let signal = self.side.look().await.map_err(|it| fault(&self.place, it))?;
        if let Some(Signal { id, from, to }) = signal
            && let Phase::Stream { beside: beside @ None } = &mut self.phase
        {
            info!(source = %self.name, signal = id, "rows are read again");
            let reading = Reading { run: Uuid::now_v7(), after: None, from, to, signal: Some(id) };
            self.position.reading = Some(reading.clone());
            self.is_moved = true;
            *beside = Some(Box::new(Beside::new(reading)));
        }
        Ok(())
    }

    /// Keeps how far everything is durable, and tells the server.
    pub(super) async fn advance(&mut self, is_settling: bool) -> Result<(), Fault> {
        let mut is_ours = false;
        while let Some(mark) = self.ledger.reached() {
            match mark {
                Mark::Log(end) if end > self.position.lsn => {
                    self.position.lsn = end;
                    self.is_moved = true;
                }
                Mark::Log(_) => {}
                Mark::Row(key) => {
                    if let Some(reading) = &mut self.position.reading {
                        reading.after = Some(key);
                    }
                    (self.is_moved, is_ours) = (true, true);
                }
                Mark::Read => {
                    self.finished = Some(self.position.reading.take().and_then(|it| it.signal));
                    (self.is_moved, is_ours) = (true, true);
                }
            }
        }
        if self.finished.is_some() {
            return self.finish_reading().await;
        }
        // While more is on its way, not every settlement is worth a word of its own.
        let is_last = is_settling && self.ledger.waiting() == 0;
        let pause = if is_ours || self.ledger.waiting() > 0 { KEEPING } else { self.pause() };
        if !self.is_moved || (!is_last && self.kept.elapsed() < pause) {
            return Ok(());
        }
        self.keep().await?;
        self.report().await
    }

    /// A log that moves fast is not held for a second.
    fn pause(&self) -> Duration {
        let behind = self.received.0.saturating_sub(self.position.lsn.0);
        if behind > 0 { KEEPING } else { IDLING }
    }

    pub(super) async fn keep(&mut self) -> Result<(), Fault> {
        if self.position.columns != self.decoder.known {
            self.position.columns.clone_from(&self.decoder.known);
        }
        self.positions.keep(&self.name, self.position.text()).await?;
        self.confirmed = self.position.lsn;
        self.kept = Instant::now();
        self.is_moved = false;
        Ok(())
    }

    pub(super) async fn report(&mut self) -> Result<(), Fault> {
        self.reported = Instant::now();
        if let Phase::Stream { .. } = self.phase {
            self.wire.report(self.received.0.max(self.confirmed.0), self.confirmed.0, clock());
            self.wire.flush().await.map_err(|it| fault(&self.place, it))?;
        }
        Ok(())
    }
}
