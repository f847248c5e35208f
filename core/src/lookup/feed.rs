//! What reads a look-up, again and again.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Keys, MOST_KEYS, Standing, Table};
use crate::{
    fault::{Fault, FaultCode},
    ports::Lookup,
};

/// Longest time of one reading.
const LIMIT: Duration = Duration::from_secs(300);
/// First and longest pause after a reading that failed; never longer than the look-up's own.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Keys that are worked on before others get their turn.
const BITE: usize = 8192;
/// So many times its own pause keys may be used that could not be read again.
const LASTS: u32 = 3;

/// Reference data, and the tables that are filled with it.
pub struct Feed {
    lookup: Arc<dyn Lookup>,
    tables: Vec<Arc<Table>>,
}

impl Feed {
    /// Fills these tables, which all want the same, from one reading.
    pub fn new(lookup: Arc<dyn Lookup>, tables: Vec<Arc<Table>>) -> Self {
        Self { lookup, tables }
    }

    /// One more table that wants the same.
    pub fn share(&mut self, table: Arc<Table>) {
        self.tables.push(table);
    }

    /// For findings and logs.
    pub fn name(&self) -> &str {
        self.lookup.name()
    }

    /// Reads once. The tables have the keys then, or know why not.
    pub async fn read(&self) -> Result<usize, Fault> {
        let slow =
            || Fault::new(FaultCode::Unavailable, "it took too long").recovery(crate::fault::Recovery::Retry);
        let read = match timeout(LIMIT, self.lookup.keys(MOST_KEYS)).await {
            Ok(Ok(keys)) if keys.len() > MOST_KEYS => {
                Err(Fault::new(FaultCode::TooLarge, "it has too many keys"))
            }
            Ok(read) => read,
            Err(_) => Err(slow()),
        };
        match read {
            Ok(texts) => {
                let count = texts.len();
                let keys = Arc::new(self.digest(texts).await);
                let lasts = self.lookup.refresh().saturating_mul(LASTS);
                self.tables.iter().for_each(|it| it.fill(Arc::clone(&keys), lasts));
                tracing::debug!(lookup = self.name(), keys = count, "a look-up was read");
                Ok(count)
            }
            Err(fault) => {
                let why = format!("{}: {}", fault.code.code(), fault.message);
                tracing::warn!(lookup = self.name(), %why, "a look-up could not be read");
                self.tables.iter().for_each(|it| it.fail(&why));
                Err(fault)
            }
        }
    }

    async fn digest(&self, texts: Vec<Box<str>>) -> Keys {
        let wanted = self.tables.iter().fold(0, |all, it| all | it.wanted());
        let mut keys = Keys::default();
        for (at, text) in texts.into_iter().enumerate() {
            keys.add(&text, wanted);
            if at % BITE == BITE - 1 {
                tokio::task::yield_now().await;
            }
        }
        keys.finish();
        keys
    }

    /// Reads again and again, at once where that was not done yet, for the runner to keep. Never ends.
    pub async fn refresh_forever(&self) {
        let refresh = self.lookup.refresh().max(AGAIN.0);
        let mut pause = AGAIN.0;
        if self.tables.iter().all(|it| matches!(it.standing(), Standing::Loaded(_))) {
            sleep(refresh).await;
        }
        loop {
            let next = if self.read().await.is_ok() {
                pause = AGAIN.0;
                refresh
            } else {
                let now = pause.min(refresh);
                pause = pause.saturating_mul(2).min(AGAIN.1);
                now
            };
            sleep(next).await;
        }
    }
}
