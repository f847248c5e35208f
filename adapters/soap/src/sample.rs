//! What the tests of this crate share: files in memory, and mappings made without a mapping file.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use indexmap::IndexMap;
use vestibule_core::{
    interpret::{Codec, Spelling},
    mapping::{
        address::{Address, Path},
        plan::{
            Channel, Durability, Faults, FieldPlan, FieldRules, From, Mapping, Return, Shape, Source, Write,
            WriteFrom,
        },
    },
    ports::{Contract, Files},
    rule::{Root, Slot},
};

/// Files in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) HashMap<String, Vec<u8>>);

impl Memory {
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

pub(crate) fn path(text: &str) -> Path {
    match Address::parse(text, "xml", &IndexMap::new()) {
        Ok(Address::Path(path)) => path,
        other => panic!("{text}: {other:?}"),
    }
}

pub(crate) fn field(name: &str, from: &str) -> FieldPlan {
    plan(name, From::Addresses(vec![Address::Path(path(from))]))
}

pub(crate) fn each(name: &str, from: &str, fields: Vec<FieldPlan>) -> FieldPlan {
    plan(name, From::Each { path: path(from), shape: Arc::new(Shape { fields }) })
}

fn plan(name: &str, from: From) -> FieldPlan {
    FieldPlan {
        name: name.into(),
        from,
        codec: Codec::compile(&Spelling::default()).unwrap(),
        rules: FieldRules::default(),
        mask: None,
        description: None,
    }
}

pub(crate) fn write(place: &str) -> Write {
    Write::Value {
        place: path(place),
        from: WriteFrom::Constant(String::new()),
        codec: Codec::compile(&Spelling::default()).unwrap(),
        longest: None,
        cut: false,
        default: None,
        keeps_raw: false,
    }
}

pub(crate) fn write_each(place: &str, write: Vec<Write>) -> Write {
    Write::Each {
        place: path(place),
        list: Slot { root: Root::Here, path: [0].into_iter().collect() },
        write,
    }
}

pub(crate) fn mapping(
    name: &str,
    channel: &[(&str, &str)],
    contract: Option<Arc<dyn Contract>>,
    fields: Vec<FieldPlan>,
    back: Option<(&str, Vec<Write>)>,
) -> Mapping {
    let settings = channel.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Mapping {
        name: name.into(),
        version: 1,
        owner: None,
        path: "m.map.yaml".into(),
        receive: vec![Channel { kind: "soap".into(), settings, span: 0..0 }],
        source: Source {
            kind: "xml".into(),
            contract,
            contract_path: None,
            encoding: None,
            timezone: jiff::tz::TimeZone::UTC,
            each: None,
            only: None,
            trailer: None,
        },
        record: Arc::new(Shape { fields }),
        checks: Vec::new(),
        ask: None,
        back: back.map(|(into, write)| Return { into: into.into(), faults: Faults::Reject, write }),
        key: Vec::new(),
        durability: Durability::Full,
        deadline: Duration::from_secs(1),
        handling: vestibule_core::mapping::plan::Handling::default(),
        lookups: Vec::new(),
    }
}
