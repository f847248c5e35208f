//! Lines of headers that callers, models and receivers send: `Prefer`, and `Retry-After` with its cousins. Nothing may panic
//! or be slow, and no wait is longer than what its reader allows.
#![no_main]

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use libfuzzer_sys::fuzz_target;

#[path = "../../facade/src/http/prefer.rs"]
mod prefer;

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|it| *it == b'\n').take(8) {
        let Ok(value) = HeaderValue::from_bytes(line) else { continue };
        for name in ["prefer", "retry-after", "retry-after-ms"] {
            headers.append(HeaderName::from_static(name), value.clone());
        }
    }
    if let Some(Some(wait)) = prefer::preference(&headers) {
        assert!(!wait.is_zero(), "a caller that waits no time asks for a ticket");
    }
    let now = jiff::Timestamp::UNIX_EPOCH;
    let _ = vestibule_model_http::probe(&headers, now);
    let _ = vestibule_webhook::probe_answer(&headers, now);
    headers.remove("retry-after-ms");
    let _ = vestibule_model_http::probe(&headers, now);
});
