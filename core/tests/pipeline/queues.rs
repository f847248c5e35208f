//! Sources: what a queue hands over is durable before it is settled, worked on in its order, and never lost.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep};
use vestibule_core::{
    fault::Recovery,
    flow::Flow,
    job::{Job, JobFilter, JobId, JobState, NewJob, ReturnAddress, Start},
    ports::{JobStore, Model, Returner},
    runner::{Fed, Parts, Request, Runner, RunnerSettings, Wait},
};
use vestibule_testkit::{MemoryStore, ScriptedModel, Step, memory_store::FailingStore};

use crate::{
    broker::{Feed, Message, Post, Queue, place, reply_to},
    desk::{ASKS, document, flow, flow_of, registry},
};

const PLAIN: &str =
    "record:\n  a: { from: A, required: yes }\nreturn:\n  into: R\n  write: { Got: a, Status: outcome }\n";
const KEYED: &str = "key: a\nrecord:\n  a: { from: A, required: yes }\n  n: { from: N, type: int, range: 0.., else: reject }\nreturn:\n  into: R\n  write: { Got: a, Status: outcome }\n";

struct World {
    runner: Arc<Runner>,
    queue: Arc<Queue>,
    post: Arc<Post>,
    store: Arc<dyn JobStore>,
}

fn open(flow: Flow, store: Option<Arc<dyn JobStore>>, queue: &Arc<Queue>, post: &Arc<Post>) -> Arc<Runner> {
    Runner::start(Parts {
        sources: vec![Fed { flow: 0, source: Arc::new(Feed(Arc::clone(queue))) }],
        returners: vec![Arc::clone(post) as Arc<dyn Returner>],
        ..Parts::called(vec![Arc::new(flow)], store)
    })
}

fn world(text: &str, models: Vec<Arc<dyn Model>>, messages: Vec<Message>) -> World {
    let (queue, post) = (Queue::of(messages), Arc::new(Post::new("out")));
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::default());
    let runner = open(flow(text, models), Some(Arc::clone(&store)), &queue, &post);
    World { runner, queue, post, store }
}

async fn states(store: &Arc<dyn JobStore>) -> Vec<&'static str> {
    let mut jobs = store.list(JobFilter::default()).await.unwrap();
    jobs.reverse();
    jobs.iter().map(|it| it.state.word()).collect()
}

fn message(number: usize) -> Message {
    Message::new(&format!("m{number}"), &format!("<C><A>{number}</A></C>")).to(reply_to("out"))
}

