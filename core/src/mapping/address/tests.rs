use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;

fn namespaces() -> IndexMap<String, String> {
    IndexMap::from([("c".to_owned(), "urn:claims".to_owned()), ("common".to_owned(), "urn:a/b".to_owned())])
}

#[test]
fn what_is_read_prints_as_the_same_address() {
    let cases = [
        ("Claim/Lines/Line(2)/Amt", "Claim/Lines/Line(2)/Amt"),
        (" Claim/@id ", "Claim/@id"),
        ("Party(@role=CLM)/Name", "Party(@role=CLM)/Name"),
        ("Party[@role='CLM']/Name", "Party(@role=CLM)/Name"),
        ("Party( Kind = 'a)b' )", "Party(Kind='a)b')"),
        ("//Note(last)", "//Note(last)"),
        ("//Note[last()]", "//Note(last)"),
        ("/Envelope/Body/Claim[1]", "/Envelope/Body/Claim(1)"),
        ("/", "/"),
        ("c:Claim/@c:id", "{urn:claims}Claim/@{urn:claims}id"),
        ("{urn:a/b}Claim", "{urn:a/b}Claim"),
        ("'odd name'/'it''s'", "'odd name'/'it''s'"),
        ("../Total", "../Total"),
        (".", "."),
        ("Lines/*(3)", "Lines/*(3)"),
        ("Lines//Amt", "Lines//Amt"),
        ("Größe", "Größe"),
        ("meta received", "meta received"),
        (" header  X-Tenant ", "header X-Tenant"),
        ("header it's", "header it's"),
        ("property correlation_id", "property correlation_id"),
        ("header/x", "header/x"),
        ("Line(@a=x)(2)", "Line(@a=x)(2)"),
        ("'@id'/''", "'@id'/''"),
    ];
    for (text, printed) in cases {
        let found =
            Address::parse(text, "xml", &namespaces()).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        assert_eq!(found.to_string(), printed, "input: {text}");
        assert_eq!(Address::parse(printed, "xml", &namespaces()), Ok(found), "input: {text}");
    }
}

#[test]
fn a_wrong_address_says_where_and_why() {
    let cases = [
        ("", "", "expected an address here", None),
        ("Claim//", "/", "expected a name here", None),
        ("Claim/Line(0)", "0", "counting starts at 1", None),
        ("Claim/Line(2", "(2", "this `(` is not closed", None),
        ("Claim/Line(", "(", "this `(` is not closed", None),
        ("Claim/Line(x)", "x", "can not pick by `x`", None),
        ("Claim/@id/x", "/x", "nothing can follow an attribute", None),
        ("child::Claim", "child::", "XPath axes are not part of an address", None),
        ("Claim/text()", "()", "`text()` is not needed", None),
        ("comon:Claim", "comon", "there is no namespace prefix `comon`", Some("common")),
        ("'Claim", "'Claim", "this quote is not closed", None),
        ("cell B7", "cell", "`cell` does not exist in an xml source", None),
        ("right of 'Invoice No'", "right of", "`right of` does not exist in an xml source", None),
        ("rihgt of 'Invoice No'", "rihgt", "`rihgt` is not a way to find a value in an xml source", None),
        ("meat received", "meat", "`meat` is not a way to find a value in an xml source", Some("meta")),
        ("meta recieved", "recieved", "`recieved` is not known about a document", Some("received")),
        ("header a/b", "a/b", "`a/b` is not the name of a header", None),
        (" header two words ", "two words", "`two words` is not the name of a header", None),
        ("haeder x", "haeder", "`haeder` is not a way to find a value in an xml source", Some("header")),
        (
            "property corelation_id",
            "corelation_id",
            "`corelation_id` is not a property of a message",
            Some("correlation_id"),
        ),
        ("property App-Id", "App-Id", "`App-Id` is not a property of a message", Some("app_id")),
        ("property x", "x", "`x` is not a property of a message", None),
        ("Claim/Policy No", "Claim/Policy No", "a blank ends the name", None),
        ("Policy No", "Policy No", "a name with a blank in it needs quotes", Some("'Policy No'")),
        ("A | B", "|", "", None),
        ("Claim/.hidden", ".", "a dot can not begin a name", None),
    ];
    for (text, place, title, fix) in cases {
        let wrong = Address::parse(text, "xml", &namespaces()).expect_err(text);
        if text.contains("Policy No") || title.is_empty() {
            assert!(wrong.help.is_some(), "input: {text}");
            continue;
        }
        assert_eq!(wrong.title, title, "input: {text}");
        assert_eq!(text.get(wrong.span.clone()), Some(place), "input: {text}: {wrong:?}");
        assert_eq!(wrong.fix.as_deref(), fix, "input: {text}");
    }
}

