//! What is wrong with an XML document, and where.

use vestibule_core::{
    fault::{Fault, FaultCode},
    origin::line_and_column,
};

/// Longest name that an error repeats, in characters.
const LONGEST_NAME: usize = 80;

/// An XML document that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct XmlError {
    /// What is wrong. Never holds text of the document but names.
    pub problem: Problem,
    /// Line of the decoded document, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl XmlError {
    /// The error at this byte of the decoded text.
    pub(super) fn at(problem: Problem, text: &str, offset: usize) -> Self {
        let (line, column) = line_and_column(text, offset);
        Self { problem, line, column }
    }
}

impl From<XmlError> for Fault {
    fn from(error: XmlError) -> Self {
        let code = if error.problem.is_limit() { FaultCode::TooLarge } else { FaultCode::Malformed };
        let place = format!("{}:{}", error.line, error.column);
        Self::new(code, error.problem.to_string()).at(place).because(error)
    }
}

/// The rule that a document breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The tokens do not make markup: a tag, comment or section that does not end.
    #[error("the markup is not complete")]
    Syntax,
    /// XML has no such character (also by reference).
    #[error("U+{0:04X} is not an XML character")]
    Character(u32),
    /// Not an `NCName` or `QName`.
    #[error("not an XML name")]
    Name,
    /// Text, a reference or CDATA beside the root element.
    #[error("text outside the root element")]
    StrayText,
    /// A second root element.
    #[error("a second root element, `{0}`")]
    SecondRoot(Box<str>),
    /// No element at all.
    #[error("no root element")]
    NoRoot,
    /// The document ends inside an element.
    #[error("element `{0}` is not closed")]
    Unclosed(Box<str>),
    /// An end tag that does not match its start tag.
    #[error("`</{close}>` where `</{open}>` is due")]
    Mismatched {
        /// The element that is open.
        open: Box<str>,
        /// The end tag's name.
        close: Box<str>,
    },
    /// An end tag without a start tag.
    #[error("`</{0}>` ends nothing")]
    NothingToClose(Box<str>),
    /// A document type declaration.
    #[error("a DOCTYPE is not accepted")]
    Doctype,
    /// `<?xml …?>` not at the very beginning.
    #[error("an XML declaration that is not the document's first characters")]
    MisplacedDeclaration,
    /// `<?xml …?>` with anything but version, encoding and standalone.
    #[error("the XML declaration is not well-formed, or its version is not 1.0")]
    Declaration,
    /// An entity other than the five of XML itself.
    #[error("entity `&{0};` is not defined")]
    Entity(Box<str>),
    /// `&#…;` that is no number.
    #[error("a character reference that is no number")]
    Reference,
    /// `]]>` in text.
    #[error("`]]>` in text")]
    SectionEnd,
    /// `--` in a comment.
    #[error("`--` inside a comment")]
    Comment,
    /// A processing instruction named `xml`, or with a colon in its name.
    #[error("a processing instruction with a name that is not allowed")]
    Instruction,
    /// An attribute without `=`, quotes, or white space before it.
    #[error("an attribute that is not written as name=\"value\"")]
    Attribute,
    /// `<` in an attribute's value.
    #[error("`<` in an attribute's value")]
    LessThan,
    /// The same attribute twice, by its name or by its namespace and local name.
    #[error("attribute `{0}` stands twice")]
    DuplicateAttribute(Box<str>),
    /// A prefix that no declaration binds.
    #[error("prefix `{0}` is not declared")]
    UnboundPrefix(Box<str>),
    /// `xml` or `xmlns` bound to another namespace, or their namespaces to another prefix.
    #[error("prefix `{0}` or its namespace is reserved")]
    Reserved(Box<str>),
    /// `xmlns:p=""`.
    #[error("prefix `{0}` is bound to nothing")]
    EmptyBinding(Box<str>),
    /// A character set that is not known here.
    #[error("character set `{0}` is not known")]
    UnknownCharset(Box<str>),
    /// Transport, byte order mark and declaration do not agree.
    #[error("the character sets do not agree: `{0}` and `{1}`")]
    CharsetConflict(Box<str>, Box<str>),
    /// Bytes that the character set does not have.
    #[error("bytes that are not {0}")]
    Undecodable(&'static str),
    /// More bytes than [`super::Limits::bytes`].
    #[error("more than {0} bytes")]
    TooManyBytes(usize),
    /// Deeper than [`super::Limits::depth`].
    #[error("elements nested more than {0} deep")]
    TooDeep(usize),
    /// More elements than [`super::Limits::elements`].
    #[error("more than {0} elements")]
    TooManyElements(usize),
    /// More attributes on one element than [`super::Limits::attributes`].
    #[error("more than {0} attributes on one element")]
    TooManyAttributes(usize),
    /// A value longer than [`super::Limits::attribute_bytes`].
    #[error("an attribute of more than {0} bytes")]
    AttributeTooLong(usize),
    /// More namespace declarations than [`super::Limits::declarations`] or [`super::Limits::bindings`].
    #[error("more than {0} namespace declarations")]
    TooManyDeclarations(usize),
    /// More character data than [`super::Limits::text_bytes`].
    #[error("more than {0} bytes of text")]
    TooMuchText(usize),
}

impl Problem {
    /// True where a smaller document could be accepted.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManyBytes(_)
                | Self::TooDeep(_)
                | Self::TooManyElements(_)
                | Self::TooManyAttributes(_)
                | Self::AttributeTooLong(_)
                | Self::TooManyDeclarations(_)
                | Self::TooMuchText(_)
        )
    }
}

/// A name as an error may repeat it: short.
pub(super) fn shown(name: &str) -> Box<str> {
    name.chars().take(LONGEST_NAME).filter(|it| !it.is_control()).collect::<String>().into()
}
