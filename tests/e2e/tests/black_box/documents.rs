//! The pages say what is true: links lead somewhere, examples pass the check, commands and codes are known.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::desk::{Desk, binary, root};

/// A Markdown page: its path from the root, and its text.
struct Page {
    name: String,
    text: String,
}

/// A fenced block, with the mark in the line before it: `<!-- complete mapping -->`.
#[derive(Debug, PartialEq)]
struct Block {
    language: String,
    mark: Option<String>,
    text: String,
}

fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Build results, tools and checked-out worlds are not ours to read.
            if name.starts_with('.') || ["target", "node_modules", "out", "corpus", "data"].contains(&&*name)
            {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Page { name: path.strip_prefix(root()).unwrap().display().to_string(), text });
            }
        }
    }
    assert!(found.len() >= 15, "the pages were not found: {}", found.len());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn page(name: &str) -> Page {
    Page { name: name.into(), text: fs::read_to_string(root().join(name)).unwrap() }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut before, mut lines) = ("", text.lines());
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let mark = before.strip_prefix("<!-- ").and_then(|it| it.strip_suffix(" -->"));
            let inside: Vec<&str> = lines.by_ref().take_while(|it| !it.starts_with("```")).collect();
            let text = inside.join("\n") + "\n";
            found.push(Block { language: language.into(), mark: mark.map(Into::into), text });
        }
        before = line;
    }
    found
}

/// The text without its fenced blocks and without code between backticks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.extend(line.split('`').step_by(2));
            out.push('\n');
        }
    }
    out
}

/// Targets of `[label](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|it| it.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// Anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let hashes = line.bytes().take_while(|it| *it == b'#').count();
        if fenced || hashes == 0 || !line[hashes..].starts_with(' ') {
            continue;
        }
        let slug = line[hashes..].trim().to_lowercase();
        let slug = slug.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
        found.insert(slug.map(|it| if it == ' ' { '-' } else { it }).collect());
    }
    found
}

