//! The legacy side: what sends documents to a queue and takes results from another. It talks to the broker directly.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use tokio::{runtime::Runtime, time::timeout};
use vestibule_testkit::rabbitmq::RabbitMq;

use super::world::{IN, Message};

const PATIENCE: Duration = Duration::from_secs(5);
/// Messages that are confirmed together.
const WINDOW: usize = 250;

/// A message as it was taken from a queue.
pub struct Taken {
    pub id: String,
    pub body: String,
    pub headers: HashMap<String, String>,
}

pub struct Client {
    runtime: Runtime,
    url: String,
}

impl Client {
    pub fn of(broker: &RabbitMq) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, url: broker.url_with_credentials() }
    }

    /// Sends messages until the broker has confirmed each, however often it goes away.
    pub fn send(&self, messages: &[Message]) {
        for window in messages.chunks(WINDOW) {
            let began = Instant::now();
            while let Err(error) = self.runtime.block_on(self.send_window(window)) {
                assert!(began.elapsed() < Duration::from_secs(180), "the broker takes no messages: {error}");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    async fn send_window(&self, window: &[Message]) -> Result<(), Box<dyn std::error::Error>> {
        let (connection, channel) = self.open().await?;
        timeout(PATIENCE, channel.confirm_select(ConfirmSelectOptions::default())).await??;
        let mut confirms = Vec::with_capacity(window.len());
        for message in window {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_content_type("text/xml".into())
                .with_message_id(message.id.as_str().into());
            // The bridge may be declaring the queue only now: what is not routed comes back.
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent =
                channel.basic_publish("".into(), IN.into(), options, message.body.as_bytes(), properties);
            confirms.push(timeout(PATIENCE, sent).await??);
        }
        for confirm in confirms {
            match timeout(PATIENCE, confirm).await?? {
                Confirmation::Ack(None) => {}
                other => return Err(format!("not taken: {other:?}").into()),
            }
        }
        timeout(PATIENCE, connection.close(200, "done".into())).await??;
        Ok(())
    }

    /// Takes everything that is in a queue.
    pub fn take_all(&self, queue: &str) -> Result<Vec<Taken>, String> {
        self.runtime.block_on(self.take(queue)).map_err(|error| format!("{queue}: {error}"))
    }

    async fn take(&self, queue: &str) -> Result<Vec<Taken>, Box<dyn std::error::Error>> {
        let (connection, channel) = self.open().await?;
        let mut all = Vec::new();
        loop {
            let got = channel.basic_get(queue.into(), BasicGetOptions::default());
            let Some(message) = timeout(PATIENCE, got).await?? else { break };
            let headers = message.properties.headers().as_ref().map(texts).unwrap_or_default();
            all.push(Taken {
                id: message.properties.message_id().as_ref().map(|it| it.to_string()).unwrap_or_default(),
                body: String::from_utf8_lossy(&message.data).into_owned(),
                headers,
            });
            message.ack(BasicAckOptions::default()).await?;
        }
        timeout(PATIENCE, connection.close(200, "done".into())).await??;
        Ok(all)
    }

    /// How many messages wait in a queue; those that a consumer holds are not counted.
    pub fn depth(&self, queue: &str) -> Result<u32, String> {
        self.runtime
            .block_on(async {
                let (connection, channel) = self.open().await?;
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let asked = channel.queue_declare(queue.into(), options, FieldTable::default());
                let depth = timeout(PATIENCE, asked).await??.message_count();
                timeout(PATIENCE, connection.close(200, "done".into())).await??;
                Ok(depth)
            })
            .map_err(|error: Box<dyn std::error::Error>| format!("{queue}: {error}"))
    }

    /// Declares one more quorum queue. RabbitMQ 3.10 that is killed finds no leader any more for the quorum queue that was
    /// declared last, whichever that is (seen in every try, however long ago that was): let it be this one.
    pub fn declare_last(&self) {
        let declared = self.runtime.block_on(async {
            let (connection, channel) = self.open().await?;
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            let declaring = channel.queue_declare("last".into(), QueueDeclareOptions::durable(), arguments);
            timeout(PATIENCE, declaring).await??;
            timeout(PATIENCE, connection.close(200, "done".into())).await??;
            Ok::<_, Box<dyn std::error::Error>>(())
        });
        declared.unwrap_or_else(|error| panic!("no further queue: {error}"));
    }

    async fn open(&self) -> Result<(Connection, Channel), Box<dyn std::error::Error>> {
        let connecting = Connection::connect(&self.url, ConnectionProperties::default());
        let connection = timeout(PATIENCE, connecting).await??;
        let channel = timeout(PATIENCE, connection.create_channel()).await??;
        Ok((connection, channel))
    }
}

fn texts(table: &FieldTable) -> HashMap<String, String> {
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => format!("{other:?}"),
    };
    table.inner().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
