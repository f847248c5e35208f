//! A `receive: sqlserver` channel as a source: opens a session and the reader that the mapping asks for.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::Fault,
    job::Place,
    ports::{Intake, Positions, Source},
};

use crate::{
    cdc::Cdc,
    error::Trouble,
    intake::{Changes, Reader},
    line::Line,
    outbox::Outbox,
    receive::{Capture, Receive},
    settings::Settings,
    snapshot::Snapshot,
    tracking::Tracking,
};

/// One channel.
pub(crate) struct ChangeSource {
    pub name: String,
    pub settings: Arc<Settings>,
    pub receive: Arc<Receive>,
    pub deliver: Option<Place>,
}

impl ChangeSource {
    async fn changes(&self, positions: Arc<dyn Positions>) -> Result<Changes, Trouble> {
        let receive = &self.receive;
        let mut line = Line::open(&self.settings, &receive.flow).await?;
        let reader: Box<dyn Reader> = match receive.capture {
            Capture::Trigger => Box::new(Outbox::open(&mut line, receive).await?),
            Capture::Snapshot => Box::new(Snapshot::open(&mut line, receive, positions).await?),
            Capture::Tracking => Box::new(Tracking::open(&mut line, receive, positions).await?),
            Capture::Cdc => Box::new(Cdc::open(&mut line, receive, positions).await?),
        };
        Ok(Changes::new(line, reader, receive.poll, self.deliver.clone()))
    }
}

impl Source for ChangeSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, positions: Arc<dyn Positions>) -> BoxFuture<'_, Result<Box<dyn Intake>, Fault>> {
        Box::pin(async move {
            let changes = self.changes(positions).await.map_err(Fault::from)?;
            Ok(Box::new(changes) as Box<dyn Intake>)
        })
    }
}