/// What is wrong with the relative links of a page in `folder`.
fn broken(text: &str, own: &str, folder: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for link in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) =
            link.split_once('#').map_or((&*link, None), |(path, anchor)| (path, Some(anchor)));
        let target = if path.is_empty() { folder.join(own) } else { folder.join(path) };
        if !target.exists() {
            wrong.push(format!("{link}: there is no such file"));
            continue;
        }
        if let Some(anchor) = anchor {
            let there = if path.is_empty() { text.to_owned() } else { fs::read_to_string(&target).unwrap() };
            if !anchors(&there).contains(anchor) {
                wrong.push(format!("{link}: there is no such heading"));
            }
        }
    }
    wrong
}

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(root()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let wrong: Vec<String> = pages()
        .iter()
        .flat_map(|page| {
            let path = root().join(&page.name);
            let own = path.file_name().unwrap().to_str().unwrap();
            let found = broken(&page.text, own, path.parent().unwrap());
            found.into_iter().map(move |it| format!("{}: {it}", page.name))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_broken_link_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("other.md"), "# One\n\n### G101: required\n").unwrap();
    let text = "## Here: it is\n[a](other.md#g101-required) [b](#here-it-is) `[c](none.md)` [w](https://x.example/y)\n\
                [d](other.md#two) [e](none.md) [f](#there)\n```\n[g](none.md)\n# No heading\n```\n";
    fs::write(folder.path().join("own.md"), text).unwrap();
    let expected = [
        "other.md#two: there is no such heading",
        "none.md: there is no such file",
        "#there: there is no such heading",
    ];
    assert_eq!(broken(text, "own.md", folder.path()), expected);
    assert!(!anchors(text).contains("no-heading"));
}

#[test]
fn every_page_of_docs_stands_in_its_index() {
    let index = page("docs/README.md");
    let listed = links(&index.text);
    for page in pages().iter().filter(|it| it.name.starts_with("docs/") && it.name != index.name) {
        let file = page.name.trim_start_matches("docs/");
        assert!(listed.iter().any(|it| it == file), "docs/README.md does not list {file}");
    }
}

/// Puts a block into the quickstart, in the place of its own file, or beside it.
fn put(block: &Block, desk: &Desk) -> Option<PathBuf> {
    let mark = block.mark.as_deref()?;
    let folder = desk.folder.path();
    let file = match mark {
        "complete mapping" => {
            // A desk of its own: the mapping's route is not the quickstart's.
            fs::remove_dir_all(folder.join("mappings")).unwrap();
            fs::remove_file(folder.join("vestibule.yaml")).unwrap();
            fs::create_dir(folder.join("mappings")).unwrap();
            let route = block.text.lines().find_map(|it| it.trim().strip_prefix("route: "));
            if let Some(route) = route {
                let model = "{ openai: { url: http://127.0.0.1:1/v1, model: none } }";
                let text = format!("models: {{ some: {model} }}\nroutes: {{ {route}: [some] }}\n");
                fs::write(folder.join("vestibule.yaml"), text).unwrap();
                // That model needs a prompt; a page need not show one.
                let line = format!("  route: {route}\n");
                let file = folder.join("mappings/example.map.yaml");
                fs::write(folder.join("mappings/p.md"), "Answer.").unwrap();
                fs::write(&file, block.text.replacen(&line, &format!("{line}  prompt: p.md\n"), 1)).unwrap();
                return Some(file);
            }
            folder.join("mappings/example.map.yaml")
        }
        "complete table" => folder.join("mappings/triage.rules.yaml"),
        "complete configuration" => folder.join("vestibule.yaml"),
        _ => panic!("an unknown mark: {mark}"),
    };
    fs::write(&file, &block.text).unwrap();
    Some(file)
}

#[test]
fn examples_that_are_marked_as_complete_pass_the_check() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for page in pages() {
        for block in blocks(&page.text) {
            let desk = Desk::quickstart();
            if put(&block, &desk).is_none() {
                continue;
            }
            let output = desk.run(&["check", "."]);
            assert_eq!(output.status.code(), Some(0), "{}:\n{}", page.name, said(&output));
            *kinds.entry(block.mark.unwrap()).or_default() += 1;
        }
    }
    let enough = |mark: &str, least: usize| kinds.get(mark).is_some_and(|it| *it >= least);
    assert!(enough("complete mapping", 2) && enough("complete table", 1), "{kinds:?}");
    assert!(enough("complete configuration", 2), "{kinds:?}");
}

#[test]
fn a_wrong_example_does_not_pass() {
    for (mark, text, code) in [
        ("complete mapping", "mapping: a\nsource: { kind: xml }\nrecord: { b: { form: B } }\n", "M011"),
        ("complete table", "rules: a\notherwise: { priority: none }\n", "A203"),
        ("complete configuration", "rutes: {}\n", "M011"),
    ] {
        let desk = Desk::quickstart();
        put(&Block { language: "yaml".into(), mark: Some(mark.into()), text: text.into() }, &desk);
        let output = desk.run(&["check", "."]);
        assert_eq!(output.status.code(), Some(1), "{mark}");
        assert!(said(&output).contains(code), "{mark}:\n{}", said(&output));
    }
}

