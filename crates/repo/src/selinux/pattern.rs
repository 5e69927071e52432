//! Patterns of `file_contexts`: Perl's regular expressions, as those files use them.
#![deny(clippy::indexing_slicing)]

use regex::bytes::{Regex, RegexBuilder};

/// Largest compiled pattern, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Compiles a pattern that must match whole paths. `.` matches any byte.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{})$", translate(pattern)))
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .build()
}

/// From Perl's syntax to that of our library, where they differ in what stands for itself.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut out, rest.next()),
            '[' => class(&mut out, &mut rest),
            '{' if !is_repetition(rest.as_str()) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// A backslash with what follows: letters and digits have a meaning, all else stands for itself.
fn escape(out: &mut String, next: Option<char>) {
    match next {
        Some(c) if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
        Some(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        None => out.push('\\'),
    }
}

/// A class, after its bracket. In Perl's, only `]`, `\`, `^`, `-` and `[:` are special, in their places.
fn class(out: &mut String, rest: &mut std::str::Chars<'_>) {
    out.push('[');
    let mut is_first = true;
    while let Some(c) = rest.next() {
        match c {
            '^' if is_first && out.ends_with('[') => {
                out.push('^');
                continue;
            }
            ']' if !is_first => {
                out.push(']');
                return;
            }
            '[' if rest.as_str().starts_with(':') => {
                let named = rest
                    .as_str()
                    .find(":]")
                    .map_or(rest.as_str(), |end| rest.as_str().get(..end + 2).unwrap_or_default());
                out.push('[');
                out.push_str(named);
                rest.nth(named.chars().count().saturating_sub(1));
            }
            '[' | ']' | '&' | '~' => out.extend(['\\', c]),
            '\\' => match rest.next() {
                Some(c) if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
        is_first = false;
    }
}

/// Whether what follows an opening brace makes it a repetition: `3}`, `3,}`, `3,5}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else { return false };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match inside.split_once(',') {
        None => !inside.is_empty() && digits(inside),
        Some((low, high)) => !low.is_empty() && digits(low) && digits(high),
    }
}

/// Which paths a pattern can match, as far as its beginning tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// This one.
    Exact(Vec<u8>),
    /// Those that begin so.
    Prefix(Vec<u8>),
}

/// What a pattern reaches. One without unescaped special characters is a path.
pub(super) fn reach(pattern: &str) -> Reach {
    let mut literal = Vec::new();
    let mut last = 0;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        let before = last;
        last = literal.len();
        match c {
            '\\' => match rest.next() {
                Some(c) if !c.is_ascii_alphanumeric() => push(&mut literal, c),
                _ => return prefix(pattern, literal),
            },
            // What stands before them need not be there.
            '?' | '*' | '{' => {
                literal.truncate(before);
                return prefix(pattern, literal);
            }
            '.' | '^' | '$' | '+' | '|' | '[' | '(' => return prefix(pattern, literal),
            c => push(&mut literal, c),
        }
    }
    Reach::Exact(literal)
}

fn push(literal: &mut Vec<u8>, c: char) {
    literal.extend(c.encode_utf8(&mut [0; 4]).bytes());
}

/// With an alternative outside of all parentheses, anything may stand before it.
fn prefix(pattern: &str, literal: Vec<u8>) -> Reach {
    let mut depth = 0_usize;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return Reach::Prefix(Vec::new()),
            _ => {}
        }
    }
    Reach::Prefix(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perl_takes_for_itself_stands_for_itself() {
        for (pattern, yes, no) in [
            (r"/a\.b", "/a.b", "/axb"),
            (r"/a{", "/a{", "/a"),
            (r"/a{2}", "/aa", "/a{2}"),
            (r"/a{,2}", "/a{,2}", "/aa"),
            (r"/[]a]", "/]", "/b"),
            (r"/[^]a]", "/b", "/]"),
            (r"/[a&&b]", "/&", "/c"),
            (r"/[[:digit:]x]+", "/1x2", "/a"),
            (r"/[\]\\]", "/\\", "/a"),
            (r"/a\-b\_c\<", "/a-b_c<", "/abc"),
            ("/.", "/\n", "/"),
            ("/..", "/ä", "/a"),
            (r"/\d+", "/12", "/x"),
        ] {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(yes.as_bytes()), "{pattern} {yes}");
            assert!(!regex.is_match(no.as_bytes()), "{pattern} {no}");
        }
    }

    #[test]
    fn a_pattern_reaches_only_paths_that_begin_as_it_does() {
        let exact = |text: &str| Reach::Exact(text.into());
        let prefix = |text: &str| Reach::Prefix(text.into());
        for (pattern, wanted) in [
            ("/a/b", exact("/a/b")),
            (r"/a\.b", exact("/a.b")),
            ("/a/b(/.*)?", prefix("/a/b")),
            ("/a/bc?", prefix("/a/b")),
            (r"/a/b\.*", prefix("/a/b")),
            (r"/a/ö*", prefix("/a/")),
            (r"/a\d", prefix("/a")),
            ("/a|/b", prefix("")),
            ("/(a|b)", prefix("/")),
            ("/a+", prefix("/a")),
            (".*", prefix("")),
        ] {
            assert_eq!(reach(pattern), wanted, "{pattern}");
        }
    }
}
