use std::collections::HashMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

/// Values by the number of the slot.
struct Values(HashMap<u16, Operand<'static>>);

impl Bindings for Values {
    fn value(&self, slot: &Slot) -> Operand<'_> {
        self.0.get(&slot.path[0]).cloned().unwrap_or(Operand::Missing)
    }
}

fn number(text: &str) -> Operand<'static> {
    Operand::Number(text.parse().unwrap())
}

fn text(it: &'static str) -> Operand<'static> {
    Operand::Text(it.into())
}

fn list(of: Type) -> Type {
    Type::List(Box::new(of))
}

fn numbers(items: &[&str]) -> Operand<'static> {
    Operand::List(items.iter().map(|it| if it.is_empty() { Operand::Missing } else { number(it) }).collect())
}

fn world() -> (Scope, Values) {
    let causes: Arc<[String]> = ["fire", "water", "theft"].map(str::to_owned).into();
    let date = |it: &str| Operand::Date(it.parse().unwrap());
    let entries = vec![
        ("reserve", Type::Number, number("1250.00")),
        ("zero", Type::Number, number("0")),
        ("huge", Type::Number, number("79228162514264337593543950335")),
        ("gone", Type::Number, Operand::Missing),
        ("gone_flag", Type::Bool, Operand::Missing),
        ("gone_text", Type::Text, Operand::Missing),
        ("fraud", Type::Bool, Operand::Bool(true)),
        ("cause", Type::Words(causes.clone()), text("fire")),
        ("story", Type::Text, text("Pipe burst; WATER\n damage, no arson-ist. Straße C++")),
        ("loss_date", Type::Date, date("2026-03-01")),
        ("due", Type::Date, date("2026-03-31")),
        ("noon", Type::Time, Operand::Time("12:00:00".parse().unwrap())),
        ("reported", Type::DateTime, Operand::DateTime("2026-03-01T23:30:00Z".parse().unwrap())),
        ("wait", Type::Duration, Operand::Duration(SignedDuration::from_hours(36))),
        ("blob", Type::Bytes, Operand::Bytes(7)),
        ("lines", list(Type::Record), Operand::List(vec![Operand::Bool(true); 3])),
        ("lines.amount", list(Type::Number), numbers(&["100.10", "200.20", "0.30"])),
        ("lines.qty", list(Type::Number), numbers(&["1", "2", "10"])),
        ("lines.tax", list(Type::Number), numbers(&["1", "", "3"])),
        (
            "lines.kind",
            list(Type::Words(causes)),
            Operand::List(vec![text("fire"), text("theft"), text("fire")]),
        ),
        ("none.amount", list(Type::Number), numbers(&[])),
        ("two", list(Type::Number), numbers(&["1", "2"])),
        ("master", list(Type::Text), Operand::List(vec![text("P1"), text("P2")])),
        ("policy", Type::Text, text("P2")),
        ("no", Type::Text, text("a field called no")),
        ("answer.confidence", Type::Number, number("0.7")),
    ];
    let (mut scope, mut values) = (Scope::default(), HashMap::new());
    for (at, (name, kind, value)) in entries.into_iter().enumerate() {
        let at = u16::try_from(at).unwrap();
        scope.declare(name, kind, Slot { root: Root::Here, path: SmallVec::from_slice(&[at]) });
        values.insert(at, value);
    }
    scope.declare_words("suspicious", ["arson", "flood"]);
    (scope, Values(values))
}

fn clock() -> Clock {
    Clock { now: "2026-11-20T12:00:00Z".parse().unwrap(), zone: TimeZone::get("Europe/Madrid").unwrap() }
}

fn compile(rule: &str, wanted: Option<&Type>) -> Result<Rule, Vec<crate::mapping::diagnostic::Diagnostic>> {
    let mut diagnostics = Diagnostics::default();
    match Rule::compile(rule, &world().0, wanted, &mut diagnostics, &|span| span) {
        Some(rule) => {
            assert!(diagnostics.all.is_empty(), "{diagnostics:?}");
            Ok(rule)
        }
        None => {
            assert!(!diagnostics.all.is_empty(), "refused without a word: {rule}");
            Err(diagnostics.all)
        }
    }
}

/// The value in a few characters: `?` for missing, `!` before a failure.
fn show(value: &Operand<'_>) -> String {
    match value {
        Operand::Missing => "?".into(),
        Operand::Number(it) => it.to_string(),
        Operand::Text(it) => format!("'{it}'"),
        Operand::Bool(it) => it.to_string(),
        Operand::Date(it) => it.to_string(),
        Operand::Time(it) => it.to_string(),
        Operand::DateTime(it) => it.to_string(),
        Operand::Duration(it) => format!("{}s", it.as_secs()),
        Operand::Bytes(it) => format!("{it} bytes"),
        Operand::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
    }
}

