//! An open source: what is common to all ways of finding changes. A reader finds them; this hands them over, keeps what
//! is to be delivered again, and says which are settled.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use vestibule_core::{
    change::{Change, MEDIA_TYPE},
    document::{Document, IdempotencyKey},
    fault::Fault,
    job::{Place, ReturnAddress},
    ports::{Intake, Receipt, Received, Settlement},
};

use crate::{error::Trouble, line::Line};

/// Most that one question asks for.
const MOST: usize = 512;
/// Where a question starts, and goes back to when rows are big: values of hostile size come few at a time.
const FEWEST: usize = 16;
/// What one answer should hold at most, in bytes.
const PAGE: usize = 4 * 1024 * 1024;
/// Longest that a document which is to be tried again stays away.
const LONGEST_AWAY: Duration = Duration::from_secs(3600);

/// A change with its names.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub change: Change,
    /// The same each time that the same change is found.
    pub key: String,
    /// The reader's own name for it; later ones are greater.
    pub mark: Mark,
}

/// Where an event stands, in its reader's words.
pub(crate) type Mark = Arc<str>;

/// Finds changes, in the order of the database for each key.
pub(crate) trait Reader: Send {
    /// Up to about `most` changes after those that were found before; none: there is nothing now.
    fn fetch<'a>(&'a mut self, line: &'a mut Line, most: usize)
    -> BoxFuture<'a, Result<Vec<Event>, Trouble>>;
    /// These are settled; `up_to`: the last of an unbroken run from the first on, where that moved.
    fn settled<'a>(
        &'a mut self,
        line: &'a mut Line,
        marks: Vec<Mark>,
        up_to: Option<Mark>,
    ) -> BoxFuture<'a, Result<(), Trouble>>;
}

type Parts = (Line, Box<dyn Reader>);

/// Where the line and the reader are.
enum State {
    /// Here.
    Idle(Box<Parts>),
    /// In a question that goes on although whoever waited for it went away.
    Busy(BoxFuture<'static, (Parts, Result<Vec<Event>, Trouble>)>),
    /// Nowhere: an error ended it.
    Over,
}

/// An event that was handed over.
struct Held {
    received: Received,
    mark: Mark,
    is_settled: bool,
}

/// An open source.
pub(crate) struct Changes {
    state: State,
    /// Found, not yet handed over.
    pending: VecDeque<Event>,
    /// Handed over, by receipt.
    held: BTreeMap<u64, Held>,
    /// To be handed over again, by when.
    away: Vec<(Instant, u64)>,
    last: u64,
    page: usize,
    poll: Duration,
    deliver: Option<Place>,
}

impl Changes {
    pub fn new(line: Line, reader: Box<dyn Reader>, poll: Duration, deliver: Option<Place>) -> Self {
        Self {
            state: State::Idle(Box::new((line, reader))),
            pending: VecDeque::new(),
            held: BTreeMap::new(),
            away: Vec::new(),
            last: 0,
            page: FEWEST,
            poll,
            deliver,
        }
    }

    async fn some(&mut self, most: usize) -> Result<Vec<Received>, Trouble> {
        loop {
            let mut found = self.back(most);
            while found.len() < most
                && let Some(event) = self.pending.pop_front()
            {
                found.push(self.hand_over(event));
            }
            if !found.is_empty() {
                return Ok(found);
            }
            if self.ask(most.clamp(1, MOST)).await? == 0 {
                let next = self.away.iter().map(|(at, _)| *at).min();
                let until = Instant::now() + self.poll;
                // Cancel-safe: nothing is kept but the state of `self`.
                tokio::time::sleep_until(next.map_or(until, |it| it.min(until))).await;
            }
        }
    }

    /// Asks, or goes on with what was asked; how many were found.
    async fn ask(&mut self, most: usize) -> Result<usize, Trouble> {
        if matches!(self.state, State::Idle(_))
            && let State::Idle(parts) = std::mem::replace(&mut self.state, State::Over)
        {
            let page = self.page.min(most.max(FEWEST));
            let (mut line, mut reader) = *parts;
            self.state = State::Busy(Box::pin(async move {
                let found = reader.fetch(&mut line, page).await;
                ((line, reader), found)
            }));
        }
        let State::Busy(asked) = &mut self.state else {
            return Err(Trouble::Connection("this source is over".into()));
        };
        let (parts, found) = asked.await;
        self.state = State::Over;
        let found = found?;
        self.state = State::Idle(Box::new(parts));
        let bytes: usize = found.iter().map(|it| it.change.size()).sum();
        self.page = if bytes > PAGE { FEWEST } else { (self.page * 2).min(MOST) };
        let count = found.len();
        self.pending.extend(found);
        Ok(count)
    }

