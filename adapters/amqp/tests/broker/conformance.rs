//! The promises of every channel.

use std::sync::Arc;

use vestibule_testkit::channel::CASES;

use crate::house::{Rabbit, broker};

async fn keeps_every_promise(kind: &str, retry: &str) {
    let broker = broker().await.read().await;
    let mut broken = Vec::new();
    for case in CASES {
        let world = Rabbit::new(&broker.url(), &broker.url_with_credentials(), kind, retry).await;
        if let Err(it) = case.check(Arc::new(world)).await {
            broken.push(format!("{}: {it:?}", case.name));
        }
    }
    assert!(broken.is_empty(), "{kind} {retry}: {broken:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorum_queues_with_retry_queues_keep_every_promise() {
    keeps_every_promise("quorum", ", retry: [200ms, 900ms, 1500ms]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_queues_without_retry_queues_keep_every_promise() {
    keeps_every_promise("classic", "").await;
}
