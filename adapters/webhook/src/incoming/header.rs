//! Headers with structure: signatures, media types with parameters, dispositions of parts.

use std::borrow::Cow;

use crate::signature::{from_base64, from_hex};

/// Most parameters of one header that are looked at.
const MOST_PARAMETERS: usize = 32;

/// The `v1` signatures of a header of Standard Webhooks: `v1,BASE64 v1,BASE64 v1a,…`. Others are left out.
pub(crate) fn standard_signatures(value: &str, most: usize) -> Vec<Vec<u8>> {
    let all = value.split_ascii_whitespace().filter_map(|it| it.strip_prefix("v1,"));
    all.take(most).filter_map(from_base64).collect()
}

/// Time stamp and `v1` signatures of a header of Stripe's: `t=1492774577,v1=HEX,v0=HEX`. `None`: there is no time stamp,
/// or more than one.
pub(crate) fn stripe_signature(value: &str, most: usize) -> Option<(&str, Vec<Vec<u8>>)> {
    let pairs = || value.split(',').take(most * 2).filter_map(|it| it.trim().split_once('='));
    let mut times = pairs().filter(|(name, _)| *name == "t").map(|(_, value)| value);
    let (time, None) = (times.next()?, times.next()) else { return None };
    let signatures = pairs().filter(|(name, _)| *name == "v1").take(most);
    Some((time, signatures.filter_map(|(_, value)| from_hex(value)).collect()))
}

/// A value with parameters: `text/xml; charset="utf-8"`, `form-data; name="file"; filename="a.xml"`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameterised<'a> {
    /// In small letters.
    pub(crate) value: String,
    parameters: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Parameterised<'a> {
    /// Reads what can be read; what follows something unreadable is left out.
    pub(crate) fn read(text: &'a str) -> Self {
        let (value, mut rest) = text.split_once(';').unwrap_or((text, ""));
        let mut parameters = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = parameter(after.trim_start());
            // What has no value of its own stands between two semicolons, and is none of ours.
            parameters.push((name.rsplit(';').next().unwrap_or(name).trim(), value));
            rest = after;
            if parameters.len() >= MOST_PARAMETERS {
                break;
            }
        }
        Self { value: value.trim().to_ascii_lowercase(), parameters }
    }

    /// The first parameter of this name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let is = |it: &&(&str, Cow<'_, str>)| it.0.eq_ignore_ascii_case(name) && !it.1.is_empty();
        self.parameters.iter().find(is).map(|(_, value)| &**value)
    }
}

/// A parameter's value, and what follows it.
fn parameter(text: &str) -> (Cow<'_, str>, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.trim().into(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, it)) = chars.next() {
        match it {
            '"' => return (value.into(), quoted.get(at + 1..).unwrap_or_default()),
            // Browsers send the path of a Windows share with plain backslashes: only quotes and backslashes are escaped.
            '\\' if matches!(quoted.get(at + 1..at + 2), Some("\"" | "\\")) => {
                value.extend(chars.next().map(|(_, it)| it));
            }
            it => value.push(it),
        }
    }
    (value.into(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_however_they_are_written() {
        for (text, value, name, expected) in [
            ("Text/XML; Charset=\"UTF-8\"", "text/xml", "charset", Some("UTF-8")),
            ("text/xml;charset=utf-8;", "text/xml", "charset", Some("utf-8")),
            ("form-data; name=\"a;b\"; filename=\"c:\\x.xml\"", "form-data", "filename", Some("c:\\x.xml")),
            ("form-data; name=\"a;b\"; filename=\"q\\\"q\\\\\"", "form-data", "filename", Some("q\"q\\")),
            ("form-data; name=\"a;b\"", "form-data", "name", Some("a;b")),
            ("text/xml; charset=\"utf-8", "text/xml", "charset", Some("utf-8")),
            ("text/xml; charset", "text/xml", "charset", None),
            ("text/xml; x; charset=a", "text/xml", "charset", Some("a")),
            ("text/xml; x=\"1\" ; charset=a", "text/xml", "charset", Some("a")),
            ("text/xml; charset=", "text/xml", "charset", None),
            ("", "", "x", None),
        ] {
            let read = Parameterised::read(text);
            assert_eq!((&*read.value, read.get(name)), (value, expected), "input: {text:?}");
        }
        let many = format!("a{}", ";b=c".repeat(10_000));
        assert_eq!(Parameterised::read(&many).parameters.len(), MOST_PARAMETERS);
    }

    #[test]
    fn stripes_header_has_one_time_stamp_and_any_number_of_signatures() {
        for (text, expected) in [
            ("t=1,v1=00", Some(("1", vec![vec![0]]))),
            ("t=1, v1=00 ,v0=11,v1=22", Some(("1", vec![vec![0], vec![0x22]]))),
            ("t=1", Some(("1", vec![]))),
            ("t=1,v1=zz,v1", Some(("1", vec![]))),
            ("t=1,t=2,v1=00", None),
            ("v1=00", None),
            ("", None),
        ] {
            assert_eq!(stripe_signature(text, 4), expected, "input: {text:?}");
        }
        assert_eq!(stripe_signature(&format!("t=1{}", ",v1=00".repeat(1000)), 4).unwrap().1.len(), 4);
    }

    #[test]
    fn only_the_version_that_is_known_counts() {
        for (text, expected) in [
            ("v1,AAE=", vec![vec![0, 1]]),
            ("v1,AAE= v2,AAE= v1a,AAE= v1,AQ==", vec![vec![0, 1], vec![1]]),
            ("AAE=", vec![]),
            ("v1,!", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(standard_signatures(text, 4), expected, "input: {text:?}");
        }
    }
}