fn value(rule: &str) -> String {
    let compiled = compile(rule, None).unwrap_or_else(|wrong| panic!("{rule}: {wrong:#?}"));
    let (_, values) = world();
    compiled.run(&values, &clock()).map_or_else(|failure| format!("!{failure:?}"), |it| show(&it))
}

/// Rules and their values; `!` alone: refused.
const VALUES: &[(&str, &str)] = &[
    // decimals
    ("0.1 + 0.2 == 0.3", "true"),
    ("12345678901234567.89 == 12345678901234567.88", "false"),
    ("reserve == 1250", "true"),
    ("1 + 2 * 3 - 4 / 2", "5"),
    ("(1 + 2) * 3", "9"),
    ("-reserve + 1", "-1249.00"),
    ("- -2", "2"),
    ("1 - -1", "2"),
    ("1_000_000 / 3", "333333.333333333333333333"),
    ("1 / 3 + 1000000", "1000000.333333333333333333"),
    ("1 / zero", "!DivisionByZero"),
    ("huge + 1", "!Overflow"),
    ("huge + 0.1", "!Overflow"),
    ("huge * 2", "!Overflow"),
    ("zero + huge", "79228162514264337593543950335"),
    // yes and no, with what is missing
    ("yes and not no", "!"),
    ("fraud and true", "true"),
    ("not fraud or false", "false"),
    ("gone_flag and false", "false"),
    ("false and gone_flag", "false"),
    ("gone_flag and true", "?"),
    ("gone_flag or true", "true"),
    ("gone_flag or false", "?"),
    ("not gone_flag", "?"),
    ("gone > 5", "?"),
    ("gone + 1", "?"),
    ("gone == gone", "?"),
    ("gone in [1, 2]", "?"),
    ("gone_text contains 'x'", "?"),
    ("present(gone)", "false"),
    ("present(reserve) and present(lines.tax) and not present(none.amount)", "true"),
    ("fraud == true", "true"),
    // dates and times
    ("loss_date <= today()", "true"),
    ("today()", "2026-11-20"),
    ("now()", "2026-11-20T12:00:00Z"),
    ("loss_date >= '2026-03-01' and '2026-03-02' > loss_date", "true"),
    ("due - loss_date", "2592000s"),
    ("due - loss_date == 30d", "true"),
    ("loss_date + 30d", "2026-03-31"),
    ("loss_date - 1h", "2026-02-28"),
    ("36h + loss_date", "2026-03-02"),
    ("loss_date + 9000000d", "!DateRange"),
    ("days_between(loss_date, due)", "30"),
    ("days_between(due, '2026-03-01')", "-30"),
    ("now() - reported > 48h", "true"),
    ("reported + 30m", "2026-03-02T00:00:00Z"),
    // 23:30 UTC is the next day in Madrid
    ("reported == '2026-03-02'", "true"),
    ("reported < '2026-03-01T23:30:01Z'", "true"),
    ("loss_date == reported", "false"),
    ("noon < '12:00:01' and noon == '12:00'", "true"),
    ("wait == 1d + 12h", "true"),
    ("wait * 2 == 3d and 2 * wait == 3d and wait / 1h == 36 and wait / 2 == 18h", "true"),
    ("-wait", "-129600s"),
    ("abs(-wait) == wait", "true"),
    // texts
    ("cause == 'fire'", "true"),
    ("cause != 'water'", "true"),
    ("cause in ['water', 'fire']", "true"),
    ("cause not in ['water', 'theft']", "true"),
    ("policy in master", "true"),
    ("'P9' in master", "false"),
    ("no == 'a field called no'", "true"),
    ("story contains 'water damage'", "true"),
    ("story contains 'arson'", "true"),
    ("story contains 'wat'", "false"),
    ("story contains any of ['arson', 'flood']", "true"),
    ("story contains any of suspicious", "true"),
    ("story contains all of suspicious", "false"),
    ("story contains all of ['pipe', 'STRASSE']", "false"),
    ("story contains all of ['pipe', 'straße', 'c++']", "true"),
    ("contains(story, 'burst') and not contains(story, 'ist arson')", "true"),
    ("lower('AbC') == 'abc' and upper(policy) == 'P2'", "true"),
    ("length('größe')", "5"),
    ("length(blob)", "7"),
    ("'it''s' == \"it's\"", "true"),
    // lists
    ("sum(lines.amount)", "300.60"),
    ("sum(none.amount)", "0"),
    ("sum(lines.tax)", "?"),
    ("count(lines)", "3"),
    ("count(lines.tax)", "2"),
    ("length(lines.tax)", "3"),
    ("count(lines.amount > 100)", "2"),
    ("count(lines.tax > 1)", "?"),
    ("count(none.amount)", "0"),
    ("min(lines.amount)", "0.30"),
    ("max(lines.amount)", "200.20"),
    ("max(reserve, zero, 7)", "1250.00"),
    ("min(loss_date, due)", "2026-03-01"),
    ("min(none.amount)", "?"),
    ("avg(lines.qty)", "4.333333333333333333"),
    ("avg(none.amount)", "?"),
    ("lines.amount * lines.qty", "[100.10 400.40 3.00]"),
    ("sum(lines.amount * lines.qty) == 503.5", "true"),
    ("lines.amount * two", "!ListsDiffer"),
    ("all(lines.amount <= reserve)", "true"),
    ("all(lines.tax > 1)", "false"),
    ("all(lines.tax > 0)", "?"),
    ("any(lines.tax > 2)", "true"),
    ("any(lines.tax > 5)", "?"),
    ("any(none.amount > 0)", "false"),
    ("all(none.amount > 0)", "true"),
    ("any(lines.kind == 'theft' and lines.amount > 200)", "true"),
    ("lines.kind in ['fire']", "[true false true]"),
    ("not (lines.kind == 'fire')", "[false true false]"),
    ("100.1 in lines.amount", "true"),
    ("7 in lines.tax", "?"),
    ("round(2.345, 2)", "2.35"),
    ("round(-2.5)", "-3"),
    ("round(lines.amount)", "[100 200 0]"),
    ("abs(-1.5)", "1.5"),
    ("answer.confidence >= 0.7", "true"),
];

