//! The open source: the stream, what is read beside it, and what was settled.
//!
//! While the runner polls [`Intake::next`] the server hears from us; it does so as long as it has room, and a journaled
//! source always has. Were it not polled for longer than `wal_sender_timeout`, the server would end the connection, and
//! everything that was not settled would come again, by the same names: what is held here is bounded by what was received
//! at once.

mod keeping;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{info, warn};
use uuid::Uuid;
use vestibule_core::{
    change::{Change, MEDIA_TYPE, Row},
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    job::{Place, ReturnAddress},
    ports::{Intake, Positions, Receipt, Received, Settlement},
};

use super::{
    decode::{Decoder, Event, Need, Step, Stop, Touched},
    ledger::{Ledger, Mark},
    pgoutput,
    position::{Lsn, Position, Reading},
    rows::{Chunk, Found, Table},
    side::Side,
    slot::{self, Server},
    source::LogSource,
    wire::{Wire, Word},
};
use crate::{
    database::{Line, Receive, fault},
    error::Trouble,
};

/// Documents that are handed over at once are not larger than this together, but for the last one.
const ROOM: usize = 4 << 20;
/// After so long the server hears where we are, whatever happens.
const REPORTING: Duration = Duration::from_secs(10);
/// How long one waiting for bytes lasts.
const GLANCE: Duration = Duration::from_millis(250);

/// From where an intake starts.
pub(super) struct Start {
    pub(super) position: Position,
    /// The snapshot of the slot's beginning, where all rows are to be read first.
    pub(super) snapshot: Option<String>,
}

/// An open slot.
pub(super) struct LogIntake {
    name: String,
    place: String,
    receive: Arc<Receive>,
    system: String,
    patience: Duration,
    return_to: Option<Place>,
    media_type: Arc<str>,
    table: Box<str>,
    wire: Wire,
    side: Side,
    decoder: Decoder,
    ledger: Ledger<Mark>,
    ready: VecDeque<Received>,
    ready_bytes: usize,
    positions: Arc<dyn Positions>,
    /// As it is kept.
    position: Position,
    /// What of it moved on since.
    is_moved: bool,
    /// The end of what was received.
    received: Lsn,
    phase: Phase,
    kept: Instant,
    reported: Instant,
    heard: Instant,
    /// Rows of this reading so far.
    number: u64,
    /// A reading is over, of this signal: to be kept and said.
    finished: Option<Option<i64>>,
    /// What is kept of the position, and may be told to the server.
    confirmed: Lsn,
}

enum Phase {
    /// All rows of the table are read as the slot's snapshot sees them; the stream has not begun.
    Rows { line: Box<Line>, table: Table },
    /// The stream, and perhaps rows of a range beside it.
    Stream { beside: Option<Box<Beside>> },
}

/// A reading beside the stream.
struct Beside {
    reading: Reading,
    table: Option<Table>,
    chunk: Option<Chunk>,
    /// All of it was handed over.
    is_read: bool,
}

impl Beside {
    fn new(reading: Reading) -> Self {
        Self { reading, table: None, chunk: None, is_read: false }
    }
}

