//! Every check that looks at fields of one record: what passes, what it leads to, and what is said about it.

use vestibule_core::finding::Outcome;

use crate::desk::{SAYS, findings, flow, judged, written};

/// Record fields, the rest of the mapping, the document's content, the findings.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (fields, rest, content, expected) in cases {
        let flow = flow(&format!("record:\n{fields}{rest}{SAYS}"), Vec::new());
        let reply = judged(&flow, &format!("<C>{content}</C>"));
        assert_eq!(findings(&reply), *expected, "fields: {fields} document: {content}");
        let worst = reply.findings.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass);
        assert_eq!(reply.outcome, worst, "fields: {fields} document: {content}");
    }
}

#[test]
fn what_is_missing_is_rejected_unless_the_mapping_says_otherwise() {
    check(&[
        ("  a: { from: A, required: yes }\n", "", "<A>x</A>", &[]),
        ("  a: { from: A, required: yes }\n", "", "", &["G101 reject a at /C/A: a value"]),
        ("  a: { from: A, required: yes }\n", "", "<A> </A>", &["G101 reject a at /C/A: a value"]),
        ("  a: { from: A, required: review }\n", "", "", &["G101 review a at /C/A: a value"]),
        ("  a: { from: A, required: note }\n", "", "", &["G101 note a at /C/A: a value"]),
        ("  a: { from: A, required: no }\n", "", "", &[]),
        ("  a: A\n", "", "", &[]),
        (
            "  a: { from: A, empty: ['000'], required: yes }\n",
            "",
            "<A>000</A>",
            &["G101 reject a at /C/A: a value"],
        ),
        ("  a: { from: A, required: yes, default: x }\n", "", "", &[]),
        ("  a: { from: [A, B/@b], required: yes }\n", "", "<B b=\"x\"/>", &[]),
        // `else` is about values that are there.
        (
            "  a: { from: A, required: yes, length: ..1, else: note }\n",
            "",
            "",
            &["G101 reject a at /C/A: a value"],
        ),
        (
            "  l: { each: L/I, required: yes, record: { a: A } }\n",
            "",
            "",
            &["G101 reject l at /C/L/I: a value"],
        ),
        (
            "  l: { each: L, record: { a: { from: A, required: yes } } }\n",
            "",
            "<L><A>1</A></L><L/>",
            &["G101 reject l[2].a at /C/L[2]/A: a value"],
        ),
    ]);
}

#[test]
fn what_can_not_be_read_is_a_finding() {
    check(&[
        (
            "  a: { from: A, type: money }\n",
            "",
            "<A>twelve</A>",
            &["G102 review a at /C/A: money, e.g. 1250.00 / twelve"],
        ),
        (
            "  a: { from: A, type: date, format: ddMMyyyy, required: yes }\n",
            "",
            "<A>31022026</A>",
            &["G102 reject a at /C/A: date as ddMMyyyy / 31022026"],
        ),
        (
            "  a: { from: A, type: date, format: ddMMyyyy, else: note }\n",
            "",
            "<A>31022026</A>",
            &["G102 note a at /C/A: date as ddMMyyyy / 31022026"],
        ),
        (
            "  a: { from: A, codes: c }\n",
            "codes: { c: { fire: 1, water: 2 } }\n",
            "<A>3</A>",
            &["G104 review a at /C/A: one of 1, 2 / 3"],
        ),
        // An unknown code of a field that must be there is for a person, as MAPPING.md has it.
        (
            "  a: { from: A, codes: c, required: yes }\n",
            "codes: { c: { fire: 1 } }\n",
            "<A>3</A>",
            &["G104 review a at /C/A: one of 1 / 3"],
        ),
        ("  a: A\n", "", "<A>1</A><A>2</A>", &["G118 review a at /C/A[2]: one value / a second value"]),
        (
            "  a: { from: A, else: reject }\n",
            "",
            "<A>1</A><A>2</A>",
            &["G118 reject a at /C/A[2]: one value / a second value"],
        ),
    ]);
}

#[test]
fn a_value_outside_its_bounds_is_for_review_unless_the_mapping_says_otherwise() {
    check(&[
        ("  a: { from: A, length: 2..4 }\n", "", "<A>äöüß</A>", &[]),
        (
            "  a: { from: A, length: 2..4 }\n",
            "",
            "<A>abcde</A>",
            &["G105 review a at /C/A: 2..4 characters / abcde"],
        ),
        (
            "  a: { from: A, length: 5, else: reject }\n",
            "",
            "<A>a</A>",
            &["G105 reject a at /C/A: 5 characters / a"],
        ),
        (
            "  l: { each: L, length: ..1, record: { a: A } }\n",
            "",
            "<L/><L/>",
            &["G105 review l at /C/L[1]: ..1 items / 2 items"],
        ),
        ("  a: { from: A, type: int, range: 0..9 }\n", "", "<A>9</A>", &[]),
        (
            "  a: { from: A, type: int, range: 0..9 }\n",
            "",
            "<A>10</A>",
            &["G106 review a at /C/A: 0..9 / 10"],
        ),
        (
            "  a: { from: A, type: money, range: 0.., else: note }\n",
            "",
            "<A>-0.01</A>",
            &["G106 note a at /C/A: 0.. / -0.01"],
        ),
        ("  a: { from: A, pattern: 'C\\d{2}' }\n", "", "<A>C12</A>", &[]),
        (
            "  a: { from: A, pattern: 'C\\d{2}' }\n",
            "",
            "<A>xC12</A>",
            &["G107 review a at /C/A: matches C\\d{2} / xC12"],
        ),
        ("  a: { from: A, one_of: [x, y] }\n", "", "<A>y</A>", &[]),
        (
            "  a: { from: A, one_of: [x, y], else: reject }\n",
            "",
            "<A>z</A>",
            &["G108 reject a at /C/A: one of x, y / z"],
        ),
    ]);
}

