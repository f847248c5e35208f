//! What a mapping says of `receive: amqp` and `deliver: amqp`.

use std::{collections::BTreeMap, time::Duration};

use vestibule_core::{
    job::Place,
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, Durability, Mapping},
    },
};

use crate::{content::ContentType, duration};

/// Most names AMQP can carry in one (a short string), in bytes.
const LONGEST_NAME: usize = 255;
const PREFETCH: u16 = 200;
const REDELIVERIES: u32 = 3;

/// Kinds of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueType {
    /// Kept on several brokers, with a limit of deliveries.
    Quorum,
    /// Kept on one broker.
    Classic,
}

impl QueueType {
    pub fn word(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

/// Where a message is published to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Empty: the default exchange, where the routing key is a queue's name.
    pub exchange: String,
    pub routing_key: String,
}

impl Target {
    /// As a returner of this name keeps it with a job.
    pub fn to_place(&self, returner: &str) -> Place {
        let to = [("exchange", &self.exchange), ("routing_key", &self.routing_key)];
        let to = to.into_iter().map(|(key, value)| (key.to_owned(), value.clone()));
        Place { returner: returner.into(), to: to.collect::<BTreeMap<_, _>>() }
    }
}

/// `receive: amqp`, checked.
#[derive(Debug, Clone)]
pub(crate) struct Receive {
    pub queue: String,
    pub prefetch: u16,
    /// `None`: it must be there.
    pub declare: Option<QueueType>,
    /// How often a message is delivered again before it goes to the dead letters.
    pub redeliveries: u32,
    /// Delays of the retry queues, the shortest first.
    pub retry: Vec<Duration>,
    pub dead_letter: Option<Target>,
    /// Exchange and routing key that the queue is bound by.
    pub binding: Option<(String, String)>,
    /// Of messages that name none.
    pub content_type: ContentType,
}

impl Receive {
    /// Reads and checks the settings; every problem is reported at the channel's place.
    pub fn read(mapping: &Mapping, channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let reader = Reader { channel };
        let queue = reader.name("queue", diagnostics);
        let declare = reader.declare(diagnostics);
        let prefetch = reader.number("prefetch", PREFETCH.into(), 1..=u32::from(u16::MAX), diagnostics);
        let redeliveries = reader.number("redeliveries", REDELIVERIES, 0..=u32::from(u16::MAX), diagnostics);
        let mut retry = Vec::new();
        for text in channel.all("retry") {
            match duration::read(text).filter(|it| !it.is_zero() && it.as_millis() < u128::from(u32::MAX)) {
                Some(delay) => retry.push(delay),
                None => reader.problem("`retry` has a delay that is none", "e.g. [5s, 1m, 10m]", diagnostics),
            }
        }
        retry.sort_unstable();
        retry.dedup();
        let queue = queue.unwrap_or_default();
        if queue.is_empty() {
            reader.problem("`amqp` needs `queue`", "the queue that documents arrive in", diagnostics);
        }
        let dead_letter = dead_letter(&reader, &queue, declare.is_some(), diagnostics);
        if dead_letter.is_none() && mapping.durability == Durability::None {
            reader.problem(
                "`durability: none` behind a queue needs `dead_letter`",
                "what can not be worked on would be lost",
                diagnostics,
            );
        }
        let binding = reader.name("exchange", diagnostics).map(|exchange| {
            let key = reader.name("routing_key", diagnostics).unwrap_or_default();
            (exchange, key)
        });
        let content_type = channel
            .get("content_type")
            .map_or_else(|| ContentType::of(of_kind(&mapping.source.kind)), ContentType::of);
        if diagnostics.len() > before {
            return None;
        }
        let prefetch = u16::try_from(prefetch).unwrap_or(PREFETCH);
        Some(Self { queue, prefetch, declare, redeliveries, retry, dead_letter, binding, content_type })
    }

    /// The name of the queue where a message waits so long.
    pub fn retry_queue(&self, delay: Duration) -> String {
        format!("{}.retry.{}", self.queue, delay.as_millis())
    }