    fn back(&mut self, most: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut found = Vec::new();
        let mut still = Vec::with_capacity(self.away.len());
        for (at, receipt) in std::mem::take(&mut self.away) {
            match self.held.get_mut(&receipt).filter(|_| at <= now && found.len() < most) {
                Some(held) => {
                    held.received.redelivered = held.received.redelivered.saturating_add(1);
                    found.push(again(&held.received));
                }
                None => still.push((at, receipt)),
            }
        }
        self.away = still;
        found
    }

    fn hand_over(&mut self, event: Event) -> Received {
        self.last += 1;
        let mut document = Document::new(event.change.to_bytes(), MEDIA_TYPE, Timestamp::now());
        let key = IdempotencyKey::or_hash(&event.key);
        let message = key.as_str().into();
        document.key = Some(key);
        let return_to = self.deliver.clone().map(|reply| ReturnAddress {
            reply: Some(reply),
            message: Some(message),
            ..ReturnAddress::default()
        });
        let received = Received { document, return_to, redelivered: 0, receipt: Receipt(self.last) };
        let given = again(&received);
        self.held.insert(self.last, Held { received, mark: event.mark, is_settled: false });
        given
    }

    async fn settle_all(&mut self, settled: Vec<(Receipt, Settlement)>) -> Result<(), Trouble> {
        let mut marks = Vec::with_capacity(settled.len());
        for (Receipt(number), settlement) in settled {
            let Some(held) = self.held.get_mut(&number) else { continue };
            match settlement {
                Settlement::Accepted => {}
                Settlement::Later(delay) => {
                    self.away.push((Instant::now() + delay.min(LONGEST_AWAY), number));
                    continue;
                }
                Settlement::DeadLetter { cause, findings } => {
                    let key = held.received.document.key.as_ref().map(IdempotencyKey::as_str);
                    tracing::error!(
                        key,
                        cause,
                        findings = findings.len(),
                        "a change can not be worked on and is left out"
                    );
                }
            }
            held.is_settled = true;
            marks.push(Arc::clone(&held.mark));
        }
        let mut up_to = None;
        while let Some(first) = self.held.first_entry()
            && first.get().is_settled
        {
            up_to = Some(first.remove().mark);
        }
        if marks.is_empty() {
            return Ok(());
        }
        // A question that is under way ends first, within its limit: the line takes one thing at a time.
        if matches!(self.state, State::Busy(_)) {
            self.ask(MOST).await?;
        }
        let State::Idle(parts) = &mut self.state else {
            return Err(Trouble::Connection("this source is over".into()));
        };
        let (line, reader) = &mut **parts;
        let done = reader.settled(line, marks, up_to).await;
        if done.is_err() {
            self.state = State::Over;
        }
        done
    }
}

impl Intake for Changes {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        Box::pin(async move { self.some(most.max(1)).await.map_err(Fault::from) })
    }

    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.settle_all(settled).await.map_err(Fault::from) })
    }
}

fn again(received: &Received) -> Received {
    Received {
        document: received.document.clone(),
        return_to: received.return_to.clone(),
        redelivered: received.redelivered,
        receipt: Receipt(received.receipt.0),
    }
}

/// About how many bytes a change holds.
trait Size {
    fn size(&self) -> usize;
}

impl Size for Change {
    fn size(&self) -> usize {
        use vestibule_core::change::{Cell, Row};
        let row = |row: &Option<Row>| -> usize {
            let cells = row.iter().flat_map(|it| &it.0);
            cells
                .map(|(_, cell)| match cell {
                    Cell::Text(text) | Cell::Json(text) => text.len(),
                    _ => 8,
                })
                .sum()
        };
        row(&self.after) + row(&self.before)
    }
}
