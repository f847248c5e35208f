//! Queues and bindings: what is expected of a broker, and what is declared where the mapping says so.

use std::{fmt, time::Duration};

use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    error::AmqpError,
    line::{Line, within_about},
    receive::{Deliver, QueueType, Receive, Target},
};

/// One thing that has to be so before messages flow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A queue that must be there.
    ExpectQueue(String),
    /// An exchange that must be there.
    ExpectExchange(String),
    /// A queue that is made where it is not there.
    DeclareQueue { name: String, arguments: Vec<(&'static str, Argument)> },
    /// A binding that is made where it is not there.
    Bind { queue: String, exchange: String, routing_key: String },
}

/// An argument of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(String),
    Number(u32),
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.is_empty() => f.write_str("''"),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectQueue(name) => write!(f, "expects queue {name}"),
            Self::ExpectExchange(name) => write!(f, "expects exchange {name}"),
            Self::DeclareQueue { name, arguments } => {
                write!(f, "declares queue {name} (durable")?;
                arguments.iter().try_for_each(|(key, value)| write!(f, ", {key}={value}"))?;
                f.write_str(")")
            }
            Self::Bind { queue, exchange, routing_key } => {
                write!(f, "binds queue {queue} to exchange {exchange} by '{routing_key}'")
            }
        }
    }
}

/// What `receive: amqp` needs, in the order in which it is asked for.
pub(crate) fn of_receive(receive: &Receive) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(target) = &receive.dead_letter {
        steps.push(match (target.exchange.as_str(), receive.declare) {
            ("", Some(kind)) => Step::DeclareQueue {
                name: target.routing_key.clone(),
                arguments: vec![("x-queue-type", Argument::Text(kind.word().into()))],
            },
            ("", None) => Step::ExpectQueue(target.routing_key.clone()),
            (exchange, _) => Step::ExpectExchange(exchange.into()),
        });
    }
    match receive.declare {
        None => steps.push(Step::ExpectQueue(receive.queue.clone())),
        Some(kind) => {
            let arguments = main_queue(kind, receive.redeliveries, receive.dead_letter.as_ref());
            steps.push(Step::DeclareQueue { name: receive.queue.clone(), arguments });
        }
    }
    for delay in &receive.retry {
        let name = receive.retry_queue(*delay);
        steps.push(match receive.declare {
            None => Step::ExpectQueue(name),
            Some(kind) => Step::DeclareQueue { name, arguments: retry_queue(kind, *delay, &receive.queue) },
        });
    }
    if let Some((exchange, routing_key)) = &receive.binding {
        let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
        steps.push(Step::ExpectExchange(exchange.clone()));
        if receive.declare.is_some() {
            steps.push(Step::Bind { queue: receive.queue.clone(), exchange, routing_key });
        }
    }
    steps
}

/// What `deliver: amqp` needs.
pub(crate) fn of_deliver(deliver: &Deliver) -> Vec<Step> {
    let Deliver { target, declare } = deliver;
    match (target.exchange.as_str(), declare) {
        ("", Some(kind)) => vec![declared_queue(&target.routing_key, *kind)],
        ("", None) => vec![Step::ExpectQueue(target.routing_key.clone())],
        (exchange, _) => vec![Step::ExpectExchange(exchange.into())],
    }
}

/// A durable queue with nothing special about it.
pub(crate) fn declared_queue(name: &str, kind: QueueType) -> Step {
    let arguments = vec![("x-queue-type", Argument::Text(kind.word().into()))];
    Step::DeclareQueue { name: name.into(), arguments }
}

/// The least delivery limit. Each connection that is cut and each process that is killed counts for every message that was
/// on its way, looked at or not: a small limit makes dead letters of good messages.
const LEAST_LIMIT: u32 = 20;

