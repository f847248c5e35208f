//! Trouble: what happens to process, broker and network while messages arrive.

use std::{
    fs::File,
    io::Read,
    time::{Duration, Instant},
};

use vestibule_testkit::proxy::Way;

use super::{
    broker::Client,
    world::{DEAD, IN, Message, OUT, World},
};

/// How much trouble there is.
#[derive(Debug, Clone)]
pub struct Plan {
    /// SIGKILL of the bridge.
    pub kills: usize,
    /// Restarts of the broker; every second one by SIGKILL.
    pub restarts: usize,
    /// Connections that are reset, cut in a frame, half-closed, delayed or swallowed.
    pub cuts: usize,
}

impl Plan {
    pub fn short() -> Self {
        Self { kills: 10, restarts: 2, cuts: 10 }
    }

    pub fn long() -> Self {
        Self { kills: 200, restarts: 50, cuts: 200 }
    }

    pub fn quiet() -> Self {
        Self { kills: 0, restarts: 0, cuts: 0 }
    }
}

/// What was done to the bridge.
#[derive(Default)]
pub struct Troubled {
    /// When it was killed.
    pub kills: Vec<Instant>,
}

#[derive(Clone, Copy)]
enum Event {
    Kill,
    Restart { hard: bool },
    Cut(u8),
}

/// Sends the messages in as many portions as there are events, with an event after each.
pub fn programme(world: &mut World, plan: &Plan, messages: &[Message]) -> Troubled {
    let events = events(plan);
    let portion = messages.len().div_ceil(events.len() + 1);
    let mut portions = messages.chunks(portion);
    let mut troubled = Troubled::default();
    let client = Client::of(&world.broker);
    wait_for(&client, IN);
    client.send(portions.next().unwrap_or_default());
    wait_for(&client, OUT);
    wait_for(&client, DEAD);
    client.declare_last();
    for event in events {
        client.send(portions.next().unwrap_or_default());
        std::thread::sleep(Duration::from_millis(30 + u64::from(random()) * 2));
        happen(world, event, &mut troubled);
    }
    portions.for_each(|rest| client.send(rest));
    world.proxy.pass();
    world.serve();
    troubled
}

fn happen(world: &mut World, event: Event, troubled: &mut Troubled) {
    match event {
        Event::Kill => {
            if let Some(mut server) = world.server.take() {
                troubled.kills.push(Instant::now());
                server.kill().unwrap();
            }
            world.serve();
        }
        Event::Restart { hard } => {
            if hard {
                world.broker.kill().unwrap()
            } else {
                world.broker.stop().unwrap()
            }
            world.broker.start_again().unwrap();
        }
        Event::Cut(kind) => {
            match kind % 5 {
                0 => world.proxy.reset(),
                1 => world.proxy.cut_after(u32::from(random()) * 40),
                2 => world.proxy.half_close(if random() < 128 { Way::ToServer } else { Way::ToClient }),
                3 => world.proxy.delay(Duration::from_millis(200)),
                _ => world.proxy.black_hole(if random() < 128 { Way::Both } else { Way::ToClient }),
            }
            std::thread::sleep(Duration::from_millis(100 + u64::from(random()) * 4));
            world.proxy.pass();
        }
    }
}

/// Every event of the plan, in random order.
fn events(plan: &Plan) -> Vec<Event> {
    let mut all: Vec<Event> = (0..plan.kills).map(|_| Event::Kill).collect();
    all.extend((0..plan.restarts).map(|at| Event::Restart { hard: at % 2 == 1 }));
    all.extend((0..plan.cuts).map(|at| Event::Cut(u8::try_from(at % 5).unwrap())));
    for at in (1..all.len()).rev() {
        let other = usize::from(random()) * 256 + usize::from(random());
        all.swap(at, other % (at + 1));
    }
    all
}

/// The bridge declares its queues when it first needs them.
fn wait_for(client: &Client, queue: &str) {
    let began = Instant::now();
    while let Err(error) = client.depth(queue) {
        assert!(began.elapsed() < Duration::from_secs(30), "the bridge declared no queue: {error}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Randomness without a crate.
fn random() -> u8 {
    let mut byte = [0_u8; 1];
    File::open("/dev/urandom").unwrap().read_exact(&mut byte).unwrap();
    byte[0]
}
