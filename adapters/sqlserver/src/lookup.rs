//! Reference data: the keys of a table, read whole.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{change::Cell, fault::Fault, mapping::plan::LookupPlan, ports::Lookup};

use crate::{
    catalog, cell,
    error::Trouble,
    line::{Line, some_text},
    quote::{Table, name},
    settings::Settings,
};

/// The keys of one table.
pub(crate) struct Keys {
    name: String,
    settings: Arc<Settings>,
    table: Table,
    key: String,
    refresh: Duration,
}

impl Keys {
    pub fn new(connection: &str, plan: &LookupPlan, table: Table, settings: Arc<Settings>) -> Self {
        let name = format!("{} from {connection} {}.{}", plan.name, table, plan.key);
        Self { name, settings, table, key: plan.key.clone(), refresh: plan.refresh }
    }

    async fn read(&self, most: usize) -> Result<Vec<Box<str>>, Trouble> {
        let mut line = Line::open(&self.settings, "look-up").await?;
        let all = catalog::columns(&mut line, &self.table).await?;
        let columns = catalog::chosen(&all, std::slice::from_ref(&self.key), &self.table)?;
        let column = name(&self.key);
        let rows = most.saturating_add(1).min(i32::MAX as usize);
        let sql = format!(
            "SELECT DISTINCT TOP ({rows}) {} FROM {} AS t WHERE t.{column} IS NOT NULL",
            cell::row(&columns, "t"),
            self.table.quoted()
        );
        let rows = line.rows(&sql, &[]).await?;
        if rows.len() > most {
            return Err(Trouble::Stopped(format!(
                "D130: {} has more than {most} keys: it is too large for a look-up",
                self.table
            )));
        }
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            let read =
                cell::read(some_text(row, 0)?, &columns).map_err(|_| Trouble::Value("a key is none"))?;
            match read.get(&self.key) {
                Some(Cell::Text(text)) => keys.push(text.clone()),
                _ => {
                    return Err(Trouble::Stopped(format!(
                        "D130: {} has a key that can not be read",
                        self.table
                    )));
                }
            }
        }
        Ok(keys)
    }
}

impl Lookup for Keys {
    fn name(&self) -> &str {
        &self.name
    }

    fn refresh(&self) -> Duration {
        self.refresh
    }

    fn keys(&self, most: usize) -> BoxFuture<'_, Result<Vec<Box<str>>, Fault>> {
        Box::pin(async move { self.read(most).await.map_err(Fault::from) })
    }
}
