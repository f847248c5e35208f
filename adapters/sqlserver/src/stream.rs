//! What change tracking and CDC tables have in common: a position that moves, rows that are read again in between, and
//! the stop when the server has forgotten what was not read yet.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};
use vestibule_core::ports::Positions;

use crate::{
    catalog,
    error::Trouble,
    intake::{Event, Mark},
    line::{Line, some_number},
    quote::{literal, name},
    receive::Receive,
    signal::Signals,
    snapshot::{Pages, Progress},
};

/// How often the position of an idle table is kept, so that the server may forget what is behind it.
const IDLE: Duration = Duration::from_secs(30);

/// Where a flow stands in a stream of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The database.
    pub system: String,
    /// The first place that was not settled as a whole: a version, or an LSN in hexadecimal digits.
    pub from: String,
    /// Rows that are read as they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Progress>,
}

/// What a mark says: `s` and a key, or `c` and a place.
enum Place {
    Row(Vec<String>),
    Change(String),
}

fn place(mark: &str) -> Option<Place> {
    match mark.split_at_checked(1)? {
        ("s", key) => serde_json::from_str(key).ok().map(Place::Row),
        ("c", place) => Some(Place::Change(place.split(':').next()?.to_owned())),
        _ => None,
    }
}

/// A position with what keeps it.
pub(crate) struct Track {
    pub receive: Arc<Receive>,
    pub pages: Pages,
    pub position: Position,
    positions: Arc<dyn Positions>,
    name: String,
    /// Where rows were read up to.
    at: Option<Vec<String>>,
    /// The last mark that was handed over, and the last that was settled.
    handed: Option<Mark>,
    settled: Option<Mark>,
    /// Where reading goes on when everything is settled that was handed over.
    end: Option<String>,
    kept: Instant,
    signals: Option<Signals>,
    signal: Option<i64>,
}

impl Track {
    /// Takes up what was kept; else begins at `now`.
    pub async fn open(
        line: &mut Line,
        receive: &Arc<Receive>,
        positions: Arc<dyn Positions>,
        now: &str,
    ) -> Result<Self, Trouble> {
        let system = catalog::system(line).await?;
        catalog::alone(line, receive).await?;
        let name = format!("{} {} {}", receive.flow, receive.capture.word(), receive.table);
        let kept = positions.kept(&name).await.map_err(Trouble::Position)?;
        let fresh = || Position {
            system: system.clone(),
            from: now.to_owned(),
            snapshot: receive.initial.then(Progress::fresh),
        };
        let (position, is_new) = match kept {
            None => (fresh(), true),
            Some(text) => {
                let kept: Position =
                    serde_json::from_str(&text).map_err(|_| Trouble::Value("the kept position is none"))?;
                if kept.system != system {
                    let text = format!(
                        "D129: {} is in another database than its position: restored or moved?",
                        receive.table
                    );
                    return Err(Trouble::Stopped(text));
                }
                (kept, false)
            }
        };
        let at = position.snapshot.as_ref().and_then(|it| it.after.clone());
        let pages = Pages::open(line, receive, &system).await?;
        let signals = has_signals(line, receive).await?.then(|| Signals::new(receive));
        let mut track = Self {
            receive: Arc::clone(receive),
            pages,
            position,
            positions,
            name,
            at,
            handed: None,
            settled: None,
            end: None,
            kept: Instant::now(),
            signals,
            signal: None,
        };
        if is_new {
            // From here on nothing may be missed, whatever happens before the first change.
            track.keep().await?;
        }
        Ok(track)
    }

    /// The server has forgotten what comes next: goes on with all rows where a person asked for that, else stops.
    pub async fn forgotten(&mut self, line: &mut Line, missing: &str, now: &str) -> Result<(), Trouble> {
        let asked = match &mut self.signals {
            Some(signals) => signals.next(line, &self.receive).await?,
            None => None,
        };
        let Some(asked) = asked else {
            return Err(Trouble::Stopped(format!(
                "D129: {missing} of {} are gone from the server before they were read: `vestibule db resync {}` reads its rows \
                 again and goes on",
                self.receive.table, self.receive.flow
            )));
        };
        self.position.from = now.to_owned();
        self.position.snapshot = Some(Progress { run: asked.id.to_string(), ..Progress::default() });
        self.signal = Some(asked.id);
        self.at = None;
        self.keep().await
    }

