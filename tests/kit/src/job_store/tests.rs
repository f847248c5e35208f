use std::{sync::Arc, thread, time::Duration};

use super::{CASES, Kept, SHARED};
use crate::memory_store::{MemoryStore, Mistake};

/// Every promise by name, and whether a store keeps it.
fn check(store: impl Fn(Duration) -> MemoryStore) -> Vec<(&'static str, Kept)> {
    let alone = CASES.iter().map(|case| (case.name, case.check(Arc::new(store(case.lease)))));
    let shared = SHARED.iter().map(|case| {
        let one = store(case.lease);
        let other = one.beside();
        (case.name, case.check(Arc::new(one), Arc::new(other)))
    });
    alone.chain(shared).collect()
}

#[test]
fn the_store_in_memory_keeps_every_promise() {
    for (name, kept) in check(MemoryStore::new) {
        if let Err(broken) = kept {
            panic!("{name}: {}", broken.0);
        }
    }
}

#[test]
fn every_mistake_is_caught() {
    let caught = |mistake| {
        let checked = check(|lease| MemoryStore::broken(lease, mistake));
        checked.into_iter().filter(|(_, kept)| kept.is_err()).map(|(name, _)| name).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        // The cases mostly sleep.
        let runs: Vec<_> =
            Mistake::ALL.iter().map(|mistake| (mistake, scope.spawn(move || caught(*mistake)))).collect();
        let caught: Vec<_> = runs.into_iter().map(|(mistake, run)| (mistake, run.join().unwrap())).collect();
        let passed: Vec<_> = caught.iter().filter(|(_, it)| it.is_empty()).map(|(it, _)| it).collect();
        assert!(passed.is_empty(), "{passed:?} pass the suite");
        for (mistake, caught) in caught {
            assert!(caught.len() < CASES.len() / 2, "{mistake:?} breaks more than its promise: {caught:?}");
        }
    });
}
