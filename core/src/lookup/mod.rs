//! Look-ups: reference data of a database in memory, for rules such as `policy_no in policies`.
//!
//! Keys are compared as what the rule's value is: texts to the letter, but for blanks at the end; numbers by their value
//! (`1.0` is `1.00`), dates as days, yes and no. A table that was not read, is too old or too large gives no answer at
//! all: a rule that asks it can not be computed, and that is a finding (`G120`), never a pass.

mod feed;
mod keys;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

pub use feed::Feed;
pub use keys::Keys;
pub(crate) use keys::Kind;

use crate::rule::Operand;

/// Most keys of one look-up: 80 MB of memory, twice that while they are read again.
pub const MOST_KEYS: usize = 5_000_000;

/// The keys of one look-up of a mapping, as they were read last. Shared by the rules that ask it and by what reads it.
pub struct Table {
    name: Arc<str>,
    /// The kinds of values that rules look up, as bits.
    wanted: AtomicU8,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    keys: Option<Arc<Keys>>,
    /// When they are too old to be used.
    until: Option<Instant>,
    /// Safe text: why the last reading failed.
    failure: Option<Box<str>>,
}

/// Where a look-up stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has read it yet.
    Never,
    /// It was read, with so many keys.
    Loaded(usize),
    /// It was read, but not at the last try: the keys are those of before.
    Stale(Box<str>),
    /// There are no keys, or they are too old.
    Failed(Box<str>),
}

/// Why a look-up has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the look-up `{name}` {why}")]
pub struct Unread {
    /// Its name.
    pub name: Arc<str>,
    /// Why, without any value.
    pub why: Box<str>,
}

impl Table {
    /// A table that nobody has read yet.
    pub fn new(name: impl Into<Arc<str>>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), wanted: AtomicU8::new(0), held: RwLock::default() })
    }

    /// Its clean name in the mapping.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that a rule looks up values of this kind. Before the table is read.
    pub(crate) fn want(&self, kind: Kind) {
        self.wanted.fetch_or(kind.bit(), Ordering::Relaxed);
    }

    fn wanted(&self) -> u8 {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Replaces what was there. `lasts`: how long it may be used when it can not be read again.
    fn fill(&self, keys: Arc<Keys>, lasts: Duration) {
        let until = Instant::now().checked_add(lasts);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held { keys: Some(keys), until, failure: None };
    }

    /// Says that it could not be read; what was there stays until it is too old.
    fn fail(&self, why: &str) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.failure = Some(why.into());
    }

    /// Where it stands now.
    pub fn standing(&self) -> Standing {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        match (&held.keys, &held.failure) {
            (None, None) => Standing::Never,
            (Some(_), failure) if held.until.is_none_or(|it| it <= Instant::now()) => {
                Standing::Failed(failure.clone().unwrap_or_else(|| "it was not read again".into()))
            }
            (Some(keys), None) => Standing::Loaded(keys.count()),
            (Some(_), Some(failure)) => Standing::Stale(failure.clone()),
            (None, Some(failure)) => Standing::Failed(failure.clone()),
        }
    }

    /// Whether this value is one of its keys; `None` where there is no value.
    pub(crate) fn has(&self, value: &Operand<'_>) -> Result<Option<bool>, Unread> {
        let unread = |why: Box<str>| Unread { name: Arc::clone(&self.name), why };
        if *value == Operand::Missing {
            return Ok(None);
        }
        match self.standing() {
            Standing::Never => Err(unread("was not read".into())),
            Standing::Failed(why) => Err(unread(format!("could not be read: {why}").into())),
            Standing::Loaded(_) | Standing::Stale(_) => {
                let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
                Ok(held.keys.as_ref().and_then(|it| it.has(value)))
            }
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).field("standing", &self.standing()).finish()
    }
}

/// The same table, not one with the same keys.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
