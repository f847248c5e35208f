//! Where a use stands: how far it is behind, and what is missing.

use std::time::Duration;

use vestibule_core::ports::Standing;

use super::{
    part::{Part, function_name},
    trigger::EVENTS,
};
use crate::{
    database::{Capture, Line, Receive, quote::Relation},
    error::Trouble,
};

/// Rows are counted up to here.
const MOST: i64 = 1_000_001;

/// The standing of one part.
pub(super) async fn of(line: &mut Line, part: &Part, limit: Duration) -> Result<Standing, Trouble> {
    let schema = part.schema();
    let mut standing = Standing {
        flow: part.flow().to_owned(),
        what: format!("write {}", part.relation()),
        state: "ok".into(),
        rows: None,
        bytes: None,
        seconds: None,
        text: String::new(),
    };
    let outbox = Relation { schema: schema.to_owned(), name: "outbox".into() }.quoted();
    let there: bool = {
        line.run(limit, |client| async move {
            Ok(client.query_one("SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'outbox')", &[&schema]).await?.try_get(0)?)
        })
        .await?
    };
    if let Part::Receive(receive) = part {
        standing.what = format!("{} {}", receive.capture.word(), receive.table);
    }
    if !there {
        standing.state = "missing".into();
        standing.text = format!("nothing is installed in the schema {schema}: `vestibule db install`");
        return Ok(standing);
    }
    match part {
        Part::Receive(it) if it.capture == Capture::Trigger => {
            trigger(line, it, &outbox, limit, &mut standing).await?
        }
        Part::Receive(it) if it.capture == Capture::Log => log(line, it, limit, &mut standing).await?,
        _ => {}
    }
    Ok(standing)
}

async fn trigger(
    line: &mut Line,
    receive: &Receive,
    outbox: &str,
    limit: Duration,
    standing: &mut Standing,
) -> Result<(), Trouble> {
    let of = |name: &str| Relation { schema: receive.schema.clone(), name: name.into() }.quoted();
    let (capture, missed) = (of("capture"), of("missed"));
    let mine = format!("FROM {outbox} WHERE capture IN (SELECT id FROM {capture} WHERE flow = $1)");
    let sql = format!(
        "SELECT (SELECT count(*) FROM (SELECT 1 {mine} LIMIT {MOST}) one),
        pg_total_relation_size($2::text::regclass),
        extract(epoch FROM clock_timestamp() - (SELECT at {mine} ORDER BY id LIMIT 1))::float8,
        (SELECT count(*) FROM (SELECT 1 {mine} AND op = 'x' LIMIT {MOST}) one),
        (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {missed}),
        (SELECT count(DISTINCT p.oid) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = $3 AND p.proname = ANY ($4) AND t.tgenabled IN ('O', 'A'))"
    );
    let functions: Vec<String> = EVENTS.iter().map(|(event, ..)| function_name(receive, event)).collect();
    let (flow, schema) = (&receive.flow, &receive.schema);
    let row = line
        .run(limit, |client| async move {
            Ok(client.query_one(&sql, &[flow, &outbox, schema, &functions]).await?)
        })
        .await?;
    let rows: i64 = row.try_get(0)?;
    let (failed, missed, triggers): (i64, i64, i64) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
    standing.rows = u64::try_from(rows).ok();
    standing.bytes = u64::try_from(row.try_get::<_, i64>(1)?).ok();
    standing.seconds = row.try_get(2)?;
    if standing.seconds.is_some_and(|it| it > 60.0)
        || u64::try_from(rows).is_ok_and(|it| it > receive.backlog)
    {
        standing.state = "behind".into();
    }
    let mut texts = Vec::new();
    if failed > 0 {
        texts.push(format!("{failed} statements could not be captured (op x)"));
    }
    if missed > 0 {
        texts.push(format!(
            "{missed} statements could not even be noted since the installation: `vestibule db resync`"
        ));
    }
    if triggers < 4 {
        texts.push(format!("{triggers} of 4 triggers are there and enabled: `vestibule db install`"));
    }
    if !texts.is_empty() {
        standing.state = if triggers == 0 { "missing" } else { "partly" }.into();
        standing.text = texts.join("; ");
    }
    Ok(())
}

async fn log(
    line: &mut Line,
    receive: &Receive,
    limit: Duration,
    standing: &mut Standing,
) -> Result<(), Trouble> {
    let sql = "SELECT s.active, coalesce(s.wal_status, ''), pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::int8,
        coalesce(s.confirmed_flush_lsn::text, ''),
        EXISTS (SELECT FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
                WHERE p.pubname = $2 AND r.prrelid = (
            SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $3 AND c.relname = $4))
        FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON s.slot_name = $1 AND s.database = current_database()";
    let (slot, publication, table) = (&receive.slot, &receive.publication, &receive.table);
    let row = line
        .run(limit, |client| async move {
            Ok(client.query_one(sql, &[slot, publication, &table.schema, &table.name]).await?)
        })
        .await?;
    let (active, wal): (Option<bool>, String) = (row.try_get(0)?, row.try_get(1)?);
    let published: bool = row.try_get(4)?;
    standing.bytes = row.try_get::<_, Option<i64>>(2)?.and_then(|it| u64::try_from(it).ok());
    (standing.state, standing.text) = match active {
        _ if !published => (
            "missing".into(),
            format!("{} is not in the publication {publication}: `vestibule db install`", receive.table),
        ),
        None => ("missing".into(), format!("there is no slot {slot} yet: `vestibule serve` makes it")),
        Some(_) if wal == "lost" => {
            ("stopped".into(), format!("the log for {slot} is gone: `vestibule db resync`"))
        }
        Some(false) => {
            ("stopped".into(), format!("nobody reads the slot {slot}, at {}", row.try_get::<_, String>(3)?))
        }
        Some(true) => ("ok".into(), format!("at {}", row.try_get::<_, String>(3)?)),
    };
    if standing.state == "ok" && standing.bytes.is_some_and(|it| it > receive.wal_budget / 2) {
        standing.state = "behind".into();
    }
    Ok(())
}
