//! The document in a body: the body itself, a field of a form, or a part of a multipart message.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use encoding_rs::Encoding;
use serde_json::{Map, Value};
use vestibule_core::{
    document::{Attribute, AttributeKind},
    fault::{Fault, FaultCode},
};

use super::{form, header::Parameterised, multipart};

/// Most fields of a form and parts of a multipart message.
pub(crate) const MOST_FIELDS: usize = 200;
/// Longest value that stands beside the document and the mapping reads, in bytes.
const LONGEST_ATTRIBUTE: usize = 64 << 10;

/// Why there is no document in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the form has a `%` without two hexadecimal digits after it")]
    Escape,
    #[error("the body has more than {MOST_FIELDS} fields")]
    TooMany,
    #[error("the parts of the body are not where the boundary says")]
    Boundary,
    #[error("the body ends inside a part")]
    CutOff,
    #[error("the headers of a part are too long or can not be read")]
    PartHeaders,
    #[error("a part has a Content-Transfer-Encoding: parts are to be sent as they are")]
    Transfer,
    #[error("the form's text is not in the character set that it says")]
    Charset,
    #[error("a field beside the document is longer than {LONGEST_ATTRIBUTE} bytes")]
    LongField,
    #[error("the field or part that is the document is not there")]
    NoDocument,
    #[error("the field or part that is the document is there more than once")]
    Ambiguous,
    #[error("there is more than one file: the mapping's `part` is to say which is the document")]
    ManyFiles,
}

impl From<Unreadable> for Fault {
    fn from(why: Unreadable) -> Self {
        let code = match why {
            Unreadable::TooMany | Unreadable::LongField => FaultCode::TooLarge,
            Unreadable::NoDocument | Unreadable::Ambiguous | Unreadable::ManyFiles => {
                FaultCode::NotUnderstood
            }
            _ => FaultCode::Malformed,
        };
        Self::new(code, why.to_string())
    }
}

/// Where the document is, as the mapping says it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The part of a multipart message.
    pub(crate) part: Option<String>,
    /// The field of a form.
    pub(crate) field: Option<String>,
    /// Fields beside the document that the mapping reads as properties.
    pub(crate) properties: Vec<Box<str>>,
}

/// A document as it was found.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) media_type: Arc<str>,
    pub(crate) charset: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) attributes: Vec<Attribute>,
}

impl Content {
    fn new(bytes: Bytes, declared: Option<&Parameterised<'_>>) -> Self {
        let said = declared.map(|it| it.value.as_str());
        // What a sender's library says when it knows nothing.
        let said = said.filter(|it| !matches!(*it, "" | "application/octet-stream" | "text/plain"));
        let media_type = said.map_or_else(|| guessed(&bytes).into(), Arc::from);
        let charset = declared.and_then(|it| it.get("charset")).map(Into::into);
        Self { bytes, media_type, charset, name: None, attributes: Vec::new() }
    }
}

/// The media type that the first character shows.
fn guessed(bytes: &[u8]) -> &'static str {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match bytes.iter().find(|it| !it.is_ascii_whitespace()) {
        Some(b'<') => "application/xml",
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain",
    }
}

impl Place {
    /// Takes the document out of a body.
    pub(crate) fn find(&self, content_type: Option<&str>, body: &Bytes) -> Result<Content, Unreadable> {
        let declared = content_type.map(Parameterised::read);
        match declared.as_ref() {
            Some(it) if it.value == "application/x-www-form-urlencoded" => {
                self.in_form(body, it.get("charset"))
            }
            Some(it) if it.value == "multipart/form-data" => {
                self.in_parts(body, it.get("boundary").unwrap_or_default())
            }
            declared => Ok(Content::new(body.clone(), declared)),
        }
    }

