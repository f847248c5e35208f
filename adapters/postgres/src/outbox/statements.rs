//! The statements of a drain, with our schema in them.

use crate::{cell::stored, database::quote};

/// Texts; all values are parameters.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) facts: String,
    pub(super) look: String,
    pub(super) captures: String,
    pub(super) page: String,
    pub(super) delete: String,
    pub(super) refuse: String,
    pub(super) count: String,
    pub(super) drop: String,
    pub(super) signals: String,
    pub(super) answer: String,
    pub(super) listen: String,
}

/// What the triggers of a flow notify by.
pub(crate) fn channel(schema: &str, flow: &str) -> String {
    let mut name = format!("{schema}_{flow}");
    while name.len() > quote::LONGEST_NAME {
        name.pop();
    }
    name
}

impl Statements {
    pub fn new(schema: &str, flow: &str) -> Result<Self, quote::Unquotable> {
        let (s, channel) = (quote::identifier(schema)?, quote::identifier(&channel(schema, flow))?);
        let (before, after) = (stored("before"), stored("after"));
        // The snapshots are parameters of a subquery, so that their text is read once a statement, not once a row.
        Ok(Self {
            facts: "SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()), \
                pg_catalog.to_regclass($1)::oid, pg_catalog.to_regclass($2)::oid, pg_catalog.to_regclass($3)::oid, \
                pg_catalog.pg_try_advisory_lock(1986359156, pg_catalog.hashtext($4))"
                .into(),
            look: format!(
                "SELECT pg_catalog.txid_current_snapshot()::text, (SELECT max(id) FROM {s}.outbox WHERE id > $1), \
                 coalesce((SELECT array_agg(id ORDER BY id) FROM {s}.capture WHERE flow = $2 AND relation = $3), \
                 '{{}}'), pg_catalog.to_regclass($4)::oid"
            ),
            captures: format!("SELECT id, columns, types, key FROM {s}.capture WHERE id = ANY($1)"),
            page: format!(
                "SELECT id, txid, at, capture, op, {before}, {after}, left(note, 200) FROM {s}.outbox \
                 WHERE id > $1 AND capture = ANY($2) \
                 AND NOT pg_catalog.txid_visible_in_snapshot(txid, (SELECT $3::text::txid_snapshot)) \
                 AND pg_catalog.txid_visible_in_snapshot(txid, (SELECT $4::text::txid_snapshot)) \
                 ORDER BY id LIMIT $5"
            ),
            delete: format!("DELETE FROM {s}.outbox WHERE id = ANY($1)"),
            refuse: format!("UPDATE {s}.outbox SET capture = -abs(capture), note = $2 WHERE id = $1"),
            count: format!(
                "SELECT count(*) FROM (SELECT FROM {s}.outbox WHERE capture = ANY($1) AND id > $2 LIMIT $3) AS few"
            ),
            drop: format!(
                "WITH old AS (SELECT id FROM {s}.outbox WHERE capture = ANY($1) AND op <> 'o' AND NOT id = ANY($2) \
                 ORDER BY id LIMIT $3), gone AS (DELETE FROM {s}.outbox WHERE id IN (SELECT id FROM old) \
                 RETURNING capture) INSERT INTO {s}.outbox (capture, op, note) \
                 SELECT capture, 'o', count(*)::text FROM gone GROUP BY capture"
            ),
            signals: format!(
                "SELECT id, kind, from_key, to_key FROM {s}.signal WHERE flow = $1 AND done IS NULL ORDER BY id LIMIT 1"
            ),
            answer: format!("UPDATE {s}.signal SET done = pg_catalog.now(), said = $2 WHERE id = $1"),
            // A scan that is forbidden costs so much that the server would compile each plan: 50 ms a question.
            listen: format!(
                "SET synchronous_commit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; \
                 SELECT pg_catalog.set_config(name, 'off', false) FROM pg_catalog.pg_settings WHERE name = 'jit'; \
                 LISTEN {channel}"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_fits_a_name() {
        assert_eq!(channel("vestibule", "order-risk"), "vestibule_order-risk");
        assert_eq!(channel("vestibule", &"ä".repeat(40)).len(), 62);
        assert!(Statements::new("a\0b", "x").is_err());
    }
}
