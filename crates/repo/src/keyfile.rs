//! Keyfiles, as OSTree's configuration and origin files are: groups of keys, order, comments and unknown keys kept.
//!
//! The rules are GKeyFile's: a repeated group continues the first one, of repeated keys the last wins, names are
//! case-sensitive, only whole lines that begin with `#` are comments, and escapes are decoded by who asks for text.
//! Reading a file and printing it gives the same bytes; setting one key touches one line.
#![deny(clippy::indexing_slicing)]

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

/// A keyfile. Changing one key leaves all other lines as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyfile {
    lines: Vec<Line>,
}

/// A line of the file: what it says, and its text with the line end (which the last line may lack).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    kind: LineKind,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LineKind {
    /// Blank, or a comment.
    Other,
    /// The beginning of a group.
    Group(String),
    /// A key and its raw value.
    Key(String, String),
}

/// What is wrong with a keyfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct KeyfileError {
    /** The line, from 1; 0 for the file as a whole. */
    pub line: usize,
    /** What is wrong. */
    pub what: &'static str,
}

/// How GKeyFile separates the elements of a list.
const SEPARATOR: char = ';';

impl Keyfile {
    /// Largest file accepted, in bytes: 1 MiB.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Parses text as GKeyFile does: repeated groups are merged, the last of repeated keys wins, `#` begins a comment line.
    ///
    /// # Errors
    /// More than [`MAX_BYTES`](Self::MAX_BYTES), text that is not UTF-8 or holds NUL, a key before the first group, a
    /// name that no group or key can have, or a line that is nothing of all this.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyfileError> {
        let whole = |what| KeyfileError { line: 0, what };
        if bytes.len() > Self::MAX_BYTES {
            return Err(whole("larger than 1 MiB"));
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return Err(whole("not UTF-8")) };
        if text.contains('\0') {
            return Err(whole("holds a NUL byte"));
        }
        let mut lines = Vec::new();
        let mut in_group = false;
        for (index, text) in text.split_inclusive('\n').enumerate() {
            let kind = parse_line(text).map_err(|what| KeyfileError { line: index + 1, what })?;
            match kind {
                LineKind::Group(_) => in_group = true,
                LineKind::Key(..) if !in_group => {
                    return Err(KeyfileError { line: index + 1, what: "a key before the first group" });
                }
                _ => {}
            }
            lines.push(Line { kind, text: text.to_owned() });
        }
        Ok(Self { lines })
    }

    /// The text.
    pub fn to_text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect()
    }

    /// The keys of a group with the index of their lines, in the order of the file, repetitions included.
    fn lines_of<'k>(
        &'k self,
        group: &str,
    ) -> impl DoubleEndedIterator<Item = (usize, &'k str, &'k str)> + use<'k> {
        let mut here = false;
        let mut found = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            match &line.kind {
                LineKind::Group(name) => here = name == group,
                LineKind::Key(key, value) if here => found.push((index, key.as_str(), value.as_str())),
                _ => {}
            }
        }
        found.into_iter()
    }

    /// The raw value, escapes left as they are.
    pub fn raw(&self, group: &str, key: &str) -> Option<&str> {
        self.lines_of(group).rev().find(|(_, name, _)| *name == key).map(|(_, _, value)| value)
    }

    /// The value with `\s`, `\n`, `\t`, `\r` and `\\` decoded. What follows another backslash is left as it is, with it.
    pub fn get(&self, group: &str, key: &str) -> Option<String> {
        self.raw(group, key).map(|raw| {
            let mut out = String::with_capacity(raw.len());
            let mut chars = raw.chars();
            while let Some(c) = chars.next() {
                if c == '\\' { unescape(chars.next(), &mut out) } else { out.push(c) }
            }
            out
        })
    }

    /// A list: split at `;`, `\;` is a semicolon, other escapes as in [`get`](Self::get). A `;` at the end ends the last
    /// element and begins none.
    pub fn get_list(&self, group: &str, key: &str) -> Option<Vec<String>> {
        self.raw(group, key).map(|raw| {
            let mut list = Vec::new();
            let mut element = String::new();
            let mut chars = raw.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => match chars.next() {
                        Some(SEPARATOR) => element.push(SEPARATOR),
                        other => unescape(other, &mut element),
                    },
                    SEPARATOR => list.push(std::mem::take(&mut element)),
                    _ => element.push(c),
                }
            }
            if !element.is_empty() {
                list.push(element);
            }
            list
        })
    }

    /// A boolean: yes/true/1, no/false/0. `None` where the key is missing; `Err` holds the text that is neither.
    pub fn get_bool(&self, group: &str, key: &str) -> Option<Result<bool, String>> {
        self.raw(group, key).map(|raw| match raw.trim_end() {
            "yes" | "true" | "1" => Ok(true),
            "no" | "false" | "0" => Ok(false),
            _ => Err(raw.to_owned()),
        })
    }

    /// Sets a key, escaping the value; adds the group at the end where it is missing. NUL bytes, and a form feed at the
    /// beginning of the value, which have no escape, are lost.
    ///
    /// Says whether it did: a group or key name that no keyfile can hold changes nothing.
    pub fn set(&mut self, group: &str, key: &str, value: &str) -> bool {
        self.set_raw(group, key, escape(value, false))
    }

    /// Sets a list; as [`set`](Self::set).
    pub fn set_list(&mut self, group: &str, key: &str, values: &[&str]) -> bool {
        let raw = values.iter().flat_map(|value| [escape(value, true), SEPARATOR.to_string()]).collect();
        self.set_raw(group, key, raw)
    }

    fn set_raw(&mut self, group: &str, key: &str, value: String) -> bool {
        if !is_group(group) || !is_key(key) {
            return false;
        }
        let line = Line { text: format!("{key}={value}\n"), kind: LineKind::Key(key.to_owned(), value) };
        let existing = self.lines_of(group).rev().find(|(_, name, _)| *name == key).map(|(index, ..)| index);
        if let Some(slot) = existing.and_then(|index| self.lines.get_mut(index)) {
            *slot = line;
            return true;
        }
        if let Some(last) = self.lines.last_mut()
            && !last.text.ends_with('\n')
        {
            last.text.push('\n');
        }
        let header = |line: &Line| matches!(&line.kind, LineKind::Group(name) if name == group);
        let after = self
            .lines_of(group)
            .last()
            .map(|(index, ..)| index)
            .or_else(|| self.lines.iter().rposition(header))
            .map(|index| index + 1);
        let at = after.unwrap_or_else(|| {
            if self.lines.last().is_some_and(|line| !line.text.trim().is_empty()) {
                self.lines.push(Line { kind: LineKind::Other, text: "\n".to_owned() });
            }
            self.lines.push(Line { kind: LineKind::Group(group.to_owned()), text: format!("[{group}]\n") });
            self.lines.len()
        });
        self.lines.insert(at, line);
        true
    }

    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, group: &str, key: &str) -> bool {
        let doomed: BTreeSet<usize> =
            self.lines_of(group).filter(|(_, name, _)| *name == key).map(|(index, ..)| index).collect();
        self.drop_lines(&doomed)
    }

    /// Removes a group with its comments, wherever it is repeated, and blank lines that would end the file; says whether
    /// it was there.
    pub fn remove_group(&mut self, group: &str) -> bool {
        let mut here = false;
        let mut doomed = BTreeSet::new();
        for (index, line) in self.lines.iter().enumerate() {
            if let LineKind::Group(name) = &line.kind {
                here = name == group;
            }
            if here {
                doomed.insert(index);
            }
        }
        let found = self.drop_lines(&doomed);
        while found && self.lines.last().is_some_and(|line| line.text.trim().is_empty()) {
            self.lines.pop();
        }
        found
    }

    fn drop_lines(&mut self, doomed: &BTreeSet<usize>) -> bool {
        let mut index = 0;
        self.lines.retain(|_| {
            index += 1;
            !doomed.contains(&(index - 1))
        });
        !doomed.is_empty()
    }

    /// Groups in order, each once.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let mut seen = BTreeSet::new();
        self.lines.iter().filter_map(move |line| match &line.kind {
            LineKind::Group(name) if seen.insert(name.as_str()) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Keys of a group in order, each once.
    pub fn keys<'k>(&'k self, group: &str) -> impl Iterator<Item = &'k str> + use<'k> {
        let mut seen = BTreeSet::new();
        self.lines_of(group).map(|(_, key, _)| key).filter(move |key| seen.insert(*key))
    }
}

