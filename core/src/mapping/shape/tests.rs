use std::num::NonZeroU16;

use indexmap::IndexMap;
use serde_json::json;

use super::{super::syntax, *};

/// How a thing is done.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// At once.
    Fast,
    /// Later.
    Slow,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Flag {
    Yes(bool),
    Way(Way),
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Backend {
    File { path: String },
    Server { url: String, port: NonZeroU16 },
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
struct Settings {
    /// Its name
    #[schemars(required)]
    name: Option<String>,
    flag: Option<Flag>,
    way: Option<Way>,
    backend: Option<Backend>,
    #[serde(default)]
    words: Vec<Word>,
    share: Option<f64>,
    #[serde(default)]
    table: IndexMap<String, OneOrMany>,
    any: Option<Value>,
}

fn try_read(text: &str) -> (Option<Settings>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let node = syntax::parse(text, &mut diagnostics).unwrap();
    let read = read::<Settings>(&node, "settings", &mut diagnostics);
    (read, diagnostics)
}

#[test]
fn text_becomes_what_the_type_asks_for() {
    let (read, diagnostics) = try_read(
        "name: 010\nflag: no\nway: slow\nbackend: { server: { url: x, port: 8080 } }\nwords: [yes, 01]\nshare: 0.5\n\
         table: { a: 01, b: [02, 2A] }\nany: { deep: [1, x] }\n",
    );
    assert_eq!(diagnostics.render("p", "", false), "");
    let word = |text: &str| Word(text.into());
    assert_eq!(
        read.unwrap(),
        Settings {
            name: Some("010".into()),
            flag: Some(Flag::Yes(false)),
            way: Some(Way::Slow),
            backend: Some(Backend::Server { url: "x".into(), port: NonZeroU16::new(8080).unwrap() }),
            words: vec![word("yes"), word("01")],
            share: Some(0.5),
            table: [
                ("a".into(), OneOrMany::One(word("01"))),
                ("b".into(), OneOrMany::Many(vec![word("02"), word("2A")]))
            ]
            .into_iter()
            .collect(),
            any: Some(json!({ "deep": ["1", "x"] })),
        }
    );
    assert_eq!(try_read("name: a\nflag: fast\n").0.unwrap().flag, Some(Flag::Way(Way::Fast)));
}

#[test]
fn every_problem_is_reported_and_the_rest_is_read() {
    let cases: [(&str, &[&str]); 13] = [
        ("nme: a", &["M011 `nme` is not a key of `settings`"]),
        ("words: [a]", &["M012 `settings` needs `name`"]),
        (
            "name: a\nway: fats\nshare: much",
            &["M013 `fats` is not a valid `way`", "M010 `share` can not be `much`"],
        ),
        ("name: [a]", &["M010 `name` can not be a list"]),
        ("name: a\nflag: maybe", &["M013 `maybe` is not a valid `flag`"]),
        ("name: a\nflag: 'yes'", &["M013 `yes` is not a valid `flag`"]),
        ("name: a\nwords: b", &["M010 `words` can not be `b`"]),
        ("name:", &["M014 `name` has no value"]),
        ("name: a\nbackend: { srver: { url: x } }", &["M011 `srver` is not a key of `backend`"]),
        ("name: a\nbackend: { server: { url: x, port: 0 } }", &["M010 `port` can not be `0`"]),
        ("name: a\nbackend: { server: { url: x, port: 70000 } }", &["M010 `port` can not be `70000`"]),
        ("name: a\nbackend: { file: {} }", &["M012 `file` needs `path`"]),
        ("name: a\ntable: { a: { b: c } }", &["M010 `a` can not be a block of keys"]),
    ];
    for (text, expected) in cases {
        let (read, diagnostics) = try_read(text);
        let got: Vec<String> = diagnostics.all.iter().map(|it| format!("{} {}", it.code, it.title)).collect();
        assert_eq!(got, expected, "input: {text:?}");
        assert!(read.is_some(), "a partial type is read all the same: {text:?}");
    }
    assert_eq!(try_read("name: a\nway: fats").1.all[0].fix.as_ref().map(|it| it.1.as_str()), Some("fast"));
}

#[test]
fn the_editor_schema_takes_what_yaml_makes_of_words() {
    let schema = schema_for::<Settings>();
    let text = schema.to_string();
    assert!(!text.contains("null") && !text.contains("x-partial") && !text.contains("uint"), "{text}");
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let validator = jsonschema::validator_for(&schema).unwrap();
    for good in
        [json!({ "name": 10, "flag": "yes", "words": [true, 1] }), json!({ "name": "a", "flag": false })]
    {
        assert!(validator.is_valid(&good), "{good}");
    }
    for bad in
        [json!({ "name": "a", "flag": "maybe" }), json!({ "name": "a", "x": 1 }), json!({ "flag": true })]
    {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
