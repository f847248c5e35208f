//! Power cuts: what was acknowledged is there, whatever the disk had not been told to keep.
//!
//! A process works on a store while a recorder notes its system calls; then the power is cut at many points of the trace,
//! and each disk that could have been left is opened and compared with what had been acknowledged by then. The same with
//! `synchronous=NORMAL` loses jobs: that proves the test. `VESTIBULE_LONG=1` cuts 500 times.

mod trace;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use self::trace::{Dice, Disk, Kind, Luck, Step};
use super::crash;
use crate::{Settings, SqliteStore};

/// What the process under the recorder reads its `synchronous` from.
const SYNCHRONOUS: &str = "VESTIBULE_TEST_SYNCHRONOUS";
/// How much is acknowledged before the recording ends.
const LINES: usize = 1500;

fn cuts() -> usize {
    if std::env::var_os("VESTIBULE_LONG").is_some() { 500 } else { 60 }
}

/// The settings of the process under the recorder: its log is copied into the database often.
pub(super) fn recorded() -> Option<Settings> {
    let synchronous = match std::env::var(SYNCHRONOUS).ok()?.as_str() {
        "NORMAL" => "NORMAL",
        _ => "FULL",
    };
    Some(Settings { synchronous, checkpoint_pages: 100, ..Settings::default() })
}

fn compile_recorder(into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/power/recorder.c");
    let library = into.join("recorder.so");
    let compiled = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-pthread", "-o"])
        .arg(&library)
        .arg(source)
        .output();
    let output = compiled.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Records a process at work until enough was acknowledged.
fn record(synchronous: &str) -> Vec<Step> {
    let outside = tempfile::tempdir().unwrap();
    let inside = tempfile::tempdir().unwrap();
    let directory = inside.path().canonicalize().unwrap();
    let trace = outside.path().join("trace");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::the_victim_works_until_it_is_killed"])
        .env(crash::DIRECTORY, &directory)
        .env(SYNCHRONOUS, synchronous)
        .env("LD_PRELOAD", compile_recorder(outside.path()))
        .env("POWER_DIR", &directory)
        .env("POWER_TRACE", &trace)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let acknowledged =
        || fs::read_to_string(directory.join("acknowledged")).map_or(0, |it| it.lines().count());
    let start = Instant::now();
    while acknowledged() < LINES && start.elapsed() < Duration::from_secs(60) {
        assert_eq!(process.try_wait().unwrap(), None, "the process ended by itself");
        sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(acknowledged() >= LINES, "too little work to prove anything");
    trace::read(&trace)
}

/// What a cut left.
#[derive(Default, Debug)]
struct Tally {
    /// Lines that were acknowledged before the last cut.
    acknowledged: usize,
    /// Cuts that lost something acknowledged, with the first of them.
    lost: usize,
    /// Cuts after which the store does not open.
    closed: usize,
    first: Option<String>,
}

fn cut(steps: &[Step], cuts: usize, seed: u64) -> Tally {
    let mut dice = Dice(seed);
    // Half of the cuts come just after something was acknowledged.
    let said: Vec<usize> = (0..steps.len()).filter(|it| steps[*it].name == "acknowledged").collect();
    let place = |number: usize, dice: &mut Dice| match number % 2 {
        0 => said[dice.below(said.len())] + 1,
        _ => 1 + dice.below(steps.len()),
    };
    let mut places: Vec<usize> = (0..cuts).map(|it| place(it, &mut dice)).collect();
    places.sort_unstable();
    let (mut disk, mut log, mut done) = (Disk::default(), String::new(), 0);
    let mut tally = Tally::default();
    for place in places {
        for step in &steps[done..place] {
            match &step.kind {
                // What somebody was told, they know.
                Kind::Written(bytes) if step.name == "acknowledged" => {
                    log.push_str(std::str::from_utf8(bytes).unwrap())
                }
                _ if step.name == "acknowledged" => {}
                _ => disk.apply(step),
            }
        }
        done = place;
        tally.acknowledged = log.lines().count();
        let luck = Luck::ALL[dice.below(Luck::ALL.len())];
        let image = tempfile::tempdir().unwrap();
        disk.survive(image.path(), luck, &mut dice);
        let (kind, said) = match survived(&image, &log) {
            Ok(()) => continue,
            Err(Loss::Closed(why)) => (&mut tally.closed, why),
            Err(Loss::Lost(what)) => (&mut tally.lost, what),
        };
        *kind += 1;
        tally.first.get_or_insert(format!("cut after step {place} of {}, {luck:?}: {said}", steps.len()));
    }
    tally
}

enum Loss {
    Closed(String),
    Lost(String),
}

fn survived(image: &TempDir, log: &str) -> Result<(), Loss> {
    let path = image.path().join("jobs.db");
    let settings = Settings { synchronous: "OFF", ..Settings::default() };
    let opened = SqliteStore::open(&path, &settings).map_err(|error| Loss::Closed(error.to_string()))?;
    drop(opened);
    let db = rusqlite::Connection::open(&path).unwrap();
    let sound: String =
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).unwrap_or_else(|it| it.to_string());
    if sound != "ok" {
        return Err(Loss::Closed(sound));
    }
    crash::check(&path, log).map_err(Loss::Lost)
}

#[test]
fn no_acknowledged_job_is_lost_by_a_power_cut() {
    let steps = record("FULL");
    let tally = cut(&steps, cuts(), 0x5eed_0001);
    println!("synchronous=FULL, {} cuts: {tally:?}", cuts());
    assert_eq!((tally.lost, tally.closed), (0, 0), "{tally:?}");
    assert!(steps.iter().filter(|it| matches!(it.kind, Kind::Synced)).count() > 20, "nothing was recorded");
}

#[test]
fn a_store_that_does_not_wait_for_the_disk_loses_jobs() {
    let steps = record("NORMAL");
    let tally = cut(&steps, cuts().min(200), 0x5eed_0002);
    println!("synchronous=NORMAL, {} cuts: {tally:?}", cuts().min(200));
    assert!(tally.lost > 0, "a mutant that loses jobs was not caught: {tally:?}");
    assert_eq!(tally.closed, 0, "{tally:?}");
}
