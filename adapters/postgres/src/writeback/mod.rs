//! Write-back: results as rows, as columns of the row that they are about, or as arguments of a procedure.
//!
//! Each result is one transaction with its line in the ledger `written` of our schema, so that it is written once however
//! often it is handed back; the transaction carries a mark that triggers and the log let pass.

#[allow(dead_code, reason = "what is needed is for the scripts of the DBA")]
mod deliver;
mod refusal;
mod returner;
mod row;
mod statement;
mod target;

#[cfg(test)]
mod tests;

#[allow(unused_imports, reason = "for the scripts of the DBA")]
pub(crate) use self::deliver::{Mode, Needs, needs};
pub(crate) use self::{deliver::Deliver, returner::PgReturner};
