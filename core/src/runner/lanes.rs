//! How much of one flow is worked on at once. Who waits for room is bounded by time, not by number: a queue that is
//! bounded by number is full of callers who are gone by the time it is their turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::fault::{Fault, FaultCode, Recovery};

/// Weight of one more measured time: an eighth.
const WEIGHT: u32 = 8;
/// The shortest time after which a refused caller is asked to come again.
const SOON: Duration = Duration::from_secs(1);

/// The room of one flow.
pub(super) struct Lane {
    seats: Arc<Semaphore>,
    width: usize,
    waiting: AtomicUsize,
    /// Moving average of how long a seat is taken, in nanoseconds; 0: not measured yet.
    service: AtomicU64,
    /// Somebody looks for room to claim jobs for.
    is_wanted: AtomicBool,
    nudge: Arc<Notify>,
}

impl Lane {
    /// A lane of so many seats. `nudge` is told when one becomes free that was looked for.
    pub(super) fn new(width: usize, nudge: Arc<Notify>) -> Self {
        let width = width.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            seats: Arc::new(Semaphore::new(width)),
            width,
            waiting: AtomicUsize::new(0),
            service: AtomicU64::new(0),
            is_wanted: AtomicBool::new(false),
            nudge,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Seats that are free now.
    pub(super) fn room(&self) -> usize {
        self.seats.available_permits()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Free seats for jobs of the store; where there is none, the next that becomes free is told of.
    pub(super) fn wanted(&self) -> usize {
        // Marked first: a seat that becomes free in between is either seen here or told of.
        self.is_wanted.store(true, Ordering::SeqCst);
        self.room()
    }

    /// A seat, where one is free and nobody waits.
    pub(super) fn try_seat(self: &Arc<Self>) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat { permit: Some(permit), lane: Arc::clone(self), began: None })
    }

    /// A seat, in the order of asking. Cancel-safe: who stops waiting gives up the turn.
    pub(super) async fn seat(self: &Arc<Self>) -> Seat {
        let _waits = Waits::new(&self.waiting);
        let permit = Arc::clone(&self.seats).acquire_owned().await.ok();
        Seat { permit, lane: Arc::clone(self), began: None }
    }

    /// A seat within this time, or a refusal: at once where its turn would come later, else when the time is over.
    pub(super) async fn seat_within(self: &Arc<Self>, patience: Duration) -> Result<Seat, Fault> {
        if let Some(seat) = self.try_seat() {
            return Ok(seat);
        }
        match self.turn_of(self.waiting().saturating_add(1)) {
            Some(turn) if turn > patience => Err(busy(turn - patience)),
            turn => timeout(patience, self.seat()).await.map_err(|_| busy(turn.unwrap_or(SOON))),
        }
    }

    /// When the last of so many that wait gets a seat, by what was measured; `None`: nothing was measured yet.
    pub(super) fn turn_of(&self, waiting: usize) -> Option<Duration> {
        let service = Duration::from_nanos(self.service.load(Ordering::Relaxed));
        let rounds = u32::try_from(waiting.div_ceil(self.width)).unwrap_or(u32::MAX);
        let exact = service.checked_mul(u32::try_from(waiting).unwrap_or(u32::MAX));
        let width = u32::try_from(self.width).unwrap_or(u32::MAX);
        let turn = exact.map_or_else(|| service.saturating_mul(rounds), |all| all / width);
        (!service.is_zero()).then_some(turn)
    }

    fn measure(&self, taken: Duration) {
        let taken = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX).max(1);
        let average = |old: u64| match old {
            0 => taken,
            old => old - old / u64::from(WEIGHT) + taken / u64::from(WEIGHT),
        };
        let _ = self.service.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(average(old)));
    }
}

/// The refusal of work for which there is no room in time.
pub(super) fn busy(again: Duration) -> Fault {
    let seconds = again.max(SOON).as_secs_f64().ceil();
    Fault::new(FaultCode::Unavailable, "too much work is waiting to start this in time")
        .recovery(Recovery::RetryAfter(Duration::from_secs_f64(seconds.min(3600.0))))
}

