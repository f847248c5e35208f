//! What would go wrong, or cost something. Reads the catalogue; the cost is measured on temporary tables of our own, in a
//! transaction that is rolled back.

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use vestibule_core::{
    fault::Fault,
    ports::{Advice, Level},
};

use super::{
    part::{Part, Way},
    trigger,
};
use crate::{
    database::{Capture, Line, Receive, Relation, Settings, fault, quote::identifier},
    error::Trouble,
};

const MEASURING: Duration = Duration::from_secs(60);

/// All advice on these parts.
pub(super) async fn run(line: &mut Line, parts: &[Part], settings: &Settings) -> Result<Vec<Advice>, Fault> {
    let mut all = Vec::new();
    for part in parts {
        let wrong = |it: Trouble| fault(part.flow(), it);
        let mut heard = Heard { flow: part.flow(), all: &mut all };
        if matches!(part, Part::Deliver(it) if it.write == Way::Call) {
            continue;
        }
        let Some(table) = table(line, part, settings.timeout, &mut heard).await.map_err(wrong)? else {
            continue;
        };
        let Part::Receive(receive) = part else { continue };
        of_table(receive, &table, &mut heard);
        match receive.capture {
            Capture::Trigger => cost(line, receive, &table, &mut heard).await,
            Capture::Log => log(line, receive, settings, &mut heard).await.map_err(wrong)?,
            Capture::Snapshot => {}
        }
    }
    Ok(all)
}

struct Heard<'a> {
    flow: &'a str,
    all: &'a mut Vec<Advice>,
}

impl Heard<'_> {
    fn say(&mut self, level: Level, topic: &'static str, text: impl Into<String>, remedy: &str) {
        let (flow, text, remedy) = (self.flow.to_owned(), text.into(), remedy.to_owned());
        self.all.push(Advice { level, topic, flow, text, remedy });
    }
}

/// What the catalogue says of a table.
struct Table {
    identity: String,
    identity_columns: Vec<String>,
    primary: Vec<String>,
    triggers: Vec<String>,
    below: i64,
    wide: Vec<String>,
    /// How many indexes it has.
    indexes: i64,
    /// Types of the captured columns.
    types: Vec<String>,
    installed: bool,
}

async fn table(
    line: &mut Line,
    part: &Part,
    limit: Duration,
    heard: &mut Heard<'_>,
) -> Result<Option<Table>, Trouble> {
    let sql = "SELECT c.relkind::text, c.relreplident::text,
    ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
          WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END),
    ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
          WHERE i.indrelid = c.oid AND i.indisprimary),
    ARRAY(SELECT t.tgname::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
          AND t.tgname NOT LIKE 'vestibule\\_%' ORDER BY 1),
    (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid),
    ARRAY(SELECT s.attname::text FROM pg_stats s WHERE s.schemaname = $1 AND s.tablename = $2 AND s.attname = ANY ($3)
          AND s.avg_width > 2000 ORDER BY 1),
    ARRAY(SELECT coalesce(format_type(a.atttypid, a.atttypmod), '') FROM unnest($3::text[]) WITH ORDINALITY AS w (name, place)
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
          ORDER BY w.place),
    EXISTS (SELECT FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE n.nspname = $4 AND o.relname = 'outbox'),
    (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid)
    FROM pg_class c JOIN pg_namespace h ON h.oid = c.relnamespace WHERE h.nspname = $1 AND c.relname = $2";
    let relation = part.relation();
    let schema = part.schema();
    let columns: Vec<String> = match part {
        Part::Receive(it) => it.columns.clone(),
        Part::Deliver(it) => it.columns.iter().chain(&it.compared).cloned().collect(),
    };
    let wanted = &columns;
    let row: Option<Row> = line
        .run(limit, |client| async move {
            Ok(client.query_opt(sql, &[&relation.schema, &relation.name, wanted, &schema]).await?)
        })
        .await?;
    let Some(row) = row else {
        heard.say(
            Level::Error,
            "no-table",
            format!("there is no table {relation}"),
            "names are to the letter",
        );
        return Ok(None);
    };
    let (kind, types): (String, Vec<String>) = (row.try_get(0)?, row.try_get(7)?);
    let missing: Vec<&str> =
        columns.iter().zip(&types).filter(|(_, it)| it.is_empty()).map(|(it, _)| &**it).collect();
    if !missing.is_empty() {
        let text = format!("{relation} has no column {}", missing.join(", "));
        heard.say(Level::Error, "no-column", text, "names are to the letter");
        return Ok(None);
    }
    let is_captured = matches!(part, Part::Receive(it) if it.capture != Capture::Snapshot);
    if is_captured && !matches!(&*kind, "r" | "p") {
        let text = format!("{relation} is a view or a foreign table: nothing of it can be captured");
        heard.say(Level::Error, "no-table", text, "name the table below it, or `capture: snapshot`");
        return Ok(None);
    }
    Ok(Some(Table {
        identity: row.try_get(1)?,
        identity_columns: row.try_get(2)?,
        primary: row.try_get(3)?,
        triggers: row.try_get(4)?,
        below: row.try_get(5)?,
        wide: row.try_get(6)?,
        types,
        installed: row.try_get(8)?,
        indexes: row.try_get(9)?,
    }))
}

