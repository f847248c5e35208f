//! `/livez` and `/readyz`, for whoever restarts processes and balances load.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;
use vestibule_core::{
    job::Census,
    ports::JobStore,
    runner::{Alert, SourceFigures},
};

use super::{
    answer::{self, Answer},
    tell,
};
use crate::house::Front;

/// Longest a probe waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process answers: that is all.
pub fn live() -> Answer {
    answer::json(StatusCode::OK, &json!({ "live": true }))
}

/// 200 when work is taken: the store takes writes and the process is not on its way out. What is said besides changes
/// nothing about that: a process whose broker is down still answers calls, and one that has too much to do would only
/// leave more to the others.
pub async fn ready(front: &Front) -> Answer {
    let (store, warnings) = match &front.store {
        None => ("none", Vec::new()),
        Some(store) => match timeout(PATIENCE, store.ready()).await {
            Ok(Ok(())) => ("ok", warnings(store.as_ref()).await),
            Ok(Err(fault)) => {
                tell(&fault, "the store takes no writes");
                ("failed", Vec::new())
            }
            Err(_) => ("slow", Vec::new()),
        },
    };
    let draining = front.is_draining();
    let ready = !draining && matches!(store, "ok" | "none");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut said = json!({ "ready": ready, "draining": draining, "store": store });
    let figures = front.runner.figures();
    let sources: Vec<Value> = figures.sources.iter().map(source).collect();
    let alerts: Vec<Value> = front.runner.alerts().iter().map(alert).collect();
    let shedding: Vec<Value> =
        figures.flows.iter().filter(|it| it.is_shedding).map(|it| (*it.flow).into()).collect();
    let waiting: Vec<Value> = front.runner.census().iter().map(waiting).collect();
    let parts = [
        ("sources", sources),
        ("waiting", waiting),
        ("alerts", alerts),
        ("shedding", shedding),
        ("warnings", warnings),
    ];
    for (name, list) in parts.into_iter().filter(|(_, list)| !list.is_empty()) {
        if let Some(said) = said.as_object_mut() {
            said.insert(name.into(), Value::Array(list));
        }
    }
    answer::json(status, &said)
}

/// What the store has to say although it works. A probe does not wait long for it.
async fn warnings(store: &dyn JobStore) -> Vec<Value> {
    match timeout(PATIENCE, store.warnings()).await {
        Ok(Ok(warnings)) => warnings.into_iter().map(Value::String).collect(),
        Ok(Err(fault)) => {
            tell(&fault, "the store could not be asked for warnings");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

fn source(source: &SourceFigures) -> Value {
    let mut said = json!({ "name": source.name, "flow": &*source.flow, "up": source.is_up, "reconnects": source.reconnects });
    let more = [
        ("stopped", source.stopped.as_deref().map(Value::from)),
        ("held", source.is_held.then_some(Value::Bool(true))),
    ];
    if let Some(said) = said.as_object_mut() {
        said.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    said
}

fn waiting(census: &Census) -> Value {
    let age = census.oldest.map(|it| jiff::Timestamp::now().duration_since(it).as_secs().max(0));
    json!({
        "flow": &*census.flow,
        "queued": census.queued,
        "leased": census.leased,
        "in_review": census.in_review,
        "undelivered": census.undelivered,
        "dead": census.dead,
        "oldest_seconds": age,
    })
}

fn alert(alert: &Alert) -> Value {
    json!({
        "flow": &*alert.flow,
        "measure": alert.measure.word(),
        "value": alert.value,
        "limit": alert.limit,
    })
}
