//! `capture: log`, by the ports that the runner uses.

use std::{
    error::Error,
    fs, io,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use vestibule_core::{
    change::ChangeFormat,
    mapping::{
        check::{Surroundings, compile},
        diagnostic::Diagnostics,
        syntax,
    },
    ports::{ConnectionKind, ConnectionRequest, Files, Intake, Positions, Settlement, Source},
    registry::Registry,
};
use vestibule_postgres::Postgres as Kind;
use vestibule_testkit::{postgres::Postgres, scripted_channel::Kept};

use crate::Wanted;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TABLE: &str = "CREATE TABLE orders (no bigint PRIMARY KEY, customer text NOT NULL, total numeric(12,2) NOT NULL, \
    placed timestamptz NOT NULL, note text); CREATE PUBLICATION bench FOR TABLE orders";
const PATIENCE: Duration = Duration::from_secs(300);
/// Documents of one call, as the runner takes them of a journaled source.
const BATCH: usize = 1_024;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

struct World {
    kit: Postgres,
    url: String,
    client: Client,
}

impl World {
    async fn new() -> Result<Self> {
        let kit = Postgres::start(&[
            "max_slot_wal_keep_size = '8GB'",
            "max_wal_size = '4GB'",
            "max_replication_slots = 20",
        ])?;
        let url = kit.database()?;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(TABLE).await?;
        Ok(Self { kit, url, client })
    }

    /// Inserts so many rows, so many in a transaction.
    async fn fill(&self, rows: usize, batch: usize) -> Result<()> {
        let work = format!(
            "DO $$ BEGIN FOR i IN 0..{} LOOP INSERT INTO orders SELECT i::bigint * {batch} + n, 'customer ' || n, \
             n * 1.25, now(), 'a note of some length, as people write them' FROM generate_series(1, {batch}) n; \
             COMMIT; END LOOP; END $$",
            rows / batch - 1
        );
        Ok(self.client.batch_execute(&work).await?)
    }

    fn source(&self, slot: &str) -> Result<Arc<dyn Source>> {
        let text = format!(
            "mapping: bench\nreceive:\n  postgres: {{ connection: db, table: orders, capture: log, key: [no], \
             publication: bench, slot: {slot} }}\nsource: {{ kind: cdc }}\nrecord:\n  number: {{ from: no }}\n  \
             customer: {{ from: customer }}\n  total: {{ from: total }}\n  placed: {{ from: placed }}\n  \
             note: {{ from: note }}\n"
        );
        let registry = Registry {
            formats: vec![Arc::new(ChangeFormat::default())],
            connections: vec![Arc::new(Kind)],
            ..Registry::default()
        };
        let compiled = compile(
            "b.map.yaml",
            &text,
            &Surroundings { files: &NoFiles, registry: &registry, routes: None },
        );
        let shown = compiled.diagnostics.render("b.map.yaml", &text, false);
        let mapping = Arc::new(compiled.mapping.ok_or(shown)?);
        let mut diagnostics = Diagnostics::default();
        let database = self.url.rsplit('/').next().unwrap_or_default();
        let settings = format!(
            "host: 127.0.0.1\nport: {}\ndatabase: {database}\nuser: postgres\ntls: off\n",
            self.kit.address().port()
        );
        let node = syntax::parse(&settings, &mut diagnostics).ok_or("settings")?;
        let request =
            ConnectionRequest { name: "db", settings: &node, files: &NoFiles, secrets: &|_: &str| None };
        let connection =
            Kind.open(request, &mut diagnostics).ok_or_else(|| diagnostics.render("v", &settings, false))?;
        let channel = mapping.receive.first().ok_or("no channel")?;
        connection
            .source(&mapping, channel, None, &mut diagnostics)
            .ok_or_else(|| format!("{diagnostics:?}").into())
    }

    /// Positions by which a source goes on from the beginning of this copied slot.
    async fn position(&self, source: &dyn Source, slot: &str) -> Result<Arc<Kept>> {
        let row = self
            .client
            .query_one(
                "SELECT (SELECT system_identifier::text FROM pg_control_system()), confirmed_flush_lsn::text \
                 FROM pg_replication_slots WHERE slot_name = $1::text",
                &[&slot],
            )
            .await?;
        let (system, lsn): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let kept = Arc::new(Kept::default());
        let text = json!({ "system": system, "timeline": "1", "slot": slot, "lsn": lsn }).to_string();
        kept.keep(source.name(), text).await?;
        Ok(kept)
    }
}

/// Takes and settles so many documents.
async fn drain(intake: &mut dyn Intake, rows: usize) -> Result<()> {
    let mut count = 0;
    while count < rows {
        let batch = tokio::time::timeout(PATIENCE, intake.next(BATCH)).await??;
        count += batch.len();
        intake.settle(batch.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect()).await?;
    }
    Ok(())
}

/// Changes a second over those of `pg_recvlogical`.
pub async fn rate(wanted: &Wanted) -> Result<(f64, Value)> {
    let world = World::new().await?;
    world.client.batch_execute("SELECT pg_create_logical_replication_slot('base', 'pgoutput')").await?;
    world.fill(wanted.rows, wanted.batch).await?;
    let end: String = world.client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.try_get(0)?;
    let (mut ours, mut peers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..wanted.rounds {
        let mut pair = [0.0, 0.0];
        for turn in 0..2 {
            let slot = format!("turn_{round}_{turn}");
            world.client.execute("SELECT pg_copy_logical_replication_slot('base', $1)", &[&slot]).await?;
            let mine = (turn + round) % 2 == 0;
            let start = Instant::now();
            if mine {
                let source = world.source(&slot)?;
                let kept = world.position(&*source, &slot).await?;
                let start = Instant::now();
                let mut intake = source.open(kept).await?;
                drain(&mut *intake, wanted.rows).await?;
                pair[0] = wanted.rows as f64 / start.elapsed().as_secs_f64();
            } else {
                let ended = Command::new("pg_recvlogical")
                    .args(["-d", &world.url, "--slot", &slot, "--start", "--no-loop", "--endpos", &end])
                    .args(["-o", "proto_version=1", "-o", "publication_names=bench", "-f", "-"])
                    .stdout(Stdio::null())
                    .status()?;
                if !ended.success() {
                    return Err("pg_recvlogical failed".into());
                }
                pair[1] = wanted.rows as f64 / start.elapsed().as_secs_f64();
            }
        }
        ours.push(pair[0]);
        peers.push(pair[1]);
        ratios.push(pair[0] / pair[1]);
    }
    let about = json!({
        "ours_per_second": median(ours).round(), "pg_recvlogical_per_second": median(peers).round(),
        "rows_a_transaction": wanted.batch,
    });
    Ok((median(ratios), about))
}

/// The most memory through one huge transaction.
pub async fn memory(wanted: &Wanted) -> Result<(f64, Value)> {
    let world = World::new().await?;
    let source = world.source("huge")?;
    let kept = Arc::new(Kept::default());
    let mut intake = source.open(kept.clone()).await?;
    world.fill(wanted.huge, wanted.huge).await?;
    // From here on the peak counts.
    fs::write("/proc/self/clear_refs", "5").ok();
    let before = resident("VmRSS:")?;
    let start = Instant::now();
    drain(&mut *intake, wanted.huge).await?;
    let seconds = start.elapsed().as_secs_f64();
    let about = json!({ "before_mb": before, "rows_per_second": (wanted.huge as f64 / seconds).round() });
    Ok((resident("VmHWM:")?, about))
}

fn resident(line: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|it| it.strip_prefix(line)).ok_or("no such line")?;
    let kilobytes: f64 = found.trim().trim_end_matches("kB").trim().parse()?;
    Ok((kilobytes / 1024.0 * 10.0).round() / 10.0)
}

/// The median time from the return of a commit to the document.
pub async fn latency() -> Result<(f64, Value)> {
    let world = World::new().await?;
    let source = world.source("quick")?;
    let mut intake = source.open(Arc::new(Kept::default())).await?;
    let statement = world.client.prepare("INSERT INTO orders VALUES ($1, 'c', 1, now(), 'n')").await?;
    let mut all = Vec::new();
    for number in 0..600_i64 {
        let committing = async {
            world.client.execute(&statement, &[&number]).await?;
            Result::Ok(Instant::now())
        };
        let receiving = async {
            let batch = intake.next(BATCH).await?;
            Result::Ok((batch, Instant::now()))
        };
        let (committed, received) = tokio::join!(committing, receiving);
        let (committed, (batch, received)) = (committed?, received?);
        intake.settle(batch.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect()).await?;
        if number >= 100 {
            all.push(received.saturating_duration_since(committed).as_secs_f64() * 1000.0);
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Ok((at(0.5), json!({ "p99_ms": (at(0.99) * 100.0).round() / 100.0, "commits": all.len() })))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
