//! Type strings.
#![deny(clippy::indexing_slicing)]

use super::MAX_DEPTH;
use crate::DecodeError;

/// Longest type string accepted, in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 1024;

/// What framing needs to know of a type: its alignment, and its size if all its values have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// 1, 2, 4 or 8 bytes.
    pub align: usize,
    /// In bytes; `None` for types of variable size.
    pub size: Option<usize>,
}

impl Layout {
    /// `y`, and `b`.
    pub const BYTE: Self = Self { align: 1, size: Some(1) };
    /// `u` and `i`.
    pub const U32: Self = Self { align: 4, size: Some(4) };
    /// `t`, `x` and `d`.
    pub const U64: Self = Self { align: 8, size: Some(8) };
    /// `s`.
    pub const STR: Self = Self::variable(1);
    /// `ay`.
    pub const BYTES: Self = Self::variable(1);
    /// `v`.
    pub const VARIANT: Self = Self::variable(8);
    /// `{sv}`.
    pub const ENTRY: Self = Self::variable(8);
    /// `a{sv}`.
    pub const DICT: Self = Self::variable(8);

    /// A type of variable size with this alignment.
    pub const fn variable(align: usize) -> Self {
        Self { align, size: None }
    }
}

/// A parsed type string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    pub(super) node: Node,
    pub(super) layout: Layout,
    /// Whether zero bytes are a value in normal form.
    pub(super) may_be_empty: bool,
    text: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// One of `bynqiuhxtdsog`.
    Basic(u8),
    Variant,
    Array(Box<Type>),
    Maybe(Box<Type>),
    Tuple(Vec<Type>),
    Entry(Box<Type>, Box<Type>),
}

impl Type {
    /// Parses one definite type string, of at most [`MAX_SIGNATURE_BYTES`], nested at most [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    /// With the byte where it stops being one.
    pub fn parse(signature: &str) -> Result<Self, DecodeError> {
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(DecodeError { offset: MAX_SIGNATURE_BYTES, what: "type string too long" });
        }
        let mut parser = Parser { text: signature, at: 0 };
        let parsed = parser.one(MAX_DEPTH)?;
        if parser.at == signature.len() { Ok(parsed) } else { Err(parser.error("more than one type")) }
    }
    /// The type string.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Alignment and size.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

/// Whether `text` may be the value of type `g`: any number of type strings, none of which has a maybe.
pub(super) fn is_signature_value(text: &str) -> bool {
    let mut parser = Parser { text, at: 0 };
    while parser.at < text.len() {
        if text.len() > MAX_SIGNATURE_BYTES || parser.one(MAX_DEPTH).is_err() {
            return false;
        }
    }
    !text.contains('m')
}

/// Whether `text` may be the value of type `o`.
pub(super) fn is_object_path(text: &str) -> bool {
    let element = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(element))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { offset: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.peek() != Some(byte) {
            return Err(self.error("type string not closed"));
        }
        self.at += 1;
        Ok(())
    }

    fn one(&mut self, depth: usize) -> Result<Type, DecodeError> {
        let begin = self.at;
        let Some(depth) = depth.checked_sub(1) else { return Err(self.error("type nested too deep")) };
        let Some(byte) = self.peek() else { return Err(self.error("type string ends too early")) };
        self.at += 1;
        let fixed = |size| Layout { align: size, size: Some(size) };
        let (node, layout, may_be_empty) = match byte {
            b'b' | b'y' => (Node::Basic(byte), fixed(1), false),
            b'n' | b'q' => (Node::Basic(byte), fixed(2), false),
            b'i' | b'u' | b'h' => (Node::Basic(byte), fixed(4), false),
            b'x' | b't' | b'd' => (Node::Basic(byte), fixed(8), false),
            b's' | b'o' | b'g' => (Node::Basic(byte), Layout::variable(1), false),
            b'v' => (Node::Variant, Layout::VARIANT, false),
            b'a' => {
                let element = Box::new(self.one(depth)?);
                let layout = Layout::variable(element.layout.align);
                (Node::Array(element), layout, true)
            }
            b'm' => {
                let element = Box::new(self.one(depth)?);
                let layout = Layout::variable(element.layout.align);
                (Node::Maybe(element), layout, true)
            }
            b'(' => {
                let mut members = Vec::new();
                while self.peek() != Some(b')') {
                    members.push(self.one(depth)?);
                }
                self.at += 1;
                let layout = tuple_layout(&mut members.iter());
                let may_be_empty = layout.size.is_none() && members.iter().all(|member| member.may_be_empty);
                (Node::Tuple(members), layout, may_be_empty)
            }
            b'{' => {
                let key = Box::new(self.one(depth)?);
                if !matches!(key.node, Node::Basic(_)) {
                    return Err(DecodeError {
                        offset: begin + 1,
                        what: "key of a dictionary is not a basic type",
                    });
                }
                let value = Box::new(self.one(depth)?);
                self.expect(b'}')?;
                let layout = tuple_layout(&mut [&*key, &*value].into_iter());
                (Node::Entry(key, value), layout, false)
            }
            _ => return Err(DecodeError { offset: begin, what: "unknown type" }),
        };
        let text = self.text.get(begin..self.at).unwrap_or_default().into();
        Ok(Type { node, layout, may_be_empty, text })
    }
}

fn tuple_layout(members: &mut dyn Iterator<Item = &Type>) -> Layout {
    let (mut align, mut size) = (1, Some(0_usize));
    for member in members {
        align = align.max(member.layout.align);
        size = size
            .zip(member.layout.size)
            .map(|(so_far, more)| so_far.next_multiple_of(member.layout.align) + more);
    }
    // The empty tuple is one byte.
    Layout { align, size: size.map(|size| size.max(1).next_multiple_of(align)) }
}
