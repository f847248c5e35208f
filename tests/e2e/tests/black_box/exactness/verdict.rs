//! The database's history against the jobs: for each key the same things in the same order.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// What happened to one key.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    /// The row has this value now.
    Is(i64),
    /// There is none.
    Gone,
    /// A snapshot says that the row has this value.
    Seen(i64),
}

#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
pub struct Summary {
    /// Things that happened, by the database's own history.
    pub events: usize,
    /// Jobs.
    pub jobs: usize,
    pub keys: usize,
    pub snapshot_rows: usize,
}

type Keys = HashMap<i64, Vec<Event>>;

/// How many jobs there are.
pub fn count(store: &Path) -> usize {
    let Some(store) = open(store) else { return 0 };
    let counted = store.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0));
    counted.ok().and_then(|it| usize::try_from(it).ok()).unwrap_or(0)
}

fn open(store: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(store, flags).ok()?;
    opened.busy_timeout(std::time::Duration::from_secs(10)).ok()?;
    Some(opened)
}

#[derive(Default)]
pub struct History {
    /// Rows that were there before the source was may have been handed over by a snapshot.
    pub from_snapshot: bool,
}

impl History {
    /// What `psql` printed of the history and of the table, against the jobs in the order of their acceptance.
    pub fn compare(&self, store: &Path, history: &str, rows: &str) -> Result<Summary, String> {
        let truth = truth(history);
        let (delivered, jobs) = delivered(store)?;
        let mut summary = Summary { events: 0, jobs, keys: truth.len(), snapshot_rows: 0 };
        for (key, happened) in &truth {
            summary.events += happened.len();
            let nothing = Vec::new();
            let said = delivered.get(key).unwrap_or(&nothing);
            summary.snapshot_rows += said.iter().filter(|it| matches!(it, Event::Seen(_))).count();
            self.agrees(happened, said).map_err(|why| {
                format!("key {key}: {why}\n  happened  {}\n  delivered {}", shown(happened), shown(said))
            })?;
        }
        if let Some(key) = delivered.keys().find(|it| !truth.contains_key(it)) {
            return Err(format!("key {key} was delivered and never written"));
        }
        final_state(&delivered, rows)?;
        Ok(summary)
    }

    fn agrees(&self, happened: &[Event], said: &[Event]) -> Result<(), &'static str> {
        if !self.from_snapshot {
            return if happened == said { Ok(()) } else { Err("not the same") };
        }
        let plain: Vec<&Event> = said.iter().filter(|it| !matches!(it, Event::Seen(_))).collect();
        let skipped = happened.len().checked_sub(plain.len()).ok_or("more than happened")?;
        if !happened.iter().skip(skipped).eq(plain) {
            return Err("what was delivered is not the end of what happened");
        }
        // Each row of the snapshot is the state at its place; without one there was no row to see.
        let state =
            |at: usize| at.checked_sub(1).and_then(|it| happened.get(it)).cloned().unwrap_or(Event::Gone);
        let (mut at, mut was_seen) = (skipped, false);
        for event in said {
            match event {
                Event::Seen(value) => {
                    if was_seen {
                        return Err("twice in the snapshot");
                    }
                    was_seen = true;
                    if state(at) != Event::Is(*value) {
                        return Err("the snapshot's row is not the state at its place");
                    }
                }
                Event::Is(_) | Event::Gone => at += 1,
            }
        }
        if !was_seen && skipped > 0 && state(skipped) != Event::Gone {
            return Err("a row that was there is missing from the snapshot");
        }
        Ok(())
    }
}

/// The first and the last few, for people.
fn shown(events: &[Event]) -> String {
    format!("{} events, {:?} … {:?}", events.len(), &events[..events.len().min(12)], events.last())
}

fn truth(history: &str) -> Keys {
    let mut keys = Keys::new();
    for line in history.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        let number = |at: usize| cells[at].parse::<i64>().ok();
        add(&mut keys, number(1), number(2).zip(number(3)));
    }
    keys
}

