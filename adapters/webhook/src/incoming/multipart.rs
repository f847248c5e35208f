//! `multipart/form-data` (RFC 7578) of a body that is all there: read strictly, in one pass.

use memchr::memmem;

use super::{
    content::{MOST_FIELDS, Unreadable},
    header::Parameterised,
};

/// Most header lines of one part.
const MOST_LINES: usize = 16;
/// Longest headers of one part together, in bytes.
const LONGEST_HEADERS: usize = 8 << 10;
/// Longest boundary (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// One part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    /// The field's name.
    pub(crate) name: String,
    /// Its file's name, as the sender wrote it.
    pub(crate) file: Option<String>,
    /// Its media type with parameters, where it says one.
    pub(crate) media_type: Option<&'b str>,
    pub(crate) bytes: &'b [u8],
}

/// The parts in their order.
pub(crate) fn parts<'b>(body: &'b [u8], boundary: &str) -> Result<Vec<Part<'b>>, Unreadable> {
    if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
        return Err(Unreadable::Boundary);
    }
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    // The first delimiter needs no line break before it; what stands before it is no part.
    let opening = delimiter.as_bytes().get(2..).unwrap_or_default();
    let mut rest = match body.strip_prefix(opening) {
        Some(rest) => rest,
        None => split(body, &finder, delimiter.len()).ok_or(Unreadable::Boundary)?.1,
    };
    let mut found = Vec::new();
    while let Some(after) = line_end(rest)? {
        if found.len() >= MOST_FIELDS {
            return Err(Unreadable::TooMany);
        }
        let (whole, behind) = split(after, &finder, delimiter.len()).ok_or(Unreadable::CutOff)?;
        found.push(part(whole)?);
        rest = behind;
    }
    Ok(found)
}

fn split<'b>(bytes: &'b [u8], finder: &memmem::Finder<'_>, width: usize) -> Option<(&'b [u8], &'b [u8])> {
    let at = finder.find(bytes)?;
    Some((bytes.get(..at)?, bytes.get(at + width..)?))
}

/// What follows the rest of a delimiter's line. `None`: it was the last one.
fn line_end(rest: &[u8]) -> Result<Option<&[u8]>, Unreadable> {
    if rest.starts_with(b"--") {
        return Ok(None);
    }
    let padding = rest.iter().take_while(|it| matches!(it, b' ' | b'\t')).count();
    match rest.get(padding..).and_then(|it| it.strip_prefix(b"\r\n")) {
        Some(after) => Ok(Some(after)),
        None if rest.is_empty() => Err(Unreadable::CutOff),
        None => Err(Unreadable::Boundary),
    }
}

fn part(whole: &[u8]) -> Result<Part<'_>, Unreadable> {
    // A part without headers begins with the empty line.
    let (head, bytes) = match whole.strip_prefix(b"\r\n") {
        Some(bytes) => (&[][..], bytes),
        None => split(whole, &memmem::Finder::new(b"\r\n\r\n"), 4).ok_or(Unreadable::PartHeaders)?,
    };
    if head.len() > LONGEST_HEADERS {
        return Err(Unreadable::PartHeaders);
    }
    let head = std::str::from_utf8(head).map_err(|_| Unreadable::PartHeaders)?;
    let mut part = Part { bytes, ..Part::default() };
    let mut has_disposition = false;
    for (number, line) in head.split("\r\n").filter(|it| !it.is_empty()).enumerate() {
        let (name, value) = line.split_once(':').ok_or(Unreadable::PartHeaders)?;
        if number >= MOST_LINES {
            return Err(Unreadable::PartHeaders);
        }
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let read = Parameterised::read(value);
                has_disposition = read.value == "form-data";
                part.name = read.get("name").unwrap_or_default().to_owned();
                part.file = read.get("filename").map(str::to_owned);
            }
            "content-type" => part.media_type = Some(value),
            "content-transfer-encoding" if !is_plain(value) => return Err(Unreadable::Transfer),
            _ => {}
        }
    }
    if has_disposition { Ok(part) } else { Err(Unreadable::PartHeaders) }
}

fn is_plain(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|it| it.eq_ignore_ascii_case(encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "Content-Disposition: form-data; name=\"doc\"; filename=\"a.xml\"\r\nContent-Type: text/xml\r\n\r\n<a/>";

    fn read(body: &str) -> Result<Vec<(String, Option<String>, String)>, Unreadable> {
        let text = |it: &[u8]| String::from_utf8(it.to_vec()).unwrap();
        parts(body.as_bytes(), "b")
            .map(|all| all.into_iter().map(|it| (it.name, it.file, text(it.bytes))).collect())
    }

    #[test]
    fn parts_are_read_strictly() {
        let one = |text: &str| Ok(vec![("doc".to_owned(), Some("a.xml".to_owned()), text.to_owned())]);
        let simple = "Content-Disposition: form-data; name=x\r\n\r\n";
        for (body, expected) in [
            (format!("--b\r\n{FILE}\r\n--b--\r\n"), one("<a/>")),
            (format!("preamble\r\n--b \t\r\n{FILE}\r\n--b--epilogue"), one("<a/>")),
            (format!("--b\r\n{FILE}--b\r\n\r\n--b--"), one("<a/>--b\r\n")),
            (
                format!("--b\r\n{simple}1\r\n--b\r\n{simple}\r\n--b--"),
                Ok(vec![("x".into(), None, "1".into()), ("x".into(), None, "".into())]),
            ),
            ("--b--".into(), Ok(vec![])),
            (format!("--b\r\n{FILE}"), Err(Unreadable::CutOff)),
            (format!("--b\r\n{FILE}\r\n--b"), Err(Unreadable::CutOff)),
            (format!("--bc\r\n{FILE}\r\n--bc--"), Err(Unreadable::Boundary)),
            (format!("{FILE}\r\n"), Err(Unreadable::Boundary)),
            (String::new(), Err(Unreadable::Boundary)),
            ("--b\r\n\r\nx\r\n--b--".into(), Err(Unreadable::PartHeaders)),
            ("--b\r\nno header\r\n\r\nx\r\n--b--".into(), Err(Unreadable::PartHeaders)),
            ("--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n--b--".into(), Err(Unreadable::PartHeaders)),
            (
                format!("--b\r\nContent-Transfer-Encoding: base64\r\n{FILE}\r\n--b--"),
                Err(Unreadable::Transfer),
            ),
            (format!("--b\r\nContent-Transfer-Encoding: 8BIT\r\n{FILE}\r\n--b--"), one("<a/>")),
            (
                format!("--b\r\n{}{FILE}\r\n--b--", "X: y\r\n".repeat(MOST_LINES)),
                Err(Unreadable::PartHeaders),
            ),
            (
                format!("--b\r\nX: {}\r\n{FILE}\r\n--b--", "y".repeat(LONGEST_HEADERS)),
                Err(Unreadable::PartHeaders),
            ),
            (
                format!("--b\r\n{}", format!("{simple}1\r\n--b\r\n").repeat(MOST_FIELDS + 1)),
                Err(Unreadable::TooMany),
            ),
        ] {
            assert_eq!(read(&body), expected, "input: {:?}", body.get(..body.len().min(200)));
        }
        assert_eq!(parts(b"--", ""), Err(Unreadable::Boundary));
        assert_eq!(parts(b"--", &"b".repeat(71)), Err(Unreadable::Boundary));
    }
}
