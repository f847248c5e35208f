//! What statements cost: by the pages that they touch, which does not depend on the machine.

use std::time::Duration;

use vestibule_core::ports::JobStore;
use vestibule_testkit::postgres::Postgres;

use super::{RUNNER, fresh, open};
use crate::change::CLAIM;

/// So many jobs in this state, as rows.
fn rows(many: u32, state: u16) -> String {
    format!(
        "INSERT INTO vestibule.jobs (id, flow, key, fingerprint, state, attempt, token, due, accepted, changed, sends)
         SELECT gen_random_uuid(), 'claims', 'key-{state}-' || n, sha256(n::text::bytea), {state}, 1, 1,
             now() - interval '1 hour', now(), now(), 0
         FROM generate_series(1, {many}) AS n;
         INSERT INTO vestibule.documents SELECT seq, now(), '{{\"media_type\":\"text/xml\"}}', NULL, '<a/>'
         FROM vestibule.jobs ON CONFLICT DO NOTHING;"
    )
}

/// Pages that a claim of so many touches.
fn claim(server: &Postgres, database: &str, most: u32) -> u64 {
    let statement = CLAIM
        .replace("{s}", "vestibule")
        .replace("$1::text[]", "ARRAY['claims', 'orders']")
        .replace("$2", &most.to_string())
        .replace("$3", "60000000");
    let explain = format!("BEGIN; EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {statement}; ROLLBACK");
    let plan = server.sql(database, &explain).unwrap();
    // The first line with buffers is that of the whole.
    let buffers = plan.lines().find(|it| it.contains("Buffers: shared")).unwrap();
    let words = buffers.split_whitespace();
    let counts = words.filter_map(|it| it.strip_prefix("hit=").or(it.strip_prefix("read=")));
    counts.map(|it| it.parse::<u64>().unwrap()).sum()
}

#[test]
fn finished_jobs_cost_a_claim_nothing() {
    let settings = fresh(Duration::from_secs(60));
    let store = open(&settings);
    let server = Postgres::shared().unwrap();
    let database = settings.database.as_str();
    server.sql(database, &rows(100, 0)).unwrap();
    server.sql(database, "VACUUM ANALYZE vestibule.jobs").unwrap();
    let few = claim(server, database, 1);
    server.sql(database, &rows(200_000, 4)).unwrap();
    for statistics in ["SELECT 1", "VACUUM ANALYZE vestibule.jobs"] {
        server.sql(database, statistics).unwrap();
        let many = claim(server, database, 1);
        assert!(many < 100, "a claim touches {many} pages, {few} without finished jobs ({statistics})");
        let batch = claim(server, database, 32);
        assert!(batch < 32 * 60, "a claim of 32 touches {batch} pages ({statistics})");
    }
    let claimed = RUNNER.block_on(store.claim(&["claims".into()], 32)).unwrap();
    assert_eq!(claimed.len(), 32);
}
