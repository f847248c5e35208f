//! The whole way to a model, with models that do what a test says and time that a test advances.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::{
    document::Document,
    fault::{FaultCode, Recovery},
    gate::{self, Admitted, Verdict},
    interpret::{Codec, Kind, Spelling},
    mapping::address::{Address, Meta},
    mapping::plan::{Ask, Durability, Fallback, FieldPlan, FieldRules, From, Mask, Prompt, Shape, Source},
    origin::Origin,
    ports::{Extraction, Model, RawField, RawRecord},
};

const CLAIMANT: &str = "Maria Lopez Fernandez";
const SECRET_NOTE: &str = "never to be sent";

fn field(name: &str, kind: Kind, mask: Option<Mask>) -> FieldPlan {
    FieldPlan {
        name: name.into(),
        from: From::Addresses(vec![Address::Meta(Meta::Name)]),
        codec: Codec::compile(&Spelling { kind, ..Spelling::default() }).unwrap(),
        rules: FieldRules::default(),
        mask,
        description: None,
    }
}

fn mapping(prompt: &str, fallback: Vec<Fallback>) -> Mapping {
    let record = [
        ("claimant", Kind::Text, Some(Mask::Token)),
        ("story", Kind::Text, Some(Mask::Find)),
        ("reserve", Kind::Money, None),
        ("note", Kind::Text, None),
        ("cause", Kind::Text, None),
    ];
    let answer = [("priority", Kind::Text), ("reason", Kind::Text), ("confidence", Kind::Decimal)];
    let answer = answer.map(|(name, kind)| FieldPlan { from: From::Model, ..field(name, kind, None) });
    let schema = json!({
        "type": "object",
        "properties": {
            "priority": { "enum": ["low", "high"] },
            "reason": { "type": "string", "maxLength": 60 },
            "confidence": { "type": ["number", "string"] },
        },
        "required": ["priority", "reason", "confidence"],
        "additionalProperties": false,
    });
    let ask = Ask {
        route: ("triage".into(), 0..0),
        prompt: Some(Prompt { name: "triage.md".into(), text: prompt.into() }),
        send: Some(vec![0, 1, 2, 4]),
        answer: Arc::new(Shape { fields: answer.into() }),
        schema: Arc::new(schema.clone()),
        strict_schema: Arc::new(schema),
        accept: None,
        fallback,
    };
    let record = record.map(|(name, kind, mask)| field(name, kind, mask));
    Mapping {
        name: "claim-triage".into(),
        version: 3,
        owner: None,
        path: "claim-triage.map.yaml".into(),
        receive: Vec::new(),
        source: Source {
            kind: "xml".into(),
            contract: None,
            contract_path: None,
            encoding: None,
            timezone: TimeZone::UTC,
            each: None,
            only: None,
            trailer: None,
        },
        record: Arc::new(Shape { fields: record.into() }),
        checks: Vec::new(),
        ask: Some(ask),
        back: None,
        key: Vec::new(),
        durability: Durability::Full,
        deadline: Duration::from_secs(8),
        handling: crate::mapping::plan::Handling::default(),
        lookups: Vec::new(),
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A record that passed the gate; without a cause.
fn admitted(mapping: &Mapping, claimant: &str) -> Admitted {
    let text = |text: &str| RawField::Text { text: text.into(), origin: Origin::Default };
    let story = format!("The roof of {claimant} leaks.");
    let fields =
        vec![text(claimant), text(&story), text("1250.00"), text(SECRET_NOTE), RawField::Absent { at: None }];
    let records = vec![RawRecord { fields, origin: Origin::Default }];
    let document = Document::new("", "text/xml", now());
    let extraction = Extraction { records, ..Extraction::default() };
    match gate::judge(mapping, &document, extraction).verdicts.pop() {
        Some(Verdict::Admit(admitted, _)) => admitted,
        other => panic!("not admitted: {other:?}"),
    }
}

enum Step {
    Says(Value),
    Fails(FaultCode, Recovery),
    Hangs,
    /// Answers after a while.
    Slow(Duration, Value),
}

/// A model that plays its steps, then repeats the last one's kind by failing over.
struct Fake {
    name: &'static str,
    is_remote: bool,
    steps: Mutex<VecDeque<Step>>,
    /// Every prompt and record that it saw, as text.
    seen: Mutex<Vec<String>>,
}

impl Fake {
    fn new(name: &'static str, is_remote: bool, steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        let steps = Mutex::new(steps.into_iter().collect());
        Arc::new(Self { name, is_remote, steps, seen: Mutex::default() })
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Model for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn is_remote(&self) -> bool {
        self.is_remote
    }

    fn infer<'a>(
        &'a self,
        task: &'a Task<'a>,
        input: &'a Admitted,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            let prompt = (task.prompt)()?;
            self.seen.lock().unwrap().push(format!("{prompt}\n{:?}", input.record()));
            let step = self.steps.lock().unwrap().pop_front();
            let usage = Usage { input: 10, cached_input: 0, output: 1 };
            let answered = |value: Value| Answered { answer: value.as_object().unwrap().clone(), usage };
            match step {
                Some(Step::Says(value)) => Ok(answered(value)),
                Some(Step::Slow(time, value)) => {
                    sleep(time).await;
                    Ok(answered(value))
                }
                Some(Step::Hangs) => std::future::pending().await,
                Some(Step::Fails(code, recovery)) => Err(Fault::new(code, "scripted").recovery(recovery)),
                None => Err(Fault::new(FaultCode::Model, "out of steps").recovery(Recovery::FailOver)),
            }
        })
    }
}

