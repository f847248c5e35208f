//! The body of a chat completion: one object of JSON inside, or a reason why there is none.

use serde::Deserialize;
use serde_json::{Map, Value};
use vestibule_core::ask::{Answered, Usage};

use crate::error::ChatError;

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// `prompt_tokens` includes the cached ones.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// Reads a successful response.
pub(crate) fn read(body: &[u8]) -> Result<Answered, ChatError> {
    let completion: Completion = serde_json::from_slice(body).map_err(|_| ChatError::NotACompletion)?;
    let choice = completion.choices.into_iter().next().ok_or(ChatError::NotACompletion)?;
    match choice.finish_reason.as_deref() {
        Some("length") => return Err(ChatError::CutOff { reason: "length" }),
        Some("content_filter") => return Err(ChatError::CutOff { reason: "content_filter" }),
        _ => {}
    }
    if choice.message.refusal.is_some_and(|text| !text.is_empty()) {
        return Err(ChatError::Refused);
    }
    let content = choice.message.content.unwrap_or_default();
    let answer: Map<String, Value> = serde_json::from_str(&content).map_err(|_| ChatError::NotAnObject)?;
    let usage = completion.usage.map(usage).unwrap_or_default();
    Ok(Answered { answer, usage })
}

fn usage(tokens: Tokens) -> Usage {
    let cached_input = tokens.prompt_tokens_details.and_then(|it| it.cached_tokens).unwrap_or_default();
    Usage { input: tokens.prompt_tokens, cached_input, output: tokens.completion_tokens }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completion(message: Value, finish: &str) -> String {
        json!({ "choices": [{ "index": 0, "message": message, "finish_reason": finish }] }).to_string()
    }

    #[test]
    fn a_good_completion_gives_its_object_and_its_usage() {
        let body = json!({
            "id": "x",
            "choices": [{ "message": { "role": "assistant", "content": "{\"priority\":\"high\",\"confidence\":0.92}", "refusal": null }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150, "prompt_tokens_details": { "cached_tokens": 100 } },
        });
        let answered = read(body.to_string().as_bytes()).unwrap();
        let expected = json!({ "priority": "high", "confidence": 0.92 });
        assert_eq!(Value::Object(answered.answer), expected);
        assert_eq!(answered.usage, Usage { input: 120, cached_input: 100, output: 30 });
    }

    #[test]
    fn what_is_not_an_answer_is_refused_by_name() {
        let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
        for (body, expected) in [
            (String::new(), "the model's response is not a chat completion"),
            ("<html>".into(), "the model's response is not a chat completion"),
            (r#"{"choices":[]}"#.into(), "the model's response is not a chat completion"),
            (r#"{"choices":"x"}"#.into(), "the model's response is not a chat completion"),
            (completion(json!({ "content": "{\"a\":1" }), "stop"), "the answer is not a JSON object"),
            (completion(json!({ "content": "[1]" }), "stop"), "the answer is not a JSON object"),
            (completion(json!({ "content": null }), "stop"), "the answer is not a JSON object"),
            (completion(json!({ "content": "```json\n{}\n```" }), "stop"), "the answer is not a JSON object"),
            (completion(json!({ "content": deep }), "stop"), "the answer is not a JSON object"),
            (completion(json!({ "content": "{}" }), "length"), "the answer was cut off (length)"),
            (
                completion(json!({ "content": "{}" }), "content_filter"),
                "the answer was cut off (content_filter)",
            ),
            (completion(json!({ "content": null, "refusal": "No." }), "stop"), "the model refused to answer"),
        ] {
            let error = read(body.as_bytes()).expect_err("input: {body}").to_string();
            let start: String = body.chars().take(80).collect();
            assert_eq!(error, expected, "input: {start}");
        }
    }
}
