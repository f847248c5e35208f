//! SIGKILL while a journaled source is read: what was settled is a job, once and in its line.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rusqlite::Connection;
use vestibule_core::{
    change::{self, Cell, Change, ChangeFormat, Op, Row},
    document::{Document, IdempotencyKey},
    fault::Fault,
    flow::Flow,
    mapping::{Surroundings, compile},
    ports::{Files, Intake, Positions, Receipt, Received, Settlement, Source},
    registry::Registry,
    runner::{Fed, Parts, Runner, RunnerSettings},
};

use super::Running;
use crate::{Reader, Settings};

const DIRECTORY: &str = "VESTIBULE_TEST_JOURNAL";
const ROUNDS: u32 = 12;
const LINES: u64 = 5;
const MAPPING: &str = "\
mapping: numbers
source: { kind: cdc }
order: line
concurrency: 4
record:
  n: { from: N, type: int, required: yes }
  line: { from: LINE, required: yes }
return:
  write: { SCORE: n }
";

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn flow(text: &str) -> Flow {
    let registry = Registry { formats: vec![Arc::new(ChangeFormat::default())], ..Registry::default() };
    let around = Surroundings { files: &NoFiles, registry: &registry, routes: None };
    let compiled = compile("numbers.map.yaml", text, &around);
    let problems = compiled.diagnostics.render("numbers.map.yaml", text, false);
    let mapping = compiled.mapping.unwrap_or_else(|| panic!("{problems}"));
    Flow::assemble(Arc::new(mapping), &registry, Vec::new(), Vec::new()).unwrap()
}

/// A log of numbers without end that goes on after the position that was kept.
struct Numbers;

struct Open {
    positions: Arc<dyn Positions>,
    next: u64,
    settled: u64,
}

impl Source for Numbers {
    fn name(&self) -> &str {
        "numbers"
    }

    fn is_journaled(&self) -> bool {
        true
    }

    fn open(&self, positions: Arc<dyn Positions>) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(async move {
            let kept = positions.kept("log numbers").await?;
            let next = kept.map_or(0, |it| it.parse().unwrap());
            Ok(Box::new(Open { positions, next, settled: next }) as Box<dyn Intake>)
        })
    }
}

impl Intake for Open {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        // Nothing changes before it is polled, and then it is handed over: it may be dropped at any time.
        Box::pin(async move {
            // Now and then few, as a log has them.
            let many = most.min(if self.next.is_multiple_of(3) { 7 } else { 200 }) as u64;
            let received = (self.next..self.next + many).map(received).collect();
            self.next += many;
            Ok(received)
        })
    }

    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            for (Receipt(number), settlement) in settled {
                assert_eq!(number, self.settled, "of a journaled source they come in their order");
                assert!(matches!(settlement, Settlement::Accepted), "{settlement:?}");
                self.settled += 1;
            }
            self.positions.keep("log numbers", self.settled.to_string()).await
        })
    }
}

fn received(number: u64) -> Received {
    let cell = |name: &str, value: u64| (name.into(), Cell::Text(value.to_string().into()));
    let change = Change {
        op: Op::Insert,
        table: "public.numbers".into(),
        at: None,
        position: "0/0".into(),
        txid: None,
        key: vec!["N".into()],
        after: Some(Row(vec![cell("N", number), cell("LINE", number % LINES)])),
        before: None,
    };
    let mut document = Document::new(change.to_bytes(), change::MEDIA_TYPE, Timestamp::now());
    document.key = IdempotencyKey::new(&format!("n:{number}"));
    Received { document, return_to: None, redelivered: 0, receipt: Receipt(number) }
}