impl LogIntake {
    pub(super) async fn open(
        source: &LogSource,
        wire: Wire,
        server: Server,
        start: Start,
        positions: Arc<dyn Positions>,
    ) -> Result<Self, Fault> {
        let Start { position, snapshot } = start;
        let now = Instant::now();
        let beside = position.reading.clone().map(Beside::new).map(Box::new);
        let mut intake = Self {
            name: source.name.clone(),
            place: source.place.clone(),
            receive: Arc::clone(&source.receive),
            system: server.system,
            patience: server.patience,
            return_to: source.return_to.clone(),
            media_type: MEDIA_TYPE.into(),
            table: source.receive.table.to_string().into(),
            wire,
            side: Side::new(&source.settings, &source.receive),
            decoder: Decoder::new(Arc::clone(&source.receive), position.columns.clone()),
            ledger: Ledger::default(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            positions,
            received: position.lsn,
            position,
            is_moved: false,
            phase: Phase::Stream { beside },
            kept: now,
            reported: now,
            heard: now,
            number: 0,
            finished: None,
            confirmed: Lsn::default(),
        };
        intake.confirmed = intake.position.lsn;
        let started = match snapshot {
            Some(snapshot) => intake.begin_rows(&snapshot).await,
            None => intake.begin_stream().await,
        };
        started.map_err(|trouble| fault(&intake.place, trouble))?;
        Ok(intake)
    }

    async fn begin_rows(&mut self, snapshot: &str) -> Result<(), Trouble> {
        let mut line = self.side.line("rows").await?;
        let table = Table::of(&mut line, &self.receive).await?;
        table.begin(&mut line, snapshot).await?;
        self.phase = Phase::Rows { line: Box::new(line), table };
        Ok(())
    }

    async fn begin_stream(&mut self) -> Result<(), Trouble> {
        slot::begin(&mut self.wire, &self.receive, self.position.lsn).await?;
        self.heard = Instant::now();
        Ok(())
    }

    fn is_full(&self, most: usize) -> bool {
        self.ready.len() >= most || self.ready_bytes >= ROOM
    }

    /// Documents until there are some. Everything that is not handed over stays in `self`, so that it may be dropped at
    /// any await.
    async fn gather(&mut self, most: usize) -> Result<Vec<Received>, Fault> {
        loop {
            if !self.is_full(most) {
                self.read_on(most).await?;
            }
            self.tend().await?;
            if !self.ready.is_empty() {
                let count = self.ready.len().min(most.max(1));
                let batch: Vec<Received> = self.ready.drain(..count).collect();
                if self.ready.is_empty() {
                    self.ready_bytes = 0;
                }
                return Ok(batch);
            }
            if let Phase::Stream { .. } = self.phase {
                self.listen().await.map_err(|it| self.trouble(it))?;
            }
        }
    }

    /// Reads what can be read without waiting for the stream.
    async fn read_on(&mut self, most: usize) -> Result<(), Fault> {
        if let Phase::Rows { line, table } = &mut self.phase {
            let rows = table.fetch(line).await;
            let rows = rows.map_err(|it| fault(&self.place, it))?;
            return self.take_rows(rows).await;
        }
        self.read_beside().await?;
        while !self.is_full(most) && self.wire.is_ready().map_err(|it| fault(&self.place, it))? {
            if let Some(need) = self.step()? {
                let answered = self.answer(need).await;
                answered.map_err(|it| self.trouble(it))?;
            } else {
                self.wire.advance();
            }
        }
        Ok(())
    }

    /// Takes the first word of the stream; it is given again after what it needs is answered.
    fn step(&mut self) -> Result<Option<Need>, Fault> {
        let word = self.wire.word().map_err(|it| fault(&self.place, it))?;
        let payload = match word {
            Word::Keepalive { end, reply } => {
                self.received = self.received.max(Lsn(end));
                if reply {
                    self.wire.report(self.received.0, self.confirmed.0, clock());
                    self.reported = Instant::now();
                }
                // In between transactions everything before it was here.
                if !self.decoder.is_inside() {
                    self.reach(Lsn(end));
                }
                return Ok(None);
            }
            Word::Data { start, payload } => {
                self.received = self.received.max(Lsn(start));
                payload
            }
        };
        let message = pgoutput::read(payload).ok_or_else(|| self.stopped(Stop::Broken))?;
        let step = self.decoder.step(message).map_err(|stop| self.stopped(stop))?;
        match step {
            Step::Nothing => {}
            Step::Needs(need) => return Ok(Some(need)),
            Step::Committed(end) => {
                self.received = self.received.max(end);
                self.reach(end);
            }
            Step::Event(event) => self.take_event(*event),
            Step::Watermark(mark) => self.take_watermark(&mark),
        }
        Ok(None)
    }

    /// All before this place was read.
    fn reach(&mut self, end: Lsn) {
        match self.ledger.last_mark() {
            Some(Mark::Log(place)) => *place = end.max(*place),
            _ => self.ledger.mark(Mark::Log(end)),
        }
    }

    fn take_event(&mut self, event: Event) {
        let Event { commit, ordinal, change, touched } = event;
        if let Phase::Stream { beside: Some(beside) } = &mut self.phase
            && let Some(chunk) = beside.chunk.as_mut().filter(|it| it.is_open)
        {
            match touched {
                Touched::Keys(keys) => keys.iter().for_each(|key| chunk.forget(key)),
                Touched::All => chunk.clear(),
                Touched::Unsaid => chunk.is_stale = true,
            }
        }
        let key = format!("pg:{}:{commit}:{ordinal}", self.system);
        self.hand_out(&key, &change);
    }

    fn take_watermark(&mut self, mark: &str) {
        let Phase::Stream { beside: Some(beside) } = &mut self.phase else { return };
        let Some(chunk) = &mut beside.chunk else { return };
        if mark == chunk.low {
            chunk.is_open = true;
            chunk.is_stale = chunk.last.is_some() && self.decoder.has_unseen_by(&chunk.snapshot);
        } else if mark == chunk.high && chunk.is_open {
            self.decoder.watched.clear();
            let Some(chunk) = beside.chunk.take() else { return };
            // A transaction that came before the first mark is not in it: it is read again.
            if chunk.is_stale {
                return;
            }
            let (run, last, is_end) = (beside.reading.run, chunk.last.clone(), chunk.is_end);
            beside.reading.after = last.clone().or(beside.reading.after.take());
            beside.is_read = is_end;
            for found in chunk.into_rows() {
                self.hand_out_row(run, found);
            }
            if let Some(last) = last {
                self.ledger.mark(Mark::Row(last));
            }
            if is_end {
                self.ledger.mark(Mark::Read);
            }
        }
    }

    /// Rows of the first reading; none: it is over, and the stream begins.
    async fn take_rows(&mut self, rows: Vec<Found>) -> Result<(), Fault> {
        if rows.is_empty() {
            self.ledger.mark(Mark::Read);
            self.phase = Phase::Stream { beside: None };
            let begun = self.begin_stream().await;
            return begun.map_err(|it| self.trouble(it));
        }
        let run = self.position.reading.as_ref().map_or_else(Uuid::nil, |it| it.run);
        let last = rows.last().map(|it| it.key.clone()).unwrap_or_default();
        for found in rows {
            self.hand_out_row(run, found);
        }
        if !last.is_empty() {
            self.ledger.mark(Mark::Row(last));
        }
        Ok(())
    }

    fn hand_out_row(&mut self, run: Uuid, found: Found) {
        self.number += 1;
        let key: Vec<Box<str>> = match self.decoder.shape() {
            Some(shape) if self.receive.key.is_empty() => shape.key.clone(),
            _ => self.receive.key.iter().map(|it| it.as_str().into()).collect(),
        };
        let position = self.received.to_string();
        let (name, change) = found.into_change(&self.table, &key, &position, self.number);
        let key = format!("pg:{}:snapshot:{run}:{}:{name}", self.system, self.table);
        self.hand_out(&key, &change);
    }

    fn hand_out(&mut self, key: &str, change: &Change) {
        let bytes = change.to_bytes();
        self.ready_bytes = self.ready_bytes.saturating_add(bytes.len());
        let key = IdempotencyKey::or_hash(key);
        let return_to = self.return_to.as_ref().map(|place| ReturnAddress {
            reply: Some(place.clone()),
            message: Some(key.as_str().into()),
            ..ReturnAddress::default()
        });
        let document = Document {
            bytes,
            media_type: Arc::clone(&self.media_type),
            charset: None,
            name: None,
            received: Timestamp::now(),
            key: Some(key),
            attributes: Vec::new(),
        };
        let receipt = self.ledger.hand_out();
        self.ready.push_back(Received { document, return_to, redelivered: 0, receipt });
    }

    async fn answer(&mut self, need: Need) -> Result<(), Trouble> {
        match need {
            Need::Kinds(oids) => {
                let mut kinds = self.side.kinds(&oids).await?;
                // A type that is gone since is read as text; asked for again it would be asked for for ever.
                for oid in oids {
                    kinds.entry(oid).or_default();
                }
                self.decoder.learn(kinds);
            }
            Need::Row(key) => {
                let row: Option<Row> = self.side.row(&key).await?;
                self.decoder.found(row);
            }
        }
        Ok(())
    }

    /// Reads the next rows of a range where one is wanted and the last ones are through.
    async fn read_beside(&mut self) -> Result<(), Fault> {
        let Phase::Stream { beside: Some(beside) } = &mut self.phase else { return Ok(()) };
        let is_enough = self.ledger.waiting() > 50_000 || self.side.is_over();
        if beside.chunk.is_some() || beside.is_read || is_enough {
            return Ok(());
        }
        match self.side.chunk(&mut beside.table, &beside.reading).await {
            Ok(chunk) => {
                let key = beside.table.iter().flat_map(|it| &it.key).map(|(name, _)| name.clone());
                self.decoder.watched = key.collect();
                beside.chunk = Some(chunk);
                Ok(())
            }
            // What a person asked for can not be: it is said there, and the stream goes on.
            Err(Trouble::Value(why)) if beside.reading.signal.is_some() => {
                warn!(source = %self.name, "rows can not be read again: {why}");
                self.side.refuse(why);
                beside.is_read = true;
                self.ledger.mark(Mark::Read);
                Ok(())
            }
            Err(trouble) => Err(fault(&self.place, trouble)),
        }
    }

    /// Waits for bytes, not for long.
    async fn listen(&mut self) -> Result<(), Trouble> {
        if !self.wire.outgoing().is_empty() {
            self.wire.flush().await?;
        }
        let asked = Instant::now();
        match timeout(GLANCE, self.wire.fill()).await {
            Ok(filled) => {
                filled?;
                self.heard = Instant::now();
                Ok(())
            }
            // Time in which nobody listened is no silence.
            Err(_) if self.heard.elapsed().min(asked.elapsed() + self.patience) > self.patience => {
                Err(Trouble::Slow(self.patience))
            }
            Err(_) => Ok(()),
        }
    }

    async fn finish_reading(&mut self) -> Result<(), Fault> {
        self.keep().await?;
        if let Some(Some(signal)) = self.finished {
            let said = format!("{} rows were read", self.number);
            self.side.done(signal, &said).await.map_err(|it| fault(&self.place, it))?;
        }
        if let Phase::Stream { beside } = &mut self.phase {
            *beside = None;
        }
        self.finished = None;
        info!(source = %self.name, rows = self.number, "the rows are read");
        self.number = 0;
        self.report().await
    }

    fn trouble(&self, trouble: Trouble) -> Fault {
        fault(&self.place, trouble)
    }

    fn stopped(&self, stop: Stop) -> Fault {
        let remedy = match stop {
            Stop::Changed { .. } => "; change the mapping or the table, then `vestibule db resync` goes on",
            Stop::Broken => "",
        };
        self.given_up(format!("{stop}{remedy}"))
    }

    fn given_up(&self, why: String) -> Fault {
        Fault::new(FaultCode::Unavailable, format!("{}: {why}", self.place)).recovery(Recovery::GiveUp)
    }

    async fn take_settled(&mut self, settled: Vec<(Receipt, Settlement)>) -> Result<(), Fault> {
        let mut again = None;
        for (receipt, settlement) in settled {
            match settlement {
                Settlement::Accepted => self.ledger.settle(&receipt),
                Settlement::DeadLetter { cause, .. } => {
                    warn!(source = %self.name, "a change can not be worked on: {cause}");
                    self.ledger.settle(&receipt);
                }
                // A log can not be read out of its order: all from here on comes again.
                Settlement::Later(pause) => again = again.max(Some(pause)),
            }
        }
        self.advance(true).await?;
        match again {
            None => Ok(()),
            Some(pause) => {
                let text = format!("{}: a change is to be read again later", self.place);
                Err(Fault::new(FaultCode::Unavailable, text).recovery(Recovery::RetryAfter(pause)))
            }
        }
    }
}

/// Microseconds since 2000, as the server counts them.
fn clock() -> i64 {
    Timestamp::now().as_microsecond().saturating_sub(946_684_800_000_000)
}

impl Intake for LogIntake {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        Box::pin(self.gather(most))
    }

    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.take_settled(settled))
    }
}
