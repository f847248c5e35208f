use std::{borrow::Cow, time::Instant};

use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;
use crate::mapping::address::{Axis, Path, Pick, Step};

/// An element as a test writes it: name, attributes, text, children.
#[derive(Debug, Clone)]
struct Element {
    namespace: &'static str,
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

fn build(root: &Element) -> Tree<'_> {
    fn add<'a>(element: &'a Element, builder: &mut TreeBuilder<'a>, offset: &mut usize) {
        *offset += 1;
        builder.open(element.namespace, Cow::Borrowed(&element.name), *offset);
        for (name, value) in &element.attributes {
            builder.attribute("", Cow::Borrowed(name), Cow::Borrowed(value));
        }
        builder.text(Cow::Borrowed(&element.text));
        for child in &element.children {
            add(child, builder, offset);
        }
        *offset += 1;
        builder.close(*offset);
    }
    let mut builder = TreeBuilder::with_capacity(8);
    add(root, &mut builder, &mut 0);
    builder.finish()
}

/// `name@a=v:text(child child)` in a few characters, for tables.
fn sketch(text: &str) -> Element {
    fn element(text: &str, at: &mut usize) -> Element {
        let bytes = text.as_bytes();
        let start = *at;
        while *at < bytes.len() && !b"() ".contains(&bytes[*at]) {
            *at += 1;
        }
        let (head, value) = text[start..*at].split_once(':').unwrap_or((&text[start..*at], ""));
        let mut parts = head.split('@');
        let name = parts.next().unwrap().to_owned();
        let attributes = parts
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let mut children = Vec::new();
        if bytes.get(*at) == Some(&b'(') {
            *at += 1;
            while bytes[*at] != b')' {
                if bytes[*at] == b' ' {
                    *at += 1;
                }
                children.push(element(text, at));
            }
            *at += 1;
        }
        Element { namespace: "", name, attributes, text: value.to_owned(), children }
    }
    element(text, &mut 0)
}

fn path(text: &str) -> Path {
    Path::parse(text, "xml", &IndexMap::new()).unwrap()
}

fn places(tree: &Tree<'_>, base: NodeId, or_self: bool, text: &str) -> Vec<String> {
    let mut hits = Vec::new();
    tree.find(base, or_self, &path(text), &mut hits);
    hits.iter().map(|hit| tree.place(hit)).collect()
}

const CLAIM: &str =
    "S(C@id=7(No:1 P@role=CLM(Name:A) P@role=AGT(Name:B) Ls(L(T:x A:1) L(T:y A:2) L(A:3)) N:p N:q))";

