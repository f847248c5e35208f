//! The quickstart's mapping, contract and requests through the SOAP adapter: everything before the gate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of a test")]

use std::{path::PathBuf, sync::Arc};

use vestibule_core::{
    document::Document,
    mapping::{
        check::{Surroundings, compile},
        diagnostic::Diagnostics,
        plan::Mapping,
    },
    ports::{Extraction, Files, Format, Frontend, Offered, RawField, WireRequest},
    registry::Registry,
};
use vestibule_soap::{SoapFrontend, XmlFormat};

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path))
    }
}

fn quickstart() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples/quickstart")
}

fn mapping() -> Arc<Mapping> {
    let path = quickstart().join("mappings/claim-triage.map.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let registry = Registry { formats: vec![Arc::new(XmlFormat::default())], ..Registry::default() };
    let files = Folder(quickstart().join("mappings"));
    let compiled = compile(
        "claim-triage.map.yaml",
        &text,
        &Surroundings { files: &files, registry: &registry, routes: None },
    );
    let said = compiled.diagnostics.render("claim-triage.map.yaml", &text, false);
    Arc::new(compiled.mapping.unwrap_or_else(|| panic!("{said}")))
}

fn text_of<'e>(mapping: &Mapping, extraction: &'e Extraction, name: &str) -> Option<(&'e str, String)> {
    match &extraction.records[0].fields[mapping.record.slot(name).unwrap()] {
        RawField::Text { text, origin } => Some((text, origin.xpath()?)),
        RawField::Absent { .. } | RawField::Items(_) => None,
    }
}

#[test]
fn requests_are_dispatched_and_read_by_the_contract() {
    let mapping = mapping();
    let offered = Offered { channel: mapping.receive[0].clone(), mapping: Arc::clone(&mapping), flow: 0 };
    let mut diagnostics = Diagnostics::default();
    let files = Folder(quickstart());
    let service =
        SoapFrontend::default().service("ClaimService", vec![offered], &files, &mut diagnostics).unwrap();
    for (file, claim_no) in [("good", Some("C00012345")), ("incomplete", Some(""))] {
        let body = std::fs::read(quickstart().join(format!("requests/{file}.xml"))).unwrap();
        let request = WireRequest {
            content_type: Some("text/xml; charset=utf-8".into()),
            action: None,
            body: body.clone().into(),
            received: jiff::Timestamp::UNIX_EPOCH,
        };
        let call = service.accept(&request).unwrap_or_else(|it| panic!("{:?}", it.body)).call().unwrap();
        let found = text_of(&mapping, &call.extraction, "claim_no");
        assert_eq!(found.as_ref().map(|it| it.0), claim_no, "request: {file}");
        assert_eq!(found.unwrap().1, "/Envelope/Body/SubmitClaim/Claim/ClaimNo");
        // A restart reads the stored document by the format alone, and must read the same.
        let mut document = Document::new(body, "text/xml", request.received);
        document.charset = call.document.charset.clone();
        let again = XmlFormat::default().extractor(&mapping).unwrap().extract(&document).unwrap();
        assert_eq!(again.payload, call.extraction.payload);
        assert_eq!(format!("{:?}", again.records), format!("{:?}", call.extraction.records));
    }
}
