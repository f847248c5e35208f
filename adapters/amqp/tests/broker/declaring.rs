//! Passive by default, declaring only where the mapping says so, and saying first what it will do.

use lapin::{options::BasicGetOptions, options::BasicNackOptions};
use vestibule_core::{fault::Recovery, ports::Settlement};

use crate::house::{Peer, broker, connection_to, mapping, name, source};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_there_is_a_fault_that_says_so_and_nothing_is_made() {
    let broker = broker().await.read().await;
    let queue = name("absent");
    let connection = connection_to(&broker.url(), "");
    let source = source(&connection, &mapping(&format!("queue: {queue}"), ""));
    let fault =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.err().unwrap();
    assert_eq!(fault.recovery, Recovery::GiveUp);
    assert!(fault.message.contains(&queue) && fault.message.contains("declare: yes"), "{fault}");
    // Made by hand, it is read.
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&queue, "classic").await;
    assert!(source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_there_otherwise_is_not_touched() {
    let broker = broker().await.read().await;
    let queue = name("other");
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.declare(&queue, "classic").await;
    let connection = connection_to(&broker.url(), "");
    let source = source(&connection, &mapping(&format!("queue: {queue}, declare: yes"), ""));
    let fault =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.err().unwrap();
    assert_eq!(fault.recovery, Recovery::GiveUp);
    assert!(fault.message.contains("other properties"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_a_fault_that_says_so_and_does_not_repeat_it() {
    let broker = broker().await.read().await;
    let settings = format!("url: {}\nuser: nobody\npassword: BROKER_PASSWORD\n", broker.url());
    let files = crate::secure::Certificates::none();
    let connection = crate::house::connection(&settings, &files).unwrap();
    let fault = source(&connection, &mapping("queue: q", ""))
        .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
        .await
        .err()
        .unwrap();
    assert_eq!(fault.recovery, Recovery::GiveUp, "{fault:?}");
    assert!(fault.message.contains("password"), "{fault}");
    assert!(!format!("{fault:?}").contains("guest"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_itself_gives_up_what_is_delivered_too_often() {
    let broker = broker().await.read().await;
    let queue = name("limit");
    let connection = connection_to(&broker.url(), "");
    let mapping = mapping(&format!("queue: {queue}, declare: yes, redeliveries: 2"), "");
    drop(
        source(&connection, &mapping)
            .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
            .await
            .unwrap(),
    );
    let peer = Peer::new(&broker.url_with_credentials()).await;
    peer.send(&queue, lapin::BasicProperties::default().with_message_id("m1".into()), b"x").await;
    for _ in 0..21 {
        let options = BasicGetOptions { no_ack: false };
        let got = loop {
            match peer.wire.basic_get(queue.as_str().into(), options).await.unwrap() {
                Some(it) => break it,
                None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        let back = BasicNackOptions { requeue: true, multiple: false };
        peer.wire.basic_nack(got.delivery.delivery_tag, back).await.unwrap();
    }
    let dead = peer.wait_for(&format!("{queue}.dead"), 1).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].id.as_deref(), Some("m1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_make_no_dead_letters_of_what_was_on_its_way() {
    const MESSAGES: usize = 20;
    let broker = broker().await.read().await;
    let queue = name("cut");
    let connection = connection_to(&broker.url(), "");
    let mapping = mapping(&format!("queue: {queue}, declare: yes"), "");
    let source = source(&connection, &mapping);
    drop(source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap());
    let peer = Peer::new(&broker.url_with_credentials()).await;
    for number in 0..MESSAGES {
        let properties = lapin::BasicProperties::default().with_message_id(format!("m{number}").into());
        peer.send(&queue, properties, b"<C/>").await;
    }
    // Five processes are killed; the first message was looked at by each of them, the others were only on their way.
    for _ in 0..5 {
        let mut intake =
            source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), intake.next(1)).await;
        assert_eq!(next.expect("it is in the queue").unwrap().len(), 1);
    }
    let mut intake =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
    let mut received = 0;
    while received < MESSAGES {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), intake.next(MESSAGES)).await;
        let batch = next.unwrap_or_else(|_| panic!("{received} of {MESSAGES} are left")).unwrap();
        received += batch.len();
        let settled = batch.into_iter().map(|it| (it.receipt, Settlement::Accepted)).collect();
        intake.settle(settled).await.unwrap();
    }
    assert_eq!(peer.drain(&format!("{queue}.dead")).await.len(), 0);
}

#[test]
fn what_will_be_declared_is_said_first() {
    let connection = connection_to("amqp://127.0.0.1:1/%2f", "");
    let lines = |receive: &str, more: &str, deliver: bool| {
        let mapping = mapping(receive, more);
        let channel = if deliver { mapping.handling.deliver.as_ref().unwrap() } else { &mapping.receive[0] };
        connection.topology(&mapping, channel)
    };
    assert_eq!(
        lines("queue: in, declare: yes, retry: [5s], exchange: claims, routing_key: new", "", false),
        [
            "declares queue in.dead (durable, x-queue-type=quorum)",
            "declares queue in (durable, x-queue-type=quorum, x-delivery-limit=20, x-dead-letter-exchange='', \
             x-dead-letter-routing-key=in.dead, x-dead-letter-strategy=at-least-once, x-overflow=reject-publish)",
            "declares queue in.retry.5000 (durable, x-queue-type=quorum, x-message-ttl=5000, \
             x-dead-letter-exchange='', x-dead-letter-routing-key=in, x-dead-letter-strategy=at-least-once, \
             x-overflow=reject-publish)",
            "expects exchange claims",
            "binds queue in to exchange claims by 'new'",
        ]
    );
    assert_eq!(lines("queue: in, dead_letter: bad", "", false), ["expects queue bad", "expects queue in"]);
    let deliver = "deliver: { amqp: { connection: broker, queue: out, declare: yes } }";
    assert_eq!(lines("queue: in", deliver, true), ["declares queue out (durable, x-queue-type=quorum)"]);
    let deliver = "deliver: { amqp: { connection: broker, exchange: out, routing_key: k } }";
    assert_eq!(lines("queue: in", deliver, true), ["expects exchange out"]);
}
