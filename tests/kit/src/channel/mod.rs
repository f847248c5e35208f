//! The conformance suite of channels: what every [`Source`], [`Intake`] and [`Returner`] promises, one case a promise.
//!
//! A case ends with what went wrong instead of a panic, so that the suite can be run over broken fakes too.
//!
//! ```ignore
//! for case in vestibule_testkit::channel::CASES {
//!     case.check(new_world()).unwrap();
//! }
//! ```

mod receiving;
mod returning;
mod settling;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use vestibule_core::{
    job::Place,
    ports::{Intake, Receipt, Received, Returner, Settlement, Source},
};

pub use crate::job_store::{Broken, Kept};

/// A source and a returner on one and the same other side, which is all new.
pub trait World: Send + Sync {
    /// Reads from an empty queue. Gives a document up when it was put off more than twice.
    fn source(&self) -> Arc<dyn Source>;
    /// Sends results.
    fn returner(&self) -> Arc<dyn Returner>;
    /// Puts letters into the source's queue, in this order, durably.
    fn send(&self, letters: Vec<Letter>) -> BoxFuture<'_, Result<(), Broken>>;
    /// A place where results arrive.
    fn place(&self) -> Place;
    /// A place that nothing reaches.
    fn nowhere(&self) -> Place;
    /// Takes everything out that has arrived at the place.
    fn arrived(&self) -> BoxFuture<'_, Result<Vec<Letter>, Broken>>;
    /// Takes everything out that is among the source's dead letters.
    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<Letter>, Broken>>;
}

/// A message as the other side writes and reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// The bytes.
    pub body: Vec<u8>,
    /// Media type, with its character set.
    pub content_type: Option<String>,
    /// The sender's name for it.
    pub id: Option<String>,
    /// What answers are correlated by.
    pub correlation: Option<String>,
    /// What stands beside it.
    pub headers: BTreeMap<String, String>,
}

impl Letter {
    /// A letter of this name and text, in Latin-1 XML.
    pub fn new(id: &str, body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            content_type: Some("text/xml; charset=iso-8859-1".into()),
            id: Some(id.into()),
            ..Self::default()
        }
    }
}

/// One promise.
pub struct Case {
    /// The promise, as a sentence with underscores.
    pub name: &'static str,
    run: fn(Arc<dyn World>) -> BoxFuture<'static, Kept>,
}

impl Case {
    /// Checks the promise in a world of its own. To be awaited inside a tokio runtime with more than one thread.
    pub async fn check(&self, world: Arc<dyn World>) -> Kept {
        let ended = timeout(Duration::from_secs(60), (self.run)(world)).await;
        ended.unwrap_or_else(|_| Err(Broken("still waiting after a minute".into())))
    }
}

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: |world| Box::pin($module::$name(world)) }),*]
    };
}

/// Every promise.
pub const CASES: &[Case] = cases![
    receiving::documents_come_in_their_order,
    receiving::a_batch_is_never_longer_than_asked_for,
    receiving::what_is_there_comes_without_waiting_for_more,
    receiving::what_comes_later_ends_the_waiting,
    receiving::a_call_that_is_dropped_loses_nothing,
    receiving::a_document_is_what_was_sent,
    receiving::nobody_gets_what_another_has,
    settling::dropped_documents_are_delivered_again,
    settling::accepted_documents_do_not_come_again,
    settling::each_document_is_settled_for_itself,
    settling::what_is_put_off_comes_after_its_time_and_not_before,
    settling::what_is_put_off_holds_up_nobody,
    settling::what_is_put_off_too_often_is_a_dead_letter,
    settling::a_dead_letter_says_why,
    returning::results_arrive_in_their_order,
    returning::a_result_has_the_same_name_each_time,
    returning::what_reaches_nobody_may_be_tried_again_and_the_others_arrive,
    returning::a_refusal_says_why,
    returning::a_dead_letter_is_the_document_with_its_findings,
];

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a test waits for what must not come.
const MOMENT: Duration = Duration::from_millis(700);

fn expect(holds: bool, promise: &str) -> Kept {
    if holds { Ok(()) } else { Err(Broken(promise.to_owned())) }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Kept {
    if found == expected { Ok(()) } else { Err(Broken(format!("{what}: {found:?}, expected {expected:?}"))) }
}

async fn open(world: &Arc<dyn World>) -> Result<Box<dyn Intake>, Broken> {
    Ok(world.source().open(Arc::new(crate::scripted_channel::Nowhere)).await?)
}

/// Letters `a0`, `a1`, …, each with its name as its text.
fn letters(name: &str, many: usize) -> Vec<Letter> {
    let names = (0..many).map(|it| format!("{name}{it}"));
    names.map(|it| Letter::new(&it, it.as_bytes())).collect()
}

/// The next so many documents, in as many calls as it takes.
async fn take(intake: &mut Box<dyn Intake>, many: usize) -> Result<Vec<Received>, Broken> {
    let mut taken = Vec::new();
    while taken.len() < many {
        let next = timeout(PATIENCE, intake.next(many - taken.len())).await;
        taken.extend(next.map_err(|_| Broken(format!("only {} of {many} came", taken.len())))??);
    }
    Ok(taken)
}

/// What comes within a moment.
async fn glance(intake: &mut Box<dyn Intake>) -> Result<Vec<Received>, Broken> {
    let until = Instant::now() + MOMENT;
    let mut seen = Vec::new();
    while let Ok(next) = tokio::time::timeout_at(until, intake.next(100)).await {
        seen.extend(next?);
    }
    Ok(seen)
}

fn bodies(received: &[Received]) -> Vec<String> {
    received.iter().map(|it| String::from_utf8_lossy(&it.document.bytes).into_owned()).collect()
}

fn texts(letters: &[Letter]) -> Vec<String> {
    letters.iter().map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect()
}

fn all(received: Vec<Received>, settlement: impl Fn() -> Settlement) -> Vec<(Receipt, Settlement)> {
    received.into_iter().map(|it| (it.receipt, settlement())).collect()
}

/// Looks until so many letters are there, or for as long as a test is patient.
async fn seen<'w>(
    look: impl Fn() -> BoxFuture<'w, Result<Vec<Letter>, Broken>>,
    many: usize,
) -> Result<Vec<Letter>, Broken> {
    let start = Instant::now();
    let mut found = Vec::new();
    loop {
        found.extend(look().await?);
        if found.len() >= many || start.elapsed() > PATIENCE {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
