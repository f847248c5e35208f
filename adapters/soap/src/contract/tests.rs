use std::path::{Path as FilePath, PathBuf};

use super::*;
use crate::sample::{Memory, path};

const CLAIMS: &str = include_str!("../../../../samples/quickstart/mappings/ClaimService.wsdl");

const SHAPES: &str = r#"<?xml version="1.0"?>
<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:t="urn:t" xmlns:o="urn:o" targetNamespace="urn:t">
 <w:types>
  <xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t">
   <xs:include schemaLocation="sub/chameleon.xsd"/>
   <xs:import namespace="urn:o" schemaLocation="sub/other.xsd"/>
   <xs:import namespace="urn:net" schemaLocation="http://example.com/net.xsd"/>
   <xs:element name="Ask" type="t:Ask"/>
   <xs:element name="Answer"><xs:complexType><xs:all><xs:element name="Ok" type="xs:boolean"/></xs:all></xs:complexType></xs:element>
   <xs:complexType name="Ask">
    <xs:complexContent><xs:extension base="t:Base">
     <xs:sequence>
      <xs:choice maxOccurs="unbounded"><xs:element name="A" type="xs:string"/><xs:sequence><xs:element name="B" form="qualified"/></xs:sequence></xs:choice>
      <xs:group ref="t:Tail"/>
      <xs:element ref="o:Shape"/>
      <xs:element name="Deep" type="t:Tree" minOccurs="0"/>
      <xs:element name="Open"><xs:complexType><xs:sequence><xs:element name="Known"/><xs:any processContents="lax"/></xs:sequence><xs:anyAttribute/></xs:complexType></xs:element>
      <xs:element name="Net" type="n:Unknown" xmlns:n="urn:net"/>
     </xs:sequence>
     <xs:attribute name="id" use="required"/>
     <xs:attributeGroup ref="t:Marks"/>
    </xs:extension></xs:complexContent>
   </xs:complexType>
   <xs:group name="Tail"><xs:sequence><xs:element name="Z" type="t:Money"/></xs:sequence></xs:group>
   <xs:attributeGroup name="Marks"><xs:attribute name="mark"/><xs:attribute ref="o:far"/></xs:attributeGroup>
   <xs:complexType name="Money"><xs:simpleContent><xs:extension base="xs:decimal"><xs:attribute name="cur"/></xs:extension></xs:simpleContent></xs:complexType>
   <xs:complexType name="Tree"><xs:sequence><xs:element name="Leaf" type="xs:string" minOccurs="0"/><xs:element name="Tree" type="t:Tree" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
   <xs:complexType name="Loop"><xs:complexContent><xs:extension base="t:Loop"/></xs:complexContent></xs:complexType>
  </xs:schema>
 </w:types>
 <w:message name="AskIn"><w:part name="p" element="t:Ask"/></w:message>
 <w:message name="AskOut"><w:part name="p" element="t:Answer"/></w:message>
 <w:portType name="P"><w:operation name="Ask"><w:input message="t:AskIn"/><w:output message="t:AskOut"/></w:operation></w:portType>
 <w:binding name="B" type="t:P"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>
  <w:operation name="Ask"><s:operation soapAction="urn:ask"/><w:input><s:body use="literal"/></w:input><w:output><s:body use="literal"/></w:output></w:operation></w:binding>
 <w:service name="One"><w:port name="P" binding="t:B"><s:address location="http://one"/></w:port></w:service>
 <w:service name="Two"><w:port name="P" binding="t:B"><s:address location='http://two?a&amp;b'/></w:port></w:service>
</w:definitions>"#;

const CHAMELEON: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:include schemaLocation="../main.wsdl.xsd"/>
  <xs:complexType name="Base"><xs:sequence><xs:element name="First" type="Inner"/></xs:sequence><xs:attribute name="base"/></xs:complexType>
  <xs:complexType name="Inner"><xs:sequence><xs:element name="In" type="xs:string"/></xs:sequence></xs:complexType>
</xs:schema>"#;