fn main_queue(
    kind: QueueType,
    redeliveries: u32,
    dead_letter: Option<&Target>,
) -> Vec<(&'static str, Argument)> {
    let mut arguments = vec![("x-queue-type", Argument::Text(kind.word().into()))];
    if kind == QueueType::Quorum {
        arguments.push(("x-delivery-limit", Argument::Number(redeliveries.max(LEAST_LIMIT))));
    }
    if let Some(Target { exchange, routing_key }) = dead_letter {
        arguments.push(("x-dead-letter-exchange", Argument::Text(exchange.clone())));
        arguments.push(("x-dead-letter-routing-key", Argument::Text(routing_key.clone())));
        arguments.extend(safe_dead_lettering(kind));
    }
    arguments
}

fn retry_queue(kind: QueueType, delay: Duration, back_to: &str) -> Vec<(&'static str, Argument)> {
    let delay = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
    let mut arguments = vec![
        ("x-queue-type", Argument::Text(kind.word().into())),
        ("x-message-ttl", Argument::Number(delay)),
        ("x-dead-letter-exchange", Argument::Text(String::new())),
        ("x-dead-letter-routing-key", Argument::Text(back_to.to_owned())),
    ];
    arguments.extend(safe_dead_lettering(kind));
    arguments
}

/// A quorum queue can wait until the next queue has confirmed what it passes on; what it asks for in return is that a
/// full queue refuses new messages instead of dropping old ones.
fn safe_dead_lettering(kind: QueueType) -> Vec<(&'static str, Argument)> {
    match kind {
        QueueType::Classic => Vec::new(),
        QueueType::Quorum => vec![
            ("x-dead-letter-strategy", Argument::Text("at-least-once".into())),
            ("x-overflow", Argument::Text("reject-publish".into())),
        ],
    }
}

/// Makes it so, or says what is not. Each step has a channel of its own: one that fails takes its channel with it.
pub(crate) async fn establish(line: &Line, steps: &[Step]) -> Result<(), AmqpError> {
    for step in steps {
        let channel = line.channel().await?;
        step.perform(line, &channel).await?;
        // Nothing hangs on how this ends; a channel that is not closed goes with its connection.
        within_about(line.timeout(), "closing a channel", "", channel.close(200, "OK".into())).await.ok();
    }
    Ok(())
}

impl Step {
    async fn perform(&self, line: &Line, channel: &lapin::Channel) -> Result<(), AmqpError> {
        let longest = line.timeout();
        match self {
            Self::ExpectQueue(name) => {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let asked = channel.queue_declare(short(name)?, options, FieldTable::default());
                within_about(longest, "looking for a queue", &format!("the queue `{name}`"), asked).await?;
            }
            Self::ExpectExchange(name) => {
                let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
                let asked = channel.exchange_declare(
                    short(name)?,
                    ExchangeKind::Direct,
                    options,
                    FieldTable::default(),
                );
                let what = format!("the exchange `{name}`");
                within_about(longest, "looking for an exchange", &what, asked).await?;
            }
            Self::DeclareQueue { name, arguments } => {
                let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
                let asked = channel.queue_declare(short(name)?, options, table(arguments)?);
                within_about(longest, "declaring a queue", &format!("the queue `{name}`"), asked).await?;
            }
            Self::Bind { queue, exchange, routing_key } => {
                let (queue, exchange, key) = (short(queue)?, short(exchange)?, short(routing_key)?);
                let what = format!("the exchange `{exchange}`");
                let asked = channel.queue_bind(
                    queue,
                    exchange,
                    key,
                    QueueBindOptions::default(),
                    FieldTable::default(),
                );
                within_about(longest, "binding a queue", &what, asked).await?;
            }
        }
        Ok(())
    }
}

fn table(arguments: &[(&'static str, Argument)]) -> Result<FieldTable, AmqpError> {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Number(number) => AMQPValue::LongLongInt(i64::from(*number)),
        };
        table.insert(short(key)?, value);
    }
    Ok(table)
}

/// A name as AMQP carries it. The library's own conversion panics on one that is too long.
pub(crate) fn short(text: &str) -> Result<ShortString, AmqpError> {
    ShortString::try_new(text).map_err(|_| AmqpError::Address("a name is longer than 255 bytes"))
}
