//! Statements of what is newest: each attack on them, and that the owner's own changes pass.

use sapwood_repo::sign::Ed25519;
use sapwood_repo::statement::{
    Checked, FreshnessError, Key, KeySet, Role, Seen, StatementFile, check, check_summary,
};

const NOW: u64 = 1_700_000_000;
const DAY: u64 = 24 * 60 * 60;
const SUMMARY: &[u8] = b"a summary";

fn key(number: u8) -> Ed25519 {
    Ed25519::signer(&Ed25519::generate(&[number; 32]).0).unwrap()
}

fn keys(numbers: &[u8]) -> Vec<Ed25519> {
    numbers.iter().copied().map(key).collect()
}

fn role(threshold: u32, numbers: &[u8]) -> Role {
    let public: Vec<Key> = keys(numbers).iter().filter_map(Ed25519::public).collect();
    Role::new(threshold, public).unwrap()
}

/// Two of the owners 1, 2 and 3, and the publisher 9.
fn begun() -> StatementFile {
    let (owners, publishers) = (role(2, &[1, 2, 3]), role(1, &[9]));
    StatementFile::begin(KeySet { repository: [7; 32], version: 1, owners, publishers })
}

fn stated(file: &StatementFile, summary: &[u8], at: u64) -> StatementFile {
    let mut file = file.clone();
    file.state(summary, at, Some(DAY), &keys(&[9])).unwrap();
    file
}

fn looked(file: &StatementFile, seen: Option<&Seen>, now: u64) -> Result<Checked, FreshnessError> {
    check(Some(&file.encode()), &begun().first().id(), seen, now)
}

#[test]
fn what_the_owner_states_passes_and_nothing_else_does() {
    let file = stated(&begun(), SUMMARY, NOW);
    let Checked { statement, seen } = looked(&file, None, NOW).unwrap();
    check_summary(&statement, Some(SUMMARY)).unwrap();
    for other in [None, Some(&b"another  "[..]), Some(b"a summary "), Some(b"")] {
        assert_eq!(check_summary(&statement, other), Err(FreshnessError::Mixed));
    }
    looked(&file, Some(&seen), NOW + DAY - 1).unwrap();
    let bytes = file.encode();
    let root = begun().first().id();
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            assert!(check(Some(&damaged), &root, None, NOW).is_err(), "bit {bit} of byte {at}");
        }
        assert!(check(Some(&bytes[..at]), &root, None, NOW).is_err(), "cut at {at}");
    }
    assert_eq!(check(None, &root, None, NOW), Err(FreshnessError::NotThere));
    assert_eq!(looked(&begun(), None, NOW), Err(FreshnessError::NotSigned), "nobody has stated anything");
}

#[test]
fn an_older_state_is_refused_as_what_it_looks_like() {
    let first = stated(&begun(), SUMMARY, NOW);
    let second = stated(&first, b"the second", NOW + 10);
    let seen = looked(&second, None, NOW + 20).unwrap().seen;
    let (offered, known) = (NOW, NOW + 10);
    assert_eq!(
        looked(&first, Some(&seen), NOW + 20),
        Err(FreshnessError::RolledBack { offered, seen: known })
    );
    let other = stated(&first, b"another second", NOW + 10);
    assert_eq!(looked(&other, Some(&seen), NOW + 20), Err(FreshnessError::TwoStatements { counter: known }));
    let late = NOW + 10 + DAY;
    assert_eq!(looked(&second, Some(&seen), late), Err(FreshnessError::Expired { expired: late, now: late }));
    // A clock that lost its battery makes nothing good again.
    let renewed = looked(&stated(&second, b"the third", late), Some(&seen), late).unwrap().seen;
    let mut frozen = second.clone();
    frozen.state(b"the second", NOW + 5, Some(20), &keys(&[9])).unwrap();
    assert!(matches!(looked(&frozen, Some(&renewed), 0), Err(FreshnessError::RolledBack { .. })));
    let mut brief = stated(&second, b"the third", late + 1);
    brief.state(b"the fourth", late - 50, Some(40), &keys(&[9])).unwrap();
    assert_eq!(
        looked(&brief, Some(&renewed), 0),
        Err(FreshnessError::Expired { expired: late - 10, now: late })
    );
}