fn of_table(receive: &Receive, table: &Table, heard: &mut Heard<'_>) {
    let name = &receive.table;
    if table.installed {
        heard.say(Level::Info, "installed", format!("the schema {} is there", receive.schema), "");
    } else {
        heard.say(Level::Info, "not-installed", "nothing is installed yet", "vestibule db install");
    }
    if receive.key.is_empty() {
        let remedy = match table.primary.as_slice() {
            [] => "give the table a primary key where you can".to_owned(),
            some => format!("key: [{}]", some.join(", ")),
        };
        let text = format!("the mapping names no `key` of {name}: its rows are known by nothing");
        heard.say(Level::Warning, "no-key", text, &remedy);
    }
    if !table.triggers.is_empty() {
        let text = format!("{name} has triggers already: {}", table.triggers.join(", "));
        heard.say(Level::Info, "triggers", text, "");
    }
    if table.below > 0 {
        let text = format!(
            "{name} has {} partitions or child tables: later ones need `vestibule db install` again with triggers, and TRUNCATE \
             or DETACH of one is no event",
            table.below
        );
        heard.say(Level::Warning, "partitions", text, "");
    }
    if !table.wide.is_empty() {
        let text = format!("wide columns are captured: {}", table.wide.join(", "));
        heard.say(Level::Warning, "wide-columns", text, "leave out of `columns` what is not needed");
    }
    if receive.capture == Capture::Log {
        let missing: Vec<&str> = table
            .identity_columns
            .iter()
            .filter(|it| !receive.columns.contains(it))
            .map(String::as_str)
            .collect();
        if table.identity == "f" {
            let text = format!(
                "{name} has REPLICA IDENTITY FULL: with a list of columns its UPDATE and DELETE would fail"
            );
            heard.say(Level::Error, "replica-identity", text, "capture: trigger");
        } else if table.identity_columns.is_empty() {
            let text =
                format!("{name} has no replica identity: its UPDATE and DELETE would fail when published");
            heard.say(Level::Error, "replica-identity", text, "give it a primary key, or capture: trigger");
        } else if !missing.is_empty() {
            let text = format!("the columns of {name} must have those of its key: {}", missing.join(", "));
            heard.say(Level::Error, "replica-identity", text, "add them to `key`");
        }
    }
}

async fn log(
    line: &mut Line,
    receive: &Receive,
    settings: &Settings,
    heard: &mut Heard<'_>,
) -> Result<(), Trouble> {
    let sql = "SELECT current_setting('wal_level'), current_setting('max_slot_wal_keep_size', true),
    current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)::int,
    coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), false)";
    let row =
        line.run(settings.timeout, |client| async move { Ok(client.query_one(sql, &[]).await?) }).await?;
    let (level, keep): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let (most, used, may): (i32, i32, bool) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let version = line.version();
    if version < 14 {
        heard.say(
            Level::Error,
            "version",
            format!("PostgreSQL {version}: log capture needs 14"),
            "capture: trigger",
        );
    } else if version < 15 {
        heard.say(
            Level::Warning,
            "version",
            "PostgreSQL 14 has no lists of columns: whole rows are sent",
            "",
        );
    }
    if level != "logical" {
        heard.say(
            Level::Error,
            "wal-level",
            format!("wal_level is {level}"),
            "wal_level = logical, and a restart",
        );
    }
    if keep.as_deref().is_none_or(|it| it == "-1") && !receive.unlimited {
        let text = "max_slot_wal_keep_size is unlimited: a slot that nobody reads fills the disk";
        heard.say(Level::Error, "slot-limit", text, "set it, e.g. 10GB; or `unlimited: yes`");
    }
    let free = most.saturating_sub(used);
    let level = if free < 1 { Level::Error } else { Level::Info };
    heard.say(
        level,
        "slots",
        format!("{used} of {most} replication slots are used"),
        "max_replication_slots",
    );
    if may {
        let text =
            format!("{} has REPLICATION: by another plugin it can read every table's changes", settings.user);
        heard.say(
            Level::Warning,
            "replication-role",
            text,
            "keep its password apart; pg_hba.conf can tie it to one host",
        );
    } else {
        let text = format!("{} may not replicate", settings.user);
        heard.say(Level::Error, "replication-role", text, "ALTER ROLE … REPLICATION");
    }
    let text = "a slot keeps the log of all tables while Vestibule is not running; `vestibule db status` shows how much";
    heard.say(Level::Info, "idle-table", text, "");
    Ok(())
}

