//! Writes results over one connection, each in a transaction of its own.
//!
//! Several results share a transaction nowhere: it would lock several rows in an order that the application does not know,
//! and a deadlock could end the application's own transaction. Instead the transactions of a batch are sent in one go.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join, join_all, join3};
use tokio_postgres::{Client, Statement, types::ToSql};
use vestibule_core::{
    fault::Fault,
    ports::{Parcel, Returner},
};

use super::{
    deliver::{Conflict, Mode},
    refusal::Refusal,
    row::{self, Intent},
    statement::{self, BEGIN, Written, ours},
    target::Target,
};
use crate::{
    database::{KIND, Line, Settings},
    error::Trouble,
};

/// Transactions that are sent in one go. Each may wait a second for a lock.
const TOGETHER: usize = 16;
/// Connections that are kept for the next results.
const KEPT: usize = 4;
/// Statements and targets that a connection keeps; a mapping has one or two.
const MOST_KNOWN: usize = 256;
/// How often old lines of the ledger are deleted, and how many at once.
const PURGE: Duration = Duration::from_secs(60);
/// So long a result that is handed back again is known.
const BITE: &str =
    "message IN (SELECT message FROM {ledger} WHERE at < now() - interval '30 days' LIMIT 500)";

/// Writes results over the connection that it is made for.
pub(crate) struct PgReturner {
    name: String,
    settings: Arc<Settings>,
    desks: Mutex<Vec<Desk>>,
    /// When the ledger of each schema was last tidied.
    tidied: Mutex<BTreeMap<String, Instant>>,
}

/// A connection with what is known on it.
struct Desk {
    line: Line,
    known: Known,
}

#[derive(Default)]
struct Known {
    targets: HashMap<String, Arc<Target>>,
    statements: HashMap<String, Statement>,
}

impl PgReturner {
    /// Connects to nothing yet.
    pub fn new(settings: Arc<Settings>) -> Self {
        let name = format!("{KIND} {}", settings.name);
        Self { name, settings, desks: Mutex::default(), tidied: Mutex::default() }
    }

