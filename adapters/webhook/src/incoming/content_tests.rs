use super::*;

fn place(part: Option<&str>, field: Option<&str>) -> Place {
    Place {
        part: part.map(str::to_owned),
        field: field.map(str::to_owned),
        properties: vec!["tenant".into(), "scan".into()],
    }
}

/// Media type, character set, name, bytes and attributes of the document.
fn find(place: &Place, content_type: Option<&str>, body: &[u8]) -> Result<String, Unreadable> {
    let found = place.find(content_type, &Bytes::copy_from_slice(body))?;
    let mut text = format!(
        "{} {} {} {}",
        found.media_type,
        found.charset.as_deref().unwrap_or("-"),
        found.name.as_deref().unwrap_or("-"),
        String::from_utf8_lossy(&found.bytes)
    );
    for it in found.attributes {
        assert_eq!(it.kind, AttributeKind::Property);
        text.push_str(&format!(" {}={}", it.name, it.value));
    }
    Ok(text)
}

fn said(text: &str) -> Result<String, Unreadable> {
    Ok(text.to_owned())
}

#[test]
fn a_body_is_the_document_as_it_is() {
    for (content_type, body, expected) in [
        (Some("application/json; charset=utf-8"), "{}", "application/json utf-8 - {}"),
        (Some("Text/XML;charset=iso-8859-1"), "<a/>", "text/xml iso-8859-1 - <a/>"),
        (Some("application/cloudevents+json"), "{}", "application/cloudevents+json - - {}"),
        (Some("text/plain"), " <a/>", "application/xml - -  <a/>"),
        (None, "\u{FEFF}[1]", "application/json - - \u{FEFF}[1]"),
        (Some("application/octet-stream"), "a;b", "text/plain - - a;b"),
        (None, "", "text/plain - - "),
    ] {
        assert_eq!(find(&place(None, None), content_type, body.as_bytes()), said(expected), "input: {body}");
    }
}

#[test]
fn a_form_holds_the_document_or_is_it() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let latin = "application/x-www-form-urlencoded; charset=iso-8859-1";
    for (field, content_type, body, expected) in [
        (
            Some("payload"),
            FORM,
            "payload=%7B%22a%22%3A1%7D&tenant=a+b",
            said("application/json utf-8 - {\"a\":1} tenant=a b"),
        ),
        (Some("payload"), FORM, "x=1&payload=%3Ca/%3E", said("application/xml utf-8 - <a/>")),
        (
            Some("payload"),
            latin,
            "payload=%3Ca/%3E&tenant=%E9",
            said("application/xml iso-8859-1 - <a/> tenant=é"),
        ),
        (Some("payload"), FORM, "x=1", Err(Unreadable::NoDocument)),
        (Some("payload"), FORM, "payload=1&payload=2", Err(Unreadable::Ambiguous)),
        (Some("payload"), FORM, "payload=1&tenant=%E9", Err(Unreadable::Charset)),
        (
            None,
            FORM,
            "a=1&b=%C3%A9&a=2&a=3",
            said("application/json - - {\"a\":[\"1\",\"2\",\"3\"],\"b\":\"é\"}"),
        ),
        (None, latin, "b=%E9", said("application/json - - {\"b\":\"é\"}")),
        (None, FORM, "", said("application/json - - {}")),
        (None, FORM, "b=%E9", Err(Unreadable::Charset)),
        (None, "application/x-www-form-urlencoded; charset=klingon", "b=1", Err(Unreadable::Charset)),
        (None, FORM, "b=%", Err(Unreadable::Escape)),
    ] {
        assert_eq!(find(&place(None, field), Some(content_type), body.as_bytes()), expected, "input: {body}");
    }
    let long = format!("payload=1&tenant={}", "x".repeat(LONGEST_ATTRIBUTE + 1));
    assert_eq!(find(&place(None, Some("payload")), Some(FORM), long.as_bytes()), Err(Unreadable::LongField));
}

