//! CDC tables: every change with both its images, in the order of the log, from `cdc.fn_cdc_get_all_changes_…`.
//!
//! A table may have two capture instances while its columns change. The older one is read up to the place where the newer
//! one begins, the newer one from there: nothing is missed and nothing comes twice.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use vestibule_core::{
    change::{Change, Op, Row},
    ports::Positions,
};

use crate::{
    catalog,
    cell::{self, Column},
    error::Trouble,
    intake::{Event, Mark, Reader},
    line::{Line, some_number, some_text, text},
    quote::{Table, literal, name},
    receive::Receive,
    stream::{Track, foreign},
};

/// After how many answers of nothing the capture instances are looked at again.
const LOOK: u32 = 30;
const BROKEN: Trouble = Trouble::Value("a change is not as it was asked for");

/// One capture instance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Instance {
    name: String,
    /// The place in the log from which on it has all changes.
    start: String,
    /// The columns that the flow reads; those that it does not have are of no type.
    columns: Vec<Column>,
}

/// A place in the log: of a commit, in its transaction, and the operation.
type Place = (String, String, i64);

/// Reads the changes of one table.
pub(crate) struct Cdc {
    track: Track,
    /// The oldest first.
    instances: Vec<Instance>,
    after: Option<Place>,
    /// The image before an update whose image after has not come yet.
    before: Option<(String, Row)>,
    idle: u32,
}

impl Cdc {
    pub async fn open(
        line: &mut Line,
        receive: &Arc<Receive>,
        positions: Arc<dyn Positions>,
    ) -> Result<Self, Trouble> {
        let instances = instances(line, receive).await?;
        const NOW: &str =
            "SELECT CONVERT(nvarchar(22), sys.fn_cdc_increment_lsn(sys.fn_cdc_get_max_lsn()), 2)";
        let rows = line.batch(NOW).await?;
        let now = rows.first().map(|it| text(it, 0)).transpose()?.flatten().map(str::to_owned);
        let Some(now) = now.or_else(|| instances.last().map(|it| it.start.clone())) else {
            return Err(off(receive));
        };
        let track = Track::open(line, receive, positions, &now).await?;
        Ok(Self { track, instances, after: None, before: None, idle: 0 })
    }

    /// The instance that has the changes from here on, and where the next one begins.
    fn instance(&self, from: &str) -> Option<(&Instance, Option<&str>)> {
        let place = self.instances.iter().rposition(|it| *it.start <= *from).unwrap_or(0);
        let next = self.instances.get(place + 1).map(|it| it.start.as_str());
        Some((self.instances.get(place)?, next))
    }

