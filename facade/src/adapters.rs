//! THE list of adapters. This file alone names their crates: a new one is one line here and one in `Cargo.toml`.

use vestibule_core::registry::Registry;

/// Every adapter of this binary.
pub fn registry() -> Registry {
    Registry { formats: vec![], frontends: vec![], models: vec![] }
}
