//! Tests of the records of the stat cache.

use super::*;

const HERE: Place = Place::of_test(1);

fn stat() -> Stat {
    Stat {
        kind: Kind::File,
        mode: 0o644,
        uid: 1,
        gid: 2,
        size: 3,
        nlink: 1,
        dev: 4,
        mount: None,
        ino: 5,
        rdev: 0,
        blocks: 8,
        mtime_ns: 1_000_000_000_000_000_001,
        ctime_ns: 1_500_000_000_000_000_001,
    }
}

fn id(byte: u8) -> Id<kind::File> {
    Id::new(ObjectId::from_bytes([byte; 32]))
}

const LATER_NS: i128 = 1_600_000_000 * SECOND_NS;

fn cache_of(records: &[Record]) -> Cache {
    let mut bytes = MAGIC.to_vec();
    for record in records {
        bytes.extend_from_slice(&record.0);
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    assert!(is_valid(&bytes));
    Cache { name: String::new(), bytes, places: Places::none() }
}

#[test]
fn only_a_file_with_exactly_the_recorded_state_is_found() {
    let record = Record::new(HERE, &stat(), ChangesKey::default(), id(9), LATER_NS).unwrap();
    let cache = cache_of(&[record]);
    assert_eq!(cache.find(HERE, &stat(), ChangesKey::default()), Some((record, id(9))));
    assert_eq!(cache.find(Place::of_test(2), &stat(), ChangesKey::default()), None);
    let changes = Changes { label: Some(b"a:b:c".to_vec()), mode: None };
    assert_eq!(cache.find(HERE, &stat(), ChangesKey::new(&changes)), None);
    let changes: [fn(&mut Stat); 9] = [
        |s| s.kind = Kind::Symlink,
        |s| s.mode = 0o645,
        |s| s.uid = 0,
        |s| s.gid = 0,
        |s| s.size = 2,
        |s| s.ino = 6,
        |s| s.mtime_ns += 1,
        |s| s.ctime_ns -= 1,
        |s| s.kind = Kind::Dir,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut other = stat();
        change(&mut other);
        assert_eq!(cache.find(HERE, &other, ChangesKey::default()), None, "change {n}");
    }
}

#[test]
fn any_of_many_files_is_found_in_several_places() {
    let all: Vec<Stat> = (0..1000).map(|n| Stat { ino: n * 7919 % 4001, size: n, ..stat() }).collect();
    let place = |stat: &Stat| Place::of_test((stat.size % 3).to_le_bytes()[0]);
    let mut records: Vec<_> = all
        .iter()
        .map(|s| {
            Record::new(place(s), s, ChangesKey::default(), id(s.size.to_le_bytes()[0]), LATER_NS).unwrap()
        })
        .collect();
    records.sort_unstable();
    let cache = cache_of(&records);
    assert_eq!(cache.len(), 1000);
    for stat in &all {
        assert_eq!(
            cache.find(place(stat), stat, ChangesKey::default()).map(|(_, id)| id),
            Some(id(stat.size.to_le_bytes()[0]))
        );
    }
}

#[test]
fn a_file_is_entered_only_when_its_times_are_older_than_a_tick() {
    let ctime = stat().ctime_ns;
    assert!(Record::new(HERE, &stat(), ChangesKey::default(), id(1), ctime).is_none());
    assert!(Record::new(HERE, &stat(), ChangesKey::default(), id(1), ctime + SECOND_NS / 10).is_none());
    assert!(Record::new(HERE, &stat(), ChangesKey::default(), id(1), ctime + SECOND_NS / 10 + 1).is_some());
    let young_content = Stat { mtime_ns: LATER_NS, ..stat() };
    assert!(
        Record::new(HERE, &young_content, ChangesKey::default(), id(1), LATER_NS + SECOND_NS / 5).is_none()
    );
}

#[test]
fn where_times_are_whole_seconds_a_tick_is_three_of_them() {
    let whole = Stat { ctime_ns: 1_500_000_000 * SECOND_NS, ..stat() };
    assert!(
        Record::new(HERE, &whole, ChangesKey::default(), id(1), whole.ctime_ns + 3 * SECOND_NS).is_none()
    );
    assert!(
        Record::new(HERE, &whole, ChangesKey::default(), id(1), whole.ctime_ns + 3 * SECOND_NS + 1).is_some()
    );
}

#[test]
fn times_that_no_record_can_hold_are_not_entered() {
    let ancient = Stat { mtime_ns: i128::from(i64::MIN) - 1, ..stat() };
    assert!(Record::new(HERE, &ancient, ChangesKey::default(), id(1), LATER_NS).is_none());
}
