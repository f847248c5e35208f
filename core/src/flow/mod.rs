//! One pipeline: extract, interpret, gate, ask, check the answer, render. Sync, async and batch differ only in who
//! waits.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    document::Document,
    fault::{Fault, FaultCode},
    finding::Outcome,
    job::{JobId, Remark, Reply},
    mapping::plan::Mapping,
    ports::{Extraction, Model},
    registry::Registry,
};

pub mod written;

/// A mapping with everything it needs to run.
pub struct Flow {
    /// The compiled mapping.
    pub mapping: Arc<Mapping>,
}

impl Flow {
    /// Compiles readers, writers, prompt and validators. `fallback_models` stands beside `mapping.ask.fallback`,
    /// with a model where the step is a decision table.
    pub fn assemble(
        mapping: Arc<Mapping>,
        registry: &Registry,
        models: Vec<Arc<dyn Model>>,
        fallback_models: Vec<Option<Arc<dyn Model>>>,
    ) -> Result<Self, Fault> {
        let _ = (registry, models, fallback_models);
        Ok(Self { mapping })
    }

    /// Reads a document by its media type.
    pub fn extract(&self, document: &Document) -> Result<Extraction, Fault> {
        let _ = document;
        Err(Fault::new(FaultCode::Internal, "not ready"))
    }

    /// What would happen to a document, without a model call.
    pub fn preview(&self, document: &Document, now: Timestamp) -> Result<Preview, Fault> {
        let _ = (document, now);
        Err(Fault::new(FaultCode::Internal, "not ready"))
    }

    /// The pipeline.
    pub async fn run(
        &self,
        document: &Document,
        extraction: Extraction,
        ticket: JobId,
        deadline: Instant,
    ) -> Result<Reply, Fault> {
        let _ = (document, extraction, ticket, deadline);
        Err(Fault::new(FaultCode::Internal, "not ready"))
    }
}

/// What would happen to a document.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// One for each record.
    pub records: Vec<RecordPreview>,
}

/// What would happen to one record.
#[derive(Debug, Clone, Serialize)]
pub struct RecordPreview {
    /// Canonical JSON, masked values as a remote model would see them are in `prompt` only.
    pub record: serde_json::Value,
    /// Place and raw text of each field.
    pub lineage: serde_json::Value,
    /// What the gate found.
    pub findings: Vec<Remark>,
    /// How it would end.
    pub outcome: Outcome,
    /// The prompt that would be sent; `None` where the gate stops the record or nothing is asked.
    pub prompt: Option<String>,
}
