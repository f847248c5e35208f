use proptest::prelude::*;

use super::{super::diagnostic::Diagnostics, *};

fn read(text: &str) -> (Option<Node>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let node = parse(text, &mut diagnostics);
    (node, diagnostics)
}

#[test]
fn scalars_stay_text_and_know_where_they_stand() {
    let source = "a: NO\nb: 010   # note\nc: [1e3, ~]\nd: 'é'\ne:\nf: { g: x  }\n";
    let (node, diagnostics) = read(source);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render("p", source, false));
    let node = node.unwrap();
    let at = |it: &Node| source[it.span.clone()].to_owned();
    for (key, text, written) in [("a", "NO", "NO"), ("b", "010", "010"), ("d", "é", "'é'"), ("e", "", "")] {
        let value = node.get(key).unwrap();
        assert_eq!((value.text(), at(value).as_str()), (Some(text), written), "key: {key}");
    }
    let texts: Vec<_> = node.get("c").unwrap().items().iter().map(|it| it.text().unwrap()).collect();
    assert_eq!(texts, ["1e3", "~"]);
    assert_eq!(at(node.get("f").unwrap()), "{ g: x  }");
    assert_eq!(at(node.get("f").unwrap().get("g").unwrap()), "x");
    assert!(node.get("e").unwrap().is_blank() && !node.get("a").unwrap().is_blank());
}

#[test]
fn a_range_of_a_text_is_found_in_the_file() {
    for (source, word) in [
        ("k: abc def ghi", "def"),
        ("k: 'abc def'", "def"),
        ("k: 'it''s def'", "def"),
        ("k: \"a\\tb \\u00e9 def\"", "def"),
        ("k: \"é\\\"def\"", "def"),
        ("é: 'ü''' # def\nk: '''def'", "def"),
        ("k: |\n  abc def\n", "def"),
    ] {
        let (node, diagnostics) = read(source);
        assert!(diagnostics.is_empty(), "{source:?} {diagnostics:?}");
        let node = node.unwrap();
        let value = node.get("k").unwrap();
        let at = value.text().unwrap().find(word).unwrap();
        let span = value.sub(at..at + word.len());
        assert_eq!(source.get(span.clone()), Some(word), "input: {source:?} {span:?} {value:?}");
    }
}

#[test]
fn what_has_no_place_here_is_refused_by_name() {
    let cases: [(&str, &[&str]); 12] = [
        ("", &["M006"]),
        ("# only a comment\n", &["M006"]),
        ("a: 1\n---\nb: 2\n", &["M002"]),
        ("a: &x 1\nb: *x\n", &["M003", "M003"]),
        ("a: !!int 1\n", &["M003"]),
        ("a: 1\nb: 2\na: 3\n", &["M005"]),
        ("{ [a]: 1 }", &["M009"]),
        ("a: 'x\n", &["M001"]),
        ("a: @id\nb: 1\n", &["M001"]),
        ("a: { b: @id }\nc: d: e\nf: { g: [ }\nh: 1\n", &["M001", "M001", "M001"]),
        ("a: Party(@role #1)\n", &["M004"]),
        ("a:\n\tb: 1\n", &["M001"]),
    ];
    for (source, codes) in cases {
        let (_, diagnostics) = read(source);
        let got: Vec<_> = diagnostics.all.iter().map(|it| it.code).collect();
        assert_eq!(got, codes, "input: {source:?}\n{}", diagnostics.render("p", source, false));
    }
}

