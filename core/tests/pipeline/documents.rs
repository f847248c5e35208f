//! Documents of many records, and of none: what is true of one, and what of all.

use std::sync::Arc;

use serde_json::json;
use vestibule_core::finding::Outcome;
use vestibule_testkit::ScriptedModel;

use crate::desk::{ASKS, SAYS, batch, findings, flow_of, judged, registry, written};

fn of(source: &str, rest: &str) -> vestibule_core::flow::Flow {
    flow_of(&format!("mapping: desk\nsource: {{ kind: xml, {source} }}\n{rest}"), Vec::new(), &registry())
}

#[test]
fn each_record_has_its_own_verdict_and_the_worst_is_the_documents() {
    let flow = batch(&format!("record:\n  a: {{ from: A, required: yes, length: ..1 }}\n{SAYS}"), Vec::new());
    let reply = judged(&flow, "<B><R><A>1</A></R><R><A>22</A></R><R><A>3</A></R></B>");
    assert_eq!(
        written(&reply),
        "Status=pass\nStatus=review; Why=G105 a at /B/R[2]/A: expected ..1 characters\nStatus=pass"
    );
    assert_eq!(reply.outcome, Outcome::Review);
}

#[test]
fn a_defect_holds_the_record_that_it_stands_in() {
    let flow = batch(&format!("record:\n  a: {{ from: A/@v }}\n  b: B\n{SAYS}"), Vec::new());
    let records = "<R><B>x</B></R>".repeat(6);
    let reply = judged(&flow, &format!("<B>{records}<R><B>1</B><B>2</B></R><R/></B>"));
    let expected = ["Status=pass"; 6].join("\n")
        + "\nStatus=review; Why=G118 b at /B/R[7]/B[2]: expected one value\nStatus=pass";
    assert_eq!(written(&reply), expected);

    // What stands above the records is true of each of them, and told once.
    let flow = batch(&format!("record:\n  day: {{ from: /B/Day }}\n{SAYS}"), Vec::new());
    let reply = judged(&flow, "<B><Day>1</Day><Day>2</Day><R/><R/></B>");
    assert_eq!(findings(&reply), ["G118 review day at /B/Day[2]: one value / a second value"]);
    assert_eq!(written(&reply).matches("Status=review; Why=G118 day").count(), 2);
}

#[test]
fn a_document_without_records_is_refused_and_says_so() {
    let rest = format!("record:\n  a: {{ from: A }}\n{SAYS}");
    for (source, document, outcome, text, found) in [
        ("each: R", "<B/>", Outcome::Reject, "refused", "G101 reject records at /B/R: at least one record"),
        (
            "each: X/R",
            "<B><X/></B>",
            Outcome::Reject,
            "refused",
            "G101 reject records at /B/X/R: at least one record",
        ),
    ] {
        let reply = judged(&of(source, &rest), document);
        assert_eq!((reply.outcome, written(&reply).as_str()), (outcome, text), "document: {document}");
        assert_eq!(findings(&reply), [found], "document: {document}");
    }
    let never = "record:\n  a: { from: A }\nreturn:\n  into: R\n  faults: never\n  write: { Status: outcome, Why: findings }\n";
    let reply = judged(&of("each: R", never), "<B/>");
    assert_eq!(written(&reply), "Status=reject; Why=G101 records at /B/R: expected at least one record");
}

#[test]
fn only_keeps_what_is_of_this_flow() {
    let rest = format!(
        "record:\n  kind: {{ from: '@k' }}\n  a: {{ from: A, required: yes }}\n  n: {{ from: N, type: int }}\n{SAYS}"
    );
    let flow = of("each: R, only: kind == 'claim'", &rest);
    let reply = judged(
        &flow,
        "<B><R k=\"other\"/><R k=\"claim\"><A>1</A></R><R><A>2</A></R><R k=\"other\"><A>1</A><A>2</A></R></B>",
    );
    assert_eq!(written(&reply), "Status=pass\nStatus=pass");
    assert_eq!(findings(&reply), [""; 0]);

    // None of this flow is no defect.
    let reply = judged(&flow, "<B><R k=\"other\"/></B>");
    assert_eq!((written(&reply).as_str(), reply.outcome), ("", Outcome::Pass));

    // A rule that can not be computed keeps the record, and is a finding.
    let reply = judged(&of("each: R, only: 1 / n > 0", &rest), "<B><R><A>1</A><N>0</N></R></B>");
    assert_eq!(findings(&reply), ["G114 review only at /B/R: yes or no from `only`: division by zero"]);
}

