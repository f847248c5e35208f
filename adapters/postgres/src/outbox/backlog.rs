//! A backlog that is too long: told, or cut at its old end. The application never waits for it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use super::{drain::Place, window::Cursor};
use crate::{database::Overflow, error::Trouble};

/// How often it is measured where it may be too long.
const EVERY: Duration = Duration::from_secs(10);
/// How often the same is told.
const TOLD: Duration = Duration::from_secs(600);
/// Rows that are dropped at once.
const MOST: i64 = 100_000;

/// When it was measured and told last.
#[derive(Default)]
pub(super) struct Backlog {
    measured: Option<Instant>,
    told: Option<Instant>,
}

impl Backlog {
    /// It may be too long, and was not measured for a while. `highest`: the highest number in the outbox.
    pub fn is_due(&self, place: &Place, cursor: &Cursor, highest: i64) -> bool {
        let span = u64::try_from(highest.saturating_sub(cursor.floor)).unwrap_or_default();
        span > place.receive.backlog && self.measured.is_none_or(|it| it.elapsed() >= EVERY)
    }

    pub fn measured(&mut self) {
        self.measured = Some(Instant::now());
    }

    /// True where it is to be told now.
    pub fn tells(&mut self) -> bool {
        let is_due = self.told.is_none_or(|it| it.elapsed() >= TOLD);
        if is_due {
            self.told = Some(Instant::now());
        }
        is_due
    }
}

/// Measures the backlog and, where the mapping says so, drops what is too much of it, the oldest first, and writes down
/// how many. Never those that `held` names. The rows that were too many.
pub(super) async fn measure(
    client: &Client,
    place: &Place,
    captures: &[i32],
    floor: i64,
    held: &[i64],
) -> Result<i64, Trouble> {
    let most = i64::try_from(place.receive.backlog).unwrap_or(i64::MAX);
    let few = most.saturating_add(MOST);
    let row = client.query_one(&place.statements.count, &[&captures, &floor, &few]).await?;
    let count: i64 = row.try_get(0)?;
    let surplus = count.saturating_sub(most).max(0);
    if surplus > 0 && place.receive.overflow == Overflow::Drop {
        client.execute(&place.statements.drop, &[&captures, &held, &surplus]).await?;
    }
    Ok(surplus)
}
