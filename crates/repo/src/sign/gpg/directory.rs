//! Web Key Directories: under which addresses an owner's domain offers a key, as draft-koch-openpgp-webkey-service has it.
#![deny(clippy::indexing_slicing)]

use sha1::{Digest as _, Sha1};

/// The addresses at which a key may be found anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUrls {
    /// On a host of the domain that is for keys alone.
    pub advanced: String,
    /// On the domain itself.
    pub direct: String,
}

/// Where the key of an owner is offered; `None` where the owner has no address of mail.
pub(super) fn urls(user: &str) -> Option<DirectoryUrls> {
    let address = match user.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next()?,
        None => user,
    };
    let (local, domain) = address.rsplit_once('@')?;
    let is_plain = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '/');
    if !is_plain(local) || !is_plain(domain) {
        return None;
    }
    let domain = domain.to_ascii_lowercase();
    let hash = zbase32(&Sha1::digest(local.to_ascii_lowercase()));
    let query = format!("hu/{hash}?l={}", escaped(local));
    Some(DirectoryUrls {
        advanced: format!("https://openpgpkey.{domain}/.well-known/openpgpkey/{domain}/{query}"),
        direct: format!("https://{domain}/.well-known/openpgpkey/{query}"),
    })
}

/// The letters of z-base-32: five bits each, the highest first.
fn zbase32(bytes: &[u8]) -> String {
    const LETTERS: [char; 32] = [
        'y', 'b', 'n', 'd', 'r', 'f', 'g', '8', 'e', 'j', 'k', 'm', 'c', 'p', 'q', 'x', 'o', 't', '1', 'u',
        'w', 'i', 's', 'z', 'a', '3', '4', '5', 'h', '7', '6', '9',
    ];
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let letter = |first: usize| {
        let five = (first..first + 5).fold(0_usize, |five, at| five << 1 | usize::from(bit(at)));
        LETTERS.get(five).copied().unwrap_or_default()
    };
    (0..bytes.len() * 8).step_by(5).map(letter).collect()
}

/// Text in a query: all but unreserved characters by their bytes.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the draft, section 3.1.
    #[test]
    fn addresses_are_those_of_the_draft() {
        let urls = urls("Joe Doe <Joe.Doe@Example.ORG>").unwrap();
        assert_eq!(
            urls.advanced,
            "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe"
        );
        assert_eq!(
            urls.direct,
            "https://example.org/.well-known/openpgpkey/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe"
        );
    }

    #[test]
    fn who_has_no_address_is_in_no_directory() {
        for user in ["Joe Doe", "", "<>", "<@>", "a b@c", "<joe@>"] {
            assert_eq!(urls(user), None, "{user}");
        }
    }
}