#[test]
fn unique_and_complete_count_over_the_records() {
    let flow = batch(
        &format!(
            "record:\n  a: {{ from: A, unique: yes }}\n  b: {{ from: B, complete: 0.5, else: reject }}\n{SAYS}"
        ),
        Vec::new(),
    );
    for (document, found) in [
        ("<B><R><A>1</A><B>x</B></R><R><A>2</A></R></B>", vec![]),
        (
            "<B><R><A>1</A><B>x</B></R><R><A>2</A></R><R><A>1</A></R></B>",
            vec![
                "G111 reject b: present in at least 0.5 of the records / 1 of 3",
                "G110 review a at /B/R[3]/A: a value that no other record has / 1",
            ],
        ),
    ] {
        let mut said = findings(&judged(&flow, document));
        said.sort_by_key(|it| !it.contains("G111"));
        assert_eq!(said, found, "document: {document}");
    }
}

const TOTALS: &str = "mapping: desk
source:
  kind: xml
  each: R
  trailer:
    count: { from: T/Count, type: int, required: yes }
    total: { from: T/Total, type: money }
record:
  net: { from: Net, type: money }
checks:
  count(records) == trailer.count: { else: reject }
  sum(records.net) == trailer.total: { else: reject, say: Control total }
";

#[test]
fn control_totals_hold_every_record() {
    let flow = flow_of(&format!("{TOTALS}{SAYS}"), Vec::new(), &registry());
    let two = "<R><Net>1.10</Net></R><R><Net>2.20</Net></R>";
    for (trailer, text, found) in [
        ("<T><Count>2</Count><Total>3.30</Total></T>", "Status=pass\nStatus=pass", vec![]),
        (
            "<T><Count>3</Count><Total>3.30</Total></T>",
            "Status=reject; Why=G113 count(records) == trailer.count: expected count(records) == trailer.count\n\
             Status=reject; Why=G113 count(records) == trailer.count: expected count(records) == trailer.count",
            vec!["G113 reject count(records) == trailer.count: count(records) == trailer.count"],
        ),
        // A trailer that is not there is as bad as a wrong one.
        ("", "refused", vec!["G101 reject trailer.count at /B/T/Count: a value: int, e.g. 42"]),
        (
            "<T><Count>two</Count></T>",
            "refused",
            vec!["G102 reject trailer.count at /B/T/Count: int, e.g. 42 / two"],
        ),
    ] {
        let reply = judged(&flow, &format!("<B>{two}{trailer}</B>"));
        assert_eq!(findings(&reply), found, "trailer: {trailer}");
        assert_eq!(written(&reply), text, "trailer: {trailer}");
    }
    // Totals are judged without a record, too.
    let reply = judged(&flow, "<B><T><Count>3</Count><Total>0.00</Total></T></B>");
    assert_eq!(
        findings(&reply),
        [
            "G101 reject records at /B/R: at least one record",
            "G113 reject count(records) == trailer.count: count(records) == trailer.count"
        ]
    );
}

#[test]
fn lists_of_all_records_can_be_written() {
    let rest = "record:\n  n: N\n  lines: { each: L, record: { s: S } }\nreturn:\n  into: R\n  write:\n    N: n\n    L: { each: records.lines, write: { S: s, N: n } }\n";
    let reply = judged(
        &batch(rest, Vec::new()),
        "<B><R><N>1</N><L><S>a</S></L></R><R><N>2</N><L><S>b</S></L><L><S>c</S></L></R></B>",
    );
    assert_eq!(
        written(&reply),
        "N=1; L[S=a; N=1] [S=b; N=1] [S=c; N=1]\nN=2; L[S=a; N=2] [S=b; N=2] [S=c; N=2]"
    );
}

#[test]
fn what_is_not_listed_holds_its_record_all_the_same() {
    let rest = format!("record:\n  a: {{ from: A, type: int, range: ..1 }}\n{SAYS}");
    let reply = judged(&batch(&rest, Vec::new()), &format!("<B>{}</B>", "<R><A>2</A></R>".repeat(1_500)));
    let text = written(&reply);
    assert_eq!(text.matches("Status=review").count(), 1_500);
    assert_eq!(text.matches("not listed").count(), 500);
}

#[test]
fn totals_of_all_records_can_be_written_and_compared() {
    let rest = "record:\n  net: { from: Net, type: money }\nchecks:\n  net * 2 <= sum(records.net): { else: note }\nreturn:\n  into: R\n  write:\n    Net: net\n    All: { compute: sum(records.net), type: money }\n";
    let flow = batch(rest, Vec::new());
    let reply = judged(&flow, "<B><R><Net>1.10</Net></R><R><Net>2.20</Net></R></B>");
    assert_eq!(written(&reply), "Net=1.10; All=3.30\nNet=2.20; All=3.30");
    assert_eq!(
        findings(&reply),
        ["G113 note net * 2 <= sum(records.net) at /B/R[2]/Net: net * 2 <= sum(records.net) / net 2.20"]
    );
}