#[test]
fn json_names_may_have_a_colon_and_no_attribute() {
    let none = IndexMap::new();
    assert_eq!(Address::parse("a:b/c", "json", &none).unwrap().to_string(), "'a:b'/c");
    assert_eq!(Address::parse("a/@b", "json", &none).unwrap_err().title, "a json source has no attributes");
}

#[test]
fn a_written_place_has_names_only() {
    let none = IndexMap::new();
    for good in ["Result/ClaimNo", "Result/@x", "ClaimNo", "Größe/日本-1.x"] {
        assert_eq!(Path::parse_place(good, "xml", &none).unwrap().to_string(), good);
    }
    let cases = [
        ("Result/Line(2)", "Line(2)"),
        ("Result//x", "x"),
        ("/Result", "/"),
        ("../x", ".."),
        ("Result/*", "*"),
        ("meta name", "meta name"),
        ("header x", "header x"),
        ("property app_id", "property app_id"),
        ("1st/x", "1st"),
        ("Result/9", "9"),
        ("Result/@1", "@1"),
        ("'odd name'/x", "'odd name'"),
        ("Result/@xmlns", "@xmlns"),
    ];
    for (bad, place) in cases {
        let wrong = Path::parse_place(bad, "xml", &none).expect_err(bad);
        assert_eq!(bad.get(wrong.span), Some(place), "input: {bad}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let name = prop_oneof!["[A-Za-z_][A-Za-z0-9_.-]{0,6}", ".{0,5}", Just("*".to_owned())];
    let pick = prop_oneof![
        (1..9u32).prop_map(Pick::Nth),
        Just(Pick::Last),
        (".{1,4}", ".{0,5}").prop_map(|(name, value)| Pick::Attribute(name.into(), value.into())),
        (".{1,4}", ".{0,5}").prop_map(|(name, value)| Pick::Child(name.into(), value.into())),
    ];
    let named =
        (any::<bool>(), name, proptest::option::of("[a-z:/#]{0,6}"), proptest::collection::vec(pick, 0..3))
            .prop_map(|(deep, name, namespace, picks)| Step {
                axis: if deep { Axis::Descendant } else { Axis::Child },
                namespace: namespace.map(Arc::from),
                name: name.into(),
                picks,
            });
    let dots = any::<bool>().prop_map(|parent| Step {
        axis: if parent { Axis::Parent } else { Axis::Current },
        namespace: None,
        name: Arc::from(""),
        picks: Vec::new(),
    });
    prop_oneof![5 => named, 1 => dots]
}

#[test]
fn what_comes_beside_a_document_is_found_in_every_kind_of_source() {
    for kind in ["xml", "json", "fixed"] {
        let found = Address::parse("header x-tenant", kind, &IndexMap::new());
        assert_eq!(found, Ok(Address::Attribute(AttributeKind::Header, "x-tenant".into())), "kind: {kind}");
        let found = Path::parse("property type", kind, &IndexMap::new()).expect_err(kind);
        assert_eq!(found.title, "`property` is a single value, not a place in the document");
    }
}

proptest! {
    #[test]
    fn every_header_prints_as_text_that_reads_back(name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}") {
        let address = Address::Attribute(AttributeKind::Header, name.into());
        for kind in ["xml", "json"] {
            prop_assert_eq!(Address::parse(&address.to_string(), kind, &IndexMap::new()), Ok(address.clone()));
        }
    }

    #[test]
    fn every_path_prints_as_text_that_reads_back(steps in proptest::collection::vec(step(), 1..5), absolute in any::<bool>()) {
        // An absolute path begins with the root's own name.
        let absolute = absolute && steps[0].axis == Axis::Child;
        let path = Path { absolute, steps };
        let text = path.to_string();
        prop_assert_eq!(Path::parse(&text, "xml", &IndexMap::new()), Ok(path), "text: {}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_inside_the_text(text in "\\PC{0,30}|(header|property) \\PC{0,10}|[A-Za-z/@()\\[\\]'\"=:{}.* 0-9|,]{0,30}") {
        for kind in ["xml", "json"] {
            match Address::parse(&text, kind, &namespaces()) {
                Ok(found) => prop_assert_eq!(Address::parse(&found.to_string(), kind, &namespaces()), Ok(found)),
                Err(wrong) => {
                    prop_assert!(text.get(wrong.span.clone()).is_some(), "{:?}", wrong);
                    prop_assert!(text.is_empty() || !wrong.span.is_empty(), "{:?}", wrong);
                }
            }
        }
    }
}
