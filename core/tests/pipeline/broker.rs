//! A queue in memory as a source, and a receiver of results that does what a test says.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use vestibule_core::{
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    job::{JobState, Place, Purpose, ReplyBody, ReturnAddress},
    ports::{Intake, Parcel, Receipt, Received, Returner, Settlement, Source},
};

use crate::desk::document;

/// One message of a queue.
#[derive(Debug, Clone)]
pub struct Message {
    pub key: Option<String>,
    pub text: String,
    pub return_to: Option<ReturnAddress>,
    pub redelivered: u32,
    pub media_type: &'static str,
}

impl Message {
    pub fn new(key: &str, text: &str) -> Self {
        let (key, text) = (Some(key.into()), text.into());
        Self { key, text, return_to: None, redelivered: 0, media_type: "text/xml" }
    }

    /// The same as a change of a row.
    pub fn event(self) -> Self {
        Self { media_type: vestibule_core::change::MEDIA_TYPE, ..self }
    }

    pub fn to(self, address: ReturnAddress) -> Self {
        Self {
            return_to: Some(ReturnAddress { message: self.key.as_deref().map(Into::into), ..address }),
            ..self
        }
    }
}

/// A queue. What was received and not settled comes back when the intake is dropped.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    news: Notify,
    cut: Notify,
    /// So many tries to open it fail.
    pub refusals: AtomicUsize,
    pub opened: AtomicUsize,
    /// So many tries to open it say that somebody must see to it.
    pub stops: AtomicUsize,
    /// How often somebody tried to open it.
    pub tries: AtomicUsize,
    pub is_journaled: AtomicBool,
    /// So many tries to receive panic.
    pub panics: AtomicUsize,
    next: AtomicUsize,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Message>,
    unsettled: HashMap<u64, Message>,
    /// Key and what was said.
    settled: Vec<(String, String)>,
    most_at_once: usize,
}

impl Queue {
    pub fn of(messages: impl IntoIterator<Item = Message>) -> Arc<Self> {
        let queue = Self::default();
        queue.put(messages);
        Arc::new(queue)
    }

    pub fn put(&self, messages: impl IntoIterator<Item = Message>) {
        self.state().ready.extend(messages);
        self.news.notify_one();
    }

    /// The connection is gone.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// `key accepted`, `key later`, `key dead V001: …`, in the order of settling.
    pub fn settled(&self) -> Vec<String> {
        self.state().settled.iter().map(|(key, what)| format!("{key} {what}")).collect()
    }

    /// Messages that nobody has settled: in the queue, and handed over.
    pub fn left(&self) -> (usize, usize) {
        let state = self.state();
        (state.ready.len(), state.unsettled.len())
    }

    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn take(&self, most: usize) -> Vec<Received> {
        let mut state = self.state();
        let count = most.min(state.ready.len());
        state.most_at_once = state.most_at_once.max(count);
        let messages: Vec<_> = state.ready.drain(..count).collect();
        let mut received = Vec::new();
        for message in messages {
            let tag = self.next.fetch_add(1, Ordering::SeqCst) as u64;
            let key = message.key.as_deref().and_then(IdempotencyKey::new);
            received.push(Received {
                document: Document { key, media_type: message.media_type.into(), ..document(&message.text) },
                return_to: message.return_to.clone(),
                redelivered: message.redelivered,
                receipt: Receipt(tag),
            });
            state.unsettled.insert(tag, message);
        }
        received
    }
}

/// As the runner sees it.
pub struct Feed(pub Arc<Queue>);

impl Source for Feed {
    fn name(&self) -> &str {
        "fake queue"
    }
    fn is_journaled(&self) -> bool {
        self.0.is_journaled.load(Ordering::SeqCst)
    }
    fn open(
        &self,
        _: Arc<dyn vestibule_core::ports::Positions>,
    ) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(async move {
            self.0.tries.fetch_add(1, Ordering::SeqCst);
            let stops = self.0.stops.load(Ordering::SeqCst);
            if stops > 0 {
                self.0.stops.store(stops - 1, Ordering::SeqCst);
                return Err(Fault::new(FaultCode::Unavailable, "the slot is lost"));
            }
            let left = self.0.refusals.load(Ordering::SeqCst);
            if left > 0 {
                self.0.refusals.store(left - 1, Ordering::SeqCst);
                return Err(gone());
            }
            self.0.opened.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Open(Arc::clone(&self.0))) as Box<dyn Intake>)
        })
    }
}

struct Open(Arc<Queue>);

