//! Two processes on one PostgreSQL: one is killed under load, the other finishes everything, and no record is asked
//! about again once its answer was saved.

use std::{
    collections::{HashMap, HashSet},
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use vestibule_testkit::{http, model_server::ModelServer, postgres::Postgres, process::Server};

use crate::desk::Desk;

const DOCUMENTS: usize = 40;
const RECORDS: usize = 25;
const PATIENCE: Duration = Duration::from_secs(150);

struct World {
    database: String,
    postgres: &'static Postgres,
    model: ModelServer,
    desk: Desk,
}

impl World {
    fn new() -> Self {
        let postgres = Postgres::shared().unwrap();
        let database = postgres.database().unwrap();
        let model = ModelServer::start(&json!({ "priority": "high" }), Duration::from_millis(25)).unwrap();
        let desk = Desk::empty();
        let folder = desk.folder.path();
        fs::create_dir_all(folder.join("mappings/prompts")).unwrap();
        fs::write(folder.join("mappings/prompts/triage.md"), "Claim {{ claim_no }}: how urgent is it?\n")
            .unwrap();
        fs::write(folder.join("mappings/batch.map.yaml"), MAPPING).unwrap();
        let plain = database.replace("postgres@", "");
        fs::write(
            folder.join("vestibule.yaml"),
            format!(
                "store: {{ postgres: {{ url: '{plain}', user: postgres, lease: 30s }} }}\n\
                 models:\n  large: {{ openai: {{ url: '{}', model: test }} }}\nroutes:\n  triage: [large]\n",
                model.url()
            ),
        )
        .unwrap();
        Self { database, postgres, model, desk }
    }

    fn serve(&self) -> Server {
        self.desk.serve_with(|command| {
            command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        })
    }

    /// The questions whose answers are saved: in a checkpoint, or in a result.
    fn saved(&self) -> HashSet<String> {
        let sql = "SELECT j.id || '-' || c.record FROM vestibule.checkpoints c JOIN vestibule.jobs j ON j.seq = c.job \
                   UNION ALL \
                   SELECT j.id || '-' || n FROM vestibule.jobs j, generate_series(0, 24) n WHERE j.state IN (3, 4)";
        let found = self.postgres.sql(&self.database, sql).unwrap();
        found.lines().map(str::to_owned).collect()
    }
}

const MAPPING: &str = "\
mapping: batch
source: { kind: xml, each: Claim }
record:
  claim_no: { from: No, required: yes }
ask:
  route: triage
  prompt: prompts/triage.md
  answer:
    priority: { one_of: [low, normal, high], required: yes }
  deadline: 60s
return:
  into: Result
  write:
    No: claim_no
    Priority: answer.priority
";

fn document(number: usize) -> String {
    let claims: String = (0..RECORDS).map(|at| format!("<Claim><No>{number}-{at}</No></Claim>")).collect();
    format!("<Batch>{claims}</Batch>")
}

fn submit(server: &Server, number: usize) -> String {
    let key = format!("batch-{number}");
    let headers =
        [("Content-Type", "text/xml"), ("Prefer", "respond-async"), ("Idempotency-Key", key.as_str())];
    let reply =
        http::post(server.address(), "/v1/flows/batch", &headers, document(number).as_bytes()).unwrap();
    assert_eq!(reply.status, 202, "{}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    body["ticket"].as_str().unwrap().to_owned()
}

fn look(server: &Server, ticket: &str) -> Value {
    let reply = http::get(server.address(), &format!("/v1/jobs/{ticket}")).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn when_one_of_two_processes_is_killed_the_other_finishes_all_and_asks_nothing_twice_that_was_saved() {
    let world = World::new();
    let (mut first, second) = (world.serve(), world.serve());
    let tickets: Vec<String> =
        (0..DOCUMENTS).map(|number| submit(if number % 4 == 0 { &second } else { &first }, number)).collect();
    // In the middle of its work: some answers are saved, few documents are done.
    let began = Instant::now();
    while world.saved().len() < DOCUMENTS * RECORDS / 4 {
        assert!(began.elapsed() < PATIENCE, "nothing is saved\n{}", first.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill().unwrap();
    // What the other process saves while we look counts as saved: its questions lie before the end of the look.
    let saved = world.saved();
    let killed = Instant::now();
    assert!(saved.len() < DOCUMENTS * RECORDS, "the kill came too late to prove anything");

    for ticket in &tickets {
        while !["answered", "returned"].contains(&look(&second, ticket)["state"].as_str().unwrap_or_default())
        {
            let state = look(&second, ticket);
            assert!(killed.elapsed() < PATIENCE, "{state}\n{}", second.stderr());
            std::thread::sleep(Duration::from_millis(100));
        }
        let text = look(&second, ticket)["reply"]["text"].as_str().unwrap_or_default().to_owned();
        assert_eq!(text.matches("<Priority>high</Priority>").count(), RECORDS, "{text}");
    }
    let asked: HashMap<String, Vec<Instant>> = world.model.asked();
    assert_eq!(asked.len(), DOCUMENTS * RECORDS, "each record is one question");
    let (mut again, mut wrong) = (0, Vec::new());
    for (question, times) in &asked {
        again += times.len() - 1;
        if saved.contains(question) && times.iter().any(|it| *it > killed) {
            wrong.push(question);
        }
    }
    assert!(wrong.is_empty(), "asked again although saved: {wrong:?}");
    eprintln!("{} saved at the kill, {again} asked again of {}", saved.len(), DOCUMENTS * RECORDS);
}
