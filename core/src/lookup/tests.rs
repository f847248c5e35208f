use std::sync::Mutex;

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    fault::{Fault, FaultCode},
    mapping::diagnostic::Diagnostics,
    ports::Lookup,
    rule::{Bindings, Clock, Root, Rule, RuleFailure, Scope, Slot, Type},
};

/// Reference data that says what it is told to, in order; the last again and again.
struct Scripted(Mutex<Vec<Result<Vec<&'static str>, &'static str>>>);

impl Scripted {
    fn new(script: &[Result<Vec<&'static str>, &'static str>]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(script.to_vec())))
    }
}

impl Lookup for Scripted {
    fn name(&self) -> &'static str {
        "policies from db POLICY"
    }

    fn refresh(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn keys(&self, _: usize) -> BoxFuture<'_, Result<Vec<Box<str>>, Fault>> {
        let mut script = self.0.lock().unwrap();
        let said = if script.len() > 1 { script.remove(0) } else { script[0].clone() };
        Box::pin(async move {
            let keys = said.map_err(|why| Fault::new(FaultCode::Unavailable, why))?;
            Ok(keys.into_iter().map(Into::into).collect())
        })
    }
}

struct One(Operand<'static>);

impl Bindings for One {
    fn value(&self, _: &Slot) -> Operand<'_> {
        self.0.clone()
    }
}

fn rule(text: &str, kind: Type, table: &Arc<Table>) -> Option<Rule> {
    let mut scope = Scope::default();
    scope.declare("it", kind, Slot { root: Root::Here, path: Default::default() });
    scope.declare_lookup(Arc::clone(table));
    Rule::compile(text, &scope, Some(&Type::Bool), &mut Diagnostics::default(), &|it| it)
}

fn asked(rule: &Rule, value: Operand<'static>) -> Result<Operand<'static>, RuleFailure> {
    let clock = Clock { now: jiff::Timestamp::UNIX_EPOCH, zone: jiff::tz::TimeZone::UTC };
    match rule.run(&One(value), &clock)? {
        Operand::Bool(it) => Ok(Operand::Bool(it)),
        Operand::Missing => Ok(Operand::Missing),
        other => panic!("{other:?}"),
    }
}

fn text(it: &'static str) -> Operand<'static> {
    Operand::Text(it.into())
}

#[tokio::test]
async fn a_value_is_compared_with_keys_as_what_it_is() {
    let number = |it: &str| Operand::Number(it.parse().unwrap());
    let date = |it: &str| Operand::Date(it.parse().unwrap());
    let keys = vec!["P1", "P2   ", "007", "1.50", "2026-01-02", "true", "1e3", "-0.0", "ß\u{0}x", ""];
    for (kind, value, is_in) in [
        (Type::Text, text("P1"), true),
        (Type::Text, text("P1  "), true),
        (Type::Text, text("P2"), true),
        (Type::Text, text(" P1"), false),
        (Type::Text, text("p1"), false),
        (Type::Text, text("7"), false),
        (Type::Text, text("1.5"), false),
        (Type::Text, text("ß\u{0}x"), true),
        (Type::Number, number("7"), true),
        (Type::Number, number("1.5"), true),
        (Type::Number, number("1.500"), true),
        (Type::Number, number("1000"), true),
        (Type::Number, number("0"), true),
        (Type::Number, number("8"), false),
        (Type::Date, date("2026-01-02"), true),
        (Type::Date, date("2026-01-03"), false),
        (Type::Bool, Operand::Bool(true), true),
        (Type::Bool, Operand::Bool(false), false),
    ] {
        let table = Table::new("policies");
        let within = rule("it in policies", kind.clone(), &table).unwrap();
        let without = rule("it not in policies", kind.clone(), &table).unwrap();
        let feed = Feed::new(Scripted::new(&[Ok(keys.clone())]), vec![Arc::clone(&table)]);
        feed.read().await.unwrap();
        assert_eq!(asked(&within, value.clone()), Ok(Operand::Bool(is_in)), "{value:?}");
        assert_eq!(asked(&without, value.clone()), Ok(Operand::Bool(!is_in)), "{value:?}");
        assert_eq!(asked(&within, Operand::Missing), Ok(Operand::Missing));
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_not_read_or_is_too_old_has_no_answer() {
    let table = Table::new("policies");
    let within = rule("it in policies", Type::Text, &table).unwrap();
    let why = |result| match result {
        Err(RuleFailure::Unread(unread)) => unread.to_string(),
        other => panic!("an answer: {other:?}"),
    };
    assert_eq!(why(asked(&within, text("P1"))), "the look-up `policies` was not read");

    let feed = Feed::new(
        Scripted::new(&[Err("gone"), Ok(vec!["P1"]), Err("gone again"), Ok(vec![])]),
        vec![Arc::clone(&table)],
    );
    assert!(feed.read().await.is_err());
    assert!(why(asked(&within, text("P1"))).contains("could not be read: "), "{table:?}");
    assert_eq!(feed.read().await.unwrap(), 1);
    assert_eq!(table.standing(), Standing::Loaded(1));
    assert!(feed.read().await.is_err());
    assert!(matches!(table.standing(), Standing::Stale(_)), "{table:?}");
    assert_eq!(asked(&within, text("P1")), Ok(Operand::Bool(true)), "old keys are used for a while");
    tokio::time::advance(Duration::from_secs(181)).await;
    assert!(why(asked(&within, text("P1"))).contains("gone again"));
    assert_eq!(feed.read().await.unwrap(), 0);
    assert_eq!(asked(&within, text("P1")), Ok(Operand::Bool(false)), "an empty table is an answer");
}

#[tokio::test(start_paused = true)]
async fn it_is_read_again_as_often_as_it_says_and_sooner_after_a_failure() {
    let table = Table::new("policies");
    let within = rule("it in policies", Type::Text, &table).unwrap();
    let feed =
        Feed::new(Scripted::new(&[Err("gone"), Ok(vec!["P1"]), Ok(vec!["P2"])]), vec![Arc::clone(&table)]);
    let watch = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(asked(&within, text("P1")).is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked(&within, text("P1")), Ok(Operand::Bool(true)));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(asked(&within, text("P1")), Ok(Operand::Bool(false)));
        assert_eq!(asked(&within, text("P2")), Ok(Operand::Bool(true)));
    };
    tokio::select! { () = feed.refresh_forever() => {}, () = watch => {} }
}

#[test]
fn what_has_no_key_can_not_be_looked_up_and_a_lookup_is_no_value() {
    let table = Table::new("policies");
    for (text, kind, is_right) in [
        ("it in policies", Type::Text, true),
        ("it not in policies and present(it)", Type::Number, true),
        ("any(it in policies)", Type::List(Box::new(Type::Text)), true),
        ("it in policies", Type::Time, false),
        ("it in policies", Type::Bytes, false),
        ("policies == it", Type::Text, false),
        ("it in polices", Type::Text, false),
    ] {
        assert_eq!(rule(text, kind, &table).is_some(), is_right, "{text}");
    }
}

#[test]
fn a_million_keys_take_sixteen_bytes_each() {
    let mut keys = Keys::default();
    (0..1_000_000_u32).for_each(|it| keys.add(&format!("P{it:08}"), Kind::Text.bit()));
    keys.finish();
    assert_eq!(keys.count(), 1_000_000);
    assert_eq!(keys.has(&text("P00999999")), Some(true));
    assert_eq!(keys.has(&text("P01000000")), Some(false));
}
