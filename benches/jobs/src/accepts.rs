//! Durable accepts a second of 64 callers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::runtime::Runtime;
use vestibule_core::{job::Submission, ports::JobStore};
use vestibule_sqlite::{Settings, SqliteStore};
use vestibule_testkit::fixtures;

use crate::{Bar, Measured, median, raw::Raw};

const CALLERS: usize = 64;
const TIME: Duration = Duration::from_secs(4);
/// A claim of the quickstart has about as many bytes.
const SIZE: usize = 836;

pub fn measure(runtime: &Runtime, rounds: usize) -> Measured {
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who is first meets a colder machine.
        let (own, raw) = if round % 2 == 0 {
            let own = runtime.block_on(own());
            (own, runtime.block_on(peer()))
        } else {
            let raw = runtime.block_on(peer());
            (runtime.block_on(own()), raw)
        };
        ratios.push(own / raw);
        ours.push(own);
        theirs.push(raw);
    }
    let about = json!({
        "callers": CALLERS, "bytes": SIZE,
        "accepts_per_second": median(ours).round(), "raw_per_second": median(theirs).round(), "ratios": ratios,
    });
    Measured { name: "accepts", ratio: median(ratios), bar: Bar::AtLeast(0.6), about }
}

async fn own() -> f64 {
    let folder = tempfile::tempdir().expect("a directory");
    let (store, engines) =
        SqliteStore::open(&folder.path().join("jobs.db"), &Settings::default()).expect("a store");
    let threads: Vec<_> = engines.into_iter().map(|it| std::thread::spawn(move || it.run())).collect();
    let store = Arc::new(store);
    let calling = Arc::clone(&store);
    let rate = rate(move |caller, number| {
        let store = Arc::clone(&calling);
        async move {
            let job = fixtures::job(Some(&format!("key-{caller}-{number}")), &[b'x'; SIZE]);
            let submitted = store.submit(job).await.expect("accepted");
            assert!(matches!(submitted, Submission::Accepted(_)));
        }
    })
    .await;
    store.close();
    threads.into_iter().for_each(|it| it.join().expect("an engine ends"));
    rate
}

async fn peer() -> f64 {
    let folder = tempfile::tempdir().expect("a directory");
    let (raw, writer) = Raw::open(&folder.path().join("raw.db"));
    let calling = raw.clone();
    let rate = rate(move |caller, number| {
        let raw = calling.clone();
        async move { raw.insert(format!("key-{caller}-{number}"), vec![b'x'; SIZE]).await }
    })
    .await;
    drop(raw);
    writer.join().expect("the writer ends");
    rate
}

/// Calls a second of callers that each wait for their call.
async fn rate<F, W>(call: F) -> f64
where
    F: Fn(usize, usize) -> W + Clone + Send + 'static,
    W: Future<Output = ()> + Send,
{
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while start.elapsed() < TIME {
                    call(caller, number).await;
                    number += 1;
                }
                number
            })
        })
        .collect();
    let mut all = 0;
    for caller in callers {
        all += caller.await.expect("a caller ends");
    }
    all as f64 / start.elapsed().as_secs_f64()
}
