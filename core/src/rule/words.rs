//! Whole words in free text, whatever their case and however the lines break.

/// Stands at both ends of every run of letters and digits in a folded text, so that a plain search for a folded word
/// or phrase finds whole words only.
const EDGE: char = '\0';

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
        if in_word {
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
