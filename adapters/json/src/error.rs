//! What is wrong with a JSON document, and where.

use vestibule_core::{
    fault::{Fault, FaultCode},
    origin::line_and_column,
};

/// A JSON document that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct JsonError {
    /// What is wrong. Never holds text of the document but a key.
    pub problem: Problem,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

impl JsonError {
    /// The error at this byte of the text.
    pub(crate) fn at(problem: Problem, text: &str, offset: usize) -> Self {
        let (line, column) = line_and_column(text, offset);
        Self { problem, line, column }
    }
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        let code = match error.problem {
            Problem::TooManyBytes(_) | Problem::TooDeep(_) | Problem::TooManyNodes(_) => FaultCode::TooLarge,
            _ => FaultCode::Malformed,
        };
        let place = format!("{}:{}", error.line, error.column);
        Self::new(code, error.problem.to_string()).at(place).because(error)
    }
}

/// The rule that a document breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not the bytes of UTF-8, the only encoding of JSON (RFC 8259, section 8.1).
    #[error("bytes that are not UTF-8")]
    Undecodable,
    /// The transport says another character set.
    #[error("JSON is UTF-8, and the Content-Type says another character set")]
    Charset,
    /// Something else than what the grammar allows here.
    #[error("{0} is due here")]
    Expected(&'static str),
    /// A control character inside a string.
    #[error("a control character inside a string")]
    Control,
    /// A backslash that begins no escape.
    #[error("an escape that JSON does not have")]
    Escape,
    /// Half of a surrogate pair.
    #[error("half of a surrogate pair")]
    Surrogate,
    /// A number with a leading zero, a bare point, and the like.
    #[error("not a JSON number")]
    Number,
    /// The same key twice in one object.
    #[error("key `{0}` stands twice")]
    DuplicateKey(Box<str>),
    /// More after the value.
    #[error("text after the end of the document")]
    Trailing,
    /// The document is a single text, number or word.
    #[error("the document is neither an object nor an array")]
    Scalar,
    /// `@name` or `#text` that holds an object or an array.
    #[error("`{0}` holds more than one value")]
    NotPlain(Box<str>),
    /// More bytes than the limit.
    #[error("more than {0} bytes")]
    TooManyBytes(usize),
    /// Deeper than the limit.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// More values than the limit.
    #[error("more than {0} values")]
    TooManyNodes(usize),
}

/// A key as an error may repeat it: short.
pub(crate) fn shown(key: &str) -> Box<str> {
    key.chars().take(80).filter(|it| !it.is_control()).collect::<String>().into()
}
