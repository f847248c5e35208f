//! What comes in: a body bounded in size and time, and the headers that mean something here.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, StatusCode,
    body::Body,
    header::{self, HeaderName},
};
use tokio::time::{Instant, timeout, timeout_at};
use vestibule_core::{
    document::IdempotencyKey,
    fault::{Fault, FaultCode, Recovery},
};

use super::room::{NoRoom, Room, Share};
use crate::config::Limits;

/// Least memory reserved once a body comes in more than one piece.
const FIRST_ROOM: usize = 64 * 1024;

/// When a caller is asked to come again for whose body there is no room.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// Longest time spent on a body that nobody wants.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than allowed.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The caller hung up or broke the framing.
    Broken,
    /// Too many bytes of other bodies are held.
    NoRoom,
}

impl From<NoRoom> for Unread {
    fn from(_: NoRoom) -> Self {
        Self::NoRoom
    }
}

impl Unread {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The same as a fault.
    pub fn fault(&self, limits: &Limits) -> Fault {
        match self {
            Self::TooLarge => {
                Fault::new(FaultCode::TooLarge, format!("the body is longer than {} bytes", limits.body))
            }
            Self::TooSlow => Fault::new(
                FaultCode::TooLarge,
                format!("the body did not arrive within {} ms", limits.read.as_millis()),
            ),
            Self::NoRoom => Fault::new(FaultCode::Unavailable, "too many large documents are under way")
                .recovery(Recovery::RetryAfter(COME_AGAIN)),
            Self::Broken => Fault::new(FaultCode::Malformed, "the body ended before its announced length"),
        }
    }
}

/// The whole body, taken from its place. Never holds more than `limits.body` bytes, never waits longer than
/// `limits.read` for them, nor longer than that for room. The room is free again when the last part of the body is
/// dropped.
pub async fn read<B>(
    headers: &HeaderMap,
    body: &mut Option<B>,
    limits: &Limits,
    room: &Room,
) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(mut body) = body.take() else { return Ok(Bytes::new()) };
    let result = match usize::try_from(body.size_hint().lower()) {
        Ok(announced) if announced <= limits.body => collect(&mut body, announced, limits, room).await,
        _ => Err(Unread::TooLarge),
    };
    if matches!(result, Err(Unread::TooLarge | Unread::NoRoom)) {
        let_go(headers, body, limits.body).await;
    }
    result
}

/// Reads on a little in a body that nobody wants: a caller that is still writing when the connection closes sees a
/// reset instead of the answer. One that waits to be told to go on is not told. False: not all of it was read, and the
/// connection can not be used again.
pub async fn let_go<B>(headers: &HeaderMap, mut body: B, most: usize) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    body.is_end_stream()
        || !headers.contains_key(header::EXPECT)
            && timeout(LETTING_GO, discard(&mut body, most)).await.unwrap_or(false)
}

async fn collect<B>(body: &mut B, announced: usize, limits: &Limits, room: &Room) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut share = room.share(announced, limits.read).await?;
    let mut until = Instant::now() + limits.read;
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = timeout_at(until, body.frame()).await.map_err(|_| Unread::TooSlow)? {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        let length = first.len().max(whole.len()).saturating_add(data.len());
        if length > limits.body {
            return Err(Unread::TooLarge);
        }
        until += grow(&mut share, length, limits).await?;
        if whole.is_empty() {
            if first.is_empty() {
                // Most bodies come in one piece, which is then kept without a copy.
                first = data;
                continue;
            }
            // Memory for what was announced is counted already; doubling on the way would take up to twice of it.
            whole.reserve(if announced > 0 { announced } else { FIRST_ROOM }.max(length));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(share.keep(if whole.is_empty() { first } else { whole.freeze() }))
}

/// Room for a body of this length; how long that took is no time of the caller's.
async fn grow(share: &mut Share, length: usize, limits: &Limits) -> Result<Duration, Unread> {
    let began = Instant::now();
    share.grow(length, limits.body, limits.read).await?;
    Ok(began.elapsed())
}

/// True once it is read to its end.
async fn discard<B>(body: &mut B, most: usize) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = most;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else { return false };
        left = rest;
    }
    true
}

/// The text of a header, where it is there and printable ASCII.
pub fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A header's text to keep.
pub fn kept(headers: &HeaderMap, name: &HeaderName) -> Option<Arc<str>> {
    text(headers, name).map(Arc::from)
}

/// Media type in lower case without parameters, and the character set, of `Content-Type`.
pub fn media_type(headers: &HeaderMap) -> Option<(String, Option<String>)> {
    let whole = text(headers, &header::CONTENT_TYPE)?;
    let (kind, parameters) = whole.split_once(';').unwrap_or((whole, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    (!kind.is_empty()).then_some((kind, charset.filter(|it| !it.is_empty())))
}

/// The caller's `Idempotency-Key`, as plain text or as the quoted string of the IETF draft. A key that can not be kept is a fault:
/// to go on without it could do the work twice.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Fault> {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");
    let mut values = headers.get_all(&NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|it| it != value) {
        return Err(Fault::new(FaultCode::NotUnderstood, "two Idempotency-Key headers that differ"));
    }
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let key = IdempotencyKey::new(bare).ok_or_else(|| {
        let most = IdempotencyKey::LONGEST;
        Fault::new(
            FaultCode::NotUnderstood,
            format!("Idempotency-Key must be 1 to {most} printable ASCII characters"),
        )
    })?;
    Ok(Some(key))
}

/// A body that is packed (`Content-Encoding: gzip`) is told so, instead of being called not well-formed.
pub fn not_packed(headers: &HeaderMap) -> Result<(), Fault> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let plain = |it: &header::HeaderValue| {
        it.to_str().is_ok_and(|it| matches!(it.trim().to_ascii_lowercase().as_str(), "" | "identity"))
    };
    if values.into_iter().all(plain) {
        return Ok(());
    }
    let message = "the body has a Content-Encoding; documents are taken as they are, not packed";
    Err(Fault::new(FaultCode::NotUnderstood, message))
}