/// The cost of the insert trigger; no measure where temporary tables are not allowed.
async fn cost(line: &mut Line, receive: &Receive, table: &Table, heard: &mut Heard<'_>) {
    let measured = measure(line, receive, table).await;
    // Whatever happened in it: nothing of it stays.
    let _ = line.run(MEASURING, |client| async move { Ok(client.batch_execute("ROLLBACK").await?) }).await;
    match measured {
        Ok((bare, with)) => {
            let keeps = (100.0 * bare.as_secs_f64() / with.as_secs_f64().max(1e-9)).min(100.0);
            let text = format!(
                "statements of 100 rows keep at least about {keeps:.0} % of their insert throughput with the trigger: an estimate on \
                 temporary tables of the same types, which have neither log nor commits; real tables keep more"
            );
            heard.say(Level::Info, "trigger-cost", text, "");
        }
        Err(_) => {
            let text = "the cost of the trigger could not be measured: temporary tables are not allowed";
            heard.say(Level::Info, "trigger-cost", text, "GRANT TEMPORARY ON DATABASE …");
        }
    }
}

async fn measure(line: &mut Line, receive: &Receive, table: &Table) -> Result<(Duration, Duration), Trouble> {
    let wrong = |it: &dyn std::fmt::Display| Trouble::Value(it.to_string());
    let mut probe = receive.clone();
    probe.schema = "pg_temp".into();
    probe.table = Relation { schema: "pg_temp".into(), name: "vestibule_probe".into() };
    probe.condition = None;
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for (name, spelt) in receive.columns.iter().zip(&table.types) {
        columns.push(format!("{} {spelt}", identifier(name).map_err(|it| wrong(&it))?));
        values.push(match spelt.split(['(', ' ']).next().unwrap_or_default() {
            "integer" | "bigint" | "numeric" | "real" | "double" => format!("7::{spelt}"),
            "text" | "character" => format!("'a text of some length'::{spelt}"),
            "timestamp" | "date" => format!("now()::{spelt}"),
            "boolean" => "true".into(),
            _ => format!("NULL::{spelt}"),
        });
    }
    let first = receive.columns.first().map(|it| identifier(it)).transpose().map_err(|it| wrong(&it))?;
    let index = format!("; CREATE INDEX ON vestibule_probe ({})", first.unwrap_or_default());
    let indexes = index.repeat(usize::try_from(table.indexes.clamp(0, 8)).unwrap_or_default());
    let begin = format!(
        "BEGIN; CREATE TEMP TABLE vestibule_probe ({}); CREATE TEMP TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY \
         KEY, txid bigint NOT NULL, at timestamptz NOT NULL, capture int NOT NULL, op \"char\" NOT NULL, before text[], after \
         text[], note text); CREATE TEMP SEQUENCE missed{indexes}",
        columns.join(", ")
    );
    let load = format!(
        "DO $probe$ BEGIN FOR turn IN 1..100 LOOP INSERT INTO pg_temp.vestibule_probe SELECT {} FROM generate_series(1, 100); END \
         LOOP; END $probe$",
        values.join(", ")
    );
    let load = load.as_str();
    let functions = trigger::functions(&probe).map_err(|it| wrong(&it))?;
    let triggers = trigger::triggers(&probe).map_err(|it| wrong(&it))?;
    line.run(MEASURING, |client| async move {
        client.batch_execute(&begin).await?;
        client.batch_execute(load).await?;
        let started = Instant::now();
        client.batch_execute(load).await?;
        let bare = started.elapsed();
        client.batch_execute(&functions).await?;
        client.batch_execute(&triggers).await?;
        client.batch_execute(load).await?;
        let started = Instant::now();
        client.batch_execute(load).await?;
        Ok((bare, started.elapsed()))
    })
    .await
}
