//! Which record a defect stands in.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{Found, Tally};
use crate::{
    finding::{Check, Finding, Outcome},
    mapping::plan::{FieldPlan, From, Mapping, Shape},
    mask::{HIDDEN, is_masked},
    origin::Origin,
    ports::Defect,
};

/// Defects of no record that are listed; the others are counted.
const MOST_TOLD: usize = 100;

/// Places of the records, by address; noted only where there is a defect.
pub(super) struct Places {
    /// Position among the records that `only` kept; `None`: it kept this one not.
    by_address: Option<HashMap<String, Option<usize>>>,
}

impl Places {
    pub(super) fn for_defects(defects: &[Defect]) -> Self {
        Self { by_address: (!defects.is_empty()).then(HashMap::new) }
    }

    pub(super) fn note(&mut self, origin: Option<&Origin>, position: Option<usize>) {
        if let (Some(places), Some(origin)) = (&mut self.by_address, origin) {
            places.insert(origin.to_string(), position);
        }
    }

    /// Gives each defect to the record that it stands in. What stands in none (above the records, in the trailer) is
    /// true of all, and told once. What a person has corrected (`mended`: names of fields by record) is no defect any more.
    pub(super) fn sort(
        &self,
        mapping: &Mapping,
        defects: &[Defect],
        mended: &HashMap<usize, HashSet<&str>>,
        findings: &mut [Found],
        of_all: &mut Vec<Finding>,
        tally: &mut Tally,
    ) {
        let mut told = HashSet::new();
        let mut worst = Outcome::Pass;
        for defect in defects {
            let address = defect.origin.to_string();
            let finding = from_defect(mapping, defect);
            let owner = self.owner(&address);
            let stands_in = owner.unwrap_or_else(|| (findings.len() == 1).then_some(0));
            if stands_in.and_then(|it| mended.get(&it)).is_some_and(|it| it.contains(&*defect.field)) {
                continue;
            }
            match owner {
                Some(Some(position)) => {
                    if let Some(found) = findings.get_mut(position) {
                        tally.add(found, finding);
                    }
                }
                // In a record that is not of this flow.
                Some(None) => {}
                None => {
                    if !told.insert((defect.field.clone(), address)) {
                        continue;
                    }
                    if told.len() <= MOST_TOLD || finding.outcome > worst {
                        worst = worst.max(finding.outcome);
                        of_all.push(finding);
                    } else {
                        tally.count(&finding);
                    }
                }
            }
        }
    }

    /// The innermost record around an address.
    fn owner(&self, address: &str) -> Option<Option<usize>> {
        let places = self.by_address.as_ref()?;
        let mut around = address;
        loop {
            if let Some(position) = places.get(around) {
                return Some(*position);
            }
            (around, _) = around.rsplit_once('/')?;
        }
    }
}

/// What an extractor could not read, as a finding of the field that it names.
fn from_defect(mapping: &Mapping, defect: &Defect) -> Finding {
    let (shape, name) = match (defect.field.strip_prefix("trailer."), &mapping.source.trailer) {
        (Some(name), Some(trailer)) => (trailer, name),
        _ => (&mapping.record, &*defect.field),
    };
    let plan = plan_of(shape, name);
    let default = match defect.check {
        Check::Required => Outcome::Reject,
        _ => Outcome::Review,
    };
    // `records` is no field: it is the document's own list.
    let is_masked = name != "records" && is_masked(shape, name);
    let found = defect.found.as_deref().map(|text| if is_masked { HIDDEN.into() } else { text.into() });
    Finding {
        check: defect.check,
        outcome: plan.and_then(|it| it.rules.otherwise).unwrap_or(default),
        field: defect.field.clone(),
        origin: Some(defect.origin.clone()),
        expected: Cow::Owned(defect.expected.clone()),
        found,
        say: None,
    }
}

/// The plan of `lines[2].amount`.
fn plan_of<'a>(shape: &'a Shape, name: &str) -> Option<&'a FieldPlan> {
    let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
    let head = head.split('[').next().unwrap_or(head);
    let plan = shape.fields.get(shape.slot(head)?)?;
    match (rest, &plan.from) {
        (Some(rest), From::Each { shape, .. }) => plan_of(shape, rest),
        _ => Some(plan),
    }
}
