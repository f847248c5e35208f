//! What sources keep.

use vestibule_core::{fault::Fault, ports::may_be_kept};

use super::{MemoryStore, Mistake};

impl MemoryStore {
    fn position_name<'a>(&self, name: &'a str) -> &'a str {
        if self.has(Mistake::SharesPositions) { "all" } else { name }
    }

    pub(super) fn kept(&self, name: &str) -> Option<String> {
        self.held().positions.get(self.position_name(name)).cloned()
    }

    pub(super) fn keep(&self, name: &str, text: String) -> Result<(), Fault> {
        let refused = may_be_kept(name, &text);
        let name = self.position_name(name);
        let mut held = self.held();
        if refused.is_err() && self.has(Mistake::LosesPositionsAtRefusals) {
            held.positions.remove(name);
        }
        if !self.has(Mistake::KeepsLongPositions) {
            refused?;
        }
        let stays = self.has(Mistake::KeepsFirstPositions) && held.positions.contains_key(name);
        if !stays && !self.has(Mistake::ForgetsPositions) {
            let text = if self.has(Mistake::TrimsPositions) { text.trim().to_owned() } else { text };
            held.positions.insert(name.to_owned(), text);
        }
        Ok(())
    }
}
