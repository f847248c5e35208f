//! Reference data: the keys of a column, read whole in a read-only transaction of its own.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio_postgres::Client;
use vestibule_core::{
    change::Cell,
    fault::{Fault, FaultCode},
    mapping::{diagnostic::Diagnostics, plan::LookupPlan},
    ports::Lookup,
};

use crate::{
    cell::{self, Kind},
    database::{
        Line, Relation, Settings, fault,
        quote::{check_name, identifier},
    },
    error::Trouble,
};

/// Keys of one round.
const ROUND: usize = 20_000;
/// Longest key, in bytes. What is longer is text that nobody looks up.
const LONGEST: usize = 1_000;
/// Most bytes of all keys.
const MOST_BYTES: usize = 512 << 20;

/// The keys of one column.
pub(crate) struct PgLookup {
    name: String,
    settings: Arc<Settings>,
    from: Relation,
    key: String,
    refresh: Duration,
}

impl PgLookup {
    /// Reads the plan; names that can be none of PostgreSQL are reported at its place.
    pub fn open(settings: &Arc<Settings>, plan: &LookupPlan, diagnostics: &mut Diagnostics) -> Option<Self> {
        let from = Relation::parse(&plan.from);
        if from.is_err() || check_name(&plan.key).is_err() {
            let title = format!("the look-up `{}` can not be read", plan.name);
            diagnostics
                .push("D107", &plan.span, title, "`from` or `key` is no name of PostgreSQL")
                .help("from: sales.policies, key: policy_no");
        }
        let from = from.ok().filter(|_| check_name(&plan.key).is_ok())?;
        let name = format!("{} from {} {from}.{}", plan.name, settings.name, plan.key);
        let (settings, key) = (Arc::clone(settings), plan.key.clone());
        Some(Self { name, settings, from, key, refresh: plan.refresh })
    }

    async fn read(&self, most: usize) -> Result<Vec<Box<str>>, Fault> {
        let failed = |trouble| fault(&self.name, trouble);
        let unquotable = |_| Fault::new(FaultCode::Internal, "its key is no name");
        let key = identifier(&self.key).map_err(unquotable)?;
        let relation = self.from.quoted();
        let mut line = Line::open(&self.settings, "look-ups").await.map_err(failed)?;
        let limit = self.settings.timeout.max(Duration::from_secs(60));
        let begin = line.run(limit, |client| begin(client, &relation, &key));
        let kind = begin.await.map_err(failed)?;
        let fetch = format!("FETCH {ROUND} FROM vestibule_keys");
        let mut found: Vec<Box<str>> = Vec::new();
        let mut bytes = 0_usize;
        loop {
            let round =
                line.run(limit, |client| async { Ok(client.query(fetch.as_str(), &[]).await?) }).await;
            let rows = round.map_err(failed)?;
            if rows.len().saturating_add(found.len()) > most {
                return Err(too_large(format!("it has more than {most} keys")));
            }
            for row in &rows {
                let text: Option<&str> = row.try_get(0).map_err(|it| failed(Trouble::from(it)))?;
                let Some(text) = text else {
                    return Err(too_large(format!("a key is longer than {LONGEST} bytes")));
                };
                // As the same value is read from a row.
                let key: Box<str> = match cell::cell(text.as_bytes(), &kind) {
                    Cell::Text(text) => text,
                    Cell::Null | Cell::Unchanged | Cell::Unreadable(_) | Cell::Json(_) | Cell::List(_) => {
                        text.into()
                    }
                };
                bytes = bytes.saturating_add(key.len());
                found.push(key);
            }
            if bytes > MOST_BYTES {
                return Err(too_large(format!("its keys have more than {MOST_BYTES} bytes")));
            }
            if rows.len() < ROUND {
                return Ok(found);
            }
        }
    }
}

fn too_large(why: String) -> Fault {
    Fault::new(FaultCode::TooLarge, why)
}

