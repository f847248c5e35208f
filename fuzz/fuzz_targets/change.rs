#![no_main]
//! Foreign bytes as a change of a row, and foreign JSON in one of its columns: read and walked, or refused.

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use vestibule_core::{
    change::{Cell, Change, ChangeFormat, MEDIA_TYPE, Op, Row},
    document::Document,
    mapping::check::{Surroundings, compile},
    ports::{Extractor, Files, Format},
    registry::Registry,
};

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

const MAPPING: &str = r#"mapping: m
source: { kind: cdc }
record:
  op: meta op
  a: { from: [A, before A, DOC/a(2), DOC//b] }
  doc: DOC
  lines: { each: DOC/lines, record: { it: ., sku: sku, old: before A } }
  tags: { each: TAGS, record: { tag: item(1) } }
"#;

static READER: LazyLock<Arc<dyn Extractor>> = LazyLock::new(|| {
    let registry = Registry { formats: vec![Arc::new(ChangeFormat::default())], ..Registry::default() };
    let around = Surroundings { files: &NoFiles, registry: &registry, routes: None };
    let mapping = compile("m.map.yaml", MAPPING, &around).mapping.expect("the mapping is right");
    ChangeFormat::default().extractor(&mapping).expect("a reader")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(change) = Change::from_bytes(bytes) {
        assert_eq!(Change::from_bytes(&change.to_bytes()).ok(), Some(change));
    }
    let document = |bytes| Document::new(bytes, MEDIA_TYPE, jiff::Timestamp::UNIX_EPOCH);
    let _ = READER.extract(&document(bytes.to_vec().into()));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let columns = vec![
            ("A".into(), Cell::Text(text.into())),
            ("DOC".into(), Cell::Json(text.into())),
            ("TAGS".into(), Cell::List(vec![Cell::Json(text.into()), Cell::Null])),
        ];
        let change = Change {
            op: Op::Update,
            table: "t".into(),
            at: None,
            position: "0/1".into(),
            txid: None,
            key: vec!["A".into()],
            after: Some(Row(columns)),
            before: None,
        };
        let found = READER.extract(&document(change.to_bytes()));
        assert!(found.is_ok_and(|it| it.records.len() == 1));
    }
});