const OTHER: &str = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:o" elementFormDefault="qualified">
  <xs:import namespace="urn:t"/>
  <xs:element name="Shape" abstract="true"/>
  <xs:element name="Circle" substitutionGroup="o:Shape" xmlns:o="urn:o"><xs:complexType><xs:sequence><xs:element name="R"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Ring" substitutionGroup="o:Circle" xmlns:o="urn:o"/>
  <xs:attribute name="far"/>
</xs:schema>"#;

fn shapes() -> WsdlContract {
    let back = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="sub/chameleon.xsd"/></xs:schema>"#;
    let files = Memory::of(&[
        ("main.wsdl", SHAPES),
        ("main.wsdl.xsd", back),
        ("sub/chameleon.xsd", CHAMELEON),
        ("sub/other.xsd", OTHER),
    ]);
    WsdlContract::read("main.wsdl", &files).unwrap()
}

fn claims() -> WsdlContract {
    WsdlContract::read("ClaimService.wsdl", &Memory::of(&[("ClaimService.wsdl", CLAIMS)])).unwrap()
}

#[test]
fn addresses_that_the_contract_has_pass() {
    let (claims, shapes) = (claims(), shapes());
    for (contract, address) in [
        (&claims, "Claim/ClaimNo"),
        (&claims, "SubmitClaim/Claim/ClaimNo"),
        (&claims, "Claim/@policy"),
        (&claims, "Claim/Reserve/@cur"),
        (&claims, "Claim/Party(@role=CLM)/Name"),
        (&claims, "Claim/Lines/Line(Type=B)/Amt"),
        (&claims, "Claim/Notes/Note(last)"),
        (&claims, "//Amt"),
        (&claims, "Claim//Ts"),
        (&claims, "Claim/*/Ts"),
        (&claims, "Claim/Lines/../ClaimNo"),
        (&claims, "./Claim"),
        (&claims, "/Envelope/Body/SubmitClaim/Claim/ClaimNo"),
        (&claims, "/SubmitClaim/Claim"),
        (&claims, "/Envelope/Header/Security/Username"),
        (&shapes, "First/In"),
        (&shapes, "A"),
        (&shapes, "B"),
        (&shapes, "Z/@cur"),
        (&shapes, "@id"),
        (&shapes, "@base"),
        (&shapes, "@mark"),
        (&shapes, "@far"),
        (&shapes, "Shape"),
        (&shapes, "Circle/R"),
        (&shapes, "Ring"),
        (&shapes, "Deep/Tree/Tree/Tree/Leaf"),
        (&shapes, "//Leaf"),
        (&shapes, "Open/Known"),
        (&shapes, "Open/Whatever/Below/@x"),
        (&shapes, "Open/@x"),
        (&shapes, "Net/Any/@x"),
    ] {
        let found = contract.check(None, Direction::Request, &[], &path(address));
        assert_eq!(found, Ok(()), "address: {address}");
    }
}

#[test]
fn addresses_that_it_does_not_have_are_refused_at_their_step() {
    let (claims, shapes) = (claims(), shapes());
    for (contract, address, step, known) in [
        (&claims, "Claim/ClaimNumber", 1, "ClaimNo"),
        (&claims, "Clam/ClaimNo", 0, "Claim"),
        (&claims, "Claim/@polcy", 1, "@policy"),
        (&claims, "Claim/Lines/Line/Amount", 3, "Amt"),
        (&claims, "Claim/Party(@rol=CLM)/Name", 1, "@role"),
        (&claims, "Claim/Party(Nme=x)", 1, "Name"),
        (&claims, "//Nowhere", 0, "Claim"),
        (&claims, "Claim/ClaimNo/Inner", 2, ""),
        (&claims, "Claim/ClaimNo/@x", 2, ""),
        (&claims, "/Other/Claim", 0, "SubmitClaim"),
        (&shapes, "First/Out", 1, "In"),
        (&shapes, "Square", 0, "Circle"),
        (&shapes, "Ring/Q", 1, "R"),
        (&shapes, "A/@x", 1, ""),
    ] {
        let found = contract.check(None, Direction::Request, &[], &path(address)).unwrap_err();
        assert_eq!(found.step, step, "address: {address}");
        assert!(
            known.is_empty() || found.known.iter().any(|it| it == known),
            "address: {address}: {:?}",
            found.known
        );
    }
}

