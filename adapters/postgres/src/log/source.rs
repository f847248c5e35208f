//! The source: opens a slot, or says why it can not.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::{info, warn};
use uuid::Uuid;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::Place,
    ports::{Intake, Positions, Source},
};

use super::{
    intake::{LogIntake, Start},
    login::Door,
    position::{Lsn, Position, Reading},
    slot::{self, Course, Gap, Server},
    wire::Wire,
};
use crate::{
    database::{Receive, Settings, fault},
    error::Trouble,
};

/// A table's changes from the log.
pub(crate) struct LogSource {
    pub(super) name: String,
    /// What it does, for messages: `log public.orders`.
    pub(super) place: String,
    pub(super) settings: Arc<Settings>,
    pub(super) receive: Arc<Receive>,
    pub(super) return_to: Option<Place>,
    door: Door,
}

impl LogSource {
    /// The source of this channel; connects to nothing.
    pub(crate) fn new(settings: &Arc<Settings>, receive: Receive, return_to: Option<Place>) -> Self {
        let place = format!("log {}", receive.table);
        Self {
            // The slot is what its position belongs to.
            name: format!("postgres {} {}", settings.name, receive.slot),
            door: Door::new(settings, format!("vestibule {}", receive.flow).chars().take(63).collect()),
            place,
            settings: Arc::clone(settings),
            receive: Arc::new(receive),
            return_to,
        }
    }

    fn trouble(&self, trouble: Trouble) -> Fault {
        fault(&self.place, trouble)
    }

    async fn kept(&self, positions: &dyn Positions) -> Result<Option<Position>, Fault> {
        let Some(text) = positions.kept(&self.name).await? else { return Ok(None) };
        let read = serde_json::from_str(&text).map_err(|error| {
            Fault::new(
                FaultCode::Store,
                format!("{}: what was kept of its position is not readable", self.place),
            )
            .because(error)
        });
        read.map(Some)
    }

    async fn start(&self, positions: Arc<dyn Positions>) -> Result<Box<dyn Intake>, Fault> {
        let kept = self.kept(&*positions).await?;
        let mut wire = self.door.open().await.map_err(|it| self.trouble(it))?;
        let server = slot::server(&mut wire).await.map_err(|it| self.trouble(it))?;
        let slot = slot::slot(&mut wire, &self.receive.slot).await.map_err(|it| self.trouble(it))?;
        let resumes = slot::resumes(&mut wire, &self.receive).await.map_err(|it| self.trouble(it))?;
        slot::check(&mut wire, &server, &self.receive, &self.place)
            .await
            .map_err(|it| self.trouble(it))??;
        let course = slot::course(kept.as_ref(), slot.as_ref(), &server, &self.receive.slot);
        let is_keyless = self.receive.key.is_empty();
        let start = match (course, kept, resumes.last()) {
            // The rows of a table without a key can not be read on from where they were: once more from their beginning.
            (Ok(Course::Go), Some(Position { reading: Some(Reading { signal: None, .. }), .. }), _)
                if is_keyless =>
            {
                slot::remove(&mut wire, &self.receive.slot).await.map_err(|it| self.trouble(it))?;
                self.make(&mut wire, &server, &*positions).await?
            }
            (Ok(Course::Go), Some(mut position), last) => {
                // One that is being followed already goes on from where it is.
                let followed = position.reading.as_ref().and_then(|it| it.signal);
                if let Some(signal) = last.filter(|it| Some(**it) != followed) {
                    // What the table looks like now is accepted, and every row of it read again.
                    position.columns.clear();
                    position.reading = Some(all_rows(Some(*signal)));
                    self.keep(&*positions, &position).await?;
                }
                Start { position, snapshot: None }
            }
            (Ok(course), _, last) => {
                if course == Course::MakeAgain {
                    slot::remove(&mut wire, &self.receive.slot).await.map_err(|it| self.trouble(it))?;
                }
                let mut start = self.make(&mut wire, &server, &*positions).await?;
                if start.position.reading.is_none()
                    && let Some(signal) = last
                {
                    start.position.reading = Some(all_rows(Some(*signal)));
                    self.keep(&*positions, &start.position).await?;
                }
                start
            }
            (Err(Gap::Foreign { slot }), ..) => return Err(Gap::Foreign { slot }.fault(&self.place)),
            (Err(gap), _, None) => return Err(gap.fault(&self.place)),
            (Err(gap), _, Some(signal)) => {
                warn!(source = %self.name, "{gap}; a person said to go on: all rows are read again");
                if slot.is_some() {
                    slot::remove(&mut wire, &self.receive.slot).await.map_err(|it| self.trouble(it))?;
                }
                let mut start = self.make(&mut wire, &server, &*positions).await?;
                start.position.reading = Some(all_rows(Some(*signal)));
                start.snapshot = None;
                self.keep(&*positions, &start.position).await?;
                start
            }
        };
        info!(source = %self.name, from = %start.position.lsn, "the slot is read");
        LogIntake::open(self, wire, server, start, positions).await.map(|it| Box::new(it) as Box<dyn Intake>)
    }

    /// Makes the slot. What is kept before says that this began, what is kept behind where it begins: a crash between both
    /// leaves a slot that nothing was read from.
    async fn make(
        &self,
        wire: &mut Wire,
        server: &Server,
        positions: &dyn Positions,
    ) -> Result<Start, Fault> {
        let mut position = Position {
            system: server.system.clone(),
            timeline: server.timeline.clone(),
            slot: self.receive.slot.clone(),
            lsn: Lsn::default(),
            columns: Vec::new(),
            reading: None,
        };
        self.keep(positions, &position).await?;
        let made = slot::make(wire, server, &self.receive.slot, self.receive.initial).await;
        let (begin, snapshot) = made.map_err(|it| self.trouble(it))?;
        position.lsn = begin;
        position.reading = self.receive.initial.then(|| all_rows(None));
        self.keep(positions, &position).await?;
        info!(source = %self.name, begin = %begin, "the slot {} is made", self.receive.slot);
        Ok(Start { position, snapshot })
    }

    pub(super) async fn keep(&self, positions: &dyn Positions, position: &Position) -> Result<(), Fault> {
        positions.keep(&self.name, position.text()).await
    }
}

fn all_rows(signal: Option<i64>) -> Reading {
    Reading { run: Uuid::now_v7(), after: None, from: None, to: None, signal }
}

impl Source for LogSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, positions: Arc<dyn Positions>) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(self.start(positions))
    }

    fn is_journaled(&self) -> bool {
        true
    }
}
