//! A broker in memory that does what a test says: a source, a returner, and the mistakes that they may make.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use vestibule_core::{
    document::{AttributeKind, Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    job::{JobState, Place, Purpose, Remark, ReplyBody, ReturnAddress},
    ports::{Intake, Parcel, Positions, Receipt, Received, Returner, Settlement, Source, may_be_kept},
};

use crate::channel::{Broken, Letter, World};

/// How often a document is put off before it is given up.
const TRIES: u32 = 2;
const RETURNER: &str = "scripted";

/// What a [`ScriptedChannel`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Of two documents the later comes first.
    Swaps,
    /// Batches are longer than asked for.
    Overfills,
    /// A batch waits until it is full.
    WaitsForMore,
    /// What was taken for a call that is dropped is gone.
    LosesWithTheCall,
    /// Bytes are taken for UTF-8.
    Transcodes,
    /// Messages have no names.
    ForgetsNames,
    /// Two readers have the same document.
    SharesOut,
    /// What is dropped is done.
    DropsForGood,
    /// What is accepted comes again.
    ForgetsAccepted,
    /// What is accepted takes with it everything before it.
    AcceptsAllBefore,
    /// What is put off comes at once.
    Hurries,
    /// What is put off never comes.
    PutsOffForEver,
    /// While something is put off nothing else comes.
    Blocks,
    /// Nothing is ever given up.
    NeverGivesUp,
    /// Dead letters do not say why.
    SaysNothing,
    /// Results are sent in no order.
    ReversesResults,
    /// Each time a result has another name.
    RenamesResults,
    /// What reaches nobody counts as sent.
    BelievesItself,
    /// One that reaches nobody makes failures of all.
    FailsTogether,
    /// What reaches nobody is given up.
    GivesUp,
    /// What is refused is an empty message.
    RefusesSilently,
    /// The dead letter is the result.
    BuriesTheResult,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Self; 22] = [
        Self::Swaps,
        Self::Overfills,
        Self::WaitsForMore,
        Self::LosesWithTheCall,
        Self::Transcodes,
        Self::ForgetsNames,
        Self::SharesOut,
        Self::DropsForGood,
        Self::ForgetsAccepted,
        Self::AcceptsAllBefore,
        Self::Hurries,
        Self::PutsOffForEver,
        Self::Blocks,
        Self::NeverGivesUp,
        Self::SaysNothing,
        Self::ReversesResults,
        Self::RenamesResults,
        Self::BelievesItself,
        Self::FailsTogether,
        Self::GivesUp,
        Self::RefusesSilently,
        Self::BuriesTheResult,
    ];
}

/// The broker. Cloned, it is the same one.
#[derive(Clone, Default)]
pub struct ScriptedChannel {
    state: Arc<Mutex<State>>,
    arrivals: Arc<Notify>,
    mistake: Option<Mistake>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    taken: BTreeMap<u64, Waiting>,
    tags: u64,
    dead: Vec<Letter>,
    results: Vec<Letter>,
}

#[derive(Clone)]
struct Waiting {
    letter: Letter,
    due: Instant,
    tries: u32,
}

impl ScriptedChannel {
    /// One that does everything right.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that makes this mistake.
    pub fn with(mistake: Mistake) -> Self {
        Self { mistake: Some(mistake), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn errs(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn place_of(name: &str) -> Place {
        Place { returner: RETURNER.into(), to: [("queue".to_owned(), name.to_owned())].into() }
    }

    /// How many documents were taken and not settled.
    pub fn unsettled(&self) -> usize {
        self.state().taken.len()
    }
}

impl World for ScriptedChannel {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    fn returner(&self) -> Arc<dyn Returner> {
        Arc::new(self.clone())
    }

    fn send(&self, letters: Vec<Letter>) -> BoxFuture<'_, Result<(), Broken>> {
        let new = letters.into_iter().map(|letter| Waiting { letter, due: Instant::now(), tries: 0 });
        self.state().queue.extend(new);
        self.arrivals.notify_waiters();
        Box::pin(async { Ok(()) })
    }

    fn place(&self) -> Place {
        Self::place_of("results")
    }

    fn nowhere(&self) -> Place {
        Self::place_of("nowhere")
    }

    fn arrived(&self) -> BoxFuture<'_, Result<Vec<Letter>, Broken>> {
        let arrived = std::mem::take(&mut self.state().results);
        Box::pin(async { Ok(arrived) })
    }

    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<Letter>, Broken>> {
        let dead = std::mem::take(&mut self.state().dead);
        Box::pin(async { Ok(dead) })
    }
}

impl Source for ScriptedChannel {
    fn name(&self) -> &str {
        RETURNER
    }