/// Begins to read; what values of the column are.
async fn begin(client: &Client, relation: &str, key: &str) -> Result<Kind, Trouble> {
    client.batch_execute("BEGIN READ ONLY").await?;
    let shape = client.prepare(&format!("SELECT {key} FROM {relation} LIMIT 0")).await?;
    let oid = shape.columns().first().map_or(0, |it| it.type_().oid());
    let kind = cell::kinds_of_oids(client, &[oid]).await?.remove(&oid).unwrap_or_default();
    let text = format!("CASE WHEN octet_length({key}::text) <= {LONGEST} THEN {key}::text END");
    let cursor = format!(
        "DECLARE vestibule_keys NO SCROLL CURSOR FOR SELECT DISTINCT {text} FROM {relation} WHERE {key} IS NOT NULL"
    );
    client.batch_execute(&cursor).await?;
    Ok(kind)
}

impl Lookup for PgLookup {
    fn name(&self) -> &str {
        &self.name
    }

    fn refresh(&self) -> Duration {
        self.refresh
    }

    fn keys(&self, most: usize) -> BoxFuture<'_, Result<Vec<Box<str>>, Fault>> {
        Box::pin(self.read(most))
    }
}

#[cfg(test)]
mod tests {
    use vestibule_core::fault::Recovery;
    use vestibule_testkit::postgres::Postgres;

    use super::*;
    use crate::database::tests::{run, settings};

    fn of(url: &str, from: &str, key: &str) -> PgLookup {
        PgLookup {
            name: "them".into(),
            settings: settings(url, "postgres"),
            from: Relation::parse(from).unwrap(),
            key: key.into(),
            refresh: Duration::from_secs(60),
        }
    }

    fn world(sql: &str) -> String {
        let kit = Postgres::shared().unwrap();
        let url = kit.database().unwrap();
        kit.sql(&url, sql).unwrap();
        url
    }

    fn keys(lookup: &PgLookup, most: usize) -> Result<Vec<String>, Fault> {
        let mut found: Vec<String> = run(lookup.keys(most))?.into_iter().map(|it| it.to_string()).collect();
        found.sort_unstable();
        Ok(found)
    }

    #[test]
    fn each_key_is_read_once_as_a_row_spells_it() {
        let url = world(
            "CREATE TABLE t (a text, n numeric(9,2), c char(5), b bool, d date, \"o\"\"'; DROP\" int); \
             INSERT INTO t VALUES ('x', 1.50, 'ab', true, '2026-01-02', 1), ('x', 1.5, 'ab', true, '2026-01-02', 1), \
                 ('y''\u{e4}', 10, 'c', false, '2026-01-03', 2), (NULL, NULL, NULL, NULL, NULL, NULL);",
        );
        for (key, expected) in [
            ("a", ["x", "y'\u{e4}"]),
            ("n", ["1.50", "10.00"]),
            ("c", ["ab", "c"]),
            ("b", ["false", "true"]),
            ("d", ["2026-01-02", "2026-01-03"]),
            ("o\"'; DROP", ["1", "2"]),
        ] {
            assert_eq!(keys(&of(&url, "t", key), 10).unwrap(), expected, "{key}");
        }
    }

    #[test]
    fn many_keys_are_read_in_rounds_and_too_many_are_refused() {
        let url = world("CREATE TABLE many AS SELECT it AS k FROM generate_series(1, 60000) it");
        assert_eq!(keys(&of(&url, "public.many", "k"), 60_000).unwrap().len(), 60_000);
        let refused = keys(&of(&url, "many", "k"), 59_999).unwrap_err();
        assert_eq!(refused.code, FaultCode::TooLarge);
        let url = world("CREATE TABLE long AS SELECT repeat('secret', 1000) AS k");
        let refused = keys(&of(&url, "long", "k"), 10).unwrap_err();
        assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
        assert_eq!(refused.code, FaultCode::TooLarge);
    }

    #[test]
    fn what_is_not_there_or_not_ours_is_a_fault() {
        let url = world("CREATE TABLE t (a text); CREATE TABLE u (a text)");
        for (from, key) in [("nowhere", "a"), ("t", "nothing")] {
            let fault = keys(&of(&url, from, key), 10).unwrap_err();
            assert!(fault.message.contains("42"), "{fault:?}");
        }
        let mut silent = of(&url, "t", "a");
        let mut nobody = Arc::into_inner(settings(&url, "postgres")).unwrap();
        nobody.hosts.iter_mut().for_each(|it| it.port = 1);
        silent.settings = Arc::new(nobody);
        assert_eq!(keys(&silent, 10).unwrap_err().recovery, Recovery::Retry);
    }
}