fn good(reason: &str) -> Value {
    json!({ "priority": "high", "reason": reason, "confidence": 0.92 })
}

fn fixed() -> Fallback {
    let answer = json!({ "priority": "low", "reason": "Triage unavailable", "confidence": "1" });
    Fallback::Answer(answer.as_object().unwrap().clone())
}

const PROMPT: &str =
    "{{ claimant }} {{ story }} {{ reserve }}{% if cause %} {{ cause }}{% endif %} {{ record }}";

/// Asks once within eight seconds; gives back how long it took, too.
async fn ask(mapping: &Mapping, asker: &Asker, claimant: &str) -> (Result<Asked, Fault>, Duration) {
    let began = Instant::now();
    let input = admitted(mapping, claimant);
    let asked = asker.ask(mapping, &input, now(), "", began + mapping.deadline).await;
    (asked, began.elapsed())
}

fn asker(mapping: &Mapping, models: &[&Arc<Fake>]) -> Asker {
    let models = models.iter().map(|&model| Arc::clone(model) as Arc<dyn Model>).collect();
    Asker::new(mapping, models, Vec::new()).unwrap()
}

fn words(asked: &Asked) -> Vec<(String, &'static str)> {
    asked.attempts.iter().map(|it| (it.model.to_string(), it.ending.word())).collect()
}

