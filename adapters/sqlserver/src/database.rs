//! What a DBA reads and runs.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::{Fault, FaultCode},
    mapping::diagnostic::Diagnostics,
    ports::{Advice, Database, KeyRange, Level, Login, Scripts, Standing, Use},
};

use crate::{
    catalog,
    error::Trouble,
    line::{Line, number},
    quote::{literal, name},
    receive::{Capture, Deliver, Receive},
    script::{self, Needs},
    settings::{Password, Settings},
};

/// An installation may wait for the locks of a busy table.
const INSTALLING: Duration = Duration::from_secs(120);

/// One database, for the person who owns it.
pub(crate) struct Dba {
    pub settings: Arc<Settings>,
}

/// What these uses need.
fn needs(uses: &[Use]) -> Result<Needs, Fault> {
    let mut needs = Needs::default();
    let mut diagnostics = Diagnostics::default();
    for of in uses {
        if let Some(channel) = &of.receive {
            needs.receive.extend(Receive::read(&of.mapping, channel, &mut diagnostics));
        }
        if let Some(channel) = &of.deliver {
            let deliver = Deliver::read(&of.mapping, channel, &mut diagnostics);
            needs.deliver.extend(deliver.map(|it| (of.mapping.name.to_string(), it)));
        }
    }
    if diagnostics.is_empty() {
        return Ok(needs);
    }
    Err(Fault::new(
        FaultCode::NotUnderstood,
        "the mapping is not right: `vestibule check` says what is wrong",
    ))
}

impl Dba {
    async fn line(&self, login: Option<&Login>) -> Result<Line, Trouble> {
        let mut settings = (*self.settings).clone();
        if let Some(login) = login {
            settings.user.clone_from(&login.user);
            settings.password = Password::new(login.password.clone().unwrap_or_default());
        }
        Line::open(&settings, "db").await
    }

    async fn advise(&self, needs: &Needs) -> Result<Vec<Advice>, Trouble> {
        let mut line = self.line(None).await?;
        let mut found = Vec::new();
        for receive in &needs.receive {
            advise_on(&mut line, receive, &mut found).await?;
        }
        Ok(found)
    }

    async fn stand(&self, needs: &Needs) -> Result<Vec<Standing>, Trouble> {
        let mut line = self.line(None).await?;
        let mut found = Vec::new();
        for receive in &needs.receive {
            found.push(standing(&mut line, receive).await?);
        }
        for (flow, deliver) in &needs.deliver {
            let there = is_there(&mut line, &format!("{}.[written]", name(&deliver.schema))).await?;
            found.push(Standing {
                flow: flow.clone(),
                what: format!("write {}", deliver.target),
                state: if there { "ok" } else { "missing" }.into(),
                rows: None,
                bytes: None,
                seconds: None,
                text: String::new(),
            });
        }
        Ok(found)
    }

    async fn ask(&self, receive: &Receive, range: &KeyRange) -> Result<String, Trouble> {
        let mut line = self.line(None).await?;
        let json = |key: &Option<Vec<String>>| {
            key.as_ref().map(|it| serde_json::Value::from(it.clone()).to_string())
        };
        let (from, to) = (json(&range.from), json(&range.to));
        let sql = format!(
            "INSERT INTO {}.[signal] (flow, relation, kind, from_key, to_key) VALUES (@P1, @P2, N'snapshot', @P3, @P4)",
            name(&receive.schema)
        );
        let relation = receive.table.to_string();
        line.rows(&sql, &[&receive.flow.as_str(), &relation.as_str(), &from.as_deref(), &to.as_deref()])
            .await?;
        Ok(format!("asked: {} are read again by the running source", receive.table))
    }
}

impl Database for Dba {
    fn scripts(&self, uses: &[Use]) -> Result<Scripts, Fault> {
        Ok(script::scripts(&needs(uses)?, &self.settings.user))
    }

    fn preflight<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Vec<Advice>, Fault>> {
        Box::pin(async move { self.advise(&needs(uses)?).await.map_err(Fault::from) })
    }

    fn execute<'a>(&'a self, script: &'a str, login: Option<&'a Login>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let mut line = self.line(login).await.map_err(Fault::from)?.patient(INSTALLING);
            line.batch(script).await.map(drop).map_err(Fault::from)
        })
    }

    fn status<'a>(&'a self, uses: &'a [Use]) -> BoxFuture<'a, Result<Vec<Standing>, Fault>> {
        Box::pin(async move { self.stand(&needs(uses)?).await.map_err(Fault::from) })
    }

    fn resync<'a>(&'a self, of: &'a Use, range: &'a KeyRange) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async move {
            let needs = needs(std::slice::from_ref(of))?;
            let Some(receive) = needs.receive.first() else {
                return Err(Fault::new(
                    FaultCode::NotUnderstood,
                    "this mapping reads nothing from this database",
                ));
            };
            if receive.capture == Capture::Snapshot {
                let text = "a snapshot is not read again while it runs: give the mapping another name";
                return Err(Fault::new(FaultCode::NotUnderstood, text));
            }
            self.ask(receive, range).await.map_err(Fault::from)
        })
    }
}