#[tokio::test(start_paused = true)]
async fn what_a_queue_hands_over_is_answered_to_its_sender_once() {
    let World { runner, queue, post, store } = world(PLAIN, Vec::new(), (0..300).map(message).collect());
    sleep(Duration::from_secs(1)).await;
    let mut sent = post.sent();
    sent.sort();
    let mut expected: Vec<_> = (0..300).map(|it| format!("m{it}: Got={it}; Status=pass")).collect();
    expected.sort();
    assert_eq!(sent, expected);
    assert_eq!(queue.left(), (0, 0));
    assert_eq!(states(&store).await, ["returned"; 100], "the list has its default length");
    let figures = runner.figures();
    let (flow, source) = (&figures.flows[0], &figures.sources[0]);
    assert_eq!((flow.accepted, flow.delivered, flow.ended[0]), (300, 300, ("pass", 300)));
    assert_eq!((source.received, source.is_up, source.reconnects), (300, true, 0));
    assert_eq!(flow.duration.count(), 300);
    assert!(post.calls().len() < 100, "results go in batches: {:?}", post.calls());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_has_one_result() {
    let model = Arc::new(ScriptedModel::new("m", [Step::Answer(json!({ "priority": "high" }))]));
    let text =
        format!("record:\n  a: {{ from: A }}\n{ASKS}return:\n  into: R\n  write: {{ P: answer.priority }}\n");
    let messages = vec![message(1), message(1), message(2)];
    let World { runner, queue, post, store } = world(&text, vec![model.clone()], messages);
    sleep(Duration::from_secs(1)).await;
    queue.put([message(2)]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.settled(), ["m1 accepted", "m1 accepted", "m2 accepted", "m2 accepted"]);
    assert_eq!(post.sent(), ["m1: P=high", "m2: P=high"]);
    assert_eq!((states(&store).await.len(), model.calls()), (2, 2));
    assert_eq!(runner.figures().flows[0].duplicates, 2);
}

#[tokio::test(start_paused = true)]
async fn another_document_under_a_known_key_is_kept_and_given_up() {
    let dead = ReturnAddress { dead_letter: Some(place("out")), ..reply_to("out") };
    let other = Message::new("m1", "<C><A>other</A></C>").to(dead);
    let World { runner, queue, post, store } = world(PLAIN, Vec::new(), vec![message(1), other]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.settled(), ["m1 accepted", "m1 accepted"]);
    assert_eq!(states(&store).await, ["returned", "dead"]);
    let job =
        store.list(JobFilter { state: Some("dead".into()), ..JobFilter::default() }).await.unwrap().remove(0);
    assert_eq!(job.document.key, None);
    let JobState::Dead { cause, .. } = job.state else { panic!("{:?}", job.state) };
    assert!(cause.starts_with("V006: the key belongs to the job"), "{cause}");
    let mut sent = post.sent();
    sent.sort();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert_eq!(sent[0], "m1: Got=1; Status=pass");
    assert_eq!(sent[1], "m1: dead letter of dead <C><A>other</A></C>");
    assert!(sent[2].starts_with("m1: given up, V006"));
    assert_eq!(runner.figures().flows[0].conflicts, 1);
}

#[tokio::test(start_paused = true)]
async fn poison_is_a_dead_job_and_a_dead_letter() {
    let dead = ReturnAddress { reply: None, dead_letter: Some(place("out")), ..ReturnAddress::default() };
    let poison = Message::new("p", "<panic/>").to(dead);
    let World { queue, post, store, .. } = world(PLAIN, Vec::new(), vec![poison, message(1)]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.settled(), ["p accepted", "m1 accepted"]);
    assert_eq!(states(&store).await, ["dead", "returned"]);
    let mut sent = post.sent();
    sent.sort();
    assert_eq!(sent, ["m1: Got=1; Status=pass", "p: dead letter of dead <panic/>"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_document_goes_to_its_sender_and_to_the_dead_letters() {
    let dead = ReturnAddress { dead_letter: Some(place("out")), ..reply_to("out") };
    let World { post, .. } = world(PLAIN, Vec::new(), vec![Message::new("m", "<C/>").to(dead)]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        post.sent(),
        ["m: Status=reject".replace("Status=reject", "refused"), "m: dead letter of answered <C/>".into()]
            .map(|it| it.to_string())
    );
}

#[tokio::test(start_paused = true)]
async fn the_mappings_key_goes_before_the_name_of_a_message() {
    let named = |name: &str, text: &str| Message::new(name, text).to(reply_to("out"));
    let World { runner, queue, store, .. } = world(
        KEYED,
        Vec::new(),
        vec![
            named("m1", "<C><A>C1</A><N>1</N></C>"),
            named("m2", "<C><A>C1</A><N>1</N></C>"),
            // Its key's field is absent: the message's name counts.
            named("m3", "<C><N>2</N></C>"),
            named("m3", "<C><N>2</N></C>"),
            // Under one name two claims are two.
            named("m5", "<C><A>C5</A><N>1</N></C>"),
            named("m5", "<C><A>C6</A><N>1</N></C>"),
        ],
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.left(), (0, 0));
    let mut kept: Vec<_> = store.list(JobFilter::default()).await.unwrap();
    kept.sort_by_key(|it| it.id);
    let kept: Vec<_> = kept
        .iter()
        .map(|it| {
            let name = it.return_to.as_ref().and_then(|it| it.message.as_deref()).unwrap_or("-");
            (it.document.key.as_ref().map_or("-", |it| it.as_str()).to_owned(), name.to_owned())
        })
        .collect();
    let expected = [("a=C1", "m1"), ("m3", "m3"), ("a=C5", "m5"), ("a=C6", "m5")];
    assert_eq!(kept, expected.map(|(key, name)| (key.to_owned(), name.to_owned())));
    let flow = &runner.figures().flows[0];
    assert_eq!((flow.duplicates, flow.conflicts), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_message_that_is_delivered_again_is_not_worked_on_twice() {
    let answer = Box::new(Step::Answer(json!({ "priority": "high" })));
    let model = Arc::new(ScriptedModel::new("m", [Step::After(Duration::from_millis(500), answer)]));
    let text = format!(
        "key: a\nrecord:\n  a: {{ from: A, required: yes }}\n{ASKS}return:\n  into: R\n  write: {{ P: answer.priority }}\n"
    );
    let named = |name: &str| Message::new(name, "<C><A>C1</A></C>").to(reply_to("out"));
    let World { runner, queue, store, .. } = world(&text, vec![model], vec![named("m1")]);
    sleep(Duration::from_millis(100)).await;
    let id = store.list(JobFilter::default()).await.unwrap()[0].id;
    assert!(store.cancel(id, "V013: an operator gave it up".into()).await.unwrap());
    queue.put([named("m1")]);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((states(&store).await, runner.figures().flows[0].duplicates), (vec!["dead"], 1));
    // Under another name its sender means it to be worked on again.
    queue.put([named("m2")]);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(states(&store).await, ["dead", "returned"]);
}

#[tokio::test(start_paused = true)]
async fn a_business_key_counts_where_the_message_has_none() {
    let no_key = |n: i32| Message { key: None, ..Message::new("", &format!("<C><A>C1</A><N>{n}</N></C>")) };
    let World { runner, queue, store, .. } = world(KEYED, Vec::new(), vec![no_key(-1), no_key(-1)]);
    sleep(Duration::from_secs(1)).await;
    // A refused one is corrected under the same key; after the right one another is a conflict.
    queue.put([no_key(3), no_key(3), no_key(4)]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.left(), (0, 0));
    assert_eq!(states(&store).await, ["answered", "answered", "dead"]);
    let flow = &runner.figures().flows[0];
    assert_eq!((flow.duplicates, flow.conflicts), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_gone_is_opened_again_with_pauses() {
    let World { runner, queue, store, .. } = world(PLAIN, Vec::new(), vec![message(0)]);
    sleep(Duration::from_secs(1)).await;
    queue.refusals.store(5, Ordering::SeqCst);
    queue.cut();
    queue.put([message(1)]);
    sleep(Duration::from_millis(1_500)).await;
    assert!(
        !runner.figures().sources[0].is_up,
        "after 0.1, 0.2, 0.4, 0.8 s it is not yet tried a fifth time"
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(states(&store).await.len(), 2);
    let source = &runner.figures().sources[0];
    assert_eq!((source.is_up, source.reconnects), (true, 1));
    assert!(runner.drain(Duration::from_secs(5)).await);
    queue.put([message(2)]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(queue.left(), (1, 0), "a drain takes nothing more");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_settled_while_the_store_does_not_take_it() {
    let (queue, post) = (Queue::of([message(1)]), Arc::new(Post::new("out")));
    let store: Arc<dyn JobStore> = Arc::new(FailingStore { recovery: Recovery::Retry });
    let runner = open(flow(PLAIN, Vec::new()), Some(store), &queue, &post);
    sleep(Duration::from_secs(300)).await;
    assert_eq!((queue.settled(), queue.left()), (Vec::new(), (0, 1)));
    assert!(
        runner.drain(Duration::from_secs(15)).await,
        "a drain does not wait for a store that is not there"
    );
    assert_eq!(queue.left(), (1, 0), "it is delivered again");
}

#[tokio::test(start_paused = true)]
async fn a_flow_takes_no_more_than_it_has_room_for() {
    let model = Arc::new(ScriptedModel::new(
        "m",
        [Step::After(Duration::from_secs(1), Box::new(Step::Answer(json!({ "priority": "high" }))))],
    ));
    let text = format!(
        "concurrency: 4\nrecord:\n  a: {{ from: A }}\n{ASKS}return:\n  into: R\n  write: {{ P: answer.priority }}\n"
    );
    let World { queue, store, .. } = world(&text, vec![model], (0..40).map(message).collect());
    sleep(Duration::from_millis(500)).await;
    assert!(queue.most_at_once() <= 4, "{}", queue.most_at_once());
    assert!(states(&store).await.len() <= 8, "what has no room stays where it can be given to others");
    sleep(Duration::from_secs(12)).await;
    assert_eq!(states(&store).await, ["returned"; 40]);
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_order_are_worked_on_one_after_the_other() {
    // The first takes longest: only order keeps the others back.
    let steps = [300, 200, 100, 0].map(|it| {
        Step::After(Duration::from_millis(it), Box::new(Step::Answer(json!({ "priority": "high" }))))
    });
    let model = Arc::new(ScriptedModel::new("m", steps));
    let text = format!(
        "order: a\nrecord:\n  a: {{ from: A, required: yes }}\n{ASKS}return:\n  into: R\n  write: {{ P: answer.priority }}\n"
    );
    let same = |number: usize| Message::new(&format!("m{number}"), "<C><A>x</A></C>").to(reply_to("out"));
    let World { queue, post, store, .. } = world(&text, vec![model], (0..4).map(same).collect());
    let began = Instant::now();
    while post.sent().len() < 4 {
        sleep(Duration::from_millis(10)).await;
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "order does not wait for the clock: {:?}",
            post.sent()
        );
    }
    assert_eq!(post.sent(), ["m0: P=high", "m1: P=high", "m2: P=high", "m3: P=high"]);
    assert_eq!((queue.left(), states(&store).await), ((0, 0), vec!["returned"; 4]));
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_keeps_nothing_settles_after_its_result_was_handed_back() {
    let text = format!("{PLAIN}durability: none\n");
    let (queue, post) =
        (Queue::of([message(1)]), Arc::new(Post { lasts: Duration::from_millis(100), ..Post::new("out") }));
    post.failures.store(1, Ordering::SeqCst);
    let dead = ReturnAddress { dead_letter: Some(place("out")), ..reply_to("out") };
    queue.put([Message::new("bad", "<C/>").to(dead), Message::new("poison", "<panic/>").to(reply_to("out"))]);
    let store = MemoryStore::default();
    let runner = open(flow(&text, Vec::new()), Some(Arc::new(store.beside())), &queue, &post);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(queue.settled(), ["poison dead V013: the reader of this document ended without a result"]);
    sleep(Duration::from_secs(5)).await;
    let mut settled = queue.settled();
    settled.sort();
    let expected = ["bad dead V005: the record was refused G101", "bad later", "m1 accepted", "m1 later"];
    assert_eq!(settled[..settled.len() - 1], expected);
    assert_eq!(post.sent(), ["m1: Got=1; Status=pass", "bad: refused"]);
    assert!(store.is_empty(), "nothing is kept");
    assert!(runner.drain(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn results_go_where_the_flow_says_and_not_where_the_sender_wishes() {
    let (queue, post) = (Queue::of([message(1).to(reply_to("elsewhere"))]), Arc::new(Post::new("out")));
    let runner = Runner::start(Parts {
        sources: vec![Fed { flow: 0, source: Arc::new(Feed(Arc::clone(&queue))) }],
        returners: vec![Arc::clone(&post) as Arc<dyn Returner>],
        deliver: vec![Some(place("out"))],
        settings: RunnerSettings::default(),
        ..Parts::called(vec![Arc::new(flow(PLAIN, Vec::new()))], Some(Arc::new(MemoryStore::default())))
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(post.sent(), ["m1: Got=1; Status=pass"]);
    drop(runner);
}

/// A process is a runtime: dropped, it takes everything that it was doing with it.
#[test]
fn what_a_killed_process_left_is_finished_by_the_next_one() {
    let store = MemoryStore::new(Duration::from_millis(300));
    let queue = Queue::of((0..50).map(message));
    let post = Arc::new(Post { lasts: Duration::from_millis(40), ..Post::new("out") });
    let slow = || -> Arc<dyn Model> {
        let step =
            Step::After(Duration::from_millis(5), Box::new(Step::Answer(json!({ "priority": "high" }))));
        Arc::new(ScriptedModel::new("m", [step]))
    };
    let text = format!(
        "concurrency: 8\nrecord:\n  a: {{ from: A }}\n{ASKS}return:\n  into: R\n  write: {{ P: answer.priority }}\n"
    );
    for lives in [30, 60, 5_000] {
        let process = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        process.block_on(async {
            let _runner = open(flow(&text, vec![slow()]), Some(Arc::new(store.beside())), &queue, &post);
            sleep(Duration::from_millis(lives)).await;
        });
        drop(process);
    }
    assert_eq!(queue.left(), (0, 0));
    let process = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all: Arc<dyn JobStore> = Arc::new(store.beside());
    assert_eq!(process.block_on(states(&all)), ["returned"; 50]);
    let sent: std::collections::HashSet<_> = post.sent().into_iter().collect();
    assert_eq!(sent.len(), 50, "each result was sent, under one name");
}

/// One at a time, for a second.
fn narrow() -> Flow {
    let answer = Box::new(Step::Answer(json!({ "priority": "high" })));
    let model = Arc::new(ScriptedModel::new("m", [Step::After(Duration::from_secs(1), answer)]));
    let form = "record:\n  a: { from: A }\nreturn:\n  into: R\n  write: { P: answer.priority }\n";
    flow(&format!("concurrency: 1\n{ASKS}{form}"), vec![model])
}

async fn all(store: &MemoryStore) -> Vec<JobState> {
    let jobs: Vec<Job> = store.list(JobFilter::default()).await.unwrap();
    jobs.into_iter().rev().map(|it| it.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_narrow_flow_beside_a_wide_one_is_leased_no_more_than_it_has_room_for() {
    let store = MemoryStore::default();
    let wide =
        flow_of("mapping: wide\nsource: { kind: xml }\nrecord:\n  a: { from: A }\n", Vec::new(), &registry());
    for _ in 0..4 {
        let (document, id) = (document("<C/>"), JobId::fresh());
        let job = NewJob::new(id, "desk".into(), document.clone(), document.digest());
        store.submit(NewJob { start: Start::Later, ..job }).await.unwrap();
    }
    let flows = vec![Arc::new(narrow()), Arc::new(wide)];
    let runner = Runner::start(Parts::called(flows, Some(Arc::new(store.beside()))));
    sleep(Duration::from_millis(100)).await;
    let states = all(&store).await;
    assert_eq!(states[0], JobState::Leased { attempt: 1 });
    assert!(states[1..].iter().all(|it| matches!(it, JobState::Queued { attempt: 0, .. })), "{states:?}");
    sleep(Duration::from_secs(5)).await;
    assert!(all(&store).await.iter().all(JobState::is_finished), "each has its turn");
    drop(runner);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_room_in_a_drain_is_put_back_untried() {
    let (store, queue, post) = (MemoryStore::default(), Queue::of([]), Arc::new(Post::new("out")));
    let runner = open(narrow(), Some(Arc::new(store.beside())), &queue, &post);
    sleep(Duration::from_millis(100)).await;
    // The source has seen the room that a caller takes now.
    let document = document("<C/>");
    let extraction = runner.flows()[0].extract(&document).unwrap();
    let call = runner.call(Request { flow: 0, document, extraction, wait: Wait::Result, return_to: None });
    let drain = async {
        sleep(Duration::from_millis(100)).await;
        queue.put([message(1), message(2)]);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(all(&store).await, [JobState::Leased { attempt: 1 }, JobState::Leased { attempt: 1 }]);
        assert!(runner.drain(Duration::from_secs(10)).await);
    };
    let (called, ()) = tokio::join!(call, drain);
    assert!(called.is_ok(), "{called:?}");
    let left = all(&store).await;
    assert!(left[0].is_finished(), "{left:?}");
    assert!(matches!(left[1], JobState::Queued { attempt: 0, .. }), "{left:?}");
    assert_eq!(queue.left(), (1, 0), "the other stays where it can be given to others");
}
