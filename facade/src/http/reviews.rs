//! `/v1/reviews`: what waits for a person, and what a person decides.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::{Method, StatusCode, body::Incoming, http::request::Parts};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vestibule_core::{
    fault::{Fault, FaultCode},
    flow::{Flow, Preview},
    job::{Job, JobFilter, JobState, Ruling},
    ports::JobStore,
};

use super::{
    LARGE,
    answer::{self, Answer},
    desk, jobs, not_allowed,
    problem::Problem,
    tell,
};
use crate::{
    config::quantity,
    house::Front,
    reviewing::{self, HOLD, LONGEST_HOLD, Objection},
};

/// Answers below `/v1/reviews`: the list, one of it, or what is decided about one.
pub async fn answer(front: &Front, rest: &[&str], parts: &Parts, body: &mut Option<Incoming>) -> Answer {
    let by = match desk::operator(front, &parts.headers) {
        Ok(by) => by,
        Err(refusal) => return *refusal,
    };
    let Some(store) = &front.store else {
        return Problem::of_http(StatusCode::NOT_FOUND, "no jobs are kept here").answer();
    };
    let looks = matches!(parts.method, Method::GET | Method::HEAD);
    let done = match rest {
        [] | [_] if !looks => return not_allowed("GET, HEAD", "reviews are looked at"),
        [_, _] if parts.method != Method::POST => return not_allowed("POST", "decisions are posted"),
        [] => list(store, parts.uri.query()).await,
        [ticket] => show(front, ticket).await,
        [ticket, verb] => match Wish::read(front, verb, parts, body).await {
            Ok(wish) => decide(front, store, ticket, by, wish).await,
            Err(refusal) => Err(refusal),
        },
        _ => return Problem::of_http(StatusCode::NOT_FOUND, "there is nothing at this path").answer(),
    };
    done.unwrap_or_else(|refusal| *refusal)
}

/// What a reviewer asks for.
enum Wish {
    Hold(Duration),
    Decide { ruling: Ruling, record: Option<u32>, note: Option<String> },
}

/// The body of a request; which keys count depends on the verb.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// How long a hold lasts: `10m`.
    lasts: Option<String>,
    /// Which record, from 1; all that wait when left out.
    record: Option<u32>,
    /// Why.
    note: Option<String>,
    /// Fields by clean name with the legacy text that should have stood there.
    set: Option<BTreeMap<String, String>>,
}

impl Wish {
    async fn read(
        front: &Front,
        verb: &str,
        parts: &Parts,
        body: &mut Option<Incoming>,
    ) -> Result<Self, Box<Answer>> {
        if !matches!(verb, "hold" | "release" | "correct" | "reject") {
            let detail = "a review has hold, release, correct and reject";
            return Err(Box::new(Problem::of_http(StatusCode::NOT_FOUND, detail).answer()));
        }
        let said: Said = desk::said(front, parts, body).await?;
        Self::of(verb, said)
            .map_err(|detail| Box::new(Problem::of(&Fault::new(FaultCode::NotUnderstood, detail)).answer()))
    }

    fn of(verb: &str, said: Said) -> Result<Self, String> {
        let misplaced = match verb {
            "hold" => [
                said.record.map(|_| "record"),
                said.note.as_ref().map(|_| "note"),
                said.set.as_ref().map(|_| "set"),
            ],
            "correct" => [said.lasts.as_ref().map(|_| "lasts"), None, None],
            _ => [said.lasts.as_ref().map(|_| "lasts"), said.set.as_ref().map(|_| "set"), None],
        };
        if let Some(key) = misplaced.into_iter().flatten().next() {
            return Err(format!("`{key}` has no meaning for `{verb}`"));
        }
        let ruling = match verb {
            "hold" => {
                let lasts = match said.lasts.as_deref() {
                    None => HOLD,
                    Some(text) => quantity::duration(text)
                        .filter(|it| *it <= LONGEST_HOLD)
                        .ok_or("`lasts` is a length of time up to 24h, e.g. 10m")?,
                };
                return Ok(Self::Hold(lasts));
            }
            "release" => Ruling::Release,
            "reject" => Ruling::Reject,
            _ => Ruling::Correct(said.set.unwrap_or_default()),
        };
        Ok(Self::Decide { ruling, record: said.record, note: said.note })
    }
}

async fn list(store: &Arc<dyn JobStore>, query: Option<&str>) -> Result<Answer, Box<Answer>> {
    let mut filter = JobFilter { state: Some("in-review".into()), ..JobFilter::default() };
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match (&*name, value.parse::<usize>()) {
            ("flow", _) => filter.flow = Some(value.into_owned()),
            ("limit", Ok(most)) if most > 0 => filter.most = most,
            _ => {
                let detail = "a list of reviews takes `flow` and `limit`";
                return Err(Box::new(Problem::of(&Fault::new(FaultCode::NotUnderstood, detail)).answer()));
            }
        }
    }
    let found = store.list(filter).await.map_err(|fault| failed(&fault, "reviews could not be listed"))?;
    let reviews: Vec<Value> = found.iter().map(line).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "reviews": reviews })))
}