#[tokio::test(start_paused = true)]
async fn each_fault_class_has_its_way_and_a_reply_is_there_inside_the_deadline() {
    use Recovery::{FailOver, GiveUp, Retry, RetryAfter};
    let fails = |recovery| Step::Fails(FaultCode::Model, recovery);
    let second = Duration::from_secs(1);
    for (case, steps, by, calls, longest) in [
        ("answers", vec![Step::Says(good("ok"))], "first", 1, Duration::ZERO),
        ("recovers", vec![fails(Retry), Step::Says(good("ok"))], "first", 2, second),
        ("fails twice", vec![fails(Retry), fails(Retry), Step::Says(good("ok"))], "second", 2, second),
        ("waits as told", vec![fails(RetryAfter(second)), Step::Says(good("ok"))], "first", 2, second),
        ("told to wait too long", vec![fails(RetryAfter(60 * second))], "second", 1, Duration::ZERO),
        ("is closed", vec![fails(FailOver), Step::Says(good("ok"))], "second", 1, Duration::ZERO),
        ("refuses", vec![fails(GiveUp), Step::Says(good("ok"))], "second", 1, Duration::ZERO),
        ("hangs", vec![Step::Hangs], "second", 1, 6 * second),
        (
            "is outside the schema",
            vec![Step::Says(json!({ "priority": "urgent" }))],
            "second",
            1,
            Duration::ZERO,
        ),
        (
            "is not of the type",
            vec![Step::Says(json!({ "priority": "low", "reason": "x", "confidence": "much" }))],
            "second",
            1,
            Duration::ZERO,
        ),
    ] {
        let mapping = mapping(PROMPT, vec![fixed()]);
        let first = Fake::new("first", true, steps);
        let second = Fake::new("second", true, [Step::Says(good("ok"))]);
        let (asked, took) = ask(&mapping, &asker(&mapping, &[&first, &second]), CLAIMANT).await;
        let asked = asked.unwrap();
        assert_eq!((&*asked.answered_by, first.calls()), (by, calls), "{case}: {:?}", words(&asked));
        assert!(took <= longest, "{case} took {took:?}");
        assert_eq!(asked.attempts.last().map(|it| it.ending), Some(Ending::Answered), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_model_hangs_the_fallback_answers_before_the_deadline() {
    let mapping = mapping(PROMPT, vec![Fallback::Cached(Duration::from_secs(60)), fixed()]);
    let models = ["first", "second"].map(|name| Fake::new(name, true, [Step::Hangs]));
    let (asked, took) = ask(&mapping, &asker(&mapping, &[&models[0], &models[1]]), CLAIMANT).await;
    let asked = asked.unwrap();
    assert_eq!(&*asked.answered_by, "fallback:answer");
    assert_eq!(words(&asked), [("first".to_owned(), "V008"), ("second".to_owned(), "V008")]);
    assert!(took < mapping.deadline && took > mapping.deadline * 9 / 10, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_that_comes_in_time_is_taken() {
    let mapping = mapping(PROMPT, vec![fixed()]);
    let model = Fake::new("slow", true, [Step::Slow(Duration::from_millis(7700), good("late"))]);
    let (asked, took) = ask(&mapping, &asker(&mapping, &[&model]), CLAIMANT).await;
    assert_eq!((&*asked.unwrap().answered_by, took), ("slow", Duration::from_millis(7700)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_still_gives_the_fallback() {
    let mapping = mapping(PROMPT, vec![fixed()]);
    let asker = asker(&mapping, &[&Fake::new("hangs", true, [Step::Hangs])]);
    let past = Instant::now();
    sleep_until(past + Duration::from_secs(1)).await;
    let asked = asker.ask(&mapping, &admitted(&mapping, CLAIMANT), now(), "", past).await.unwrap();
    assert_eq!(&*asked.answered_by, "fallback:answer");
    assert_eq!(past.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_fallback_list_is_tried_in_order_and_rules_see_the_whole_record() {
    let rules = || Fallback::Rules { path: "triage.rules.yaml".into(), span: 0..0 };
    let mapping = mapping(PROMPT, vec![Fallback::Cached(Duration::from_secs(60)), rules(), fixed()]);
    let table = Fake::new("table", false, [Step::Says(good("by the table"))]);
    let asker = Asker::new(&mapping, Vec::new(), vec![None, Some(table.clone()), None]).unwrap();
    let (asked, _) = ask(&mapping, &asker, CLAIMANT).await;
    assert_eq!(&*asked.unwrap().answered_by, "fallback:rules triage.rules.yaml");
    assert!(table.seen.lock().unwrap()[0].contains(SECRET_NOTE), "nothing leaves the process here");
    let (asked, _) = ask(&mapping, &asker, CLAIMANT).await;
    assert_eq!(&*asked.unwrap().answered_by, "fallback:answer", "no row held");
}

#[tokio::test(start_paused = true)]
async fn without_any_answer_the_fault_says_whether_later_may_do() {
    for (recovery, expected) in [(Recovery::Retry, Recovery::Retry), (Recovery::GiveUp, Recovery::GiveUp)] {
        let mapping = mapping(PROMPT, Vec::new());
        let model = Fake::new("first", true, [0, 1].map(|_| Step::Fails(FaultCode::Model, recovery)));
        let fault = ask(&mapping, &asker(&mapping, &[&model]), CLAIMANT).await.0.unwrap_err();
        assert_eq!((fault.code, fault.recovery), (FaultCode::Model, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn masked_and_unsent_values_never_reach_a_remote_model_and_come_back_in_the_answer() {
    let mapping = mapping(PROMPT, Vec::new());
    let model = Fake::new("remote", true, []);
    let asker = asker(&mapping, &[&model]);
    let prompt = asker.prompt(&mapping, &admitted(&mapping, CLAIMANT), now()).unwrap().unwrap();
    let stand_in = prompt.split_once(']').map(|(token, _)| format!("{token}]")).unwrap();
    model.steps.lock().unwrap().push_back(Step::Says(good(&format!("{stand_in} is covered"))));

    let asked = ask(&mapping, &asker, CLAIMANT).await.0.unwrap();
    let seen = model.seen.lock().unwrap().join("\n");
    for hidden in [CLAIMANT, "Maria", SECRET_NOTE] {
        assert!(!seen.contains(hidden), "{hidden:?} left the process: {seen}");
    }
    assert!(seen.contains(&stand_in) && seen.contains("leaks") && seen.contains("1250.00"), "{seen}");
    assert_eq!(asked.raw["reason"], json!(format!("{CLAIMANT} is covered")));
    assert_eq!(asked.usage, Usage { input: 10, cached_input: 0, output: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_is_remembered_for_the_same_input_until_it_is_too_old() {
    let mapping = mapping(PROMPT, vec![Fallback::Cached(Duration::from_secs(3600)), fixed()]);
    let model = Fake::new("remote", true, [Step::Says(good("remembered"))]);
    let asker = asker(&mapping, &[&model]);
    assert_eq!(&*ask(&mapping, &asker, CLAIMANT).await.0.unwrap().answered_by, "remote");

    let cached = ask(&mapping, &asker, CLAIMANT).await.0.unwrap();
    assert_eq!((&*cached.answered_by, &cached.raw["reason"]), ("fallback:cached", &json!("remembered")));

    let mut other = admitted(&mapping, CLAIMANT).record().clone();
    other.fields[2] = None;
    let other = admitted(&mapping, CLAIMANT).with_masked(other);
    let asked =
        asker.ask(&mapping, &other, now(), "", Instant::now() + Duration::from_secs(8)).await.unwrap();
    assert_eq!(&*asked.answered_by, "fallback:answer", "another input has no answer to remember");

    tokio::time::advance(Duration::from_secs(3601)).await;
    assert_eq!(&*ask(&mapping, &asker, CLAIMANT).await.0.unwrap().answered_by, "fallback:answer");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_keeps_failing_is_left_alone_by_every_flow_that_uses_it() {
    let breakers = Breakers::default();
    let mapping = mapping(PROMPT, vec![fixed()]);
    let model = Fake::new("remote", true, []);
    let flow =
        || Asker::sharing(&mapping, vec![model.clone() as Arc<dyn Model>], Vec::new(), &breakers).unwrap();
    let (one, two) = (flow(), flow());
    for _ in 0..5 {
        ask(&mapping, &one, CLAIMANT).await.0.unwrap();
    }
    assert_eq!(model.calls(), 5);
    let asked = ask(&mapping, &two, CLAIMANT).await.0.unwrap();
    assert_eq!((model.calls(), words(&asked)), (5, vec![("remote".to_owned(), "resting")]));
    tokio::time::advance(Duration::from_secs(5)).await;
    ask(&mapping, &two, CLAIMANT).await.0.unwrap();
    assert_eq!(model.calls(), 6, "one probe");
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_that_names_its_time_is_not_taken_for_a_broken_one() {
    let mapping = mapping(PROMPT, vec![fixed()]);
    let busy = Recovery::RetryAfter(Duration::from_millis(10));
    let steps = (0..20).map(|_| Step::Fails(FaultCode::Model, busy)).chain([Step::Says(good("ok"))]);
    let model = Fake::new("remote", true, steps);
    let asker = asker(&mapping, &[&model]);
    for _ in 0..10 {
        ask(&mapping, &asker, CLAIMANT).await.0.unwrap();
    }
    assert_eq!(model.calls(), 20);
    assert_eq!(&*ask(&mapping, &asker, CLAIMANT).await.0.unwrap().answered_by, "remote");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_asks_for_more_time_than_there_is_rests_until_then() {
    let mapping = mapping(PROMPT, vec![fixed()]);
    let minute = Duration::from_secs(60);
    let steps = [Step::Fails(FaultCode::Model, Recovery::RetryAfter(minute)), Step::Says(good("ok"))];
    let model = Fake::new("remote", true, steps);
    let asker = asker(&mapping, &[&model]);
    for expected in ["V009", "resting"] {
        assert_eq!(words(&ask(&mapping, &asker, CLAIMANT).await.0.unwrap())[0].1, expected);
    }
    tokio::time::advance(minute).await;
    assert_eq!(&*ask(&mapping, &asker, CLAIMANT).await.0.unwrap().answered_by, "remote");
}

#[test]
fn prompts_are_refused_when_they_are_compiled_or_say_where_they_fail() {
    let refused = |prompt: &str| {
        let mapping = mapping(prompt, Vec::new());
        let asker = match Asker::new(&mapping, Vec::new(), Vec::new()) {
            Err(fault) => return fault.to_string(),
            Ok(asker) => asker,
        };
        match asker.prompt(&mapping, &admitted(&mapping, CLAIMANT), now()) {
            Ok(prompt) => prompt.unwrap(),
            Err(fault) => fault.to_string(),
        }
    };
    for (prompt, expected) in [
        ("{{ reserve }} {{ today }} {{ flow.name }} {{ flow.version }}", "1250.00 2026-11-20 claim-triage 3"),
        ("<{{ record.reserve }}> & {{ reserve|tojson }}", "<1250.00> & \"1250.00\""),
        ("{{ 'x' if cause is defined else 'none' }}", "none"),
        ("{{ resrve }}", "V013: triage.md: `resrve` is neither a field that is sent nor a fact of the flow"),
        ("{{ note }}", "V013: triage.md: `note` is neither a field that is sent nor a fact of the flow"),
        ("a\nb {{ cause }}", "V013: triage.md:2: the prompt can not be written (UndefinedError)"),
        ("{{ claimant.x.y }}", "V013: triage.md:1: the prompt can not be written (UndefinedError)"),
        ("{% if %}", "V013: triage.md:1: the prompt can not be written (SyntaxError)"),
        (
            "{% for n in range(100000) %}{{ story }}{% endfor %}",
            "V002: triage.md: the prompt is longer than 1048576 bytes",
        ),
    ] {
        assert_eq!(refused(prompt), expected, "input: {prompt:?}");
    }
    let shown = refused("{% include '/etc/passwd' %}");
    assert!(shown.starts_with("V013"), "no other file is read: {shown}");
}

#[test]
fn a_fallback_answer_outside_the_schema_is_refused_when_the_flow_is_assembled() {
    let answer = json!({ "priority": "urgent" });
    let mapping = mapping(PROMPT, vec![Fallback::Answer(answer.as_object().unwrap().clone())]);
    let fault = Asker::new(&mapping, Vec::new(), Vec::new()).err().unwrap();
    assert_eq!(fault.message, "the fallback answer is outside its schema");
}

/// `cargo test -p vestibule-core --release -- --ignored --nocapture asking_a_local_model`
#[tokio::test]
#[ignore = "prints a time"]
async fn asking_a_local_model_costs_little() {
    struct Table(Value);
    impl Model for Table {
        fn name(&self) -> &str {
            "table"
        }
        fn is_remote(&self) -> bool {
            false
        }
        fn infer<'a>(
            &'a self,
            _: &'a Task<'a>,
            _: &'a Admitted,
            _: Instant,
        ) -> BoxFuture<'a, Result<Answered, Fault>> {
            let answer = self.0.as_object().unwrap().clone();
            Box::pin(std::future::ready(Ok(Answered { answer, usage: Usage::default() })))
        }
    }
    let mapping = mapping(PROMPT, vec![fixed()]);
    let asker = Asker::new(&mapping, vec![Arc::new(Table(good("ok")))], Vec::new()).unwrap();
    let input = admitted(&mapping, CLAIMANT);
    let rounds = 100_000_u32;
    let began = std::time::Instant::now();
    for _ in 0..rounds {
        asker.ask(&mapping, &input, now(), "", Instant::now() + mapping.deadline).await.unwrap();
    }
    println!("{:?} a question", began.elapsed() / rounds);
}
