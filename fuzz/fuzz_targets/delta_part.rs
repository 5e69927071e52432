//! Parts of static deltas, compressed and not, and their operations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_objstore::{Format, ObjectId, ObjectKind, ObjectName};
use sapwood_repo::{PartInfo, PartPayload, recipes};

fuzz_target!(|data: &[u8]| {
    let Some((kinds, part)) = data.split_first() else { return };
    let object = |bit: u32| {
        let kind = if kinds >> bit & 1 == 0 { ObjectKind::File } else { ObjectKind::DirTree };
        ObjectName { kind, id: ObjectId::from_bytes([0; 32]) }
    };
    let info = PartInfo {
        digest: Format::Ostree.id_of(ObjectKind::Commit, part),
        bytes: part.len() as u64,
        content_bytes: 1 << 10,
        objects: (0..4).map(object).collect(),
        inline: None,
    };
    if let Ok(payload) = PartPayload::open(&info, part) {
        let _recipes = recipes(&info, &payload);
    }
});
