//! Words of the text form.
#![deny(clippy::indexing_slicing)]

use super::ParseTextError;

#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// One of `[](){}<>,:`.
    Punctuation(u8),
    Text(String),
    ByteString(Vec<u8>),
    /// What follows an `@`.
    Type(&'a str),
    /// A keyword or a number.
    Word(&'a str),
    End,
}

pub(super) struct Lexed<'a> {
    pub(super) at: usize,
    pub(super) token: Token<'a>,
}

impl Lexed<'_> {
    pub(super) fn error(&self, what: &'static str) -> ParseTextError {
        ParseTextError { offset: self.at, what }
    }
}

#[derive(Clone)]
pub(super) struct Lexer<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(whole: &'a str) -> Self {
        Self { whole, rest: whole }
    }

    pub(super) fn at(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    fn error(&self, what: &'static str) -> ParseTextError {
        ParseTextError { offset: self.at(), what }
    }

    pub(super) fn next(&mut self) -> Result<Lexed<'a>, ParseTextError> {
        self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let at = self.at();
        let mut chars = self.rest.chars();
        let token = match (chars.next(), chars.clone().next()) {
            (None, _) => Token::End,
            (Some(c @ ('[' | ']' | '(' | ')' | '{' | '}' | '<' | '>' | ',' | ':')), _) => {
                self.rest = chars.as_str();
                Token::Punctuation(c as u8)
            }
            (Some(quote @ ('\'' | '"')), _) => {
                self.rest = chars.as_str();
                Token::Text(self.text(quote)?)
            }
            (Some('b'), Some(quote @ ('\'' | '"'))) => {
                chars.next();
                self.rest = chars.as_str();
                Token::ByteString(self.byte_string(quote)?)
            }
            (Some('@'), _) => {
                self.rest = chars.as_str();
                Token::Type(self.take(type_end(self.rest)))
            }
            (Some(_), _) => {
                let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
                let end = self.rest.find(|c| !word(c)).unwrap_or(self.rest.len());
                if end == 0 {
                    return Err(self.error("value expected"));
                }
                Token::Word(self.take(end))
            }
        };
        Ok(Lexed { at, token })
    }

    fn take(&mut self, count: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn char(&mut self) -> Result<char, ParseTextError> {
        let mut chars = self.rest.chars();
        let next = chars.next().ok_or_else(|| self.error("text is not closed"))?;
        self.rest = chars.as_str();
        Ok(next)
    }

    fn text(&mut self, quote: char) -> Result<String, ParseTextError> {
        let mut text = String::new();
        loop {
            match self.char()? {
                c if c == quote => return Ok(text),
                '\\' => match self.char()? {
                    '\n' => {}
                    'u' => text.push(self.code(4)?),
                    'U' => text.push(self.code(8)?),
                    c => text.push(escape(c).map_or(c, char::from)),
                },
                c => text.push(c),
            }
        }
    }

    /// The character of a number of so many hexadecimal digits.
    fn code(&mut self, count: usize) -> Result<char, ParseTextError> {
        let error = self.error("not the number of a character");
        let digits = self.take(count);
        let all = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).ok().filter(|number| all && *number > 0);
        number.and_then(char::from_u32).ok_or(error)
    }

    fn byte_string(&mut self, quote: char) -> Result<Vec<u8>, ParseTextError> {
        let mut bytes = Vec::new();
        loop {
            let mut plain = |c: char| bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            match self.char()? {
                c if c == quote => return Ok(bytes),
                '\\' => match self.char()? {
                    '\n' => {}
                    digit @ '0'..='7' => {
                        let mut value = u32::from(digit) - u32::from('0');
                        for _ in 0..2 {
                            let Some(next) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else {
                                break;
                            };
                            value = value * 8 + next;
                            self.take(1);
                        }
                        let byte = u8::try_from(value).ok().filter(|byte| *byte > 0);
                        bytes.push(byte.ok_or_else(|| self.error("not the number of a byte"))?);
                    }
                    c => plain(escape(c).map_or(c, char::from)),
                },
                '\0' => return Err(self.error("byte string holds a NUL byte")),
                c => plain(c),
            }
        }
    }
}

fn escape(c: char) -> Option<u8> {
    Some(match c {
        'a' => 7,
        'b' => 8,
        'f' => 0xc,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0xb,
        _ => return None,
    })
}

/// Where the type at the beginning of `text` ends: after one type, so that brackets of the value do not belong to it.
fn type_end(text: &str) -> usize {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => open += 1,
            ')' | '}' if open > 0 => open -= 1,
            'a' | 'm' => continue,
            c if c.is_ascii_alphanumeric() => {}
            _ => return at,
        }
        if open == 0 {
            return at + 1;
        }
    }
    text.len()
}
