//! What all these tests share: one broker, mappings, and a client of the plain library as the other side.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::future::BoxFuture;
use lapin::{
    BasicProperties, Channel as Wire, Connection as Client, ConnectionProperties,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::sync::{OnceCell, RwLock};
use vestibule_amqp::Amqp;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::Place,
    mapping::{
        check::{Surroundings, compile},
        diagnostic::Diagnostics,
        plan::Mapping,
        syntax,
    },
    ports::{
        Connection, ConnectionKind, ConnectionRequest, Contract, Extractor, Files, Format, Renderer,
        Returner, Source,
    },
    registry::Registry,
};
use vestibule_testkit::{
    channel::{Letter, World},
    job_store::Broken,
    rabbitmq::RabbitMq,
};

/// One broker for all tests. Those that break it hold it alone.
pub static BROKER: OnceCell<RwLock<RabbitMq>> = OnceCell::const_new();

pub async fn broker() -> &'static RwLock<RabbitMq> {
    BROKER.get_or_init(|| async { RwLock::new(RabbitMq::start().unwrap()) }).await
}

/// A name that no other test has.
pub fn name(of: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{of}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

struct Xml;

impl Format for Xml {
    fn kind(&self) -> &'static str {
        "xml"
    }
    fn reads(&self, _: &str) -> bool {
        true
    }
    fn media_type(&self) -> &'static str {
        "text/xml"
    }
    fn contract(&self, _: &str, _: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault> {
        Ok(None)
    }
    fn extractor(&self, _: &Mapping) -> Result<Arc<dyn Extractor>, Fault> {
        Err(Fault::new(FaultCode::Internal, "not here"))
    }
    fn renderer(
        &self,
        _: &Mapping,
        _: &vestibule_core::mapping::plan::Return,
    ) -> Result<Arc<dyn Renderer>, Fault> {
        Err(Fault::new(FaultCode::Internal, "not here"))
    }
}

/// A mapping with this `receive: amqp`, and `more` keys at its end.
pub fn mapping(receive: &str, more: &str) -> Arc<Mapping> {
    let text = format!(
        "mapping: claims\nreceive: {{ amqp: {{ connection: broker, {receive} }} }}\nsource: {{ kind: xml }}\n\
         record:\n  tenant: {{ from: header x-tenant }}\n  nested: {{ from: header x-nested }}\n  \
         when: {{ from: property timestamp }}\n  corr: {{ from: property correlation_id }}\n{more}\n"
    );
    let registry =
        Registry { formats: vec![Arc::new(Xml)], connections: vec![Arc::new(Amqp)], ..Registry::default() };
    let compiled =
        compile("t.map.yaml", &text, &Surroundings { files: &NoFiles, registry: &registry, routes: None });
    let shown = compiled.diagnostics.render("t.map.yaml", &text, false);
    Arc::new(compiled.mapping.unwrap_or_else(|| panic!("{shown}")))
}

/// A connection with these settings.
pub fn connection(settings: &str, files: &dyn Files) -> Result<Arc<dyn Connection>, String> {
    let mut diagnostics = Diagnostics::default();
    let node = syntax::parse(settings, &mut diagnostics).unwrap();
    let secrets = |name: &str| (name == "BROKER_PASSWORD").then(|| "guest".to_owned());
    let request = ConnectionRequest { name: "broker", settings: &node, files, secrets: &secrets };
    let opened = Amqp.open(request, &mut diagnostics);
    opened.ok_or_else(|| diagnostics.render("vestibule.yaml", settings, false))
}

/// A connection of the user `guest` to this address, with these further lines.
pub fn connection_to(url: &str, more: &str) -> Arc<dyn Connection> {
    let settings = format!("url: {url}\nuser: guest\npassword: BROKER_PASSWORD\n{more}\n");
    connection(&settings, &NoFiles).unwrap()
}

