//! Is it an answer? Every answer, whoever gave it, is checked against the flow's strict schema and read into typed
//! values here. Faults name fields and keywords, never values.

mod bounds;

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
        // The mistakes are walked only once it is known that there are some: a good answer stays cheap.
        if !self.validator.is_valid(&whole) {
            return Err(name(&self.outside_schema(&whole)));
        }
        let Value::Object(raw) = whole else { return Err(refuse("it is not an object")) };
        match self.typed(&raw) {
            Ok(record) => Ok(Checked { raw, record }),
            Err(misfits) => Err(name(&misfits)),
        }
    }

    /// The typed record of an answer that its schema accepts. JSON Schema sees no number in `"7"` and no emptiness in
    /// `" "`: what it can not see is checked on the typed values.
    fn typed(&self, raw: &Map<String, Value>) -> Result<Record, Vec<Misfit>> {
        let (record, problems) = Record::from_answer(&self.shape, raw);
        let mut misfits: Vec<Misfit> =
            problems.iter().map(|it| Misfit { place: pointer(&it.field), keyword: "type".into() }).collect();
        bounds::check(&record, "/", &mut misfits);
        if misfits.is_empty() { Ok(record) } else { Err(misfits) }
    }

    /// Everything that is refused in an answer, at most 100 places of its schema, then of its typed values.
    pub fn misfits(&self, answer: &Value) -> Vec<Misfit> {
        let found = self.outside_schema(answer);
        match answer {
            Value::Object(fields) if found.is_empty() => self.typed(fields).err().unwrap_or_default(),
            _ => found,
        }
    }

    fn outside_schema(&self, answer: &Value) -> Vec<Misfit> {
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
}

fn name(misfits: &[Misfit]) -> Fault {
    let named = misfits.iter().take(MOST_NAMED).map(|it| format!("`{}` fails `{}`", it.place, it.keyword));
    refuse(&named.collect::<Vec<_>>().join(", "))
}

/// `lines[2].amount` as the pointer `/lines/1/amount`.
fn pointer(field: &str) -> String {
    let mut pointer = String::from("/");
    for step in field.split('.') {
        let (name, position) = step.split_once('[').map_or((step, None), |(name, rest)| (name, Some(rest)));
        if pointer.len() > 1 {
            pointer.push('/');
        }
        pointer.push_str(name);
        if let Some(position) = position.and_then(|it| it.trim_end_matches(']').parse::<usize>().ok()) {
            pointer.push_str(&format!("/{}", position.saturating_sub(1)));
        }
    }
    pointer
}

fn refuse(what: &str) -> Fault {
    Fault::new(FaultCode::Model, format!("the answer is outside its schema: {what}"))
        .recovery(Recovery::FailOver)
}
