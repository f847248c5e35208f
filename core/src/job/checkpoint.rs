//! What is saved of a document's work before all of it is done.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ask::Usage;

/// Numbers of records take so many bits of a [`Checkpoint::record`], those of decisions the next ones. The last is not used,
/// so that the name fits a signed column of 32 bits as well.
const BITS: (u32, u32) = (21, 10);

/// The answer to one question: about one record as it was read, or as it is after decisions about it. A record with an
/// answer that no correction came after is never asked about again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Names the question: [`Checkpoint::question`]. Where nobody decided anything it is the record's number.
    pub record: u32,
    /// The answer as JSON, masked values put back.
    pub answer: Map<String, Value>,
    /// The model or fallback that gave it.
    pub answered_by: Box<str>,
    /// What it cost.
    pub usage: Usage,
}

impl Checkpoint {
    /// The name of the question about a record (which one that `source.only` kept, from 0, in document order) after so many
    /// decisions about it: a correction makes it another question, and a release lifts the doubts of earlier answers alone.
    /// `None` past 2,097,151 records or 1,023 decisions: such an answer is not saved.
    pub fn question(record: usize, decisions: usize) -> Option<u32> {
        let record = u32::try_from(record).ok().filter(|it| it >> BITS.0 == 0)?;
        let decisions = u32::try_from(decisions).ok().filter(|it| it >> BITS.1 == 0)?;
        Some(decisions << BITS.0 | record)
    }

    /// Which record it answers about, and after how many decisions about that.
    pub fn asked_about(&self) -> (u32, u32) {
        (self.record & ((1 << BITS.0) - 1), self.record >> BITS.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_record_and_the_decisions_before_it() {
        let (most, often) = ((1 << 21) - 1, (1 << 10) - 1);
        for (record, decisions) in [(0, 0), (7, 0), (7, 1), (0, often), (most, 0), (most, often)] {
            let question = Checkpoint::question(record, decisions).unwrap();
            let checkpoint = Checkpoint {
                record: question,
                answer: Map::new(),
                answered_by: "m".into(),
                usage: Usage::default(),
            };
            let (of, after) = checkpoint.asked_about();
            assert_eq!((of as usize, after as usize), (record, decisions));
        }
        assert_eq!(Checkpoint::question(7, 0), Some(7));
        assert_eq!((Checkpoint::question(most + 1, 0), Checkpoint::question(0, often + 1)), (None, None));
    }
}
