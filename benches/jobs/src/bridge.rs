//! AMQP in, rules, AMQP out with confirms, against a plain lapin loop that consumes and republishes with confirms.

use std::{
    error::Error,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions, QueuePurgeOptions,
    },
    types::{AMQPValue, FieldTable, LongString},
};
use serde_json::json;
use tokio::{runtime::Runtime, time::timeout};
use vestibule_testkit::rabbitmq::RabbitMq;

use crate::{Bar, Measured, median};

/// Unacknowledged messages of a consumer, of ours and of the loop.
const PREFETCH: u16 = 500;
/// Messages that are confirmed together.
const WINDOW: usize = 500;
const PATIENCE: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub fn measure(
    runtime: &Runtime,
    binary: &str,
    rounds: usize,
    messages: usize,
) -> std::result::Result<Measured, String> {
    runtime.block_on(run(binary, rounds, messages)).map_err(|error| error.to_string())
}

async fn run(binary: &str, rounds: usize, messages: usize) -> Result<Measured> {
    // It is started in a directory of its own.
    let binary = fs::canonicalize(binary).map_err(|error| format!("{binary}: {error}"))?;
    let broker = RabbitMq::start()?;
    let url = broker.url_with_credentials();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in ["loop.in", "loop.out", "claims.in", "claims.out"] {
        declare(&channel, queue).await?;
    }
    let (mut ratios, mut ours, mut loops, mut publishing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let world = tempfile::tempdir()?;
        write_world(world.path(), &broker.url())?;
        let mut pair = [0.0, 0.0];
        for turn in 0..2 {
            // Who is first meets a colder broker.
            if (turn + round) % 2 == 0 {
                publishing.push(publish(&url, "claims.in", messages).await?);
                let server = Bridge::start(&binary, world.path())?;
                pair[0] = count(&url, "claims.out", messages).await?;
                drop(server);
            } else {
                publishing.push(publish(&url, "loop.in", messages).await?);
                let running = tokio::spawn(plain_loop(url.clone()));
                pair[1] = count(&url, "loop.out", messages).await?;
                running.abort();
            }
        }
        for queue in ["loop.in", "loop.out", "claims.in", "claims.out"] {
            channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        }
        ratios.push(pair[0] / pair[1]);
        ours.push(pair[0]);
        loops.push(pair[1]);
    }
    let publishing = median(publishing);
    let about = json!({
        "messages": messages, "prefetch": PREFETCH,
        "bridge_per_second": median(ours.clone()).round(), "plain_loop_per_second": median(loops).round(),
        "confirmed_publishing_per_second": publishing.round(),
        "ratio_to_publishing": (median(ours) / publishing * 100.0).round() / 100.0,
        "ratios": ratios,
    });
    Ok(Measured { name: "bridge", ratio: median(ratios), bar: Bar::AtLeast(0.5), about })
}

/// As `declare: yes` of a mapping declares it, so that both meet the same kind of queue.
async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
    Ok(())
}

/// Sends so many persistent messages and waits for all confirms; how many a second.
async fn publish(url: &str, queue: &str, messages: usize) -> Result<f64> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let run = std::process::id();
    let began = Instant::now();
    let mut confirms = std::collections::VecDeque::with_capacity(WINDOW);
    for at in 0..messages {
        let stamp = began.elapsed().as_nanos();
        let body = format!(
            "<Claim><No>C{at:08}</No><Amt>{at}.50</Amt><Story>{}</Story></Claim>",
            "Water came through the ceiling. ".repeat(20)
        );
        let properties = persistent(format!("{run}-{stamp}-{at}"));
        let sent = channel.basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties,
        );
        confirms.push_back(sent.await?);
        if confirms.len() >= WINDOW
            && let Some(first) = confirms.pop_front()
        {
            first.await?;
        }
    }
    for confirm in confirms {
        confirm.await?;
    }
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await?;
    Ok(rate)
}

