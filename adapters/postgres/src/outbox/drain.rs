//! The open source: one connection, one statement at a time, results kept here until they are handed over.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{TryStreamExt, future::BoxFuture};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_postgres::RowStream;
use vestibule_core::{
    change::{Change, MEDIA_TYPE},
    document::{Document, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    job::{self, ReturnAddress},
    ports::{Intake, Positions, Receipt, Received, Settlement},
};

use super::{
    backlog::{self, Backlog},
    event::{self, Captured},
    hands::{Done, Hands, Held, Of},
    runs::{Kept, Run, Step},
    statements::Statements,
    window::{Cursor, Seen},
};
use crate::{
    database::{Capture, Line, Overflow, Receive, fault},
    error::Trouble,
    snapshot::{Mark, Snapshot, Wanted},
};

/// Rows of the outbox that are asked for at once.
const ROWS: usize = 5_000;
/// Bytes of a page that are not to be passed; the next pages are made smaller.
const BITE: usize = 8 << 20;
/// How often it is looked for what is asked of this source.
const SIGNALS: Duration = Duration::from_secs(1);

/// What is known when the drain begins.
pub(super) struct Place {
    /// For messages.
    pub(super) name: String,
    pub(super) receive: Arc<Receive>,
    /// Where results go.
    pub(super) deliver: Option<job::Place>,
    pub(super) statements: Statements,
    pub(super) limit: Duration,
    pub(super) system: String,
    /// The outbox's own number: one that was made anew has other rows under the same numbers.
    pub(super) outbox: u32,
    pub(super) has_signals: bool,
    pub(super) table: u32,
    pub(super) table_name: String,
}

/// Rows of the outbox that come.
struct Page {
    stream: Pin<Box<RowStream>>,
    asked: usize,
    read: usize,
    bytes: usize,
}

/// The intake.
pub(super) struct Drain {
    line: Line,
    place: Place,
    positions: Arc<dyn Positions>,
    /// What the position is kept under.
    named: String,
    kept: Kept,
    hands: Hands,
    cursor: Cursor,
    captured: HashMap<i32, Arc<Captured>>,
    page: Option<Page>,
    rows: usize,
    run: Option<Run>,
    backlog: Backlog,
    /// The last window was empty: there is nothing to do until something is heard.
    rests: bool,
    /// What was seen of the table is gone.
    gone: Option<String>,
    asked: Option<Instant>,
}

impl Intake for Drain {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Received>, Fault>> {
        Box::pin(async move {
            loop {
                // Nothing is awaited between this and the return.
                let mut batch = self.hands.hand_over(most.max(1));
                if let Some(reply) = &self.place.deliver {
                    for it in &mut batch {
                        // The event's own name: the ledger of the database that it is written back to knows it by that.
                        let message = it.document.key.as_ref().map(|it| it.as_str().into());
                        it.return_to =
                            Some(ReturnAddress { reply: Some(reply.clone()), message, ..Default::default() });
                    }
                }
                if !batch.is_empty() {
                    return Ok(batch);
                }
                self.step().await?;
            }
        })
    }

    fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let done = self.hands.settle(settled);
            self.settled(done).await
        })
    }
}

impl Drain {
    pub async fn open(
        line: Line,
        place: Place,
        positions: Arc<dyn Positions>,
        named: String,
    ) -> Result<Self, Fault> {
        let fresh = Kept {
            system: place.system.clone(),
            outbox: place.outbox,
            initial: false,
            run: String::new(),
            mark: Mark::Start,
        };
        let kept = positions.kept(&named).await?;
        let kept = kept.and_then(|it| serde_json::from_str::<Kept>(&it).ok());
        let kept = kept.filter(|it| it.system == fresh.system && it.outbox == fresh.outbox).unwrap_or(fresh);
        let mut drain = Self {
            line,
            place,
            positions,
            named,
            kept,
            hands: Hands::default(),
            cursor: Cursor::new(),
            captured: HashMap::new(),
            page: None,
            rows: ROWS,
            run: None,
            backlog: Backlog::default(),
            rests: false,
            gone: None,
            asked: None,
        };
        let wants_all = drain.place.receive.initial || drain.place.receive.capture == Capture::Snapshot;
        if wants_all && !drain.kept.initial {
            let wanted = Wanted::all(&drain.place.receive);
            drain.begin("initial".into(), wanted, None).await?;
        }
        if drain.is_trigger() {
            drain.look().await?;
            if drain.captured.is_empty() {
                let text = "the triggers of this mapping are not installed: run `vestibule db install`";
                return Err(drain.give_up(text));
            }
        }
        Ok(drain)
    }

    fn is_trigger(&self) -> bool {
        self.place.receive.capture == Capture::Trigger
    }

