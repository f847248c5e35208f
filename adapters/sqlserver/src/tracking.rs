//! Change Tracking: which rows changed since a version, joined to the rows as they are now. Changes of one row between
//! two readings are one; what a row was before is not known.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tiberius::ToSql;
use vestibule_core::{
    change::{Change, Op},
    ports::Positions,
};

use crate::{
    cell,
    error::Trouble,
    intake::{Event, Mark, Reader},
    keyset::{self, Side},
    line::{Line, number, some_number, some_text, text},
    quote::{literal, name},
    receive::Receive,
    stream::{Track, foreign},
};

/// Reads the changes of one table.
pub(crate) struct Tracking {
    track: Track,
    /// The snapshot isolation level may be used: rows and versions are of one moment.
    is_of_one_moment: bool,
    /// The last that was read.
    after: Option<(i64, Vec<String>)>,
}

impl Tracking {
    pub async fn open(
        line: &mut Line,
        receive: &Arc<Receive>,
        positions: Arc<dyn Positions>,
    ) -> Result<Self, Trouble> {
        let object = receive.table.object_id();
        let sql = format!(
            "SELECT CHANGE_TRACKING_CURRENT_VERSION(), CHANGE_TRACKING_MIN_VALID_VERSION({object}), \
             CONVERT(int, (SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID())), \
             CONVERT(int, (SELECT is_track_columns_updated_on FROM sys.change_tracking_tables WHERE object_id = {object}))"
        );
        let rows = line.batch(&sql).await?;
        let row = rows.first().ok_or(Trouble::Value("there is no version"))?;
        let (Some(now), Some(_)) = (number(row, 0)?, number(row, 1)?) else {
            return Err(Trouble::Stopped(format!(
                "D127: change tracking is not on for {}, or our user may not see it (VIEW CHANGE TRACKING)",
                receive.table
            )));
        };
        if !receive.written.is_empty() && number(row, 3)? != Some(1) {
            return Err(Trouble::Stopped(format!(
                "D127: the flow writes into {} too: change tracking needs TRACK_COLUMNS_UPDATED = ON to tell its own changes",
                receive.table
            )));
        }
        let is_of_one_moment = number(row, 2)? == Some(1);
        let next = now.saturating_add(1).to_string();
        let track = Track::open(line, receive, positions, &next).await?;
        Ok(Self { track, is_of_one_moment, after: None })
    }