    fn in_form(&self, body: &Bytes, charset: Option<&str>) -> Result<Content, Unreadable> {
        let pairs = form::pairs(body)?;
        let fields = pairs.iter().map(|(name, value)| (text(name, charset), value)).collect::<Vec<_>>();
        let Some(wanted) = &self.field else { return as_object(&fields, charset) };
        let mut chosen = fields.iter().filter(|(name, _)| name.as_deref() == Ok(wanted)).map(|(_, it)| it);
        let (Some(document), None) = (chosen.next(), chosen.next()) else {
            let is_there = fields.iter().any(|(name, _)| name.as_deref() == Ok(wanted));
            return Err(if is_there { Unreadable::Ambiguous } else { Unreadable::NoDocument });
        };
        let mut content = Content::new(Bytes::copy_from_slice(document), None);
        content.charset = Some(charset.unwrap_or("utf-8").into());
        for (name, value) in &fields {
            if let Ok(name) = name {
                self.keep(&mut content, name, || text(value, charset))?;
            }
        }
        Ok(content)
    }

    fn in_parts(&self, body: &Bytes, boundary: &str) -> Result<Content, Unreadable> {
        let parts = multipart::parts(body, boundary)?;
        let is_document = |it: &&multipart::Part<'_>| match &self.part {
            Some(wanted) => it.name == *wanted,
            None => it.file.is_some() || parts.len() == 1,
        };
        let mut chosen = parts.iter().filter(is_document);
        let document = match (chosen.next(), chosen.next()) {
            (Some(document), None) => document,
            (None, _) => return Err(Unreadable::NoDocument),
            (Some(_), Some(_)) if self.part.is_some() => return Err(Unreadable::Ambiguous),
            (Some(_), Some(_)) => return Err(Unreadable::ManyFiles),
        };
        let declared = document.media_type.map(Parameterised::read);
        let mut content = Content::new(body.slice_ref(document.bytes), declared.as_ref());
        content.name = document.file.as_deref().map(Into::into);
        for part in parts.iter().filter(|it| !std::ptr::eq(*it, document)) {
            let charset = part.media_type.map(Parameterised::read);
            let charset = charset.as_ref().and_then(|it| it.get("charset"));
            self.keep(&mut content, &part.name, || match &part.file {
                // Of another file its name alone.
                Some(file) => Ok(Cow::Owned(file.clone())),
                None => text(part.bytes, charset),
            })?;
        }
        Ok(content)
    }

    /// Keeps what stands beside the document, where the mapping reads it.
    fn keep<'v>(
        &self,
        content: &mut Content,
        name: &str,
        value: impl FnOnce() -> Result<Cow<'v, str>, Unreadable>,
    ) -> Result<(), Unreadable> {
        if !self.properties.iter().any(|it| **it == *name) {
            return Ok(());
        }
        let value = value()?;
        if value.len() > LONGEST_ATTRIBUTE {
            return Err(Unreadable::LongField);
        }
        let (kind, name) = (AttributeKind::Property, name.into());
        content.attributes.push(Attribute { kind, name, value: value.into() });
        Ok(())
    }
}

/// A field's name as text, and its value as sent.
type Field<'f> = (Result<Cow<'f, str>, Unreadable>, &'f Cow<'f, [u8]>);

/// The whole form as a JSON object of texts; a field that stands there more than once is a list.
fn as_object(fields: &[Field<'_>], charset: Option<&str>) -> Result<Content, Unreadable> {
    let mut object = Map::new();
    for (name, value) in fields {
        let name = name.as_ref().map_err(|it| *it)?;
        let value = Value::String(text(value, charset)?.into_owned());
        match object.get_mut(&**name) {
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(object.insert(name.to_string(), value)),
        }
    }
    let bytes = Bytes::from(Value::Object(object).to_string());
    let media_type = "application/json".into();
    Ok(Content { bytes, media_type, charset: None, name: None, attributes: Vec::new() })
}

/// Bytes as text; UTF-8 where no character set is said. Nothing is replaced.
fn text<'b>(bytes: &'b [u8], charset: Option<&str>) -> Result<Cow<'b, str>, Unreadable> {
    let encoding = match charset {
        Some(label) => Encoding::for_label(label.as_bytes()).ok_or(Unreadable::Charset)?,
        None => encoding_rs::UTF_8,
    };
    encoding.decode_without_bom_handling_and_without_replacement(bytes).ok_or(Unreadable::Charset)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
