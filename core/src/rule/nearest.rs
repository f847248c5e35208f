//! Did you mean …?

/// Longest word that is worth a guess, in bytes.
const LONGEST: usize = 64;

/// The candidate that `word` was probably meant to be: at most one slip in three letters, at least one in common.
/// Of equally near ones the first.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let length = lower.chars().count();
    let most = (length / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|it| it.len() <= LONGEST && *it != word)
        .map(|it| (strsim::damerau_levenshtein(&lower, &it.to_lowercase()), it))
        .filter(|(distance, it)| *distance <= most && *distance < length.min(it.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}
