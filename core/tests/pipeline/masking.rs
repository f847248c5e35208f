//! For any record: nothing that leaves holds a masked value, neither prompt, finding, lineage nor log.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use proptest::prelude::*;
use serde_json::json;
use vestibule_core::{fault::Recovery, flow::Flow, job::Reply};
use vestibule_testkit::{ScriptedModel, Step};

use crate::desk::{ASKS, SAYS, document, findings, flow, judged, run, written};

/// Every check fails for nearly every value, and lets the record pass.
const RECORD: &str = r"record:
  id:     { from: Id }
  name:   { from: Name, mask: token, length: ..2, pattern: x, else: note }
  iban:   { from: Iban, mask: last4, length: ..2, else: note }
  secret: { from: Secret, mask: drop, one_of: [x], else: note }
  born:   { from: Born, type: date, format: ddMMyyyy, mask: hash, max_age: 1h, else: note }
  story:  { from: Story, mask: find, length: ..2, else: note }
  note:   { from: Note, length: ..2, else: note }
  shout:  { compute: note, length: ..2, else: note }
  lines:
    each: L
    record:
      who:   { from: Who, mask: token, unique: yes, length: ..2, else: note }
      what:  { from: What, length: ..2, else: note }
checks:
  name == secret: { else: note, say: Names differ }
  note == name:   { else: note }
  born > today(): { else: note }
  id == 'none' and all(lines.who == name): { else: note }
";

#[derive(Debug, Clone)]
struct Person {
    name: String,
    iban: String,
    secret: String,
    born: (i8, i8, i16),
    story: String,
    who: Vec<String>,
    /// Which of the values stands in the note, in which letters, how far in.
    quoted: usize,
    shouted: bool,
    padding: usize,
}

impl Person {
    fn born_raw(&self) -> String {
        let (day, month, year) = self.born;
        format!("{day:02}{month:02}{year:04}")
    }

    /// Values that nobody outside may see.
    fn secrets(&self) -> Vec<String> {
        let (day, month, year) = self.born;
        let mut all = vec![self.name.clone(), self.iban.clone(), self.secret.clone(), self.born_raw()];
        all.push(format!("{year:04}-{month:02}-{day:02}"));
        all.extend(self.who.iter().cloned());
        all
    }

    fn document(&self) -> String {
        let all = self.secrets();
        let quoted = &all[self.quoted % all.len()];
        let quoted = if self.shouted { quoted.to_uppercase() } else { quoted.clone() };
        let note = format!("{} {quoted} called", ". ".repeat(self.padding));
        let lines: String =
            self.who.iter().map(|who| format!("<L><Who>{who}</Who><What>for {quoted}</What></L>")).collect();
        let Self { name, iban, secret, story, .. } = self;
        let born = self.born_raw();
        let of = if self.shouted { format!(" of {name}") } else { String::new() };
        format!(
            "<C><Id>7</Id><Name>{name}</Name><Iban>{iban}</Iban><Secret>{secret}</Secret><Born>{born}</Born><Story>{story}{of}</Story><Note>{note}</Note>{lines}</C>"
        )
    }
}

fn people() -> impl Strategy<Value = Person> {
    let value = "[b-df-h]{3}[0-9]{3,6}[j-np]{1,60}";
    let born = (1..=28i8, 1..=12i8, 1900..=2020i16);
    let story = "[q-t]{8,20}";
    let who = prop::collection::vec(value, 1..4);
    ((value, value, value, story), born, who, (0..9usize, any::<bool>(), 0..70usize)).prop_map(
        |((name, iban, secret, story), born, mut who, (quoted, shouted, padding))| {
            // One stands in two items, so that `unique` finds it.
            who.push(who[0].clone());
            Person { name, iban, secret, born, story, who, quoted, shouted, padding }
        },
    )
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(part);
        Ok(part.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a document with everything that logs, and gives the log as well.
fn logged(flow: &Flow, text: &str) -> (Reply, String) {
    // With one subscriber alone, a thread without it that passes a place first would silence that place for all.
    static OTHER: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));
    LazyLock::force(&OTHER);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let reply = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(flow, text)).unwrap()
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (reply, log)
}