    async fn read(&mut self, line: &mut Line, most: usize) -> Result<Vec<Event>, Trouble> {
        if self.track.is_reading_rows() {
            let rows = self.track.rows(line, most).await?;
            if !rows.is_empty() || self.track.is_reading_rows() {
                return Ok(rows);
            }
        }
        let from = self.from();
        let (instance, stop) = self.instance(&from).ok_or_else(|| off(&self.track.receive))?;
        let (instance, stop) = (instance.clone(), stop.map(str::to_owned));
        let (lsn, seqval, op) = self.after.clone().unwrap_or_else(|| (from.clone(), String::new(), 0));
        let seqval = if seqval.is_empty() { "00000000000000000000".to_owned() } else { seqval };
        let sql = self.sql(&instance, most);
        let values: [&dyn tiberius::ToSql; 6] =
            [&from.as_str(), &instance.name.as_str(), &stop.as_deref(), &lsn.as_str(), &seqval.as_str(), &op];
        let results = match line.results(&sql, &values).await {
            // The range is not in the tables any more, or the instance is gone: the next look says which.
            Err(trouble) if matches!(trouble.number(), Some(313 | 208)) => {
                self.instances = instances(line, &self.track.receive).await?;
                return Err(Trouble::Connection(
                    "the capture instances have changed: they are read anew".into(),
                ));
            }
            other => other?,
        };
        let (Some(first), Some(last)) =
            (results.first().and_then(|it| it.first()), results.last().and_then(|it| it.first()))
        else {
            return Err(BROKEN);
        };
        let (Some(least), Some(still)) = (text(first, 1)?, text(last, 1)?) else {
            return Err(off(&self.track.receive));
        };
        if *from < *least.max(still) {
            let missing = format!("changes from LSN 0x{from} to 0x{}", least.max(still));
            let next = some_text(first, 2)?.to_owned();
            (self.after, self.before) = (None, None);
            self.track.forgotten(line, &missing, &next).await?;
            return Ok(Vec::new());
        }
        let rows: &[tiberius::Row] =
            if results.len() > 2 { results.get(1).map_or(&[], Vec::as_slice) } else { &[] };
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            events.extend(self.event(row, &instance)?);
        }
        self.track.note(&events);
        if !rows.is_empty() {
            self.idle = 0;
            self.track.busy();
            // Nothing but its own, or the first half of an update: more may follow at once.
            return if events.is_empty() { Box::pin(self.read(line, most)).await } else { Ok(events) };
        }
        // Behind the last place that was looked at: where the next instance begins, or what is not written yet.
        if let Some(next) = text(first, 3)?.filter(|it| **it > *from) {
            let next = next.to_owned();
            self.track.idle(line, next.clone()).await?;
            if stop.as_deref() == Some(next.as_str()) {
                self.after = Some((next, String::new(), 0));
                return Box::pin(self.read(line, most)).await;
            }
        }
        self.look(line).await?;
        Ok(events)
    }

    /// Where reading goes on.
    fn from(&self) -> String {
        let kept = &self.track.position.from;
        match &self.after {
            Some((lsn, _, _)) if lsn > kept => lsn.clone(),
            _ => kept.clone(),
        }
    }

    async fn look(&mut self, line: &mut Line) -> Result<(), Trouble> {
        self.idle += 1;
        if self.idle >= LOOK {
            self.idle = 0;
            self.instances = instances(line, &self.track.receive).await?;
        }
        Ok(())
    }

    fn sql(&self, instance: &Instance, most: usize) -> String {
        let function = format!("[cdc].{}", name(&format!("fn_cdc_get_all_changes_{}", instance.name)));
        let lsn = |at: usize| format!("CONVERT(binary(10), @P{at}, 2)");
        format!(
            "DECLARE @from binary(10) = {0}, @to binary(10) = sys.fn_cdc_get_max_lsn(), @stop binary(10) = {1},\n    \
             @least binary(10) = sys.fn_cdc_get_min_lsn(@P2);\n\
             DECLARE @now binary(10) = @to;\n\
             IF @stop IS NOT NULL AND @to >= @stop SET @to = sys.fn_cdc_decrement_lsn(@stop);\n\
             SELECT 0, CONVERT(nvarchar(22), @least, 2), CONVERT(nvarchar(22), sys.fn_cdc_increment_lsn(@now), 2),\n    \
             CONVERT(nvarchar(22), sys.fn_cdc_increment_lsn(@to), 2);\n\
             IF @from >= @least AND @to >= @from\n    \
             SELECT TOP ({most}) CONVERT(nvarchar(22), t.__$start_lsn, 2), CONVERT(nvarchar(22), t.__$seqval, 2),\n        \
             CONVERT(bigint, t.__$operation), CONVERT(nvarchar(30), sys.fn_cdc_map_lsn_to_time(t.__$start_lsn), 126),\n        \
             {2}, {3}\n    \
             FROM {function}(@from, @to, N'all update old') AS t\n    \
             WHERE t.__$start_lsn > {4} OR (t.__$start_lsn = {4} AND (t.__$seqval > {5}\n        \
             OR (t.__$seqval = {5} AND t.__$operation > @P6)))\n    \
             ORDER BY t.__$start_lsn, t.__$seqval, t.__$operation;\n\
             SELECT 0, CONVERT(nvarchar(22), sys.fn_cdc_get_min_lsn(@P2), 2);",
            lsn(1),
            lsn(3),
            cell::row(&instance.columns, "t"),
            own(&self.track.receive, instance),
            lsn(4),
            lsn(5),
        )
    }

    fn event(&mut self, row: &tiberius::Row, instance: &Instance) -> Result<Option<Event>, Trouble> {
        let (lsn, seqval, op) =
            (some_text(row, 0)?.to_owned(), some_text(row, 1)?.to_owned(), some_number(row, 2)?);
        let image = cell::read(some_text(row, 4)?, &instance.columns).map_err(|_| BROKEN)?;
        let is_own = some_number(row, 5)? == 1;
        let named = format!("{lsn}:{seqval}");
        self.after = Some((lsn.clone(), seqval, op));
        let (op, before, after) = match op {
            3 => {
                self.before = Some((named, image));
                return Ok(None);
            }
            4 => {
                let before = self.before.take().filter(|(of, _)| *of == named).map(|(_, row)| row);
                (Op::Update, before, Some(image))
            }
            2 => (Op::Insert, None, Some(image)),
            1 => (Op::Delete, Some(image), None),
            _ => return Err(BROKEN),
        };
        if is_own && op == Op::Update {
            return Ok(None);
        }
        let receive = &self.track.receive;
        // The server's own clock without a zone: what it means is known only there.
        let at: Option<Timestamp> = None;
        let change = Change {
            op,
            table: receive.table.to_string().into(),
            at,
            position: format!("0x{lsn}").into(),
            txid: Some(lsn.as_str().into()),
            key: receive.key.iter().map(|it| it.as_str().into()).collect(),
            after,
            before,
        };
        let key = format!("ms:{}:cdc:{}:{named}:{}", self.track.position.system, receive.table, op.word());
        Ok(Some(Event { change, key, mark: format!("c{named}").into() }))
    }
}

