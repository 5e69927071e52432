//! Values from text: the inverse of printing, and what people write on command lines.
//!
//! `'text'`, `42`, `uint32 42`, `true`, `2.5`, `['a', 'b']`, `('a', 1)`, `{'key': <1>}`, `<'variant'>`, `b'bytes'`,
//! `just 1`, `nothing`, and `@TYPE value` to say the type. Numbers are `i`, or `d` if they have a point or an exponent,
//! unless something tells otherwise: an annotation, or another item of the same array.
#![deny(clippy::indexing_slicing)]

mod infer;
mod lexer;

use super::types::Node;
use super::{MAX_DEPTH, Type, Writer};
use infer::Pattern;
use lexer::{Lexer, Token};

/// Why text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the text: {what}")]
pub struct ParseTextError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Parses a value in GVariant's text form; returns its type string and its serialised bytes.
///
/// # Errors
/// Where the text is not a value, or does not tell the type (`[]` needs `@as []`).
pub fn parse(text: &str) -> Result<(String, Vec<u8>), ParseTextError> {
    let mut parser = Parser { lexer: Lexer::new(text) };
    let value = parser.value(0)?;
    let rest = parser.lexer.next()?;
    if rest.token != Token::End {
        return Err(rest.error("text goes on after the value"));
    }
    let signature = infer::pattern(&value)?.signature().ok_or_else(|| value.error("cannot tell the type"))?;
    let ty = Type::parse(&signature).map_err(|error| value.error(error.what))?;
    let mut writer = Writer::new();
    value.write(&ty, &mut writer)?;
    Ok((signature, writer.finish()))
}

/// A value as written, and where.
struct Expr<'a> {
    at: usize,
    node: ExprNode<'a>,
}

enum ExprNode<'a> {
    Number(&'a str),
    Text(String),
    ByteString(Vec<u8>),
    Bool(bool),
    Array(Vec<Expr<'a>>),
    Tuple(Vec<Expr<'a>>),
    Dict(Vec<(Expr<'a>, Expr<'a>)>),
    Entry(Box<(Expr<'a>, Expr<'a>)>),
    Variant(Box<Expr<'a>>),
    Just(Box<Expr<'a>>),
    Nothing,
    Typed(Type, Box<Expr<'a>>),
}

struct Parser<'a> {
    lexer: Lexer<'a>,
}

impl<'a> Parser<'a> {
    /// Whether the next token is this one; takes it then.
    fn eat(&mut self, wanted: u8) -> Result<bool, ParseTextError> {
        let before = self.lexer.clone();
        let found = self.lexer.next()?.token == Token::Punctuation(wanted);
        if !found {
            self.lexer = before;
        }
        Ok(found)
    }

    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), ParseTextError> {
        let at = self.lexer.at();
        if self.eat(wanted)? { Ok(()) } else { Err(ParseTextError { offset: at, what }) }
    }

    fn value(&mut self, depth: usize) -> Result<Expr<'a>, ParseTextError> {
        let lexed = self.lexer.next()?;
        if depth >= MAX_DEPTH {
            return Err(lexed.error("nested too deep"));
        }
        let node = match lexed.token {
            Token::Text(text) => ExprNode::Text(text),
            Token::ByteString(bytes) => ExprNode::ByteString(bytes),
            Token::Word("true") => ExprNode::Bool(true),
            Token::Word("false") => ExprNode::Bool(false),
            Token::Word("nothing") => ExprNode::Nothing,
            Token::Word("just") => ExprNode::Just(Box::new(self.value(depth + 1)?)),
            Token::Word(word) => match keyword(word) {
                Some(signature) => self.typed(signature, lexed.at, depth)?,
                None => ExprNode::Number(word),
            },
            Token::Type(signature) => self.typed(signature, lexed.at, depth)?,
            Token::Punctuation(b'[') => ExprNode::Array(self.items(b']', depth)?),
            Token::Punctuation(b'(') => ExprNode::Tuple(self.items(b')', depth)?),
            Token::Punctuation(b'<') => {
                let content = self.value(depth + 1)?;
                self.expect(b'>', "`>` expected")?;
                ExprNode::Variant(Box::new(content))
            }
            Token::Punctuation(b'{') => self.dict(depth)?,
            Token::Punctuation(_) | Token::End => return Err(lexed.error("value expected")),
        };
        Ok(Expr { at: lexed.at, node })
    }

    fn typed(&mut self, signature: &str, at: usize, depth: usize) -> Result<ExprNode<'a>, ParseTextError> {
        let parsed =
            Type::parse(signature).map_err(|error| ParseTextError { offset: at, what: error.what })?;
        Ok(ExprNode::Typed(parsed, Box::new(self.value(depth + 1)?)))
    }

    fn items(&mut self, close: u8, depth: usize) -> Result<Vec<Expr<'a>>, ParseTextError> {
        let mut items = Vec::new();
        while !self.eat(close)? {
            items.push(self.value(depth + 1)?);
            if !self.eat(b',')? {
                self.expect(close, "`,` or the closing bracket expected")?;
                break;
            }
        }
        Ok(items)
    }

    fn dict(&mut self, depth: usize) -> Result<ExprNode<'a>, ParseTextError> {
        let mut entries = Vec::new();
        while !self.eat(b'}')? {
            let key = self.value(depth + 1)?;
            if entries.is_empty() && self.eat(b',')? {
                let value = self.value(depth + 1)?;
                self.expect(b'}', "`}` expected")?;
                return Ok(ExprNode::Entry(Box::new((key, value))));
            }
            self.expect(b':', "`:` expected")?;
            entries.push((key, self.value(depth + 1)?));
            if !self.eat(b',')? {
                self.expect(b'}', "`,` or `}` expected")?;
                break;
            }
        }
        Ok(ExprNode::Dict(entries))
    }
}