/// Not a test by itself: the process that is killed.
#[test]
fn the_reader_of_a_log_works_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let running = Running::open(&directory.join("jobs.db"), &Settings::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = RunnerSettings { most_queued: 20_000, ..RunnerSettings::default() };
        let store = Arc::new(running.store().clone());
        let _runner = Runner::start(Parts {
            sources: vec![Fed { flow: 0, source: Arc::new(Numbers) }],
            settings,
            ..Parts::called(vec![Arc::new(flow(MAPPING))], Some(store))
        });
        std::future::pending::<()>().await;
    });
}

#[test]
fn what_a_log_was_told_of_is_a_job_after_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let (mut before, mut finished) = (0, 0);
    for round in 0..ROUNDS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::journal::the_reader_of_a_log_works_until_it_is_killed"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while kept(&path).unwrap_or(0) <= before {
            assert_eq!(victim.try_wait().unwrap(), None, "the victim ended by itself in round {round}");
            sleep(Duration::from_millis(2));
        }
        sleep(Duration::from_millis(u64::from(round) * 23 % 150));
        victim.kill().unwrap();
        victim.wait().unwrap();
        (before, finished) = check(&path, round);
    }
    assert!(before > 1_000 && finished > 50, "too little to prove anything: {before}, {finished}");
    assert!(fs::metadata(&path).is_ok());
}

fn kept(path: &Path) -> Option<u64> {
    Reader::open(path).ok()?.position("log numbers").ok()??.parse().ok()
}

/// The position, and how many jobs are finished.
fn check(path: &Path, round: u32) -> (u64, u64) {
    let kept = kept(path).unwrap();
    let db = Connection::open(path).unwrap();
    let mut select = db.prepare("SELECT key, line, state FROM jobs ORDER BY seq").unwrap();
    let jobs = select
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)));
    let (mut number, mut finished, mut is_open) = (0, 0, [false; LINES as usize]);
    for job in jobs.unwrap() {
        let (key, line, state) = job.unwrap();
        assert_eq!(key, format!("n:{number}"), "round {round}: each once, in the order of the log");
        assert!(line.contains(&(number % LINES).to_string()), "{line}");
        let is_open = &mut is_open[(number % LINES) as usize];
        assert!(!*is_open || state == 0, "round {round}: {key} overtook another of its line");
        match state {
            2 | 4 => finished += 1,
            0 | 1 => *is_open = true,
            _ => panic!("round {round}: {key} is in state {state}"),
        }
        number += 1;
    }
    assert!(number >= kept, "round {round}: {kept} were settled, and there are {number} jobs");
    (kept, finished)
}

/// A line of what the system says of this process, in MB.
fn memory(what: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix(what)).unwrap_or_default();
    line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<f64>().unwrap_or_default() / 1024.0
}

#[test]
#[ignore = "takes a minute and means something in release only"]
fn bench_what_a_runner_takes_from_a_log() {
    for (what, mapping) in
        [("ordered", MAPPING.to_owned()), ("without an order", MAPPING.replace("order: line\n", ""))]
    {
        let directory = tempfile::tempdir().unwrap();
        let running = Running::open(&directory.path().join("jobs.db"), &Settings::default()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let runner = Runner::start(Parts {
                sources: vec![Fed { flow: 0, source: Arc::new(Numbers) }],
                ..Parts::called(vec![Arc::new(flow(&mapping))], Some(Arc::new(running.store().clone())))
            });
            let (began, used) = (std::time::Instant::now(), super::bench::processor());
            tokio::time::sleep(Duration::from_secs(8)).await;
            let figures = runner.figures();
            let (received, ended) = (figures.sources[0].received as f64, figures.flows[0].ended[0].1 as f64);
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{what}: {:.0} documents/s made durable while {:.0} a second were worked on; {:.1} us of processor \
                 time each; {:.0} MB resident, {:.0} MB at most",
                received / seconds,
                ended / seconds,
                (super::bench::processor() - used) * 1e6 / received,
                memory("VmRSS"),
                memory("VmHWM"),
            );
            runner.drain(Duration::from_secs(2)).await;
        });
        runtime.shutdown_background();
    }
}
