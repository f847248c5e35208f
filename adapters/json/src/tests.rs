use proptest::prelude::*;
use vestibule_core::tree::{NodeId, Tree};

use super::*;

fn shown(tree: &Tree<'_>, node: NodeId, out: &mut String) {
    out.push_str(tree.name(node));
    if tree.is_nil(node) {
        out.push('!');
    }
    if !tree.text(node).is_empty() {
        out.push_str(&format!("={:?}", tree.text(node)));
    }
    if tree.children(node).next().is_some() {
        out.push('(');
        for (index, child) in tree.children(node).enumerate() {
            out.push_str(if index == 0 { "" } else { " " });
            shown(tree, child, out);
        }
        out.push(')');
    }
}

fn understood(text: &str) -> String {
    let tree = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = String::new();
    shown(&tree, tree.root().unwrap(), &mut out);
    out
}

#[test]
fn documents_become_trees() {
    for (text, expected) in [
        ("{}", ""),
        ("[]", ""),
        (" { \"a\" : \"x\" , \"b\" : { \"c\" : true } } \n", "(a=\"x\" b(c=\"true\"))"),
        (
            "{\"a\":[1,2.50,-0,1e5,12345678901234567890.10]}",
            "(a=\"1\" a=\"2.50\" a=\"-0\" a=\"1e5\" a=\"12345678901234567890.10\")",
        ),
        ("{\"a\":null,\"b\":[null,1]}", "(a! b! b=\"1\")"),
        ("{\"a\":{\"@x\":\"1\",\"#text\":\"2\"}}", "(a=\"2\")"),
        ("{\"a\":[[1,2],[3]]}", "(a(item=\"1\" item=\"2\") a(item=\"3\"))"),
        ("[{\"a\":1},{\"a\":2}]", "(item(a=\"1\") item(a=\"2\"))"),
        (
            "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00é\"}",
            "(a=\"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\té😀é\")",
        ),
        ("{\"a\":[]}", ""),
        ("{\"a\":{}}", "(a)"),
    ] {
        assert_eq!(understood(text), expected, "input: {text}");
    }
}

#[test]
fn attributes_are_found_wherever_their_keys_stand() {
    let tree = parse(
        "{\"a\":{\"b\":{\"@y\":1},\"@x\":\"1\",\"c\":[{\"@z\":true}],\"@n\":null}}",
        &Limits::default(),
    )
    .unwrap();
    let a = tree.children(tree.root().unwrap()).next().unwrap();
    let inner: Vec<_> = tree.children(a).collect();
    assert_eq!(tree.attribute(a, "x"), Some("1"));
    assert_eq!(tree.attribute(a, "n"), None);
    assert_eq!(tree.attribute(a, "y"), None);
    assert_eq!(tree.attribute(inner[0], "y"), Some("1"));
    assert_eq!(tree.attribute(inner[1], "z"), Some("true"));
}

#[test]
fn what_is_not_json_is_refused_at_its_place() {
    use Problem as P;
    for (text, expected, line, column) in [
        ("", P::Expected("a value"), 1, 1),
        ("\"a\"", P::Scalar, 1, 1),
        ("12", P::Scalar, 1, 1),
        ("null", P::Scalar, 1, 1),
        ("{} x", P::Trailing, 1, 4),
        ("{}{}", P::Trailing, 1, 3),
        ("{", P::Expected("a key"), 1, 2),
        ("{\"a\"", P::Expected("`:`"), 1, 5),
        ("{\"a\":}", P::Expected("a value"), 1, 6),
        ("{\"a\":1", P::Expected("`,` or `}`"), 1, 7),
        ("{\"a\":1,}", P::Expected("a key"), 1, 8),
        ("{a:1}", P::Expected("a key"), 1, 2),
        ("{'a':1}", P::Expected("a key"), 1, 2),
        ("[1,]", P::Expected("a value"), 1, 4),
        ("[1 2]", P::Expected("`,` or `]`"), 1, 4),
        ("{\"a\":1}// c", P::Trailing, 1, 8),
        ("{\"a\":NaN}", P::Expected("a value"), 1, 6),
        ("{\"a\":truer}", P::Expected("a value"), 1, 6),
        ("{\"a\":\n 01}", P::Number, 2, 2),
        ("{\"a\":1.}", P::Number, 1, 6),
        ("{\"a\":.5}", P::Expected("a value"), 1, 6),
        ("{\"a\":+5}", P::Expected("a value"), 1, 6),
        ("{\"a\":-}", P::Number, 1, 6),
        ("{\"a\":1e}", P::Number, 1, 6),
        ("{\"a\":0x1}", P::Number, 1, 6),
        ("{\"a\":\"x", P::Expected("`\"`"), 1, 6),
        ("{\"a\":\"\t\"}", P::Control, 1, 7),
        ("{\"é\":\"\u{0}\"}", P::Control, 1, 7),
        ("{\"a\":\"\\x\"}", P::Escape, 1, 7),
        ("{\"a\":\"\\u12\"}", P::Escape, 1, 7),
        ("{\"a\":\"\\u+123\"}", P::Escape, 1, 7),
        ("{\"a\":\"\\ud800\"}", P::Surrogate, 1, 7),
        ("{\"a\":\"\\udc00\\ud800\"}", P::Surrogate, 1, 7),
        ("{\"a\":\"\\ud800\\u0041\"}", P::Surrogate, 1, 7),
        ("{\"a\":1,\"a\":2}", P::DuplicateKey("a".into()), 1, 8),
        ("{\"a\":1,\"\\u0061\":2}", P::DuplicateKey("a".into()), 1, 8),
        ("{\"@a\":{}}", P::NotPlain("a".into()), 1, 7),
        ("{\"#text\":[1]}", P::NotPlain("#text".into()), 1, 10),
    ] {
        let expected = JsonError { problem: expected, line, column };
        assert_eq!(parse(text, &Limits::default()).err(), Some(expected), "input: {text:?}");
    }
    for bytes in [b"{\"a\":\"\xFF\"}".as_slice(), b"\xFE\xFF\x00{", b"{\"a\":\"\xED\xA0\x80\"}"] {
        assert_eq!(
            read(bytes, &Limits::default()).map_err(|it| it.problem),
            Err(P::Undecodable),
            "input: {bytes:?}"
        );
    }
    assert_eq!(read(b"\xEF\xBB\xBF{}", &Limits::default()), Ok(()));
}

