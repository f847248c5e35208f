//! The command line as a person and a machine use it.

use std::{process::Output, time::Duration};

use vestibule_testkit::model_server::ModelServer;

use crate::desk::Desk;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MAPPING: &str = "mappings/claim-triage.map.yaml";

#[test]
fn check_passes_a_right_directory_and_names_every_mistake_of_a_wrong_one() {
    let desk = Desk::quickstart();
    let output = desk.run(&["check", "."]);
    assert_eq!(output.status.code(), Some(0), "{}{}", said(&output), complained(&output));
    desk.edit(MAPPING, "required: true }\n  loss_date", "requried: true }\n  loss_date")
        .edit(MAPPING, "sum(lines.amount)", "sum(lines.amuont)")
        .edit("vestibule.yaml", "listen:", "lisen:");
    let output = desk.run(&["check", "."]);
    assert_eq!(output.status.code(), Some(1), "{}", complained(&output));
    let all = said(&output) + &complained(&output);
    for expected in
        ["did you mean `required`?", "did you mean `lines.amount`?", "did you mean `listen`?", "^^^^^^^^"]
    {
        assert!(all.contains(expected), "{expected} is not in:\n{all}");
    }
    let output = desk.run(&["check", ".", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json.to_string().contains("M041"), "{json}");
}

#[test]
fn preview_shows_record_origins_findings_and_prompt_without_a_model() {
    let desk = Desk::quickstart();
    let output = desk.run(&["preview", MAPPING, "requests/good.xml", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let preview: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let record = &preview["records"][0];
    assert_eq!(record["record"]["reserve"], "1250.00", "{preview}");
    assert_eq!(record["record"]["cause"], "water", "{preview}");
    assert!(record["lineage"].to_string().contains("/Envelope/Body/SubmitClaim/Claim/LossDt"), "{preview}");
    let prompt = record["prompt"].as_str().expect("a prompt");
    assert!(!prompt.contains("Luis"), "the claimant is masked: {prompt}");
    let output = desk.run(&["preview", MAPPING, "requests/incomplete.xml"]);
    assert!(said(&output).contains("G101"), "{}", said(&output));
}

#[test]
fn run_writes_a_reply_for_each_file() {
    let desk = Desk::quickstart();
    let files = ["run", MAPPING, "requests/good.xml", "requests/suspicious.xml", "-o", "out"];
    let output = desk.run(&files);
    assert_eq!(output.status.code(), Some(0), "{}{}", said(&output), complained(&output));
    let written = std::fs::read_dir(desk.folder.path().join("out")).unwrap().count();
    assert_eq!(written, 2);
    let output = desk.run(&["run", MAPPING, "requests/incomplete.xml"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "a rejection is a failure in the work: {}",
        complained(&output)
    );
}

#[test]
fn a_run_that_is_repeated_asks_nothing_twice_unless_it_is_told_to() {
    let desk = Desk::quickstart();
    for (mapping, from, to) in [
        ("no key", "version: 1", "version: 1"),
        ("a new version", "version: 1", "version: 2"),
        ("a key of its own", "version: 2", "version: 2\nkey: claim_no"),
    ] {
        desk.edit(MAPPING, from, to);
        let run = |more: &[&str]| {
            let line = ["run", MAPPING, "requests/good.xml", "requests/suspicious.xml", "--json"];
            let output = desk.run(&[&line, more].concat());
            assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
            let lines = said(&output);
            let replies = lines.lines().map(|it| serde_json::from_str::<serde_json::Value>(it).unwrap());
            replies.map(|it| it["ticket"].as_str().expect("a ticket").to_owned()).collect::<Vec<_>>()
        };
        let first = run(&[]);
        assert_ne!(first[0], first[1], "{mapping}");
        assert_eq!(run(&[]), first, "{mapping}: the stored replies");
        let again = run(&["--again"]);
        assert!(again.iter().all(|it| !first.contains(it)), "{mapping}: {again:?} of {first:?}");
        assert_eq!(run(&[]), first, "{mapping}");
    }
    let listed = said(&desk.run(&["jobs", "list", ".", "--json"]));
    assert_eq!(listed.lines().count(), 3 * 4, "two files, once and again, for each mapping: {listed}");
}

#[test]
fn files_that_find_no_room_wait_for_it_and_are_not_said_to_have_failed() {
    let model = ModelServer::start(&serde_json::json!({ "ok": true }), Duration::from_millis(700)).unwrap();
    let desk = Desk::empty();
    let write = |name: &str, text: &str| {
        let path = desk.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let config = format!(
        "models: {{ far: {{ openai: {{ url: '{}', model: m }} }} }}\nroutes: {{ far: [far] }}\n",
        model.url()
    );
    write("vestibule.yaml", &config);
    write("mappings/p.md", "Is it?");
    write(
        "mappings/a.map.yaml",
        "mapping: a\nconcurrency: 1\nsource: { kind: xml }\nrecord: { number: { from: No, required: true } }\n\
         ask:\n  route: far\n  prompt: p.md\n  deadline: 2s\n  answer: { ok: { type: bool, required: true } }\n\
         return:\n  into: R\n  write: { No: number, Ok: answer.ok, Status: outcome }\n",
    );
    let files: Vec<String> = (1..=8).map(|it| format!("in/{it}.xml")).collect();
    for (number, file) in files.iter().enumerate() {
        write(file, &format!("<C><No>{number}</No></C>"));
    }
    let mut line = vec!["run", "mappings/a.map.yaml", "-o", "out", "--json"];
    line.extend(files.iter().map(String::as_str));
    let output = desk.run(&line);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", complained(&output));
    assert!(!told.contains("V011") && told.matches("\"pass\"").count() == 8, "{told}");
    assert_eq!(model.calls().len(), 8, "each was asked about once");
}

#[test]
fn a_store_may_lie_outside_of_the_directory() {
    let desk = Desk::quickstart();
    let elsewhere = tempfile::tempdir().unwrap();
    let store = elsewhere.path().join("jobs.db");
    let config = desk.folder.path().join("vestibule.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let kept: Vec<&str> = text.lines().filter(|it| !it.starts_with("store:")).collect();
    let moved = format!("store: {{ sqlite: '{}' }}\n{}\n", store.display(), kept.join("\n"));
    std::fs::write(&config, moved).unwrap();
    let output = desk.run(&["run", MAPPING, "requests/good.xml"]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    assert!(store.is_file() && !desk.folder.path().join("data").exists());
}

#[test]
fn explain_lists_every_code_that_a_source_knows_and_ends_sentences_once() {
    let desk = Desk::quickstart();
    let listed = said(&desk.run(&["explain"]));
    let known: std::collections::BTreeSet<_> =
        listed.lines().filter_map(|it| it.split_whitespace().next()).map(str::to_owned).collect();
    let sources = crate::documents::codes_of_the_sources();
    let missing: Vec<&String> = sources.keys().filter(|it| !known.contains(*it)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "not listed by explain");
    assert!(known.contains("M071") && known.contains("C012"));
    for code in ["M001", "M013", "M071", "C012", "V005"] {
        let text = said(&desk.run(&["explain", code]));
        assert!(text.starts_with(code) && !text.contains(".."), "{text}");
    }
}

#[test]
fn jobs_are_listed_beside_a_running_server() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    crate::desk::call(&server, &desk.request("good.xml"));
    let output = desk.run(&["jobs", "list", ".", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let jobs: Vec<serde_json::Value> =
        said(&output).lines().map(|line| serde_json::from_str(line).expect("a job a line")).collect();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let id = jobs[0]["ticket"].as_str().expect("a ticket").to_owned();
    let output = desk.run(&["jobs", "show", &id, ".", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    assert!(said(&output).contains(&id));
}

#[test]
fn an_answer_leads_back_to_the_places_of_the_document() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let reply = crate::desk::call(&server, &desk.request("good.xml")).text();
    let ticket = crate::desk::element(&reply, "Ticket").expect("a ticket");
    let output = desk.run(&["jobs", "show", &ticket, ".", "--lineage", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let job: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&job["flow"], &job["version"]), (&"claim-triage".into(), &1.into()), "{job}");
    assert_eq!(job["document"]["sha256"].as_str().map(str::len), Some(64), "{job}");
    let place = &job["records"][0]["lineage"]["lines[2].amount"];
    assert_eq!(place["from"], "/Envelope/Body/SubmitClaim/Claim/Lines/Line(2)/Amt", "{job}");
    let output = desk.run(&["jobs", "show", &ticket, ".", "--lineage"]);
    assert!(said(&output).contains("/Claim/Lines/Line(2)/Amt"), "{}", said(&output));
    // Another version of the mapping reads otherwise: that is no lineage of this answer.
    desk.edit(MAPPING, "version: 1", "version: 2");
    let output = desk.run(&["jobs", "show", &ticket, ".", "--lineage"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complained(&output).contains("version 1"), "{}", complained(&output));
}

#[test]
fn every_command_has_help_with_an_example() {
    let desk = Desk::quickstart();
    for command in ["serve", "check", "preview", "run", "schema", "jobs", "reviews", "amqp", "explain"] {
        let output = desk.run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = said(&output);
        assert!(help.contains("Example"), "{command}: {help}");
    }
    let root = said(&desk.run(&["--help"]));
    assert!(root.to_lowercase().contains("exit codes"), "{root}");
    assert_eq!(desk.run(&["nonsense"]).status.code(), Some(2));
    assert_eq!(desk.run(&["serve", "nowhere"]).status.code(), Some(3));
}

#[test]
fn an_example_of_help_can_be_pasted() {
    let desk = Desk::quickstart();
    for command in [
        "serve",
        "check",
        "preview",
        "run",
        "schema",
        "explain",
        "jobs",
        "jobs list",
        "jobs show",
        "jobs retry",
        "jobs cancel",
        "jobs export",
        "reviews",
        "reviews list",
        "reviews show",
        "reviews release",
        "reviews correct",
        "reviews reject",
        "amqp",
        "amqp topology",
    ] {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = said(&desk.run(&arguments));
        let Some((_, examples)) = help.split_once("\nExample") else { panic!("{help}") };
        let mut goes_on = false;
        for line in examples.lines().skip(1).take_while(|it| !it.is_empty()) {
            // A line that was broken to fit the screen would be two commands.
            assert!(!line.contains(" ("), "a shell does not take {line:?}");
            let begins = line.starts_with("  vestibule ") || line.starts_with("  and in ");
            assert!(goes_on || begins, "{line:?} in\n{help}");
            goes_on = line.ends_with('\\');
        }
    }
}

#[test]
fn the_tables_of_the_shared_store_are_read_before_they_are_made() {
    let desk = Desk::quickstart();
    let output = desk.run(&["schema", "store", "--schema", "desk_7"]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let sql = said(&output);
    for expected in [
        r#"CREATE SCHEMA "desk_7""#,
        r#"CREATE TABLE "desk_7".jobs"#,
        r#"INSERT INTO "desk_7".versions"#,
        "COMMIT;",
    ] {
        assert!(sql.contains(expected), "{expected} is not in\n{sql}");
    }
    assert!(!sql.contains("{s}"), "{sql}");
    assert_eq!(desk.run(&["schema", "store", "--schema", "a; drop"]).status.code(), Some(2));
    assert_eq!(desk.run(&["schema", "rules", "--schema", "a"]).status.code(), Some(2));
}

#[test]
fn the_schema_is_for_editors() {
    let desk = Desk::quickstart();
    let output = desk.run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    // What editors find in the repository is what the binary says; to renew one: `vestibule schema KIND > FILE`.
    for kind in ["mapping", "config", "rules"] {
        let kept = crate::desk::root().join(format!("mappings/{kind}.schema.json"));
        let kept = std::fs::read_to_string(&kept).unwrap();
        assert!(kept == said(&desk.run(&["schema", kind])), "mappings/{kind}.schema.json is out of date");
    }
}

#[test]
fn a_closed_pipe_is_quiet() {
    let desk = Desk::quickstart();
    let script = format!("'{}' schema | head -c 10", crate::desk::binary().display());
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(desk.folder.path())
        .output()
        .unwrap();
    assert_eq!(complained(&output), "");
}
