//! Substitutions: directories that are labelled as others are.
#![deny(clippy::indexing_slicing)]

/// Pairs of a path and the one it is labelled as.
#[derive(Debug, Default)]
pub(super) struct Subs(Vec<(Vec<u8>, Vec<u8>)>);

impl Subs {
    /// Reads the lines of a file; those without two words are left out.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let line = |line: &[u8]| {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let from = words.next().filter(|word| !word.starts_with(b"#"))?;
            Some((from.to_vec(), words.next()?.to_vec()))
        };
        Self(bytes.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    /// The path that this one is labelled as; of several lines that fit, the last counts.
    pub(super) fn apply(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().rev().find_map(|(from, to)| {
            let rest = path.strip_prefix(from.as_slice())?;
            (rest.is_empty() || rest.starts_with(b"/")).then(|| [to.as_slice(), rest].concat())
        })
    }
}
