//! The AMQP bridge (AMQP 0-9-1, RabbitMQ): consume, publish with confirms, retry and dead letter.
//!
//! What it promises, and what the library below is not trusted with:
//!
//! - A message is acknowledged only when the runner says so; nothing is ever put back with nack-requeue.
//! - A connection that is lost is an error at once, or by a deadline. Nothing here reconnects: the runner does.
//! - Consuming and publishing have a connection each: an alarm of the broker blocks all of a publishing connection.
//! - A window of published messages counts only as a whole, when every confirm of it is in; returned messages are
//!   matched by what they are, never by the confirm that they happen to come with.

mod content;
mod duration;
mod error;
mod headers;
mod line;
mod message;
mod nowhere;
mod publisher;
mod receive;
mod returner;
mod settings;
mod source;
mod topology;

use std::sync::Arc;

use vestibule_core::{
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, Mapping},
    },
    ports::{Connection, ConnectionKind, ConnectionRequest, Returner, Source},
};

pub use error::AmqpError;
#[doc(hidden)]
pub use message::probe;

use self::{
    message::Reading,
    nowhere::Nowhere,
    publisher::Publisher,
    receive::{Deliver, Receive},
    returner::AmqpReturner,
    settings::Settings,
    source::AmqpSource,
};

/// Diagnostics of this adapter: code, meaning, remedy.
pub const CODES: [(&str, &str, &str); 5] = [
    (
        "A111",
        "the address of a broker is not usable",
        "write amqp://host:5672/vhost or amqps://host:5671/vhost",
    ),
    (
        "A112",
        "there is no way to log in to a broker",
        "name a `user`, and under `password` an environment variable that is set; or `external: yes` with `cert` and `key`",
    ),
    ("A113", "a certificate or key for a broker can not be read", "name PEM files beside vestibule.yaml"),
    ("A114", "a time of a broker's connection is outside its limits", "write 1s to 10m"),
    ("A115", "a queue can not be used as the mapping asks", "see docs/amqp.md for what each key takes"),
];

/// The word of `connections`, `receive` and `deliver`.
const KIND: &str = "amqp";

/// Connections to brokers that speak AMQP 0-9-1: `connections: { broker: { amqp: … } }`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Amqp;

impl ConnectionKind for Amqp {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn open(
        &self,
        request: ConnectionRequest<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Connection>> {
        let settings = Arc::new(Settings::read(&request, diagnostics)?);
        let publisher = Arc::new(Publisher::new(request.name, Arc::clone(&settings)));
        let name: Arc<str> = format!("{KIND} {}", request.name).into();
        let returner =
            Arc::new(AmqpReturner { name, publisher: Arc::clone(&publisher), nowhere: Nowhere::default() });
        Some(Arc::new(Broker { name: request.name.to_owned(), settings, publisher, returner }))
    }
}

/// One connection of `vestibule.yaml`.
struct Broker {
    name: String,
    settings: Arc<Settings>,
    publisher: Arc<Publisher>,
    returner: Arc<AmqpReturner>,
}

impl Connection for Broker {
    fn name(&self) -> &str {
        &self.name
    }

    fn source(
        &self,
        mapping: &Arc<Mapping>,
        channel: &Channel,
        deliver: Option<&Place>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Source>> {
        let receive = Receive::read(mapping, channel, diagnostics)?;
        if let (Some(kind), Some(target)) = (receive.declare, &receive.dead_letter)
            && target.exchange.is_empty()
        {
            self.publisher.declare(&target.routing_key, kind);
        }
        let name = format!("{KIND} {} {}", self.name, receive.queue);
        let role = format!("vestibule {} consuming {}", self.name, receive.queue);
        let reading = Reading::new(mapping, receive, deliver.cloned(), Arc::clone(&self.returner.name));
        Some(Arc::new(AmqpSource {
            name,
            role,
            settings: Arc::clone(&self.settings),
            reading: Arc::new(reading),
            publisher: Arc::clone(&self.publisher),
        }))
    }

    fn place(&self, _: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Place> {
        let deliver = Deliver::read(channel, diagnostics)?;
        if let Some(kind) = deliver.declare {
            self.publisher.declare(&deliver.target.routing_key, kind);
        }
        Some(deliver.target.to_place(&self.returner.name))
    }

    fn returner(&self) -> Arc<dyn Returner> {
        self.returner.clone()
    }

    fn topology(&self, mapping: &Mapping, channel: &Channel) -> Vec<String> {
        let mut unheard = Diagnostics::default();
        let is_receive = mapping.receive.contains(channel);
        let steps = if is_receive {
            Receive::read(mapping, channel, &mut unheard).map(|it| topology::of_receive(&it))
        } else {
            Deliver::read(channel, &mut unheard).map(|it| topology::of_deliver(&it))
        };
        steps.unwrap_or_default().iter().map(ToString::to_string).collect()
    }
}