#[test]
fn the_traps_of_yaml_are_answered_by_name() {
    let cases = [
        ("a: @id\n", "a value can not begin with `@`: put it in quotes, or write `./@name` for an attribute"),
        ("a:\n\tb: 1\n", "indent with spaces, not tabs"),
        ("say: Policy: not found\n", "a value that contains `: ` must be in quotes"),
        ("a: { from: Line[2]/Amt }\n", "write `Line(2)` for `Line[2]`"),
        ("a: { from: x #1 }\nb: 2\nc: 3\n", "also hides a closing `}`"),
        ("a: column 'No #1'\nb: 'column #1'\nc: (x #2)\n", "put the whole value in double quotes"),
        ("a: *.xlsx\n", "a value can not begin with `*`: put it in quotes"),
    ];
    for (source, help) in cases {
        let (_, diagnostics) = read(source);
        let text = diagnostics.render("p", source, false);
        assert!(text.contains(help), "input: {source:?}\n{text}");
    }
}

#[test]
fn limits_hold_and_nothing_is_quadratic() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let wide = format!("a: [{}]", "x,".repeat(250_000));
    let keys: String = (0..60_000).map(|it| format!("k{it}: 1\n")).collect();
    let large = "x".repeat(LARGEST_FILE + 1);
    let begun = std::time::Instant::now();
    for (source, code) in
        [(&deep, Some("M008")), (&wide, Some("M008")), (&large, Some("M008")), (&keys, None)]
    {
        let (_, diagnostics) = read(source);
        assert_eq!(diagnostics.all.first().map(|it| it.code), code, "input of {} bytes", source.len());
        diagnostics.render("p", source, false);
    }
    assert!(begun.elapsed().as_secs() < 20, "took {:?}", begun.elapsed());
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let mut diagnostics = Diagnostics::default();
    assert_eq!(text_of(b"a: \xff", &mut diagnostics), None);
    assert_eq!((diagnostics.all[0].code, diagnostics.all[0].span.clone()), ("M007", 3..4));
    assert_eq!(text_of("a: é".as_bytes(), &mut Diagnostics::default()), Some("a: é"));
    assert!(parse("\u{feff}a: 1", &mut Diagnostics::default()).unwrap().get("a").is_some());
}

fn every_span_is_inside(node: &Node, source: &str) {
    assert!(source.get(node.span.clone()).is_some(), "{:?} in {source:?}", node.span);
    if let Some(text) = node.text() {
        let span = node.sub(0..text.len());
        assert!(span.start <= span.end, "{span:?}");
    }
    node.entries().iter().for_each(|(key, value)| {
        every_span_is_inside(key, source);
        every_span_is_inside(value, source);
    });
    if let Kind::Seq(items) = &node.kind {
        items.iter().for_each(|it| every_span_is_inside(it, source));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn no_text_makes_it_panic(source in "[a-c:\\-\\[\\]{},'\"#@&*!|>%?~é\\\\ \t\n]{0,60}") {
        let (node, diagnostics) = read(&source);
        prop_assert!(node.is_some() || !diagnostics.is_empty());
        if let Some(node) = node { every_span_is_inside(&node, &source); }
        diagnostics.render("p", &source, false);
        diagnostics.to_json("p", &source);
    }

    #[test]
    fn no_unicode_makes_it_panic(source in "\\PC{0,40}") {
        let (_, diagnostics) = read(&source);
        diagnostics.render("p", &source, true);
    }
}

/// Reads every file of a folder of YAML files; where `VESTIBULE_YAML_CORPUS` names none, there is nothing to do.
#[test]
fn a_corpus_of_yaml_files_makes_no_panic() {
    let Some(folder) = std::env::var_os("VESTIBULE_YAML_CORPUS") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let mut diagnostics = Diagnostics::default();
        let Some(text) = text_of(&bytes, &mut diagnostics) else { continue };
        let (node, diagnostics) = read(text);
        assert!(node.is_some() || !diagnostics.is_empty(), "{}", path.display());
        if let Some(node) = node {
            every_span_is_inside(&node, text);
        }
        // Every byte cut off at the end is another broken file.
        for end in (0..text.len()).filter(|it| text.is_char_boundary(*it)) {
            let part = text.get(..end).unwrap();
            read(part).1.render("p", part, false);
        }
    }
}
