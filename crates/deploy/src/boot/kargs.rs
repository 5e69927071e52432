//! Kernel arguments: an ordered list of `key` and `key=value`, in which a key may be there several times.
#![deny(clippy::indexing_slicing)]

use std::fmt;

/// Kernel arguments, in order. Each is kept as it was written, quotes included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kargs {
    args: Vec<String>,
}

/// One change of kernel arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KargEdit {
    /// `key=value` or `key` takes the place of the first argument of that key, and its others go; goes last if there is
    /// none. This is `--karg` of `admin deploy`.
    Set(String),
    /// Goes last.
    Append(String),
    /// Goes last, unless there is one of this key, whatever its value.
    AppendIfMissing(String),
    /// `key=new` takes the place of the only argument of that key, `key=old=new` that of `key=old`.
    Replace(String),
    /// Removes `key=value`, or the only argument of `key`.
    Delete(String),
    /// As [`Delete`](Self::Delete), where it is there.
    DeleteIfPresent(String),
}

/// A change of kernel arguments that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KargError {
    /// No argument has the key.
    #[error("no kernel argument has the key {key:?}")]
    NoKey {
        /** The key. */
        key: String,
    },
    /// The key is there, with other values.
    #[error("no kernel argument is {argument:?}")]
    NoValue {
        /** Key and value. */
        argument: String,
    },
    /// Several arguments have the key, so a value must be named.
    #[error("the kernel argument {key:?} has {count} values: name one as KEY=VALUE")]
    Ambiguous {
        /** The key. */
        key: String,
        /** How many. */
        count: usize,
    },
    /// The text is not an argument.
    #[error("{argument:?} is not a kernel argument: {what}")]
    Malformed {
        /** The text, cut to 80 characters. */
        argument: String,
        /** What is wrong. */
        what: &'static str,
    },
}

/// The part before the first `=`.
fn key(argument: &str) -> &str {
    argument.split_once('=').map_or(argument, |(key, _)| key)
}

impl Kargs {
    /// Splits a command line at blanks outside of double quotes. A quote that is not closed lasts to the end.
    pub fn parse(text: &str) -> Self {
        let mut args = Vec::new();
        let mut current = String::new();
        let mut quoted = false;
        for c in text.chars() {
            if c == '"' {
                quoted = !quoted;
            }
            if c.is_ascii_whitespace() && !quoted {
                if !current.is_empty() {
                    args.push(std::mem::take(&mut current));
                }
            } else {
                current.push(c);
            }
        }
        if !current.is_empty() {
            args.push(current);
        }
        Self { args }
    }

    /// As [`parse`](Self::parse) for `/proc/cmdline`: without what boot loaders add (`BOOT_IMAGE=`, `initrd=`). Bytes
    /// that are not UTF-8 are replaced.
    pub fn parse_proc_cmdline(bytes: &[u8]) -> Self {
        let mut all = Self::parse(&String::from_utf8_lossy(bytes));
        all.args.retain(|argument| !matches!(key(argument), "BOOT_IMAGE" | "initrd"));
        all
    }

    /// The arguments, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.args.iter().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// The value of the first `key=value`.
    pub fn get(&self, wanted: &str) -> Option<&str> {
        self.iter()
            .find_map(|argument| argument.split_once('=').filter(|(key, _)| *key == wanted))
            .map(|(_, v)| v)
    }

    /// Removes all arguments of a key.
    pub fn remove_key(&mut self, unwanted: &str) {
        self.args.retain(|argument| key(argument) != unwanted);
    }

    /// Gives a key one value, in place of its first argument; last if there is none.
    pub fn set(&mut self, argument: &str) {
        let wanted = key(argument);
        let at = self.args.iter().position(|a| key(a) == wanted);
        self.remove_key(wanted);
        let at = at.unwrap_or(self.args.len()).min(self.args.len());
        self.args.insert(at, argument.to_owned());
    }

