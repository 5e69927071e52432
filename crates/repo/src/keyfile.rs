//! Keyfiles, as OSTree's configuration and origin files are: groups of keys, order, comments and unknown keys kept.

/// A keyfile. Changing one key leaves all other lines as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyfile { _todo: () }

/// What is wrong with a keyfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct KeyfileError { /** The line, from 1. */ pub line: usize, /** What is wrong. */ pub what: &'static str }

impl Keyfile {
    /// Parses text as GKeyFile does: repeated groups are merged, the last of repeated keys wins, `#` begins a comment line.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyfileError> { todo!() }
    /// The text.
    pub fn to_text(&self) -> String { todo!() }
    /// The raw value, escapes left as they are.
    pub fn raw(&self, group: &str, key: &str) -> Option<&str> { todo!() }
    /// The value with escapes decoded.
    pub fn get(&self, group: &str, key: &str) -> Option<String> { todo!() }
    /// A list: split at `;`, `\;` is a semicolon.
    pub fn get_list(&self, group: &str, key: &str) -> Option<Vec<String>> { todo!() }
    /// A boolean: yes/true/1, no/false/0. `Err` holds the text that is neither.
    pub fn get_bool(&self, group: &str, key: &str) -> Option<Result<bool, String>> { todo!() }
    /// Sets a key, escaping the value; adds the group at the end where it is missing.
    pub fn set(&mut self, group: &str, key: &str, value: &str) { todo!() }
    /// Sets a list.
    pub fn set_list(&mut self, group: &str, key: &str, values: &[&str]) { todo!() }
    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, group: &str, key: &str) -> bool { todo!() }
    /// Removes a group; says whether it was there.
    pub fn remove_group(&mut self, group: &str) -> bool { todo!() }
    /// Groups in order.
    pub fn groups(&self) -> impl Iterator<Item = &str> { std::iter::empty() }
    /// Keys of a group in order.
    pub fn keys<'k>(&'k self, group: &str) -> impl Iterator<Item = &'k str> + use<'k> { std::iter::empty() }
}