/// The types that have a word.
fn keyword(word: &str) -> Option<&'static str> {
    Some(match word {
        "boolean" => "b",
        "byte" => "y",
        "int16" => "n",
        "uint16" => "q",
        "int32" => "i",
        "handle" => "h",
        "uint32" => "u",
        "int64" => "x",
        "uint64" => "t",
        "double" => "d",
        "string" => "s",
        "objectpath" => "o",
        "signature" => "g",
        _ => return None,
    })
}

impl Expr<'_> {
    fn error(&self, what: &'static str) -> ParseTextError {
        ParseTextError { offset: self.at, what }
    }

    fn write(&self, ty: &Type, w: &mut Writer) -> Result<(), ParseTextError> {
        let mut outcome = Ok(());
        match (&self.node, &ty.node) {
            (ExprNode::Typed(own, value), _) if own == ty => return value.write(ty, w),
            (ExprNode::Nothing, Node::Maybe(element)) => w.nothing(element.layout.align),
            (ExprNode::Just(value), Node::Maybe(element)) => {
                w.just(element.layout.align, |w| outcome = value.write(element, w));
            }
            (_, Node::Maybe(element)) => w.just(element.layout.align, |w| outcome = self.write(element, w)),
            (ExprNode::Number(text), Node::Basic(basic)) => {
                return infer::number(text, *basic, w).map_err(|what| self.error(what));
            }
            (ExprNode::Bool(value), Node::Basic(b'b')) => w.bool(*value),
            (ExprNode::Text(text), Node::Basic(basic @ (b's' | b'o' | b'g'))) => match basic {
                b'o' if !super::types::is_object_path(text) => return Err(self.error("not an object path")),
                b'g' if !super::types::is_signature_value(text) => {
                    return Err(self.error("not a type string"));
                }
                _ if text.contains('\0') => return Err(self.error("text holds a NUL character")),
                _ => w.str(text),
            },
            (ExprNode::ByteString(bytes), Node::Array(element))
                if matches!(element.node, Node::Basic(b'y')) =>
            {
                w.bytestring(bytes);
            }
            (ExprNode::Array(items), Node::Array(element)) => {
                w.array(element.layout.align, |w| {
                    outcome = items.iter().try_for_each(|item| item.write(element, w));
                });
            }
            (ExprNode::Dict(entries), Node::Array(element)) => {
                if let Node::Entry(key, value) = &element.node {
                    let align = element.layout.align;
                    w.array(align, |w| {
                        outcome =
                            entries.iter().try_for_each(|entry| write_entry(entry, key, value, align, w));
                    });
                } else {
                    return Err(self.error("dictionary where something else is expected"));
                }
            }
            (ExprNode::Entry(entry), Node::Entry(key, value)) => {
                return write_entry(entry, key, value, ty.layout.align, w);
            }
            (ExprNode::Tuple(items), Node::Tuple(members)) if items.len() == members.len() => {
                w.tuple(ty.layout.align, |w| {
                    outcome = items.iter().zip(members).try_for_each(|(item, member)| item.write(member, w));
                });
            }
            (ExprNode::Variant(content), Node::Variant) => {
                let pattern: Pattern = infer::pattern(content)?;
                let signature = pattern.signature().ok_or_else(|| content.error("cannot tell the type"))?;
                let inner = Type::parse(&signature).map_err(|error| content.error(error.what))?;
                w.variant(&signature, |w| outcome = content.write(&inner, w));
            }
            _ => return Err(self.error("value is not of the type that it should have")),
        }
        outcome
    }
}

fn write_entry(
    (key, value): &(Expr<'_>, Expr<'_>),
    key_type: &Type,
    value_type: &Type,
    align: usize,
    w: &mut Writer,
) -> Result<(), ParseTextError> {
    let mut outcome = Ok(());
    w.tuple(align, |w| outcome = key.write(key_type, w).and_then(|()| value.write(value_type, w)));
    outcome
}