/// 1 for an update of nothing that the flow reads and does not write.
fn own(receive: &Receive, instance: &Instance) -> String {
    if receive.written.is_empty() {
        return "0".into();
    }
    let untouched: Vec<String> = foreign(receive)
        .into_iter()
        .map(|column| {
            let place =
                format!("sys.fn_cdc_get_column_ordinal({}, {})", literal(&instance.name), literal(column));
            format!("ISNULL(sys.fn_cdc_is_bit_set({place}, t.__$update_mask), 0) = 0")
        })
        .collect();
    format!("CASE WHEN t.__$operation IN (3, 4) AND {} THEN 1 ELSE 0 END", untouched.join(" AND "))
}

/// The capture instances of the table, the oldest first.
async fn instances(line: &mut Line, receive: &Receive) -> Result<Vec<Instance>, Trouble> {
    const HELP: &str = "EXEC sys.sp_cdc_help_change_data_capture @source_schema = @P1, @source_name = @P2";
    let rows = line.last(HELP, &[&receive.table.schema.as_str(), &receive.table.name.as_str()]).await;
    let rows = match rows {
        Err(trouble) if matches!(trouble.number(), Some(22_901 | 22_981 | 22_985 | 2812)) => {
            return Err(off(receive));
        }
        other => other?,
    };
    let mut found = Vec::new();
    for row in &rows {
        let Some(name) = row.try_get::<&str, _>("capture_instance")? else { continue };
        if !receive.instances.is_empty() && !receive.instances.iter().any(|it| it == name) {
            continue;
        }
        let start = row.try_get::<&[u8], _>("start_lsn")?.unwrap_or_default();
        let start: String = start.iter().map(|it| format!("{it:02X}")).collect();
        found.push((start, name.to_owned()));
    }
    found.sort();
    let mut instances = Vec::with_capacity(found.len());
    for (start, name) in found {
        let table = Table { schema: "cdc".into(), name: format!("{name}_CT") };
        let all = catalog::columns(line, &table).await?;
        let of = |column: &String| {
            let known = all.iter().find(|it| it.name == *column);
            let none = || Column { name: column.clone(), kind: String::new(), declared: String::new() };
            known.cloned().unwrap_or_else(none)
        };
        let columns: Vec<Column> = receive.columns.iter().map(of).collect();
        instances.push(Instance { name, start, columns });
    }
    if instances.is_empty() { Err(off(receive)) } else { Ok(instances) }
}

fn off(receive: &Receive) -> Trouble {
    Trouble::Stopped(format!(
        "D127: CDC is not on for {}, or our user is not in its gating role: sys.sp_cdc_enable_table",
        receive.table
    ))
}

impl Reader for Cdc {
    fn fetch<'a>(
        &'a mut self,
        line: &'a mut Line,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, Trouble>> {
        Box::pin(self.read(line, most))
    }

    fn settled<'a>(
        &'a mut self,
        _line: &'a mut Line,
        _marks: Vec<Mark>,
        up_to: Option<Mark>,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(self.track.settled(up_to))
    }
}
