//! The way back: the six rules of the mapping language, and what a reply says of itself.

use crate::desk::{findings, flow, judged, written};

/// Record fields and code tables, places under `write`, the document's content, what is written, the findings.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (fields, places, content, expected, found) in cases {
        let flow = flow(&format!("record:\n{fields}return:\n  into: R\n  write:\n{places}"), Vec::new());
        let reply = judged(&flow, &format!("<C>{content}</C>"));
        assert_eq!(written(&reply), *expected, "places: {places} document: {content}");
        assert_eq!(findings(&reply), *found, "places: {places} document: {content}");
    }
}

#[test]
fn what_did_not_change_is_written_as_it_was_read() {
    check(&[
        (
            "  c: { from: A, codes: t }\ncodes: { t: { water: [02, 2A] } }\n",
            "    A: c\n",
            "<A>2A</A>",
            "A=2A",
            &[],
        ),
        (
            "  d: { from: A, type: date, format: ddMMyyyy }\n",
            "    A: d\n",
            "<A>01022026</A>",
            "A=01022026",
            &[],
        ),
        ("  m: { from: A, type: decimal, format: '1.234,56' }\n", "    A: m\n", "<A>1,5</A>", "A=1,5", &[]),
        // `5` is its own canonical text: nothing is kept of it, and it is still not written as `5,00`.
        ("  m: { from: A, type: decimal, format: '1.234,56' }\n", "    A: m\n", "<A>5</A>", "A=5", &[]),
        ("  m: { from: A, type: decimal }\n", "    A: m\n", "<A>007.10</A>", "A=007.10", &[]),
        ("  b: { from: A, type: bool, format: J/N }\n", "    A: b\n", "<A>J</A>", "A=J", &[]),
        (
            "  l: { each: L, record: { c: { from: A, codes: t } } }\ncodes: { t: { x: [1, 2] } }\n",
            "    L: { each: l, write: { A: c } }\n",
            "<L><A>2</A></L><L><A>1</A></L>",
            "L[A=2] [A=1]",
            &[],
        ),
    ]);
}

#[test]
fn what_was_made_is_written_in_its_first_legacy_spelling() {
    check(&[
        (
            "  c: { from: A, codes: t, default: water }\ncodes: { t: { water: [02, 2A] } }\n",
            "    A: c\n",
            "",
            "A=02",
            &[],
        ),
        (
            "  c: { from: A, one_of: [water] }\ncodes: { t: { water: [02, 2A] } }\n",
            "    A: { from: c, codes: t }\n",
            "<A>water</A>",
            "A=02",
            &[],
        ),
        (
            "  d: { from: A, type: date }\n",
            "    A: { from: d, type: date, format: yyyyMMdd }\n",
            "<A>2026-02-01</A>",
            "A=20260201",
            &[],
        ),
        (
            "  n: { from: A, type: int }\n",
            "    A: { compute: n + 1, type: int }\n    B: { value: fixed }\n",
            "<A>7</A>",
            "A=8; B=fixed",
            &[],
        ),
        ("  n: { from: A, type: int }\n", "    A: { from: n, default: none }\n", "", "A=none", &[]),
        ("  n: { from: A, type: int }\n", "    A: n\n    B: { value: x }\n", "", "B=x", &[]),
    ]);
}

#[test]
fn what_does_not_fit_is_refused_or_cut() {
    check(&[
        ("  a: A\n", "    A: { from: a, length: ..4 }\n", "<A>äöüß</A>", "A=äöüß", &[]),
        ("  a: A\n", "    A: { from: a, length: ..3, overflow: cut }\n", "<A>äöüß</A>", "A=äöü", &[]),
        (
            "  a: A\n",
            "    A: { from: a, length: ..3 }\n    Status: outcome\n    Why: findings\n",
            "<A>äöüß</A>",
            "Status=reject; Why=G117 A: expected at most 3 characters",
            &["G117 reject A: at most 3 characters"],
        ),
        (
            "  a: A\n",
            "    A: { from: a, length: ..3 }\n",
            "<A>abcd</A>",
            "refused",
            &["G117 reject A: at most 3 characters"],
        ),
        (
            "  n: { from: A, type: int }\n",
            "    A: { compute: 1 / n, type: decimal }\n    Status: outcome\n",
            "<A>0</A>",
            "Status=reject",
            &["G114 reject A: a value: division by zero"],
        ),
    ]);
}

