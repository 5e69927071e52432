//! What is to be said about one `OpenPGP` signature, in the words of OSTree.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// Whether a signature counts, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Good,
    /// The keyring does not have the key.
    UnknownKey,
    /// It is not over these bytes, or what it says cannot be read.
    Bad,
    /// It is expired.
    Expired,
    /// The key or its primary key is expired.
    KeyExpired,
    /// The key or its primary key is revoked.
    KeyRevoked,
    /// Its digest can be forged.
    WeakDigest,
    /// The key is not for signing, or not bound to its primary key.
    NotForSigning,
}

/// One signature. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether it counts.
    pub verdict: Verdict,
    /// The id of the key: 16 hexadecimal digits; empty if the signature does not tell.
    pub key_id: String,
    /// The name of the key's algorithm.
    pub algorithm: String,
    /// When the signature was made, as it says.
    pub made: Option<u64>,
    /// Until when it counts.
    pub expires: Option<u64>,
    /// Whom the key belongs to.
    pub user: Option<String>,
    /// The fingerprint of the key, where the keyring has it.
    pub fingerprint: Option<String>,
    /// The fingerprint of its primary key, where it has another.
    pub primary: Option<String>,
    /// Until when the key counts.
    pub key_expires: Option<u64>,
    /// Until when its primary key does, where it has another.
    pub primary_expires: Option<u64>,
}

impl Report {
    /// The fingerprint that stands for the whole key.
    pub(crate) fn primary_or_own(&self) -> String {
        let known = self.primary.as_ref().or(self.fingerprint.as_ref());
        known.unwrap_or(&self.key_id).clone()
    }

    /// The lines of text, without indentation.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let made = self.made.map(date).unwrap_or_default();
        lines.push(format!("Signature made {made} using {} key ID {}", self.algorithm, self.key_id));
        let user = match self.user.as_deref() {
            Some(user) if user.contains('<') => user.to_owned(),
            // An address always has its place, as in what scripts look for.
            Some(user) => format!("{user} <>"),
            None => "[unknown name]".to_owned(),
        };
        lines.push(match self.verdict {
            Verdict::UnknownKey => "Can't check signature: public key not found".to_owned(),
            Verdict::KeyRevoked => "Key revoked".to_owned(),
            Verdict::Good => format!("Good signature from \"{user}\""),
            Verdict::Bad | Verdict::Expired | Verdict::KeyExpired => {
                format!("BAD signature from \"{user}\"")
            }
            Verdict::WeakDigest => format!("BAD signature from \"{user}\": its digest can be forged"),
            Verdict::NotForSigning => format!("BAD signature from \"{user}\": the key is not for signing"),
        });
        if let Some(primary) = &self.primary {
            let id = primary.get(primary.len().saturating_sub(16)..).unwrap_or(primary);
            lines.push(format!("Primary key ID {id}"));
        }
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let times =
            [("Signature", self.expires), ("Key", self.key_expires), ("Primary key", self.primary_expires)];
        for (what, at) in times {
            if let Some(at) = at {
                let word = if at <= now { "expired" } else { "expires" };
                lines.push(format!("{what} {word} {}", date(at)));
            }
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

/// A time as `date` prints it in the C locale, without the zone: `Thu Nov 26 13:34:52 2026`.
pub fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map(|at| at.to_zoned(TimeZone::system()).strftime("%a %b %d %H:%M:%S %Y").to_string())
        .unwrap_or_default()
}
