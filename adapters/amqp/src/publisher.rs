//! Publishing in windows: a window counts when every confirm of it is in, and never before.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, future::join_all};
use lapin::{
    BasicProperties, Channel, Confirmation,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::AMQPValue,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    error::AmqpError,
    headers::{self, Headers, TICKET},
    line::{Line, within},
    receive::{QueueType, Target},
    settings::Settings,
    topology::{self, short},
};

/// Most messages of a window.
const MOST_MESSAGES: usize = 512;
/// Most bytes of a window: they are in memory until they are confirmed.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Most windows at once, each with a channel of its own.
const MOST_WINDOWS: usize = 8;
/// What is left of a frame for headers once the other properties have their longest forms.
const FOR_PROPERTIES: usize = 4096;
/// Replies to these are not routed but handed over by the broker, which then says of them that they were not routed.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to.";

/// A message that is to be published, persistent and confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub target: Target,
    /// Without headers.
    pub properties: BasicProperties,
    pub headers: Headers,
    pub body: Bytes,
}

/// What tells a message from others in a window, when the broker sends it back.
type Mark = (String, String, Option<String>, Option<String>);

impl Outgoing {
    fn mark(&self) -> Mark {
        let ticket = self.headers.get_text(TICKET);
        let id = self.properties.message_id().as_ref().map(ToString::to_string);
        (self.target.exchange.clone(), self.target.routing_key.clone(), id, ticket)
    }
}

fn mark_of(returned: &BasicReturnMessage) -> Mark {
    let delivery = &returned.delivery;
    let table = delivery.properties.headers().as_ref();
    let ticket = table.and_then(|it| match headers::find(it, TICKET) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    });
    let id = delivery.properties.message_id().as_ref().map(ToString::to_string);
    (delivery.exchange.to_string(), delivery.routing_key.to_string(), id, ticket)
}

/// What publishes over a connection of its own. Opened when there is something to publish; after a failure, again.
pub(crate) struct Publisher {
    role: String,
    settings: Arc<Settings>,
    /// Held while it is opened, so that it is opened once.
    open: tokio::sync::Mutex<Option<Arc<Open>>>,
    windows: Semaphore,
    /// Queues that are declared before something is sent to them.
    declares: Mutex<BTreeMap<String, QueueType>>,
}

/// An open line with its idle channels.
struct Open {
    line: Line,
    idle: Mutex<Vec<Channel>>,
    declared: Mutex<BTreeSet<String>>,
}

/// How a window of one exchange ended.
enum Ended {
    /// Every confirm is in.
    Concluded(Vec<Result<(), AmqpError>>),
    /// Something is missing: nothing is known of any of them.
    Broken(AmqpError),
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    pub fn new(connection: &str, settings: Arc<Settings>) -> Self {
        Self {
            role: format!("vestibule {connection} publishing"),
            settings,
            open: tokio::sync::Mutex::default(),
            windows: Semaphore::new(MOST_WINDOWS),
            declares: Mutex::default(),
        }
    }

    /// From now on this queue is declared before something is sent to it.
    pub fn declare(&self, queue: &str, kind: QueueType) {
        locked(&self.declares).insert(queue.to_owned(), kind);
    }

    /// Publishes all, one result for each in their order. Each window has the settings' time.
    pub async fn publish(&self, messages: &[Outgoing]) -> Vec<Result<(), AmqpError>> {
        let mut results = Vec::with_capacity(messages.len());
        let mut rest = messages;
        while !rest.is_empty() {
            let (window, more) = rest.split_at(window(rest));
            results.extend(self.window(window).await);
            rest = more;
        }
        results
    }

