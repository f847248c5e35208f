//! `/livez` and `/readyz`, for whoever restarts processes and balances load.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use tokio::time::timeout;

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

/// 200 when work is taken: the store takes writes and the process is not on its way out.
pub async fn ready(front: &Front) -> Answer {
    let store = match &front.store {
        None => "none",
        Some(store) => match timeout(PATIENCE, store.ready()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(fault)) => {
                tell(&fault, "the store takes no writes");
                "failed"
            }
            Err(_) => "slow",
        },
    };
    let draining = front.is_draining();
    let ready = !draining && matches!(store, "ok" | "none");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &json!({ "ready": ready, "draining": draining, "store": store }))
}
