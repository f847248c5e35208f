//! What a code means and how to mend it: one source with the pages of `docs/`.

use vestibule_core::{fault::FaultCode, finding::Check, mapping::codes};

use crate::{adapters, config};

/// The page of faults and findings, as it is published.
const PAGE: &str = include_str!("../../docs/faults.md");

/// The text for this code, in upper or lower case. `None` for a code that there is not.
pub fn text(code: &str) -> Option<String> {
    let code = code.trim().to_ascii_uppercase();
    section(&code).or_else(|| {
        let (code, meaning, remedy) = short().find(|(it, _, _)| *it == code)?;
        Some(format!("{code}: {meaning}\n\nRemedy. {remedy}.\n"))
    })
}

/// Every code with its meaning in a line.
pub fn all() -> Vec<(&'static str, &'static str)> {
    let faults = FaultCode::ALL.into_iter().map(|it| (it.code(), it.title()));
    let checks = Check::ALL.into_iter().map(|it| (it.code(), it.word()));
    faults.chain(checks).chain(short().map(|(code, meaning, _)| (code, meaning))).collect()
}

fn short() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let mapping = codes::ALL.iter().map(|it| (it.code, it.meaning, it.remedy));
    mapping.chain(config::codes::ALL).chain(adapters::codes())
}

/// The section of the page whose heading begins with the code, as plain text.
fn section(code: &str) -> Option<String> {
    let mut lines = PAGE.lines().skip_while(|line| {
        let heading = line.strip_prefix("### ").and_then(|it| it.strip_prefix(code));
        !heading.is_some_and(|rest| rest.starts_with(':'))
    });
    let heading = lines.next()?.trim_start_matches('#').trim_start();
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with('#')).collect();
    Some(plain(&format!("{heading}\n{}\n", body.join("\n").trim_end())))
}

/// Markdown's marks are for browsers; a terminal shows the words.
fn plain(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let link = after.split_once("](").and_then(|(label, tail)| Some((label, tail.split_once(')')?)));
        match link {
            Some((label, (_, tail))) if !label.contains(['[', '\n']) => {
                out.push_str(label);
                rest = tail;
            }
            _ => {
                out.push('[');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_text_with_cause_and_remedy() {
        for (code, _) in all() {
            let text = text(code).unwrap_or_default();
            assert!(text.starts_with(&format!("{code}: ")), "code: {code}");
            assert!(text.contains("Remedy."), "code: {code}");
            assert!(!text.contains("..\n"), "code: {code}");
        }
    }

    #[test]
    fn no_code_stands_for_two_things() {
        let mut codes: Vec<_> = all().into_iter().map(|(code, _)| code).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn a_code_is_found_in_any_case_and_an_unknown_one_is_not() {
        assert!(text("v005").is_some());
        for code in ["V999", "", "V00", "### V001"] {
            assert_eq!(text(code), None, "input: {code:?}");
        }
    }

    #[test]
    fn links_and_marks_become_words() {
        for (markdown, expected) in [
            ("**Cause.** See [limits](operations.md#limits).", "Cause. See limits."),
            ("lines[2].amount", "lines[2].amount"),
            ("[a", "[a"),
        ] {
            assert_eq!(plain(markdown), expected, "input: {markdown:?}");
        }
    }
}
