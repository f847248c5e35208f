//! The last good answers of one flow, kept in memory for its `cached` fallback.
//!
//! What is kept is the answer as the model gave it, stand-ins and all: a value that was masked on its way out is not
//! kept in clear here either.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::document::Hash;

/// Most answers that are kept.
const MOST_ENTRIES: usize = 4096;
/// Most bytes of answers that are kept, estimated.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// What an entry costs besides its answer.
const OVERHEAD: usize = 160;

/// The store: the oldest answer makes room for the newest.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Hash, Entry>,
    by_age: BTreeMap<u64, Hash>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Map<String, Value>,
    at: Instant,
    number: u64,
    bytes: usize,
}

impl Memory {
    /// Keeps an answer to this input, in place of an earlier one. One that is too large is not kept.
    pub fn keep(&self, input: Hash, answer: &Map<String, Value>) {
        let bytes = OVERHEAD + size(answer);
        if bytes > MOST_BYTES / 16 {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget(input);
        while kept.entries.len() >= MOST_ENTRIES || kept.bytes + bytes > MOST_BYTES {
            let Some((_, oldest)) = kept.by_age.pop_first() else { break };
            kept.forget(oldest);
        }
        let number = kept.next;
        kept.next += 1;
        kept.bytes += bytes;
        kept.by_age.insert(number, input);
        let entry = Entry { answer: answer.clone(), at: Instant::now(), number, bytes };
        kept.entries.insert(input, entry);
    }

    /// The answer that was kept for this input, if it is not older than `age`.
    pub fn recall(&self, input: Hash, age: Duration) -> Option<Map<String, Value>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.entries.get(&input)?;
        (entry.at.elapsed() <= age).then(|| entry.answer.clone())
    }
}

impl Kept {
    fn forget(&mut self, input: Hash) {
        if let Some(entry) = self.entries.remove(&input) {
            self.by_age.remove(&entry.number);
            self.bytes -= entry.bytes;
        }
    }
}

/// Bytes of an answer in memory, roughly. Answers are checked before they get here, so their depth is the schema's.
fn size(answer: &Map<String, Value>) -> usize {
    answer.iter().map(|(key, value)| 64 + key.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 32 + size_of_value(item)).sum(),
        Value::Object(fields) => size(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Map<String, Value> {
        Map::from_iter([("reason".to_owned(), Value::from(text))])
    }

    fn input(number: usize) -> Hash {
        Hash::of(&number.to_be_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_recalled_until_it_is_too_old() {
        let memory = Memory::default();
        memory.keep(input(1), &answer("first"));
        memory.keep(input(1), &answer("second"));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(memory.recall(input(1), Duration::from_secs(60)), Some(answer("second")));
        assert_eq!(memory.recall(input(1), Duration::from_secs(59)), None);
        assert_eq!(memory.recall(input(2), Duration::from_secs(60)), None);
    }

    #[tokio::test]
    async fn the_oldest_answers_make_room_and_both_bounds_hold() {
        let memory = Memory::default();
        for number in 0..MOST_ENTRIES + 10 {
            memory.keep(input(number), &answer("short"));
        }
        assert_eq!(memory.recall(input(9), Duration::MAX), None);
        assert!(memory.recall(input(10), Duration::MAX).is_some());

        let long = "x".repeat(600 * 1024);
        for number in 0..100 {
            memory.keep(input(number), &answer(&long));
        }
        let kept = memory.kept.lock().unwrap();
        assert!(kept.bytes <= MOST_BYTES, "{} bytes", kept.bytes);
        assert_eq!(kept.entries.len(), kept.by_age.len());
        assert_eq!(kept.entries.values().map(|entry| entry.bytes).sum::<usize>(), kept.bytes);
    }

    #[tokio::test]
    async fn an_answer_larger_than_its_share_is_not_kept() {
        let memory = Memory::default();
        memory.keep(input(1), &answer(&"x".repeat(MOST_BYTES / 16)));
        assert_eq!(memory.recall(input(1), Duration::MAX), None);
    }
}
