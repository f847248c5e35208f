//! The cross-field rules.

use super::{
    super::{file::MappingFile, plan, syntax::Node},
    MOST_IN_BLOCK,
    names::Names,
};
use crate::{finding::Outcome, mapping::diagnostic::Diagnostics, rule::Type};

pub(super) fn checks(
    root: &Node,
    file: &MappingFile,
    names: &Names,
    diagnostics: &mut Diagnostics,
) -> Vec<plan::CheckPlan> {
    let Some((key, node)) = root.entry("checks") else { return Vec::new() };
    let entries = node.entries();
    if entries.len() > MOST_IN_BLOCK {
        diagnostics.push("M008", &key.span, format!("more than {MOST_IN_BLOCK} checks"), "too many");
        return Vec::new();
    }
    let said = |text: &str| file.checks.as_ref().and_then(|it| it.get(text));
    let mut plans = Vec::with_capacity(entries.len());
    for (key, _) in entries {
        let Some(text) = key.text() else { continue };
        let Some(rule) = names.rule(key, Some(&Type::Bool), diagnostics) else { continue };
        let check = said(text);
        plans.push(plan::CheckPlan {
            text: text.into(),
            rule,
            otherwise: check.and_then(|it| it.otherwise).map_or(Outcome::Review, Outcome::from),
            say: check.and_then(|it| it.say.as_deref()).map(Into::into),
        });
    }
    plans
}
