//! SIGKILL at random moments: what was acknowledged is there.
//!
//! The test binary starts itself again as the victim. The victim writes down what the store acknowledged, line by line
//! to a file, which survives it; after each kill the store is opened and compared with all lines so far.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread::sleep,
    time::Duration,
};

use futures_util::future::{join, join_all};
use vestibule_core::{
    job::{Delivery, JobId, Lease, ReplyBody, Submission},
    ports::JobStore,
};
use vestibule_testkit::{fixtures, job_store::flows};

use super::{Running, block_on, power};
use crate::{Reader, SqliteStore};

pub(super) const DIRECTORY: &str = "VESTIBULE_TEST_CRASH";
const ROUNDS: u32 = 25;
const CALLERS: u64 = 24;

/// Not a test by itself: the process that is killed.
#[test]
fn the_victim_works_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let log = OpenOptions::new().append(true).create(true).open(directory.join("acknowledged")).unwrap();
    let log = Mutex::new(log);
    let settings = power::recorded().unwrap_or_default();
    let running = Running::open(&directory.join("jobs.db"), &settings).unwrap();
    let store = running.store();
    block_on(async {
        let claimed = store.claim(flows(), 10_000).await.unwrap();
        for claimed in claimed {
            // What was acknowledged of its checkpoints goes on with it; the check reads the log.
            let saved: Vec<_> = claimed.checkpoints.iter().map(|it| it.record.to_string()).collect();
            note(&log, &format!("resumed {} {}", claimed.job.id, saved.join(",")));
            work(store, &log, claimed.lease).await;
        }
        for claimed in store.claim_deliveries(10_000).await.unwrap() {
            deliver(store, &log, claimed.lease).await;
        }
        join(join_all((0..CALLERS).map(|_| call_for_ever(store, &log))), move_for_ever(store, &log)).await;
    });
}

/// A source that goes on where it was.
async fn move_for_ever(store: &SqliteStore, log: &Mutex<File>) {
    let kept = store.position("log orders").await.unwrap();
    let mut at: u64 = kept.map_or(0, |it| it.parse().unwrap());
    loop {
        at += 1;
        store.keep_position("log orders", at.to_string()).await.unwrap();
        note(log, &format!("position {at}"));
    }
}

async fn call_for_ever(store: &SqliteStore, log: &Mutex<File>) {
    loop {
        // Few keys, so that many calls meet one that is known.
        let number = random() % 2000;
        let key = format!("k{number}");
        let job = fixtures::job(Some(&key), key.as_bytes());
        // Some results are to be sent, some are waited for.
        let job = if number.is_multiple_of(3) { fixtures::sent(job) } else { job };
        match store.submit(job).await.unwrap() {
            Submission::Queued(id) => panic!("{id} was queued"),
            Submission::Accepted(lease) => {
                note(log, &format!("job {key} {}", lease.job));
                work(store, log, lease).await;
            }
            Submission::Known(job) => {
                note(log, &format!("job {key} {}", job.id));
                if let Some(ReplyBody::Written { bytes, .. }) = job.state.reply().map(|it| &it.body) {
                    note(log, &format!("reply {} {}", job.id, String::from_utf8_lossy(bytes)));
                    store.returned_soon(job.id);
                }
            }
            Submission::Conflict(id) => note(log, &format!("conflict {key} {id}")),
        }
    }
}

async fn work(store: &SqliteStore, log: &Mutex<File>, lease: Lease) {
    for record in 0..2 {
        store.checkpoint(&lease, vec![fixtures::checkpoint(record, "low")]).await.unwrap();
        note(log, &format!("saved {} {record}", lease.job));
    }
    answer(store, log, lease).await;
}

async fn deliver(store: &SqliteStore, log: &Mutex<File>, lease: Lease) {
    let id = lease.job;
    match random() % 4 {
        0 => store.delivered_soon(lease),
        1 => store.redeliver(lease, Duration::ZERO).await.unwrap(),
        _ => {
            store.delivered(lease).await.unwrap();
            note(log, &format!("delivered {id} ."));
        }
    }
}

async fn answer(store: &SqliteStore, log: &Mutex<File>, lease: Lease) {
    let id = lease.job;
    // Another text for each attempt: two answers of one job would differ.
    let text = random().to_string();
    let way = store.answer(lease, fixtures::reply(text.as_bytes())).await.unwrap();
    note(log, &format!("reply {id} {text}"));
    if let Some(way) = way {
        deliver(store, log, way).await;
    }
}

