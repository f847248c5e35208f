//! The crash programme of the AMQP bridge: messages in, a scripted model, results out, while the process is killed, the
//! broker is stopped and killed, and a proxy cuts, delays and half-closes the connections between them.
//!
//! The short form runs with the other tests; `VESTIBULE_LONG=1` makes it 200 kills, 50 broker restarts and 200 cuts.

mod broker;
mod chaos;
mod verdict;
mod world;

use std::time::{Duration, Instant};

use self::{
    chaos::Plan,
    verdict::{Seen, Summary},
    world::World,
};

/// How many messages are sent, repetitions and poison among them.
const MESSAGES: usize = 10_000;
/// How long the last results may take once everything runs again.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn no_message_is_lost_and_none_has_two_results_when_process_broker_and_network_fail() {
    let plan = if std::env::var_os("VESTIBULE_LONG").is_some() { Plan::long() } else { Plan::short() };
    let mut world = World::start("");
    let sent = world::messages(MESSAGES);
    let began = Instant::now();
    let troubled = chaos::programme(&mut world, &plan, &sent);
    let raged = began.elapsed();
    let mut seen = Seen::default();
    let summary = seen.settle(&world, &sent, &troubled, PATIENCE).unwrap_or_else(|broken| {
        panic!("{broken}\nplan: {plan:?}\nlast of the server's log:\n{}", world.last_log())
    });
    eprintln!("{plan:?}: {summary:?}; {raged:?} of trouble, {:?} in all", began.elapsed());
    let Summary { sent, good, poison, results, dead_letters, asked, asked_again } = summary;
    let said = format!("{plan:?}: {summary:?}");
    assert!(good > 0 && poison > 0 && good + poison < sent, "poison and repetitions were sent: {said}");
    assert!(results >= good && dead_letters >= poison, "{said}");
    assert_eq!(asked - asked_again, good, "each good message was asked about: {said}");
}

/// The programme must be able to fail: a bridge that forgets what it took loses messages when it is killed.
#[test]
fn the_programme_notices_a_bridge_that_asks_twice() {
    let plan = Plan { kills: 3, ..Plan::quiet() };
    // Without a store nothing remembers what was answered: repeated messages are asked about again.
    let mut world = World::start("durability: none\n");
    let sent = world::messages(600);
    let troubled = chaos::programme(&mut world, &plan, &sent);
    let broken = Seen::default()
        .settle(&world, &sent, &troubled, Duration::from_secs(15))
        .expect_err("nothing is stored, so no message has its one stored result");
    assert!(broken.contains("no stored result"), "{broken}");
}
