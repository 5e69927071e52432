//! `file_contexts`: patterns of paths, and the label that each gives.
//!
//! Of the lines that match a path and its kind, one whose path is given literally counts before those with patterns, and
//! among equals the last. Patterns are compiled when a path first needs them, and only those are tried whose literal
//! beginning the path shares, so that thousands of lines cost little.
#![deny(clippy::indexing_slicing)]

use super::pattern::{Reach, compile, reach};
use super::subs::Subs;
use regex::bytes::Regex;
use sapwood_fsio::Kind;
use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

/// A policy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextsError {
    /// It is in use, but not there.
    #[error("the policy has no {file}")]
    Missing {
        /** What is missing. */
        file: String,
    },
    /// A file of it is larger than what is read.
    #[error("{file} is larger than {limit_bytes} bytes")]
    TooLarge {
        /** Which. */
        file: String,
        /** The limit. */
        limit_bytes: u64,
    },
    /// A line is malformed.
    #[error("line {line} of file contexts, {text:?}: {what}")]
    Line {
        /** Counted from 1, in its file. */
        line: usize,
        /** The line. */
        text: String,
        /** What is wrong with it. */
        what: &'static str,
    },
    /// A pattern is none, or too large.
    #[error("the pattern {pattern:?} of file contexts cannot be used: {why}")]
    Pattern {
        /** Which. */
        pattern: String,
        /** Why. */
        why: String,
    },
}

/// What the label of a path is, by `file_contexts` and the files beside it.
#[derive(Debug)]
pub struct Contexts {
    specs: Vec<Spec>,
    /// Lines with a literal path, in their order.
    exact: HashMap<Vec<u8>, Vec<usize>>,
    /// Lines with a pattern, by its literal beginning, in their order.
    by_prefix: HashMap<Vec<u8>, Vec<usize>>,
    /// Which lengths those beginnings have.
    prefix_lengths: BTreeSet<usize>,
    subs: [Subs; 2],
}

/// One line.
#[derive(Debug)]
struct Spec {
    pattern: String,
    kind: Option<Kind>,
    /// `None` is `<<none>>`: the path has no label.
    label: Option<String>,
    regex: OnceLock<Result<Regex, String>>,
}

impl Contexts {
    /// Reads lines `PATTERN [KIND] LABEL` of files, of which later ones count more, and two files of substitutions, of
    /// which the first is applied first.
    ///
    /// # Errors
    /// [`ContextsError::Line`].
    pub fn parse(files: &[&[u8]], subs: [&[u8]; 2]) -> Result<Self, ContextsError> {
        let mut contexts = Self {
            specs: Vec::new(),
            exact: HashMap::new(),
            by_prefix: HashMap::new(),
            prefix_lengths: BTreeSet::new(),
            subs: subs.map(Subs::parse),
        };
        for file in files {
            for (index, line) in file.split(|byte| *byte == b'\n').enumerate() {
                let text = String::from_utf8_lossy(line);
                let spec = spec(line).map_err(|what| ContextsError::Line {
                    line: index + 1,
                    text: text.chars().take(200).collect(),
                    what,
                })?;
                if let Some(spec) = spec {
                    contexts.add(spec);
                }
            }
        }
        Ok(contexts)
    }

    fn add(&mut self, spec: Spec) {
        let index = self.specs.len();
        match reach(&spec.pattern) {
            Reach::Exact(path) => self.exact.entry(path).or_default().push(index),
            Reach::Prefix(prefix) => {
                self.prefix_lengths.insert(prefix.len());
                self.by_prefix.entry(prefix).or_default().push(index);
            }
        }
        self.specs.push(spec);
    }

    /// The label of a path that begins with `/`; `kind` `None` lets lines for any kind count.
    ///
    /// # Errors
    /// [`ContextsError::Pattern`].
    pub fn lookup(&self, path: &[u8], kind: Option<Kind>) -> Result<Option<&str>, ContextsError> {
        let path = substituted(&self.subs, normal(path));
        let fits = |spec: &Spec| kind.is_none() || spec.kind.is_none() || spec.kind == kind;
        let exact = self.exact.get(&path).into_iter().flatten().rev();
        if let Some(spec) = exact.filter_map(|index| self.specs.get(*index)).find(|spec| fits(spec)) {
            return Ok(spec.label.as_deref());
        }
        let beginnings = self.prefix_lengths.iter().map_while(|length| path.get(..*length));
        let mut reaching: Vec<usize> =
            beginnings.filter_map(|beginning| self.by_prefix.get(beginning)).flatten().copied().collect();
        reaching.sort_unstable_by(|a, b| b.cmp(a));
        for spec in reaching.into_iter().filter_map(|index| self.specs.get(index)).filter(|spec| fits(spec)) {
            if spec.matches(&path)? {
                return Ok(spec.label.as_deref());
            }
        }
        Ok(None)
    }
}

impl Spec {
    fn matches(&self, path: &[u8]) -> Result<bool, ContextsError> {
        let compiled = self.regex.get_or_init(|| compile(&self.pattern).map_err(|error| error.to_string()));
        match compiled {
            Ok(regex) => Ok(regex.is_match(path)),
            Err(why) => Err(ContextsError::Pattern { pattern: self.pattern.clone(), why: why.clone() }),
        }
    }
}