#[test]
fn a_repository_put_back_from_a_backup_goes_on_above_what_it_said() {
    let first = stated(&begun(), SUMMARY, NOW);
    let lost = stated(&stated(&first, b"second", NOW + 10), b"third", NOW + 20);
    let seen = looked(&lost, None, NOW + 30).unwrap().seen;
    looked(&stated(&first, b"after the loss", NOW + 40), Some(&seen), NOW + 40).unwrap();
}

#[test]
fn owners_replace_keys_together_and_old_keys_never_come_back() {
    let old = stated(&begun(), SUMMARY, NOW);
    let seen = looked(&old, None, NOW).unwrap().seen;
    let mut alone = old.clone();
    assert!(alone.rotate(role(1, &[4]), role(1, &[9]), &keys(&[1, 4])).is_err(), "one owner of two");
    assert!(alone.rotate(role(1, &[4]), role(1, &[9]), &keys(&[1, 2])).is_err(), "without the new owner");
    assert_eq!(alone, old);

    let mut new = old.clone();
    new.rotate(role(1, &[4]), role(1, &[8]), &keys(&[1, 3, 4])).unwrap();
    assert!(!new.is_stated());
    assert_eq!(looked(&new, Some(&seen), NOW), Err(FreshnessError::NotSigned), "by the old publisher alone");
    assert!(new.clone().state(SUMMARY, NOW, None, &keys(&[9])).is_err());
    new.state(SUMMARY, NOW, Some(DAY), &keys(&[8])).unwrap();
    for seen in [None, Some(&seen)] {
        let now = looked(&new, seen, NOW).unwrap().seen;
        assert_eq!(now.key_set().unwrap().version, 2);
        assert_eq!(
            looked(&stated(&old, b"newer", NOW + 5), Some(&now), NOW + 5),
            Err(FreshnessError::OldKeys { offered: 1, seen: 2 })
        );
    }
    // Owners alone change: what publishers said stays.
    let mut owners = old.clone();
    owners.rotate(role(1, &[4]), role(1, &[9]), &keys(&[1, 2, 4])).unwrap();
    looked(&owners, Some(&seen), NOW).unwrap();
    let seen = looked(&new, Some(&seen), NOW).unwrap().seen;
    assert_eq!(looked(&owners, Some(&seen), NOW), Err(FreshnessError::TwoKeySets { version: 2 }));
}

#[test]
fn a_counter_driven_up_with_a_stolen_key_is_overcome_by_new_publishers() {
    let file = stated(&begun(), SUMMARY, NOW);
    let mut stolen = file.clone();
    stolen.state(b"evil", u64::MAX - 1, None, &keys(&[9])).unwrap();
    let seen = looked(&stolen, None, NOW).unwrap().seen;
    assert!(seen.made <= NOW, "time is this machine's affair");
    let mut recovered = file;
    recovered.rotate(role(2, &[1, 2, 3]), role(1, &[8]), &keys(&[1, 2])).unwrap();
    recovered.state(SUMMARY, NOW + 1, Some(DAY), &keys(&[8])).unwrap();
    let seen = looked(&recovered, Some(&seen), NOW + 1).unwrap().seen;
    assert!(looked(&stolen, Some(&seen), NOW + 1).is_err());
}

#[test]
fn a_publisher_more_does_not_make_what_was_said_before_new() {
    let old = stated(&begun(), SUMMARY, NOW);
    let newer = stated(&old, b"newer", NOW + 5);
    let seen = looked(&newer, None, NOW + 5).unwrap().seen;
    let rotated = |file: &StatementFile| {
        let mut file = file.clone();
        file.rotate(role(2, &[1, 2, 3]), role(1, &[8, 9]), &keys(&[1, 2])).unwrap();
        file
    };
    // The new keys, with what one of the publishers said long ago.
    assert!(matches!(looked(&rotated(&old), Some(&seen), NOW + 5), Err(FreshnessError::RolledBack { .. })));
    looked(&stated(&rotated(&newer), b"newest", NOW + 6), Some(&seen), NOW + 6).unwrap();
}