#[test]
fn addresses_inside_a_list_start_at_its_items() {
    let claims = claims();
    let lines = path("Claim/Lines/Line");
    assert_eq!(claims.check(Some("SubmitClaim"), Direction::Request, &[&lines], &path("Amt")), Ok(()));
    let wrong = claims.check(Some("SubmitClaim"), Direction::Request, &[&lines], &path("Amount"));
    assert_eq!(wrong, Err(NotInContract { step: 0, known: vec!["Type".into(), "Amt".into()] }));
    let reply = claims.check(Some("SubmitClaim"), Direction::Reply, &[], &path("Result/StatusCd"));
    assert_eq!(reply, Ok(()));
    assert_eq!(claims.reply_root(Some("SubmitClaim")).as_deref(), Some("SubmitClaimResponse"));
    assert_eq!(claims.operations(), ["SubmitClaim"]);
}

#[test]
fn only_the_addresses_change_when_a_contract_is_served() {
    let shapes = shapes();
    for (service, address, expected) in [
        ("One", "http://h/x?a&b", SHAPES.replace("http://one", "http://h/x?a&amp;b")),
        ("Two", "http://h", SHAPES.replace("http://two?a&amp;b", "http://h")),
        ("Other", "u", SHAPES.replace("http://two?a&amp;b", "u").replace("http://one", "u")),
    ] {
        assert_eq!(shapes.with_address(service, address).as_deref(), Some(&*expected), "service: {service}");
    }
}

