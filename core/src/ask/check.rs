//! Is it an answer? Every answer, whoever gave it, is checked against the flow's strict schema and read into typed
//! values here. Faults name fields and keywords, never values.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    fault::{Fault, FaultCode, Recovery},
    mapping::plan::{Ask, Shape},
    record::Record,
};

/// Most mistakes that a fault names.
const MOST_NAMED: usize = 3;
/// Most mistakes that are looked for.
const MOST_FOUND: usize = 100;

/// The compiled check of one flow's answers.
pub struct AnswerCheck {
    validator: jsonschema::Validator,
    shape: Arc<Shape>,
}

/// A place of an answer that its schema refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON pointer, `/lines/0/amount`; `/` where the answer has a name that the flow does not know.
    pub place: String,
    /// The schema's keyword, `maxLength`.
    pub keyword: String,
}

/// An answer that passed: as it was given, and typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checked {
    pub raw: Map<String, Value>,
    pub record: Record,
}

impl AnswerCheck {
    /// Compiles the strict schema.
    pub fn compile(ask: &Ask) -> Result<Self, Fault> {
        let validator = jsonschema::validator_for(&ask.strict_schema).map_err(|error| {
            Fault::new(FaultCode::Internal, "the schema of the answer can not be compiled")
                .because(error.to_string())
        })?;
        Ok(Self { validator, shape: ask.answer.clone() })
    }

    /// The typed answer, or a fault for which another model may do.
    pub(super) fn read(&self, raw: Map<String, Value>) -> Result<Checked, Fault> {
        let whole = Value::Object(raw);
        if !self.validator.is_valid(&whole) {
            return Err(self.outside(&whole));
        }
        let Value::Object(raw) = whole else { return Err(refuse("it is not an object")) };
        let (record, problems) = Record::from_answer(&self.shape, &raw);
        match problems.first() {
            None => Ok(Checked { raw, record }),
            Some(problem) => Err(refuse(&format!("`{}` can not be read as its type", problem.field))),
        }
    }

    /// Everything that the strict schema refuses in an answer, at most 100 places of it.
    pub fn misfits(&self, answer: &Value) -> Vec<Misfit> {
        let errors = self.validator.iter_errors(answer).take(MOST_FOUND);
        let misfit = |error: jsonschema::ValidationError<'_>| {
            let path = error.instance_path().to_string();
            let first = path.split('/').nth(1).unwrap_or_default();
            // A name that the model made up is a value of its own: it is not repeated.
            let place = if self.shape.slot(first).is_some() { path } else { "/".to_owned() };
            Misfit { place, keyword: error.kind().keyword().to_owned() }
        };
        errors.map(misfit).collect()
    }

    /// Walks the mistakes only once it is known that there are some: the check of a good answer stays cheap.
    fn outside(&self, answer: &Value) -> Fault {
        let misfits = self.misfits(answer);
        let named =
            misfits.iter().take(MOST_NAMED).map(|it| format!("`{}` fails `{}`", it.place, it.keyword));
        refuse(&named.collect::<Vec<_>>().join(", "))
    }
}

fn refuse(what: &str) -> Fault {
    Fault::new(FaultCode::Model, format!("the answer is outside its schema: {what}"))
        .recovery(Recovery::FailOver)
}