#[test]
fn lists_are_written_with_their_items_and_what_is_around_them() {
    let orders = "  num: No\n  orders:\n    each: O\n    record:\n      o: N\n      lines: { each: L, record: { s: S } }\n";
    let document = "<No>7</No><O><N>1</N><L><S>a</S></L><L><S>b</S></L></O><O><N>2</N></O><O><N>3</N><L><S>c</S></L></O>";
    check(&[
        (
            orders,
            "    O: { each: orders, write: { N: o, L: { each: lines, write: { S: s, O: o, C: num } } } }\n",
            document,
            "O[N=1; L[S=a; O=1; C=7] [S=b; O=1; C=7]] [N=2] [N=3; L[S=c; O=3; C=7]]",
            &[],
        ),
        // The lists of all orders in a row.
        (
            orders,
            "    L: { each: orders.lines, write: { S: s, C: num } }\n",
            document,
            "L[S=a; C=7] [S=b; C=7] [S=c; C=7]",
            &[],
        ),
        // A list of the record, from inside another list's item.
        (
            "  l: { each: L, record: { s: S } }\n  m: { each: M, record: { t: T } }\n",
            "    M: { each: m, write: { T: t, L: { each: l, write: { S: s, T: t } } } }\n",
            "<L><S>a</S></L><L><S>b</S></L><M><T>x</T></M>",
            "M[T=x; L[S=a; T=x] [S=b; T=x]]",
            &[],
        ),
        (
            "  l: { each: L, record: { s: S } }\n",
            "    L: { each: l, write: { S: s } }\n    X: { value: x }\n",
            "",
            "X=x",
            &[],
        ),
    ]);
}

#[test]
fn a_reply_states_the_facts_of_its_flow() {
    let flow = flow(
        "version: 3\nrecord:\n  a: { from: A, length: ..1, else: note }\nreturn:\n  into: R\n  write:\n    Status: { from: outcome, codes: s }\n    Why: findings\n    Ticket: ticket\n    Flow: flow.name\n    Version: flow.version\n    Model: { from: model.name, default: nobody }\ncodes: { s: { pass: OK, review: PD, reject: RJ } }\n",
        Vec::new(),
    );
    let reply = judged(&flow, "<C><A>ab</A></C>");
    let text = written(&reply);
    let (before, after) = text.split_once("Ticket=").unwrap();
    assert_eq!(before, "Status=OK; Why=G105 a at /C/A: expected ..1 characters; ");
    assert_eq!(after[36..], *"; Flow=desk; Version=3; Model=nobody");
}

#[test]
fn a_refusal_is_a_reply_or_a_fault_as_the_mapping_says() {
    let record = "record:\n  a: { from: A, required: yes, one_of: [x], else: reject }\n  b: { from: B, length: ..1 }\n";
    let says = "    Status: outcome\n";
    for (faults, places, content, expected) in [
        // What is incomplete is a fault, what is refused for its content has a reply.
        ("", says, "", "refused"),
        ("", says, "<A>y</A>", "Status=reject"),
        ("", says, "<A>x</A><B>long</B>", "Status=review"),
        ("  faults: incomplete\n", says, "", "refused"),
        ("  faults: incomplete\n", says, "<A>y</A>", "Status=reject"),
        ("  faults: reject\n", says, "<A>y</A>", "refused"),
        ("  faults: reject\n", says, "<A>x</A><B>long</B>", "Status=review"),
        ("  faults: never\n", says, "", "Status=reject"),
        // A form that can say neither has faults only.
        ("", "    A: { from: a, default: none }\n", "<A>y</A>", "refused"),
        ("", "    A: { from: a, default: none }\n", "<A>x</A>", "A=x"),
    ] {
        let flow = flow(&format!("{record}return:\n  into: R\n{faults}  write:\n{places}"), Vec::new());
        let reply = judged(&flow, &format!("<C>{content}</C>"));
        assert_eq!(written(&reply), expected, "faults: {faults} document: {content}");
    }
}

#[test]
fn a_mapping_without_return_says_everything_in_json() {
    let flow = flow("record:\n  a: { from: A, length: ..1 }\n", Vec::new());
    let reply = judged(&flow, "<C><A>ab</A></C>");
    let json: serde_json::Value = serde_json::from_str(&written(&reply)).unwrap();
    assert_eq!(
        (&json["outcome"], &json["records"][0]["findings"][0]["code"]),
        (&"review".into(), &"G105".into())
    );
}
