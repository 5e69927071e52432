//! The verdict whether bytes are a value in normal form, the same as `g_variant_is_normal_form` gives.
#![deny(clippy::indexing_slicing)]

use super::read::TupleCursor;
use super::types::{Node, is_object_path, is_signature_value};
use super::{MAX_DEPTH, Reader, Type};
use crate::DecodeError;

/// Checks that `bytes` are a value of the type `signature` in normal form.
///
/// Takes time linear in the bytes, and no memory that grows with them.
///
/// # Errors
/// At the first byte that is not so. An error about `signature` itself has the offset 0.
pub fn check_normal_form(signature: &str, bytes: &[u8]) -> Result<(), DecodeError> {
    let parsed = Type::parse(signature).map_err(|error| DecodeError { offset: 0, ..error })?;
    Reader::new(bytes).check(&parsed)
}

impl Reader<'_> {
    /// Checks that this is a value of this type in normal form, with all that is in it.
    ///
    /// # Errors
    /// At the first byte that is not so.
    pub fn check(self, ty: &Type) -> Result<(), DecodeError> {
        check(self, ty, 0)
    }
}

/// The type in a variant, parsed, with the error placed where the variant is.
pub(super) fn variant_type(whole: Reader<'_>, signature: &str) -> Result<Type, DecodeError> {
    Type::parse(signature).map_err(|error| whole.error(error.what))
}

fn check(value: Reader<'_>, ty: &Type, depth: usize) -> Result<(), DecodeError> {
    if depth >= MAX_DEPTH {
        return Err(value.error("value nested too deep"));
    }
    let depth = depth + 1;
    if value.raw().is_empty() {
        return if ty.may_be_empty { Ok(()) } else { Err(value.error("value is missing")) };
    }
    match &ty.node {
        Node::Basic(basic) => check_basic(value, *basic, ty),
        Node::Variant => {
            let (signature, content) = value.variant()?;
            check(content, &variant_type(value, signature)?, depth)
        }
        Node::Array(element) if matches!(element.node, Node::Basic(b'y')) => Ok(()),
        Node::Array(element) => {
            for item in value.array(element.layout)? {
                check(item?, element, depth)?;
            }
            Ok(())
        }
        Node::Maybe(element) => check(maybe(value, element)?, element, depth),
        Node::Tuple(members) if members.is_empty() => match value.raw() {
            [0] => Ok(()),
            _ => Err(value.error("empty tuple is not one zero byte")),
        },
        Node::Tuple(members) => {
            let mut cursor = TupleCursor::new(value);
            for (at, member) in members.iter().enumerate() {
                check(cursor.next(member.layout, at + 1 == members.len())?, member, depth)?;
            }
            cursor.finish()
        }
        Node::Entry(key, content) => {
            let mut cursor = TupleCursor::new(value);
            check(cursor.next(key.layout, false)?, key, depth)?;
            check(cursor.next(content.layout, true)?, content, depth)?;
            cursor.finish()
        }
    }
}

/// The content of a maybe that is not nothing.
pub(super) fn maybe<'a>(value: Reader<'a>, element: &Type) -> Result<Reader<'a>, DecodeError> {
    match (element.layout.size, value.raw().split_last()) {
        (Some(_), _) => Ok(value),
        (None, Some((0, _))) => Ok(value.without_last()),
        (None, _) => Err(value.error("maybe without its final zero byte")),
    }
}

fn check_basic(value: Reader<'_>, basic: u8, ty: &Type) -> Result<(), DecodeError> {
    match basic {
        b'b' => value.bool().map(drop),
        b's' => value.str().map(drop),
        b'o' if !is_object_path(value.str()?) => Err(value.error("not an object path")),
        b'g' if !is_signature_value(value.str()?) => Err(value.error("not a type string")),
        b'o' | b'g' => Ok(()),
        _ if ty.layout.size == Some(value.raw().len()) => Ok(()),
        _ => Err(value.error("value of a fixed size has another")),
    }
}
