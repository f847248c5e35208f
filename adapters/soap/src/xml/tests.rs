use vestibule_core::tree::{NodeId, Tree};

use super::*;

fn problem(text: &str) -> Option<Problem> {
    read(text.as_bytes(), None, &Limits::default()).err().map(|it| it.problem)
}

/// A tree as text, in a form of its own: what the reader understood.
fn shown(tree: &Tree<'_>, node: NodeId, out: &mut String) {
    out.push_str(&format!("{{{}}}{}", tree.namespace(node), tree.name(node)));
    out.push_str(&format!("[{:?}", tree.text(node)));
    for child in tree.children(node) {
        out.push(' ');
        shown(tree, child, out);
    }
    out.push(']');
}

fn understood(text: &str) -> String {
    let source = Source::of(text);
    let limits = Limits::default();
    let tree = source.parse(&limits, Options::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = String::new();
    shown(&tree, tree.root().unwrap(), &mut out);
    out
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn what_is_not_well_formed_is_refused_for_its_own_reason() {
    use Problem as P;
    let name = |it: &str| -> Box<str> { it.into() };
    for (text, expected) in [
        ("", P::NoRoot),
        ("  \n", P::NoRoot),
        ("<?xml version='1.0'?>", P::NoRoot),
        ("<!-- only -->", P::NoRoot),
        ("<a/><b/>", P::SecondRoot(name("b"))),
        ("<a></a><a></a>", P::SecondRoot(name("a"))),
        ("<a>", P::Unclosed(name("a"))),
        ("<a><b></b>", P::Unclosed(name("a"))),
        ("<a", P::Syntax),
        ("<a b='1'", P::Syntax),
        ("<a><!-- ", P::Syntax),
        ("<a><![CDATA[ </a>", P::Syntax),
        ("<a><?p </a>", P::Syntax),
        ("x<a/>", P::StrayText),
        ("<a/>x", P::StrayText),
        ("<a/>&#32;", P::StrayText),
        ("<a/><![CDATA[]]>", P::StrayText),
        ("\u{FEFF}\u{FEFF}<a/>", P::StrayText),
        ("<a></b>", P::Mismatched { open: name("a"), close: name("b") }),
        ("<a><b></a></b>", P::Mismatched { open: name("b"), close: name("a") }),
        ("<p:a xmlns:p='u'></a>", P::Mismatched { open: name("p:a"), close: name("a") }),
        ("</a>", P::NothingToClose(name("a"))),
        ("<a></a></a>", P::NothingToClose(name("a"))),
        ("<a>\u{0}</a>", P::Character(0)),
        ("<a>\u{1}</a>", P::Character(1)),
        ("<a>\u{FFFE}</a>", P::Character(0xFFFE)),
        ("<a>\u{FFFF}</a>", P::Character(0xFFFF)),
        ("<a b='\u{8}'/>", P::Character(8)),
        ("<a b='\u{FFFF}'/>", P::Character(0xFFFF)),
        ("<a><![CDATA[\u{B}]]></a>", P::Character(0xB)),
        ("<a><!--\u{C}--></a>", P::Character(0xC)),
        ("<a><?p \u{1}?></a>", P::Character(1)),
        ("<a>&#0;</a>", P::Character(0)),
        ("<a>&#x1F;</a>", P::Character(0x1F)),
        ("<a>&#xD800;</a>", P::Character(0xD800)),
        ("<a>&#x110000;</a>", P::Character(0x11_0000)),
        ("<a>&#99999999999999;</a>", P::Character(u32::MAX)),
        ("<a b='&#0;'/>", P::Character(0)),
        ("<a>&#;</a>", P::Reference),
        ("<a>&#x;</a>", P::Reference),
        ("<a>&#1a;</a>", P::Reference),
        ("<a>&#X41;</a>", P::Reference),
        ("<a>&#+65;</a>", P::Reference),
        ("<a>&nbsp;</a>", P::Entity(name("nbsp"))),
        ("<a b='&nbsp;'/>", P::Entity(name("nbsp"))),
        ("<a>&LT;</a>", P::Entity(name("LT"))),
        ("<a>& b</a>", P::Syntax),
        ("<a>&lt</a>", P::Syntax),
        ("<a b='&'/>", P::Syntax),
        ("<a b='&lt'/>", P::Syntax),
        ("<a b='<'/>", P::LessThan),
        ("<a>]]></a>", P::SectionEnd),
        ("<a><!-- a -- b --></a>", P::Comment),
        ("<a><!-- a ---></a>", P::Comment),
        ("<a/><!-- a ---->", P::Comment),
        ("<!DOCTYPE a><a/>", P::Doctype),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", P::Doctype),
        ("<?xml version='1.0'?><!doctype a><a/>", P::Doctype),
        (" <?xml version='1.0'?><a/>", P::MisplacedDeclaration),
        ("<!-- c --><?xml version='1.0'?><a/>", P::MisplacedDeclaration),
        ("<a><?xml version='1.0'?></a>", P::MisplacedDeclaration),
        ("<a/><?xml version='1.0'?>", P::MisplacedDeclaration),
        ("<?xml?><a/>", P::Declaration),
        ("<?xml version='2.0'?><a/>", P::Declaration),
        ("<?xml encoding='utf-8'?><a/>", P::Declaration),
        ("<?xml version='1.0' standalone='maybe'?><a/>", P::Declaration),
        ("<?xml version='1.0' standalone='yes' encoding='utf-8'?><a/>", P::Declaration),
        ("<?xml version='1.0'encoding='utf-8'?><a/>", P::Declaration),
        ("<?xml version='1.0' more='1'?><a/>", P::Declaration),
        ("<?XML version='1.0'?><a/>", P::Instruction),
        ("<a><?Xml b?></a>", P::Instruction),
        ("<a><?p:q b?></a>", P::Instruction),
        ("<a><??></a>", P::Instruction),
        ("<a><? p?></a>", P::Instruction),
        ("<1a/>", P::Name),
        ("<-a/>", P::Name),
        ("<a:b:c xmlns:a='u'/>", P::Name),
        ("<:a/>", P::Name),
        ("<a:/>", P::Name),
        ("<a 1b='2'/>", P::Name),
        ("<a b:c:d='2'/>", P::Name),
        ("<a xmlns:='2'/>", P::Name),
        ("< a/>", P::Name),
        ("<a b/>", P::Attribute),
        ("<a b=c/>", P::Attribute),
        ("<a b='1'c='2'/>", P::Attribute),
        ("<a b='1' b='1'/>", P::DuplicateAttribute(name("b"))),
        ("<a xmlns='u' xmlns='v'/>", P::DuplicateAttribute(name("xmlns"))),
        ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", P::DuplicateAttribute(name("q:b"))),
        ("<p:a/>", P::UnboundPrefix(name("p"))),
        ("<a p:b='1'/>", P::UnboundPrefix(name("p"))),
        ("<a><b xmlns:p='u'/><p:c/></a>", P::UnboundPrefix(name("p"))),
        ("<xmlns:a/>", P::UnboundPrefix(name("xmlns"))),
        ("<a xmlns:p=''/>", P::EmptyBinding(name("p"))),
        ("<a xmlns:xmlns='u'/>", P::Reserved(name("xmlns"))),
        ("<a xmlns:xml='u'/>", P::Reserved(name("xml"))),
        ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", P::Reserved(name("p"))),
        ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", P::Reserved(name(""))),
    ] {
        assert_eq!(problem(text), Some(expected), "input: {text:?}");
    }
}

#[test]
fn what_is_well_formed_is_understood() {
    for (text, expected) in [
        ("<a/>", "{}a[\"\"]"),
        ("<a></a >", "{}a[\"\"]"),
        ("<a\n/>", "{}a[\"\"]"),
        (
            "<?xml version=\"1.0\" encoding='UTF-8' standalone = 'yes' ?>\n<a/>\n<!-- c --><?p?>\n",
            "{}a[\"\"]",
        ),
        ("<?xml version='1.1'?><a/>", "{}a[\"\"]"),
        ("<a>x<!-- - y -->z<?p q?>!</a>", "{}a[\"xz!\"]"),
        ("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#x1F600;&#0000067;</a>", "{}a[\"<>&\\\"'AB😀C\"]"),
        ("<a>x<![CDATA[<&]]]]><![CDATA[>]]>y</a>", "{}a[\"x<&]]>y\"]"),
        ("<a>]] ></a>", "{}a[\"]] >\"]"),
        ("<a>1\r\n2\r3\n&#13;</a>", "{}a[\"1\\n2\\n3\\n\\r\"]"),
        ("<a> </a>", "{}a[\" \"]"),
        ("<a> <!-- c --> </a>", "{}a[\"  \"]"),
        ("<a>\n <b/>\n <b>\n</b>\n</a>", "{}a[\"\" {}b[\"\"] {}b[\"\\n\"]]"),
        ("<a> x <b/> y </a>", "{}a[\" x  y \" {}b[\"\"]]"),
        ("<a> &lt; </a>", "{}a[\" < \"]"),
        ("<é:名 xmlns:é='u'/>", "{u}名[\"\"]"),
        (
            "<p:a xmlns:p='u' xmlns='v'><b/><p:c xmlns:p='w'/><d xmlns=''/></p:a>",
            "{u}a[\"\" {v}b[\"\"] {w}c[\"\"] {}d[\"\"]]",
        ),
        ("<a xmlns='u?x&amp;y'><b xmlns='u?x&amp;y'/></a>", "{u?x&y}a[\"\" {u?x&y}b[\"\"]]"),
        ("<a xmlns:p='u' xmlns:q='u' p:b='1' b='2'/>", "{}a[\"\"]"),
        ("<a b='>'/>", "{}a[\"\"]"),
        ("<a b=\"/>\"><c/></a>", "{}a[\"\" {}c[\"\"]]"),
        ("<a xml:lang='en'/>", "{}a[\"\"]"),
        ("<a>\u{FFFD}ï¿½\u{10FFFF}\u{FEFF}</a>", "{}a[\"\u{FFFD}ï¿½\\u{10ffff}\\u{feff}\"]"),
    ] {
        assert_eq!(understood(text), expected, "input: {text:?}");
    }
}

#[test]
fn attribute_values_are_normalised() {
    for (raw, expected) in [
        ("x", "x"),
        (" x  y ", " x  y "),
        ("a\tb\nc\r\nd\re", "a b c d e"),
        ("&#9;&#10;&#13;", "\t\n\r"),
        ("&lt;&amp;&quot;&apos;&gt;>", "<&\"'>>"),
        ("é&#233;ï", "ééï"),
    ] {
        let text = format!("<a b=\"{raw}\"/>");
        let source = Source::of(&text);
        let limits = Limits::default();
        let tree = source.parse(&limits, Options::default()).unwrap();
        assert_eq!(tree.attribute(NodeId(0), "b"), Some(expected), "input: {raw:?}");
    }
}

#[test]
fn each_limit_has_its_error_and_the_document_just_below_it_passes() {
    let limits = Limits {
        bytes: 2000,
        depth: 3,
        elements: 10,
        attributes: 2,
        attribute_bytes: 5,
        declarations: 2,
        bindings: 3,
        text_bytes: 20,
    };
    for (good, bad, expected) in [
        ("<a><b><c/></b></a>", "<a><b><c><d/></c></b></a>", Problem::TooDeep(3)),
        ("<a b='1' c='2' xmlns:p='u' xmlns:q='u'/>", "<a b='1' c='2' d='3'/>", Problem::TooManyAttributes(2)),
        ("<a b='12345'/>", "<a b='123456'/>", Problem::AttributeTooLong(5)),
        (
            "<a xmlns='u' xmlns:q='u'/>",
            "<a xmlns='u' xmlns:q='u' xmlns:r='u'/>",
            Problem::TooManyDeclarations(2),
        ),
        (
            "<a xmlns='u' xmlns:q='u'><b xmlns='v'/><b xmlns='v'/></a>",
            "<a xmlns='u' xmlns:q='u'><b xmlns='v' xmlns:q='w'/></a>",
            Problem::TooManyDeclarations(3),
        ),
        (
            "<a><b/><b/><b/><b/></a>",
            "<a><b/><b/><b/><b/><b/><b/><b/><b/><b/><b/></a>",
            Problem::TooManyElements(10),
        ),
        ("<a>12345678901234567890</a>", "<a>1234567890<b>12345678901</b></a>", Problem::TooMuchText(20)),
    ] {
        assert_eq!(read(good.as_bytes(), None, &limits), Ok(()), "input: {good}");
        let error = read(bad.as_bytes(), None, &limits).unwrap_err();
        assert_eq!(error.problem, expected, "input: {bad}");
        assert!(error.problem.is_limit());
    }
    let long = format!("<a>{}</a>", " ".repeat(2000));
    assert_eq!(read(long.as_bytes(), None, &limits).unwrap_err().problem, Problem::TooManyBytes(2000));
}

#[test]
fn errors_say_line_and_column() {
    for (text, line, column) in [
        ("<a>\n  <b>é</c></a>", 2, 7),
        ("<a>&nbsp;</a>", 1, 4),
        ("<a\n b='\n&x;'/>", 3, 1),
        ("<a>x\u{1}</a>", 1, 5),
    ] {
        let error = read(text.as_bytes(), None, &Limits::default()).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "input: {text:?}: {error}");
    }
}

#[test]
fn no_error_repeats_text_of_the_document() {
    for text in ["<a>secret&nbsp;</a>", "<a b='secret'c='1'/>", "<a>secret</b>", "<a>secret]]></a>", "secret"]
    {
        let fault: vestibule_core::fault::Fault =
            read(text.as_bytes(), None, &Limits::default()).unwrap_err().into();
        assert!(!format!("{fault} {:?}", fault.place).contains("secret"), "input: {text}");
    }
}

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let text = if mark { format!("\u{FEFF}{text}") } else { text.to_owned() };
    text.encode_utf16().flat_map(|it| if big { it.to_be_bytes() } else { it.to_le_bytes() }).collect()
}

