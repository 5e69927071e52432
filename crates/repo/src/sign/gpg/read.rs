//! Public keys in files: binary, armoured, or in a keybox, as `gpg` keeps its own since version 2.1.
//!
//! A keybox is a row of blobs. Each begins with its length (4 bytes, big-endian), its kind (1 byte: 1 is the header of the
//! file, 2 an `OpenPGP` key) and its version; one of a key then says where in it the key is, and how long: 4 bytes each, from
//! the eighth byte on. The header has `KBXf` there.
#![deny(clippy::indexing_slicing)]

use crate::sign::{SignError, armor};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::errors::Error;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use std::io::BufRead;

/// Largest file, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// Most keys in it.
pub(super) const MAX_KEYS: usize = 10_000;
const ARMOR: &str = "PGP PUBLIC KEY BLOCK";

pub(super) fn bad(reason: &'static str) -> SignError {
    SignError::BadKey { engine: "gpg", reason }
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) keys: Vec<SignedPublicKey>,
    /// Revocations of keys that stand alone, as in the certificates that `gpg` makes ahead for the case that a key is lost. They
    /// may be of keys in another file.
    pub(super) revocations: Vec<Signature>,
}

/// Reads all keys of a file, and revocations.
pub(super) fn keys(bytes: &[u8]) -> Result<Read, SignError> {
    if bytes.len() > MAX_BYTES {
        return Err(bad("larger than 64 MiB"));
    }
    let mut read = Read::default();
    if is_keybox(bytes) {
        for blob in blobs(bytes) {
            if let Some(key) = key_of(blob?)? {
                take(key, &mut read)?;
            }
        }
    } else if bytes.first().ok_or_else(|| bad("empty"))? & 0x80 != 0 {
        take(bytes, &mut read)?;
    } else {
        let text = String::from_utf8_lossy(bytes);
        for block in armor::blocks(&text, ARMOR) {
            let mut dearmored = pgp::armor::Dearmor::new(block.as_bytes());
            dearmored.read_header().or(Err(bad("malformed armour")))?;
            take(std::io::BufReader::new(dearmored), &mut read)?;
        }
    }
    if read.keys.is_empty() && read.revocations.is_empty() {
        return Err(bad("there is no public key in it"));
    }
    Ok(read)
}

/// Reads the keys of a row of packets. Packets of trust, with which `gpg` notes in its own files what it thinks of keys, are
/// passed over: they stand between a key and what belongs to it. So is what is of a later version. A revocation of a key counts
/// wherever it stands, and not only where one belongs, after the key and before its users: so it does for `gpg`.
fn take(bytes: impl BufRead, read: &mut Read) -> Result<(), SignError> {
    let is_of_keys = |packet: &pgp::errors::Result<Packet>| match packet {
        Ok(Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_)) | Err(Error::Unsupported { .. }) => {
            false
        }
        Err(Error::InvalidPacketContent { source }) => !matches!(**source, Error::Unsupported { .. }),
        _ => true,
    };
    let Read { keys, revocations } = read;
    let mut follows_key = false;
    let packets = PacketParser::new(bytes).filter(is_of_keys).filter_map(|packet| match packet {
        Ok(Packet::Signature(signature))
            if !follows_key && signature.typ() == Some(SignatureType::KeyRevocation) =>
        {
            revocations.push(signature);
            None
        }
        other => {
            let is_key = matches!(other, Ok(Packet::PublicKey(_)));
            follows_key = is_key || (follows_key && matches!(other, Ok(Packet::Signature(_))));
            Some(other)
        }
    });
    for key in SignedPublicKey::from_packets(packets.peekable()) {
        if keys.len() == MAX_KEYS {
            return Err(bad("too many keys"));
        }
        keys.push(key.or(Err(bad("malformed")))?);
    }
    if revocations.len() > MAX_KEYS {
        return Err(bad("too many revocations"));
    }
    Ok(())
}

fn is_keybox(bytes: &[u8]) -> bool {
    bytes.get(4) == Some(&1) && bytes.get(8..12) == Some(b"KBXf")
}

/// The blobs of a keybox.
fn blobs(mut rest: &[u8]) -> impl Iterator<Item = Result<&[u8], SignError>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let len = number(rest, 0).filter(|len| *len >= 5);
        let Some((blob, after)) = len.and_then(|len| rest.split_at_checked(len)) else {
            rest = &[];
            return Some(Err(bad("malformed keybox")));
        };
        rest = after;
        Some(Ok(blob))
    })
}

/// The key in a blob; `None` if it holds something else.
fn key_of(blob: &[u8]) -> Result<Option<&[u8]>, SignError> {
    if blob.get(4) != Some(&2) {
        return Ok(None);
    }
    let span = || {
        let (at, len) = (number(blob, 8)?, number(blob, 12)?);
        blob.get(at..at.checked_add(len)?)
    };
    span().map(Some).ok_or_else(|| bad("malformed keybox"))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_be_bytes(four.try_into().ok()?)).ok()
}