/// True when the caller asked for the connection to end after this request.
pub fn wants_close(headers: &HeaderMap) -> bool {
    text(headers, &header::CONNECTION)
        .is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn limits(body: usize, read: Duration) -> (Limits, Room) {
        let limits = Limits { body, read, in_flight: 1, ..Limits::default() };
        (limits, Room::new(&limits))
    }

    const LONG: Duration = Duration::from_secs(5);

    fn pieces(
        parts: &[&'static [u8]],
    ) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin + Send + Sync + 'static {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part)))).collect();
        StreamBody::new(stream::iter(parts))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_limit_and_not_one_byte_further() {
        for (parts, limit, expected) in [
            (vec![], 4, Ok(&b""[..])),
            (vec![&b"abcd"[..]], 4, Ok(&b"abcd"[..])),
            (vec![&b"abcde"[..]], 4, Err(Unread::TooLarge)),
            (vec![&b"ab"[..], b"cd"], 4, Ok(&b"abcd"[..])),
            (vec![&b"ab"[..], b"c", b"d"], 4, Ok(&b"abcd"[..])),
            (vec![&b"ab"[..], b"cd", b"e"], 4, Err(Unread::TooLarge)),
            (vec![&b"ab"[..], b"", b"cde"], 4, Err(Unread::TooLarge)),
        ] {
            let (limits, room) = limits(limit, LONG);
            let found = read(&HeaderMap::new(), &mut Some(pieces(&parts)), &limits, &room).await;
            assert_eq!(found.as_deref(), expected.as_ref().map(|it| *it), "input: {parts:?} of {limit}");
        }
    }

    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_at_once() {
        let (limits, room) = limits(4, LONG);
        let long = Full::new(Bytes::from_static(b"abcde"));
        let found = read(&HeaderMap::new(), &mut Some(long), &limits, &room).await;
        assert_eq!(found, Err(Unread::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up_in_time() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (limits, room) = limits(4, Duration::from_millis(20));
        let found = read(&HeaderMap::new(), &mut Some(silent), &limits, &room).await;
        assert_eq!(found, Err(Unread::TooSlow));
    }

    #[tokio::test]
    async fn a_body_waits_for_room_and_is_given_up_in_time() {
        let (limits, room) = limits(4, Duration::from_millis(50));
        let four = || Full::new(Bytes::from_static(b"abcd"));
        let first = read(&HeaderMap::new(), &mut Some(four()), &limits, &room).await.unwrap();
        for again in [pieces(&[b"ab"]).boxed(), four().map_err(std::io::Error::other).boxed()] {
            // One body of unknown length may go on where nobody else does.
            let known = again.size_hint().exact().is_some();
            let found = read(&HeaderMap::new(), &mut Some(again), &limits, &room).await;
            assert_eq!(found.is_err(), known, "{found:?}");
            assert!(found.is_ok() || found == Err(Unread::NoRoom));
        }
        drop(first);
        assert!(read(&HeaderMap::new(), &mut Some(four()), &limits, &room).await.is_ok());
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_content_type_is_read_with_its_charset() {
        for (raw, expected) in [
            ("text/xml", Some(("text/xml", None))),
            ("Text/XML; Charset=\"UTF-8\"", Some(("text/xml", Some("utf-8")))),
            (
                "application/soap+xml; action=\"x\"; charset=iso-8859-1",
                Some(("application/soap+xml", Some("iso-8859-1"))),
            ),
            ("application/json;charset=", Some(("application/json", None))),
            (";charset=utf-8", None),
        ] {
            let found = media_type(&headers("content-type", raw));
            let found = found.as_ref().map(|(kind, charset)| (kind.as_str(), charset.as_deref()));
            assert_eq!(found, expected, "input: {raw:?}");
        }
    }

    #[test]
    fn a_key_that_can_not_be_kept_is_refused_not_dropped() {
        for (raw, expected) in [
            ("claim-7", Ok(Some("claim-7"))),
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", Ok(Some("8e03978e-40d5-43dd-bc93-6894a57f9324"))),
            ("", Err(())),
            ("\"\"", Err(())),
            (&"x".repeat(256), Err(())),
        ] {
            let found = idempotency_key(&headers("idempotency-key", raw));
            let found = found.as_ref().map(|it| it.as_ref().map(IdempotencyKey::as_str)).map_err(|_| ());
            assert_eq!(found, expected, "input: {raw:?}");
        }
        assert!(idempotency_key(&HeaderMap::new()).unwrap().is_none());
        for (second, expected) in [("a", true), ("b", false)] {
            let mut two = headers("idempotency-key", "a");
            two.append("idempotency-key", second.parse().unwrap());
            assert_eq!(idempotency_key(&two).is_ok(), expected, "a second key {second:?}");
        }
    }

    #[test]
    fn a_packed_body_is_refused_by_name() {
        assert!(not_packed(&HeaderMap::new()).is_ok());
        for (raw, expected) in
            [("identity", true), ("", true), ("gzip", false), ("Deflate", false), ("identity, br", false)]
        {
            assert_eq!(not_packed(&headers("content-encoding", raw)).is_ok(), expected, "input: {raw:?}");
        }
    }
}