/// Lines that say something: without blanks at the end, comments and empty lines.
fn telling(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim_end);
    lines.filter(|it| !it.is_empty() && !it.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_first_mapping_is_the_finished_sample_line_by_line() {
    let shown: BTreeSet<String> = blocks(&page("docs/first-mapping.md").text)
        .iter()
        .filter(|it| matches!(&*it.language, "yaml"))
        .flat_map(|it| telling(&it.text))
        .collect();
    let sample = root().join("samples/returns");
    let mut finished = BTreeSet::new();
    for file in ["mappings/return-desk.map.yaml", "mappings/return-desk.rules.yaml", "vestibule.yaml"] {
        finished.extend(telling(&fs::read_to_string(sample.join(file)).unwrap()));
    }
    let missing: Vec<_> = finished.symmetric_difference(&shown).collect();
    assert!(missing.is_empty(), "only on one side: {missing:#?}");
}

#[test]
fn the_first_mapping_answers_as_its_page_says() {
    let desk = Desk::of("returns");
    let output = desk.run(&["run", "mappings/return-desk.map.yaml", "requests/return.xml"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = page("docs/first-mapping.md").text;
    let shown = blocks(&text).into_iter().rfind(|it| it.language == "xml").unwrap();
    // The page's reply comes before `receive`, which gives the namespace its name.
    let shown: String = shown.text.lines().map(str::trim).collect();
    let reply = String::from_utf8(output.stdout)
        .unwrap()
        .replace("urn:vestibule:ReturnService", "urn:vestibule:return-desk");
    assert_eq!(reply.trim(), shown);
    let request = fs::read_to_string(desk.folder.path().join("requests/return.xml")).unwrap();
    assert!(text.contains(request.trim()), "the page shows another request");
}

#[test]
fn the_readme_shows_the_answer_that_the_quickstart_gives() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let reply = crate::desk::call(&server, &desk.request("good.xml"));
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    let shown = blocks(&page("README.md").text).into_iter().find(|it| it.language == "xml").unwrap();
    let elements = ["ClaimNo", "PriorityCd", "FraudFlg", "ReasonTxt", "StatusCd"];
    for name in elements {
        let (said, got) = (crate::desk::element(&shown.text, name), crate::desk::element(&body, name));
        assert!(said.is_some() && said == got, "{name}: README {said:?}, server {got:?}");
    }
}

/// Command lines of `vestibule` in blocks and between backticks: the words after the name, up to what is no plain word.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let fenced = blocks(text).into_iter().filter(|it| matches!(&*it.language, "sh" | "ini"));
    let fenced = fenced.flat_map(|it| it.text.lines().map(str::to_owned).collect::<Vec<_>>());
    let inline = text.split('`').skip(1).step_by(2).filter(|it| !it.contains('\n')).map(str::to_owned);
    let mut found = Vec::new();
    for line in fenced.chain(inline) {
        let line = line.split(" #").next().unwrap_or_default().to_owned();
        let after = ["vestibule ", "cargo run --release -- "].iter().find_map(|it| line.split_once(it));
        let Some((before, after)) = after else { continue };
        if before.is_empty() || before.ends_with(['/', '=']) || before.ends_with(' ') {
            found.push(after.split_whitespace().map(str::to_owned).collect());
        }
    }
    found
}

#[test]
fn every_command_that_a_page_shows_is_known() {
    let root_help = said(&run(&["--help"]));
    let is_listed =
        |help: &str, word: &str| help.lines().any(|it| it.trim_start().starts_with(&format!("{word} ")));
    let mut seen = BTreeSet::new();
    for page in pages() {
        for words in command_lines(&page.text) {
            let Some(command) = words.first().filter(|it| it.chars().all(|it| it.is_ascii_lowercase()))
            else {
                continue;
            };
            // What is still to come is said to be so.
            if command == "test" {
                assert!(page.text.contains("`vestibule test` are to come"), "{}: {words:?}", page.name);
                continue;
            }
            assert!(is_listed(&root_help, command), "{}: there is no `vestibule {command}`", page.name);
            let mut path = vec![command.as_str()];
            let has_commands = ["jobs", "reviews", "amqp", "db"].contains(&&**command);
            if let Some(second) = words.get(1).filter(|_| has_commands) {
                let help = said(&run(&[command.as_str(), "--help"]));
                assert!(is_listed(&help, second), "{}: {words:?}", page.name);
                path.push(second);
            }
            path.push("--help");
            let help = said(&run(&path));
            for flag in
                words.iter().filter(|it| it.starts_with("--") || (it.starts_with('-') && it.len() == 2))
            {
                let flag = flag.split('=').next().unwrap_or_default();
                assert!(help.contains(flag), "{}: `{}` has no {flag}", page.name, words.join(" "));
            }
            seen.insert(command.clone());
        }
    }
    for command in ["serve", "check", "preview", "run", "schema", "jobs", "explain"] {
        assert!(seen.contains(command), "no page shows `vestibule {command}`");
    }
    assert_eq!(command_lines("`vestibule chek x` ```\n"), [["chek", "x"]]);
    assert!(!is_listed(&root_help, "chek"));
}

/// Names of properties anywhere in a JSON Schema.
fn properties(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(own)) = map.get("properties") {
                found.extend(own.keys().cloned());
            }
            map.values().for_each(|it| properties(it, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|it| properties(it, found)),
        _ => {}
    }
}