#[test]
fn a_rule_has_the_value_that_it_says() {
    for (rule, expected) in VALUES {
        if *expected == "!" {
            // `no` is a text field in this world.
            assert!(compile(rule, None).is_err(), "rule: {rule}");
            continue;
        }
        assert_eq!(value(rule), *expected, "rule: {rule}");
    }
}

/// Code, title, what the caret points at, fix.
type Complaint = (&'static str, &'static str, &'static str, Option<&'static str>);

const COMPLAINTS: &[(&str, &[Complaint])] = &[
    ("", &[("M040", "expected a rule here", "", None)]),
    ("reserve = 5", &[("M040", "one `=` does not compare", "=", Some("=="))]),
    (
        "fraud && reserve > 1 || !fraud",
        &[
            ("M040", "`&&` has no meaning in a rule", "&&", Some("and")),
            ("M040", "`||` has no meaning in a rule", "||", Some("or")),
            ("M040", "`!` has no meaning in a rule", "!", Some("not ")),
        ],
    ),
    (
        "reserve => 5 AND reserve <> 3",
        &[
            ("M040", "`=>` has no meaning in a rule", "=>", Some(">=")),
            ("M040", "`AND` is written in small letters", "AND", Some("and")),
            ("M040", "`<>` has no meaning in a rule", "<>", Some("!=")),
        ],
    ),
    ("reserve > 5 or", &[("M040", "the rule stops too early", "r", None)]),
    ("(reserve > 5", &[("M040", "this `(` is not closed", "(", None)]),
    ("sum(lines.amount", &[("M040", "this `(` is not closed", "(", None)]),
    ("cause in ['fire'", &[("M040", "this `[` is not closed", "[", None)]),
    ("reserve > 5)", &[("M040", "this `)` closes nothing", ")", None)]),
    ("cause == 'fire", &[("M040", "this quote is not closed", "'fire", None)]),
    ("reserve > 1,5", &[("M040", "did not expect `,` here", ",", None)]),
    ("1 < reserve < 5", &[("M040", "two comparisons in a row", "<", None)]),
    ("wait > 48x", &[("M040", "`48x` is not a length of time", "48x", None)]),
    ("reserve > .5", &[("M040", "`.` has no meaning in a rule", ".", None)]),
    ("reserve 5", &[("M040", "did not expect this here", "5", None)]),
    (
        "sum(lines.amuont) == resreve",
        &[
            ("M041", "there is no field `lines.amuont`", "lines.amuont", Some("lines.amount")),
            ("M041", "there is no field `resreve`", "resreve", Some("reserve")),
        ],
    ),
    ("lenght(story) > 3", &[("M041", "there is no function `lenght`", "lenght", Some("length"))]),
    ("today > loss_date", &[("M041", "there is no field `today`", "today", None)]),
    ("story > '2026-01-01'", &[("M041", "text has no order", "story", None)]),
    ("reserve > loss_date", &[("M041", "these two do not go together", "reserve", None)]),
    ("reserve == '5'", &[("M041", "these two do not go together", "reserve", None)]),
    ("loss_date > '31.12.2026'", &[("M041", "`31.12.2026` is not a date", "'31.12.2026'", None)]),
    ("loss_date > '2026-02-30'", &[("M041", "`2026-02-30` is not a date", "'2026-02-30'", None)]),
    ("cause == 'frie'", &[("M041", "`frie` is never a value of this field", "'frie'", Some("'fire'"))]),
    ("cause in ['fire', 'x']", &[("M041", "`x` is never a value of this field", "'x'", None)]),
    ("cause == fire", &[("M041", "there is no field `fire`", "fire", Some("'fire'"))]),
    (
        "cause in [fire, theft]",
        &[
            ("M041", "there is no field `fire`", "fire", Some("'fire'")),
            ("M041", "there is no field `theft`", "theft", Some("'theft'")),
        ],
    ),
    ("cause == ['fire']", &[("M041", "a value is looked for in a list with `in`", "['fire']", None)]),
    ("'fire' in story", &[("M041", "`in` looks for a value in a list", "story", None)]),
    ("sum(story) > 0", &[("M041", "`sum` can not take text", "story", None)]),
    ("round(reserve, reserve) > 0", &[("M041", "`round` can not take a number", "reserve", None)]),
    ("round(1, 2, 3) > 0", &[("M041", "`round` takes 1 to 2 values, not 3", "round(1, 2, 3)", None)]),
    ("max(reserve, loss_date) > 0", &[("M041", "`max` can not take a date", "loss_date", None)]),
    (
        "lines.amount > 0",
        &[(
            "M041",
            "expected yes or no, not a list of yes or no",
            "lines.amount > 0",
            Some("all(lines.amount > 0)"),
        )],
    ),
    ("reserve", &[("M041", "expected yes or no, not a number", "reserve", None)]),
    (
        "reserve and fraud",
        &[("M041", "`and`, `or` and `not` need yes or no on their sides", "reserve", None)],
    ),
    ("loss_date + 5 > today()", &[("M041", "these two do not go together", "loss_date", None)]),
    ("story contains any of [cause]", &[("M041", "`contains` looks for words in quotes", "cause", None)]),
    ("story contains cause", &[("M041", "`contains` looks for words in quotes", "cause", None)]),
    (
        "story contains any of suspicous",
        &[("M041", "there is no word list `suspicous`", "suspicous", Some("suspicious"))],
    ),
    ("reserve contains 'x'", &[("M041", "`contains` looks for words in a text", "reserve", None)]),
    ("reserve in [1, 'a']", &[("M041", "these two do not go together", "reserve", None)]),
    ("-story == 1", &[("M041", "only numbers and lengths of time have a sign", "story", None)]),
    ("reserve in []", &[("M041", "this list is empty", "[]", None)]),
];