/// Reads a line; `None` for one that is empty or a comment.
fn spec(line: &[u8]) -> Result<Option<Spec>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_not| "it is not UTF-8")?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (pattern, kind, label) = match *words.as_slice() {
        [] => return Ok(None),
        [first, ..] if first.starts_with('#') => return Ok(None),
        [pattern, label] => (pattern, None, label),
        [pattern, kind, label, ..] => (pattern, Some(kind_of(kind)?), label),
        [_] => return Err("a pattern and a label are expected"),
    };
    let label = (label != "<<none>>").then(|| label.to_owned());
    Ok(Some(Spec { pattern: pattern.to_owned(), kind, label, regex: OnceLock::new() }))
}

fn kind_of(word: &str) -> Result<Kind, &'static str> {
    Ok(match word {
        "--" => Kind::File,
        "-b" => Kind::BlockDevice,
        "-c" => Kind::CharDevice,
        "-d" => Kind::Dir,
        "-p" => Kind::Fifo,
        "-l" => Kind::Symlink,
        "-s" => Kind::Socket,
        _ => return Err("the kind must be --, -b, -c, -d, -p, -l or -s"),
    })
}

/// Without doubled slashes, and without one at the end.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        if !(*byte == b'/' && out.last() == Some(&b'/')) {
            out.push(*byte);
        }
    }
    if out.len() > 1 && out.last() == Some(&b'/') {
        out.pop();
    }
    out
}

fn substituted(subs: &[Subs; 2], path: Vec<u8>) -> Vec<u8> {
    subs.iter().fold(path, |path, subs| subs.apply(&path).unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `matchpathcon -f` answers.
    #[test]
    fn literal_paths_count_before_patterns_and_the_last_of_equals() {
        let main = b"\
            /.*\tu:r:def:s0\n\
            /a\tu:r:exact_a:s0\n\
            /a.*\tu:r:regex_a:s0\n\
            /a\t-d\tu:r:exact_a_d:s0\n\
            /x(/.*)?\tu:r:x:s0\n\
            /x/y(/.*)?\tu:r:xy:s0\n\
            /x(/z)?\tu:r:xlast:s0\n\
            /tmp/.*\t<<none>>\n\
            # a comment\n\
            \n\
            /lit\\.dot\t--\tu:r:lit:s0\n";
        let contexts =
            Contexts::parse(&[main, b"/x/.* u:r:homedirs:s0", b"/x/y u:r:local:s0"], [b"", b""]).unwrap();
        for (path, kind, label) in [
            ("/a", None, Some("u:r:exact_a_d:s0")),
            ("/a", Some(Kind::Dir), Some("u:r:exact_a_d:s0")),
            ("/a", Some(Kind::File), Some("u:r:exact_a:s0")),
            ("/abc", None, Some("u:r:regex_a:s0")),
            ("/x", None, Some("u:r:xlast:s0")),
            ("//x//", None, Some("u:r:xlast:s0")),
            ("/x/y", None, Some("u:r:local:s0")),
            ("/x/y/z", None, Some("u:r:homedirs:s0")),
            ("/tmp/t", None, None),
            ("/lit.dot", Some(Kind::File), Some("u:r:lit:s0")),
            ("/lit.dot", Some(Kind::Symlink), Some("u:r:def:s0")),
            ("/", None, Some("u:r:def:s0")),
        ] {
            assert_eq!(contexts.lookup(path.as_bytes(), kind), Ok(label), "{path}");
        }
    }

    #[test]
    fn substitutions_are_applied_once_each_local_ones_first() {
        let main = b"/.* def\n/sub1(/.*)? sub1\n/sub2(/.*)? sub2\n/sub3(/.*)? sub3\n";
        let dist = b"/s /sub1\n/s/t /sub2\n/q /s\n# /r /sub1\n";
        let of = |subs: &[u8], path: &str| {
            let contexts = Contexts::parse(&[main], [subs, dist]).unwrap();
            contexts.lookup(path.as_bytes(), None).unwrap().unwrap().to_owned()
        };
        for (path, label) in
            [("/s", "sub1"), ("/s/t/u", "sub2"), ("/q", "def"), ("/sx", "def"), ("/r", "def")]
        {
            assert_eq!(of(b"", path), label, "{path}");
        }
        for (path, label) in [("/s/t", "sub3"), ("/l", "sub1"), ("/q", "def")] {
            assert_eq!(of(b"/s /sub3\n/l /s\n", path), label, "{path}");
        }
    }

    #[test]
    fn a_line_or_pattern_that_makes_no_sense_is_named() {
        for line in ["/a", "/a -q u:r:t:s0", "/a u:r:t:s0 extra"] {
            let error = Contexts::parse(&[format!("/.* d\n{line}\n").as_bytes()], [b"", b""]).unwrap_err();
            assert!(matches!(error, ContextsError::Line { line: 2, .. }), "{error}");
        }
        let contexts = Contexts::parse(&[b"/b(.* label\n"], [b"", b""]).unwrap();
        assert!(matches!(contexts.lookup(b"/b", None), Err(ContextsError::Pattern { .. })));
        assert_eq!(contexts.lookup(b"/a", None), Ok(None));
    }
}
