//! The outbox: what ended is handed back at least once, under one name, and no receiver holds up another.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;
use vestibule_core::{
    job::{Delivery, JobId, NewJob, ReturnAddress, Start, Submission},
    ports::{JobStore, Returner},
    runner::{Called, Parts, Request, Runner, Wait},
};
use vestibule_testkit::{MemoryStore, memory_store::Mistake};

use crate::{
    broker::{Post, place, reply_to},
    desk::{document, flow},
};

const PLAIN: &str =
    "record:\n  a: { from: A, required: yes }\nreturn:\n  into: R\n  write: { Got: a, Status: outcome }\n";

fn hurried() -> MemoryStore {
    MemoryStore::broken(Duration::from_secs(60), Mistake::IgnoresDeliveryDelays)
}

fn start(store: &MemoryStore, posts: &[&Arc<Post>]) -> Arc<Runner> {
    Runner::start(Parts {
        returners: posts.iter().map(|it| Arc::clone(it) as Arc<dyn Returner>).collect(),
        ..Parts::called(vec![Arc::new(flow(PLAIN, Vec::new()))], Some(Arc::new(store.beside())))
    })
}

async fn send(runner: &Arc<Runner>, text: &str, return_to: ReturnAddress) -> JobId {
    let document = document(text);
    let extraction = runner.flows()[0].extract(&document).unwrap();
    let request = Request { flow: 0, document, extraction, wait: Wait::Ticket, return_to: Some(return_to) };
    match runner.call(request).await.unwrap() {
        Called::Ticket(id) => id,
        other @ Called::Replied(..) => panic!("{other:?}"),
    }
}

async fn delivery(store: &MemoryStore, id: JobId) -> (&'static str, Delivery) {
    let job = store.find(id).await.unwrap().unwrap();
    (job.state.word(), job.delivery)
}

