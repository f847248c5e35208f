//! The drivers: each owns a connection, takes all that waits, and answers it. They are futures; the runner spawns them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all, try_join};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep},
};

use uuid::Uuid;

use crate::{
    change::{self, Group, Operation, line},
    connection::{Link, Session, Way},
    error::Trouble,
    queue::Queue,
    read::{self, Question},
};

pub(crate) type Changes = Queue<Box<dyn Operation>>;
pub(crate) type Questions = Queue<Box<dyn Question>>;

/// After a connection failed, callers are refused at once for this long: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Questions that are asked at once.
const ASKED: usize = 8;
/// Durability is no choice; a paused process must not hold rows for ever.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;
SET LOCAL statement_timeout = {timeout};
SET LOCAL lock_timeout = {timeout};
SET LOCAL idle_in_transaction_session_timeout = {timeout};
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// What the drivers of one store share.
pub(crate) struct Shared {
    pub(crate) way: Way,
    pub(crate) changes: Changes,
    pub(crate) questions: Questions,
    pub(crate) woken: Notify,
    pub(crate) health: Health,
    /// How long leases last, in microseconds.
    pub(crate) lease: i64,
    /// Changes of one transaction.
    pub(crate) group: usize,
}

impl Shared {
    /// Tells those who wait for work, and whoever asks next.
    pub(crate) fn wake(&self) {
        self.woken.notify_waiters();
        self.woken.notify_one();
    }

    pub(crate) fn close(&self) {
        self.changes.close();
        self.questions.close();
        self.health.closed.close();
    }
}

/// What others may know of the drivers without asking them.
pub(crate) struct Health {
    started: Instant,
    /// Milliseconds from `started` to the last commit that succeeded, plus one; 0 after a failure or before any.
    committed: AtomicU64,
    commits: AtomicU64,
    /// Closed with the store: ends the one who listens.
    closed: Semaphore,
}

impl Health {
    pub(crate) fn new() -> Self {
        let (committed, commits) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { started: Instant::now(), committed, commits, closed: Semaphore::new(0) }
    }

    /// True when the last commit succeeded, and not longer ago than this.
    pub(crate) fn committed_within(&self, age: Duration) -> bool {
        let last = self.committed.load(Ordering::Acquire);
        last > 0 && self.millis().saturating_sub(last) <= u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    fn note(&self, committed: bool) {
        self.commits.fetch_add(committed.into(), Ordering::AcqRel);
        self.committed.store(if committed { self.millis() } else { 0 }, Ordering::Release);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1)
    }
}

/// A connection, or how long there will be none.
struct Line {
    link: Option<Link>,
    pause: Duration,
    not_before: Option<Instant>,
    last: Arc<Trouble>,
}

impl Line {
    fn new(link: Option<Link>) -> Self {
        let last = Arc::new(Trouble::Connection("none was made yet".into()));
        Self { link, pause: PAUSE.0, not_before: None, last }
    }

