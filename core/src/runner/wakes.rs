//! Who is told that there may be something to claim.

use std::sync::Arc;

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Wakes {
    /// There may be jobs to work on, or room for them.
    pub claims: Arc<Notify>,
    /// There may be results to hand back.
    pub deliveries: Notify,
}

impl Wakes {
    pub(super) fn all(&self) {
        self.claims.notify_one();
        self.deliveries.notify_one();
    }
}