    /// The queue that keeps a message back for at least so long; the longest where none is long enough.
    pub fn retry_target(&self, delay: Duration) -> Option<Target> {
        let enough = self.retry.iter().find(|it| **it >= delay).or(self.retry.last());
        enough.map(|it| Target { exchange: String::new(), routing_key: self.retry_queue(*it) })
    }
}

/// What a queue's messages are where nobody says it: what the mapping reads.
fn of_kind(kind: &str) -> &'static str {
    match kind {
        "xml" => "application/xml",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

fn dead_letter(
    reader: &Reader<'_>,
    queue: &str,
    declares: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Target> {
    let named = reader.name("dead_letter", diagnostics);
    let exchange = reader.name("dead_letter_exchange", diagnostics);
    let target = match (exchange, named) {
        // What is dead-lettered keeps the name of where it came from, as the broker's own dead letters do.
        (Some(exchange), named) => {
            Target { exchange, routing_key: named.unwrap_or_else(|| queue.to_owned()) }
        }
        (None, Some(routing_key)) => Target { exchange: String::new(), routing_key },
        (None, None) if declares => Target { exchange: String::new(), routing_key: format!("{queue}.dead") },
        (None, None) => return None,
    };
    if target.exchange.is_empty() && target.routing_key == queue {
        let title = "dead letters would come back into the queue they come from";
        reader.problem(title, "name a queue of their own", diagnostics);
    }
    Some(target)
}

/// `deliver: amqp`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deliver {
    pub target: Target,
    /// `None`: it must be there.
    pub declare: Option<QueueType>,
}

impl Deliver {
    /// Reads and checks the settings; every problem is reported at the channel's place.
    pub fn read(channel: &Channel, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let reader = Reader { channel };
        let queue = reader.name("queue", diagnostics);
        let exchange = reader.name("exchange", diagnostics);
        let routing_key = reader.name("routing_key", diagnostics);
        let declare = reader.declare(diagnostics);
        let target = match (queue, exchange) {
            (Some(queue), None) => Target { exchange: String::new(), routing_key: queue },
            (None, Some(exchange)) => {
                if declare.is_some() {
                    let title = "only a queue can be declared";
                    reader.problem(title, "what an exchange does is not ours to say", diagnostics);
                }
                Target { exchange, routing_key: routing_key.unwrap_or_default() }
            }
            _ => {
                let title = "`amqp` needs `queue`, or `exchange` and `routing_key`";
                reader.problem(title, "one of them", diagnostics);
                return None;
            }
        };
        (diagnostics.len() == before).then_some(Self { target, declare })
    }
}

/// Reads settings that core has checked already; what it can not know is checked here.
struct Reader<'c> {
    channel: &'c Channel,
}

impl Reader<'_> {
    fn problem(&self, title: &str, label: &str, diagnostics: &mut Diagnostics) {
        diagnostics.push("A115", &self.channel.span, title, label);
    }

    fn name(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<String> {
        let text = self.channel.get(key)?;
        if text.len() > LONGEST_NAME || text.chars().any(char::is_control) || text.is_empty() {
            let title = format!("`{key}` is not a name that AMQP can carry");
            self.problem(&title, "1 to 255 bytes, without control characters", diagnostics);
            return None;
        }
        Some(text.to_owned())
    }

    fn declare(&self, diagnostics: &mut Diagnostics) -> Option<QueueType> {
        match self.channel.get("declare") {
            Some("yes" | "true") => {}
            None | Some("no" | "false") => return None,
            Some(_) => {
                self.problem("`declare` is yes or no", "neither", diagnostics);
                return None;
            }
        }
        match self.channel.get("queue_type") {
            None | Some("quorum") => Some(QueueType::Quorum),
            Some("classic") => Some(QueueType::Classic),
            Some(_) => {
                self.problem("`queue_type` is quorum or classic", "neither", diagnostics);
                None
            }
        }
    }

    fn number(
        &self,
        key: &str,
        otherwise: u32,
        range: std::ops::RangeInclusive<u32>,
        diagnostics: &mut Diagnostics,
    ) -> u32 {
        let Some(text) = self.channel.get(key) else { return otherwise };
        let read = text.parse().ok().filter(|it| range.contains(it));
        if read.is_none() {
            let title = format!("`{key}` is a number from {} to {}", range.start(), range.end());
            self.problem(&title, "outside its limits", diagnostics);
        }
        read.unwrap_or(otherwise)
    }
}
