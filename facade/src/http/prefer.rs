//! The `Prefer` header (RFC 7240). Uses nothing else of this crate: a fuzz target takes the file as it is.

use std::time::Duration;

use hyper::{HeaderMap, header::HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// `respond-async`, with how long the caller waits before. Of a preference that is there twice the first counts.
pub fn preference(headers: &HeaderMap) -> Option<Option<Duration>> {
    let mut asked = false;
    let mut time = None;
    let values = headers.get_all(PREFER).iter().filter_map(|it| it.to_str().ok());
    for preference in values.flat_map(|it| it.split(',')).take(64) {
        let bare = preference.split(';').next().unwrap_or_default();
        let (name, value) = bare.split_once('=').unwrap_or((bare, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => asked = true,
            "wait" if time.is_none() => time = value.parse::<u32>().ok(),
            _ => {}
        }
    }
    asked.then(|| time.filter(|it| *it > 0).map(|it| Duration::from_secs(it.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_as_rfc_7240_writes_it() {
        let seconds = |number| Some(Some(Duration::from_secs(number)));
        for (lines, expected) in [
            (&[][..], None),
            (&["respond-async"][..], Some(None)),
            (&["Respond-Async"], Some(None)),
            (&["respond-async, wait=10"], seconds(10)),
            (&["wait=\"7\"; x=y , respond-async; foo"], seconds(7)),
            (&["wait=3", "respond-async"], seconds(3)),
            (&["respond-async, wait=3, wait=9"], seconds(3)),
            (&["respond-async, wait=0"], Some(None)),
            (&["respond-async, wait=-1"], Some(None)),
            (&["respond-async, wait=99999999999"], Some(None)),
            (&["wait=10"], None),
            (&["return=minimal"], None),
            (&["respond-asynchronously"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().unwrap());
            }
            assert_eq!(preference(&headers), expected, "input: {lines:?}");
        }
    }
}