async fn is_there(line: &mut Line, object: &str) -> Result<bool, Trouble> {
    let sql = format!("SELECT CASE WHEN OBJECT_ID({}) IS NULL THEN 0 ELSE 1 END AS there", literal(object));
    let rows = line.batch(&sql).await?;
    Ok(rows.first().map(|it| number(it, 0)).transpose()?.flatten() == Some(1))
}

async fn advise_on(line: &mut Line, receive: &Receive, found: &mut Vec<Advice>) -> Result<(), Trouble> {
    let mut say = |level: Level, topic: &'static str, text: String, remedy: &str| {
        found.push(Advice { level, topic, flow: receive.flow.clone(), text, remedy: remedy.into() });
    };
    let columns = match catalog::columns(line, &receive.table).await {
        Ok(columns) => columns,
        Err(Trouble::Stopped(text)) => {
            say(Level::Error, "no-table", text, "check the name, and grant SELECT or VIEW DEFINITION");
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    if let Err(Trouble::Stopped(text)) = catalog::chosen(&columns, &receive.columns, &receive.table) {
        say(Level::Error, "no-column", text, "name the columns as the catalogue spells them");
    }
    let chosen = columns.iter().filter(|it| receive.columns.contains(&it.name));
    let wide: Vec<&str> =
        chosen.filter(|it| it.declared.ends_with("(max)")).map(|it| it.name.as_str()).collect();
    if !wide.is_empty() {
        let text =
            format!("{} may hold long values: over 8 MiB they are left out as a finding", wide.join(", "));
        say(Level::Info, "wide", text, "");
    }
    if receive.key.is_empty() {
        let text =
            format!("{} has no `key` in the mapping: an update is a delete and an insert", receive.table);
        say(Level::Warning, "no-key", text, "name a unique key");
    }
    if receive.capture == Capture::Trigger {
        let text =
            "a table with a trigger refuses OUTPUT without INTO (error 334): some applications write so";
        say(Level::Warning, "output-clause", text.into(), "ask who writes; for Entity Framework: HasTrigger");
        let sql =
            format!("SELECT COUNT_BIG(*) FROM sys.triggers WHERE parent_id = {}", receive.table.object_id());
        let rows = line.batch(&sql).await?;
        let count = rows.first().map(|it| number(it, 0)).transpose()?.flatten().unwrap_or_default();
        if count > 0 {
            say(Level::Info, "triggers", format!("{} has {count} triggers already", receive.table), "");
        }
    }
    Ok(())
}

async fn standing(line: &mut Line, receive: &Receive) -> Result<Standing, Trouble> {
    let mut found = Standing {
        flow: receive.flow.clone(),
        what: receive.what(),
        state: "ok".into(),
        rows: None,
        bytes: None,
        seconds: None,
        text: String::new(),
    };
    if receive.capture != Capture::Trigger {
        found.text = "its position is in the job store".into();
        return Ok(found);
    }
    let s = name(&receive.schema);
    if !is_there(line, &format!("{s}.[outbox]")).await? {
        found.state = "missing".into();
        return Ok(found);
    }
    let sql = format!(
        "SELECT COUNT_BIG(*), SUM(CONVERT(bigint, ISNULL(DATALENGTH(o.before), 0) + ISNULL(DATALENGTH(o.after), 0))), \
         CONVERT(bigint, DATEDIFF(second, MIN(o.at), SYSUTCDATETIME())) FROM {s}.[outbox] AS o WITH (READPAST) \
         WHERE o.capture IN (SELECT c.id FROM {s}.[capture] AS c WHERE {})",
        receive.scope()
    );
    let rows = line.batch(&sql).await?;
    if let Some(row) = rows.first() {
        let unsigned = |it: Option<i64>| it.and_then(|it| u64::try_from(it).ok());
        found.rows = unsigned(number(row, 0)?);
        found.bytes = unsigned(number(row, 1)?);
        found.seconds = unsigned(number(row, 2)?).map(|it| Duration::from_secs(it).as_secs_f64());
    }
    if found.rows.is_some_and(|it| it > receive.backlog) {
        found.state = "behind".into();
    }
    Ok(found)
}
