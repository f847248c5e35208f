use std::sync::Arc;

use proptest::prelude::*;
use vestibule_core::{
    flow::written::{Hint, Written, WrittenItem},
    ports::Renderer,
    tree::{NodeId, Tree},
};

use super::XmlRenderer;
use crate::{
    contract::WsdlContract,
    sample::{Memory, mapping, write, write_each},
    xml::{Limits, Options, Source},
};

const CLAIMS: &str = include_str!("../../../../samples/quickstart/mappings/ClaimService.wsdl");

fn value(write: usize, text: &str) -> WrittenItem {
    WrittenItem::Value { write, text: text.into(), hint: Hint::Text }
}

fn rendered(into: &str, writes: Vec<super::Write>, records: &[Written]) -> Result<String, String> {
    let mapping = mapping("m", &[("service", "S")], None, Vec::new(), Some((into, writes)));
    let renderer = XmlRenderer::compile(&mapping, mapping.back.as_ref().unwrap()).unwrap();
    let bytes = renderer.render(records).map_err(|fault| fault.to_string())?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn places_share_elements_and_what_has_no_value_is_left_out() {
    let writes = || {
        vec![
            write("A/B"),
            write("A/@id"),
            write("A/C/D"),
            write("E"),
            write_each("Lines/Line", vec![write("@no"), write("Amt"), write(".")]),
            write("A/F"),
        ]
    };
    let line = |no: &str, amount: Option<&str>| Written {
        items: [Some(value(0, no)), amount.map(|it| value(1, it))].into_iter().flatten().collect(),
    };
    for (items, expected) in [
        (vec![], "<R xmlns=\"urn:vestibule:S\"/>"),
        (vec![value(0, "")], "<R xmlns=\"urn:vestibule:S\"><A><B/></A></R>"),
        (
            vec![value(0, "1<2"), value(1, "\"&\n"), value(5, "x\r")],
            "<R xmlns=\"urn:vestibule:S\"><A id=\"&quot;&amp;&#10;\"><B>1&lt;2</B><F>x&#13;</F></A></R>",
        ),
        (
            vec![value(2, "d"), value(3, "e")],
            "<R xmlns=\"urn:vestibule:S\"><A><C><D>d</D></C></A><E>e</E></R>",
        ),
        (vec![WrittenItem::Each { write: 4, items: vec![] }], "<R xmlns=\"urn:vestibule:S\"/>"),
        (
            vec![WrittenItem::Each { write: 4, items: vec![line("1", Some("9")), line("2", None)] }],
            "<R xmlns=\"urn:vestibule:S\"><Lines><Line no=\"1\"><Amt>9</Amt></Line><Line no=\"2\"/></Lines></R>",
        ),
    ] {
        assert_eq!(rendered("R", writes(), &[Written { items }]).as_deref(), Ok(expected));
    }
}

#[test]
fn records_repeat_the_last_step_of_into() {
    let records = [Written { items: vec![value(0, "1")] }, Written { items: vec![value(0, "2")] }];
    assert_eq!(
        rendered("All/One", vec![write("V")], &records).as_deref(),
        Ok("<All xmlns=\"urn:vestibule:S\"><One><V>1</V></One><One><V>2</V></One></All>")
    );
    assert_eq!(
        rendered("All", vec![write("V")], &records).as_deref(),
        Ok("<All xmlns=\"urn:vestibule:S\"><V>1</V><V>2</V></All>")
    );
    assert_eq!(
        rendered("All/One", vec![write("V")], &[]).as_deref(),
        Ok("<All xmlns=\"urn:vestibule:S\"></All>")
    );
}

#[test]
fn what_xml_can_not_hold_is_a_fault_not_a_broken_document() {
    for text in ["\u{0}", "a\u{1}b", "\u{FFFE}", "\u{1B}[0m"] {
        let found = rendered("R", vec![write("A"), write("@b")], &[Written { items: vec![value(0, text)] }]);
        assert!(found.as_ref().is_err_and(|it| it.starts_with("V012")), "input: {text:?}: {found:?}");
        let found = rendered("R", vec![write("A"), write("@b")], &[Written { items: vec![value(1, text)] }]);
        assert!(found.is_err(), "input: {text:?}");
    }
}

#[test]
fn a_contract_gives_order_and_namespaces() {
    let files = Memory::of(&[("c.wsdl", CLAIMS)]);
    let contract = Arc::new(WsdlContract::read("c.wsdl", &files).unwrap());
    let writes = vec![write("Result/StatusCd"), write("Result/ReasonTxt"), write("Result/ClaimNo")];
    let channel = [("service", "ClaimService"), ("operation", "SubmitClaim")];
    let mapping = mapping("m", &channel, Some(contract), Vec::new(), Some(("SubmitClaimResponse", writes)));
    let renderer = XmlRenderer::compile(&mapping, mapping.back.as_ref().unwrap()).unwrap();
    let items = vec![value(0, "OK"), value(1, "why"), value(2, "C1")];
    let bytes = renderer.render(&[Written { items }]).unwrap();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        "<SubmitClaimResponse xmlns=\"http://acme.example/claims/2009\"><Result><ClaimNo>C1</ClaimNo>\
         <ReasonTxt>why</ReasonTxt><StatusCd>OK</StatusCd></Result></SubmitClaimResponse>"
    );
}