/// A key change is the end of one row and the beginning of another.
fn add(keys: &mut Keys, old: Option<i64>, new: Option<(i64, i64)>) {
    if let Some(old) = old
        && new.is_none_or(|(id, _)| id != old)
    {
        keys.entry(old).or_default().push(Event::Gone);
    }
    if let Some((id, value)) = new {
        keys.entry(id).or_default().push(Event::Is(value));
    }
}

fn delivered(store: &Path) -> Result<(Keys, usize), String> {
    let store = open(store).ok_or("the job store can not be read")?;
    let said = |error: rusqlite::Error| error.to_string();
    let sql = "SELECT d.bytes FROM jobs j JOIN documents d ON d.job = j.seq ORDER BY j.seq";
    let mut statement = store.prepare(sql).map_err(said)?;
    let mut rows = statement.query([]).map_err(said)?;
    let (mut keys, mut jobs) = (Keys::new(), 0);
    while let Some(row) = rows.next().map_err(said)? {
        jobs += 1;
        let bytes: Vec<u8> = row.get(0).map_err(said)?;
        let change: Value = serde_json::from_slice(&bytes).map_err(|it| it.to_string())?;
        let cell = |row: &str, name: &str| change[row][name].as_str()?.parse::<i64>().ok();
        let new = cell("after", "id").zip(cell("after", "val"));
        match change["op"].as_str().unwrap_or_default() {
            "snapshot" => {
                let (id, value) = new.ok_or("a row of a snapshot without its columns")?;
                keys.entry(id).or_default().push(Event::Seen(value));
            }
            "insert" => add(&mut keys, None, new),
            // Without the old key it is the same.
            "update" => add(&mut keys, cell("before", "id"), new),
            "delete" => add(&mut keys, cell("before", "id"), None),
            other => return Err(format!("a change of the kind {other:?}: {change}")),
        }
    }
    Ok((keys, jobs))
}

fn final_state(delivered: &Keys, rows: &str) -> Result<(), String> {
    let mut there: HashMap<i64, i64> = HashMap::new();
    for line in rows.lines() {
        let (id, value) = line.split_once('|').unwrap();
        there.insert(id.parse().unwrap(), value.parse().unwrap());
    }
    for (key, events) in delivered {
        let last = match events.last() {
            Some(Event::Is(value) | Event::Seen(value)) => Some(*value),
            Some(Event::Gone) | None => None,
        };
        if there.get(key).copied() != last {
            return Err(format!(
                "key {key} is {:?} in the table and {last:?} in what was delivered",
                there.get(key)
            ));
        }
    }
    match there.keys().find(|it| !delivered.contains_key(it)) {
        Some(key) => Err(format!("key {key} is in the table and was never delivered")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_noticed() {
        use Event::{Gone, Is, Seen};
        let plain = History::default();
        let happened = [Is(1), Is(2), Gone, Is(5)];
        assert!(plain.agrees(&happened, &happened).is_ok());
        for said in
            [&[Is(1), Gone, Is(5)][..], &[Is(2), Is(1), Gone, Is(5)], &[Is(1), Is(2), Is(2), Gone, Is(5)]]
        {
            assert!(plain.agrees(&happened, said).is_err(), "{said:?}");
        }
        let snapshot = History { from_snapshot: true };
        for said in
            [&[Seen(2), Gone, Is(5)][..], &[Is(5)], &happened, &[Is(2), Seen(2), Gone, Is(5)], &[Seen(5)]]
        {
            assert!(snapshot.agrees(&happened, said).is_ok(), "{said:?}");
        }
        for said in [&[Gone, Is(5)][..], &[Seen(1), Gone, Is(5)], &[Seen(2), Seen(2), Gone, Is(5)], &[]] {
            assert!(snapshot.agrees(&happened, said).is_err(), "{said:?}");
        }
    }
}