fn parse_line(text: &str) -> Result<LineKind, &'static str> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let line = line.trim_start_matches(is_space);
    if line.is_empty() || line.starts_with('#') {
        return Ok(LineKind::Other);
    }
    if let Some(rest) = line.strip_prefix('[') {
        let name = rest.trim_end_matches(is_space).strip_suffix(']').ok_or("a group without its ]")?;
        return if is_group(name) { Ok(LineKind::Group(name.to_owned())) } else { Err("a bad group name") };
    }
    let (key, value) =
        line.split_once('=').ok_or("neither a group, nor a key with a value, nor a comment")?;
    let key = key.trim_end_matches(is_space);
    if !is_key(key) {
        return Err("a bad key name");
    }
    Ok(LineKind::Key(key.to_owned(), value.trim_start_matches(is_space).to_owned()))
}

/// As `g_ascii_isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

fn is_group(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '[' || c == ']' || c.is_control())
}

fn is_key(name: &str) -> bool {
    let (base, locale) = match name.split_once('[') {
        Some((base, rest)) => (base, rest.strip_suffix(']')),
        None => (name, Some("c")),
    };
    let bad = |c: char| matches!(c, '=' | '[' | ']') || c.is_control();
    let locale_is_good = locale.is_some_and(|locale| {
        !locale.is_empty() && locale.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c))
    });
    !base.is_empty()
        && !base.starts_with([' ', '#'])
        && !base.ends_with(' ')
        && !base.contains(bad)
        && locale_is_good
}

fn unescape(code: Option<char>, out: &mut String) {
    match code {
        Some('s') => out.push(' '),
        Some('n') => out.push('\n'),
        Some('t') => out.push('\t'),
        Some('r') => out.push('\r'),
        Some('\\') | None => out.push('\\'),
        Some(other) => {
            out.push('\\');
            out.push(other);
        }
    }
}

fn escape(value: &str, in_list: bool) -> String {
    let mut out = String::with_capacity(value.len());
    let mut leading = true;
    for c in value.chars() {
        match c {
            ' ' if leading => out.push_str("\\s"),
            '\t' if leading => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            SEPARATOR if in_list => out.push_str("\\;"),
            // No keyfile can hold it.
            '\0' => {}
            _ => out.push(c),
        }
        leading = leading && matches!(c, ' ' | '\t');
    }
    out
}