    async fn desk(&self) -> Result<Desk, Trouble> {
        let kept = self.desks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(desk) => Ok(desk),
            None => {
                let line = Line::open_for_writing(&self.settings, "writing back").await?;
                Ok(Desk { line, known: Known::default() })
            }
        }
    }

    fn keep(&self, desk: Desk) {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if desks.len() < KEPT {
            desks.push(desk);
        }
    }

    fn limit(&self, transactions: usize) -> Duration {
        let waits = Duration::from_secs(u64::try_from(transactions).unwrap_or(u64::MAX));
        self.settings.timeout.saturating_add(waits)
    }

    /// What became of each, in the same order.
    async fn write(&self, intents: Vec<Result<Intent, Refusal>>) -> Vec<Result<(), Refusal>> {
        let mut results: Vec<Result<(), Refusal>> = Vec::with_capacity(intents.len());
        let mut work = Vec::with_capacity(intents.len());
        for (at, intent) in intents.into_iter().enumerate() {
            results.push(match intent {
                Ok(intent) => {
                    let not_yet = Trouble::Connection("it was lost before".into());
                    let target = intent.deliver.target.to_string();
                    work.push((at, intent));
                    Err(Refusal::Trouble { target, trouble: not_yet })
                }
                Err(refusal) => Err(refusal),
            });
        }
        let mut desk: Option<Desk> = None;
        for some in work.chunks(TOGETHER) {
            let mut open = match desk.take() {
                Some(desk) => desk,
                None => match self.desk().await {
                    Ok(desk) => desk,
                    Err(trouble) => {
                        let text = trouble.to_string();
                        for (at, intent) in some {
                            let trouble = Trouble::Connection(text.clone());
                            let target = intent.deliver.target.to_string();
                            set(&mut results, *at, Err(Refusal::Trouble { target, trouble }));
                        }
                        return results;
                    }
                },
            };
            let Desk { line, known } = &mut open;
            let done = line
                .run(self.limit(some.len()), |client| async move { Ok(together(client, known, some).await) });
            match done.await {
                Ok(done) => {
                    let is_lost = done.iter().any(|it| matches!(it, Err(refusal) if refusal.is_fatal()));
                    for ((at, _), result) in some.iter().zip(done) {
                        set(&mut results, *at, result);
                    }
                    if is_lost {
                        return results;
                    }
                    desk = Some(open);
                }
                Err(trouble) => {
                    let text = trouble.to_string();
                    for (at, intent) in some {
                        let target = intent.deliver.target.to_string();
                        let trouble = Trouble::Connection(text.clone());
                        set(&mut results, *at, Err(Refusal::Trouble { target, trouble }));
                    }
                    return results;
                }
            }
        }
        if let Some(mut desk) = desk
            && self.tidy(&mut desk, &work).await.is_ok()
        {
            self.keep(desk);
        }
        results
    }

    /// Deletes old lines of the ledgers, a few at a time. `Err`: the connection is of no use any more.
    async fn tidy(&self, desk: &mut Desk, work: &[(usize, Intent)]) -> Result<(), Trouble> {
        let Some((_, intent)) = work.first() else { return Ok(()) };
        let schema = &intent.deliver.schema;
        {
            let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
            match tidied.get(schema) {
                Some(last) if last.elapsed() < PURGE => return Ok(()),
                _ => drop(tidied.insert(schema.clone(), Instant::now())),
            }
        }
        let ledger = ours(schema, "written");
        let sql = format!("DELETE FROM {ledger} WHERE {}", BITE.replace("{ledger}", &ledger));
        let done = desk.line.run(self.settings.timeout, |client| async move {
            Ok(client.batch_execute(&sql).await.map_err(Trouble::from))
        });
        match done.await? {
            Err(trouble) if trouble.is_fatal() => Err(trouble),
            Err(trouble) => {
                tracing::warn!(connection = self.name, %trouble, "old lines of the ledger could not be deleted");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

fn set(results: &mut [Result<(), Refusal>], at: usize, result: Result<(), Refusal>) {
    if let Some(slot) = results.get_mut(at) {
        *slot = result;
    }
}

impl Returner for PgReturner {
    fn name(&self) -> &str {
        &self.name
    }

    /// The database is where the document came from, and will be there again.
    fn attempts(&self) -> Option<u32> {
        None
    }

    fn hand_back<'a>(&'a self, parcels: &'a [Parcel]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let results = self.write(parcels.iter().map(row::intent).collect()).await;
            results.into_iter().map(|it| it.map_err(Refusal::into_fault)).collect()
        })
    }
}

/// Writes these, all sent before the first answer is awaited. What failed over names that may have changed is tried once
/// more with what the catalogue says now.
async fn together(client: &Client, known: &mut Known, some: &[(usize, Intent)]) -> Vec<Result<(), Refusal>> {
    let mut results = attempt(client, known, some.iter().map(|(_, intent)| intent)).await;
    let is_outdated = |it: &Result<(), Refusal>| matches!(it, Err(refusal) if refusal.may_be_outdated());
    if results.iter().any(is_outdated) {
        *known = Known::default();
        let again: Vec<usize> =
            results.iter().enumerate().filter(|(_, it)| is_outdated(it)).map(|(at, _)| at).collect();
        let intents = again.iter().filter_map(|at| some.get(*at)).map(|(_, intent)| intent);
        let second = attempt(client, known, intents).await;
        for (at, result) in again.into_iter().zip(second) {
            set(&mut results, at, result);
        }
    }
    results
}

async fn attempt<'i>(
    client: &Client,
    known: &mut Known,
    intents: impl Iterator<Item = &'i Intent>,
) -> Vec<Result<(), Refusal>> {
    let mut ready = Vec::new();
    for intent in intents {
        ready.push((intent, known.ready(client, intent).await));
    }
    join_all(ready.into_iter().map(|(intent, ready)| async move {
        let ready = ready?;
        transact(client, intent, ready).await
    }))
    .await
}

