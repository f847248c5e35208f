//! Figures, as ratios in one run: `cargo test --release -p vestibule-postgres -- --ignored --nocapture figures`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use vestibule_core::{
    job::{NewJob, Start, Submission},
    ports::JobStore,
};
use vestibule_testkit::{fixtures, postgres::Postgres};

use super::{RUNNER, open, settings};

const CALLERS: usize = 64;
const JOBS: usize = 6_400;

#[test]
#[ignore = "a measurement"]
fn figures() {
    let server = Postgres::start(&["fsync=on", "full_page_writes=on"]).unwrap();
    let store = open(&settings(&server.database().unwrap(), Duration::from_secs(600)));
    let text = [b'x'; 1024];
    let start = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let store = store.clone();
        RUNNER.spawn(async move {
            for number in 0..JOBS / CALLERS {
                let job = NewJob {
                    start: Start::Later,
                    ..fixtures::job(Some(&format!("{caller}-{number}")), &text)
                };
                let submitted = store.submit(job).await.unwrap();
                assert!(matches!(submitted, Submission::Queued(_)));
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    RUNNER.block_on(join_all(callers)).into_iter().for_each(|it| it.unwrap());
    let a_second = |jobs: usize, start: Instant| jobs as f64 / start.elapsed().as_secs_f64();
    eprintln!(
        "accepts a second, {CALLERS} callers: {:.0}; {} commits",
        a_second(JOBS, start),
        store.commits()
    );
    let start = Instant::now();
    let flows: [Arc<str>; 1] = ["claims".into()];
    RUNNER.block_on(async {
        let worker = |_| async {
            let mut done = 0;
            loop {
                let claimed = store.claim(&flows, 16).await.unwrap();
                if claimed.is_empty() {
                    return done;
                }
                done += claimed.len();
                let reply = fixtures::reply(&text);
                join_all(claimed.into_iter().map(|it| store.answer(it.lease, reply.clone()))).await;
            }
        };
        let done: usize = join_all((0..4).map(worker)).await.into_iter().sum();
        assert_eq!(done, JOBS);
    });
    eprintln!("claimed and answered a second: {:.0}", a_second(JOBS, start));
    let log = server.sql("postgres", "SELECT wal_bytes / 1024 FROM pg_stat_wal").unwrap();
    eprintln!("write-ahead log: {log} KiB for {JOBS} jobs of 1 KiB");
}
