//! Places that no queue is bound for. A sender that is gone took its reply queue with it: a result that waits for it for
//! ever would hold up all others of its order, and nobody could end that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::receive::Target;

/// After so many tries a result may be given up: with the runner's pauses, about two and a half hours.
const TRIES: u32 = 20;
/// And only where the place was not there for so long: while the broker was down, tries say nothing about the place, and
/// senders need a moment to be there again.
const ABSENT: Duration = Duration::from_secs(900);
/// Places that were not tried for so long are forgotten.
const STALE: Duration = Duration::from_secs(3600);
/// Most places that are remembered; results for others wait as long as it takes.
const MOST: usize = 4096;

/// Since when places are not there, and when that was seen last.
#[derive(Default)]
pub(crate) struct Nowhere(Mutex<HashMap<(String, String), (Instant, Instant)>>);

impl Nowhere {
    /// A message reached this place.
    pub fn is_there(&self, target: &Target) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !places.is_empty() {
            places.remove(&name(target));
        }
    }

    /// No queue is bound for this place, which was tried so often with one result. True: that result is not tried again.
    pub fn is_absent(&self, target: &Target, tried: u32) -> bool {
        let now = Instant::now();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(target);
        if places.len() >= MOST && !places.contains_key(&name) {
            places.retain(|_, (_, last)| now.duration_since(*last) < STALE);
            if places.len() >= MOST {
                return false;
            }
        }
        let (first, last) = places.entry(name).or_insert((now, now));
        if now.duration_since(*last) >= STALE {
            *first = now;
        }
        *last = now;
        tried >= TRIES && now.duration_since(*first) >= ABSENT
    }
}

fn name(target: &Target) -> (String, String) {
    (target.exchange.clone(), target.routing_key.clone())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn to(queue: &str) -> Target {
        Target { exchange: String::new(), routing_key: queue.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_given_up_after_many_tries_at_a_place_that_is_not_there_for_long() {
        let nowhere = Nowhere::default();
        assert!(!nowhere.is_absent(&to("gone"), 25), "the broker may have been down until now");
        advance(Duration::from_secs(600)).await;
        assert!(!nowhere.is_absent(&to("gone"), 26));
        advance(Duration::from_secs(600)).await;
        assert!(!nowhere.is_absent(&to("gone"), 3), "a newer result has its own tries");
        assert!(nowhere.is_absent(&to("gone"), 27));
        assert!(!nowhere.is_absent(&to("other"), 27), "each place counts for itself");
        nowhere.is_there(&to("gone"));
        assert!(!nowhere.is_absent(&to("gone"), 28), "it was there in between");
        advance(STALE).await;
        assert!(!nowhere.is_absent(&to("gone"), 29), "nobody looked for an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn places_that_nobody_tries_any_more_are_forgotten() {
        let nowhere = Nowhere::default();
        for number in 0..2 * MOST {
            nowhere.is_absent(&to(&number.to_string()), 1);
        }
        assert_eq!(nowhere.0.lock().unwrap().len(), MOST);
        advance(STALE).await;
        nowhere.is_absent(&to("new"), 1);
        assert_eq!(nowhere.0.lock().unwrap().len(), 1);
    }
}
