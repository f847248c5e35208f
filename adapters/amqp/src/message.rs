//! A message of a queue as a document, with what is kept of it until it is settled.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use lapin::{BasicProperties, message::Delivery, types::FieldTable};
use vestibule_core::{
    document::{Attribute, AttributeKind, Document, IdempotencyKey},
    job::{Place, ReturnAddress},
    mapping::plan::Mapping,
};

use crate::{
    content::ContentType,
    headers::{self, ATTEMPT, Headers},
    publisher::Outgoing,
    receive::{Receive, Target},
};

/// What a source makes of its messages: the same for all of them.
pub(crate) struct Reading {
    pub receive: Receive,
    /// What the mapping reads beside the document.
    pub attributes: Vec<(AttributeKind, Box<str>)>,
    /// Where the mapping's own `deliver` sends results.
    pub deliver: Option<Place>,
    /// The returner's name, for places that a message names.
    pub returner: Arc<str>,
}

impl Reading {
    pub fn new(mapping: &Mapping, receive: Receive, deliver: Option<Place>, returner: Arc<str>) -> Self {
        let attributes = mapping.attributes().into_iter().map(|(kind, name)| (kind, name.into())).collect();
        Self { receive, attributes, deliver, returner }
    }

    /// Where the results of this message go, and its dead letter.
    fn return_to(&self, properties: &BasicProperties) -> Option<ReturnAddress> {
        let text = |it: &Option<lapin::types::ShortString>| {
            it.as_ref().map(|it| it.as_str()).filter(|it| !it.is_empty()).map(Box::from)
        };
        let asked = || {
            let queue = properties.reply_to().as_ref().map(|it| it.as_str()).filter(|it| !it.is_empty())?;
            // A reply into the queue that is read here would be the next document, and so on for ever.
            (queue != self.receive.queue).then(|| {
                let target = Target { exchange: String::new(), routing_key: queue.to_owned() };
                target.to_place(&self.returner)
            })
        };
        let reply = self.deliver.clone().or_else(asked);
        let dead_letter = self.receive.dead_letter.as_ref().map(|it| it.to_place(&self.returner));
        let address = ReturnAddress {
            reply,
            dead_letter,
            message: text(properties.message_id()),
            correlation: text(properties.correlation_id()),
        };
        (!address.is_empty()).then_some(address)
    }
}

/// A message that was handed over and not settled yet.
#[derive(Clone)]
pub(crate) struct Held {
    pub document: Document,
    pub return_to: Option<ReturnAddress>,
    properties: BasicProperties,
    /// How often it was delivered before, as broker and headers say.
    pub redelivered: u32,
    /// How often it was sent back to wait: what is compared with `redeliveries`.
    pub attempts: u32,
}

impl Held {
    /// What was delivered, as a document that arrived now.
    pub fn of(delivery: Delivery, reading: &Reading) -> Self {
        let Delivery { properties, data, .. } = delivery;
        Self::of_parts(properties, data, reading)
    }

    fn of_parts(properties: BasicProperties, data: Vec<u8>, reading: &Reading) -> Self {
        let none = FieldTable::default();
        let table = properties.headers().as_ref().unwrap_or(&none);
        let attempts = headers::count(headers::find(table, ATTEMPT));
        // Of one failure there may be both signs: they are not added up.
        let before = headers::count(headers::find(table, "x-delivery-count")).max(headers::deaths(table));
        let content = match properties.content_type() {
            Some(said) if !said.as_str().trim().is_empty() => ContentType::of(said.as_str()),
            _ => reading.receive.content_type.clone(),
        };
        let encoding = properties.content_encoding().as_ref().map_or("", |it| it.as_str());
        let content = content.encoded(encoding);
        let mut document = Document::new(Bytes::from(data), &content.media_type, Timestamp::now());
        document.charset = content.charset;
        document.key = properties
            .message_id()
            .as_ref()
            .filter(|it| !it.as_str().trim().is_empty())
            .map(|it| IdempotencyKey::or_hash(it.as_str()));
        document.attributes = attributes(&reading.attributes, &properties, table);
        let return_to = reading.return_to(&properties);
        Self { document, return_to, redelivered: before.max(attempts), attempts, properties }
    }