    async fn window(&self, messages: &[Outgoing]) -> Vec<Result<(), AmqpError>> {
        const DOING: &str = "waiting to publish";
        let deadline = Instant::now() + self.settings.timeout;
        // Cancel-safe: a permit that was not taken is the next one's.
        let Ok(Ok(_permit)) = timeout_at(deadline, self.windows.acquire()).await else {
            return messages.iter().map(|_| Err(AmqpError::Late { doing: DOING })).collect();
        };
        // One exchange after the other: one that is not there closes the channel, and takes with it what else is under way.
        let mut exchanges: Vec<(&str, Vec<usize>)> = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            let name = message.target.exchange.as_str();
            match exchanges.iter_mut().find(|(it, _)| *it == name) {
                Some((_, all)) => all.push(at),
                None => exchanges.push((name, vec![at])),
            }
        }
        let mut results: Vec<Result<(), AmqpError>> =
            messages.iter().map(|_| Err(AmqpError::Unconfirmed)).collect();
        for (_, places) in exchanges {
            let group: Vec<&Outgoing> = places.iter().filter_map(|it| messages.get(*it)).collect();
            let ended = self.group(&group, deadline).await;
            for (place, result) in places.into_iter().zip(ended) {
                if let Some(slot) = results.get_mut(place) {
                    *slot = result;
                }
            }
        }
        results
    }

    /// Publishes to one exchange. Where one message closes the channel, the others go one by one.
    fn group<'a>(
        &'a self,
        messages: &'a [&'a Outgoing],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Result<(), AmqpError>>> {
        Box::pin(async move {
            let all = |error: AmqpError| messages.iter().map(|_| Err(error.clone())).collect::<Vec<_>>();
            let open = match timeout_at(deadline, self.open()).await {
                Ok(Ok(open)) => open,
                Ok(Err(error)) => return all(error),
                Err(_) => return all(AmqpError::Late { doing: "connecting" }),
            };
            if open.line.is_blocked() {
                return all(AmqpError::Blocked);
            }
            match open.publish(self, messages, deadline).await {
                Ended::Concluded(results) => results,
                Ended::Broken(error) if error.is_of_one_channel() && messages.len() > 1 => {
                    if matches!(error, AmqpError::Missing { .. } | AmqpError::Refused { .. }) {
                        return all(error);
                    }
                    let mut results = Vec::with_capacity(messages.len());
                    for one in messages {
                        results.extend(self.group(&[one], deadline).await);
                    }
                    results
                }
                Ended::Broken(error) => {
                    if !error.is_of_one_channel() {
                        // What the library still holds back must not be sent behind our back.
                        open.line.cut();
                        self.forget(&open).await;
                    }
                    all(error)
                }
            }
        })
    }

    async fn open(&self) -> Result<Arc<Open>, AmqpError> {
        // Held across the opening on purpose: many windows may want the one line at once. Opening has its deadline.
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|it| it.line.is_open()) {
            return Ok(Arc::clone(open));
        }
        *open = None;
        let line = Line::open(&self.settings, self.role.clone()).await?;
        let opened = Arc::new(Open { line, idle: Mutex::default(), declared: Mutex::default() });
        *open = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn forget(&self, gone: &Arc<Open>) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|it| Arc::ptr_eq(it, gone)) {
            *open = None;
        }
    }
}

/// How many of these go into one window: at least one.
fn window(messages: &[Outgoing]) -> usize {
    let mut bytes: usize = 0;
    let fits = |message: &&Outgoing| {
        bytes = bytes.saturating_add(message.body.len());
        bytes <= MOST_BYTES
    };
    messages.iter().take(MOST_MESSAGES).take_while(fits).count().max(1).min(messages.len())
}

