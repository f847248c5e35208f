//! A model behind HTTP that counts what it is asked: an OpenAI-compatible server with one answer for everything.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// A running server. Ends when dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: String,
    delay: Duration,
    calls: Mutex<Vec<Call>>,
    ended: AtomicBool,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Call {
    /// `Idempotency-Key` as sent; empty where there was none.
    pub request_id: String,
    /// When its answer was written to the socket.
    pub answered: Instant,
}

impl ModelServer {
    /// Starts a server that answers every question with this JSON after this time.
    pub fn start(answer: &Value, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", crate::process::free_port()?))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answer: completion(answer),
            delay,
            calls: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new().name("model".into()).spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&serving)) else { continue };
                // A connection that breaks is its client's business: clients of crash tests are killed.
                std::thread::Builder::new().spawn(move || shared.serve(stream).ok()).ok();
            }
        })?;
        Ok(Self { address, shared })
    }

    /// What `url:` of an `openai` model must say.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every question so far, in the order of the answers.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls().clone()
    }

    /// How often each question was asked.
    pub fn asked(&self) -> HashMap<String, Vec<Instant>> {
        let mut asked: HashMap<String, Vec<Instant>> = HashMap::new();
        for call in self.calls() {
            asked.entry(call.request_id).or_default().push(call.answered);
        }
        asked
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(Asked { request_id, is_last }) = read_request(&mut reader)? {
            std::thread::sleep(self.delay);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                self.answer.len()
            );
            writer.write_all(format!("{head}{}", self.answer).as_bytes())?;
            self.calls().push(Call { request_id, answered: Instant::now() });
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

struct Asked {
    request_id: String,
    /// The client wants the connection closed.
    is_last: bool,
}

/// The next request; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let (mut length, mut request_id, mut is_last) = (0_u64, String::new(), false);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "idempotency-key" => value.trim().clone_into(&mut request_id),
            "connection" => is_last = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some(Asked { request_id, is_last }))
}

fn completion(answer: &Value) -> String {
    json!({
        "id": "chatcmpl-test", "object": "chat.completion", "created": 0, "model": "test",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": answer.to_string() },
        }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_counted_by_their_idempotency_key() {
        let server = ModelServer::start(&json!({ "priority": "low" }), Duration::ZERO).unwrap();
        for key in ["a", "b", "a"] {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
            let reply = crate::http::post(server.address, "/v1/chat/completions", &headers, b"{}").unwrap();
            let reply: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(reply["choices"][0]["message"]["content"], r#"{"priority":"low"}"#);
        }
        let asked = server.asked();
        assert_eq!((asked["a"].len(), asked["b"].len()), (2, 1));
    }
}
