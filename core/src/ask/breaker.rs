//! A circuit breaker: a model that keeps failing is left alone for a while, then tried by one caller.
//!
//! It knows the fault's class, which general breakers do not: a request that the server rightly refuses says nothing
//! about the server's health, and a server that names its own waiting time is taken at its word.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::fault::Recovery;

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;
/// First pause; it doubles with each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause of its own making.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longest `Retry-After` that is believed: a server must not be able to switch itself off for a day.
const LONGEST_REQUEST: Duration = Duration::from_secs(600);

/// The breakers of all models, by the model's name: flows that use one model share what they learn about it.
#[derive(Debug, Clone, Default)]
pub struct Breakers {
    by_name: Arc<Mutex<HashMap<Box<str>, Arc<Breaker>>>>,
}

impl Breakers {
    /// The breaker of the model with this name; made when it is asked for first.
    pub fn of(&self, model: &str) -> Arc<Breaker> {
        let mut known = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(model.into()).or_default().clone()
    }
}

/// Closed while the model is well, open while it is left alone, half open while one caller tries it.
#[derive(Debug, Default)]
pub struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Calls pass.
    Closed { failures: u32 },
    /// No call passes before `until`; then one does.
    Open { until: Instant, pause: Duration },
    /// One call is on its way to find out.
    Probing { pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// The right to make one call. Dropped without a word (the caller went away) it leaves the breaker as it was.
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    reported: bool,
}

impl Breaker {
    /// The right to call now, or `None` while the model is left alone.
    pub fn admit(&self) -> Option<Permit<'_>> {
        let mut state = self.lock();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } if Instant::now() >= until => {
                *state = State::Probing { pause };
                true
            }
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Permit { breaker: self, is_probe, reported: false })
    }

    /// True when a call would pass now.
    pub fn is_closed(&self) -> bool {
        matches!(*self.lock(), State::Closed { .. })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A state is a plain value, whole at every moment: what a panicking holder left is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, is_probe: bool) {
        let mut state = self.lock();
        *state = match *state {
            State::Closed { failures } if failures + 1 >= THRESHOLD => Self::opened(FIRST_PAUSE),
            State::Closed { failures } => State::Closed { failures: failures + 1 },
            State::Probing { pause } if is_probe => Self::opened((pause * 2).min(LONGEST_PAUSE)),
            // A call that began before the breaker opened tells nothing new.
            unchanged => unchanged,
        };
    }

    fn opened(pause: Duration) -> State {
        State::Open { until: Instant::now() + pause, pause }
    }
}

impl Permit<'_> {
    /// The server did its work, whatever was made of its answer.
    pub fn succeeded(mut self) {
        self.reported = true;
        let mut state = self.breaker.lock();
        // Late news from a call that began before the breaker opened must not close it: only the probe may.
        if self.is_probe || matches!(*state, State::Closed { .. }) {
            *state = State::default();
        }
    }

    /// The call failed. What the server can not be blamed for (`GiveUp`) counts as a sign of life.
    pub fn failed(mut self, recovery: Recovery) {
        if recovery == Recovery::GiveUp {
            return self.succeeded();
        }
        self.reported = true;
        self.breaker.fail(self.is_probe);
    }

    /// The server asked to be left alone for longer than this call can wait.
    pub fn told_to_wait(mut self, wait: Duration) {
        self.reported = true;
        let wait = wait.min(LONGEST_REQUEST);
        let asked = Instant::now() + wait;
        let mut state = self.breaker.lock();
        *state = match *state {
            State::Open { until, pause } => State::Open { until: until.max(asked), pause },
            State::Closed { .. } | State::Probing { .. } => State::Open { until: asked, pause: FIRST_PAUSE },
        };
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.reported || !self.is_probe {
            return;
        }
        // The probe's caller went away: the next caller may probe at once.
        let mut state = self.breaker.lock();
        if let State::Probing { pause } = *state {
            *state = State::Open { until: Instant::now(), pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail_times(breaker: &Breaker, times: u32, recovery: Recovery) {
        for _ in 0..times {
            breaker.admit().expect("closed").failed(recovery);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_one_success_starts_the_count_again() {
        let breaker = Breaker::default();
        fail_times(&breaker, THRESHOLD - 1, Recovery::Retry);
        breaker.admit().expect("closed").succeeded();
        fail_times(&breaker, THRESHOLD - 1, Recovery::FailOver);
        assert!(breaker.admit().is_some(), "four failures do not open it");
        fail_times(&breaker, 1, Recovery::FailOver);
        assert!(breaker.admit().is_none(), "five do");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_requests_do_not_open_it() {
        let breaker = Breaker::default();
        fail_times(&breaker, 50, Recovery::GiveUp);
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_caller_probes_and_a_failed_probe_doubles_the_pause() {
        let breaker = Breaker::default();
        fail_times(&breaker, THRESHOLD, Recovery::Retry);
        tokio::time::advance(FIRST_PAUSE).await;
        let probe = breaker.admit().expect("the probe");
        assert!(breaker.admit().is_none(), "one probe at a time");
        probe.failed(Recovery::Retry);
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.admit().is_none(), "the second pause is longer");
        tokio::time::advance(FIRST_PAUSE).await;
        breaker.admit().expect("the second probe").succeeded();
        assert!(breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_went_away_leaves_the_way_free_for_the_next() {
        let breaker = Breaker::default();
        fail_times(&breaker, THRESHOLD, Recovery::Retry);
        tokio::time::advance(FIRST_PAUSE).await;
        drop(breaker.admit().expect("the probe"));
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_time_gets_it_up_to_ten_minutes() {
        for (asked, kept) in [(30, 30), (86_400, 600)] {
            let breaker = Breaker::default();
            breaker.admit().expect("closed").told_to_wait(Duration::from_secs(asked));
            tokio::time::advance(Duration::from_secs(kept - 1)).await;
            assert!(breaker.admit().is_none(), "asked for {asked} s");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(breaker.admit().is_some(), "asked for {asked} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn late_news_of_an_earlier_call_does_not_close_an_open_breaker() {
        let breaker = Breaker::default();
        let early = breaker.admit().expect("closed");
        fail_times(&breaker, THRESHOLD, Recovery::Retry);
        early.succeeded();
        assert!(breaker.admit().is_none());
    }

    #[test]
    fn one_name_is_one_breaker() {
        let breakers = Breakers::default();
        assert!(Arc::ptr_eq(&breakers.of("gpt"), &breakers.clone().of("gpt")));
        assert!(!Arc::ptr_eq(&breakers.of("gpt"), &breakers.of("other")));
    }
}