/// A place in a lane. Given back when it is dropped.
pub(super) struct Seat {
    permit: Option<OwnedSemaphorePermit>,
    lane: Arc<Lane>,
    began: Option<Instant>,
}

impl Seat {
    /// The work begins: the time from here on is measured. A seat that was never worked in tells nothing.
    pub(super) fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// How long the work has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.map(|it| it.elapsed()).unwrap_or_default()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.lane.measure(began.elapsed());
        }
        // Given back before anybody is told.
        drop(self.permit.take());
        if self.lane.is_wanted.swap(false, Ordering::SeqCst) {
            self.lane.nudge.notify_one();
        }
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const WIDTH: usize = 10;
    const SERVICE: Duration = Duration::from_millis(100);
    const DEADLINE: Duration = Duration::from_secs(2);
    /// Twice as many callers as 10 seats can serve, for 20 seconds.
    const CALLERS: u32 = 4_000;
    const EVERY: Duration = Duration::from_millis(5);

    #[derive(Clone, Copy)]
    enum Bound {
        Time,
        Number(usize),
    }

    /// Share of what the lane could do that came inside its caller's deadline.
    async fn goodput(bound: Bound) -> f64 {
        let lane = Arc::new(Lane::new(WIDTH, Arc::default()));
        let caller = |number: u32| {
            let lane = Arc::clone(&lane);
            async move {
                sleep(EVERY * number).await;
                let came = Instant::now();
                let seat = match bound {
                    Bound::Time => lane.seat_within(DEADLINE / 2).await.ok(),
                    Bound::Number(most) if lane.waiting() >= most => None,
                    Bound::Number(_) => Some(lane.seat().await),
                };
                let Some(mut seat) = seat else { return false };
                seat.begin();
                sleep(SERVICE).await;
                came.elapsed() <= DEADLINE
            }
        };
        let good = join_all((0..CALLERS).map(caller)).await.into_iter().filter(|it| *it).count();
        let possible = (EVERY * CALLERS).as_secs_f64() / SERVICE.as_secs_f64() * WIDTH as f64;
        good as f64 / possible
    }

    #[tokio::test(start_paused = true)]
    async fn at_twice_the_load_work_is_done_in_time_when_the_queue_is_bounded_by_time() {
        let by_time = goodput(Bound::Time).await;
        assert!(by_time >= 0.9, "goodput by time: {by_time}");
        // The proof that the simulation can fail: the same lane, with a queue of 1,000.
        let by_number = goodput(Bound::Number(1_000)).await;
        assert!(by_number < 0.5, "goodput by number: {by_number}");
        println!("goodput at twice the load: {by_time:.3} by time, {by_number:.3} by number");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_late_is_told_at_once_and_when_to_come_again() {
        let lane = Arc::new(Lane::new(1, Arc::default()));
        lane.measure(Duration::from_secs(4));
        let _seat = lane.try_seat().unwrap();
        let began = Instant::now();
        let fault = lane.seat_within(Duration::from_secs(1)).await.err().unwrap();
        assert_eq!(
            (fault.code, fault.recovery, began.elapsed()),
            (FaultCode::Unavailable, Recovery::RetryAfter(Duration::from_secs(3)), Duration::ZERO)
        );
        let unknown = Arc::new(Lane::new(1, Arc::default()));
        let _seat = unknown.try_seat().unwrap();
        let fault = unknown.seat_within(Duration::from_secs(1)).await.err().unwrap();
        assert_eq!((fault.code, began.elapsed()), (FaultCode::Unavailable, Duration::from_secs(1)));
        assert_eq!(unknown.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_that_is_wanted_is_told_of_once_it_is_free() {
        let nudge = Arc::new(Notify::new());
        let lane = Arc::new(Lane::new(1, Arc::clone(&nudge)));
        let seat = lane.try_seat().unwrap();
        assert_eq!(lane.wanted(), 0);
        drop(seat);
        timeout(Duration::from_secs(1), nudge.notified()).await.unwrap();
        assert_eq!((lane.room(), lane.service.load(Ordering::Relaxed)), (1, 0), "nothing was worked on");
    }
}