    fn open(&self, _: Arc<dyn Positions>) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        let intake = ScriptedIntake { channel: self.clone(), mine: Vec::new() };
        Box::pin(async { Ok(Box::new(intake) as Box<dyn Intake>) })
    }
}

/// Gives back what was not settled when it is dropped.
struct ScriptedIntake {
    channel: ScriptedChannel,
    mine: Vec<u64>,
}

impl Drop for ScriptedIntake {
    fn drop(&mut self) {
        let errs = |mistake| self.channel.errs(mistake);
        let mut state = self.channel.state();
        // From the last to the first, so that they stand in their order again.
        for tag in self.mine.drain(..).rev() {
            if let Some(taken) = state.taken.remove(&tag)
                && !errs(Mistake::DropsForGood)
            {
                state.queue.push_front(taken);
            }
        }
        drop(state);
        self.channel.arrivals.notify_waiters();
    }
}

impl Intake for ScriptedIntake {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        Box::pin(async move {
            loop {
                let channel = self.channel.clone();
                let arrival = channel.arrivals.notified();
                let taken = self.take(most);
                if !taken.is_empty() {
                    if channel.errs(Mistake::LosesWithTheCall) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    return Ok(taken);
                }
                let next =
                    channel.state().queue.iter().map(|it| it.due).filter(|it| *it > Instant::now()).min();
                let due = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
                // Cancel-safe: both only wait.
                tokio::select! { () = arrival => {}, () = sleep_until(due) => {} }
            }
        })
    }

    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        for (Receipt(tag), settlement) in settled {
            self.settle_one(tag, settlement);
        }
        self.channel.arrivals.notify_waiters();
        Box::pin(async { Ok(()) })
    }
}

impl ScriptedIntake {
    fn take(&mut self, most: usize) -> Vec<Received> {
        let errs = |mistake| self.channel.errs(mistake);
        let now = Instant::now();
        let mut state = self.channel.state();
        if errs(Mistake::Blocks) && state.queue.iter().any(|it| it.due > now) {
            return Vec::new();
        }
        let due = state.queue.iter().filter(|it| it.due <= now).count();
        if errs(Mistake::WaitsForMore) && due < most {
            return Vec::new();
        }
        let most = if errs(Mistake::Overfills) { due } else { most };
        let mut received = Vec::new();
        while received.len() < most
            && let Some(at) = state.queue.iter().position(|it| it.due <= now)
            && let Some(waiting) = state.queue.remove(at)
        {
            state.tags += 1;
            let tag = state.tags;
            received.push(self.channel.received(tag, &waiting));
            if errs(Mistake::SharesOut) {
                state.queue.push_back(Waiting { due: now + Duration::from_millis(50), ..waiting.clone() });
            }
            state.taken.insert(tag, waiting);
            self.mine.push(tag);
        }
        if errs(Mistake::Swaps) && received.len() > 1 {
            received.swap(0, 1);
        }
        received
    }

