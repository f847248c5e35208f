//! A database with writers, a proxy before it, and the binary behind that.

#![expect(clippy::disallowed_methods, reason = "the writers are threads")]

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{JoinHandle, sleep, spawn},
    time::{Duration, Instant},
};

use vestibule_testkit::{postgres::Postgres, process::Server, proxy::Proxy};

use super::verdict::{self, Summary};
use crate::desk::{self, Desk};

const WRITERS: usize = 4;
const SCHEMA: &str = include_str!("world.sql");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    Trigger,
    Log,
}

impl Capture {
    fn word(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Log => "log",
        }
    }
}

pub struct World {
    postgres: Arc<Postgres>,
    database: String,
    proxy: Proxy,
    desk: Desk,
    server: Option<Server>,
    huge: Option<JoinHandle<()>>,
}

impl World {
    /// A database with the legacy schema alone.
    pub fn prepare(capture: Capture, more: &str) -> Self {
        let settings =
            ["max_slot_wal_keep_size = '8GB'", "deadlock_timeout = '50ms'", "max_wal_size = '4GB'"];
        let postgres = Arc::new(Postgres::start(&settings).unwrap());
        let database = postgres.database().unwrap();
        postgres.sql(&database, SCHEMA).unwrap();
        // A user of its own: what a superuser may do proves nothing.
        postgres.sql(&database, "CREATE ROLE reader LOGIN REPLICATION").unwrap();
        let proxy = Proxy::start(postgres.address()).unwrap();
        let desk = Desk::empty();
        let folder = desk.folder.path();
        fs::create_dir_all(folder.join("mappings")).unwrap();
        let mapping = format!(
            "mapping: items\nreceive:\n  postgres: {{ connection: app_db, table: app.item, capture: {}, key: id{more} }}\n\
             source: {{ kind: cdc }}\nrecord:\n  id: {{ from: id, type: int }}\n  val: {{ from: val, type: int }}\n",
            capture.word()
        );
        fs::write(folder.join("mappings/items.map.yaml"), mapping).unwrap();
        let (_, name) = database.rsplit_once('/').unwrap();
        let config = format!(
            "connections:\n  app_db: {{ postgres: {{ host: 127.0.0.1, port: {}, database: {name}, user: reader }} }}\n",
            proxy.address().port()
        );
        fs::write(folder.join("vestibule.yaml"), config).unwrap();
        Self { postgres, database, proxy, desk, server: None, huge: None }
    }

    /// One that is installed and served.
    pub fn start(capture: Capture, more: &str) -> Self {
        let mut world = Self::prepare(capture, more);
        world.install();
        world.serve();
        // What is written before a source without a snapshot is open is nobody's.
        let start = Instant::now();
        while !world.server.as_ref().unwrap().stderr().contains("a source is open") {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", world.log());
            sleep(Duration::from_millis(50));
        }
        world
    }

    /// As a DBA does.
    pub fn install(&self) {
        let folder = self.desk.folder.path();
        let mut command = Command::new(desk::binary());
        let output =
            command.args(["db", "install", "--yes", "--user", "postgres"]).arg(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn serve(&mut self) {
        self.server = Some(self.desk.serve_with(|_| {}));
    }

    pub fn log(&self) -> String {
        self.server.as_ref().map(Server::stderr).unwrap_or_default()
    }

    pub fn sql(&self, statements: &str) -> String {
        self.postgres.sql(&self.database, statements).unwrap()
    }

    pub fn kill(&mut self) {
        self.server.take().unwrap().kill().unwrap();
        self.serve();
    }

    pub fn restart_database(&self, hard: bool) {
        if hard { self.postgres.kill() } else { self.postgres.stop() }.unwrap();
        self.postgres.up().unwrap();
    }

    pub fn cut(&self) {
        self.proxy.reset();
        sleep(Duration::from_millis(50));
        self.proxy.pass();
    }

    /// Writers that go on until they are stopped, whatever happens to the server.
    pub fn write(&self) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicUsize::new(0));
        let threads = (0..WRITERS).map(|_| {
            let (postgres, database) = (Arc::clone(&self.postgres), self.database.clone());
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // A server that restarts ends the call; what was committed is in the history.
                    if postgres.sql(&database, "CALL app.work(40)").is_ok() {
                        rounds.fetch_add(40, Ordering::Relaxed);
                    }
                    sleep(Duration::from_millis(40));
                }
            })
        });
        Writers { threads: threads.collect(), stop, rounds }
    }

    /// One transaction of so many rows, tried again where the server is restarted under it.
    pub fn start_huge(&mut self, rows: usize) {
        let (postgres, database) = (Arc::clone(&self.postgres), self.database.clone());
        self.huge = Some(spawn(move || {
            let first = 1_000_000;
            let insert = format!(
                "INSERT INTO app.item SELECT g, nextval('app.val'), 'huge' FROM generate_series({first}, {}) g",
                first + rows
            );
            while postgres.sql(&database, &insert).is_err() {
                let there = postgres.sql(&database, "SELECT count(*) FROM app.item WHERE id >= 1000000");
                if there.is_ok_and(|it| it != "0") {
                    return;
                }
                sleep(Duration::from_millis(200));
            }
        }));
    }

    pub fn end_huge(&mut self) {
        if let Some(huge) = self.huge.take() {
            huge.join().unwrap();
        }
    }

    /// Waits until everything was delivered and compares.
    pub fn settle(&mut self, patience: Duration) -> Summary {
        self.compare(patience, verdict::History::default)
    }

    /// The same where the rows that were there before were delivered by a snapshot.
    pub fn settle_from_snapshot(&mut self, patience: Duration) -> Summary {
        self.compare(patience, || verdict::History { from_snapshot: true })
    }

    fn compare(&mut self, patience: Duration, of: impl Fn() -> verdict::History) -> Summary {
        let history = self.sql("SELECT op, old, new, val FROM app.history ORDER BY seq");
        let rows = self.sql("SELECT id, val FROM app.item ORDER BY id");
        let store = self.desk.folder.path().join("data/jobs.db");
        let start = Instant::now();
        let mut before = usize::MAX;
        loop {
            sleep(Duration::from_secs(1));
            // Read whole only once nothing comes any more.
            let count = verdict::count(&store);
            let is_quiet = count == before;
            before = count;
            if is_quiet {
                match of().compare(&store, &history, &rows) {
                    Ok(summary) => return summary,
                    Err(broken) if start.elapsed() > patience => {
                        panic!("{broken}\nlast of the server's log:\n{}", tail(&self.log()))
                    }
                    Err(_) => {}
                }
            }
            assert!(start.elapsed() < patience * 2, "it never ends; log:\n{}", tail(&self.log()));
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

pub struct Writers {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
}

impl Writers {
    /// How many transactions they tried.
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|it| it.join().unwrap());
        self.rounds.load(Ordering::Relaxed)
    }
}