#[test]
fn character_sets_are_found_by_transport_mark_and_declaration() {
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>".to_vec();
    let bare_latin = b"<a>\xE9</a>".to_vec();
    let marked = [b"\xEF\xBB\xBF".as_slice(), "<a>é</a>".as_bytes()].concat();
    for (bytes, transport, otherwise) in [
        ("<a>é</a>".as_bytes().to_vec(), None, None),
        ("<a>é</a>".as_bytes().to_vec(), Some("utf-8"), Some("iso-8859-1")),
        ("<?xml version='1.0' encoding='utf-8'?><a>é</a>".as_bytes().to_vec(), Some("UTF-8"), None),
        (marked.clone(), None, None),
        (marked, Some("utf8"), None),
        (latin.clone(), None, None),
        (latin, Some("iso-8859-1"), None),
        (bare_latin.clone(), Some("\"windows-1252\""), None),
        (bare_latin, None, Some("latin1")),
        (utf16("<a>é</a>", true, true), None, None),
        (utf16("<a>é</a>", false, true), Some("utf-16"), None),
        (utf16("<a>é</a>", false, false), Some("utf-16le"), None),
        (utf16("<a>é</a>", true, false), None, None),
        (utf16("<?xml version='1.0' encoding='UTF-16'?><a>é</a>", false, true), None, None),
        (b"<a>\x82\xA0</a>".to_vec(), Some("shift_jis"), None),
    ] {
        let limits = Limits::default();
        let source = Source::decode(&bytes, transport, otherwise, &limits)
            .unwrap_or_else(|it| panic!("{bytes:?} {it}"));
        let expected = if transport == Some("shift_jis") { "あ" } else { "é" };
        let tree = source.parse(&limits, Options::default()).unwrap();
        assert_eq!(tree.text(NodeId(0)), expected, "input: {transport:?} {bytes:?}");
    }
}

