//! SQL Server: triggers and outbox, change tracking, CDC tables, write-back, look-ups.