    fn give_up(&self, text: &str) -> Fault {
        Fault::new(FaultCode::Unavailable, format!("{}: {text}", self.place.name)).recovery(Recovery::GiveUp)
    }

    fn fault(&self, trouble: Trouble) -> Fault {
        fault(&self.place.name, trouble)
    }

    /// Starts to read rows; from where the same run was left.
    async fn begin(&mut self, run: String, wanted: Wanted, signal: Option<i64>) -> Result<(), Fault> {
        let mark = if self.kept.run == run { self.kept.mark.clone() } else { Mark::Start };
        let limit = self.place.limit;
        let snapshot = Snapshot::open(&mut self.line, limit, wanted, run, mark).await?;
        if !self.is_trigger() {
            // Nothing else tells of rows that move while they are read.
            let begun = Snapshot::begin(&mut self.line, limit, None).await;
            begun.map_err(|it| self.fault(it))?;
        }
        self.run = Some(Run::new(snapshot, signal));
        self.rests = false;
        Ok(())
    }

    /// One thing: rows are received, or asked for, or waited for. Cancel-safe: results are kept as they come, and what was
    /// asked for and not answered is asked for again.
    async fn step(&mut self) -> Result<(), Fault> {
        if self.page.is_some() {
            let read = self.read_page().await;
            return read.map_err(|it| self.fault(it));
        }
        let step = self.run.as_ref().map(|it| &it.step);
        if let Some(Step::Reading(..)) = step {
            let read = self.read_piece().await;
            return read.map_err(|it| self.fault(it));
        }
        if self.cursor.window.is_some() {
            let asked = self.ask_page().await;
            return asked.map_err(|it| self.fault(it));
        }
        if let Some(Step::Waiting(..)) = step {
            self.hand_piece_over();
            return Ok(());
        }
        match &self.run {
            Some(run) if run.is_over() => return self.end_run().await,
            Some(run) if run.wants_more() => {
                let asked = self.ask_piece().await;
                return asked.map_err(|it| self.fault(it));
            }
            _ => {}
        }
        if self.rests || !self.is_trigger() {
            self.rest().await?;
        }
        self.signals().await?;
        if self.is_trigger() { self.look().await } else { Ok(()) }
    }

    /// Waits for a notification, or as long as the mapping says, or until something is due.
    async fn rest(&mut self) -> Result<(), Fault> {
        let mut limit = self.place.receive.poll;
        if let Some(due) = self.hands.due() {
            limit = limit.min(due.saturating_duration_since(Instant::now()));
        }
        let heard = self.line.heard(limit).await;
        heard.map_err(|it| self.fault(it))?;
        self.rests = false;
        Ok(())
    }