    fn settle_one(&mut self, tag: u64, settlement: Settlement) {
        let errs = |mistake| self.channel.errs(mistake);
        let mut state = self.channel.state();
        let Some(mut taken) = state.taken.remove(&tag) else { return };
        self.mine.retain(|it| *it != tag);
        match settlement {
            Settlement::Accepted if errs(Mistake::ForgetsAccepted) => state.queue.push_back(taken),
            Settlement::Accepted if errs(Mistake::AcceptsAllBefore) => {
                state.taken.retain(|it, _| *it > tag);
            }
            Settlement::Accepted => {}
            Settlement::Later(delay) => {
                if taken.tries >= TRIES && !errs(Mistake::NeverGivesUp) {
                    let cause = "V011: it was tried too often";
                    state.dead.push(self.channel.buried(taken.letter, cause, &[]));
                    return;
                }
                taken.tries += 1;
                let delay = if errs(Mistake::Hurries) { Duration::ZERO } else { delay };
                taken.due = Instant::now() + delay;
                if !errs(Mistake::PutsOffForEver) {
                    state.queue.push_back(taken);
                }
            }
            Settlement::DeadLetter { cause, findings } => {
                state.dead.push(self.channel.buried(taken.letter, &cause, &findings));
            }
        }
    }
}

impl ScriptedChannel {
    fn received(&self, tag: u64, waiting: &Waiting) -> Received {
        let Letter { body, content_type, id, correlation, headers } = &waiting.letter;
        let body = match self.mistake {
            Some(Mistake::Transcodes) => String::from_utf8_lossy(body).into_owned().into_bytes(),
            _ => body.clone(),
        };
        let said = content_type.as_deref().unwrap_or("application/octet-stream");
        let (media_type, charset) = said.split_once("; charset=").unwrap_or((said, ""));
        let mut document = Document::new(body, media_type, Timestamp::now());
        document.charset = (!charset.is_empty()).then(|| charset.into());
        let id = id.as_deref().filter(|_| !self.errs(Mistake::ForgetsNames));
        document.key = id.and_then(IdempotencyKey::new);
        document.attributes = headers
            .iter()
            .map(|(name, value)| vestibule_core::document::Attribute {
                kind: AttributeKind::Header,
                name: name.as_str().into(),
                value: value.as_str().into(),
            })
            .collect();
        let return_to = ReturnAddress {
            reply: None,
            dead_letter: Some(Self::place_of("dead")),
            message: id.map(Into::into),
            correlation: correlation.as_deref().map(Into::into),
        };
        Received { document, return_to: Some(return_to), redelivered: waiting.tries, receipt: Receipt(tag) }
    }

    fn buried(&self, mut letter: Letter, cause: &str, findings: &[Remark]) -> Letter {
        if !self.errs(Mistake::SaysNothing) {
            said(&mut letter, cause, findings);
        }
        letter
    }

    fn letter(&self, parcel: &Parcel) -> Letter {
        let job = &parcel.job;
        let fresh = self.errs(Mistake::RenamesResults);
        let id = if fresh { vestibule_core::job::JobId::fresh().to_string() } else { parcel.message_id() };
        let mut letter =
            Letter { id: Some(id), correlation: Some(parcel.correlation_id()), ..Letter::default() };
        let (cause, findings) = match &job.state {
            JobState::Dead { cause, findings } => (cause.clone(), findings.clone()),
            state => {
                let findings = state.reply().map(|it| it.findings.clone()).unwrap_or_default();
                ("V005: the record was refused".to_owned(), findings)
            }
        };
        let written = job.state.reply().map(|it| (&it.body, it.outcome.word()));
        let is_result = parcel.purpose == Purpose::Result || self.errs(Mistake::BuriesTheResult);
        match (is_result, written) {
            (true, Some((ReplyBody::Written { media_type, bytes }, word))) => {
                letter.body = bytes.to_vec();
                letter.content_type = Some(media_type.to_string());
                letter.headers.insert("x-vestibule-outcome".into(), word.into());
            }
            (true, _) if self.errs(Mistake::RefusesSilently) => {}
            (true, _) => said(&mut letter, &cause, &findings),
            (false, _) => {
                let document = &job.document;
                let charset = document.charset.as_deref().map(|it| format!("; charset={it}"));
                letter.content_type = Some(format!("{}{}", document.media_type, charset.unwrap_or_default()));
                letter.body = document.bytes.to_vec();
                let headers =
                    document.attributes.iter().map(|it| (it.name.to_string(), it.value.to_string()));
                letter.headers.extend(headers);
                said(&mut letter, &cause, &findings);
            }
        }
        letter.headers.insert("x-vestibule-ticket".into(), job.id.to_string());
        letter
    }
}

