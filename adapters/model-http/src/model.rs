//! One model on one server.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
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

/// The header by which a server knows a request that it has answered before.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is asked.
pub(crate) struct Question<'a> {
    pub flow: &'a str,
    pub prompt: &'a str,
    pub schema: &'a Value,
    /// Empty where there is no job.
    pub request_id: &'a str,
}

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
    pub async fn converse(&self, question: Question<'_>, deadline: Instant) -> Result<Answered, Fault> {
        let Question { flow, prompt, schema, request_id } = question;
        let mut request = ChatRequest::new(&self.model, flow, prompt, schema);
        request.temperature = self.temperature;
        request.max_tokens = self.max_tokens;
        let body = serde_json::to_vec(&request).map_err(|error| {
            Fault::new(FaultCode::Internal, "the request can not be written").because(error)
        })?;
        let own = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let until = own.map_or(deadline, |own| own.min(deadline));
        match timeout_at(until, self.exchange(body, request_id)).await {
            Ok(outcome) => outcome.map_err(Fault::from),
            Err(_) => Err(ChatError::Late.into()),
        }
    }

    async fn exchange(&self, body: Vec<u8>, request_id: &str) -> Result<Answered, ChatError> {
        let mut headers = self.headers.clone();
        // Servers that know the key answer a repeated request from what they stored; the others pass it over.
        if let Ok(key) = HeaderValue::from_str(request_id)
            && !request_id.is_empty()
        {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
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
            let question = Question {
                flow: &task.mapping.name,
                prompt: &prompt,
                schema: task.schema,
                request_id: task.request_id,
            };
            self.converse(question, deadline).await
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
