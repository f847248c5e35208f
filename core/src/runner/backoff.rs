//! How long to wait before something is tried again. With jitter: what failed together is not tried together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::fault::Recovery;

/// Up to a quarter longer, by chance.
pub(super) fn jittered(pause: Duration) -> Duration {
    // The standard library's only source of chance; each state is seeded anew.
    let chance = u32::try_from(RandomState::new().hash_one(0_u8) & 0xff).unwrap_or(0);
    pause.saturating_add(pause.saturating_mul(chance) / 1024)
}

/// A job's next attempt: 1 s, 4 s, 16 s, 64 s; longer where the other side said so.
pub(super) fn of_work(attempt: u32, recovery: Recovery) -> Duration {
    let own = Duration::from_secs(4_u64.saturating_pow(attempt.saturating_sub(1).min(3)));
    jittered(at_least(own, recovery))
}

/// The next attempt to hand something back: 1 s, 4 s, 16 s, … 10 min; longer where the other side said so. Where it is tried
/// for ever, never more than half a minute: what fails there is a connection, and once it is back nobody tells the results
/// that wait.
pub(super) fn of_delivery(attempt: u32, most: Option<u32>, recovery: Recovery) -> Duration {
    let longest = if most.is_some() { 600 } else { 30 };
    let own = 4_u64.saturating_pow(attempt.saturating_sub(1).min(5)).min(longest);
    jittered(at_least(Duration::from_secs(own), recovery))
}

fn at_least(own: Duration, recovery: Recovery) -> Duration {
    match recovery {
        Recovery::RetryAfter(asked) => own.max(asked),
        Recovery::Retry | Recovery::FailOver | Recovery::GiveUp => own,
    }
}

/// Pauses that double from one failure to the next, and start again after a success.
pub(super) struct Doubling {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Doubling {
    pub(super) fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.last);
        jittered(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_never_meet() {
        let seconds = |pause: Duration| pause.as_secs();
        for (tries, pauses) in
            [(Some(20), [1, 4, 16, 64, 256, 600, 600, 600]), (None, [1, 4, 16, 30, 30, 30, 30, 30])]
        {
            let steps = (1..=8).map(|it| of_delivery(it, tries, Recovery::Retry));
            for (step, least) in steps.zip(pauses) {
                let (least, most) = (Duration::from_secs(least), Duration::from_secs(least) * 5 / 4);
                assert!((least..most).contains(&step), "{step:?} for {least:?}");
            }
        }
        assert_eq!(seconds(of_work(1, Recovery::RetryAfter(Duration::from_secs(3600)))) / 3600, 1);
        let different: std::collections::HashSet<_> =
            (0..64).map(|_| jittered(Duration::from_secs(10))).collect();
        assert!(different.len() > 16, "{} of 64 pauses differ", different.len());
    }

    #[test]
    fn a_success_starts_the_pauses_again() {
        let mut pauses = Doubling::new(Duration::from_millis(100), Duration::from_secs(30));
        for _ in 0..20 {
            pauses.pause();
        }
        assert!(pauses.pause() >= Duration::from_secs(30));
        pauses.reset();
        assert!(pauses.pause() < Duration::from_millis(126));
    }
}
