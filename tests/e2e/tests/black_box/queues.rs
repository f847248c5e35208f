//! Claims by a queue: a real broker, and a foreign producer and consumer that knows nothing of us.

use std::process::{Command, Output};

use serde_json::Value;
use vestibule_testkit::{http, process::Server, rabbitmq::RabbitMq};

use crate::{
    desk::{Desk, element},
    foreign::{eventually, python},
};

/// The sample, at this broker.
fn desk(broker: &RabbitMq) -> Desk {
    let desk = Desk::of("queue");
    desk.edit("vestibule.yaml", "amqp://127.0.0.1:5672", &format!("amqp://{}", broker.address()));
    desk
}

fn password(command: &mut Command) {
    command.env("BROKER_PASSWORD", "guest");
}

/// A server whose source is open.
fn serve(desk: &Desk) -> Server {
    let server = desk.serve_with(password);
    eventually("the source's opening", || is_up(&server).filter(|it| *it));
    server
}

fn is_up(server: &Server) -> Option<bool> {
    let ready = http::get(server.address(), "/readyz").ok()?;
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json().ok()?["sources"][0]["up"].as_bool()
}

fn request(desk: &Desk, broker: &RabbitMq, arguments: &[&str]) -> Output {
    python("pika_requester.py")
        .args([&broker.address().port().to_string(), "claims.in"])
        .arg(desk.folder.path().join("requests/claim.xml"))
        .args(arguments)
        .output()
        .unwrap()
}

fn replies(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[test]
fn latin_1_xml_with_a_reply_to_is_answered_once_and_poison_goes_to_the_dead_letters() {
    let broker = RabbitMq::start().unwrap();
    let desk = desk(&broker);
    let server = serve(&desk);
    let mut answered = replies(&request(&desk, &broker, &["20"]));
    answered.sort_by_key(|it| it["message_id"].as_str().map(|it| (it.len(), it.to_owned())));
    assert_eq!(answered.len(), 20, "{answered:?}");
    for (number, reply) in answered.iter().enumerate() {
        assert_eq!(reply["message_id"], format!("m-{number}"), "{reply}");
        assert_eq!(reply["correlation_id"], format!("c-{number}"), "{reply}");
        assert_eq!(reply["headers"]["x-vestibule-outcome"], "pass", "{reply}");
        let body = reply["body"].as_str().unwrap();
        assert_eq!(element(body, "Insured").as_deref(), Some("José Muñoz"), "{body}");
        assert_eq!(element(body, "Priority").as_deref(), Some("normal"), "{body}");
    }
    // What can not be read is a job of its own, and lies with the dead letters, findings and all.
    request(&desk, &broker, &["1", "bad"]);
    let dead = eventually("a dead letter", || {
        let listed = broker.ctl(&["list_queues", "name", "messages", "--quiet"]).ok()?;
        listed
            .lines()
            .find(|it| it.starts_with("claims.dead"))
            .filter(|it| !it.ends_with("\t0"))
            .map(str::to_owned)
    });
    assert!(dead.starts_with("claims.dead"), "{dead}");
    let listed = desk.run(&["jobs", "list", ".", "--state", "dead", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("V00"), "{listed}");
    drop(server);
}

#[test]
fn a_result_that_the_broker_returns_is_told_without_its_content() {
    let broker = RabbitMq::start().unwrap();
    let desk = desk(&broker);
    // The most that can be asked for: what libraries say about messages and logins is not let through either.
    let server = desk.serve_with(|command| {
        command.env("BROKER_PASSWORD", "guest").env("VESTIBULE_LOG", "trace");
    });
    eventually("the source's opening", || is_up(&server).filter(|it| *it));
    let sent = request(&desk, &broker, &["1", "nowhere"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let log = eventually("the return of the result", || {
        Some(server.stderr()).filter(|it| it.contains("no queue is bound for it"))
    });
    // `ClaimDecision`, as libraries print bytes.
    for said in ["ClaimDecision", "67, 108, 97, 105, 109, 68", "BasicReturn", "lapin::"] {
        assert!(!log.contains(said), "{said} is in the log:\n{log}");
    }
}

/// The reader below us calls itself for each list in a list: a message must not be able to end the process.
#[test]
fn a_message_whose_headers_are_nested_as_deep_as_a_frame_allows_is_a_message_like_others() {
    let broker = RabbitMq::start().unwrap();
    let desk = desk(&broker);
    let mut server = serve(&desk);
    let answered = replies(&request(&desk, &broker, &["1", "deep"]));
    assert_eq!(answered.len(), 1, "{}", server.stderr());
    assert_eq!(answered[0]["headers"]["x-vestibule-outcome"], "pass", "{answered:?}");
    server.terminate().unwrap();
    assert!(server.wait(std::time::Duration::from_secs(30)).unwrap().success(), "{}", server.stderr());
}

#[test]
fn a_server_starts_although_its_broker_is_down_and_reads_once_it_is_up() {
    let mut broker = RabbitMq::start().unwrap();
    let desk = desk(&broker);
    broker.kill().unwrap();
    let server = desk.serve_with(password);
    assert_eq!(is_up(&server), Some(false), "the calls are served all the same");
    broker.start_again().unwrap();
    eventually("the source's opening", || is_up(&server).filter(|it| *it));
    assert_eq!(replies(&request(&desk, &broker, &["1"])).len(), 1);
}
