//! SIGKILL at random moments: what was acknowledged is there.
//!
//! The test binary starts itself again as the victim. The victim writes down what the store acknowledged, line by line
//! to a file, which survives it; after each kill the store is opened and compared with all lines so far.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread::sleep,
    time::Duration,
};

use futures_util::future::join_all;
use vestibule_core::{
    job::{JobId, Lease, ReplyBody, Submission},
    ports::JobStore,
};
use vestibule_testkit::fixtures;

use super::{Running, block_on};
use crate::{Reader, Settings, SqliteStore};

const DIRECTORY: &str = "VESTIBULE_TEST_CRASH";
const ROUNDS: u32 = 25;
const CALLERS: u64 = 24;

/// Not a test by itself: the process that is killed.
#[test]
fn the_victim_works_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let log = OpenOptions::new().append(true).create(true).open(directory.join("acknowledged")).unwrap();
    let log = Mutex::new(log);
    let running = Running::open(&directory.join("jobs.db"), &Settings::default()).unwrap();
    let store = running.store();
    block_on(async {
        for claimed in store.claim(vestibule_testkit::job_store::flows(), 10_000).await.unwrap() {
            answer(store, &log, claimed.lease).await;
        }
        join_all((0..CALLERS).map(|_| call_for_ever(store, &log))).await;
    });
}

async fn call_for_ever(store: &SqliteStore, log: &Mutex<File>) {
    loop {
        // Few keys, so that many calls meet one that is known.
        let key = format!("k{}", random() % 2000);
        match store.submit(fixtures::job(Some(&key), key.as_bytes())).await.unwrap() {
            Submission::Queued(id) => panic!("{id} was queued"),
            Submission::Accepted(lease) => {
                note(log, &format!("job {key} {}", lease.job));
                answer(store, log, lease).await;
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

async fn answer(store: &SqliteStore, log: &Mutex<File>, lease: Lease) {
    let id = lease.job;
    // Another text for each attempt: two answers of one job would differ.
    let text = random().to_string();
    store.answer(lease, fixtures::reply(text.as_bytes())).await.unwrap();
    note(log, &format!("reply {id} {text}"));
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
        sleep(Duration::from_micros(random() % 60_000));
        victim.kill().unwrap();
        victim.wait().unwrap();
        check(&directory.path().join("jobs.db"), &lines(), round);
    }
    assert!(lines().lines().count() > 1000, "too little work to prove anything");
}

/// Compares the store with everything that was ever acknowledged.
fn check(path: &Path, log: &str, round: u32) {
    let (mut names, mut replies) = (HashMap::new(), HashMap::new());
    for line in log.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["job", key, id] => {
                assert_eq!(*names.entry(key).or_insert(id), id, "round {round}: two jobs of {key}")
            }
            ["reply", id, text] => {
                assert_eq!(*replies.entry(id).or_insert(text), text, "round {round}: two replies of {id}");
            }
            _ => panic!("round {round}: {line}"),
        }
    }
    let reader = Reader::open(path).unwrap();
    for (key, id) in names {
        let job = reader.find(JobId::parse(id).unwrap()).unwrap();
        let job = job.unwrap_or_else(|| panic!("round {round}: job {id} is lost"));
        assert_eq!(job.document.key.as_ref().map(|it| it.as_str()), Some(key), "round {round}");
        assert_eq!(&job.document.bytes[..], key.as_bytes(), "round {round}");
    }
    for (id, text) in replies {
        let job = reader.find(JobId::parse(id).unwrap()).unwrap().unwrap();
        let kept = job.state.reply().unwrap_or_else(|| panic!("round {round}: the reply of {id} is lost"));
        assert_eq!(kept, &fixtures::reply(text.as_bytes()), "round {round}");
    }
}
