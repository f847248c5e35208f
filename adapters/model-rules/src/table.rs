//! A compiled decision table, and the model that it is.

use futures_util::future::{BoxFuture, ready};
use serde_json::{Map, Value};
use tokio::time::Instant;
use vestibule_core::{
    ask::{Answered, Task, Usage},
    fault::{Fault, FaultCode, Recovery},
    gate::Admitted,
    ports::Model,
    record::Record,
    rule::{Clock, Operand, Rule, bindings::RecordBindings},
};

/// A decision table whose conditions and answers fit one mapping.
#[derive(Debug)]
pub struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) otherwise: Option<Map<String, Value>>,
}

#[derive(Debug)]
pub(crate) struct Row {
    /// `None` always holds.
    pub condition: Option<Rule>,
    pub answer: Map<String, Value>,
}

impl Table {
    /// The answer of the first row that holds, else `otherwise`. A condition whose input is missing, or that can not
    /// be computed, does not hold.
    pub fn decide(&self, record: &Record, clock: &Clock) -> Option<&Map<String, Value>> {
        let bindings = RecordBindings::of(record);
        let holds = |row: &&Row| match &row.condition {
            None => true,
            Some(rule) => matches!(rule.run(&bindings, clock), Ok(Operand::Bool(true))),
        };
        self.rows.iter().find(holds).map(|row| &row.answer).or(self.otherwise.as_ref())
    }
}

/// A decision table as a model.
pub(crate) struct RulesModel {
    name: Box<str>,
    table: Table,
}

impl RulesModel {
    pub fn new(name: &str, table: Table) -> Self {
        Self { name: name.into(), table }
    }
}

impl Model for RulesModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn infer<'a>(
        &'a self,
        task: &'a Task<'a>,
        input: &'a Admitted,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        let clock = Clock { now: task.now, zone: task.mapping.source.timezone.clone() };
        let answered = match self.table.decide(input.record(), &clock) {
            Some(answer) => Ok(Answered { answer: answer.clone(), usage: Usage::default() }),
            None => Err(Fault::new(FaultCode::Model, "no row of the decision table holds")
                .recovery(Recovery::FailOver)),
        };
        Box::pin(ready(answered))
    }
}