/// A file with the first key set of `first`, and what follows the first in `rest`.
fn spliced(first: &StatementFile, rest: &StatementFile) -> Vec<u8> {
    let begin = |file: &StatementFile| StatementFile::begin(file.first().clone()).encode();
    let (head, skipped) = (begin(first), begin(rest));
    let mut bytes = rest.encode()[..2].to_vec();
    bytes.extend_from_slice(&head[2..head.len() - 1]);
    bytes.extend_from_slice(&rest.encode()[2 + skipped.len() - 3..]);
    bytes
}

#[test]
fn keys_that_too_few_owners_signed_are_refused() {
    // Somebody who has the key of one owner makes a key set of his own from it.
    let mut forged = StatementFile::begin(KeySet { owners: role(1, &[1]), ..begun().first().clone() });
    forged.rotate(role(1, &[66]), role(1, &[66]), &keys(&[1, 66])).unwrap();
    forged.state(b"evil", NOW, None, &keys(&[66])).unwrap();
    let root = begun().first().id();
    let bad = Err(FreshnessError::BadRotation { version: 2 });
    assert_eq!(check(Some(&spliced(&begun(), &forged)), &root, None, NOW), bad);
    let seen = looked(&stated(&begun(), SUMMARY, NOW), None, NOW).unwrap().seen;
    assert_eq!(check(Some(&spliced(&begun(), &forged)), &root, Some(&seen), NOW), bad);
    // As it is, it does not begin where it must.
    assert_eq!(looked(&forged, None, NOW), Err(FreshnessError::Foreign));
    assert_eq!(looked(&forged, Some(&seen), NOW), Err(FreshnessError::TwoKeySets { version: 1 }));
    let mut other = StatementFile::begin(KeySet { repository: [8; 32], ..begun().first().clone() });
    other.state(SUMMARY, NOW, None, &keys(&[9])).unwrap();
    assert_eq!(looked(&other, Some(&seen), NOW), Err(FreshnessError::Foreign), "another repository's");
}

#[test]
fn what_was_seen_by_another_root_counts_for_nothing() {
    let file = stated(&begun(), SUMMARY, NOW + 10);
    let seen = looked(&file, None, NOW + 10).unwrap().seen;
    let mut anew = StatementFile::begin(KeySet { repository: [8; 32], ..begun().first().clone() });
    anew.state(SUMMARY, NOW, None, &keys(&[9])).unwrap();
    check(Some(&anew.encode()), &anew.first().id(), Some(&seen), NOW + 10).unwrap();
}

/// The vector of `docs/FORMAT.md`, made without our code: OpenSSL's signature, another's BLAKE3.
#[test]
fn the_vector_of_the_format_passes_and_is_what_we_write() {
    let document = include_str!("../../../../docs/FORMAT.md");
    let section = document.split("### 9.4").nth(1).unwrap();
    let hex: String = section.split("```").nth(1).unwrap().split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let secrets = [
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==",
        "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368nJgszy7ElozAzVXxKvRmDA==",
    ];
    let [owner, publisher] = secrets.map(|secret| Ed25519::signer(secret).unwrap());
    let alone = |key: &Ed25519| Role::new(1, key.public()).unwrap();
    let (owners, publishers) = (alone(&owner), alone(&publisher));
    let first = KeySet { repository: [7; 32], version: 1, owners, publishers };
    let id = sapwood_objstore::ObjectId::from_bytes(first.id()).to_hex();
    assert!(section.contains(&id));
    let summary = [1, 0, 2, 1, 0];
    let mut ours = StatementFile::begin(first.clone());
    ours.state(&summary, NOW, Some(DAY), &[publisher]).unwrap();
    assert_eq!(ours.encode(), bytes);
    let checked = check(Some(&bytes), &first.id(), None, NOW).unwrap();
    check_summary(&checked.statement, Some(&summary)).unwrap();
}
