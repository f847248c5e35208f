//! Whole words in free text, whatever their case and however the lines break.

use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

/// Stands at both ends of every run of letters and digits in a folded text, so that a plain search for a folded word
/// or phrase finds whole words only.
const EDGE: char = '\0';

/// The two characters outside ASCII whose small letters are in it: the Kelvin sign, and the capital I with a dot. They
/// may hide a word from a search that knows the case of ASCII only.
const DISGUISED: [&str; 2] = ["\u{212a}", "\u{130}"];

/// Words and phrases to be looked for, folded.
#[derive(Debug)]
pub(super) struct Words {
    folded: Box<[String]>,
    /// Made when it is needed first: a table of many rows is checked quickly, and most rows are rarely reached.
    hint: OnceLock<Option<AhoCorasick>>,
}

impl Words {
    /// None of them may be blank: nothing is in every text.
    pub fn new<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self { folded: words.into_iter().map(fold).collect(), hint: OnceLock::new() }
    }

    /// True when the text holds one of the words.
    pub fn any_in(&self, text: &str) -> bool {
        self.may_be_in(text) && {
            let text = fold(text);
            self.folded.iter().any(|word| text.contains(word.as_str()))
        }
    }

    /// True when the text holds each of the words.
    pub fn all_in(&self, text: &str) -> bool {
        self.may_be_in(text) && {
            let text = fold(text);
            self.folded.iter().all(|word| text.contains(word.as_str()))
        }
    }

    /// False only when the text holds none of the words: most texts do not, and to see that costs a fraction of folding.
    fn may_be_in(&self, text: &str) -> bool {
        let hint = self.hint.get_or_init(|| hint(&self.folded));
        hint.as_ref().is_none_or(|hint| hint.is_match(text))
    }
}

/// True for a word that has nothing to look for.
pub(super) fn is_blank(word: &str) -> bool {
    word.chars().all(|it| it.is_whitespace() || it.is_control())
}

/// What stands in every text that holds one of these words: of each word its longest part that folding leaves in one
/// piece and changes by nothing but ASCII case. `None` where a word has no such part.
fn hint(folded: &[String]) -> Option<AhoCorasick> {
    let parts = folded.iter().map(|word| longest_ascii(word)).collect::<Option<Vec<_>>>()?;
    // Its time is the same for every text: a prefilter's depends on which letters are frequent.
    let mut builder = AhoCorasick::builder();
    builder.ascii_case_insensitive(true).prefilter(false).build(parts.into_iter().chain(DISGUISED)).ok()
}

fn longest_ascii(folded: &str) -> Option<&str> {
    let parts = folded.split(|it: char| !it.is_ascii_graphic());
    parts.filter(|part| !part.is_empty()).max_by_key(|part| part.len())
}

/// Small letters, one blank for each run of white space and control characters, and edges round the words. A text
/// holds a word exactly when the folded text contains the folded word.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 2);
    let (mut in_word, mut blank) = (false, false);
    for it in text.chars() {
        if it.is_alphanumeric() != in_word {
            if in_word {
                folded.push(EDGE);
            }
            in_word = !in_word;
            if in_word {
                if blank && !folded.is_empty() {
                    folded.push(' ');
                }
                blank = false;
                folded.push(EDGE);
            }
        }
        if in_word && it.is_ascii() {
            folded.push(it.to_ascii_lowercase());
        } else if in_word {
            folded.extend(it.to_lowercase());
        } else if it.is_whitespace() || it.is_control() {
            blank = true;
        } else {
            if blank && !folded.is_empty() {
                folded.push(' ');
            }
            blank = false;
            folded.push(it);
        }
    }
    if in_word {
        folded.push(EDGE);
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `Words` must say, without its hint.
    fn plainly(words: &[&str], text: &str) -> (bool, bool) {
        let text = fold(text);
        let has = |word: &&str| text.contains(&fold(word));
        (words.iter().any(has), words.iter().all(has))
    }

    fn quickly(words: &[&str], text: &str) -> (bool, bool) {
        let words = Words::new(words.iter().copied());
        (words.any_in(text), words.all_in(text))
    }

    #[test]
    fn the_hint_hides_no_word() {
        for (words, text, expected) in [
            (&["cash", "no receipt"][..], "Paid in CASH; there is no\n  Receipt.", (true, true)),
            (&["cash", "no receipt"], "Paid in cash. No receipts.", (true, false)),
            (&["cash"], "the cashier", (false, false)),
            (&["kelvin"], "300 \u{212a}ELVIN", (true, true)),
            (&["istanbul"], "ISTANBUL", (true, true)),
            (&["\u{130}zmir"], "in \u{130}ZMIR", (true, true)),
            (&["été"], "L'ÉTÉ dernier", (true, true)),
            (&["пожар", "fire"], "Большой ПОЖАР", (true, false)),
            (&["c++", "a.b"], "C++ and A.B", (true, true)),
            (&["a.b"], "a-b", (false, false)),
            (&["\u{212a}"], "k", (true, true)),
        ] {
            assert_eq!(quickly(words, text), expected, "input: {words:?} in {text:?}");
            assert_eq!(plainly(words, text), expected, "input: {words:?} in {text:?}");
        }
    }

    #[test]
    fn two_characters_outside_ascii_fold_into_it() {
        let folds_into_ascii = |it: &char| !it.is_ascii() && it.to_lowercase().any(|it| it.is_ascii());
        let found: Vec<char> = ('\0'..=char::MAX).filter(folds_into_ascii).collect();
        assert_eq!(found, ['\u{130}', '\u{212a}']);
    }

    proptest! {
        #[test]
        fn with_and_without_the_hint_the_same_is_found(
            words in prop::collection::vec("[a-cA-CkKiéÉßİ\u{212a}+]{1,3}( [a-cK+]{1,2})?", 1..4),
            text in "[a-cA-CkKiIéÉßİ\u{212a}+ \n\t.]{0,30}",
        ) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            prop_assert_eq!(quickly(&words, &text), plainly(&words, &text));
        }
    }

    /// `cargo test -p vestibule-core --release -- --ignored --nocapture looking_for_words`
    #[test]
    #[ignore = "prints a time"]
    fn looking_for_words_in_a_long_story_is_cheap() {
        let list = ["cash", "no receipt", "no receipts", "lost the receipts", "stolen again", "third time"];
        let words = Words::new(list);
        let plain =
            "The pipe on the upper floor burst during the night and water ran down the wall. ".repeat(50);
        let accents =
            "La tubería de la planta de arriba se rompió y el agua bajó por la pared toda la noche. "
                .repeat(46);
        let near = format!("{plain} The cashier was told twice.");
        let hit = format!("{plain} It was paid in cash.");
        for (name, text) in [("plain", &plain), ("accents", &accents), ("near", &near), ("hit", &hit)] {
            let rounds = 20_000_u32;
            let began = std::time::Instant::now();
            for _ in 0..rounds {
                std::hint::black_box(words.any_in(std::hint::black_box(text)));
            }
            let quick = began.elapsed() / rounds;
            let began = std::time::Instant::now();
            for _ in 0..rounds / 10 {
                std::hint::black_box(plainly(&list, std::hint::black_box(text)));
            }
            println!("{name}: {quick:?}, without the hint {:?}", began.elapsed() / (rounds / 10));
        }
    }
}
