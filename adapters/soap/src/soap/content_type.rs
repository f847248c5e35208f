//! `Content-Type` as SOAP clients write it.

/// Media type and the parameters that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentType<'a> {
    /// In lower case.
    pub(super) media_type: String,
    pub(super) charset: Option<&'a str>,
    /// The SOAP action of SOAP 1.2.
    pub(super) action: Option<&'a str>,
}

impl<'a> ContentType<'a> {
    /// Reads a header's value. Parameters may be quoted or not; what can not be read is left out.
    pub(super) fn read(value: &'a str) -> Self {
        let (media_type, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let mut found =
            Self { media_type: media_type.trim().to_ascii_lowercase(), charset: None, action: None };
        while !rest.trim().is_empty() {
            let Some((name, value)) = rest.split_once('=') else { break };
            let value = value.trim_start();
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => value.split_at_checked(value.find(';').unwrap_or(value.len())).unwrap_or((value, "")),
            };
            let value = value.trim();
            match name.trim().trim_start_matches(';').trim().to_ascii_lowercase().as_str() {
                "charset" if !value.is_empty() => found.charset = Some(value),
                "action" if !value.is_empty() => found.action = Some(value),
                _ => {}
            }
            rest = after.trim_start().trim_start_matches(';');
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_however_they_are_written() {
        for (value, media_type, charset, action) in [
            ("text/xml", "text/xml", None, None),
            ("Text/XML; Charset=\"UTF-8\"", "text/xml", Some("UTF-8"), None),
            ("text/xml;charset=utf-8;", "text/xml", Some("utf-8"), None),
            (
                "application/soap+xml; charset=utf-8; action=\"urn:a;b\"",
                "application/soap+xml",
                Some("utf-8"),
                Some("urn:a;b"),
            ),
            (
                "application/soap+xml;action=urn:a;charset=utf-8",
                "application/soap+xml",
                Some("utf-8"),
                Some("urn:a"),
            ),
            ("text/xml; charset", "text/xml", None, None),
            ("text/xml; charset=\"utf-8", "text/xml", Some("utf-8"), None),
            ("", "", None, None),
        ] {
            let expected = ContentType { media_type: media_type.into(), charset, action };
            assert_eq!(ContentType::read(value), expected, "input: {value:?}");
        }
    }
}
