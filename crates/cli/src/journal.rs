//! The system's journal is told of every change to what boots, so that it can be found out later what was done when.
//!
//! One datagram an entry to journald's socket, in its native protocol: lines `FIELD=value`, where a value of several lines is
//! `FIELD`, a newline, its length as 64 bits in little-endian order, itself and a newline. Where there is no journal, or it is
//! busy, nothing is told, and nothing fails.

use std::os::unix::net::UnixDatagram;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Longest value, in bytes: entries have to fit into one datagram.
const MAX_VALUE_BYTES: usize = 16 << 10;

/// The kinds of messages that OSTree marks, by its ids.
pub(crate) mod id {
    /// The boot order was changed.
    pub(crate) const DEPLOYMENT_COMPLETE: &str = "dd440e3e549083b63d0efc7dc15255f1";
    /// `/etc` was merged.
    pub(crate) const CONFIG_MERGE: &str = "d3863baec13e4449ab0384684a8af3a7";
    /// What is staged is about to be put into the boot order.
    pub(crate) const DEPLOYMENT_FINALIZING: &str = "e8646cd63dff4625b77909a8e7a40994";
}

/// Something that the journal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Each field and its value.
    fields: Vec<(&'static str, String)>,
}

/// How important an entry is, as syslog numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    Warning = 4,
    Info = 6,
}

impl Entry {
    /// What happened, in words.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::with_priority(text, Priority::Info)
    }

    /// Something that somebody should look at.
    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self::with_priority(text, Priority::Warning)
    }

    fn with_priority(text: impl Into<String>, priority: Priority) -> Self {
        let fields = vec![
            ("MESSAGE", text.into()),
            ("PRIORITY", (priority as u8).to_string()),
            ("SYSLOG_IDENTIFIER", crate::ui::name().to_owned()),
        ];
        Self { fields }
    }

    /// Marks it as one of the kinds that OSTree marks.
    pub(crate) fn id(self, id: &'static str) -> Self {
        self.field("MESSAGE_ID", id)
    }

    /// Adds a field: its name is of capital letters, digits and `_`.
    pub(crate) fn field(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Says which deployment it is about, in OSTree's fields.
    pub(crate) fn about(self, id: &sapwood_deploy::DeploymentId) -> Self {
        self.field("OSTREE_OSNAME", &id.stateroot)
            .field("OSTREE_CHECKSUM", &id.commit.to_hex())
            .field("OSTREE_DEPLOYSERIAL", &id.serial)
    }

    /// The datagram.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.fields {
            let value = &value.as_bytes()[..value.floor_char_boundary(MAX_VALUE_BYTES)];
            bytes.extend_from_slice(name.as_bytes());
            if value.contains(&b'\n') {
                bytes.push(b'\n');
                bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                bytes.push(b'=');
            }
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Tells the journal.
pub(crate) fn tell(entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    let send = || {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        entries.iter().try_for_each(|entry| socket.send_to(&entry.encode(), SOCKET).map(drop))
    };
    if let Err(error) = send() {
        tracing::debug!(%error, "the journal could not be told");
    }
}

/// Tells it of a change that was made though the verb failed.
pub(crate) fn tell_of_failure(error: &anyhow::Error) {
    let is_switched = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(sapwood_deploy::Error::AfterSwitch { .. }))
    };
    if error.chain().any(is_switched) {
        tell(&[Entry::warning(format!("{error:#}"))]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_several_lines_have_their_length_before_them_and_long_ones_are_cut_between_characters() {
        let entry = Entry { fields: vec![("A", "b=c".to_owned()), ("D", "e\nf".to_owned())] };
        assert_eq!(entry.encode(), b"A=b=c\nD\n\x03\0\0\0\0\0\0\0e\nf\n");
        let long = Entry { fields: vec![("A", "é".repeat(MAX_VALUE_BYTES))] };
        let bytes = long.encode();
        assert_eq!((bytes.len(), std::str::from_utf8(&bytes).is_ok()), (MAX_VALUE_BYTES + 3, true));
    }
}