#[test]
fn every_key_that_a_file_may_have_stands_on_its_page() {
    for (of, names) in [
        ("mapping", &["docs/mapping.md", "docs/formats.md"][..]),
        ("config", &["docs/operations.md", "docs/models.md", "docs/configuration.md"]),
        ("rules", &["docs/decision-tables.md"]),
    ] {
        let schema = serde_json::from_slice(&run(&["schema", of]).stdout).unwrap();
        let mut keys = BTreeSet::new();
        properties(&schema, &mut keys);
        assert!(keys.len() >= 5, "{of}: {keys:?}");
        let text: String = names.iter().map(|it| page(it).text).collect();
        let in_code: BTreeSet<&str> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .flat_map(|it| it.split(|it: char| !it.is_ascii_alphanumeric() && it != '_'))
            .collect();
        let missing: Vec<_> = keys.iter().filter(|it| !in_code.contains(it.as_str())).collect();
        assert!(missing.is_empty(), "{names:?} say nothing of {missing:?}");
    }
}

/// Codes in quotes in the sources, where they are made. What stands in tests does not count.
pub fn codes_of_the_sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = ["core/src", "adapters", "facade/src"].map(|it| root().join(it)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                for code in text.split('"').filter(|it| is_code(it)) {
                    found.insert(code.to_owned(), path.display().to_string());
                }
            }
        }
    }
    found
}

fn is_code(word: &str) -> bool {
    word.len() == 4
        && word.starts_with(['V', 'G', 'M', 'C', 'A'])
        && word.bytes().skip(1).all(|it| it.is_ascii_digit())
}

#[test]
fn explain_knows_every_code_that_the_sources_make() {
    let codes = codes_of_the_sources();
    assert!(codes.len() > 80, "the codes were not found: {}", codes.len());
    for (code, file) in &codes {
        let output = run(&["explain", code]);
        assert_eq!(output.status.code(), Some(0), "{code} of {file}: {}", said(&output));
        assert!(said(&output).contains("Remedy."), "{code} has no remedy: {}", said(&output));
    }
    assert_eq!(run(&["explain", "M999"]).status.code(), Some(2));
}

#[test]
fn pages_name_no_code_that_there_is_not() {
    let known = codes_of_the_sources();
    let listed = said(&run(&["explain"]));
    for page in pages() {
        for word in page.text.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| is_code(it)) {
            assert!(known.contains_key(word), "{} names {word}", page.name);
        }
    }
    let faults = anchors(&page("docs/faults.md").text);
    for line in listed.lines().filter(|it| it.starts_with(['V', 'G'])) {
        let code = line.split_whitespace().next().unwrap_or_default().to_lowercase();
        let has = faults.iter().any(|it| it.starts_with(&format!("{code}-")));
        assert!(has, "docs/faults.md has no section for {line}");
    }
}

#[test]
fn what_check_says_in_the_decision_tables_page_is_what_it_says() {
    let text = page("docs/decision-tables.md").text;
    let all = blocks(&text);
    let table = all.iter().find(|it| it.mark.as_deref() == Some("complete table")).unwrap();
    let shown = all.iter().find(|it| it.text.starts_with("error[M041]")).unwrap();
    let desk = Desk::quickstart();
    put(table, &desk);
    desk.edit("mappings/triage.rules.yaml", "reserve > 25000", "resrve > 25000");
    let output = desk.run(&["check", "."]);
    let all = said(&output);
    for line in shown.text.lines().map(str::trim_end).filter(|it| !it.is_empty()) {
        let line = line.replace("--> ", "");
        let line = line.trim_start();
        assert!(all.contains(line), "the page says {line:?}, check says\n{all}");
    }
}