fn said(letter: &mut Letter, cause: &str, findings: &[Remark]) {
    let fault = cause.split(':').next().unwrap_or_default();
    letter.headers.insert("x-vestibule-fault".into(), fault.into());
    letter.headers.insert("x-vestibule-cause".into(), cause.into());
    let findings = serde_json::to_string(findings).unwrap_or_default();
    letter.headers.insert("x-vestibule-findings".into(), findings);
}

impl Returner for ScriptedChannel {
    fn name(&self) -> &str {
        RETURNER
    }

    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        let is_lost = |it: &Parcel| it.place.to.get("queue").is_none_or(|it| it == "nowhere");
        let any_lost = parcels.iter().any(is_lost);
        let mut sent = Vec::new();
        let results = parcels
            .iter()
            .map(|parcel| {
                if !is_lost(parcel) {
                    sent.push(self.letter(parcel));
                }
                let fails = is_lost(parcel) && !self.errs(Mistake::BelievesItself);
                if fails || (any_lost && self.errs(Mistake::FailsTogether)) {
                    let recovery =
                        if self.errs(Mistake::GivesUp) { Recovery::GiveUp } else { Recovery::Retry };
                    return Err(Fault::new(FaultCode::Undeliverable, "nobody is there").recovery(recovery));
                }
                Ok(())
            })
            .collect();
        if self.errs(Mistake::ReversesResults) {
            sent.reverse();
        }
        self.state().results.extend(sent);
        Box::pin(async { results })
    }
}

/// Keeps no position.
#[derive(Default)]
pub struct Nowhere;

impl Positions for Nowhere {
    fn kept<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn keep<'a>(&'a self, _: &'a str, _: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Keeps positions in memory, by the rules of the job stores. Cloned, it is the same one: a source that is opened again
/// finds what it kept.
#[derive(Clone, Default)]
pub struct Kept {
    held: Arc<Mutex<HeldPositions>>,
}

#[derive(Default)]
struct HeldPositions {
    texts: BTreeMap<String, String>,
    history: Vec<(String, String)>,
    refuses: bool,
}

impl Kept {
    fn held(&self) -> MutexGuard<'_, HeldPositions> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept under this name.
    pub fn at(&self, name: &str) -> Option<String> {
        self.held().texts.get(name).cloned()
    }

    /// Everything that was ever kept, in its order, with its names.
    pub fn history(&self) -> Vec<(String, String)> {
        self.held().history.clone()
    }

    /// From now on it refuses to read and to keep, as a store that can not be reached; or does not any more.
    pub fn refuse(&self, refuses: bool) {
        self.held().refuses = refuses;
    }
}

fn out_of_reach<T>() -> Result<T, Fault> {
    Err(Fault::new(FaultCode::Store, "no position can be kept, as the test asked").recovery(Recovery::Retry))
}

impl Positions for Kept {
    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        let held = self.held();
        let kept = if held.refuses { out_of_reach() } else { Ok(held.texts.get(name).cloned()) };
        Box::pin(std::future::ready(kept))
    }

    fn keep<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        let mut held = self.held();
        let refused = if held.refuses { out_of_reach() } else { may_be_kept(name, &text) };
        if refused.is_ok() {
            held.history.push((name.to_owned(), text.clone()));
            held.texts.insert(name.to_owned(), text);
        }
        Box::pin(std::future::ready(refused))
    }
}