fn persistent(id: String) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("text/xml".into())
        .with_message_id(id.as_str().into())
}

/// Takes results until all have come; how many a second between the first and the last.
async fn count(url: &str, queue: &str, messages: usize) -> Result<f64> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut results =
        channel.basic_consume(queue.into(), "count".into(), options, FieldTable::default()).await?;
    let mut began = None;
    for at in 0..messages {
        let result = timeout(PATIENCE, results.next()).await;
        result
            .map_err(|_| format!("{queue}: only {at} of {messages} results"))?
            .ok_or("the consumer ended")??;
        began.get_or_insert_with(Instant::now);
    }
    let rate = messages as f64 / began.ok_or("no messages")?.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await?;
    Ok(rate)
}

/// What anybody would write: takes what is there, publishes it persistently, waits for the confirms, acknowledges.
async fn plain_loop(url: String) -> Result<()> {
    let consuming = Connection::connect(&url, ConnectionProperties::default()).await?;
    let publishing = Connection::connect(&url, ConnectionProperties::default()).await?;
    let (source, target) = (consuming.create_channel().await?, publishing.create_channel().await?);
    source.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    target.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut messages = source
        .basic_consume("loop.in".into(), "loop".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    loop {
        let window = window(&mut messages).await?;
        let mut confirms = Vec::with_capacity(window.len());
        for message in &window {
            let id = message.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
            let sent = target.basic_publish(
                "".into(),
                "loop.out".into(),
                BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
                &message.data,
                persistent(id),
            );
            confirms.push(sent.await?);
        }
        for confirm in confirms {
            confirm.await?;
        }
        if let Some(last) = window.last() {
            last.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
}

async fn window(messages: &mut Consumer) -> Result<Vec<Delivery>> {
    let mut window = vec![messages.next().await.ok_or("the consumer ended")??];
    while window.len() < WINDOW
        && let Ok(next) = timeout(Duration::from_millis(1), messages.next()).await
    {
        window.push(next.ok_or("the consumer ended")??);
    }
    Ok(window)
}

/// A running Vestibule; killed when dropped.
struct Bridge(Child);

impl Bridge {
    fn start(binary: &Path, world: &Path) -> Result<Self> {
        let log = fs::File::create(world.join("log"))?;
        let child = Command::new(binary)
            .args(["serve", "."])
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(world)
            .env("BROKER_PASSWORD", "guest")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        Ok(Self(child))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn write_world(place: &Path, url: &str) -> Result<()> {
    fs::create_dir_all(place.join("mappings"))?;
    fs::write(
        place.join("vestibule.yaml"),
        format!(
            "store: {{ sqlite: data/jobs.db }}\n\
             connections:\n  broker: {{ amqp: {{ url: '{url}', user: guest, password: BROKER_PASSWORD }} }}\n\
             models:\n  desk: {{ rules: mappings/triage.rules.yaml }}\n\
             routes:\n  triage: [desk]\n"
        ),
    )?;
    fs::write(place.join("mappings/claims.map.yaml"), MAPPING)?;
    fs::write(place.join("mappings/triage.rules.yaml"), RULES)?;
    Ok(())
}

const MAPPING: &str = "\
mapping: claims
receive:
  amqp: { connection: broker, queue: claims.in, prefetch: 500, content_type: text/xml }
source: { kind: xml }
record:
  claim_no: { from: Claim/No, required: yes, pattern: 'C\\d{8}' }
  amount:   { from: Claim/Amt, type: money, required: yes }
  story:    { from: Claim/Story, length: ..4000 }
ask:
  route: triage
  answer:
    priority: { one_of: [low, normal, high], required: yes }
return:
  into: Result
  write:
    ClaimNo: claim_no
    Priority: answer.priority
    Ticket: ticket
deliver:
  amqp: { connection: broker, queue: claims.out }
";

const RULES: &str = "\
rules: claims
rows:
  - if: amount > 5000
    answer: { priority: high }
otherwise: { priority: normal }
";
