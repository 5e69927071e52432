//! Changing the paths of an archive's entries.

use regex::Regex;

/// Replaces each match of a pattern in a path.
#[derive(Debug, Clone)]
pub struct PathFilter {
    pattern: Regex,
    replacement: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

/// Largest compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 10 << 20;

impl PathFilter {
    /// A pattern, and what its matches become, in which `\1` is the text of the first group and `\0` that of all.
    ///
    /// # Errors
    /// For what is no regular expression, or one that needs to look around or back.
    pub fn new(pattern: &str, replacement: &str) -> std::result::Result<Self, regex::Error> {
        let pattern = regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build()?;
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut letters = replacement.chars();
        while let Some(letter) = letters.next() {
            match (letter, if letter == '\\' { letters.next() } else { None }) {
                ('\\', Some(digit @ '0'..='9')) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Group(usize::try_from(u32::from(digit) - u32::from('0')).unwrap_or(0)));
                }
                ('\\', Some(other)) => text.push(other),
                (letter, _) => text.push(letter),
            }
        }
        parts.push(Part::Text(text));
        Ok(Self { pattern, replacement: parts })
    }

    pub(super) fn apply(&self, path: &str) -> String {
        let replace = |found: &regex::Captures<'_>| {
            let parts = self.replacement.iter().map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Group(group) => found.get(*group).map_or("", |group| group.as_str()),
            });
            parts.collect::<String>()
        };
        self.pattern.replace_all(path, replace).into_owned()
    }
}