#[test]
fn a_reply_that_would_not_be_well_formed_is_not_compiled() {
    for (into, writes, expected) in [
        ("9Reply", vec!["A"], "9Reply"),
        ("a b/R", vec!["A"], "a b"),
        ("R", vec!["A/'1x'"], "1x"),
        ("R", vec!["A/'@'"], "@"),
        ("R", vec!["A/@'1x'"], "@1x"),
        ("R", vec!["A/@xmlns"], "@xmlns"),
        ("R", vec!["A/@x", "'A'/@x"], "@x"),
    ] {
        let writes: Vec<_> = writes.into_iter().map(write).collect();
        let mapping = mapping("m", &[("service", "S")], None, Vec::new(), Some((into, writes)));
        let fault = XmlRenderer::compile(&mapping, mapping.back.as_ref().unwrap())
            .err()
            .unwrap_or_else(|| panic!("compiled: {into} {expected}"));
        assert!(fault.message.contains(&format!("`{expected}`")), "{into}: {}", fault.message);
    }
}

#[test]
fn unqualified_elements_and_qualified_attributes_are_written_as_the_contract_has_them() {
    let schema = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:o="urn:o" targetNamespace="urn:t">
      <xs:import namespace="urn:o" schemaLocation="o.xsd"/>
      <xs:element name="R"><xs:complexType><xs:sequence><xs:element name="In" minOccurs="0"/><xs:element ref="o:Far"/></xs:sequence>
        <xs:attribute name="q" form="qualified"/></xs:complexType></xs:element></xs:schema>"#;
    let other = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:o"><xs:element name="Far" type="xs:string"/></xs:schema>"#;
    let contract =
        Arc::new(WsdlContract::read("r.xsd", &Memory::of(&[("r.xsd", schema), ("o.xsd", other)])).unwrap());
    let mapping = mapping(
        "m",
        &[],
        Some(contract),
        Vec::new(),
        Some(("R", vec![write("Far"), write("In"), write("@q")])),
    );
    let items = vec![value(0, "f"), value(1, "i"), value(2, "a")];
    let bytes = XmlRenderer::compile(&mapping, mapping.back.as_ref().unwrap())
        .unwrap()
        .render(&[Written { items }])
        .unwrap();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        "<R xmlns=\"urn:t\" xmlns:a0=\"urn:t\" a0:q=\"a\"><In xmlns=\"\">i</In><Far xmlns=\"urn:o\">f</Far></R>"
    );
}

#[test]
fn the_text_of_a_repeated_element_is_written_and_read_back() {
    let writes = vec![write_each("Finding", vec![write("@code"), write(".")])];
    let item = |code: &str, text: &str| Written { items: vec![value(0, code), value(1, text)] };
    let items = vec![item("G1", "a < b"), item("G2", ""), item("G3", "é")];
    let text =
        rendered("R", writes, &[Written { items: vec![WrittenItem::Each { write: 0, items }] }]).unwrap();
    assert_eq!(
        text,
        "<R xmlns=\"urn:vestibule:S\"><Finding code=\"G1\">a &lt; b</Finding><Finding code=\"G2\"/><Finding code=\"G3\">é</Finding></R>"
    );
    let source = Source::of(&text);
    let limits = Limits::default();
    let tree = source.parse(&limits, Options::default()).unwrap();
    let found: Vec<_> = tree
        .children(NodeId(0))
        .map(|it| (tree.attribute(it, "code").unwrap_or_default(), tree.text(it)))
        .collect();
    assert_eq!(found, [("G1", "a < b"), ("G2", ""), ("G3", "é")]);
}

/// A random reply: names with texts, and lists of the same.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    List(Vec<Vec<Part>>),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let text = "[a-z&<>\"' é\\t\\n\\r😀]{0,12}".prop_map(Part::Text);
    let leaf = prop::collection::vec(text.clone(), 0..4);
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let list = prop::collection::vec(inner, 0..3).prop_map(Part::List);
        prop::collection::vec(prop_oneof![text.clone(), list], 0..4)
    })
}

/// Writes for a random reply: every item of a list is written by the plan of its longest.
fn plan(records: &[Vec<Part>]) -> Vec<super::Write> {
    let width = records.iter().map(Vec::len).max().unwrap_or(0);
    let at = |index: usize| records.iter().filter_map(move |it| it.get(index));
    (0..width)
        .flat_map(|index| {
            let lists: Vec<Vec<Part>> = at(index)
                .filter_map(|it| if let Part::List(items) = it { Some(items.clone()) } else { None })
                .flatten()
                .collect();
            [write(&format!("T{index}")), write_each(&format!("L{index}/Item"), plan(&lists))]
        })
        .collect()
}

fn written(parts: &[Part]) -> Written {
    let item = |(index, part): (usize, &Part)| match part {
        Part::Text(text) => value(index * 2, text),
        Part::List(items) => {
            WrittenItem::Each { write: index * 2 + 1, items: items.iter().map(|it| written(it)).collect() }
        }
    };
    Written { items: parts.iter().enumerate().map(item).collect() }
}

fn read_back(tree: &Tree<'_>, node: NodeId, like: &[Part]) {
    let mut children = tree.children(node);
    for (index, part) in like.iter().enumerate() {
        match part {
            Part::Text(text) => {
                let child = children.next().unwrap();
                assert_eq!(
                    (tree.name(child), tree.text(child)),
                    (format!("T{index}").as_str(), text.as_str())
                );
            }
            Part::List(items) if items.is_empty() => {}
            Part::List(items) => {
                let list = children.next().unwrap();
                let found: Vec<_> = tree.children(list).collect();
                assert_eq!(found.len(), items.len());
                found.iter().zip(items).for_each(|(node, item)| read_back(tree, *node, item));
            }
        }
    }
    assert_eq!(children.next(), None);
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_again(parts in parts()) {
        let text = rendered("R", plan(std::slice::from_ref(&parts)), &[written(&parts)]).unwrap();
        let source = Source::of(&text);
        let limits = Limits::default();
        let tree = source.parse(&limits, Options::default()).unwrap();
        prop_assert_eq!(tree.namespace(NodeId(0)), "urn:vestibule:S");
        read_back(&tree, NodeId(0), &parts);
    }
}
