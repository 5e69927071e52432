//! Names of refs, remotes, collections, stateroots and deployments; refspecs, paths and ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_deploy::{BootId, DeploymentId, StaterootName};
use sapwood_objstore::{EntryName, ObjectId, Prefix};
use sapwood_repo::{CollectionId, RefName, Refspec, RemoteName, TreePath};

fuzz_target!(|data: &[u8]| {
    drop(DeploymentId::parse_dir_name(data));
    drop(EntryName::from_bytes(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = RefName::new(text) {
        assert!(!name.as_str().contains("..") || !name.as_str().split('/').any(|part| part == ".."));
    }
    drop((RemoteName::new(text), CollectionId::new(text), Refspec::parse(text), TreePath::parse(text)));
    drop((StaterootName::new(text), BootId::parse(text)));
    drop((ObjectId::from_hex(text), Prefix::parse(text)));
});