fn assert_silent(kind: &str, text: &str, secrets: &[String]) {
    let lower = text.to_lowercase();
    for secret in secrets {
        assert!(!lower.contains(&secret.to_lowercase()), "{kind} tells {secret}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_leaves_holds_a_masked_value(person in people()) {
        let failing = Arc::new(ScriptedModel::new("first", [Step::Fail(Recovery::FailOver)]).remote());
        let answer = Step::Answer(json!({ "priority": "high" }));
        let answering = Arc::new(ScriptedModel::new("second", [answer]).remote());
        let flow = flow(&format!("{RECORD}{ASKS}{SAYS}"), vec![failing.clone(), answering.clone()]);
        let text = person.document();
        let (reply, log) = logged(&flow, &text);
        let secrets = person.secrets();

        let prompts = [failing.prompts(), answering.prompts()].concat();
        prop_assert_eq!(prompts.len(), 2);
        prompts.iter().for_each(|it| assert_silent("the prompt", it, &secrets));

        let mut hidden = secrets.clone();
        hidden.push(person.story.clone());
        // Where they are hidden there must be something to hide.
        prop_assert!(reply.findings.len() >= 10, "{:?}", findings(&reply));
        prop_assert!(reply.findings.iter().any(|it| it.field == "name" && it.found.as_deref() == Some("***")));
        assert_silent("a finding", &findings(&reply).join("\n"), &hidden);
        assert_silent("the stored reply", &format!("{reply:?}"), &hidden);
        assert_silent("the written reply", &written(&reply), &hidden);
        prop_assert!(log.contains("gave no usable answer"), "{}", log);
        assert_silent("the log", &log, &hidden);

        let preview = flow.preview(&document(&text), document(&text).received).unwrap();
        for record in &preview.records {
            assert_silent("lineage", &record.lineage.to_string(), &hidden);
            assert_silent("a preview's findings", &format!("{:?}", record.findings), &hidden);
            assert_silent("a preview's prompt", record.prompt.as_deref().unwrap(), &secrets);
        }
    }
}

#[test]
fn a_masked_value_that_can_not_be_read_is_not_shown_anywhere_else() {
    let record = "record:\n  born: { from: Born, type: date, format: ddMMyyyy, mask: hash }\n  note: { from: Note, length: ..4 }\n";
    let flow = flow(&format!("{record}{SAYS}"), Vec::new());
    let reply = judged(&flow, "<C><Born>99887766</Born><Note>id 99887766</Note></C>");
    assert_eq!(
        findings(&reply),
        [
            "G102 review born at /C/Born: date as ddMMyyyy / ***",
            "G105 review note at /C/Note: ..4 characters / ***"
        ]
    );
}

#[test]
fn a_masked_value_that_can_not_be_read_is_not_sent_in_another_field() {
    let record = "record:\n  born: { from: Born, type: date, format: ddMMyyyy, mask: hash, else: note }\n  note: { from: Note }\n";
    let answer = Step::Answer(json!({ "priority": "low", "sure": null }));
    let model = Arc::new(ScriptedModel::new("m", [answer]).remote());
    let flow = flow(&format!("{record}{ASKS}{SAYS}"), vec![model.clone()]);
    judged(&flow, "<C><Born>99887766</Born><Note>id 99887766</Note></C>");
    assert_eq!(model.prompts(), ["{\"note\":\"id [UNREAD-1]\"}"]);
}

#[test]
fn a_masked_key_is_kept_as_its_hash() {
    let text = |mask: &str| {
        format!(
            "key: [a, b]\nrecord:\n  a: {{ from: A, required: yes }}\n  b: {{ from: B, required: yes{mask} }}\n{SAYS}"
        )
    };
    for (mask, is_hidden) in [("", false), (", mask: token", true)] {
        let flow = flow(&text(mask), Vec::new());
        let extraction = flow.extract(&document("<C><A>7</A><B>Ana Perez</B></C>")).unwrap();
        let key = flow.key_of(&extraction).unwrap();
        assert_eq!(!key.as_str().contains("Ana"), is_hidden, "mask: {mask}");
    }
}