impl Intake for Open {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        Box::pin(async move {
            assert!(most > 0, "nothing was asked for");
            let panics = self.0.panics.load(Ordering::SeqCst);
            self.0.panics.store(panics.saturating_sub(1), Ordering::SeqCst);
            assert!(panics == 0, "as the test asked");
            loop {
                let news = self.0.news.notified();
                let received = self.0.take(most);
                if !received.is_empty() {
                    return Ok(received);
                }
                tokio::select! { biased; () = self.0.cut.notified() => return Err(gone()), () = news => {} }
            }
        })
    }
    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        let mut state = self.0.state();
        for (Receipt(tag), settlement) in settled {
            let message = state.unsettled.remove(&tag).expect("settled once, by who received it");
            let key = message.key.clone().unwrap_or_default();
            let word = match settlement {
                Settlement::Accepted => "accepted".to_owned(),
                Settlement::Later(delay) => {
                    assert!(delay >= Duration::from_secs(1));
                    state.ready.push_back(Message { redelivered: message.redelivered + 1, ..message });
                    "later".into()
                }
                Settlement::DeadLetter { cause, findings } => {
                    let codes: Vec<_> = findings.iter().map(|it| it.code.as_str()).collect();
                    format!("dead {cause} {}", codes.join(" ")).trim_end().into()
                }
            };
            state.settled.push((key, word));
        }
        self.0.news.notify_one();
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let mut left: Vec<_> = state.unsettled.drain().collect();
        left.sort_by_key(|(tag, _)| *tag);
        for (_, message) in left.into_iter().rev() {
            state.ready.push_front(Message { redelivered: message.redelivered + 1, ..message });
        }
        self.0.news.notify_one();
    }
}

fn gone() -> Fault {
    Fault::new(FaultCode::Unavailable, "the connection is gone").recovery(Recovery::Retry)
}

/// Takes results. Each is noted as `message-id: what`, also when it is refused afterwards.
#[derive(Default)]
pub struct Post {
    pub name: String,
    pub sent: Mutex<Vec<String>>,
    pub calls: Mutex<Vec<usize>>,
    /// So many calls fail for every parcel, with this recovery; `GiveUp` for ever.
    pub failures: AtomicUsize,
    pub gives_up: AtomicBool,
    pub panics: AtomicBool,
    /// How long a call lasts.
    pub lasts: Duration,
    pub most_tries: Option<u32>,
}

impl Post {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }

    /// How many parcels each call had.
    pub fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }
}

/// Where a fake takes results.
pub fn place(returner: &str) -> Place {
    Place { returner: returner.into(), to: BTreeMap::from([("to".to_owned(), "out".to_owned())]) }
}

pub fn reply_to(returner: &str) -> ReturnAddress {
    ReturnAddress { reply: Some(place(returner)), ..ReturnAddress::default() }
}

impl Returner for Post {
    fn name(&self) -> &str {
        &self.name
    }
    fn attempts(&self) -> Option<u32> {
        self.most_tries
    }
    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            tokio::time::sleep(self.lasts).await;
            self.calls.lock().unwrap().push(parcels.len());
            assert!(!self.panics.swap(false, Ordering::SeqCst), "as the test asked");
            let fails = self.failures.load(Ordering::SeqCst) > 0;
            if fails {
                self.failures.fetch_sub(1, Ordering::SeqCst);
            }
            let one = |parcel: &Parcel| {
                assert_eq!(*parcel.place.returner, *self.name, "a parcel of another returner");
                if fails {
                    let recovery = match self.gives_up.load(Ordering::SeqCst) {
                        true => Recovery::GiveUp,
                        false => Recovery::Retry,
                    };
                    return Err(Fault::new(FaultCode::Undeliverable, "nobody there").recovery(recovery));
                }
                self.sent.lock().unwrap().push(format!("{}: {}", parcel.message_id(), what(parcel)));
                Ok(())
            };
            parcels.iter().map(one).collect()
        })
    }
}

fn what(parcel: &Parcel) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match (parcel.purpose, &parcel.job.state) {
        (Purpose::DeadLetter, state) => {
            format!("dead letter of {} {}", state.word(), text(&parcel.job.document.bytes))
        }
        (Purpose::Result, JobState::Dead { cause, .. }) => format!("given up, {cause}"),
        (Purpose::Result, state) => match &state.reply().unwrap().body {
            ReplyBody::Written { bytes, .. } => text(bytes),
            ReplyBody::Refused => "refused".into(),
        },
    }
}