#[test]
fn character_sets_that_conflict_or_do_not_fit_are_refused() {
    let conflict = |one: &str, two: &str| Problem::CharsetConflict(one.into(), two.into());
    let declared = b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>".to_vec();
    let marked = b"\xEF\xBB\xBF<a/>".to_vec();
    for (bytes, transport, expected) in [
        (declared.clone(), Some("utf-8"), conflict("UTF-8", "windows-1252")),
        (marked.clone(), Some("utf-16"), conflict("UTF-16", "UTF-8")),
        ([marked, declared.clone()].concat(), None, Problem::MisplacedDeclaration),
        ([b"\xEF\xBB\xBF".to_vec(), declared].concat(), None, conflict("UTF-8", "windows-1252")),
        (utf16("<a/>", true, true), Some("utf-8"), conflict("UTF-8", "UTF-16BE")),
        (b"<?xml version='1.0' encoding='UTF-16'?><a/>".to_vec(), Some("utf-8"), conflict("UTF-8", "UTF-16")),
        (b"<a/>".to_vec(), Some("utf-7"), Problem::UnknownCharset("utf-7".into())),
        (
            b"<?xml version='1.0' encoding='UTF-7'?><a/>".to_vec(),
            None,
            Problem::UnknownCharset("UTF-7".into()),
        ),
        (b"<a/>".to_vec(), Some("klingon"), Problem::UnknownCharset("klingon".into())),
        (b"<a>\xE9</a>".to_vec(), None, Problem::Undecodable("UTF-8")),
        (b"<a>\xC0\x80</a>".to_vec(), None, Problem::Undecodable("UTF-8")),
        (b"<a>\xED\xA0\x80</a>".to_vec(), None, Problem::Undecodable("UTF-8")),
        ("<a>é</a>".as_bytes().to_vec(), Some("us-ascii"), Problem::Undecodable("US-ASCII")),
        (b"\xFE\xFF\x00<\xD8\x00\x00>".to_vec(), None, Problem::Undecodable("UTF-16BE")),
        (b"<a>\x81</a>".to_vec(), Some("shift_jis"), Problem::Undecodable("Shift_JIS")),
    ] {
        let result = Source::decode(&bytes, transport, None, &Limits::default());
        let found = match result {
            Ok(source) => source.parse(&Limits::default(), Options::default()).err().map(|it| it.problem),
            Err(error) => Some(error.problem),
        };
        assert_eq!(found, Some(expected), "input: {transport:?} {bytes:?}");
    }
}