#[test]
fn what_is_too_old_is_for_review_unless_the_mapping_says_otherwise() {
    check(&[
        ("  a: { from: A, type: datetime, max_age: 48h }\n", "", "<A>2026-11-18T12:00:00Z</A>", &[]),
        (
            "  a: { from: A, type: datetime, max_age: 48h }\n",
            "",
            "<A>2026-11-18T11:59:59Z</A>",
            &["G109 review a at /C/A: not older than 2d / 2026-11-18T11:59:59Z"],
        ),
        ("  a: { from: A, type: date, max_age: 24h }\n", "", "<A>2026-11-19</A>", &[]),
        (
            "  a: { from: A, type: date, max_age: 24h, else: reject }\n",
            "",
            "<A>2026-11-18</A>",
            &["G109 reject a at /C/A: not older than 1d / 2026-11-18"],
        ),
        // Every failure of a field is told, not the first.
        (
            "  a: { from: A, length: ..2, pattern: '\\d+', one_of: [x] }\n",
            "",
            "<A>abc</A>",
            &[
                "G105 review a at /C/A: ..2 characters / abc",
                "G107 review a at /C/A: matches \\d+ / abc",
                "G108 review a at /C/A: one of x / abc",
            ],
        ),
    ]);
}

#[test]
fn items_of_a_list_are_compared_with_each_other() {
    check(&[
        (
            "  l: { each: L, record: { a: { from: A, unique: yes } } }\n",
            "",
            "<L><A>1</A></L><L><A>2</A></L><L/><L/>",
            &[],
        ),
        (
            "  l: { each: L, record: { a: { from: A, unique: yes } } }\n",
            "",
            "<L><A>1</A></L><L><A>2</A></L><L><A>1</A></L>",
            &["G110 review l[3].a at /C/L[3]/A: a value that no other item has / 1"],
        ),
        ("  l: { each: L, record: { a: { from: A, complete: 0.5 } } }\n", "", "<L><A>1</A></L><L/>", &[]),
        (
            "  l: { each: L, record: { a: { from: A, complete: 0.5 } } }\n",
            "",
            "<L><A>1</A></L><L/><L/>",
            &["G111 review l.a at /C/L[1]: present in at least 0.5 of the records / 1 of 3"],
        ),
        (
            "  o: { each: O, record: { l: { each: L, record: { a: { from: A, type: int, range: ..1 } } } } }\n",
            "",
            "<O><L><A>1</A></L></O><O><L><A>1</A></L><L><A>2</A></L></O>",
            &["G106 review o[2].l[2].a at /C/O[2]/L[2]/A: ..1 / 2"],
        ),
    ]);
}

#[test]
fn a_rule_that_does_not_hold_leads_to_what_it_says() {
    check(&[
        ("  a: { from: A, type: int }\n", "checks: { a > 1: { else: reject } }\n", "<A>2</A>", &[]),
        (
            "  a: { from: A, type: int }\n",
            "checks: { a > 1: { else: reject, say: Too small } }\n",
            "<A>1</A>",
            &["G113 reject a > 1 at /C/A: a > 1 / a 1"],
        ),
        (
            "  a: { from: A, type: int }\n",
            "checks: { a > 1: { else: note } }\n",
            "<A>1</A>",
            &["G113 note a > 1 at /C/A: a > 1 / a 1"],
        ),
        // A rule with a missing input does not apply.
        ("  a: { from: A, type: int }\n", "checks: { a > 1: { else: reject } }\n", "", &[]),
        (
            "  a: { from: A, type: int }\n  b: { from: B, type: int }\n",
            "checks: { a / b > 1: { else: note } }\n",
            "<A>1</A><B>0</B>",
            &["G114 review a / b > 1 at /C/A: a / b > 1 (division by zero) / a 1, b 0"],
        ),
        (
            "  t: { from: T, type: money }\n  l: { each: L, record: { a: { from: A, type: money } } }\n",
            "checks: { sum(l.a) == t: { else: review } }\n",
            "<T>3.00</T><L><A>1.10</A></L><L><A>1.80</A></L>",
            &["G113 review sum(l.a) == t at /C/L[1]: sum(l.a) == t / t 3.00"],
        ),
    ]);
}