/// The source of a mapping's first channel.
pub fn source(connection: &Arc<dyn Connection>, mapping: &Arc<Mapping>) -> Arc<dyn Source> {
    let mut diagnostics = Diagnostics::default();
    let deliver = mapping
        .handling
        .deliver
        .as_ref()
        .and_then(|channel| connection.place(mapping, channel, &mut diagnostics));
    let source = connection.source(mapping, &mapping.receive[0], deliver.as_ref(), &mut diagnostics);
    source.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// A queue of this connection as a place.
pub fn place(queue: &str) -> Place {
    let to =
        [("exchange", ""), ("routing_key", queue)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Place { returner: "amqp broker".into(), to: to.into() }
}

/// The other side: the plain library.
pub struct Peer {
    _client: Client,
    pub wire: Wire,
}

impl Peer {
    pub async fn new(url: &str) -> Self {
        let client = Client::connect(url, ConnectionProperties::default()).await.unwrap();
        let wire = client.create_channel().await.unwrap();
        wire.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _client: client, wire }
    }

    pub async fn declare(&self, queue: &str, kind: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        self.wire.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    }

    /// Declares one more quorum queue. RabbitMQ 3.10 that is killed finds no leader any more for the quorum queue that was
    /// declared last, whichever that is and however long ago that was: let it be one that nobody needs.
    pub async fn declare_last(&self) {
        self.declare(&name("last"), "quorum").await;
    }

    pub async fn delete(&self, queue: &str) {
        self.wire.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    pub async fn send_all(&self, queue: &str, letters: Vec<(BasicProperties, Vec<u8>)>) {
        let mut confirms = Vec::new();
        for (properties, body) in letters {
            let sent = self.wire.basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                &body,
                properties.with_delivery_mode(2),
            );
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    pub async fn send(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        self.send_all(queue, vec![(properties, body.to_vec())]).await;
    }

    /// Takes everything out of a queue.
    pub async fn drain(&self, queue: &str) -> Vec<Letter> {
        let mut found = Vec::new();
        while let Some(message) =
            self.wire.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
        {
            found.push(letter(&message.delivery.properties, &message.delivery.data));
        }
        found
    }

    /// Takes so many out of a queue, or what there is after a while.
    pub async fn wait_for(&self, queue: &str, many: usize) -> Vec<Letter> {
        let mut found = Vec::new();
        for _ in 0..600 {
            found.extend(self.drain(queue).await);
            if found.len() >= many {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        found
    }
}

fn letter(properties: &BasicProperties, body: &[u8]) -> Letter {
    let text = |it: &Option<ShortString>| it.as_ref().map(ToString::to_string);
    let headers = properties.headers().as_ref().map(|table| {
        let each = table.inner().iter().map(|(name, value)| {
            let value = match value {
                AMQPValue::LongString(text) => text.to_string(),
                AMQPValue::LongLongInt(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            (name.to_string(), value)
        });
        each.collect::<BTreeMap<_, _>>()
    });
    Letter {
        body: body.to_vec(),
        content_type: text(properties.content_type()),
        id: text(properties.message_id()),
        correlation: text(properties.correlation_id()),
        headers: headers.unwrap_or_default(),
    }
}

pub fn properties(letter: &Letter) -> BasicProperties {
    let mut properties = BasicProperties::default();
    if let Some(it) = letter.id.as_deref().filter(|it| !it.is_empty()) {
        properties = properties.with_message_id(it.into());
    }
    if let Some(it) = &letter.content_type {
        properties = properties.with_content_type(it.as_str().into());
    }
    if let Some(it) = &letter.correlation {
        properties = properties.with_correlation_id(it.as_str().into());
    }
    let mut headers = FieldTable::default();
    for (name, value) in &letter.headers {
        headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
    }
    properties.with_headers(headers)
}

/// RabbitMQ as the suite wants it.
pub struct Rabbit {
    peer: Peer,
    connection: Arc<dyn Connection>,
    mapping: Arc<Mapping>,
    queue: String,
    results: String,
}

impl Rabbit {
    /// With a queue of this type.
    pub async fn new(url: &str, peer_url: &str, kind: &str, retry: &str) -> Self {
        let queue = name("in");
        let results = name("out");
        let connection = connection_to(url, "");
        let settings = format!("queue: {queue}, declare: yes, queue_type: {kind}, redeliveries: 2{retry}");
        let mapping = mapping(&settings, "");
        let peer = Peer::new(peer_url).await;
        peer.declare(&results, kind).await;
        // Declares everything.
        source(&connection, &mapping)
            .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
            .await
            .unwrap();
        Self { peer, connection, mapping, queue, results }
    }
}

impl World for Rabbit {
    fn source(&self) -> Arc<dyn Source> {
        source(&self.connection, &self.mapping)
    }

    fn returner(&self) -> Arc<dyn Returner> {
        self.connection.returner()
    }

    fn send(&self, letters: Vec<Letter>) -> BoxFuture<'_, Result<(), Broken>> {
        Box::pin(async move {
            let letters = letters.into_iter().map(|it| (properties(&it), it.body)).collect();
            self.peer.send_all(&self.queue, letters).await;
            Ok(())
        })
    }

    fn place(&self) -> Place {
        place(&self.results)
    }

    fn nowhere(&self) -> Place {
        place("nobody.has.declared.this")
    }

    fn arrived(&self) -> BoxFuture<'_, Result<Vec<Letter>, Broken>> {
        Box::pin(async move { Ok(self.peer.drain(&self.results).await) })
    }

    fn dead_letters(&self) -> BoxFuture<'_, Result<Vec<Letter>, Broken>> {
        Box::pin(async move { Ok(self.peer.drain(&format!("{}.dead", self.queue)).await) })
    }
}