#[test]
fn a_wrong_rule_says_what_and_where() {
    for (rule, expected) in COMPLAINTS {
        let wrong = compile(rule, Some(&Type::Bool)).expect_err(rule);
        let found: Vec<_> = wrong
            .iter()
            .map(|it| {
                let fix = it.fix.as_ref().map(|(_, fix)| fix.as_str());
                (it.code, it.title.as_str(), rule.get(it.span.clone()).unwrap_or("outside"), fix)
            })
            .collect();
        assert_eq!(&found, expected, "rule: {rule}");
    }
}

#[test]
fn a_literal_becomes_the_type_that_is_wanted() {
    for (rule, wanted, good) in [
        ("'2026-01-31'", Type::Date, true),
        ("'31.01.2026'", Type::Date, false),
        ("'fire'", Type::Words(["fire".to_owned()].into()), true),
        ("'fine'", Type::Words(["fire".to_owned()].into()), false),
        ("cause", Type::Text, true),
        ("reserve * 2", Type::Number, true),
        ("reserve", Type::Text, false),
        ("lines.amount", list(Type::Number), true),
    ] {
        assert_eq!(compile(rule, Some(&wanted)).is_ok(), good, "rule: {rule}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let chain = |part: &str, count: usize| vec![part; count].join(" ");
    let cases = [
        (format!("{}1{} == 1", "(".repeat(60), ")".repeat(60)), true),
        (format!("{}1{} == 1", "(".repeat(70), ")".repeat(70)), false),
        (format!("{}fraud", "not ".repeat(70)), false),
        (format!("{}1 == 1", "-".repeat(4000)), false),
        (format!("{}fraud", "fraud or ".repeat(300)), true),
        (format!("1{} == 1", chain("+ 1", 100)), false),
        (format!("reserve in [{}1]", "1,".repeat(900)), true),
        (format!("reserve in [{}1]", "1,".repeat(1100)), false),
        (format!("{}fraud", "fraud or ".repeat(600)), false),
        ("[".repeat(4000), false),
    ];
    for (rule, good) in cases {
        assert_eq!(compile(&rule, None).is_ok(), good, "rule: {}", &rule[..40.min(rule.len())]);
    }
}

#[test]
fn slots_are_named_once_in_the_rules_order() {
    let rule = compile("sum(lines.amount) == reserve and reserve > 0", None).unwrap();
    let (scope, _) = world();
    let expected: Vec<_> = ["lines.amount", "reserve"].iter().map(|name| &scope.names[*name].1).collect();
    assert_eq!(rule.slots(), expected);
    assert_eq!(rule.kind(), &Type::Bool);
}

#[test]
fn many_values_are_looked_for_among_many_quickly() {
    let mut scope = Scope::default();
    let mut values = HashMap::new();
    for (at, name) in ["left", "right"].into_iter().enumerate() {
        let at = u16::try_from(at).unwrap();
        scope.declare(name, list(Type::Number), Slot { root: Root::Here, path: SmallVec::from_slice(&[at]) });
        let many = (0..200_000).map(|it| Operand::Number(Decimal::from(it * 2 + i64::from(at)))).collect();
        values.insert(at, Operand::List(many));
    }
    let mut diagnostics = Diagnostics::default();
    let rule = Rule::compile("any(left in right)", &scope, None, &mut diagnostics, &|it| it).unwrap();
    let started = std::time::Instant::now();
    assert_eq!(rule.run(&Values(values), &clock()), Ok(Operand::Bool(false)));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (any::<i32>(), 0..10u32).prop_map(|(digits, scale)| Decimal::new(digits.into(), scale))
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused_with_a_reason(rule in "\\PC{0,40}|[a-z0-9'\"()\\[\\]<>=!&|+*/,. -]{0,60}") {
        if let Err(wrong) = compile(&rule, Some(&Type::Bool)) {
            for it in wrong {
                prop_assert!(rule.get(it.span.clone()).is_some(), "{:?}", it);
            }
        }
    }

    #[test]
    fn any_row_of_words_of_the_language_is_compiled_or_refused(words in proptest::collection::vec(proptest::sample::select(vec![
        "reserve", "lines.amount", "cause", "story", "loss_date", "wait", "fraud", "and", "or", "not", "in", "contains", "any",
        "all", "of", "==", "<", "+", "-", "*", "/", "(", ")", "[", "]", ",", "1", "'fire'", "'2026-01-01'", "48h", "sum(",
        "count(", "max(", "today()", "present(", "length(",
    ]), 0..14)) {
        let rule = words.join(" ");
        if let Ok(compiled) = compile(&rule, None) {
            let (_, values) = world();
            let _ = compiled.run(&values, &clock());
        }
    }

    #[test]
    fn sums_commute_and_take_back_what_they_added(a in decimal(), b in decimal()) {
        let mut scope = Scope::default();
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            scope.declare(name, Type::Number, Slot { root: Root::Here, path: SmallVec::from_slice(&[at as u16]) });
        }
        let values = Values(HashMap::from([(0, Operand::Number(a)), (1, Operand::Number(b))]));
        for rule in ["a + b == b + a", "a * b == b * a", "a + b - b == a", "a - b == -(b - a)", "(a < b) == (b > a)", "min(a, b) + max(a, b) == a + b"] {
            let mut diagnostics = Diagnostics::default();
            let rule = Rule::compile(rule, &scope, None, &mut diagnostics, &|it| it).unwrap();
            prop_assert_eq!(rule.run(&values, &clock()), Ok(Operand::Bool(true)), "{} {}", a, b);
        }
    }
}

#[test]
#[ignore = "prints nanoseconds; run with --release --nocapture"]
fn how_long_rules_take() {
    let (_, values) = world();
    for rule in [
        "answer.confidence >= 0.7",
        "sum(lines.amount) == reserve",
        "story contains any of ['arson', 'flood', 'x', 'y']",
    ] {
        let compiled = compile(rule, None).unwrap();
        let started = std::time::Instant::now();
        let rounds = 100_000;
        for _ in 0..rounds {
            std::hint::black_box(compiled.run(&values, &clock())).unwrap();
        }
        println!("{rule}: {:?}", started.elapsed() / rounds);
    }
}