    /// The connection; made anew where there is none, unless that failed a moment ago.
    async fn get(&mut self, way: &Way, statements: &[&[&'static str]]) -> Result<&mut Link, Arc<Trouble>> {
        if self.link.is_none() {
            if self.not_before.is_some_and(|it| Instant::now() < it) {
                return Err(Arc::clone(&self.last));
            }
            match ready(way, statements).await {
                Ok(link) => {
                    self.link = Some(link);
                    self.pause = PAUSE.0;
                }
                Err(trouble) => {
                    tracing::warn!(%trouble, "the job store can not be reached");
                    self.last = Arc::new(trouble);
                    self.not_before = Some(Instant::now() + self.pause);
                    self.pause = (self.pause * 2).min(PAUSE.1);
                }
            }
        }
        self.link.as_mut().ok_or_else(|| Arc::clone(&self.last))
    }

    /// Ends when the connection does; never where there is none. Cancel-safe.
    async fn ended(&mut self) -> Trouble {
        match &mut self.link {
            Some(link) => link.ended().await,
            None => std::future::pending().await,
        }
    }

    fn lose(&mut self, trouble: &Trouble) {
        if self.link.take().is_some() {
            tracing::info!(%trouble, "a connection to the job store ended");
        }
    }
}

/// A connection with its statements prepared.
async fn ready(way: &Way, statements: &[&[&'static str]]) -> Result<Link, Trouble> {
    let mut link = way.connect(|_| ()).await?;
    let all: Vec<&'static str> = statements.concat();
    link.run(way.timeout, |session| async move { session.prepare_all(&all).await }).await?;
    Ok(link)
}

/// Makes changes until the store is closed and nothing waits.
pub(crate) async fn change(shared: Arc<Shared>) {
    let mut line = Line::new(None);
    loop {
        let group = tokio::select! {
            group = shared.changes.take(shared.group) => group,
            trouble = line.ended() => {
                line.lose(&trouble);
                continue;
            }
        };
        let Some(group) = group else { return };
        let orphans = make(&shared, &mut line, group).await;
        if !orphans.is_empty() {
            make(&shared, &mut line, orphans).await;
        }
    }
}

/// How a transaction ended that was not committed.
enum Broken {
    /// Surely nothing was changed.
    Undone(Arc<Trouble>),
    /// The commit was asked for and not answered.
    Unknown(Arc<Trouble>),
}

/// Makes a group durable and answers its callers. Returns what gives back the leases that nobody took delivery of.
async fn make(
    shared: &Shared,
    line: &mut Line,
    mut group: Vec<Box<dyn Operation>>,
) -> Vec<Box<dyn Operation>> {
    let mut again = false;
    for _ in 0..2 {
        match attempt(shared, line, &mut group, again).await {
            Ok(()) => return group.into_iter().flat_map(|it| it.finish(Ok(()))).collect(),
            Err(Broken::Undone(trouble)) if group.len() > 1 && !trouble.is_fatal() => {
                // Alone, only the change that broke the group fails, and others are no longer in its way.
                let mut orphans = Vec::new();
                for one in group {
                    orphans.extend(Box::pin(alone(shared, line, one, again)).await);
                }
                return orphans;
            }
            Err(Broken::Undone(trouble)) if trouble.is_passing() && !again => {}
            Err(Broken::Undone(trouble)) => return refuse(shared, group, trouble),
            // On a new connection the changes themselves say whether they were made.
            Err(Broken::Unknown(_)) if !again => again = true,
            Err(Broken::Unknown(trouble)) => return refuse(shared, group, trouble),
        }
    }
    refuse(shared, group, unheard())
}

async fn alone(
    shared: &Shared,
    line: &mut Line,
    one: Box<dyn Operation>,
    again: bool,
) -> Vec<Box<dyn Operation>> {
    let mut group = vec![one];
    let mut again = again;
    for _ in 0..2 {
        match attempt(shared, line, &mut group, again).await {
            Ok(()) => return group.into_iter().flat_map(|it| it.finish(Ok(()))).collect(),
            Err(Broken::Undone(trouble)) if trouble.is_passing() => {}
            Err(Broken::Undone(trouble)) => return refuse(shared, group, trouble),
            Err(Broken::Unknown(_)) => again = true,
        }
    }
    refuse(shared, group, unheard())
}

fn unheard() -> Arc<Trouble> {
    Arc::new(Trouble::Connection("the end of a change was not heard of".into()))
}

fn refuse(shared: &Shared, group: Vec<Box<dyn Operation>>, trouble: Arc<Trouble>) -> Vec<Box<dyn Operation>> {
    tracing::warn!(changes = group.len(), %trouble, "the job store could not commit");
    let mut all = group;
    if trouble.is_fatal() {
        // Who waits behind this group would hear the same, one timeout later.
        all.extend(shared.changes.rest());
    }
    all.into_iter().flat_map(|it| it.finish(Err(&trouble))).collect()
}

async fn attempt(
    shared: &Shared,
    line: &mut Line,
    group: &mut [Box<dyn Operation>],
    again: bool,
) -> Result<(), Broken> {
    let link = match line.get(&shared.way, change::STATEMENTS).await {
        Ok(link) => link,
        Err(trouble) => {
            shared.health.note(false);
            return Err(if again { Broken::Unknown(trouble) } else { Broken::Undone(trouble) });
        }
    };
    let limit = shared.way.timeout;
    let done = link.run(limit, |session| apply(shared, session, group, again)).await;
    let outcome = match done {
        Ok(wakes) => link.run(limit, |session| commit(session, wakes)).await.map_err(|trouble| {
            // A refusal of the server is an answer: it rolled back.
            if trouble.is_fatal() { Broken::Unknown(trouble.into()) } else { Broken::Undone(trouble.into()) }
        }),
        Err(trouble) => {
            if !trouble.is_fatal() {
                let rollback = link.run(limit, |session| async move {
                    session.client.batch_execute("ROLLBACK").await.map_err(Trouble::from)
                });
                if let Err(worse) = rollback.await {
                    line.lose(&worse);
                }
            }
            let trouble = Arc::new(trouble);
            Err(if again && trouble.is_fatal() { Broken::Unknown(trouble) } else { Broken::Undone(trouble) })
        }
    };
    shared.health.note(outcome.is_ok());
    if let Err(Broken::Undone(trouble) | Broken::Unknown(trouble)) = &outcome
        && trouble.is_fatal()
    {
        line.lose(trouble);
    }
    outcome
}

/// All changes at once on one connection: the server takes one after the other without a pause in between.
async fn apply(
    shared: &Shared,
    session: &Session,
    group: &mut [Box<dyn Operation>],
    again: bool,
) -> Result<bool, Trouble> {
    let begin = BEGIN.replace("{timeout}", &shared.way.timeout.as_millis().to_string());
    let lines: Vec<i64> = group.iter().flat_map(|it| it.lines()).collect();
    let ending: Vec<Uuid> = group.iter().filter_map(|it| it.ends()).map(|it| it.0).collect();
    let begin = async { session.client.batch_execute(&begin).await.map_err(Trouble::from) };
    let locked = line::lock(session, &lines, &ending);
    let of = Group { session, lease: shared.lease, again };
    let changes = join_all(group.iter_mut().map(|it| it.apply(&of)));
    let (before, changed) = join(try_join(begin, locked), changes).await;
    before?;
    let mut wakes = false;
    let mut failed: Option<Trouble> = None;
    for outcome in changed {
        match outcome {
            Ok(one) => wakes |= one,
            Err(trouble) => failed = Trouble::first(failed, trouble),
        }
    }
    failed.map_or(Ok(wakes), Err)
}

async fn commit(session: &Session, wakes: bool) -> Result<(), Trouble> {
    // One word for all processes, once a transaction; the server drops repeated ones.
    let text = if wakes { session.text("NOTIFY {channel}; COMMIT") } else { "COMMIT".into() };
    Ok(session.client.batch_execute(&text).await?)
}

/// Reads until the store is closed and nothing waits.
pub(crate) async fn read(shared: Arc<Shared>) {
    let mut line = Line::new(None);
    loop {
        let asked = tokio::select! {
            asked = shared.questions.take(ASKED) => asked,
            trouble = line.ended() => {
                line.lose(&trouble);
                continue;
            }
        };
        let Some(asked) = asked else { return };
        let limit = shared.way.timeout;
        match line.get(&shared.way, &[read::STATEMENTS]).await {
            Err(trouble) => {
                asked.into_iter().chain(shared.questions.rest()).for_each(|it| it.refuse(&trouble));
            }
            Ok(link) => {
                let answers = link.run(limit, |session| async move {
                    let answers = join_all(asked.into_iter().map(|it| it.ask(session))).await;
                    Ok(answers.into_iter().find_map(Result::err))
                });
                match answers.await {
                    Ok(None) => {}
                    Ok(Some(trouble)) => line.lose(&trouble),
                    Err(trouble) => line.lose(&trouble),
                }
            }
        }
    }
}

/// Hears of new work that other processes have for us, until the store is closed.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut pause = PAUSE.0;
    loop {
        let trouble = tokio::select! {
            trouble = hear(&shared, &mut pause) => trouble,
            // A semaphore without permits: its end is that of the store.
            _ = shared.health.closed.acquire() => return,
        };
        tracing::info!(%trouble, "the job store does not tell of new work until a connection is made again");
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(PAUSE.1 * 5),
            _ = shared.health.closed.acquire() => return,
        }
    }
}

async fn hear(shared: &Arc<Shared>, pause: &mut Duration) -> Trouble {
    let heard = Arc::downgrade(shared);
    let connecting = shared.way.connect(move |message| {
        if matches!(message, tokio_postgres::AsyncMessage::Notification(_))
            && let Some(shared) = heard.upgrade()
        {
            shared.wake();
        }
    });
    let mut link = match connecting.await {
        Ok(link) => link,
        Err(trouble) => return trouble,
    };
    let listens = link.run(shared.way.timeout, |session| async move {
        Ok(session.client.batch_execute(&session.text("LISTEN {channel}")).await?)
    });
    if let Err(trouble) = listens.await {
        return trouble;
    }
    *pause = PAUSE.0;
    // What was said while nobody listened.
    shared.wake();
    link.ended().await
}
