//! Pax headers: records `LENGTH KEY=VALUE\n`.
#![deny(clippy::indexing_slicing)]

use super::MAX_HEADER_BYTES;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Base64 of attributes. What bits the last digit has left over is not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// What is used of pax headers. An empty value takes back what was said before.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) xattrs: Attributes,
    pub(super) is_sparse: bool,
}

/// Extended attributes, shared by what does not change them.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) list: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
    bytes: u64,
}

/// What an attribute takes beside its name and value, about.
const OVERHEAD_BYTES: usize = 64;

impl Attributes {
    /// Sets one, replacing.
    fn set(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), &'static str> {
        let bytes = |name: &[u8], value: &[u8]| (name.len() + value.len() + OVERHEAD_BYTES) as u64;
        let replaced = self.list.get(&name).map_or(0, |old| bytes(&name, old));
        self.bytes = self.bytes - replaced + bytes(&name, &value);
        if self.bytes > MAX_HEADER_BYTES {
            return Err("attributes of more than 16 MiB on one entry");
        }
        Arc::make_mut(&mut self.list).insert(name, value);
        Ok(())
    }

    /// These, and what they do not say as `base` says it.
    fn over(self, base: &Self) -> Result<Self, &'static str> {
        if self.list.is_empty() {
            return Ok(base.clone());
        }
        if base.list.is_empty() {
            return Ok(self);
        }
        let mut merged = base.clone();
        for (name, value) in Arc::unwrap_or_clone(self.list) {
            merged.set(name, value)?;
        }
        Ok(merged)
    }
}

const SCHILY: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE: &[u8] = b"LIBARCHIVE.xattr.";

impl Pax {
    pub(super) fn parse(mut text: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        while !text.is_empty() {
            let (key, value, rest) = record(text).ok_or("a pax header is malformed")?;
            pax.take(key, value)?;
            text = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let bytes = || Some(value.to_vec()).filter(|value| !value.is_empty());
        let number = || {
            let text =
                std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            match text {
                Some("") => Ok(None),
                Some(text) => text.parse().map(Some).map_err(|_out_of_range| "a number is out of range"),
                None => Err("a pax header holds no number where one should be"),
            }
        };
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.link = bytes(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"RHT.security.selinux" => self.xattrs.set(b"security.selinux".to_vec(), value.to_vec())?,
            key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            key => {
                if let Some(name) = key.strip_prefix(SCHILY) {
                    self.xattrs.set(name.to_vec(), value.to_vec())?;
                } else if let Some(name) = key.strip_prefix(LIBARCHIVE) {
                    let name = percent_decoded(name).ok_or("the name of an attribute is malformed")?;
                    let value = base64_decoded(value).ok_or("the value of an attribute is malformed")?;
                    self.xattrs.set(name, value)?;
                }
            }
        }
        Ok(())
    }

    /// This, and what it does not say as `base` says it.
    pub(super) fn over(self, base: &Self) -> Result<Self, &'static str> {
        Ok(Self {
            path: self.path.or_else(|| base.path.clone()),
            link: self.link.or_else(|| base.link.clone()),
            size: self.size.or(base.size),
            uid: self.uid.or(base.uid),
            gid: self.gid.or(base.gid),
            xattrs: self.xattrs.over(&base.xattrs)?,
            is_sparse: self.is_sparse || base.is_sparse,
        })
    }
}

/// Key and value of the first record, and what follows it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
    let body = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, text.get(length..)?))
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

/// Base64 up to the padding, which writers leave out or not.
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text.split(|byte| *byte == b'=').next()?).ok()
}
