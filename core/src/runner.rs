//! Tasks, leases and sources.