/// A job that waits for a person, in a line of the list.
pub fn line(job: &Job) -> Value {
    let mut out = Map::new();
    out.insert("ticket".into(), job.id.to_string().into());
    out.insert("flow".into(), (*job.flow).into());
    out.insert("accepted".into(), job.accepted.to_string().into());
    if let JobState::InReview { reply, until, hold } = &job.state {
        if let Some(until) = until {
            out.insert("until".into(), until.to_string().into());
        }
        if let Some(hold) = hold {
            out.insert("hold".into(), json!({ "by": hold.by, "until": hold.until.to_string() }));
        }
        out.insert("findings".into(), serde_json::to_value(&reply.findings).unwrap_or_default());
    }
    Value::Object(out)
}

async fn show(front: &Front, ticket: &str) -> Result<Answer, Box<Answer>> {
    let job = in_review(front, ticket).await?;
    let flow = flow_of(front, &job)?;
    let preview = quickly(&job, || reviewing::look(flow, &job)).map_err(|it| objected(&it))?;
    let mut out = jobs::operator_json(&job, None);
    add_records(&mut out, &preview);
    let mut answer = answer::json(StatusCode::OK, &out);
    answer::add_ticket(&mut answer, job.id);
    Ok(answer)
}

async fn decide(
    front: &Front,
    store: &Arc<dyn JobStore>,
    ticket: &str,
    by: &str,
    wish: Wish,
) -> Result<Answer, Box<Answer>> {
    let job = in_review(front, ticket).await?;
    let mut out = json!({ "ticket": job.id.to_string(), "by": by });
    let (word, done) = match wish {
        Wish::Hold(lasts) => ("hold", store.hold(job.id, by.to_owned(), lasts).await),
        Wish::Decide { ruling, record, note } => {
            let flow = flow_of(front, &job)?;
            let decision = reviewing::decision(ruling, record, by, note).map_err(|it| objected(&it))?;
            let preview =
                quickly(&job, || reviewing::judge(flow, &job, &decision)).map_err(|it| objected(&it))?;
            add_records(&mut out, &preview);
            (decision.ruling.word(), store.decide(job.id, vec![decision]).await)
        }
    };
    if !done.map_err(|fault| failed(&fault, "a decision could not be stored"))? {
        return Err(Box::new(taken(&job)));
    }
    tracing::info!(job = %job.id, by, word, "an operator decided");
    if let Some(out) = out.as_object_mut() {
        out.insert("done".into(), word.into());
    }
    Ok(answer::json(StatusCode::OK, &out))
}

async fn in_review(front: &Front, ticket: &str) -> Result<Job, Box<Answer>> {
    let job = jobs::find(front, ticket).await?;
    match &job.state {
        JobState::InReview { .. } => Ok(job),
        other => Err(objected(&Objection::NotInReview(other.word()))),
    }
}

fn flow_of<'f>(front: &'f Front, job: &Job) -> Result<&'f Arc<Flow>, Box<Answer>> {
    front.house.flow(&job.flow).map(|(_, flow)| flow).ok_or_else(|| {
        let detail = "the flow of this job is not served here";
        Box::new(Problem::of_http(StatusCode::CONFLICT, detail).answer())
    })
}

/// Reads a document again; a large one without holding up the other callers of this thread.
fn quickly<T>(job: &Job, work: impl FnOnce() -> T) -> T {
    if job.document.bytes.len() > LARGE { tokio::task::block_in_place(work) } else { work() }
}

fn add_records(out: &mut Value, preview: &Preview) {
    let records = serde_json::to_value(&preview.records).unwrap_or_default();
    if let Some(out) = out.as_object_mut() {
        out.insert("records".into(), records);
    }
}

fn taken(job: &Job) -> Answer {
    let detail = match &job.state {
        JobState::InReview { hold: Some(hold), .. } => {
            format!("`{}` looks at this job until {}", hold.by, hold.until)
        }
        _ => "another one looks at this job, or it was decided just now".to_owned(),
    };
    Problem::of_http(StatusCode::CONFLICT, &detail).answer()
}

/// What a reviewer is told of a decision that is not taken.
fn objected(objection: &Objection) -> Box<Answer> {
    let status = match objection {
        Objection::NotInReview(_) | Objection::Unreadable(_) => StatusCode::CONFLICT,
        Objection::NoRecord { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Box::new(Problem::of_http(status, &objection.to_string()).answer())
}

fn failed(fault: &Fault, what: &'static str) -> Box<Answer> {
    tell(fault, what);
    Box::new(Problem::of(fault).answer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_takes_its_own_keys() {
        let said = |text: &str| serde_json::from_str::<Said>(text).unwrap();
        for (verb, text, expected) in [
            ("hold", "{}", Ok(())),
            ("hold", r#"{"lasts":"10m"}"#, Ok(())),
            ("hold", r#"{"lasts":"25h"}"#, Err("`lasts` is a length of time up to 24h, e.g. 10m")),
            ("hold", r#"{"record":1}"#, Err("`record` has no meaning for `hold`")),
            ("release", r#"{"record":1,"note":"ok"}"#, Ok(())),
            ("release", r#"{"set":{"a":"b"}}"#, Err("`set` has no meaning for `release`")),
            ("reject", r#"{"lasts":"1m"}"#, Err("`lasts` has no meaning for `reject`")),
            ("correct", r#"{"set":{"a":"b"},"record":2}"#, Ok(())),
        ] {
            let got = Wish::of(verb, said(text)).map(|_| ());
            assert_eq!(got, expected.map_err(str::to_owned), "{verb} {text}");
        }
        assert!(serde_json::from_str::<Said>(r#"{"sett":{}}"#).is_err());
    }
}