#[test]
fn a_rule_over_all_records_for_each_may_not_cost_the_square_of_the_document() {
    let rest = format!(
        "record:\n  net: {{ from: Net, type: int }}\nchecks:\n  net <= max(records.net): {{ else: note }}\n{SAYS}"
    );
    let flow = batch(&rest, Vec::new());
    let began = std::time::Instant::now();
    let reply = judged(&flow, &format!("<B>{}</B>", "<R><Net>1</Net></R>".repeat(10_000)));
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    assert_eq!(reply.outcome, Outcome::Review);
    assert!(
        findings(&reply)[0]
            .contains("at /B/R[2001]/Net: net <= max(records.net) (there are too many records"),
        "{}",
        findings(&reply)[0]
    );
}

#[test]
fn items_of_lists_count_where_a_rule_looks_at_those_of_all_records() {
    let record =
        "record:\n  n: { from: N, type: int }\n  lines: { each: L, record: { s: { from: S, type: int } } }\n";
    let rest = format!("{record}checks:\n  n <= max(records.lines.s): {{ else: note }}\n{SAYS}");
    let text = format!("<B>{}</B>", format!("<R><N>1</N>{}</R>", "<L><S>1</S></L>".repeat(99)).repeat(600));
    let reply = judged(&batch(&rest, Vec::new()), &text);
    assert_eq!(reply.outcome, Outcome::Review);
    assert!(findings(&reply)[0].contains("at /B/R[334]/N: n <= max(records.lines.s) (there are too many"));
    // Lists that the rule does not look at cost nothing.
    let rest = format!("{record}checks:\n  n <= max(records.n): {{ else: note }}\n{SAYS}");
    assert_eq!(judged(&batch(&rest, Vec::new()), &text).outcome, Outcome::Pass);
}

#[test]
fn a_list_of_all_records_in_each_may_not_take_the_square_of_the_document() {
    let rest = "record:\n  n: N\n  lines: { each: L, record: { s: S } }\nreturn:\n  into: R\n  faults: never\n  write:\n    Status: outcome\n    L: { each: records.lines, write: { S: s } }\n";
    let text = format!("<B>{}</B>", "<R><N>1</N><L><S>a</S></L></R>".repeat(3_000));
    let reply = judged(&batch(rest, Vec::new()), &text);
    assert_eq!(reply.outcome, Outcome::Reject);
    assert!(findings(&reply)[0].contains("L: at most 1000000 items in a reply"), "{}", findings(&reply)[0]);
    let text = written(&reply);
    assert_eq!(
        (text.matches("Status=pass; L[").count(), text.matches("Status=reject").count()),
        (333, 2_667)
    );
    assert_eq!(text.matches("[S=a]").count(), 333 * 3_000);
}

#[test]
fn accept_may_not_cost_the_square_of_the_document() {
    let rest = format!("record:\n  n: {{ from: N, type: int }}\n{ASKS}  accept: n <= max(records.n)\n{SAYS}");
    let model = Arc::new(ScriptedModel::answering(json!({ "priority": "low", "sure": null })));
    let flow = batch(&rest, vec![model]);
    let reply = judged(&flow, &format!("<B>{}</B>", "<R><N>1</N></R>".repeat(6_000)));
    let text = written(&reply);
    assert_eq!((text.matches("Status=pass").count(), text.matches("Status=review").count()), (3_333, 2_667));
}

#[test]
fn sixty_thousand_wrong_records_are_a_small_reply() {
    let flow = batch(
        &format!(
            "record:\n  a: {{ from: A, type: int, range: ..1 }}\nchecks:\n  count(records) == 1: {{ else: review }}\n{SAYS}"
        ),
        Vec::new(),
    );
    let reply = judged(&flow, &format!("<B>{}</B>", "<R><A>2</A></R>".repeat(60_000)));
    assert_eq!(reply.outcome, Outcome::Review);
    assert_eq!(reply.findings.len(), 1_002);
    assert_eq!(reply.findings[1].field, "count(records) == 1");
    let text = written(&reply);
    assert_eq!(text.matches("Status=review").count(), 60_000);
    assert!(text.ends_with("Status=review; Why=more findings, which are not listed"));
}
