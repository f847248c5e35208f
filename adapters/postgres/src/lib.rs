//! The shared job store: PostgreSQL, leases, SKIP LOCKED, LISTEN/NOTIFY.
