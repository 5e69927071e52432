//! Random file trees for property tests.

use proptest::prelude::*;

use crate::{Kind, Node, Tree};

/// Names that are short, long, not ASCII, begin with a dot, or hold what shells dislike.
pub fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z][a-z0-9._-]{0,11}",
        2 => "[äöüéñ日本語ж€ ]{1,8}",
        1 => "[a-z]{200,255}",
        1 => "\\.[a-z]{1,6}",
        1 => "[ \\\\'\"$&;*?~#=:\n\t-]{1,6}x",
    ]
}

/// What one path can be. Extended attributes are of the `user` namespace, which everyone may set.
pub fn nodes() -> impl Strategy<Value = Node> {
    let content = prop_oneof![
        2 => Just(Vec::new()),
        6 => prop::collection::vec(any::<u8>(), 1..300),
        2 => (any::<u64>(), 5_000..200_000_usize).prop_map(|(seed, len)| crate::Random::new(seed).binary(len)),
    ];
    let target = prop_oneof![
        "[a-z]{1,8}(/[a-z]{1,8}){0,3}",
        Just("/absolute/and/dangling".to_owned()),
        Just("../../../../etc/passwd".to_owned()),
        Just(".".to_owned()),
        "[é日/]{1,20}z",
    ];
    let xattrs =
        prop::collection::btree_map("user\\.[a-z.]{1,12}", prop::collection::vec(any::<u8>(), 0..60), 0..3);
    // Owners keep what reading and listing needs: the tests run as any user.
    let file =
        (content, prop_oneof![Just(0o644), Just(0o4755), Just(0o2711), Just(0o600), 0o400..0o1000_u32])
            .prop_map(|(content, mode)| (Kind::File(content), mode | 0o400));
    let dir = prop_oneof![Just(0o755), Just(0o1777), Just(0o2750), 0o700..0o1000_u32]
        .prop_map(|mode| (Kind::Dir, mode | 0o700));
    let link = target.prop_map(|target| (Kind::Symlink(target), 0o777));
    (prop_oneof![5 => file, 2 => dir, 2 => link], xattrs).prop_map(|((kind, mode), xattrs)| {
        let xattrs =
            if matches!(kind, Kind::Symlink(_)) { std::collections::BTreeMap::new() } else { xattrs };
        Node { kind, mode, xattrs }
    })
}

/// Trees of up to some dozen entries, up to four levels deep.
pub fn trees() -> impl Strategy<Value = Tree> {
    let place = prop::collection::vec(names(), 1..=4);
    prop::collection::vec((place, nodes()), 0..24).prop_map(|entries| {
        let mut tree = Tree::default();
        for (place, node) in entries {
            insert(&mut tree, &place, node);
        }
        tree
    })
}

/// Puts `node` at the place, unless something that is no directory stands on the way or a directory is there already.
fn insert(tree: &mut Tree, place: &[String], node: Node) {
    let paths: Vec<String> = (1..=place.len()).map(|depth| place[..depth].join("/")).collect();
    let Some((last, above)) = paths.split_last() else { return };
    let blocked = above.iter().any(|path| tree.nodes.get(path).is_some_and(|node| node.kind != Kind::Dir));
    if blocked || tree.nodes.contains_key(last) {
        return;
    }
    for path in above {
        if !tree.nodes.contains_key(path) {
            tree.dir(path);
        }
    }
    tree.nodes.insert(last.clone(), node);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_tree_can_be_made_on_a_disk(tree in trees()) {
            let folder = tempfile::tempdir().unwrap();
            tree.write_to(folder.path()).unwrap();
            for path in tree.nodes.keys() {
                prop_assert!(folder.path().join(path).symlink_metadata().is_ok(), "{path:?} is missing");
            }
        }
    }
}
