//! The port that a DBA's commands go through.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::Fault,
    ports::{Advice, Database, KeyRange, Login, Scripts, Standing, Use},
};

use super::{part::Part, preflight, scripts, status};
use crate::database::{Capture, Line, Settings, fault, quote::identifier};

/// Longest time for a script: an installation waits for locks of its own, 5 s each.
const SCRIPT: Duration = Duration::from_secs(300);

/// What a DBA reads and runs on one connection.
pub(crate) struct Desk {
    pub settings: Arc<Settings>,
}

impl Desk {
    pub(super) async fn line(&self, role: &str) -> Result<Line, Fault> {
        Line::open(&self.settings, role).await.map_err(|it| fault(&self.settings.place(), it))
    }
}

impl Database for Desk {
    fn scripts(&self, uses: &[Use]) -> Result<Scripts, Fault> {
        scripts(uses, &self.settings.user)
    }

    fn preflight<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Vec<Advice>, Fault>> {
        Box::pin(async move {
            let parts = Part::all(uses)?;
            let mut line = self.line("preflight").await?;
            preflight::run(&mut line, &parts, &self.settings).await
        })
    }

    fn execute<'a>(&'a self, script: &'a str, login: Option<&'a Login>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let place = self.settings.place();
            let opened = match login {
                None => Line::open_for_writing(&self.settings, "db").await,
                Some(it) => Line::open_for(&self.settings, "db", &it.user, it.password.as_deref()).await,
            };
            let mut line = opened.map_err(|it| fault(&place, it))?;
            // The text has its own BEGIN and COMMIT; what fails before it is rolled back with the connection.
            let done = line.run(SCRIPT, |client| async move { Ok(client.batch_execute(script).await?) });
            done.await.map_err(|it| fault(&place, it))
        })
    }

    fn status<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Vec<Standing>, Fault>> {
        Box::pin(async move {
            let parts = Part::all(uses)?;
            let mut line = self.line("status").await?;
            let mut all = Vec::with_capacity(parts.len());
            for part in &parts {
                let stands = status::of(&mut line, part, self.settings.timeout).await;
                all.push(stands.map_err(|it| fault(part.flow(), it))?);
            }
            Ok(all)
        })
    }

    fn resync<'a>(&'a self, of: &'a Use, range: &'a KeyRange) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async move {
            let mut said = Vec::new();
            for part in Part::all(std::slice::from_ref(of))? {
                let Part::Receive(receive) = part else { continue };
                // A source that streams reads all rows again for either; one that stopped goes on for `resume` alone.
                let is_all = range.from.is_none() && range.to.is_none();
                let kind = if is_all && receive.capture == Capture::Log { "resume" } else { "snapshot" };
                let sql = format!(
                    "INSERT INTO {}.signal (flow, kind, from_key, to_key) VALUES ($1, $2, $3, $4)",
                    identifier(&receive.schema)?
                );
                let mut line = self.line("resync").await?;
                let flow = &receive.flow;
                let done = line.run(self.settings.timeout, |client| async move {
                    Ok(client.execute(&sql, &[flow, &kind, &range.from, &range.to]).await?)
                });
                done.await.map_err(|it| fault(flow, it))?;
                let which = if is_all { "all rows" } else { "the rows of this range" };
                said.push(format!(
                    "{}: {which} of {} are read again by the running source",
                    flow, receive.table
                ));
            }
            Ok(said.join("\n"))
        })
    }
}