fn note(log: &Mutex<File>, line: &str) {
    log.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("acknowledged");
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    for round in 0..ROUNDS {
        let before = lines().len();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::the_victim_works_until_it_is_killed"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while lines().len() == before {
            assert_eq!(victim.try_wait().unwrap(), None, "the victim ended by itself in round {round}");
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_micros(random() % 200_000));
        victim.kill().unwrap();
        victim.wait().unwrap();
        if let Err(lost) = check(&directory.path().join("jobs.db"), &lines()) {
            panic!("round {round}: {lost}");
        }
    }
    let lines = lines();
    assert!(lines.lines().count() > 1000, "too little work to prove anything");
    for word in ["job", "saved", "resumed", "reply", "delivered", "position"] {
        assert!(lines.lines().any(|it| it.starts_with(word)), "nothing was {word}");
    }
}

macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

/// What was acknowledged, by the lines of a log.
#[derive(Default)]
struct Acknowledged<'a> {
    names: HashMap<&'a str, &'a str>,
    replies: HashMap<&'a str, &'a str>,
    delivered: HashSet<&'a str>,
    saved: HashMap<&'a str, BTreeSet<&'a str>>,
    position: u64,
}

impl<'a> Acknowledged<'a> {
    /// Says so where two lines can not both be true.
    fn read(log: &'a str) -> Result<Self, String> {
        let mut all = Self::default();
        for line in log.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["job", key, id] => {
                    ensure!(*all.names.entry(key).or_insert(id) == id, "two jobs of {key}");
                }
                ["reply", id, text] => {
                    ensure!(*all.replies.entry(id).or_insert(text) == text, "two replies of {id}");
                }
                ["saved", id, record] => {
                    all.saved.entry(id).or_default().insert(record);
                }
                ["resumed", id, records] => {
                    let kept: BTreeSet<_> = records.split(',').filter(|it| !it.is_empty()).collect();
                    let known = all.saved.get(id).is_none_or(|it| it.is_subset(&kept));
                    ensure!(known, "checkpoints of {id} are lost: there are {kept:?}");
                }
                ["delivered", id, _] => {
                    ensure!(all.delivered.insert(id), "{id} was delivered, and was due again");
                }
                ["position", at] => {
                    let at: u64 = at.parse().map_err(|_| format!("not a position: {line}"))?;
                    ensure!(at > all.position, "position {at} came again after {}", all.position);
                    all.position = at;
                }
                _ => return Err(format!("not expected: {line}")),
            }
        }
        Ok(all)
    }
}

/// Compares the store with everything that was ever acknowledged; says what is lost.
pub(super) fn check(path: &Path, log: &str) -> Result<(), String> {
    let Acknowledged { names, replies, delivered, saved, position } = Acknowledged::read(log)?;
    let reader = Reader::open(path).map_err(|error| error.to_string())?;
    let kept = reader.position("log orders").map_err(|error| error.to_string())?;
    let kept: u64 = kept.map_or(0, |it| it.parse().unwrap());
    ensure!(kept >= position, "position {position} is lost: there is {kept}");
    let find = |id: &str| {
        let job = reader.find(JobId::parse(id).unwrap()).map_err(|error| error.to_string())?;
        job.ok_or_else(|| format!("job {id} is lost"))
    };
    for (key, id) in names {
        let job = find(id)?;
        ensure!(job.document.key.as_ref().map(|it| it.as_str()) == Some(key), "the key of {id}");
        ensure!(&job.document.bytes[..] == key.as_bytes(), "the document of {id}");
    }
    for (id, text) in replies {
        let job = find(id)?;
        let Some(kept) = job.state.reply() else { return Err(format!("the reply of {id} is lost")) };
        ensure!(*kept == fixtures::reply(text.as_bytes()), "another reply of {id}");
        let expected = match (job.return_to.is_some(), delivered.contains(id)) {
            (false, _) => job.delivery == Delivery::Nothing,
            (true, true) => job.delivery == Delivery::Done,
            // What was noted without waiting may be done, and is due where it is not.
            (true, false) => matches!(job.delivery, Delivery::Due { .. } | Delivery::Done),
        };
        ensure!(expected, "the delivery of {id} is {:?}", job.delivery);
    }
    for (id, records) in saved {
        let job = find(id)?;
        let kept = reader.checkpoints(job.id).map_err(|error| error.to_string())?;
        let kept: BTreeSet<_> = kept.iter().map(|it| it.record.to_string()).collect();
        let all_kept = records.iter().all(|it| kept.contains(*it));
        ensure!(all_kept || job.state.reply().is_some(), "checkpoints of {id} are lost: there are {kept:?}");
    }
    Ok(())
}
