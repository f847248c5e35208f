//! A bridge between two queues, with everything that it stands on, private and stoppable.

use std::{fs, time::Duration};

use serde_json::json;
use vestibule_testkit::{model_server::ModelServer, process::Server, proxy::Proxy, rabbitmq::RabbitMq};

use crate::desk::Desk;

pub const IN: &str = "claims.in";
pub const OUT: &str = "claims.out";
pub const DEAD: &str = "claims.dead";
/// Most messages that the bridge works on at once.
pub const AT_ONCE: usize = 32;

/// What is sent: one message, perhaps a repetition.
#[derive(Clone)]
pub struct Message {
    pub id: String,
    pub body: String,
    pub is_poison: bool,
}

/// Broker, proxy, model, and the bridge between them.
pub struct World {
    pub broker: RabbitMq,
    pub proxy: Proxy,
    pub model: ModelServer,
    pub desk: Desk,
    /// `None` while it is killed.
    pub server: Option<Server>,
}

impl World {
    /// Starts everything; `more` is added to the mapping.
    pub fn start(more: &str) -> Self {
        let broker = RabbitMq::start().unwrap();
        let proxy = Proxy::start(broker.address()).unwrap();
        let model = ModelServer::start(&json!({ "priority": "high" }), Duration::from_millis(4)).unwrap();
        let desk = Desk::empty();
        let folder = desk.folder.path();
        fs::create_dir_all(folder.join("mappings/prompts")).unwrap();
        fs::write(folder.join("vestibule.yaml"), config(&proxy, &model)).unwrap();
        fs::write(folder.join("mappings/bridge.map.yaml"), format!("{MAPPING}{more}")).unwrap();
        fs::write(folder.join("mappings/prompts/triage.md"), "Claim {{ claim_no }}: how urgent is it?\n")
            .unwrap();
        let mut world = Self { broker, proxy, model, desk, server: None };
        world.serve();
        world
    }

    /// Starts the bridge, where it does not run.
    pub fn serve(&mut self) {
        if self.server.is_none() {
            let served = self.desk.serve_with(|command| {
                command
                    .env("BROKER_PASSWORD", "guest")
                    .env("NO_PROXY", "127.0.0.1")
                    .env("no_proxy", "127.0.0.1");
            });
            self.server = Some(served);
        }
    }

    /// The last lines that the running bridge wrote.
    pub fn last_log(&self) -> String {
        let log = self.server.as_ref().map(Server::stderr).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

fn config(proxy: &Proxy, model: &ModelServer) -> String {
    format!(
        "listen: 127.0.0.1:8080\n\
         store: {{ sqlite: data/jobs.db }}\n\
         connections:\n  broker: {{ amqp: {{ url: 'amqp://{}/%2f', user: guest, password: BROKER_PASSWORD, \
         heartbeat: 2s, timeout: 3s }} }}\n\
         models:\n  large: {{ openai: {{ url: '{}', model: test }} }}\n\
         routes:\n  triage: [large]\n",
        proxy.address(),
        model.url(),
    )
}

const MAPPING: &str = "\
mapping: bridge
receive:
  amqp: { connection: broker, queue: claims.in, prefetch: 100, declare: yes, redeliveries: 100, dead_letter: claims.dead, content_type: text/xml }
source: { kind: xml }
record:
  claim_no: { from: Claim/No, required: yes, pattern: 'C\\d{8}' }
  amount:   { from: Claim/Amt, type: money, required: yes }
ask:
  route: triage
  prompt: prompts/triage.md
  answer:
    priority: { one_of: [low, normal, high], required: yes }
  deadline: 10s
return:
  into: Result
  write:
    ClaimNo: claim_no
    Priority: answer.priority
    Ticket: ticket
deliver:
  amqp: { connection: broker, queue: claims.out, declare: yes }
concurrency: 32
";

/// Messages in the order they are sent: of each hundred four are poison (two that can not be read, two without what must
/// be there), and eight repeat an earlier one.
pub fn messages(number: usize) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::with_capacity(number);
    for at in 0..number {
        let (id, no) = (format!("msg-{at}"), format!("C{at:08}"));
        let message = match at % 100 {
            3 | 53 => Message { id, body: format!("<Claim><No>{no}</No><Amt>12"), is_poison: true },
            33 | 83 => Message { id, body: format!("<Claim><No>{no}</No></Claim>"), is_poison: true },
            place if place % 12 == 11 && place < 96 => all[at - 9].clone(),
            _ => {
                let body = format!("<Claim><No>{no}</No><Amt>{at}.50</Amt></Claim>");
                Message { id, body, is_poison: false }
            }
        };
        all.push(message);
    }
    all
}