    /// The message itself, to be sent on to this place: to wait, or to the dead letters.
    pub fn sent_on(&self, target: &Target) -> Outgoing {
        let none = FieldTable::default();
        let mut headers = Headers::carried_on(self.properties.headers().as_ref().unwrap_or(&none));
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        // The broker refuses a message of another user's; and with its old expiry it would not wait as long as it shall.
        if let Some(user) = self.properties.user_id() {
            headers.text(headers::USER_ID, user.as_str());
        }
        macro_rules! kept {
            ($($get:ident $with:ident),*) => {
                $(if let Some(value) = self.properties.$get() { properties = properties.$with(value.clone()); })*
            };
        }
        kept!(
            content_type with_content_type,
            content_encoding with_content_encoding,
            priority with_priority,
            correlation_id with_correlation_id,
            reply_to with_reply_to,
            message_id with_message_id,
            timestamp with_timestamp,
            kind with_type,
            app_id with_app_id,
            cluster_id with_cluster_id
        );
        let body = self.document.bytes.clone();
        Outgoing { target: target.clone(), properties, headers, body }
    }
}

fn attributes(
    wanted: &[(AttributeKind, Box<str>)],
    properties: &BasicProperties,
    table: &FieldTable,
) -> Vec<Attribute> {
    let read = |(kind, name): &(AttributeKind, Box<str>)| {
        let value = match kind {
            AttributeKind::Header => headers::text_of(headers::find(table, name)?)?,
            AttributeKind::Property => property(properties, name)?,
        };
        Some(Attribute { kind: *kind, name: name.clone(), value: value.into() })
    };
    wanted.iter().filter_map(read).collect()
}

/// A property by the name that the protocol gives it.
fn property(properties: &BasicProperties, name: &str) -> Option<String> {
    let text = |it: &Option<lapin::types::ShortString>| it.as_ref().map(ToString::to_string);
    match name {
        "content_type" => text(properties.content_type()),
        "content_encoding" => text(properties.content_encoding()),
        "delivery_mode" => properties.delivery_mode().map(|it| it.to_string()),
        "priority" => properties.priority().map(|it| it.to_string()),
        "correlation_id" => text(properties.correlation_id()),
        "reply_to" => text(properties.reply_to()),
        "expiration" => text(properties.expiration()),
        "message_id" => text(properties.message_id()),
        "timestamp" => {
            let seconds = *properties.timestamp().as_ref()?;
            Some(headers::instant(seconds).map_or_else(|| seconds.to_string(), |it| it.to_string()))
        }
        "type" => text(properties.kind()),
        "user_id" => text(properties.user_id()),
        "app_id" => text(properties.app_id()),
        "cluster_id" => text(properties.cluster_id()),
        _ => None,
    }
}

/// Properties and headers as the wire has them, read and sent on as those of a message are: for fuzzing. The length of the
/// headers that would be sent on, and the room they have. `None`: the library below does not read them.
#[doc(hidden)]
pub fn probe(wire: &[u8], body: &[u8]) -> Option<(usize, usize)> {
    let (_, properties) = lapin::protocol::basic::parse_properties(wire).ok()?;
    let names =
        [(AttributeKind::Header, "a"), (AttributeKind::Header, "x-death"), (AttributeKind::Header, "B")];
    let known = ["content_type", "timestamp", "correlation_id", "type", "priority"];
    let known = known.map(|it| (AttributeKind::Property, it));
    let reading = Reading {
        receive: Receive {
            queue: "q".into(),
            prefetch: 1,
            declare: None,
            redeliveries: 3,
            retry: Vec::new(),
            dead_letter: None,
            binding: None,
            content_type: ContentType::of("application/xml"),
        },
        attributes: names.into_iter().chain(known).map(|(kind, name)| (kind, name.into())).collect(),
        deliver: None,
        returner: "amqp probe".into(),
    };
    let held = Held::of_parts(properties, body.to_vec(), &reading);
    let _ = ContentType::of_written(&held.document.media_type, body).to_text();
    let target = Target { exchange: String::new(), routing_key: "d".into() };
    let mut outgoing = held.sent_on(&target);
    outgoing.headers.refusal("V013: probe", &[]);
    let room = 4096;
    Some((headers::length(&outgoing.headers.into_table(room)), room))
}