impl Open {
    async fn publish(&self, publisher: &Publisher, messages: &[&Outgoing], deadline: Instant) -> Ended {
        let work = async {
            self.prepare(publisher, messages).await?;
            let channel = self.channel().await?;
            let confirmed = self.send(&channel, messages).await?;
            Ok((channel, confirmed))
        };
        let (channel, confirmed) = match timeout_at(deadline, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Ended::Broken(error),
            Err(_) if self.line.is_blocked() => return Ended::Broken(AmqpError::Blocked),
            Err(_) => return Ended::Broken(AmqpError::Late { doing: "publishing" }),
        };
        // Every confirm is in, so every message that was returned is here: with which confirm it came says nothing.
        let mut nacked = Vec::with_capacity(confirmed.len());
        let mut returned = HashSet::new();
        for confirmation in confirmed {
            nacked.push(!confirmation.is_ack());
            if let Some(message) = confirmation.take_message() {
                returned.insert(mark_of(&message));
            }
        }
        let judge = |(message, nacked): (&&Outgoing, bool)| {
            if nacked {
                return Err(AmqpError::Nacked);
            }
            if !returned.is_empty() && returned.contains(&message.mark()) {
                // Where it is ours to declare, it is declared again.
                locked(&self.declared).remove(&message.target.routing_key);
                return Err(AmqpError::Unroutable);
            }
            Ok(())
        };
        let results = messages.iter().zip(nacked).map(judge).collect();
        let mut idle = locked(&self.idle);
        if channel.status().connected() && idle.len() < MOST_WINDOWS {
            idle.push(channel);
        }
        Ended::Concluded(results)
    }

    /// Declares the queues that are ours to declare.
    async fn prepare(&self, publisher: &Publisher, messages: &[&Outgoing]) -> Result<(), AmqpError> {
        let missing: Vec<(String, QueueType)> = {
            let (wanted, declared) = (locked(&publisher.declares), locked(&self.declared));
            let targets = messages.iter().map(|it| &it.target).filter(|it| it.exchange.is_empty());
            let names: BTreeSet<&String> = targets.map(|it| &it.routing_key).collect();
            let new = names.into_iter().filter(|it| !declared.contains(*it));
            new.filter_map(|it| Some((it.clone(), *wanted.get(it)?))).collect()
        };
        for (name, kind) in missing {
            let step = topology::declared_queue(&name, kind);
            match topology::establish(&self.line, &[step]).await {
                Ok(()) => {}
                // It is there, only not as asked for: messages reach it all the same.
                Err(error @ AmqpError::Different { .. }) => {
                    tracing::warn!(%error, "a queue for results was made by someone else");
                }
                Err(error) => return Err(error),
            }
            locked(&self.declared).insert(name);
        }
        Ok(())
    }

    async fn channel(&self) -> Result<Channel, AmqpError> {
        let idle = loop {
            let Some(channel) = locked(&self.idle).pop() else { break None };
            if channel.status().connected() {
                break Some(channel);
            }
        };
        if let Some(channel) = idle {
            return Ok(channel);
        }
        let channel = self.line.channel().await?;
        let asked = channel.confirm_select(ConfirmSelectOptions::default());
        within(self.line.timeout(), "asking for confirms", asked).await?;
        Ok(channel)
    }

    async fn send(&self, channel: &Channel, messages: &[&Outgoing]) -> Result<Vec<Confirmation>, AmqpError> {
        let room = self.line.longest_frame().saturating_sub(FOR_PROPERTIES);
        let one = |message: &&Outgoing| {
            let Outgoing { target, properties, headers, body } = (*message).clone();
            async move {
                let mandatory = !target.routing_key.starts_with(DIRECT_REPLY);
                let options = BasicPublishOptions { mandatory, immediate: false };
                let properties = properties.with_headers(headers.into_table(room));
                let (exchange, key) = (short(&target.exchange)?, short(&target.routing_key)?);
                let sent = channel.basic_publish(exchange, key, options, &body, properties).await;
                sent.map_err(|error| AmqpError::of_publishing(error, &target.exchange))
            }
        };
        // Asked one after the other in their order, and waited for together.
        let sent = join_all(messages.iter().map(one)).await;
        let mut confirmed = Vec::with_capacity(messages.len());
        for (confirm, message) in sent.into_iter().zip(messages) {
            let confirmation = confirm?.await;
            let exchange = &message.target.exchange;
            confirmed.push(confirmation.map_err(|error| AmqpError::of_publishing(error, exchange))?);
        }
        Ok(confirmed)
    }
}
