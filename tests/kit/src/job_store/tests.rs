use std::{sync::Arc, thread};

use super::CASES;
use crate::memory_store::{MemoryStore, Mistake};

#[test]
fn the_store_in_memory_keeps_every_promise() {
    for case in CASES {
        if let Err(broken) = case.check(Arc::new(MemoryStore::new(case.lease))) {
            panic!("{}: {}", case.name, broken.0);
        }
    }
}

fn caught(mistake: Mistake) -> Vec<&'static str> {
    let broken = |lease| Arc::new(MemoryStore::broken(lease, mistake));
    CASES.iter().filter(|case| case.check(broken(case.lease)).is_err()).map(|case| case.name).collect()
}

#[test]
fn every_mistake_is_caught() {
    thread::scope(|scope| {
        // The cases mostly sleep.
        let start = |mistake: &Mistake| {
            (
                *mistake,
                scope.spawn({
                    let it = *mistake;
                    move || caught(it)
                }),
            )
        };
        let runs: Vec<_> = Mistake::ALL.iter().map(start).collect();
        for (mistake, run) in runs {
            let caught = run.join().unwrap();
            assert!(!caught.is_empty(), "{mistake:?} passes the suite");
            assert!(caught.len() < CASES.len() / 2, "{mistake:?} breaks more than its promise: {caught:?}");
        }
    });
}
