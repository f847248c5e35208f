//! Brokers that are killed, blocked or silent, and queues that go away.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use lapin::{BasicProperties, options::BasicPublishOptions};
use vestibule_core::{
    fault::Recovery,
    job::{Delivery, Job, JobId, JobState, Purpose, ReturnAddress},
    ports::{Parcel, Settlement},
};
use vestibule_testkit::{
    fixtures,
    proxy::{Proxy, Way},
};

use crate::house::{Peer, broker, connection_to, mapping, name, place, source};

/// The answer to a message of this name.
pub fn answer(message: &str, address: ReturnAddress) -> Parcel {
    let job = Job {
        id: JobId::fresh(),
        flow: "claims".into(),
        document: fixtures::document(Some(message), b"<Claim/>"),
        state: JobState::Answered { reply: fixtures::reply(message.as_bytes()) },
        accepted: fixtures::moment(),
        changed: fixtures::moment(),
        order: None,
        return_to: Some(ReturnAddress { message: Some(message.into()), ..address.clone() }),
        delivery: Delivery::Nothing,
        decisions: Vec::new(),
    };
    Parcel { purpose: Purpose::Result, place: address.reply.unwrap(), job: Arc::new(job) }
}

fn answers(queue: &str, names: impl Iterator<Item = usize>) -> Vec<Parcel> {
    let address = || ReturnAddress { reply: Some(place(queue)), ..ReturnAddress::default() };
    names.map(|it| answer(&format!("m{it}"), address())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_counts_as_sent_survives_a_broker_that_is_killed() {
    let mut broker = broker().await.write().await;
    let queue = name("killed");
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&queue, "quorum").await;
    peer.declare_last().await;
    let connection = connection_to(&broker.url(), "timeout: 5s");
    let returner = connection.returner();
    let mut sent = HashSet::new();
    let mut failed = 0;
    for round in 0..3 {
        let publishing = async {
            for batch in 0..40 {
                let from = (round * 40 + batch) * 500;
                let parcels = answers(&queue, from..from + 500);
                for (at, result) in returner.hand_back(&parcels).await.into_iter().enumerate() {
                    match result {
                        Ok(()) => drop(sent.insert(format!("m{}", from + at))),
                        Err(fault) => {
                            assert_eq!(fault.recovery, Recovery::Retry, "{fault}");
                            failed += 1;
                        }
                    }
                }
                if failed > 500 * (round + 1) {
                    return;
                }
            }
        };
        let killing = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            broker.kill().unwrap();
        };
        tokio::join!(publishing, killing);
        broker.start_again().unwrap();
    }
    assert!(failed > 0 && !sent.is_empty(), "{failed} failed, {} sent", sent.len());
    // After the restart it goes on by itself: the next window opens a new line. A queue needs a moment for its election.
    let parcels = answers(&queue, 1_000_000..1_000_001);
    let start = Instant::now();
    while returner.hand_back(&parcels).await[0].is_err() {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let arrived: HashSet<_> = peer.drain(&queue).await.into_iter().filter_map(|it| it.id).collect();
    let lost: Vec<_> = sent.difference(&arrived).take(10).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_with_the_broker_and_nothing_is_lost() {
    let mut broker = broker().await.write().await;
    let queue = name("restart");
    let connection = connection_to(&broker.url(), "timeout: 5s");
    let source = source(&connection, &mapping(&format!("queue: {queue}, declare: yes"), ""));
    let mut intake =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare_last().await;
    let letters = (0..100)
        .map(|it| (BasicProperties::default().with_message_id(format!("m{it}").into()), b"<a/>".to_vec()));
    peer.send_all(&queue, letters.collect()).await;
    let mut taken = Vec::new();
    while taken.len() < 60 {
        taken.extend(intake.next(60 - taken.len()).await.unwrap());
    }
    let accepted: HashSet<_> =
        taken.iter().filter_map(|it| it.document.key.as_ref().map(|it| it.as_str().to_owned())).collect();
    intake.settle(taken.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect()).await.unwrap();
    // Acknowledgements have no answer: another call over the same line says that they were read.
    tokio::time::sleep(Duration::from_millis(500)).await;
    broker.kill().unwrap();
    let ended = loop {
        match tokio::time::timeout(Duration::from_secs(10), intake.next(10)).await.unwrap() {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(ended.recovery, Recovery::Retry);
    assert_eq!(
        source
            .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
            .await
            .err()
            .unwrap()
            .recovery,
        Recovery::Retry
    );
    broker.start_again().unwrap();
    let start = Instant::now();
    let mut intake = loop {
        match source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await {
            Ok(intake) => break intake,
            Err(fault) => assert_eq!(fault.recovery, Recovery::Retry, "{fault:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}", broker.log());
    };
    let mut again = HashSet::new();
    while again.len() < 40 {
        let next = tokio::time::timeout(Duration::from_secs(20), intake.next(10)).await.unwrap().unwrap();
        again.extend(next.iter().filter_map(|it| it.document.key.as_ref().map(|it| it.as_str().to_owned())));
    }
    assert!(again.is_disjoint(&accepted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_a_fault_by_a_deadline_and_acknowledging_goes_on() {
    let broker = broker().await.write().await;
    let (queue, results) = (name("alarm"), name("alarm.out"));
    let connection = connection_to(&broker.url(), "timeout: 2s");
    let mut intake = source(&connection, &mapping(&format!("queue: {queue}, declare: yes"), ""))
        .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
        .await
        .unwrap();
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&results, "quorum").await;
    peer.send(&queue, BasicProperties::default(), b"<a/>").await;
    let returner = connection.returner();
    assert!(returner.hand_back(&answers(&results, 0..1)).await[0].is_ok());
    broker.raise_alarm().unwrap();
    let start = Instant::now();
    let fault = returner.hand_back(&answers(&results, 1..2)).await.remove(0).unwrap_err();
    assert_eq!(fault.recovery, Recovery::Retry, "{fault}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    let one = intake.next(1).await.unwrap().remove(0);
    intake.settle(vec![(one.receipt, Settlement::Accepted)]).await.unwrap();
    broker.clear_alarm().unwrap();
    let start = Instant::now();
    while returner.hand_back(&answers(&results, 2..3)).await[0].is_err() {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    let arrived: Vec<_> = peer.drain(&results).await.into_iter().filter_map(|it| it.id).collect();
    // What was given up was not sent behind our back, or at the most once.
    assert!(arrived.iter().filter(|it| *it == "m1").count() <= 1, "{arrived:?}");
    drop(intake);
    let still = peer.drain(&queue).await;
    assert!(still.is_empty(), "{still:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_ends_the_subscription() {
    let broker = broker().await.read().await;
    let queue = name("deleted");
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&queue, "classic").await;
    let connection = connection_to(&broker.url(), "");
    let source = source(&connection, &mapping(&format!("queue: {queue}"), ""));
    let mut intake =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
    peer.delete(&queue).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), intake.next(1)).await.unwrap();
    assert_eq!(ended.unwrap_err().recovery, Recovery::Retry);
    assert!(source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_is_a_fault_by_a_deadline() {
    let broker = broker().await.read().await;
    let results = name("hole");
    let proxy = Proxy::start(broker.address()).unwrap();
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&results, "quorum").await;
    let url = format!("amqp://{}/%2f", proxy.address());
    let connection = connection_to(&url, "timeout: 1s\nheartbeat: 1s");
    let returner = connection.returner();
    let queue = name("hole.in");
    let source = source(&connection, &mapping(&format!("queue: {queue}, declare: yes"), ""));
    let mut intake =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
    assert!(returner.hand_back(&answers(&results, 0..1)).await[0].is_ok());
    for way in [Way::ToServer, Way::ToClient, Way::Both] {
        proxy.black_hole(way);
        let start = Instant::now();
        let results = returner.hand_back(&answers(&results, 0..3)).await;
        assert!(results.iter().all(|it| it.as_ref().is_err_and(|it| it.recovery == Recovery::Retry)));
        assert!(start.elapsed() < Duration::from_secs(4), "{way:?}: {:?}", start.elapsed());
        let start = Instant::now();
        assert!(
            source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.is_err(),
            "{way:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(4), "{way:?}: {:?}", start.elapsed());
        if way == Way::ToServer {
            // The heartbeat finds it, or the broker does, whose end then arrives.
            let ended = tokio::time::timeout(Duration::from_secs(15), intake.next(1)).await;
            assert!(ended.unwrap().is_err());
        }
        proxy.pass();
    }
    assert!(returner.hand_back(&answers(&results, 0..1)).await[0].is_ok(), "and it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_not_there_takes_nobody_with_it() {
    let broker = broker().await.read().await;
    let results = name("exchange");
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&results, "classic").await;
    let connection = connection_to(&broker.url(), "");
    let mut parcels = answers(&results, 0..100);
    for (at, parcel) in parcels.iter_mut().enumerate().filter(|(at, _)| at % 10 == 3) {
        parcel.place.to.insert("exchange".into(), format!("absent.{}", at % 2));
    }
    let ended = connection.returner().hand_back(&parcels).await;
    for (at, result) in ended.iter().enumerate() {
        assert_eq!(result.is_err(), at % 10 == 3, "{at}: {result:?}");
    }
    let fault = ended.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(fault.recovery, Recovery::RetryAfter(_)) && fault.message.contains("absent"), "{fault}");
    assert_eq!(peer.wait_for(&results, 90).await.len(), 90);
}

/// Figures: `cargo test --release -p vestibule-amqp --test broker -- --ignored --nocapture figures`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn figures() {
    const MANY: usize = 50_000;
    let broker = broker().await.write().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    for kind in ["quorum", "classic"] {
        let (plain, ours) = (name("plain"), name("ours"));
        peer.declare(&plain, kind).await;
        peer.declare(&ours, kind).await;
        let body = vec![b'x'; 1024];
        let start = Instant::now();
        for _ in 0..MANY / 500 {
            let mut confirms = Vec::new();
            for _ in 0..500 {
                let properties = BasicProperties::default().with_delivery_mode(2);
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let sent =
                    peer.wire.basic_publish("".into(), plain.as_str().into(), options, &body, properties);
                confirms.push(sent.await.unwrap());
            }
            for confirm in confirms {
                confirm.await.unwrap();
            }
        }
        let plain = start.elapsed();
        let connection = connection_to(&broker.url(), "");
        let returner = connection.returner();
        let mut parcels = answers(&ours, 0..500);
        for parcel in &mut parcels {
            let job = Arc::get_mut(&mut parcel.job).unwrap();
            job.state = JobState::Answered { reply: fixtures::reply(&body) };
        }
        let start = Instant::now();
        for _ in 0..MANY / 500 {
            assert!(returner.hand_back(&parcels).await.iter().all(Result::is_ok));
        }
        let published = start.elapsed();
        let mapping = mapping(&format!("queue: {ours}, prefetch: 500"), "");
        let mut intake = source(&connection, &mapping)
            .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
            .await
            .unwrap();
        let start = Instant::now();
        let mut seen = 0;
        while seen < MANY {
            let batch = intake.next(500).await.unwrap();
            seen += batch.len();
            intake
                .settle(batch.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect())
                .await
                .unwrap();
        }
        let consumed = start.elapsed();
        let rate = |it: Duration| (MANY as f64 / it.as_secs_f64()).round();
        println!(
            "{kind}: plain lapin publish {}/s, returner {}/s, intake {}/s",
            rate(plain),
            rate(published),
            rate(consumed)
        );
    }
}
