//! Signals: rows of our schema by which a DBA asks a running source to read rows again (`db resync`).
//!
//! With triggers such rows go through the outbox: a page of the table is written there by one statement that holds the
//! rows' locks until it commits. Whoever changes one of them did so before, with an older row version, or does so after:
//! each row arrives in its place among its changes.

use tiberius::ToSql;

use crate::{
    catalog,
    cell::{self, Column},
    error::Trouble,
    keyset::{self, Condition, Side},
    line::{Line, some_number, some_text, text},
    quote::name,
    receive::Receive,
};

/// Rows of one page.
const PAGE: usize = 200;
/// Questions without an answer between two looks.
const EVERY: u32 = 5;

/// Looks for signals of one flow.
pub(crate) struct Signals {
    schema: String,
    waited: u32,
}

/// What is asked for.
pub(crate) struct Signal {
    pub id: i64,
    pub from: Option<Vec<String>>,
    pub to: Option<Vec<String>>,
    /// The last key that was read.
    pub at: Option<Vec<String>>,
}

impl Signals {
    pub fn new(receive: &Receive) -> Self {
        Self { schema: name(&receive.schema), waited: 0 }
    }

    /// The oldest that is not done.
    pub async fn next(&mut self, line: &mut Line, receive: &Receive) -> Result<Option<Signal>, Trouble> {
        self.waited = (self.waited + 1) % EVERY;
        if self.waited != 1 {
            return Ok(None);
        }
        let sql = format!(
            "SELECT TOP (1) c.id, c.from_key, c.to_key, c.at_key FROM {}.[signal] AS c \
             WHERE {} AND c.done IS NULL ORDER BY c.id",
            self.schema,
            receive.scope()
        );
        let rows = line.rows(&sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let key = |place: usize| -> Result<Option<Vec<String>>, Trouble> {
            let Some(text) = text(row, place)? else { return Ok(None) };
            serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Trouble::Value("a signal has a key that is none"))
        };
        Ok(Some(Signal { id: some_number(row, 0)?, from: key(1)?, to: key(2)?, at: key(3)? }))
    }

    /// It is done: with this in words.
    pub async fn done(&mut self, line: &mut Line, id: i64, said: &str) -> Result<(), Trouble> {
        self.waited = 0;
        let sql =
            format!("UPDATE {}.[signal] SET done = SYSUTCDATETIME(), said = @P2 WHERE id = @P1", self.schema);
        line.rows(&sql, &[&id, &said]).await.map(drop)
    }

    /// Writes the next page of what is asked for into the outbox.
    pub async fn insert(&mut self, line: &mut Line, receive: &Receive) -> Result<(), Trouble> {
        let Some(signal) = self.next(line, receive).await? else { return Ok(()) };
        if receive.key.is_empty() {
            return self.done(line, signal.id, "refused: the mapping names no key").await;
        }
        let all = catalog::columns(line, &receive.table).await?;
        let key = catalog::chosen(&all, &receive.key, &receive.table)?;
        let bounds = bounds(&key, &signal)?;
        let last = self.last_key(line, receive, &key, &bounds).await?;
        let Some(last) = last else {
            return self.done(line, signal.id, "done").await;
        };
        self.page(line, receive, &key, &signal, bounds, &last).await?;
        // More may be there: the next look is at once.
        self.waited = 0;
        Ok(())
    }

    /// The last key of the next page.
    async fn last_key(
        &self,
        line: &mut Line,
        receive: &Receive,
        key: &[Column],
        bounds: &Condition,
    ) -> Result<Option<Vec<String>>, Trouble> {
        let sql = format!(
            "SELECT TOP ({PAGE}) {} FROM {} AS t WHERE {} ORDER BY {}",
            cell::row(key, "t"),
            receive.table.quoted(),
            bounds.sql,
            keyset::order(key)
        );
        let values: Vec<&str> = bounds.values.iter().map(String::as_str).collect();
        let values: Vec<&dyn ToSql> = values.iter().map(|it| it as &dyn ToSql).collect();
        let rows = line.rows(&sql, &values).await?;
        let Some(row) = rows.last() else { return Ok(None) };
        const BROKEN: Trouble = Trouble::Value("a key is not as it was asked for");
        let row = cell::read(some_text(row, 0)?, key).map_err(|_| BROKEN)?;
        keyset::texts(&row, &receive.key).map(Some).ok_or(BROKEN)
    }

    async fn page(
        &self,
        line: &mut Line,
        receive: &Receive,
        key: &[Column],
        signal: &Signal,
        mut bounds: Condition,
        last: &[String],
    ) -> Result<(), Trouble> {
        let to = keyset::side(key, last, Side::To, bounds.values.len() + 1)?;
        bounds.values.extend(to.values);
        let all = catalog::columns(line, &receive.table).await?;
        let columns = catalog::chosen(&all, &receive.columns, &receive.table)?;
        let filter = receive.filter.as_ref().map(|it| format!(" AND ({it})")).unwrap_or_default();
        let place = bounds.values.len() + 1;
        // The newest capture of this table is the one with these columns.
        let sql = format!(
            "BEGIN TRANSACTION; \
             DECLARE @capture int = (SELECT MAX(c.id) FROM {0}.[capture] AS c WHERE {1}); \
             INSERT INTO {0}.[outbox] (capture, op, after) SELECT @capture, 's', {2} \
             FROM {3} AS t WITH (REPEATABLEREAD, ROWLOCK) WHERE {4} AND {5}{6} ORDER BY {7}; \
             UPDATE {0}.[signal] SET at_key = @P{8} WHERE id = @P{9}; COMMIT TRANSACTION; SELECT 1 AS done;",
            self.schema,
            receive.scope(),
            cell::row(&columns, "t"),
            receive.table.quoted(),
            bounds.sql,
            to.sql,
            filter,
            keyset::order(key),
            place,
            place + 1,
        );
        let at = serde_json::Value::from(last).to_string();
        let texts: Vec<&str> = bounds.values.iter().map(String::as_str).chain([at.as_str()]).collect();
        let mut values: Vec<&dyn ToSql> = texts.iter().map(|it| it as &dyn ToSql).collect();
        values.push(&signal.id);
        line.last(&sql, &values).await.map(drop)
    }
}

/// Rows of the range that were not read yet.
pub(crate) fn bounds(key: &[Column], signal: &Signal) -> Result<Condition, Trouble> {
    let mut found = Condition { sql: "1 = 1".into(), values: Vec::new() };
    let sides = [(&signal.from, Side::From), (&signal.to, Side::To), (&signal.at, Side::After)];
    for (values, side) in sides {
        if let Some(values) = values {
            let one = keyset::side(key, values, side, found.values.len() + 1)?;
            found.sql = format!("{} AND {}", found.sql, one.sql);
            found.values.extend(one.values);
        }
    }
    Ok(found)
}