    /// Makes changes, in order. A text with several arguments in it is as many changes.
    ///
    /// # Errors
    /// When a text has no or half a quoted argument in it, or a change finds not just one argument to work on. Nothing
    /// is changed then.
    pub fn edit(&mut self, edits: &[KargEdit]) -> Result<(), KargError> {
        let mut edited = self.clone();
        for edit in edits {
            for argument in &arguments(edit.text())? {
                edited.edit_one(edit, argument)?;
            }
        }
        *self = edited;
        Ok(())
    }

    fn edit_one(&mut self, edit: &KargEdit, argument: &str) -> Result<(), KargError> {
        match edit {
            KargEdit::Set(_) => self.set(argument),
            KargEdit::Append(_) => self.args.push(argument.to_owned()),
            KargEdit::AppendIfMissing(_) => {
                if !self.args.iter().any(|a| key(a) == key(argument)) {
                    self.args.push(argument.to_owned());
                }
            }
            KargEdit::Replace(_) => self.replace(argument)?,
            KargEdit::Delete(_) => {
                let at = self.find(argument)?;
                self.args.remove(at);
            }
            KargEdit::DeleteIfPresent(_) => match self.find(argument) {
                Ok(at) => {
                    self.args.remove(at);
                }
                Err(KargError::NoKey { .. } | KargError::NoValue { .. }) => {}
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    fn replace(&mut self, argument: &str) -> Result<(), KargError> {
        let named = argument.split_once('=').and_then(|(key, value)| {
            let (old, new) = value.split_once('=')?;
            let at = self.args.iter().position(|a| *a == format!("{key}={old}"))?;
            Some((at, format!("{key}={new}")))
        });
        let (at, new) = match named {
            Some(found) => found,
            None => (self.find_only(key(argument))?, argument.to_owned()),
        };
        if let Some(place) = self.args.get_mut(at) {
            *place = new;
        }
        Ok(())
    }

    /// Where the argument is that `key=value` or `key` means.
    fn find(&self, argument: &str) -> Result<usize, KargError> {
        if let Some(at) = self.args.iter().position(|a| a == argument) {
            return Ok(at);
        }
        let at = self.find_only(key(argument));
        if argument.contains('=') && !matches!(at, Err(KargError::NoKey { .. })) {
            return Err(KargError::NoValue { argument: argument.to_owned() });
        }
        at
    }

    fn find_only(&self, wanted: &str) -> Result<usize, KargError> {
        let mut found = self.args.iter().enumerate().filter(|(_, a)| key(a) == wanted);
        match (found.next(), found.count()) {
            (None, _) => Err(KargError::NoKey { key: wanted.to_owned() }),
            (Some((at, _)), 0) => Ok(at),
            (Some(_), more) => Err(KargError::Ambiguous { key: wanted.to_owned(), count: more + 1 }),
        }
    }
}

impl KargEdit {
    fn text(&self) -> &str {
        match self {
            Self::Set(text)
            | Self::Append(text)
            | Self::AppendIfMissing(text)
            | Self::Replace(text)
            | Self::Delete(text)
            | Self::DeleteIfPresent(text) => text,
        }
    }
}

/// The arguments in a text that somebody typed.
fn arguments(text: &str) -> Result<Vec<String>, KargError> {
    let malformed = |what| Err(KargError::Malformed { argument: text.chars().take(80).collect(), what });
    if text.chars().any(char::is_control) {
        return malformed("it has a control character");
    }
    if text.matches('"').count() % 2 == 1 {
        return malformed("a quote is not closed");
    }
    let args = Kargs::parse(text).args;
    if args.is_empty() {
        return malformed("it is empty");
    }
    if args.iter().any(|argument| key(argument).is_empty()) {
        return malformed("it has no key");
    }
    Ok(args)
}

/// The command line.
impl fmt::Display for Kargs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, argument) in self.args.iter().enumerate() {
            let blank = if i == 0 { "" } else { " " };
            write!(f, "{blank}{argument}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
