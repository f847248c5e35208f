//! Documents from a queue.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel, Consumer,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use tokio::time::{Instant, sleep_until};
use vestibule_core::{
    fault::Fault,
    ports::{Intake, Receipt, Received, Settlement, Source},
};

use crate::{
    error::AmqpError,
    headers::ATTEMPT,
    line::{Line, within, within_about},
    message::{Held, Reading},
    publisher::{Outgoing, Publisher},
    settings::Settings,
    topology::{self, short},
};

/// How long nothing may come before the broker is asked whether the queue is still there.
const QUIET: Duration = Duration::from_secs(30);
/// Longest time that a message is kept back here, unacknowledged, where there is no queue for that. Brokers close the
/// channel of who is silent about a message for half an hour.
const LONGEST_HERE: Duration = Duration::from_secs(600);

/// A queue that documents are taken from.
pub(crate) struct AmqpSource {
    /// `amqp broker claims.in`.
    pub name: String,
    pub role: String,
    pub settings: Arc<Settings>,
    pub reading: Arc<Reading>,
    pub publisher: Arc<Publisher>,
}

impl Source for AmqpSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(
        &self,
        _: Arc<dyn vestibule_core::ports::Positions>,
    ) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(async move {
            let intake = self.subscribe().await.map_err(AmqpError::of_source)?;
            Ok(Box::new(intake) as Box<dyn Intake>)
        })
    }
}

impl AmqpSource {
    async fn subscribe(&self) -> Result<AmqpIntake, AmqpError> {
        let receive = &self.reading.receive;
        let line = Line::open(&self.settings, self.role.clone()).await?;
        topology::establish(&line, &topology::of_receive(receive)).await?;
        let channel = line.channel().await?;
        let longest = line.timeout();
        let asked = channel.basic_qos(receive.prefetch, BasicQosOptions::default());
        within(longest, "setting the prefetch", asked).await?;
        let queue = short(&receive.queue)?;
        let asked = channel.basic_consume(
            queue,
            "vestibule".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let what = format!("the queue `{}`", receive.queue);
        let consumer = within_about(longest, "subscribing", &what, asked).await?;
        Ok(AmqpIntake {
            reading: Arc::clone(&self.reading),
            publisher: Arc::clone(&self.publisher),
            consumer,
            channel,
            line,
            outstanding: BTreeMap::new(),
            waiting: VecDeque::new(),
        })
    }
}

/// An open subscription. The fields are dropped in this order: nothing is asked of a line that is gone.
pub(crate) struct AmqpIntake {
    reading: Arc<Reading>,
    publisher: Arc<Publisher>,
    consumer: Consumer,
    channel: Channel,
    line: Line,
    /// What was handed over and not settled, by its delivery tag.
    outstanding: BTreeMap<u64, Held>,
    /// What waits here for its time, the first to be due in front.
    waiting: VecDeque<(Instant, u64)>,
}

impl Intake for AmqpIntake {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        Box::pin(async move { self.batch(most.max(1)).await.map_err(AmqpError::of_source) })
    }

    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.settle_all(settled).await.map_err(AmqpError::of_source) })
    }
}

impl AmqpIntake {
    /// Cancel-safe: what comes out of the stream is put into the batch and returned without another await.
    async fn batch(&mut self, most: usize) -> Result<Vec<Received>, AmqpError> {
        loop {
            let mut batch = self.due(most);
            while batch.len() < most
                && let Some(delivery) = self.consumer.next().now_or_never()
            {
                match delivery {
                    Some(Ok(delivery)) => batch.push(self.hand_over(delivery)),
                    // What came before it is handed over first; the end is found again by the next call.
                    _ if !batch.is_empty() => return Ok(batch),
                    Some(Err(error)) => return Err(AmqpError::new(error, "receiving", None)),
                    None => return Err(self.end()),
                }
            }
            if !batch.is_empty() {
                return Ok(batch);
            }
            let quiet = Instant::now() + QUIET;
            let wake = self.waiting.front().map_or(quiet, |(due, _)| quiet.min(*due));
            // Cancel-safe: a stream's `next` that is dropped has taken nothing.
            let delivery = tokio::select! {
                delivery = self.consumer.next() => delivery,
                () = sleep_until(wake) => {
                    if wake == quiet {
                        self.probe().await?;
                    }
                    continue;
                }
            };
            let first = match delivery {
                Some(Ok(delivery)) => self.hand_over(delivery),
                Some(Err(error)) => return Err(AmqpError::new(error, "receiving", None)),
                None => return Err(self.end()),
            };
            let mut batch = vec![first];
            while batch.len() < most
                && let Some(Some(Ok(delivery))) = self.consumer.next().now_or_never()
            {
                batch.push(self.hand_over(delivery));
            }
            return Ok(batch);
        }
    }

