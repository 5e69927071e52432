//! Static deltas whose target commit goes. Their source is not looked at.

use crate::Result;
use sapwood_fsio::{Dir, Kind};
use sapwood_objstore::{Commit, Id, ObjectId};

/// Where static deltas are.
const DELTAS: &str = "deltas";

/// The paths of the deltas whose target is not kept. Names that are no delta's are left alone.
pub(super) fn without_target(dir: &Dir, is_kept: &dyn Fn(Id<Commit>) -> bool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let Some(deltas) = sapwood_fsio::open_dir_optional(dir, DELTAS)? else { return Ok(found) };
    for first in dirs(&deltas)? {
        for rest in dirs(&sapwood_fsio::open_dir(&deltas, &first)?)? {
            if let Some(target) = target_of(&format!("{first}{rest}"))
                && !is_kept(target)
            {
                found.push(format!("{DELTAS}/{first}/{rest}"));
            }
        }
    }
    Ok(found)
}

/// The names of the directories in a directory.
pub(crate) fn dirs(dir: &Dir) -> Result<Vec<String>> {
    let entries = sapwood_fsio::entries(dir)?.into_iter().filter(|entry| entry.kind == Kind::Dir);
    Ok(entries.filter_map(|entry| entry.name.into_string().ok()).collect())
}

/// The target that a delta's name, `TO` or `FROM-TO`, tells.
fn target_of(name: &str) -> Option<Id<Commit>> {
    let to = match name.split_once('-') {
        Some((from, to)) => {
            decode(from)?;
            to
        }
        None => name,
    };
    decode(to).map(Id::new)
}

/// Reads an id in base64 without padding, where `_` stands for `/`.
pub(crate) fn decode(text: &str) -> Option<ObjectId> {
    if text.len() != 43 {
        return None;
    }
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    ObjectId::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From OSTree's own name of a delta between two commits of known ids.
    #[test]
    fn the_target_is_read_from_a_deltas_name() {
        let name = "4WuiP2LuEN1I96lsi_97q+ZKV0MvtCNJM_L_uGZTdBE-46oys5N49gbkoH39dQ8n7i+UqP5CeFSEIGbcD7gII74";
        let to = "e3aa32b39378f606e4a07dfd750f27ee2f94a8fe427854842066dc0fb80823be";
        assert_eq!(target_of(name).unwrap().to_hex(), to);
        let from = "e16ba23f62ee10dd48f7a96c8bff7babe64a57432fb4234933f2ffb866537411";
        assert_eq!(target_of(name.split_once('-').unwrap().0).unwrap().to_hex(), from);
        for bad in ["", "x", "4WuiP2LuEN1I96lsi_97q+ZKV0MvtCNJM_L_uGZTdB", &name.replace('_', "/")] {
            assert!(target_of(bad).is_none(), "{bad}");
        }
    }
}
