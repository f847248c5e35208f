//! Bytes as they were received, with what is known about them.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A document as received: never changed, stored as it is, hashed once.
#[derive(Debug, Clone)]
pub struct Document {
    /// The bytes as they arrived, in the sender's own encoding.
    pub bytes: Bytes,
    /// Media type without parameters, in lower case: `text/xml`, `application/json`.
    pub media_type: Arc<str>,
    /// Character set that the transport declared, if any.
    pub charset: Option<Arc<str>>,
    /// A file's name, where the document has one.
    pub name: Option<Arc<str>>,
    /// When it arrived; freshness is judged against this.
    pub received: Timestamp,
    /// What makes a repeated document the same document.
    pub key: Option<IdempotencyKey>,
    /// What came beside it and its mapping reads: headers and properties of a message.
    pub attributes: Vec<Attribute>,
}

/// Something that came beside a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Which kind of thing.
    pub kind: AttributeKind,
    /// Its name: `x-tenant`, `correlation_id`. Names of headers are compared without regard to case.
    pub name: Box<str>,
    /// Its value as text.
    pub value: Box<str>,
}

/// Kinds of what comes beside a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeKind {
    /// A header that the sender made up: of an AMQP message or an HTTP request.
    Header,
    /// A property that the transport defines: `correlation_id`, `app_id`.
    Property,
}

impl Document {
    /// A document that arrived just now.
    pub fn new(bytes: impl Into<Bytes>, media_type: &str, received: Timestamp) -> Self {
        Self {
            bytes: bytes.into(),
            media_type: media_type.into(),
            charset: None,
            name: None,
            received,
            key: None,
            attributes: Vec::new(),
        }
    }

    /// The first attribute of this kind and name.
    pub fn attribute(&self, kind: AttributeKind, name: &str) -> Option<&str> {
        let same = |it: &&Attribute| {
            it.kind == kind
                && match kind {
                    AttributeKind::Header => it.name.eq_ignore_ascii_case(name),
                    AttributeKind::Property => &*it.name == name,
                }
        };
        self.attributes.iter().find(same).map(|it| &*it.value)
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Hash {
        Hash::of(&self.bytes)
    }
}

/// A SHA-256, printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The caller's name for one piece of work: 1 to 255 printable characters, unique within one flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Longest key accepted, in bytes.
    pub const LONGEST: usize = 255;

    /// `None` when the text is empty, longer than 255 bytes or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() <= Self::LONGEST && !text.chars().any(char::is_control);
        fits.then(|| Self(text.into()))
    }

    /// The text as a key, or its hash where it can be none: too long, or with a line break in it.
    pub fn or_hash(text: &str) -> Self {
        Self::new(text).unwrap_or_else(|| Self::hashed(text))
    }

    /// The SHA-256 of the text: for what must not be shown.
    pub fn hashed(text: &str) -> Self {
        Self(Hash::of(text.as_bytes()).to_string().into())
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
