//! What is in doubt of an answer, and what becomes of a record that waits for a person when one has decided, or nobody in
//! time.

use std::borrow::Cow;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio::time::Instant;

use super::reply::{Draft, Entry};
use crate::{
    ask::{Asked, Asker},
    fault::Fault,
    finding::{Check, Finding, Outcome},
    gate::{End, MOST_READS, reads_of_all},
    interpret::canonical_text,
    mapping::plan::{From, Lapse, Shape},
    record::{Record, Value},
    rule::{Operand, bindings::RecordBindings},
};

impl Draft<'_> {
    /// `confidence` and `accept` decide which answers may be used without a person. A release lifts what was in doubt of
    /// an answer that its reviewer could see.
    pub(super) fn judge_answers(&mut self) {
        let mut reads = 0_usize;
        for at in 0..self.entries.len() {
            let answer = self.entries.get(at).and_then(|it| it.asked.as_ref()).map(|it| &it.answer);
            let Some(answer) = answer else { continue };
            let doubts = self.doubts(at, answer, &mut reads);
            let Some(entry) = self.entries.get_mut(at) else { continue };
            entry.doubt(doubts, &mut self.tally);
        }
    }

    /// What is in doubt of an answer to this record.
    fn doubts(&self, at: usize, answer: &Record, reads: &mut usize) -> Vec<Finding> {
        let (Some(ask), Some(record)) = (&self.mapping.ask, self.records.get(at)) else { return Vec::new() };
        let mut doubts = Vec::new();
        doubtful(&ask.answer, answer, "answer.", &mut doubts);
        let Some(rule) = &ask.accept else { return doubts };
        *reads = reads.saturating_add(reads_of_all(rule, &self.records));
        let bindings = RecordBindings {
            answer: Some(answer),
            trailer: self.trailer.as_ref(),
            records: &self.records,
            ..RecordBindings::of(record)
        };
        // What would cost the square of a document is left to a person.
        let is_taken =
            *reads <= MOST_READS && matches!(rule.run(&bindings, &self.clock), Ok(Operand::Bool(true)));
        if !is_taken {
            doubts.push(about_answer(Check::Accept, "an answer that `accept` takes"));
        }
        doubts
    }

    /// Ends records that wait for a person where one refused them, or nobody decided in time.
    pub(super) async fn end(&mut self, asker: Option<&Asker>, deadline: Instant) -> Result<(), Fault> {
        let lapse = self.mapping.handling.review.as_ref().map_or(Lapse::Review, |it| it.lapse);
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get(at).filter(|it| it.found.worst == Outcome::Review) else {
                continue;
            };
            let is_lapsed = match &entry.ruled.end {
                None => continue,
                Some(End::Rejected { .. }) => false,
                Some(End::Lapsed(_)) => true,
            };
            let answer = match is_lapsed && lapse == Lapse::Fallback {
                true => self.fall_back(at, asker, deadline).await?,
                false => None,
            };
            if let Some(entry) = self.entries.get_mut(at) {
                self.usage.add(answer.as_ref().map(|it| it.usage).unwrap_or_default());
                entry.end(lapse, answer, &mut self.tally);
            }
        }
        Ok(())
    }

    /// The first answer of the fallback list that is not in doubt: for a record that was admitted all of the list, for one
    /// that the gate holds back its fixed answers, which no model gives.
    async fn fall_back(
        &self,
        at: usize,
        asker: Option<&Asker>,
        deadline: Instant,
    ) -> Result<Option<Asked>, Fault> {
        let (Some(asker), Some(entry)) = (asker, self.entries.get(at)) else { return Ok(None) };
        let fits = |answer: &Record| {
            let doubts = self.doubts(at, answer, &mut 0);
            doubts.iter().all(|it| it.outcome < Outcome::Review)
        };
        match &entry.proof {
            Some(admitted) => {
                let received: Timestamp = self.clock.now;
                asker.ask_fallback(self.mapping, admitted, received, deadline, &fits).await
            }
            None => Ok(asker.fixed_answers().find(|it| fits(&it.answer))),
        }
    }
}

impl Entry {
    fn doubt(&mut self, mut doubts: Vec<Finding>, tally: &mut crate::gate::Tally) {
        let held = doubts.iter().any(|it| it.outcome == Outcome::Review);
        let refused = doubts.iter().any(|it| it.outcome == Outcome::Reject);
        if held
            && !refused
            && let Some(said) = self.ruled.released_since(self.after)
        {
            for doubt in doubts.iter_mut().filter(|it| it.outcome == Outcome::Review) {
                doubt.outcome = Outcome::Note;
            }
            doubts.push(self.ruled.finding(said, "released", Outcome::Note));
        }
        doubts.into_iter().for_each(|finding| tally.add(&mut self.found, finding));
    }

    fn end(&mut self, lapse: Lapse, answer: Option<Asked>, tally: &mut crate::gate::Tally) {
        let finding = match (&self.ruled.end, answer) {
            (None, _) => return,
            (Some(End::Rejected { said, .. }), _) => {
                self.is_persons = true;
                self.ruled.finding(said, "rejected", Outcome::Reject)
            }
            (Some(End::Lapsed(said)), _) if lapse == Lapse::Reject => {
                self.is_persons = true;
                let mut finding = self.ruled.finding(said, "rejected", Outcome::Reject);
                finding.say = finding.say.map(|it| format!("{it}: nobody decided in time").into());
                finding
            }
            (Some(End::Lapsed(_)), Some(answer)) => {
                self.found.lift();
                self.asked = Some(answer);
                self.ruled.too_late("nobody decided in time: the fallback answers")
            }
            (Some(End::Lapsed(_)), None) => {
                self.is_settled = true;
                self.ruled.too_late("nobody decided in time")
            }
        };
        tally.add(&mut self.found, finding);
    }
}

/// The fields of an answer, or of an item in it, that are below their `confidence` or do not say theirs.
fn doubtful(shape: &Shape, answer: &Record, prefix: &str, doubts: &mut Vec<Finding>) {
    for (slot, plan) in shape.fields.iter().enumerate() {
        let value = answer.at(slot).map(|field| &field.value);
        let name = format!("{prefix}{}", plan.name);
        if let (From::Each { shape, .. }, Some(Value::List(items))) = (&plan.from, value) {
            for (at, item) in items.iter().enumerate() {
                doubtful(shape, item, &format!("{name}[{}].", at + 1), doubts);
            }
        }
        let Some(least) = plan.rules.confidence else { continue };
        let is_sure = match value {
            Some(Value::Int(number)) => Decimal::from(*number) >= least,
            Some(Value::Decimal(number)) => *number >= least,
            _ => false,
        };
        if !is_sure {
            doubts.push(Finding {
                check: Check::Confidence,
                outcome: plan.rules.otherwise.unwrap_or(Outcome::Review),
                field: name.into(),
                origin: None,
                expected: Cow::Owned(format!("at least {least}")),
                found: value.map(|it| canonical_text(it).into()),
                say: None,
            });
        }
    }
}

pub(super) fn about_answer(check: Check, expected: &'static str) -> Finding {
    Finding {
        check,
        outcome: Outcome::Review,
        field: "answer".into(),
        origin: None,
        expected: Cow::Borrowed(expected),
        found: None,
        say: None,
    }
}