    async fn read(&mut self, line: &mut Line, most: usize) -> Result<Vec<Event>, Trouble> {
        if self.track.is_reading_rows() {
            let rows = self.track.rows(line, most).await?;
            if !rows.is_empty() || self.track.is_reading_rows() {
                return Ok(rows);
            }
        }
        let from: i64 =
            self.track.position.from.parse().map_err(|_| Trouble::Value("the kept position is none"))?;
        let key = self.track.pages.key();
        let since = from.saturating_sub(1);
        let (version, side) = match &self.after {
            Some((version, after)) => (*version, Some(keyset::side(key, after, Side::After, 3)?)),
            None => (since, None),
        };
        let condition = side.as_ref().map(|it| it.sql.as_str());
        let sql = self.sql(condition, most);
        let texts: Vec<&str> = side.iter().flat_map(|it| &it.values).map(String::as_str).collect();
        let mut values: Vec<&dyn ToSql> = vec![&since, &version];
        values.extend(texts.iter().map(|it| it as &dyn ToSql));
        let results = line.results(&sql, &values).await?;
        let (Some(first), Some(last)) =
            (results.first().and_then(|it| it.first()), results.last().and_then(|it| it.first()))
        else {
            return Err(Trouble::Value("there is no version"));
        };
        let now = some_number(first, 0)?;
        let least = some_number(first, 1)?.max(some_number(last, 1)?);
        if since < least {
            let next = now.saturating_add(1).to_string();
            let missing = format!("changes from version {from} to {least}");
            self.after = None;
            self.track.forgotten(line, &missing, &next).await?;
            return Ok(Vec::new());
        }
        let rows: &[tiberius::Row] =
            if results.len() > 2 { results.get(1).map_or(&[], Vec::as_slice) } else { &[] };
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(event) = self.event(row)? {
                events.push(event);
            }
        }
        self.hold(rows)?;
        self.track.note(&events);
        if rows.is_empty() {
            // The next reading begins behind this moment as soon as all that was found is settled.
            self.track.idle(line, now.saturating_add(1).to_string()).await?;
        } else {
            self.track.busy();
        }
        if events.is_empty() && !rows.is_empty() {
            // All of it was our own: more may follow at once.
            return Box::pin(self.read(line, most)).await;
        }
        Ok(events)
    }

    /// Remembers the last row, so that the next question begins behind it.
    fn hold(&mut self, rows: &[tiberius::Row]) -> Result<(), Trouble> {
        const BROKEN: Trouble = Trouble::Value("a key is not as it was asked for");
        if let Some(row) = rows.last() {
            let key = cell::read(some_text(row, 2)?, self.track.pages.key()).map_err(|_| BROKEN)?;
            let key = keyset::texts(&key, &self.track.receive.key).ok_or(BROKEN)?;
            self.after = Some((some_number(row, 0)?, key));
        }
        Ok(())
    }

    fn sql(&self, after: Option<&str>, most: usize) -> String {
        let receive = &self.track.receive;
        let table = receive.table.quoted();
        let key = self.track.pages.key();
        let joined: Vec<String> = key.iter().map(|it| format!("r.{0} = t.{0}", name(&it.name))).collect();
        let first = key.first().map(|it| name(&it.name)).unwrap_or_default();
        let after = after.map_or_else(
            || "t.SYS_CHANGE_VERSION > @P2".to_owned(),
            |it| format!("(t.SYS_CHANGE_VERSION > @P2 OR (t.SYS_CHANGE_VERSION = @P2 AND {it}))"),
        );
        let (begin, end) = match self.is_of_one_moment {
            true => (
                "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION;\n",
                "COMMIT TRANSACTION; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;\n",
            ),
            false => ("", ""),
        };
        let object = receive.table.object_id();
        format!(
            "{begin}DECLARE @now bigint = CHANGE_TRACKING_CURRENT_VERSION();\n\
             SELECT @now, CHANGE_TRACKING_MIN_VALID_VERSION({object});\n\
             SELECT TOP ({most}) t.SYS_CHANGE_VERSION, t.SYS_CHANGE_OPERATION, {},\n    \
             CASE WHEN r.{first} IS NULL THEN NULL ELSE {} END, {}\n\
             FROM CHANGETABLE(CHANGES {table}, @P1) AS t LEFT JOIN {table} AS r ON {}\n\
             WHERE {after} AND t.SYS_CHANGE_VERSION <= @now ORDER BY t.SYS_CHANGE_VERSION, {};\n\
             SELECT @now, CHANGE_TRACKING_MIN_VALID_VERSION({object});\n{end}",
            cell::row(key, "t"),
            cell::row(self.track.pages.columns(), "r"),
            own(receive),
            joined.join(" AND "),
            keyset::order(key),
        )
    }

    fn event(&self, row: &tiberius::Row) -> Result<Option<Event>, Trouble> {
        const BROKEN: Trouble = Trouble::Value("a change is not as it was asked for");
        let receive = &self.track.receive;
        if some_number(row, 4)? == 1 {
            return Ok(None);
        }
        let version = some_number(row, 0)?;
        let key = cell::read(some_text(row, 2)?, self.track.pages.key()).map_err(|_| BROKEN)?;
        let after = match text(row, 3)? {
            Some(text) => Some(cell::read(text, self.track.pages.columns()).map_err(|_| BROKEN)?),
            None => None,
        };
        let op = match (some_text(row, 1)?.trim(), &after) {
            ("I", Some(_)) => Op::Insert,
            ("U", Some(_)) => Op::Update,
            ("D", _) => Op::Delete,
            // It is gone since: its own change follows.
            ("I" | "U", None) => return Ok(None),
            _ => return Err(BROKEN),
        };
        let texts = keyset::texts(&key, &receive.key).ok_or(BROKEN)?;
        let named = serde_json::Value::from(texts).to_string();
        let change = Change {
            op,
            table: receive.table.to_string().into(),
            at: None,
            position: version.to_string().into(),
            txid: None,
            key: receive.key.iter().map(|it| it.as_str().into()).collect(),
            after: after.filter(|_| op != Op::Delete),
            before: (op == Op::Delete).then_some(key),
        };
        let id = format!("ms:{}:ct:{}:{version}:{named}", self.track.position.system, receive.table);
        Ok(Some(Event { change, key: id, mark: format!("c{version}:{named}").into() }))
    }
}

/// 1 for an update of nothing that the flow reads and does not write.
fn own(receive: &Receive) -> String {
    if receive.written.is_empty() {
        return "0".into();
    }
    let untouched: Vec<String> = foreign(receive)
        .into_iter()
        .map(|column| {
            let id =
                format!("COLUMNPROPERTY({}, {}, 'ColumnId')", receive.table.object_id(), literal(column));
            format!("CHANGE_TRACKING_IS_COLUMN_IN_MASK({id}, t.SYS_CHANGE_COLUMNS) = 0")
        })
        .collect();
    let untouched = untouched.join(" AND ");
    format!(
        "CASE WHEN t.SYS_CHANGE_OPERATION = 'U' AND t.SYS_CHANGE_COLUMNS IS NOT NULL AND {untouched} THEN 1 ELSE 0 END"
    )
}

impl Reader for Tracking {
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
