//! What an operator may choose.

use std::{num::NonZeroUsize, time::Duration};

/// Settings of the store. The defaults suit one machine; durability is not among the choices.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a lease lasts that is neither renewed nor ended.
    pub lease: Duration,
    /// Changes that may wait for the writer; further callers wait for room.
    pub queue: NonZeroUsize,
    /// Most changes that one commit takes together.
    pub group: NonZeroUsize,
    /// How long a change waits for another process that holds the database (a backup, a curious `sqlite3`).
    pub busy_timeout: Duration,
    /// Page cache of the writer in KiB; the reader takes a quarter of it.
    pub cache_kib: u32,
    /// The write-ahead log is copied into the database when it has grown to so many pages of 4 KiB.
    pub checkpoint_pages: u32,
    /// The write-ahead log's file is cut back to this size after a checkpoint.
    pub wal_limit_bytes: u32,
    /// Another `synchronous` than the right one: the mutant that proves the test of power cuts.
    #[cfg(test)]
    pub(crate) synchronous: &'static str,
}

impl Settings {
    /// FULL, not NORMAL: with NORMAL a power cut takes jobs that were acknowledged.
    pub(crate) fn synchronous(&self) -> &'static str {
        #[cfg(test)]
        return self.synchronous;
        #[cfg(not(test))]
        "FULL"
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            queue: NonZeroUsize::new(1024).unwrap_or(NonZeroUsize::MIN),
            group: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
            busy_timeout: Duration::from_secs(5),
            cache_kib: 2048,
            checkpoint_pages: 1000,
            wal_limit_bytes: 16 * 1024 * 1024,
            #[cfg(test)]
            synchronous: "FULL",
        }
    }
}