#[test]
fn defaults_constants_and_computed_values_are_values() {
    let mapping = "record:\n  cur: { from: Cur, default: EUR, one_of: [EUR, USD] }\n  kind: { value: claim }\n  net: { from: Net, type: money }\n  tax: { compute: net * 0.21, type: decimal }\n  whole: { compute: net / 2, type: int, required: review }\n  l:\n    each: L\n    record:\n      n: { from: N, type: int }\n      twice: { compute: n * 2 + net, type: decimal }\nreturn:\n  into: R\n  write:\n    Cur: cur\n    Kind: kind\n    Tax: tax\n    Whole: whole\n    Lines: { each: l, write: { Twice: twice } }\n    Status: outcome\n";
    let flow = flow(mapping, Vec::new());
    for (content, expected, found) in [
        (
            "<Net>100</Net><L><N>1</N></L><L><N>2</N></L>",
            "Cur=EUR; Kind=claim; Tax=21.00; Whole=50; Lines[Twice=102] [Twice=104]; Status=pass",
            vec![],
        ),
        // A missing input makes a missing value, and `required` says so.
        (
            "<Cur>USD</Cur>",
            "Cur=USD; Kind=claim; Status=review",
            vec!["G101 review whole: a value: int, e.g. 42"],
        ),
        // What is no whole number is not rounded into one.
        (
            "<Net>3</Net>",
            "Cur=EUR; Kind=claim; Tax=0.63; Status=review",
            vec![
                "G114 review whole at /C: a value from `compute`: the result is not a whole number of at most 64 bits",
            ],
        ),
    ] {
        let reply = judged(&flow, &format!("<C>{content}</C>"));
        assert_eq!(findings(&reply), found, "document: {content}");
        assert_eq!(written(&reply), expected, "document: {content}");
    }
}

#[test]
fn a_compute_inside_items_may_not_cost_the_square_of_the_document() {
    let mapping = "record:\n  k: { each: K, record: { n: { from: N, type: int } } }\n  l: { each: L, record: { share: { compute: count(k.n), type: int } } }\n";
    let flow = flow(&format!("{mapping}{SAYS}"), Vec::new());
    let document = format!("<C>{}{}</C>", "<K><N>1</N></K>".repeat(6_000), "<L/>".repeat(6_000));
    let began = std::time::Instant::now();
    let reply = judged(&flow, &document);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert_eq!(reply.outcome, Outcome::Review);
    let said = &findings(&reply)[0];
    assert!(
        said.starts_with("G114 review l[3334].share at /C: a value from `compute`: there are too many"),
        "{said}"
    );
}

#[test]
fn lists_inside_the_list_around_an_item_count_where_it_computes() {
    let mapping = "record:\n  k: { each: K, record: { m: { each: M, record: { n: { from: N, type: int } } } } }\n  l: { each: L, record: { share: { compute: count(k.m.n), type: int } } }\n";
    let flow = flow(&format!("{mapping}{SAYS}"), Vec::new());
    let document = format!("<C><K>{}</K>{}</C>", "<M><N>1</N></M>".repeat(6_000), "<L/>".repeat(6_000));
    let reply = judged(&flow, &document);
    assert_eq!(reply.outcome, Outcome::Review);
    let said = &findings(&reply)[0];
    assert!(
        said.starts_with("G114 review l[3333].share at /C: a value from `compute`: there are too"),
        "{said}"
    );
}

#[test]
fn findings_are_bounded_and_the_rest_is_counted() {
    let mapping = "record:\n  l: { each: L, record: { a: { from: A, type: int, range: ..1 }, b: { from: B, required: yes } } }\n";
    let flow = flow(&format!("{mapping}{SAYS}"), Vec::new());
    let lines = "<L><A>2</A><B/></L>".repeat(3_000);
    let reply = judged(&flow, &format!("<C>{lines}</C>"));
    assert_eq!(reply.findings.len(), 1_001);
    assert_eq!(
        findings(&reply)[1_000],
        "G101 reject more findings: a document with fewer defects: not all are listed / 5000 more"
    );
    assert_eq!((reply.outcome, written(&reply).as_str()), (Outcome::Reject, "refused"));

    // The worst decides although it is not listed.
    let lines = "<L><A>2</A><B>x</B></L>".repeat(1_500);
    let reply = judged(&flow, &format!("<C>{lines}<L/></C>"));
    assert_eq!((reply.findings.len(), reply.outcome), (1_001, Outcome::Reject));
    assert_eq!(written(&reply), "refused");
}

#[test]
fn what_is_found_is_short() {
    let flow = flow(&format!("record:\n  a: {{ from: A, length: ..2 }}\n{SAYS}"), Vec::new());
    let reply = judged(&flow, &format!("<C><A>{}</A></C>", "ä".repeat(5_000)));
    assert_eq!(reply.findings[0].found.as_deref(), Some(format!("{}…", "ä".repeat(120)).as_str()));
}