#[test]
fn a_path_finds_its_places_in_document_order() {
    let root = sketch(CLAIM);
    let tree = build(&root);
    let cases: &[(&str, &[&str])] = &[
        ("C/No", &["/S/C/No"]),
        ("C/@id", &["/S/C/@id"]),
        ("C/@*", &["/S/C/@id"]),
        ("S/C/No", &["/S/C/No"]),
        ("S/@id", &[]),
        ("C/P(@role=AGT)/Name", &["/S/C/P(2)/Name"]),
        ("C/P(Name=A)", &["/S/C/P(1)"]),
        ("C/Ls/L(2)/A", &["/S/C/Ls/L(2)/A"]),
        ("C/Ls/L(last)", &["/S/C/Ls/L(3)"]),
        ("C/Ls/L/T", &["/S/C/Ls/L(1)/T", "/S/C/Ls/L(2)/T"]),
        ("C/Ls/*(2)/*", &["/S/C/Ls/L(2)/T", "/S/C/Ls/L(2)/A"]),
        ("//N", &["/S/C/N(1)", "/S/C/N(2)"]),
        ("//N(last)", &["/S/C/N(2)"]),
        ("//A(2)", &["/S/C/Ls/L(2)/A"]),
        ("C//*(1)", &["/S/C/No"]),
        ("C/Ls/L/..", &["/S/C/Ls"]),
        ("C/Ls/L/../../No", &["/S/C/No"]),
        ("./C/./No", &["/S/C/No"]),
        ("/S/C/Ls/L(3)", &["/S/C/Ls/L(3)"]),
        ("/T/C", &[]),
        ("C/L", &[]),
        ("C/Ls/L(4)", &[]),
        ("C/Ls/L(T=y)(1)", &["/S/C/Ls/L(2)"]),
        (".", &["/S"]),
        ("..", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(&places(&tree, NodeId(0), true, text), expected, "path: {text}");
    }
}

#[test]
fn an_absent_place_is_named_from_the_deepest_node_that_exists() {
    let root = sketch(CLAIM);
    let tree = build(&root);
    for (text, expected) in [
        ("C/Missing", "/S/C/Missing"),
        ("C/Ls/L(9)/A", "/S/C/Ls/L(9)/A"),
        ("C/P(@role=XXX)/Name", "/S/C/P(@role=XXX)/Name"),
        ("C/P(@role=AGT)/Zip", "/S/C/P(2)/Zip"),
        ("C/@policy", "/S/C/@policy"),
        ("S/Z", "/S/Z"),
        ("Z//Y", "/S/Z//Y"),
        ("/Other/Z", "/Other/Z"),
    ] {
        assert_eq!(tree.expected_place(NodeId(0), true, &path(text)), expected, "path: {text}");
    }
}

#[test]
fn a_namespace_in_a_path_must_be_the_nodes_own() {
    let mut builder = TreeBuilder::with_capacity(4);
    builder.open("urn:a", "R".into(), 0);
    builder.open("urn:b", "X".into(), 1);
    builder.close(2);
    builder.open("urn:a", "X".into(), 3);
    builder.attribute("urn:b", "k".into(), "1".into());
    builder.attribute(XSI, "nil".into(), " 1 ".into());
    builder.close(4);
    builder.close(5);
    let tree = builder.finish();
    assert_eq!(places(&tree, NodeId(0), false, "X"), ["/R/X(1)", "/R/X(2)"]);
    assert_eq!(places(&tree, NodeId(0), false, "{urn:a}X"), ["/R/X(2)"]);
    assert_eq!(places(&tree, NodeId(0), true, "{urn:b}R"), Vec::<String>::new());
    assert_eq!(places(&tree, NodeId(0), false, "X/@{urn:b}k"), ["/R/X(2)/@k"]);
    assert_eq!(places(&tree, NodeId(0), false, "X/@{urn:a}k"), Vec::<String>::new());
    assert!(tree.is_nil(NodeId(2)) && !tree.is_nil(NodeId(1)));
    assert_eq!(tree.attribute(NodeId(2), "k"), Some("1"));
}

#[test]
fn a_root_without_a_name_does_not_appear_in_places() {
    let root = sketch("(a(b:1 b:2))");
    let tree = build(&root);
    assert_eq!(places(&tree, NodeId(0), true, "a/b"), ["/a/b(1)", "/a/b(2)"]);
    assert_eq!(places(&tree, NodeId(0), true, "/a/b(2)"), ["/a/b(2)"]);
    assert_eq!(places(&tree, NodeId(0), true, "."), ["/"]);
    assert_eq!(places(&tree, NodeId(0), true, "/"), ["/"]);
    assert_eq!(tree.expected_place(NodeId(0), true, &path("z")), "/z");
}

#[test]
fn lines_count_from_one_and_texts_are_joined() {
    let source = "<a>\n<b>x\r\n</b>y</a>";
    let mut builder = TreeBuilder::with_capacity(2);
    builder.set_source(source);
    builder.open("", "a".into(), 0);
    builder.text("\n".into());
    builder.open("", "b".into(), 4);
    builder.text("x\r\n".into());
    builder.close(14);
    builder.text("y".into());
    builder.close(19);
    let tree = builder.finish();
    assert_eq!((tree.line(NodeId(0)), tree.line(NodeId(1))), (1, 2));
    assert_eq!(tree.text(NodeId(0)), "\ny");
    assert_eq!(tree.text(NodeId(1)), "x\r\n");
    assert_eq!(tree.span(NodeId(1)), 4..14);
}

#[test]
fn an_unbalanced_feed_still_makes_a_tree() {
    let mut builder = TreeBuilder::with_capacity(0);
    builder.close(1);
    builder.text("lost".into());
    builder.attribute("", "lost".into(), "x".into());
    builder.open("", "a".into(), 2);
    builder.close(3);
    builder.open("", "b".into(), 4);
    let tree = builder.finish();
    assert_eq!(tree.children(NodeId(0)).collect::<Vec<_>>(), [NodeId(1)]);
    assert_eq!(tree.span(NodeId(1)), 4..4);
}

#[test]
fn half_a_million_siblings_are_as_cheap_each_as_a_few() {
    let names: Vec<String> = (0..500_000).map(|at| format!("n{at}")).collect();
    for distinct in [true, false] {
        let started = Instant::now();
        let mut builder = TreeBuilder::with_capacity(16);
        builder.open("", "r".into(), 0);
        for name in &names {
            builder.open("", Cow::Borrowed(if distinct { name } else { "n" }), 1);
            builder.close(1);
        }
        builder.open("", "z".into(), 1);
        builder.close(1);
        builder.close(1);
        let tree = builder.finish();
        let last = path("../z");
        let mut hits = Vec::new();
        for child in tree.children(NodeId(0)) {
            tree.find(child, false, &last, &mut hits);
            assert_eq!(hits.len(), 1);
        }
        let place = if distinct { "/r/n499999" } else { "/r/n(500000)" };
        assert_eq!(tree.place(&Hit::Node(NodeId(500_000))), place);
        // Quadratic work would take hours here.
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}

fn element() -> impl Strategy<Value = Element> {
    let name = || prop_oneof!["[abc]", "[a-l]", Just("it's".to_owned()), Just("a(b".to_owned())];
    let attributes = || proptest::collection::vec(("[xy]", "[12]"), 0..2);
    let leaf = (name(), attributes(), "[12]?").prop_map(|(name, attributes, text)| Element {
        namespace: "",
        name,
        attributes,
        text,
        children: vec![],
    });
    leaf.prop_recursive(4, 40, 12, move |inner| {
        (name(), attributes(), proptest::collection::vec(inner, 0..12)).prop_map(
            |(name, attributes, children)| Element {
                namespace: "",
                name,
                attributes,
                text: String::new(),
                children,
            },
        )
    })
}

fn step() -> impl Strategy<Value = Step> {
    let pick = prop_oneof![
        (1..4u32).prop_map(Pick::Nth),
        Just(Pick::Last),
        ("[xy]", "[12]").prop_map(|(name, value)| Pick::Attribute(name.into(), value.into())),
        ("[abc]", "[12]").prop_map(|(name, value)| Pick::Child(name.into(), value.into())),
    ];
    let axis = prop_oneof![6 => Just(Axis::Child), 2 => Just(Axis::Descendant), 1 => Just(Axis::Parent), 1 => Just(Axis::Current)];
    (axis, prop_oneof![4 => "[abc]", 1 => Just("*".to_owned())], proptest::collection::vec(pick, 0..2))
        .prop_map(|(axis, name, picks)| {
            let named = matches!(axis, Axis::Child | Axis::Descendant);
            Step {
                axis,
                namespace: None,
                name: name.as_str().into(),
                picks: if named { picks } else { vec![] },
            }
        })
}

/// What `find` means, said as plainly as possible.
fn naive(tree: &Tree<'_>, base: NodeId, path: &Path) -> Vec<NodeId> {
    let all: Vec<NodeId> = (0..tree.len()).map(|at| NodeId(at as u32)).collect();
    let is_below = |node: NodeId, above: NodeId| {
        let mut at = tree.parent(node);
        while let Some(parent) = at {
            if parent == above {
                return true;
            }
            at = tree.parent(parent);
        }
        false
    };
    let mut here = vec![base];
    for step in &path.steps {
        let mut next = Vec::new();
        for from in here {
            let named = |node: &NodeId| &*step.name == "*" || tree.name(*node) == &*step.name;
            let mut found: Vec<NodeId> = match step.axis {
                Axis::Current => vec![from],
                Axis::Parent => tree.parent(from).into_iter().collect(),
                Axis::Child => {
                    all.iter().copied().filter(|it| tree.parent(*it) == Some(from)).filter(named).collect()
                }
                Axis::Descendant => {
                    all.iter().copied().filter(|it| is_below(*it, from)).filter(named).collect()
                }
                Axis::Attribute => unreachable!(),
            };
            for pick in &step.picks {
                found = match pick {
                    Pick::Nth(nth) => found.into_iter().skip(*nth as usize - 1).take(1).collect(),
                    Pick::Last => found.into_iter().last().into_iter().collect(),
                    Pick::Attribute(name, value) => found
                        .into_iter()
                        .filter(|it| {
                            tree.attributes(*it).iter().any(|a| a.name == **name && a.value == **value)
                        })
                        .collect(),
                    Pick::Child(name, value) => found
                        .into_iter()
                        .filter(|it| {
                            tree.children(*it)
                                .any(|child| tree.name(child) == &**name && tree.text(child) == &**value)
                        })
                        .collect(),
                };
            }
            next.extend(found);
        }
        next.sort();
        next.dedup();
        here = next;
    }
    here
}

proptest! {
    #[test]
    fn every_place_is_found_again(root in element()) {
        let tree = build(&root);
        for node in 0..tree.len() {
            let hit = Hit::Node(NodeId(node as u32));
            let place = tree.place(&hit);
            let mut hits = Vec::new();
            tree.find(NodeId(0), true, &Path::parse(&place, "xml", &IndexMap::new()).unwrap(), &mut hits);
            prop_assert_eq!(&hits, &[hit], "place: {}", place);
        }
    }

    #[test]
    fn finding_is_the_same_as_looking_everywhere(root in element(), steps in proptest::collection::vec(step(), 1..4), base in 0..40usize) {
        let tree = build(&root);
        let base = NodeId((base % tree.len()) as u32);
        let path = Path { absolute: false, steps };
        let expected: Vec<_> = naive(&tree, base, &path).into_iter().map(Hit::Node).collect();
        let mut hits = Vec::new();
        tree.find(base, false, &path, &mut hits);
        prop_assert_eq!(&hits, &expected, "path: {}", path);
        tree.find_most(base, false, &path, 2, &mut Walk::default(), &mut hits);
        prop_assert_eq!(&hits[..], &expected[..expected.len().min(2)], "first two of {}", path);
    }
}

#[test]
#[ignore = "prints nanoseconds; run with --release --nocapture"]
fn how_long_a_document_of_sixty_kilobytes_takes() {
    let names = ["Type", "Amt", "Qty", "Text"];
    let started = Instant::now();
    let rounds = 200;
    let paths = names.map(path);
    let lines = path("Claim/Lines/Line");
    let mut found = 0;
    for _ in 0..rounds {
        let mut builder = TreeBuilder::with_capacity(4096);
        for name in ["Envelope", "Body", "Claim", "Lines"] {
            builder.open("urn:x", name.into(), 0);
        }
        for _ in 0..600 {
            builder.open("urn:x", "Line".into(), 0);
            for name in names {
                builder.open("urn:x", name.into(), 0);
                builder.text("12.50".into());
                builder.close(0);
            }
            builder.close(0);
        }
        let tree = builder.finish();
        let (mut hits, mut values, mut walk) = (Vec::new(), Vec::new(), Walk::default());
        tree.find(NodeId(1), true, &lines, &mut hits);
        for line in &hits {
            for path in &paths {
                tree.find_most(line.node(), false, path, 2, &mut walk, &mut values);
                found += values.len();
            }
        }
    }
    assert_eq!(found, rounds * 2400);
    println!("build and walk: {:?} a document", started.elapsed() / rounds as u32);
}