    /// Looks at what there is, and begins a window up to it.
    async fn look(&mut self) -> Result<(), Fault> {
        if let Some(text) = &self.gone {
            return Err(self.give_up(text));
        }
        let (place, floor) = (&self.place, self.cursor.floor);
        let table = place.receive.table.quoted();
        let seen = self.line.run(place.limit, |client| async move {
            let flow = &place.receive.flow;
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&floor, flow, &place.table_name, &table];
            let row = client.query_one(&place.statements.look, &values).await?;
            let known = (row.try_get::<_, String>(0)?, row.try_get::<_, Option<i64>>(1)?);
            Ok((known, row.try_get::<_, Vec<i32>>(2)?, row.try_get::<_, Option<u32>>(3)?))
        });
        let ((seen, highest), captures, table) = seen.await.map_err(|it| fault(&place.name, it))?;
        let seen =
            Seen::parse(&seen).ok_or_else(|| self.give_up("the server's snapshot has another form"))?;
        let new: Vec<i32> = captures.into_iter().filter(|it| !self.captured.contains_key(it)).collect();
        if !new.is_empty() {
            let place = &self.place;
            let read = self.line.run(place.limit, |client| async move {
                event::captured(client, &place.statements.captures, &new).await
            });
            let read = read.await.map_err(|it| fault(&place.name, it))?;
            self.captured.extend(read);
        }
        if table != Some(self.place.table) {
            // What it wrote before is handed over first.
            self.gone =
                Some(format!("the table {} was dropped, renamed or made anew", self.place.table_name));
        }
        if seen == self.cursor.seen {
            self.rests = true;
            return Ok(());
        }
        self.check_backlog(highest.unwrap_or_default()).await?;
        self.cursor.begin(seen, highest);
        Ok(())
    }

    async fn check_backlog(&mut self, highest: i64) -> Result<(), Fault> {
        if !self.backlog.is_due(&self.place, &self.cursor, highest) {
            return Ok(());
        }
        let place = &self.place;
        let captures: Vec<i32> = self.captured.keys().copied().collect();
        let (floor, held) = (self.cursor.floor, self.hands.events());
        let measured = self.line.run(place.limit, |client| async move {
            backlog::measure(client, place, &captures, floor, &held).await
        });
        let surplus = measured.await.map_err(|it| fault(&place.name, it))?;
        self.backlog.measured();
        if surplus > 0 {
            let is_dropped = place.receive.overflow == Overflow::Drop;
            if is_dropped || self.backlog.tells() {
                let (source, backlog) = (&self.place.name, self.place.receive.backlog);
                tracing::warn!(source, surplus, backlog, is_dropped, "the outbox is too long");
            }
        }
        Ok(())
    }

    async fn ask_page(&mut self) -> Result<(), Trouble> {
        let Some(window) = &self.cursor.window else { return Ok(()) };
        let (place, asked) = (&self.place, self.rows);
        let captures: Vec<i32> = self.captured.keys().copied().collect();
        let limit = i64::try_from(asked).unwrap_or(i64::MAX);
        let (after, seen, until) = (window.after, &self.cursor.seen.text, &window.until.text);
        let stream = self.line.run(place.limit, |client| async move {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&after, &captures, seen, until, &limit];
            Ok(client.query_raw(&place.statements.page, values).await?)
        });
        let stream = Box::pin(stream.await?);
        self.page = Some(Page { stream, asked, read: 0, bytes: 0 });
        Ok(())
    }

    /// Takes the rows of a page, to its end.
    async fn read_page(&mut self) -> Result<(), Trouble> {
        let Self { line, place, page: Some(page), captured, hands, cursor, .. } = self else { return Ok(()) };
        let now = Timestamp::now();
        let table = &place.table_name;
        let name = format!("pg:{}:{}.outbox@{}:", place.system, place.receive.schema, place.outbox);
        let (bytes, read) = (&mut page.bytes, &mut page.read);
        let (stream, after) = (&mut page.stream, cursor.window.as_mut());
        let Some(window) = after else { return Ok(()) };
        line.run(place.limit, |_| async move {
            // Cancel-safe: a row is either still in the stream or in `hands`, and nothing is awaited in between.
            while let Some(row) = stream.try_next().await? {
                let (id, change) = event::read(&row, captured, table)?;
                hands.push(Held {
                    document: document(&change, &format!("{name}{id}"), now),
                    of: Of::Event(id),
                });
                *bytes = bytes.saturating_add(row.raw_size_bytes());
                *read += 1;
                window.after = id;
                window.rows += 1;
            }
            Ok(())
        })
        .await?;
        let (asked, read, bytes) = (page.asked, page.read, page.bytes);
        self.page = None;
        let each = (bytes / read.max(1)).max(1);
        self.rows = (BITE / each).clamp(1, ROWS).min(self.rows.saturating_mul(4));
        if read < asked {
            self.rests = self.cursor.end() == 0;
        }
        Ok(())
    }

    async fn ask_piece(&mut self) -> Result<(), Trouble> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let snapshot = &run.snapshot;
        let asked = self.line.run(self.place.limit, |client| snapshot.start(client, usize::MAX));
        run.step = Step::Reading(asked.await?, Vec::new());
        Ok(())
    }

    async fn read_piece(&mut self) -> Result<(), Trouble> {
        let Self { line, place, run: Some(run), cursor, .. } = self else { return Ok(()) };
        let Run { snapshot, step, .. } = run;
        let Step::Reading(piece, rows) = step else { return Ok(()) };
        let pages = line.run(place.limit, |client| {
            let snapshot = &*snapshot;
            async move {
                // Cancel-safe: a row is either still in the stream or in `rows`.
                while let Some(change) = snapshot.take(piece).await? {
                    rows.push(change);
                }
                snapshot.size(client).await
            }
        });
        let pages = pages.await?;
        let Step::Reading(piece, rows) = std::mem::replace(step, Step::Idle) else { return Ok(()) };
        snapshot.finish(&piece, pages);
        if place.receive.capture == Capture::Trigger
            && let Some(seen) = Seen::parse(&piece.seen)
        {
            // Only what this piece saw comes before it.
            cursor.begin(seen, None);
        }
        *step = Step::Waiting(rows);
        Ok(())
    }

    fn hand_piece_over(&mut self) {
        let Some(run) = &mut self.run else { return };
        let Step::Waiting(rows) = std::mem::replace(&mut run.step, Step::Idle) else { return };
        if rows.is_empty() {
            return;
        }
        let number = run.hand_over(rows.len());
        let now = Timestamp::now();
        for change in rows {
            let bytes = change.to_bytes();
            let id = run.snapshot.event_id(&self.place.system, &bytes);
            let mut document = Document::new(bytes, MEDIA_TYPE, now);
            document.key = Some(IdempotencyKey::or_hash(&id));
            self.hands.push(Held { document, of: Of::Piece(number) });
        }
    }

    /// Everything was read and settled: this is kept, and said to whoever asked.
    async fn end_run(&mut self) -> Result<(), Fault> {
        let Some(run) = &self.run else { return Ok(()) };
        let (signal, rows) = (run.signal, run.rows);
        self.keep(Mark::End).await?;
        if !self.is_trigger() {
            self.execute("COMMIT").await?;
        }
        tracing::info!(source = self.place.name, run = self.kept.run, rows, "a snapshot is handed over");
        if let Some(signal) = signal {
            self.answer(signal, format!("{rows} rows were handed over")).await?;
        }
        self.run = None;
        Ok(())
    }

    async fn keep(&mut self, mark: Mark) -> Result<(), Fault> {
        let Some(run) = &self.run else { return Ok(()) };
        let initial = self.kept.initial || run.signal.is_none() && mark == Mark::End;
        let kept = Kept { run: run.snapshot.run().to_owned(), mark, initial, ..self.kept.clone() };
        let text = serde_json::to_string(&kept).unwrap_or_default();
        self.positions.keep(&self.named, text).await?;
        self.kept = kept;
        Ok(())
    }

    /// Looks for what is asked of this source.
    async fn signals(&mut self) -> Result<(), Fault> {
        if !self.place.has_signals
            || self.run.is_some()
            || self.asked.is_some_and(|it| it.elapsed() < SIGNALS)
        {
            return Ok(());
        }
        let place = &self.place;
        let asked = self.line.run(place.limit, |client| async move {
            let row = client.query_opt(&place.statements.signals, &[&place.receive.flow]).await?;
            let read = row.map(|row| -> Result<_, tokio_postgres::Error> {
                let range: (Option<Vec<String>>, Option<Vec<String>>) = (row.try_get(2)?, row.try_get(3)?);
                Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, String>(1)?, range))
            });
            Ok(read.transpose()?)
        });
        let asked = asked.await.map_err(|it| fault(&place.name, it))?;
        self.asked = Some(Instant::now());
        let Some((id, kind, (from, to))) = asked else { return Ok(()) };
        // There may be more behind it.
        self.asked = None;
        if kind != "snapshot" {
            return self.answer(id, "nothing is stopped here".into()).await;
        }
        let wanted = Wanted { from, to, ..Wanted::all(&self.place.receive) };
        match self.begin(format!("signal-{id}"), wanted, Some(id)).await {
            Err(fault) if fault.recovery == Recovery::GiveUp => {
                tracing::warn!(source = self.place.name, signal = id, %fault, "a snapshot that was asked for can not be read");
                self.answer(id, fault.to_string()).await
            }
            begun => begun,
        }
    }

    async fn answer(&mut self, signal: i64, said: String) -> Result<(), Fault> {
        let place = &self.place;
        let answered = self.line.run(place.limit, |client| async move {
            Ok(client.execute(&place.statements.answer, &[&signal, &said]).await?)
        });
        answered.await.map(drop).map_err(|it| fault(&place.name, it))
    }

    async fn execute(&mut self, text: &str) -> Result<(), Fault> {
        let done =
            self.line.run(self.place.limit, |client| async move { Ok(client.batch_execute(text).await?) });
        let done = done.await;
        done.map_err(|it| self.fault(it))
    }

    /// Deletes what is settled, sets aside what can not be worked on, keeps how far a snapshot is.
    async fn settled(&mut self, done: Done) -> Result<(), Fault> {
        // The connection answers in order: what was asked for before comes first.
        while self.page.is_some() || matches!(self.run.as_ref().map(|it| &it.step), Some(Step::Reading(..))) {
            self.step().await?;
        }
        let place = &self.place;
        let (events, refused) = (&done.events, &done.refused);
        if !events.is_empty() || !refused.is_empty() {
            let purge = usize::try_from(place.receive.purge).unwrap_or(ROWS).max(1);
            let gone = self.line.run(place.limit, |client| async move {
                for ids in events.chunks(purge) {
                    client.execute(&place.statements.delete, &[&ids]).await?;
                }
                for (id, cause) in refused {
                    tracing::warn!(
                        id,
                        cause,
                        "a row of the outbox can not be worked on; it is set aside there"
                    );
                    client.execute(&place.statements.refuse, &[id, cause]).await?;
                }
                Ok(())
            });
            gone.await.map_err(|it| fault(&place.name, it))?;
        }
        if let Some(mark) = self.run.as_mut().and_then(|it| it.settle(&done.pieces)) {
            // The end is kept when all is over.
            if mark != Mark::End {
                self.keep(mark).await?;
            }
        }
        Ok(())
    }
}

fn document(change: &Change, name: &str, now: Timestamp) -> Document {
    let mut document = Document::new(change.to_bytes(), MEDIA_TYPE, now);
    document.key = Some(IdempotencyKey::or_hash(name));
    document
}