fn parts(all: &[&str]) -> Vec<u8> {
    let mut out: String =
        all.iter().map(|it| format!("--xyz\r\nContent-Disposition: form-data; {it}\r\n")).collect();
    out.push_str("--xyz--\r\n");
    out.into_bytes()
}

#[test]
fn a_multipart_message_has_one_document() {
    const KIND: &str = "multipart/form-data; boundary=xyz";
    let xml =
        "name=doc; filename=\"claim 1.xml\"\r\nContent-Type: text/xml; charset=\"iso-8859-1\"\r\n\r\n<a/>";
    let scan = "name=scan; filename=s.tif\r\nContent-Type: image/tiff\r\n\r\nII*";
    let tenant = "name=tenant\r\n\r\nacme";
    let bare = "name=doc\r\n\r\n{}";
    let odd = "name=tenant\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{e9}";
    for (part, body, expected) in [
        (None, parts(&[tenant, xml]), said("text/xml iso-8859-1 claim 1.xml <a/> tenant=acme")),
        (None, parts(&[bare]), said("application/json - - {}")),
        (Some("doc"), parts(&[bare, odd]), said("application/json - - {} tenant=é")),
        (Some("doc"), parts(&[scan, xml]), said("text/xml iso-8859-1 claim 1.xml <a/> scan=s.tif")),
        (None, parts(&[scan, xml]), Err(Unreadable::ManyFiles)),
        (None, parts(&[tenant, bare]), Err(Unreadable::NoDocument)),
        (Some("other"), parts(&[tenant, bare]), Err(Unreadable::NoDocument)),
        (Some("doc"), parts(&[bare, xml]), Err(Unreadable::Ambiguous)),
        (None, parts(&[]), Err(Unreadable::NoDocument)),
        (None, b"--xyz".to_vec(), Err(Unreadable::CutOff)),
    ] {
        let found = find(&place(part, None), Some(KIND), &body);
        assert_eq!(found, expected, "input: {part:?} {:?}", String::from_utf8_lossy(&body));
    }
    assert_eq!(find(&place(None, None), Some("multipart/form-data"), b"--xyz"), Err(Unreadable::Boundary));
}

#[test]
fn every_reason_has_its_code_and_says_nothing_of_the_body() {
    for (why, code) in [
        (Unreadable::TooMany, FaultCode::TooLarge),
        (Unreadable::ManyFiles, FaultCode::NotUnderstood),
        (Unreadable::CutOff, FaultCode::Malformed),
    ] {
        assert_eq!(Fault::from(why).code, code);
    }
}

proptest::proptest! {
    /// A form that is written by the rules is read back the same.
    #[test]
    fn a_form_reads_back(fields in proptest::collection::vec((".{1,12}", ".{0,12}"), 1..6)) {
        let coded = |text: &str| text.bytes().map(|it| format!("%{it:02X}")).collect::<String>();
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", coded(name), coded(value))).collect();
        let body = body.join("&");
        let pairs = form::pairs(body.as_bytes()).unwrap();
        let found: Vec<_> = pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let wanted: Vec<_> = fields.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
        proptest::prop_assert_eq!(found, wanted);
    }

    /// Any bytes come back as they were sent, unless they hold the boundary.
    #[test]
    fn a_part_reads_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), cut in 0usize..300) {
        let mut body = b"--xyz\r\nContent-Disposition: form-data; name=a; filename=f\r\nContent-Type: a/b\r\n\r\n".to_vec();
        body.extend_from_slice(&bytes);
        body.extend_from_slice(b"\r\n--xyz--");
        let found = multipart::parts(&body, "xyz").unwrap();
        proptest::prop_assert_eq!(found.iter().map(|it| it.bytes.to_vec()).collect::<Vec<_>>(), vec![bytes]);
        let cut = cut.min(body.len() - 1);
        proptest::prop_assert!(multipart::parts(&body[..cut], "xyz").is_err());
    }
}
