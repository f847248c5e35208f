//! A flow's prompt: a MiniJinja template that sees the sent fields and nothing else.
//!
//! No other file is read, nothing is escaped, and the text is bounded. A name that no record has is refused when the
//! prompt is compiled. A field that this record lacks may be tested (`{% if cause %}`, `cause is defined`); to print it
//! is an error.

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use minijinja::{
    AutoEscape, Environment, UndefinedBehavior,
    value::{Enumerator, Object, Serde, Value},
};

use crate::{
    fault::{Fault, FaultCode},
    mapping::plan::{self, Mapping},
};

/// Longest prompt, in bytes.
pub(super) const LONGEST: usize = 1024 * 1024;
/// Names that every prompt has besides the sent fields; they win over a field of the same name.
const FACTS: [&str; 3] = ["record", "flow", "today"];

/// A compiled prompt.
pub(super) struct Template {
    environment: Environment<'static>,
    name: String,
}

impl Template {
    /// Compiles the prompt. A name that is neither a field of `sent` nor one of the facts is refused here, not when
    /// the first record comes.
    pub fn compile<'n>(prompt: &plan::Prompt, sent: impl Iterator<Item = &'n str>) -> Result<Self, Fault> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        // With debugging on, an error shows the template's variables: values of the record.
        environment.set_debug(false);
        environment.remove_global("debug");
        environment.add_filter("tojson", |value: Serde<serde_json::Value>| value.0.to_string());
        environment
            .add_template_owned(prompt.name.clone(), prompt.text.clone())
            .map_err(|error| explain(&prompt.name, &error))?;

        let mut known: Vec<String> = sent.map(str::to_owned).collect();
        known.extend(FACTS.map(str::to_owned));
        known.extend(environment.globals().map(|(name, _)| name.to_owned()));
        let template =
            environment.get_template(&prompt.name).map_err(|error| explain(&prompt.name, &error))?;
        let mut strange: Vec<_> =
            template.undeclared_variables(false).into_iter().filter(|name| !known.contains(name)).collect();
        strange.sort();
        if !strange.is_empty() {
            let names = strange.join("`, `");
            let message =
                format!("{}: `{names}` is neither a field that is sent nor a fact of the flow", prompt.name);
            return Err(Fault::new(FaultCode::Internal, message));
        }
        Ok(Self { environment, name: prompt.name.clone() })
    }

    /// The prompt for one record, given as its canonical JSON.
    pub fn render(
        &self,
        mapping: &Mapping,
        record: Arc<serde_json::Value>,
        today: jiff::civil::Date,
    ) -> Result<String, Fault> {
        let flow = serde_json::json!({ "name": &*mapping.name, "version": mapping.version });
        let facts = [
            ("record", Value::from_object(Canonical(record.clone()))),
            ("flow", Value::from(Serde(&flow))),
            ("today", Value::from(today.to_string())),
        ];
        let fields = record.as_object().into_iter().flatten();
        let context: BTreeMap<&str, Value> =
            fields.map(|(name, value)| (name.as_str(), Value::from(Serde(value)))).chain(facts).collect();

        let mut text = Bounded::default();
        let outcome = self
            .environment
            .get_template(&self.name)
            .and_then(|template| template.render_captured_to(Value::from(context), &mut text).map(drop));
        if text.overflowed {
            let message = format!("{}: the prompt is longer than {LONGEST} bytes", self.name);
            return Err(Fault::new(FaultCode::TooLarge, message));
        }
        outcome.map_err(|error| explain(&self.name, &error))?;
        String::from_utf8(text.bytes)
            .map_err(|_| Fault::new(FaultCode::Internal, format!("{}: the prompt is not UTF-8", self.name)))
    }
}

/// The template's name, the line and the kind of error. The error's own detail can hold values: it is left out.
fn explain(name: &str, error: &minijinja::Error) -> Fault {
    let place = error.line().map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
    Fault::new(FaultCode::Internal, format!("{place}: the prompt can not be written ({:?})", error.kind()))
        .at(place)
}

/// The record: names can be picked from it, and as a whole it prints as its canonical JSON, in the mapping's order.
#[derive(Debug)]
struct Canonical(Arc<serde_json::Value>);

impl Object for Canonical {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(Value::from(Serde(self.0.get(key.as_str()?)?)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let fields = self.0.as_object().into_iter().flatten();
        Enumerator::Values(fields.map(|(name, _)| Value::from(name.as_str())).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Takes text up to the limit; a template can loop for longer than anyone wants to read.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > LONGEST {
            self.overflowed = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