#[test]
fn hostile_documents_end_quickly() {
    let wide = format!("<a {}/>", (0..100_000).map(|it| format!("b{it}='' ")).collect::<String>());
    let deep = "<a>".repeat(500_000);
    let spaces = format!("<a>{}</a>", "<b> </b> ".repeat(100_000));
    let references = format!("<a>{}</a>", "&#65;".repeat(500_000));
    let many = format!("<a>{}</a>", "<b/>".repeat(600_000));
    let scopes = format!(
        "<a {}>{}</a>",
        (0..31).map(|it| format!("xmlns:p{it}='u' ")).collect::<String>(),
        "<c/>".repeat(400_000)
    );
    for (name, text) in [
        ("wide", wide),
        ("deep", deep),
        ("spaces", spaces),
        ("references", references),
        ("many", many),
        ("scopes", scopes),
    ] {
        let start = std::time::Instant::now();
        let _ = read(text.as_bytes(), None, &Limits::default());
        assert!(start.elapsed().as_secs() < 10, "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn the_span_of_an_attribute_is_found_in_its_element() {
    for (element, expected) in [
        ("<soap:address location=\"http://x\"/>", Some("http://x")),
        ("<soap:address\n a='>' location = 'http://x/>y' ></soap:address>", Some("http://x/>y")),
        ("<a location=''/>", Some("")),
        ("<a b='location=\"1\"'/>", None),
        ("<a/>", None),
        ("<a>location='1'</a>", None),
    ] {
        assert_eq!(
            attribute_span(element, "location").and_then(|it| element.get(it)),
            expected,
            "input: {element}"
        );
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, None, &Limits::default());
        }

        #[test]
        fn no_change_of_a_good_document_makes_the_reader_panic(
            at in 0usize..300, byte in any::<u8>(), cut in 0usize..300, repeat in 0usize..4,
        ) {
            let mut bytes = b"<?xml version='1.0' encoding='UTF-8'?><!-- c --><s:Envelope xmlns:s='u&amp;v' xmlns='w'><s:Body a=\"1 &lt;\" s:b='2'><c>\xC3\xA9&#65;<![CDATA[ ]] ]]></c><?p q?></s:Body></s:Envelope>".to_vec();
            let length = bytes.len();
            if let Some(slot) = bytes.get_mut(at % length) { *slot = byte; }
            let tail = bytes.split_off(cut % length);
            for _ in 0..repeat { bytes.extend_from_slice(&tail); }
            let _ = read(&bytes, None, &Limits::default());
        }

        #[test]
        fn what_is_written_is_read_again(text in "\\PC{0,40}|[\\t\\n\\r <>&'\"\\]]{0,20}") {
            let mut out = String::from("<a b=\"");
            write::attribute(&mut out, &text).unwrap();
            out.push_str("\">");
            write::text(&mut out, &text).unwrap();
            out.push_str("</a>");
            let source = Source::of(&out);
            let limits = Limits::default();
            let tree = source.parse(&limits, Options::default()).unwrap();
            prop_assert_eq!(tree.text(NodeId(0)), text.as_str());
            prop_assert_eq!(tree.attribute(NodeId(0), "b"), Some(text.as_str()));
        }
    }
}

/// Run with `cargo test --release -p vestibule-soap -- --ignored speed --nocapture`.
#[test]
#[ignore = "prints a figure"]
fn speed() {
    let line = "<c:Line><c:Type>B</c:Type><c:Amt cur=\"EUR\">480.00</c:Amt><c:Note>Window of the shop</c:Note></c:Line>\n    ";
    let text = format!(
        "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><c:Claim xmlns:c='urn:c'>\n    {}</c:Claim></e:Body></e:Envelope>",
        line.repeat(600)
    );
    let limits = Limits::default();
    for _ in 0..3 {
        let rounds = 1000;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            let source = Source::decode(text.as_bytes(), None, None, &limits).unwrap();
            std::hint::black_box(source.parse(&limits, Options::default()).unwrap());
        }
        let seconds = start.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let rate = (text.len() * rounds) as f64 / seconds / 1e6;
        println!("{} bytes, {rate:.0} MB/s", text.len());
    }
}
