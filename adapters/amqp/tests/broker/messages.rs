//! What of a message is read, and what is written.

use std::{collections::BTreeMap, time::Duration};

use lapin::{
    BasicProperties,
    options::{BasicConsumeOptions, BasicPublishOptions},
    types::{AMQPValue, DecimalValue, FieldArray, FieldTable},
};
use vestibule_core::{
    document::AttributeKind,
    ports::{Received, Settlement},
};

use crate::house::{Peer, broker, connection_to, mapping, name, place, source};

async fn received(queue: &str, url: &str) -> Received {
    let connection = connection_to(url, "");
    let mut intake = source(&connection, &mapping(&format!("queue: {queue}"), ""))
        .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
        .await
        .unwrap();
    intake.next(1).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_every_type_are_text() {
    let broker = broker().await.read().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let nested = |value: AMQPValue| {
        let mut table = FieldTable::default();
        table.insert("X-Nested".into(), value);
        BasicProperties::default().with_headers(table).with_timestamp(1_785_000_000)
    };
    let text = |text: &[u8]| AMQPValue::LongString(text.to_vec().into());
    let mut table = FieldTable::default();
    table.insert("a".into(), AMQPValue::FieldArray(vec![AMQPValue::LongInt(1), text(b"x")].into()));
    for (value, expected) in [
        (text("Höhe".as_bytes()), Some("Höhe")),
        (text(b"H\xF6he"), Some("Höhe")),
        (AMQPValue::Boolean(true), Some("true")),
        (AMQPValue::LongLongInt(-7), Some("-7")),
        (AMQPValue::ShortShortUInt(200), Some("200")),
        (AMQPValue::Double(1.5), Some("1.5")),
        (AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 5 }), Some("0.05")),
        (AMQPValue::Timestamp(1_785_000_000), Some("2026-07-25T17:20:00Z")),
        (AMQPValue::FieldTable(table), Some(r#"{"a":[1,"x"]}"#)),
        (AMQPValue::FieldArray(FieldArray::default()), Some("[]")),
        (AMQPValue::ByteArray(vec![1, 255].into()), Some("01ff")),
        (AMQPValue::Void, None),
    ] {
        let queue = name("types");
        peer.declare(&queue, "classic").await;
        let shown = format!("{value:?}");
        peer.send(&queue, nested(value), b"<a/>").await;
        let received = received(&queue, &broker.url()).await;
        let header = received.document.attribute(AttributeKind::Header, "x-nested");
        assert_eq!(header, expected, "{shown}");
        let when = received.document.attribute(AttributeKind::Property, "timestamp");
        assert_eq!(when, Some("2026-07-25T17:20:00Z"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_goes_where_the_sender_wants_it_but_never_back_into_the_queue() {
    let broker = broker().await.read().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let queue = name("wishes");
    peer.declare(&queue, "classic").await;
    let wish = |to: &str| BasicProperties::default().with_reply_to(to.into());
    for (properties, expected) in [
        (wish("answers"), Some("answers")),
        (wish(&queue), None),
        (wish(""), None),
        (BasicProperties::default(), None),
    ] {
        peer.send(&queue, properties, b"<a/>").await;
        let connection = connection_to(&broker.url(), "");
        let source = source(&connection, &mapping(&format!("queue: {queue}"), ""));
        let mut intake =
            source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
        let one = intake.next(1).await.unwrap().remove(0);
        assert_eq!(one.return_to.and_then(|it| it.reply), expected.map(place));
        intake.settle(vec![(one.receipt, Settlement::Accepted)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_message_is_not_taken_for_what_it_says_it_is() {
    let broker = broker().await.read().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let queue = name("gzip");
    peer.declare(&queue, "classic").await;
    let properties =
        BasicProperties::default().with_content_type("text/xml".into()).with_content_encoding("gzip".into());
    peer.send(&queue, properties, &[0x1f, 0x8b]).await;
    assert_eq!(&*received(&queue, &broker.url()).await.document.media_type, "application/gzip");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_reply_arrives_although_the_broker_says_that_it_was_not_routed() {
    use futures_util::StreamExt;
    let broker = broker().await.read().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let queue = name("rpc");
    peer.declare(&queue, "classic").await;
    let direct = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consume =
        peer.wire.basic_consume("amq.rabbitmq.reply-to".into(), "".into(), direct, FieldTable::default());
    let mut replies = consume.await.unwrap();
    let properties = BasicProperties::default()
        .with_reply_to("amq.rabbitmq.reply-to".into())
        .with_correlation_id("c-1".into());
    let sent = peer.wire.basic_publish(
        "".into(),
        queue.as_str().into(),
        BasicPublishOptions::default(),
        b"<a/>",
        properties,
    );
    sent.await.unwrap().await.unwrap();
    let connection = connection_to(&broker.url(), "");
    let mut intake = source(&connection, &mapping(&format!("queue: {queue}"), ""))
        .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
        .await
        .unwrap();
    let one = intake.next(1).await.unwrap().remove(0);
    let parcel = crate::breaking::answer("m1", one.return_to.unwrap());
    connection.returner().hand_back(&[parcel]).await.remove(0).unwrap();
    let reply =
        tokio::time::timeout(Duration::from_secs(10), replies.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(reply.data, b"m1");
    assert_eq!(reply.properties.correlation_id().as_ref().map(|it| it.as_str()), Some("c-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_keeps_everything_but_what_would_harm_it() {
    let broker = broker().await.read().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let queue = name("waits");
    let connection = connection_to(&broker.url(), "");
    let settings = format!("queue: {queue}, declare: yes, retry: [300ms]");
    let source = source(&connection, &mapping(&settings, ""));
    let mut intake =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
    let mut headers = FieldTable::default();
    // As if it had been given up here before, which the broker takes for a circle; and a copy for someone.
    let mut death = FieldTable::default();
    death.insert("queue".into(), AMQPValue::LongString(queue.as_str().into()));
    death.insert("reason".into(), AMQPValue::LongString("expired".into()));
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    headers.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into()));
    headers.insert("x-tenant".into(), AMQPValue::LongString("north".into()));
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_user_id("guest".into())
        .with_expiration("60000".into())
        .with_priority(4)
        .with_message_id("m1".into());
    peer.send(&queue, properties, b"<a/>").await;
    let one = intake.next(1).await.unwrap().remove(0);
    intake.settle(vec![(one.receipt, Settlement::Later(Duration::from_millis(100)))]).await.unwrap();
    let again =
        tokio::time::timeout(Duration::from_secs(10), intake.next(1)).await.unwrap().unwrap().remove(0);
    assert_eq!(again.document.attribute(AttributeKind::Header, "x-tenant"), Some("north"));
    assert_eq!(again.document.key.as_ref().map(|it| it.as_str()), Some("m1"));
    assert_eq!(again.redelivered, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_would_not_fit_into_a_frame_are_left_out_and_counted() {
    let broker = broker().await.read().await;
    let peer = Peer::new(&broker.url_with_credentials()).await;
    let queue = name("large");
    let connection = connection_to(&broker.url(), "");
    let source = source(&connection, &mapping(&format!("queue: {queue}, declare: yes"), ""));
    let mut intake =
        source.open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere)).await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("x-large".into(), AMQPValue::LongString(vec![b'x'; 120 * 1024].into()));
    headers.insert("x-tenant".into(), AMQPValue::LongString("north".into()));
    peer.send(&queue, BasicProperties::default().with_headers(headers), b"<a/>").await;
    let one = intake.next(1).await.unwrap().remove(0);
    let findings = vec![vestibule_testkit::fixtures::reply(b"").findings.remove(0); 5000];
    let why = Settlement::DeadLetter { cause: "V005: refused".into(), findings };
    intake.settle(vec![(one.receipt, why)]).await.unwrap();
    let dead = peer.wait_for(&format!("{queue}.dead"), 1).await;
    let headers: &BTreeMap<String, String> = &dead[0].headers;
    assert_eq!(headers.get("x-tenant").map(String::as_str), Some("north"));
    assert!(!headers.contains_key("x-large"));
    assert_eq!(headers.get("x-vestibule-headers-left-out").map(String::as_str), Some("1"));
    assert!(headers.contains_key("x-vestibule-findings-left-out"));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&headers["x-vestibule-findings"]).unwrap();
    assert!((1..5000).contains(&findings.len()));
}
