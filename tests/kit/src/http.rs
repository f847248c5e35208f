//! A small blocking HTTP/1.1 client over a plain socket, so that tests can send hostile bytes and see every byte back.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Longest reply that is read.
pub const LONGEST: u64 = 64 * 1024 * 1024;

/// How long a test waits for one read or write.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The body; what is not UTF-8 in it is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> io::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).map_err(io::Error::other)
    }
}

/// `GET` of this path.
pub fn get(server: SocketAddr, path: &str) -> io::Result<Response> {
    request(server, "GET", path, &[], b"")
}

/// `POST` to this path.
pub fn post(server: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
    request(server, "POST", path, headers, body)
}

/// One request on a connection of its own. `Host`, `Connection: close` and `Content-Length` are added where they are
/// not given; nothing else is, and nothing is checked.
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    let length = body.len().to_string();
    let host = server.to_string();
    let own = [("Host", host.as_str()), ("Connection", "close"), ("Content-Length", length.as_str())];
    let given = |name: &str| headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
    let added = own.iter().filter(|(name, _)| !given(name));
    for (name, value) in added.chain(headers) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    parse(&raw(server, &[head.as_bytes(), body].concat(), PATIENCE)?)
}

/// Sends these bytes and reads until the server closes. For what no well-behaved client sends.
pub fn raw(server: SocketAddr, bytes: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = connect(server, patience)?;
    // A server may answer and close before it has read everything: what it said is what counts.
    let sent = stream.write_all(bytes);
    let mut received = Vec::new();
    let read = stream.take(LONGEST).read_to_end(&mut received);
    match (sent, read) {
        (Err(error), _) | (Ok(()), Err(error)) if received.is_empty() => Err(error),
        _ => Ok(received),
    }
}

/// Sends these bytes and hangs up at once, without reading.
pub fn send_and_hang_up(server: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = connect(server, PATIENCE)?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Both)
}

/// A connection with its time-outs set, for tests that speak by themselves.
pub fn connect(server: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one response from all bytes of a closed connection; interim responses (100) before it are skipped. An error
/// where the head is not HTTP or the body is shorter than it was announced.
pub fn parse(bytes: &[u8]) -> io::Result<Response> {
    let end =
        bytes.windows(4).position(|it| it == b"\r\n\r\n").ok_or_else(|| broken("no end of the head"))?;
    let (head, rest) = bytes.split_at(end);
    let body = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| broken("the head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|it| it.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
    let status: u16 = status.ok_or_else(|| broken("no status line"))?;
    if status == 100 {
        return parse(body);
    }
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Option<Vec<_>> = lines.map(header).collect();
    let headers = headers.ok_or_else(|| broken("a header without a colon"))?;
    let mut response = Response { status, headers, body: Vec::new() };
    response.body = match (response.header("transfer-encoding"), response.header("content-length")) {
        (Some("chunked"), _) => unchunked(body)?,
        (_, Some(length)) => {
            let length: usize = length.parse().map_err(|_| broken("the length is not a number"))?;
            body.get(..length).ok_or_else(|| broken("the body is shorter than announced"))?.to_vec()
        }
        (_, None) => body.to_vec(),
    };
    Ok(response)
}

fn unchunked(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|it| it == b"\r\n").ok_or_else(|| broken("no chunk size"))?;
        let size = rest.get(..line).and_then(|it| std::str::from_utf8(it).ok());
        let size = size.and_then(|it| usize::from_str_radix(it.split(';').next()?.trim(), 16).ok());
        let size = size.ok_or_else(|| broken("the chunk size is not a number"))?;
        if size == 0 {
            return Ok(body);
        }
        let start = line + 2;
        let chunk = start.checked_add(size).and_then(|end| rest.get(start..end));
        body.extend_from_slice(chunk.ok_or_else(|| broken("a chunk is cut short"))?);
        rest = rest.get(start + size + 2..).ok_or_else(|| broken("a chunk has no end"))?;
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP response: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_read_or_refused() {
        type Expected = Result<(u16, Vec<u8>), &'static str>;
        let ok = |status, body: &[u8]| Ok((status, body.to_vec()));
        let cases: [(&[u8], Expected); 9] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokextra", ok(200, b"ok")),
            (b"HTTP/1.0 404 Not Found\r\n\r\nall of it", ok(404, b"all of it")),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", ok(204, b"")),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
                ok(200, b"abc"),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Err("shorter than announced")),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na", Err("cut short")),
            (b"HTTP/1.1 200 OK\r\n", Err("no end of the head")),
            (b"SMTP\r\n\r\n", Err("no status line")),
            (b"", Err("no end of the head")),
        ];
        for (bytes, expected) in cases {
            let name = String::from_utf8_lossy(bytes);
            match (parse(bytes), expected) {
                (Ok(found), Ok(expected)) => assert_eq!((found.status, found.body), expected, "{name}"),
                (Err(found), Err(expected)) => {
                    assert!(found.to_string().contains(expected), "{name}: {found}")
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
