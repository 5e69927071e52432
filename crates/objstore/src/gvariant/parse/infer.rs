//! Types of values that do not tell them in full.
#![deny(clippy::indexing_slicing)]

use super::super::types::Node;
use super::{Expr, ExprNode, ParseTextError, Type, Writer};

/// What is known of a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// Nothing: an empty array's items.
    Any,
    /// A number without a point: any number type, `i` by default.
    Number,
    /// Text: `s`, `o` or `g`; `s` by default.
    Text,
    Basic(u8),
    Variant,
    Array(Box<Pattern>),
    Maybe(Box<Pattern>),
    Tuple(Vec<Pattern>),
    Entry(Box<Pattern>, Box<Pattern>),
}

impl Pattern {
    fn of(ty: &Type) -> Self {
        match &ty.node {
            Node::Basic(basic) => Self::Basic(*basic),
            Node::Variant => Self::Variant,
            Node::Array(element) => Self::Array(Box::new(Self::of(element))),
            Node::Maybe(element) => Self::Maybe(Box::new(Self::of(element))),
            Node::Tuple(members) => Self::Tuple(members.iter().map(Self::of).collect()),
            Node::Entry(key, value) => Self::Entry(Box::new(Self::of(key)), Box::new(Self::of(value))),
        }
    }

    /// The type that fits both.
    fn unify(self, other: Self) -> Option<Self> {
        use Pattern::{Any, Array, Basic, Entry, Maybe, Number, Text, Tuple};
        let boxed = |pattern: Option<Self>| pattern.map(Box::new);
        Some(match (self, other) {
            (Any, known) | (known, Any) => known,
            (a, b) if a == b => a,
            (Number, Basic(basic)) | (Basic(basic), Number) if b"ynqiuhxtd".contains(&basic) => Basic(basic),
            (Text, Basic(basic)) | (Basic(basic), Text) if b"sog".contains(&basic) => Basic(basic),
            (Array(a), Array(b)) => Array(boxed(a.unify(*b))?),
            (Maybe(a), Maybe(b)) => Maybe(boxed(a.unify(*b))?),
            (Maybe(a), b) | (b, Maybe(a)) => Maybe(boxed(a.unify(b))?),
            (Entry(a, b), Entry(c, d)) => Entry(boxed(a.unify(*c))?, boxed(b.unify(*d))?),
            (Tuple(a), Tuple(b)) if a.len() == b.len() => {
                Tuple(a.into_iter().zip(b).map(|(a, b)| a.unify(b)).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// The type string, with defaults where the text left a choice; `None` where it left too much.
    pub(super) fn signature(&self) -> Option<String> {
        let mut out = String::new();
        self.append(&mut out).then_some(out)
    }

    fn append(&self, out: &mut String) -> bool {
        match self {
            Self::Any => return false,
            Self::Number => out.push('i'),
            Self::Text => out.push('s'),
            Self::Basic(basic) => out.push(char::from(*basic)),
            Self::Variant => out.push('v'),
            Self::Array(element) => {
                out.push('a');
                return element.append(out);
            }
            Self::Maybe(element) => {
                out.push('m');
                return element.append(out);
            }
            Self::Tuple(members) => {
                out.push('(');
                let all = members.iter().all(|member| member.append(out));
                out.push(')');
                return all;
            }
            Self::Entry(key, value) => {
                out.push('{');
                let all = key.append(out) && value.append(out);
                out.push('}');
                return all;
            }
        }
        true
    }
}

/// What a value tells of its type.
pub(super) fn pattern(value: &Expr<'_>) -> Result<Pattern, ParseTextError> {
    Ok(match &value.node {
        ExprNode::Number(text) if is_double(text) => Pattern::Basic(b'd'),
        ExprNode::Number(_) => Pattern::Number,
        ExprNode::Text(_) => Pattern::Text,
        ExprNode::ByteString(_) => Pattern::Array(Box::new(Pattern::Basic(b'y'))),
        ExprNode::Bool(_) => Pattern::Basic(b'b'),
        ExprNode::Array(items) => Pattern::Array(Box::new(common(items.iter())?)),
        ExprNode::Tuple(items) => Pattern::Tuple(items.iter().map(pattern).collect::<Result<_, _>>()?),
        ExprNode::Dict(entries) => {
            let key = common(entries.iter().map(|(key, _)| key))?;
            let value = common(entries.iter().map(|(_, value)| value))?;
            Pattern::Array(Box::new(Pattern::Entry(Box::new(key), Box::new(value))))
        }
        ExprNode::Entry(entry) => Pattern::Entry(Box::new(pattern(&entry.0)?), Box::new(pattern(&entry.1)?)),
        ExprNode::Variant(_) => Pattern::Variant,
        ExprNode::Just(content) => Pattern::Maybe(Box::new(pattern(content)?)),
        ExprNode::Nothing => Pattern::Maybe(Box::new(Pattern::Any)),
        ExprNode::Typed(ty, _) => Pattern::of(ty),
    })
}

fn common<'e>(mut items: impl Iterator<Item = &'e Expr<'e>>) -> Result<Pattern, ParseTextError> {
    items.try_fold(Pattern::Any, |so_far, item| {
        so_far.unify(pattern(item)?).ok_or_else(|| item.error("item is of another type than those before"))
    })
}

fn is_double(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    matches!(digits, "inf" | "nan" | "infinity")
        || (!digits.starts_with("0x")
            && digits.contains(['.', 'e', 'E'])
            && digits.starts_with(|c: char| c == '.' || c.is_ascii_digit()))
}

/// Writes a number as the basic type.
pub(super) fn number(text: &str, basic: u8, w: &mut Writer) -> Result<(), &'static str> {
    if basic == b'd' {
        let hexadecimal = || integer(text).and_then(|value| value.to_string().parse().ok());
        w.f64(text.parse().ok().or_else(hexadecimal).ok_or("not a number")?);
        return Ok(());
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        return Err("unknown word");
    }
    let value = integer(text).ok_or("not a number")?;
    let range = "number is out of the range of its type";
    match basic {
        b'y' => w.u8(value.try_into().or(Err(range))?),
        b'n' => w.i16(value.try_into().or(Err(range))?),
        b'q' => w.u16(value.try_into().or(Err(range))?),
        b'i' | b'h' => w.i32(value.try_into().or(Err(range))?),
        b'u' => w.u32(value.try_into().or(Err(range))?),
        b'x' => w.i64(value.try_into().or(Err(range))?),
        b't' => w.u64(value.try_into().or(Err(range))?),
        _ => return Err("number where something else is expected"),
    }
    Ok(())
}

/// As C reads it: `0x` before hexadecimal digits, `0` before octal ones.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if digits.len() > 25 || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(|value| sign * value)
}
