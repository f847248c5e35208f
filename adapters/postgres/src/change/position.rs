//! Where sources are.

use futures_util::future::BoxFuture;

use super::{Change, Group};
use crate::error::Failure;

pub(super) const STATEMENTS: &[&str] = &[KEEP];

const KEEP: &str = "
    INSERT INTO {s}.positions (name, kept, changed) VALUES ($1, $2, statement_timestamp())
    ON CONFLICT (name) DO UPDATE SET kept = excluded.kept, changed = excluded.changed";

/// See `JobStore::keep_position`.
pub(crate) struct KeepPosition {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Change for KeepPosition {
    type Output = ();

    fn apply<'a>(&'a self, group: &'a Group<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { Ok(group.session.execute(KEEP, &[&self.name, &self.text]).await.map(drop)?) })
    }
}