#[test]
fn a_contract_in_another_encoding_is_served_in_utf8() {
    let text =
        CLAIMS.replace("encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\"").replace("Acme Insurance", "Ac\u{e9}");
    let bytes: Vec<u8> = text.chars().map(|it| u8::try_from(u32::from(it)).unwrap()).collect();
    let mut files = Memory::default();
    files.0.insert("c.wsdl".into(), bytes);
    let served = WsdlContract::read("c.wsdl", &files).unwrap().with_address("ClaimService", "u").unwrap();
    assert!(served.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<wsdl:definitions"), "{served}");
    assert!(served.contains("Ac\u{e9}"));
}

#[test]
fn groups_that_name_each_other_many_times_end_quickly() {
    let groups: String = (0..40)
        .map(|it| {
            let next = format!("<xs:group ref='t:g{}'/>", it + 1).repeat(10);
            let attributes = format!("<xs:attributeGroup ref='t:a{}'/>", it + 1).repeat(10);
            format!("<xs:group name='g{it}'><xs:sequence>{next}</xs:sequence></xs:group><xs:attributeGroup name='a{it}'>{attributes}</xs:attributeGroup>")
        })
        .collect();
    let text = format!(
        "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:t='u' targetNamespace='u'>{groups}\
         <xs:element name='E'><xs:complexType><xs:group ref='t:g0'/><xs:attributeGroup ref='t:a0'/></xs:complexType></xs:element></xs:schema>"
    );
    let contract = WsdlContract::read("a.xsd", &Memory::of(&[("a.xsd", &text)])).unwrap();
    let start = std::time::Instant::now();
    let _ = contract.check(None, Direction::Request, &[], &path("A/B/@c"));
    let _ = contract.check(None, Direction::Request, &[], &path("//B"));
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn what_can_not_be_used_is_refused_in_words() {
    let rpc = SHAPES.replace("<s:binding transport", "<s:binding style=\"rpc\" transport");
    let encoded = rpc.replace("use=\"literal\"", "use=\"encoded\"");
    let typed =
        SHAPES.replace("<w:part name=\"p\" element=\"t:Ask\"/>", "<w:part name=\"p\" type=\"t:Ask\"/>");
    let bad = SHAPES.replace("</w:definitions>", "");
    for (text, expected) in [
        (
            rpc.as_str(),
            "a.wsdl: operation `Ask` of binding `B` is rpc/literal; only document/literal can be used",
        ),
        (
            encoded.as_str(),
            "a.wsdl: operation `Ask` of binding `B` is rpc/encoded; only document/literal can be used",
        ),
        (
            typed.as_str(),
            "a.wsdl: operation `Ask` of binding `B` has a part that is a type, not an element; only document/literal can be used",
        ),
        (bad.as_str(), "a.wsdl: element `w:definitions` is not closed"),
        ("<html/>", "a.wsdl: neither WSDL 1.1 (wsdl:definitions) nor XML Schema (xs:schema)"),
        ("<d xmlns='http://www.w3.org/ns/wsdl'/>", "a.wsdl: WSDL 2.0 can not be used; WSDL 1.1 can"),
    ] {
        let files = Memory::of(&[
            ("a.wsdl", text),
            ("sub/chameleon.xsd", "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'/>"),
            ("sub/other.xsd", OTHER),
        ]);
        let fault = WsdlContract::read("a.wsdl", &files).unwrap_err();
        assert_eq!(fault.message, expected);
    }
    let missing = WsdlContract::read("a.wsdl", &Memory::of(&[("a.wsdl", SHAPES)])).unwrap_err();
    assert_eq!(missing.message, "sub/chameleon.xsd: can not be read");
}

#[test]
fn a_schema_alone_is_a_contract_too() {
    let schema = OTHER
        .replace("<xs:element name=\"Ring\" substitutionGroup=\"o:Circle\" xmlns:o=\"urn:o\"/>", "")
        .replace("name=\"Shape\"", "name=\"Shape\" type=\"xs:string\"")
        .replace("name=\"R\"", "name=\"R\" type=\"xs:int\"");
    let files = Memory::of(&[("other.xsd", &schema)]);
    let contract = WsdlContract::read("other.xsd", &files).unwrap();
    assert_eq!(contract.check(None, Direction::Request, &[], &path("Circle/R")), Ok(()));
    assert_eq!(contract.check(None, Direction::Request, &[], &path("R")), Ok(()));
    assert!(contract.check(None, Direction::Request, &[], &path("X")).is_err());
    assert_eq!(contract.with_address("x", "y"), None);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn no_change_of_a_contract_makes_the_reader_panic(
        at in 0usize..6000, with in "[a-z:/\"<>&;# ]{0,6}", cut in 0usize..40,
    ) {
        let mut text: Vec<char> = SHAPES.chars().collect();
        let at = at % text.len();
        let end = (at + cut).min(text.len());
        text.splice(at..end, with.chars());
        let text: String = text.into_iter().collect();
        let files = Memory::of(&[("a.wsdl", &text), ("sub/chameleon.xsd", CHAMELEON), ("sub/other.xsd", OTHER), ("main.wsdl.xsd", OTHER)]);
        if let Ok(contract) = WsdlContract::read("a.wsdl", &files) {
            let _ = contract.check(None, Direction::Request, &[], &path("//Leaf/../@x"));
            let _ = contract.with_address("One", "http://h");
        }
    }
}

/// Files below a folder, read as they are asked for.
struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path))
    }
}

fn wsdls(folder: &FilePath, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            wsdls(&path, found);
        } else if path.extension().is_some_and(|it| it.eq_ignore_ascii_case("wsdl")) {
            found.push(path);
        }
    }
}

/// `CORPUS=/work/shared/corpus/wsdl cargo test -p vestibule-soap -- --ignored corpus_of_wsdl --nocapture`
#[test]
#[ignore = "needs a folder of WSDL files"]
fn corpus_of_wsdl() {
    let Ok(corpus) = std::env::var("CORPUS") else { return };
    let mut all = Vec::new();
    wsdls(FilePath::new(&corpus), &mut all);
    all.sort();
    let mut good = 0;
    for path in &all {
        let folder = Folder(path.parent().unwrap().to_owned());
        match WsdlContract::read(&path.file_name().unwrap().to_string_lossy(), &folder) {
            Ok(contract) => {
                good += 1;
                if contract.operations.is_empty() {
                    println!("EMPTY {}", path.display());
                }
            }
            Err(fault) => println!("{} {} {:?}", path.display(), fault, fault.place),
        }
    }
    println!("{good} of {}", all.len());
}
