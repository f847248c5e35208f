//! The pipeline as its callers see it: mappings compiled from their text, documents through gate, models and writer,
//! and the runner around it, with a small format of its own in place of the adapters.

mod answers;
mod back;
mod desk;
mod documents;
mod fields;
mod masking;
mod running;