#[test]
fn a_key_is_found_twice_in_a_wide_object_too() {
    let members: Vec<_> = (0..1000).map(|it| format!("\"k{it}\":1")).collect();
    let text = format!("{{{},\"k7\":2}}", members.join(","));
    let error = parse(&text, &Limits::default()).err().map(|it| it.problem);
    assert_eq!(error, Some(Problem::DuplicateKey("k7".into())));
}

#[test]
fn each_limit_has_its_error() {
    let limits = Limits { bytes: 60, depth: 3, nodes: 10 };
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read(deep(3).as_bytes(), &limits), Ok(()));
    assert_eq!(read(deep(4).as_bytes(), &limits).map_err(|it| it.problem), Err(Problem::TooDeep(3)));
    assert_eq!(read(b"[1,2,3,4,5,6,7,8,9]", &limits), Ok(()));
    assert_eq!(
        read(b"[1,2,3,4,5,6,7,8,9,0]", &limits).map_err(|it| it.problem),
        Err(Problem::TooManyNodes(10))
    );
    assert_eq!(read(&[b' '; 61], &limits).map_err(|it| it.problem), Err(Problem::TooManyBytes(60)));
    let hostile = "[".repeat(1_000_000);
    assert_eq!(
        read(hostile.as_bytes(), &Limits::default()).map_err(|it| it.problem),
        Err(Problem::TooDeep(64))
    );
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,12}|[\\x00-\\x1F\"\\\\]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-z\"é]{1,6}", inner, 0..6)
                .prop_map(|it| serde_json::Value::Object(it.into_iter().collect())),
        ]
    })
}

/// What the tree of a JSON value must be, made the slow way.
fn naive(name: &str, value: &serde_json::Value, out: &mut Vec<(String, String)>) {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.iter().for_each(|it| match it {
            Value::Array(_) => {
                out.push((name.to_owned(), String::new()));
                naive("item", it, out);
            }
            _ => naive(name, it, out),
        }),
        Value::Object(members) => {
            out.push((name.to_owned(), String::new()));
            members.iter().for_each(|(key, value)| naive(key, value, out));
        }
        Value::Null => out.push((name.to_owned(), String::new())),
        Value::String(text) => out.push((name.to_owned(), text.clone())),
        other => out.push((name.to_owned(), other.to_string())),
    }
}

fn flat(tree: &Tree<'_>, node: NodeId, out: &mut Vec<(String, String)>) {
    out.push((tree.name(node).to_owned(), tree.text(node).to_owned()));
    tree.children(node).for_each(|it| flat(tree, it, out));
}

proptest! {
    #[test]
    fn trees_hold_what_was_written(value in json()) {
        let value = serde_json::json!({ "root": value });
        let text = value.to_string();
        let tree = parse(&text, &Limits::default()).unwrap();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        flat(&tree, tree.root().unwrap(), &mut found);
        naive("", &value, &mut expected);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_serde_json_refuses_is_refused(text in "[\\[\\]{}:,\"\\\\a0-9eE.+ \\-tu]{0,24}") {
        if read(text.as_bytes(), &Limits::default()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = read(&bytes, &Limits::default());
    }
}