/// A result whose statements are prepared.
struct Ready {
    first: Option<(Statement, Vec<Option<String>>)>,
    statement: Statement,
    values: Vec<Option<String>>,
}

impl Known {
    async fn ready(&mut self, client: &Client, intent: &Intent) -> Result<Ready, Refusal> {
        let deliver = &intent.deliver;
        let names: Vec<String> = match deliver.mode {
            Mode::Call => intent.set.iter().map(|(name, _)| name.clone()).collect(),
            Mode::Insert | Mode::Update => Vec::new(),
        };
        let key = format!("{:?} {} {} {names:?}", deliver.mode, deliver.schema, deliver.target.quoted());
        let target = match self.targets.get(&key) {
            Some(target) => Arc::clone(target),
            None => {
                let target = Arc::new(Target::read(client, deliver, &names).await?);
                if self.targets.len() >= MOST_KNOWN {
                    self.targets.clear();
                }
                self.targets.insert(key, Arc::clone(&target));
                target
            }
        };
        let what = deliver.target.to_string();
        let Written { first, sql, values } = statement::of(intent, &target)
            .map_err(|it| Refusal::Target { target: what.clone(), what: it })?;
        let first = match first {
            Some((sql, values)) => Some((self.prepared(client, sql, &what).await?, values)),
            None => None,
        };
        let statement = self.prepared(client, sql, &what).await?;
        Ok(Ready { first, statement, values })
    }

    async fn prepared(&mut self, client: &Client, sql: String, target: &str) -> Result<Statement, Refusal> {
        if let Some(statement) = self.statements.get(&sql) {
            return Ok(statement.clone());
        }
        let statement = client.prepare(&sql).await.map_err(|error| Refusal::of(target, error))?;
        if self.statements.len() >= MOST_KNOWN {
            self.statements.clear();
        }
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// One transaction. All of it is sent at the first poll; after an error the server makes a rollback of the commit.
async fn transact(client: &Client, intent: &Intent, ready: Ready) -> Result<(), Refusal> {
    let target = intent.deliver.target.to_string();
    let values = |values: &[Option<String>]| values.to_vec();
    let (begin, (first, written), end) = match &ready.first {
        None => {
            let given = values(&ready.values);
            let written = async { client.query(&ready.statement, &parameters(&given)).await };
            let (begin, written, end) =
                join3(client.batch_execute(BEGIN), written, client.batch_execute("COMMIT")).await;
            (begin, (Ok(0), written), end)
        }
        Some((first, message)) => {
            let (message, given) = (values(message), values(&ready.values));
            let (first, called) = (async { client.execute(first, &parameters(&message)).await }, async {
                client.query(&ready.statement, &parameters(&given)).await
            });
            join3(client.batch_execute(BEGIN), join(first, called), client.batch_execute("COMMIT")).await
        }
    };
    let failed = |error| Refusal::of(&target, error);
    begin.map_err(failed)?;
    for error in [first.as_ref().err(), written.as_ref().err()].into_iter().flatten() {
        // Another process wrote it, and committed, in the meantime.
        if is_known(error, &intent.deliver.schema) {
            return Ok(());
        }
    }
    first.map_err(failed)?;
    let rows = written.map_err(failed)?;
    end.map_err(failed)?;
    if ready.first.is_some() {
        return Ok(());
    }
    let Some(row) = rows.first() else { return Ok(()) };
    let known: i64 = row.try_get(0).map_err(failed)?;
    let changed: i64 = row.try_get(1).map_err(failed)?;
    let is_there: bool = row.try_get(2).map_err(failed)?;
    match (known, changed, intent.deliver.on_conflict) {
        (0, 0, Conflict::Review) => Err(Refusal::Conflict { target, gone: !is_there }),
        _ => Ok(()),
    }
}

fn parameters(values: &[Option<String>]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|it| it as &(dyn ToSql + Sync)).collect()
}

fn is_known(error: &tokio_postgres::Error, schema: &str) -> bool {
    error.as_db_error().is_some_and(|it| {
        it.code().code() == "23505" && it.schema() == Some(schema) && it.table() == Some("written")
    })
}
