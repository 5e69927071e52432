//! Text around binary keys: base64, and the blocks of files that hold several armoured ones.
#![deny(clippy::indexing_slicing)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;

/// Reads base64 as RFC 4648 has it, padded, so that each value has one text; `None` for anything else.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Writes it.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The blocks `-----BEGIN KIND-----` to `-----END KIND-----` of a text, with those lines.
pub(super) fn blocks<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(block) = rest.find(&begin).and_then(|at| rest.get(at..)) {
        let Some(len) = block.find(&end).map(|at| at + end.len()) else { break };
        found.extend(block.get(..len));
        rest = block.get(len..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob")]
        {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Zg", "Zg=", "Zh==", "Z===", "Zm9v\n", "Zm-v"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
