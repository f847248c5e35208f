//! One model on one server.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use vestibule_core::{
    ask::{Answered, Task},
    fault::{Fault, FaultCode},
    gate::Admitted,
    ports::Model,
};

use crate::{answer, error::ChatError, request::ChatRequest, settings::Settings};

/// Longest response that is read.
const LONGEST_RESPONSE: usize = 1024 * 1024;
/// Longest error response that is read for its code.
const LONGEST_ERROR: usize = 64 * 1024;

/// A model that is asked by chat completions.
pub(crate) struct ChatModel {
    name: String,
    client: Client,
    url: Url,
    headers: HeaderMap,
    model: String,
    temperature: Option<f64>,
    max_tokens: Option<u32>,
    timeout: Option<Duration>,
}

impl ChatModel {
    pub fn new(name: &str, settings: Settings, client: Client) -> Self {
        let mut headers = settings.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = settings.key {
            headers.insert(AUTHORIZATION, key.header());
        }
        Self {
            name: name.to_owned(),
            client,
            url: settings.url,
            headers,
            model: settings.model,
            temperature: settings.temperature,
            max_tokens: settings.max_tokens,
            timeout: settings.timeout,
        }
    }

    /// One question, one answer, by the deadline or the model's own time, whichever is first.
    pub async fn converse(
        &self,
        flow: &str,
        prompt: &str,
        schema: &Value,
        deadline: Instant,
    ) -> Result<Answered, Fault> {
        let mut request = ChatRequest::new(&self.model, flow, prompt, schema);
        request.temperature = self.temperature;
        request.max_tokens = self.max_tokens;
        let body = serde_json::to_vec(&request).map_err(|error| {
            Fault::new(FaultCode::Internal, "the request can not be written").because(error)
        })?;
        let own = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let until = own.map_or(deadline, |own| own.min(deadline));
        match timeout_at(until, self.exchange(body)).await {
            Ok(outcome) => outcome.map_err(Fault::from),
            Err(_) => Err(ChatError::Late.into()),
        }
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<Answered, ChatError> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = request.send().await.map_err(connection)?;
        let status = response.status();
        if status.is_success() {
            return answer::read(&bounded(&mut response, LONGEST_RESPONSE).await?);
        }
        // An error whose text is too long or is cut off is still an error of this status.
        let text = bounded(&mut response, LONGEST_ERROR).await.unwrap_or_default();
        Err(ChatError::from_status(status, response.headers(), &text, jiff::Timestamp::now()))
    }
}

impl Model for ChatModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn infer<'a>(
        &'a self,
        task: &'a Task<'a>,
        _input: &'a Admitted,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            let prompt = (task.prompt)()?;
            self.converse(&task.mapping.name, &prompt, task.schema, deadline).await
        })
    }
}

/// The whole body, given up as soon as it passes the limit.
async fn bounded(response: &mut Response, limit: usize) -> Result<BytesMut, ChatError> {
    let too_long = || ChatError::TooLong { limit };
    let announced = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_long())?;
    if announced > limit {
        return Err(too_long());
    }
    let mut body = BytesMut::with_capacity(announced);
    while let Some(part) = response.chunk().await.map_err(connection)? {
        if body.len() + part.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The address is left out: it may name an internal host.
fn connection(error: reqwest::Error) -> ChatError {
    if error.is_timeout() { ChatError::Late } else { ChatError::Connection(error.without_url()) }
}