#[tokio::test(start_paused = true)]
async fn a_result_is_sent_again_until_it_is_taken_under_one_name() {
    let (store, post) = (hurried(), Arc::new(Post::new("out")));
    post.failures.store(3, Ordering::SeqCst);
    let runner = start(&store, &[&post]);
    let id = send(&runner, "<C><A>1</A></C>", reply_to("out")).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(post.sent(), [format!("{id}: Got=1; Status=pass")]);
    assert_eq!(delivery(&store, id).await, ("returned", Delivery::Done));
    let flow = &runner.figures().flows[0];
    assert_eq!((flow.delivered, flow.delivery_failures), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_delay_between_two_tries_is_kept() {
    let (store, post) = (MemoryStore::default(), Arc::new(Post::new("out")));
    post.failures.store(1, Ordering::SeqCst);
    let runner = start(&store, &[&post]);
    let id = send(&runner, "<C><A>1</A></C>", reply_to("out")).await;
    sleep(Duration::from_secs(60)).await;
    let (state, Delivery::Due { not_before, .. }) = delivery(&store, id).await else { panic!() };
    assert_eq!((state, post.calls().len()), ("answered", 1));
    assert!(
        not_before.duration_since(jiff::Timestamp::now()).as_millis() > 500,
        "the clock of the store is real"
    );
    std::thread::sleep(Duration::from_millis(1_300));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(delivery(&store, id).await, ("returned", Delivery::Done));
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_taken_is_undeliverable_and_can_be_tried_again_by_hand() {
    // A receiver that says so, and one that was not there twenty times.
    for (gives_up, tries) in [(true, 1), (false, 20)] {
        let store = hurried();
        let post = Arc::new(Post { most_tries: Some(20), ..Post::new("out") });
        post.failures.store(tries, Ordering::SeqCst);
        post.gives_up.store(gives_up, Ordering::SeqCst);
        let runner = start(&store, &[&post]);
        let id = send(&runner, "<C><A>1</A></C>", reply_to("out")).await;
        sleep(Duration::from_secs(300)).await;
        let (state, Delivery::GivenUp { cause }) = delivery(&store, id).await else {
            panic!("{:?}", delivery(&store, id).await)
        };
        assert_eq!((state, cause.as_str()), ("answered", "V016: nobody there"), "{tries}");
        assert_eq!(post.calls().len(), tries);
        assert!(store.retry(id).await.unwrap());
        sleep(Duration::from_secs(5)).await;
        assert_eq!(delivery(&store, id).await, ("returned", Delivery::Done), "{tries}");
        assert_eq!(post.sent().len(), 1);
        drop(runner);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_is_never_given_up() {
    let (store, post) = (hurried(), Arc::new(Post::new("out")));
    post.failures.store(50, Ordering::SeqCst);
    let runner = start(&store, &[&post]);
    let id = send(&runner, "<C><A>1</A></C>", reply_to("out")).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(delivery(&store, id).await, ("returned", Delivery::Done));
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_a_place_that_is_not_here_waits_for_it() {
    let (store, post) = (MemoryStore::default(), Arc::new(Post::new("out")));
    let runner = start(&store, &[&post]);
    let id = send(&runner, "<C><A>1</A></C>", reply_to("elsewhere")).await;
    sleep(Duration::from_secs(5)).await;
    let (state, Delivery::Due { not_before, .. }) = delivery(&store, id).await else { panic!() };
    assert_eq!(state, "answered");
    assert!(not_before.duration_since(jiff::Timestamp::now()).as_secs() > 590);
}

#[tokio::test(start_paused = true)]
async fn a_result_and_a_dead_letter_by_two_ways_are_both_sent() {
    let (store, out, dead) =
        (MemoryStore::default(), Arc::new(Post::new("out")), Arc::new(Post::new("dead")));
    let runner = start(&store, &[&out, &dead]);
    let address = ReturnAddress { dead_letter: Some(place("dead")), ..reply_to("out") };
    let id = send(&runner, "<C/>", address).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(out.sent(), [format!("{id}: refused")]);
    assert_eq!(dead.sent(), [format!("{id}: dead letter of answered <C/>")]);
    assert_eq!(delivery(&store, id).await, ("returned", Delivery::Done));
    assert_eq!(runner.figures().flows[0].delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let store = MemoryStore::default();
    let slow = Arc::new(Post { lasts: Duration::from_secs(100), ..Post::new("slow") });
    let quick = Arc::new(Post::new("quick"));
    let runner = start(&store, &[&slow, &quick]);
    for number in 0..100 {
        let returner = if number % 2 == 0 { "slow" } else { "quick" };
        send(&runner, &format!("<C><A>{number}</A></C>"), reply_to(returner)).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!((quick.sent().len(), slow.sent().len()), (50, 0));
    assert!(!runner.drain(Duration::from_secs(1)).await, "what is being sent is waited for");
    assert!(runner.drain(Duration::from_secs(300)).await);
    assert_eq!(slow.sent().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn code_that_panics_loses_no_result() {
    let (store, post) = (hurried(), Arc::new(Post::new("out")));
    post.panics.store(true, Ordering::SeqCst);
    let runner = start(&store, &[&post]);
    let id = send(&runner, "<C><A>1</A></C>", reply_to("out")).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(post.sent(), [format!("{id}: Got=1; Status=pass")]);
    drop(runner);
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_a_crash_is_handed_back_after_it() {
    let (store, post) = (MemoryStore::new(Duration::from_millis(100)), Arc::new(Post::new("out")));
    let document = document("<C><A>1</A></C>");
    let id = JobId::fresh();
    let job = NewJob::new(id, "desk".into(), document.clone(), document.digest());
    let job = NewJob { return_to: Some(reply_to("out")), start: Start::Now, ..job };
    let Submission::Accepted(lease) = store.submit(job).await.unwrap() else { panic!() };
    let reply = vestibule_testkit::fixtures::reply(b"stored before the crash");
    assert!(store.answer(lease, reply).await.unwrap().is_some(), "it is to be sent");
    std::thread::sleep(Duration::from_millis(150));
    let runner = start(&store, &[&post]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(post.sent(), [format!("{id}: stored before the crash")]);
    assert_eq!(delivery(&store, id).await, ("returned", Delivery::Done));
    drop(runner);
}