    /// Rows that are read as they stand, where some are asked for.
    pub async fn rows(&mut self, line: &mut Line, most: usize) -> Result<Vec<Event>, Trouble> {
        let Some(progress) = &self.position.snapshot else { return Ok(Vec::new()) };
        let mut events = self.pages.next(line, progress, self.at.as_deref(), most).await?;
        match events.last() {
            Some(last) => self.at = serde_json::from_str(&last.mark).ok(),
            None if self.handed == self.settled => {
                self.position.snapshot = None;
                self.at = None;
                self.keep().await?;
                if let (Some(signals), Some(id)) = (&mut self.signals, self.signal.take()) {
                    signals.done(line, id, "done").await?;
                }
            }
            None => {}
        }
        for event in &mut events {
            event.mark = format!("s{}", event.mark).into();
        }
        self.note(&events);
        Ok(events)
    }

    /// True while rows are read as they stand.
    pub fn is_reading_rows(&self) -> bool {
        self.position.snapshot.is_some()
    }

    /// Remembers what was handed over.
    pub fn note(&mut self, events: &[Event]) {
        if let Some(last) = events.last() {
            self.handed = Some(Arc::clone(&last.mark));
        }
    }

    /// Nothing is there up to here now. Keeps that now and then, and looks whether rows are asked for.
    pub async fn idle(&mut self, line: &mut Line, end: String) -> Result<(), Trouble> {
        self.end = Some(end);
        if self.handed == self.settled && self.kept.elapsed() >= IDLE {
            self.rest().await?;
        }
        if let Some(signals) = &mut self.signals
            && self.position.snapshot.is_none()
            && let Some(asked) = signals.next(line, &self.receive).await?
        {
            let progress =
                Progress { run: asked.id.to_string(), from: asked.from, to: asked.to, ..Progress::default() };
            self.signal = Some(asked.id);
            self.position.snapshot = Some(progress);
            self.at = None;
            self.keep().await?;
        }
        Ok(())
    }

    /// More was found than up to the end that was seen before.
    pub fn busy(&mut self) {
        self.end = None;
    }

    /// Everything up to this mark is settled.
    pub async fn settled(&mut self, up_to: Option<Mark>) -> Result<(), Trouble> {
        let Some(mark) = up_to else { return Ok(()) };
        match place(&mark) {
            Some(Place::Row(key)) => {
                if let Some(progress) = &mut self.position.snapshot {
                    progress.after = Some(key);
                }
            }
            // Others of the same transaction may be under way: its place is read again.
            Some(Place::Change(from)) => self.position.from = from,
            None => return Err(Trouble::Value("a mark is none")),
        }
        self.settled = Some(mark);
        if self.settled == self.handed && self.end.is_some() {
            return self.rest().await;
        }
        self.keep().await
    }

    async fn rest(&mut self) -> Result<(), Trouble> {
        if let Some(end) = self.end.take() {
            self.position.from = end;
        }
        self.keep().await
    }

    async fn keep(&mut self) -> Result<(), Trouble> {
        let text = serde_json::to_string(&self.position).map_err(|_| Trouble::Value("a position is none"))?;
        self.positions.keep(&self.name, text).await.map_err(Trouble::Position)?;
        self.kept = Instant::now();
        Ok(())
    }
}

async fn has_signals(line: &mut Line, receive: &Receive) -> Result<bool, Trouble> {
    let object = literal(&format!("{}.[signal]", name(&receive.schema)));
    let rows = line
        .batch(&format!("SELECT CASE WHEN OBJECT_ID({object}) IS NULL THEN 0 ELSE 1 END AS there"))
        .await?;
    Ok(rows.first().map(|it| some_number(it, 0)).transpose()? == Some(1))
}

/// Columns that the flow reads and does not write: an update of none of these is its own, or nothing to it.
pub(crate) fn foreign(receive: &Receive) -> Vec<&String> {
    let is_own = |name: &String| receive.written.iter().any(|it| it.eq_ignore_ascii_case(name));
    receive.columns.iter().filter(|it| !is_own(it)).collect()
}
