//! Media types and character sets, as messages say them.

use std::sync::Arc;

/// A media type with its character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// In lower case, without parameters.
    pub media_type: Arc<str>,
    pub charset: Option<Arc<str>>,
}

impl ContentType {
    /// Reads `text/xml; charset=iso-8859-1`. What is not of that form is a media type that nobody reads.
    pub fn of(text: &str) -> Self {
        let mut parts = text.split(';');
        let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"').trim();
            (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
        });
        Self { media_type: media_type.into(), charset: charset.map(Into::into) }
    }

    /// Takes a `content_encoding` into account: legacy senders put the character set there. A compressed body is not
    /// read: its media type is then that of the compression.
    pub fn encoded(mut self, content_encoding: &str) -> Self {
        let encoding = content_encoding.trim().to_ascii_lowercase();
        match encoding.as_str() {
            "" | "identity" | "binary" | "7bit" | "8bit" => {}
            name if encoding_rs::Encoding::for_label(name.as_bytes()).is_some() => {
                self.charset.get_or_insert_with(|| name.into());
            }
            "gzip" | "x-gzip" => self = Self { media_type: "application/gzip".into(), charset: None },
            "deflate" => self = Self { media_type: "application/zlib".into(), charset: None },
            "zstd" => self = Self { media_type: "application/zstd".into(), charset: None },
            _ => self = Self { media_type: "application/octet-stream".into(), charset: None },
        }
        self
    }

    /// As a property: `text/xml; charset=iso-8859-1`.
    pub fn to_text(&self) -> String {
        match &self.charset {
            Some(charset) => format!("{}; charset={charset}", self.media_type),
            None => self.media_type.to_string(),
        }
    }

    /// Of a document that a renderer wrote: with the character set that the document itself says, where its type does not.
    pub fn of_written(media_type: &str, bytes: &[u8]) -> Self {
        let mut said = Self::of(media_type);
        let is_xml = said.media_type.ends_with("/xml") || said.media_type.ends_with("+xml");
        if said.charset.is_none() && is_xml {
            said.charset = Some(declared(bytes).unwrap_or_else(|| "utf-8".into()));
        }
        said
    }
}

/// The encoding of an XML declaration.
fn declared(bytes: &[u8]) -> Option<Arc<str>> {
    let head = bytes.get(..bytes.len().min(200))?;
    let end = head.windows(2).position(|it| it == b"?>")?;
    let head = std::str::from_utf8(head.get(..end)?).ok()?.strip_prefix("<?xml")?;
    let (_, rest) = head.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    let (name, _) = rest.strip_prefix(quote)?.split_once(quote)?;
    Some(name.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_character_set_comes_from_wherever_it_is_said() {
        for (content_type, encoding, expected) in [
            ("text/xml", "", "text/xml"),
            ("Text/XML; Charset=\"ISO-8859-1\"", "", "text/xml; charset=ISO-8859-1"),
            ("text/xml", "ISO-8859-1", "text/xml; charset=iso-8859-1"),
            ("text/xml", "utf-8", "text/xml; charset=utf-8"),
            ("text/xml; charset=utf-8", "latin1", "text/xml; charset=utf-8"),
            ("text/xml", "identity", "text/xml"),
            ("text/xml; charset=utf-8", "gzip", "application/gzip"),
            ("text/xml", "br", "application/octet-stream"),
            ("", "", ""),
            ("text/xml; charset=", "", "text/xml"),
        ] {
            let found = ContentType::of(content_type).encoded(encoding).to_text();
            assert_eq!(found, expected, "{content_type:?} {encoding:?}");
        }
    }

    #[test]
    fn what_was_written_says_its_own_character_set() {
        for (media_type, bytes, expected) in [
            (
                "text/xml",
                &b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>"[..],
                "text/xml; charset=iso-8859-1",
            ),
            ("text/xml", b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>", "text/xml; charset=utf-8"),
            ("application/soap+xml", b"<a/>", "application/soap+xml; charset=utf-8"),
            ("text/xml; charset=us-ascii", b"<a/>", "text/xml; charset=us-ascii"),
            ("application/json", b"{}", "application/json"),
            ("text/xml", b"\xFF\xFE", "text/xml; charset=utf-8"),
        ] {
            assert_eq!(ContentType::of_written(media_type, bytes).to_text(), expected);
        }
    }
}