    /// Why the stream ended: it does not say.
    fn end(&self) -> AmqpError {
        if self.line.is_open() {
            return AmqpError::Cancelled;
        }
        let state = lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed);
        AmqpError::new(state.into(), "receiving", None)
    }

    /// Asks whether the queue is still there, so that silence is known to be quiet.
    async fn probe(&self) -> Result<(), AmqpError> {
        let queue = &self.reading.receive.queue;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asked = self.channel.queue_declare(short(queue)?, options, FieldTable::default());
        let what = format!("the queue `{queue}`");
        let asked = within_about(self.line.timeout(), "asking for the queue", &what, asked).await;
        if matches!(asked, Err(AmqpError::Late { .. })) {
            self.line.cut();
        }
        asked.map(drop)
    }

    fn hand_over(&mut self, delivery: lapin::message::Delivery) -> Received {
        let tag = delivery.delivery_tag;
        let held = Held::of(delivery, &self.reading);
        let received = received(tag, &held);
        self.outstanding.insert(tag, held);
        received
    }

    /// What has waited here long enough.
    fn due(&mut self, most: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut due = Vec::new();
        while due.len() < most
            && let Some((_, tag)) = self.waiting.pop_front_if(|(at, _)| *at <= now)
        {
            if let Some(held) = self.outstanding.get_mut(&tag) {
                held.attempts = held.attempts.saturating_add(1);
                held.redelivered = held.redelivered.max(held.attempts);
                due.push(received(tag, held));
            }
        }
        due
    }

    async fn settle_all(&mut self, settled: Vec<(Receipt, Settlement)>) -> Result<(), AmqpError> {
        let mut done = Vec::with_capacity(settled.len());
        let mut refused = Vec::new();
        let mut moved: Vec<(u64, Outgoing)> = Vec::new();
        for (Receipt(tag), settlement) in settled {
            let Some(held) = self.outstanding.get(&tag) else { continue };
            match settlement {
                Settlement::Accepted => done.push(tag),
                Settlement::Later(delay) => match self.later(tag, held, delay) {
                    Next::Send(message) => moved.push((tag, *message)),
                    Next::Wait(until) => self.wait(tag, until),
                    Next::Refuse => refused.push(tag),
                },
                Settlement::DeadLetter { cause, findings } => match &self.reading.receive.dead_letter {
                    Some(target) => {
                        let mut message = held.sent_on(target);
                        message.headers.refusal(&cause, &findings);
                        moved.push((tag, message));
                    }
                    None => refused.push(tag),
                },
            }
        }
        let (tags, messages): (Vec<u64>, Vec<Outgoing>) = moved.into_iter().unzip();
        let mut failed = None;
        for (tag, result) in tags.into_iter().zip(self.publisher.publish(&messages).await) {
            match result {
                Ok(()) => done.push(tag),
                Err(error) => failed = Some(error),
            }
        }
        self.acknowledge(done).await?;
        for tag in refused {
            tracing::warn!(queue = %self.reading.receive.queue, "a message is refused, and no dead letters are set up here");
            self.outstanding.remove(&tag);
            let asked = self.channel.basic_reject(tag, BasicRejectOptions { requeue: false });
            within(self.line.timeout(), "refusing a message", asked).await?;
        }
        // What could not be moved stays unacknowledged: with the end of this subscription it is delivered again.
        failed.map_or(Ok(()), Err)
    }

    fn later(&self, tag: u64, held: &Held, delay: Duration) -> Next {
        let receive = &self.reading.receive;
        if held.attempts >= receive.redeliveries {
            let Some(target) = &receive.dead_letter else { return Next::Refuse };
            let mut message = held.sent_on(target);
            let cause = format!("V011: it was tried {} times without success", held.attempts + 1);
            message.headers.refusal(&cause, &[]).number(ATTEMPT, held.attempts);
            return Next::Send(Box::new(message));
        }
        match receive.retry_target(delay) {
            Some(target) => {
                let mut message = held.sent_on(&target);
                message.headers.number(ATTEMPT, held.attempts + 1);
                Next::Send(Box::new(message))
            }
            None => {
                tracing::debug!(tag, "a message waits here for its next try");
                Next::Wait(Instant::now() + delay.min(LONGEST_HERE))
            }
        }
    }

    fn wait(&mut self, tag: u64, until: Instant) {
        let place = self.waiting.partition_point(|(at, _)| *at <= until);
        self.waiting.insert(place, (until, tag));
    }

    /// Acknowledges; all that is outstanding up to the last of them at once, where that is all of them.
    async fn acknowledge(&mut self, mut tags: Vec<u64>) -> Result<(), AmqpError> {
        const DOING: &str = "acknowledging";
        tags.sort_unstable();
        let run = self.outstanding.keys().zip(&tags).take_while(|(one, other)| one == other).count();
        let (together, single) = tags.split_at(run);
        if let Some(last) = together.last() {
            let asked = self.channel.basic_ack(*last, BasicAckOptions { multiple: true });
            within(self.line.timeout(), DOING, asked).await?;
        }
        for tag in together {
            self.outstanding.remove(tag);
        }
        for tag in single {
            let asked = self.channel.basic_ack(*tag, BasicAckOptions { multiple: false });
            within(self.line.timeout(), DOING, asked).await?;
            self.outstanding.remove(tag);
        }
        Ok(())
    }
}

/// What happens to a message that is to be tried again.
enum Next {
    /// It is published, and then acknowledged.
    Send(Box<Outgoing>),
    /// It stays here, unacknowledged, until then.
    Wait(Instant),
    /// It is refused: nowhere is a place for it.
    Refuse,
}

fn received(tag: u64, held: &Held) -> Received {
    Received {
        document: held.document.clone(),
        return_to: held.return_to.clone(),
        redelivered: held.redelivered,
        receipt: Receipt(tag),
    }
}
