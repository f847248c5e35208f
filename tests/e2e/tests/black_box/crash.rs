//! SIGKILL at random points under load: what was answered stays answered, one key has one result, and what was
//! interrupted finishes.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use vestibule_testkit::{http, process::Server};

use crate::desk::{Desk, SOAP, element};

/// How often the server is killed; the issue asks for at least 50.
const KILLS: usize = 50;
/// How many callers call at once.
const CALLERS: u64 = 8;

/// What a caller was told.
#[derive(Default)]
struct Told {
    /// Every key that was sent, answered or not.
    sent: Vec<u64>,
    /// Key to reply.
    answered: HashMap<u64, String>,
}

fn claim(template: &str, number: u64) -> String {
    template.replace("C00012345", &format!("C{number:08}"))
}

fn send(server: &Server, template: &str, number: u64) -> Option<String> {
    let key = format!("key-{number}");
    let headers = [("Content-Type", "text/xml"), ("Idempotency-Key", key.as_str())];
    let reply = http::post(server.address(), SOAP, &headers, claim(template, number).as_bytes()).ok()?;
    (reply.status == 200).then(|| reply.text())
}

/// Milliseconds between 20 and 219; randomness without a crate.
fn some_time() -> Duration {
    let mut byte = [0_u8; 1];
    File::open("/dev/urandom").unwrap().read_exact(&mut byte).unwrap();
    Duration::from_millis(20 + u64::from(byte[0]) * 200 / 256)
}

fn load(server: &Server, template: &str, next: &AtomicU64, told: &Mutex<Told>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        told.lock().unwrap().sent.push(number);
        let reply = send(server, template, number);
        if let Some(reply) = reply {
            told.lock().unwrap().answered.insert(number, reply);
        }
    }
}

/// What the programme did.
#[derive(Debug)]
struct Summary {
    sent: usize,
    answered: usize,
}

/// Loads and kills so many servers, then holds a last one to what the callers were told. An `Err` names what was
/// broken.
fn programme(desk: &Desk, kills: usize) -> Result<Summary, String> {
    let template = desk.request("good.xml");
    let (next, told) = (AtomicU64::new(1), Mutex::new(Told::default()));
    for _ in 0..kills {
        let mut server = desk.serve();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| load(&server, &template, &next, &told, &stop));
            }
            std::thread::sleep(some_time());
            kill(&server);
            stop.store(true, Ordering::Relaxed);
        });
        server.kill().unwrap();
    }

    let Told { sent, answered } = told.into_inner().unwrap();
    let server = desk.serve();
    finish(desk)?;
    let mut tickets = HashMap::new();
    for number in &sent {
        let reply = send(&server, &template, *number).ok_or_else(|| format!("key {number} has no result"))?;
        if answered.get(number).is_some_and(|first| *first != reply) {
            return Err(format!("key {number} has two results"));
        }
        let ticket = element(&reply, "Ticket").ok_or("a reply without a ticket")?;
        let job = http::get(server.address(), &format!("/v1/jobs/{ticket}")).unwrap();
        if job.status != 200 {
            return Err(format!("the job of key {number} is not in the store"));
        }
        if let Some(other) = tickets.insert(ticket, number) {
            return Err(format!("keys {other} and {number} share a job"));
        }
    }
    Ok(Summary { sent: sent.len(), answered: answered.len() })
}

#[test]
fn no_answer_is_lost_and_no_key_has_two_results_when_the_server_is_killed() {
    let done = programme(&Desk::quickstart(), KILLS).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(done.answered > KILLS, "{done:?}: no load");
    assert!(done.sent > done.answered, "{done:?}: no call was interrupted, so the kills prove nothing");
    eprintln!("{KILLS} kills, {done:?}");
}

#[test]
fn the_programme_notices_a_server_that_forgets() {
    let desk = Desk::quickstart();
    desk.edit("mappings/claim-triage.map.yaml", "version: 1", "version: 1\ndurability: none");
    let broken = programme(&desk, 2).expect_err("a flow that keeps nothing loses its answers");
    assert!(broken.contains("two results") || broken.contains("not in the store"), "{broken}");
}

/// SIGKILL through the shell's tool: the server is borrowed by its callers.
fn kill(server: &Server) {
    let pid = server.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
}

/// Waits until no job is queued or leased: interrupted ones finish by themselves.
fn finish(desk: &Desk) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let open: usize = ["queued", "leased"].iter().map(|state| listed(desk, state)).sum();
        if open == 0 {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(30) {
            return Err(format!("{open} jobs are still open"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn listed(desk: &Desk, state: &str) -> usize {
    let output = desk.run(&["jobs", "list", ".", "--state", state, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().count()
}
