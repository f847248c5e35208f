#![no_main]
//! Any text to the mapping reader: it compiles or says why, with every span inside the text.

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vestibule_core::{
    mapping::{Surroundings, compile},
    ports::Files,
    registry::Registry,
};
use vestibule_json::JsonFormat;
use vestibule_soap::XmlFormat;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fuzz_target!(|text: &str| {
    let registry = Registry {
        formats: vec![Arc::new(XmlFormat::default()), Arc::new(JsonFormat::default())],
        ..Registry::default()
    };
    let compiled =
        compile("fuzz.map.yaml", text, &Surroundings { files: &NoFiles, registry: &registry, routes: None });
    for found in &compiled.diagnostics.all {
        assert!(found.span.end <= text.len().max(1), "{}: {:?} of {}", found.code, found.span, text.len());
    }
    assert!(compiled.mapping.is_some() || !compiled.diagnostics.all.is_empty(), "refused without a word");
    compiled.diagnostics.render("fuzz.map.yaml", text, false);
});
