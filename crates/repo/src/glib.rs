//! The order in which `GLib`'s dictionaries give back their keys.
//!
//! OSTree builds some dictionaries in a hash table, so the order of their entries, and with it the bytes of a summary and of
//! a commit that can be booted, follows from `GLib`'s hash function and the table's growth. Any order is valid; this one
//! makes them equal to those of OSTree's own program, byte by byte: a commit has the same id, and a signature that was made
//! for one summary is good for the other.

/// The largest primes below the powers of two, by which hashes are reduced.
const PRIMES: [u32; 21] = [
    1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131_071, 262_139,
    524_287, 1_048_573,
];
/// Tables begin with 2³ slots.
const FIRST_SHIFT: usize = 3;

/// The keys, inserted in this order, as iterating over the table gives them.
pub(crate) fn order<'k>(keys: &[&'k str]) -> Vec<&'k str> {
    let mut table = Table { slots: vec![None; 1 << FIRST_SHIFT], shift: FIRST_SHIFT, used: 0 };
    for key in keys {
        table.insert(key);
    }
    table.slots.into_iter().flatten().collect()
}

struct Table<'k> {
    slots: Vec<Option<&'k str>>,
    shift: usize,
    used: usize,
}

/// Multiplication by 33, characters signed, as `g_str_hash`; 0 and 1 mark unused slots.
fn hash(key: &str) -> u32 {
    let fold = |hash: u32, byte: u8| hash.wrapping_mul(33).wrapping_add_signed(i32::from(byte.cast_signed()));
    key.bytes().fold(5381, fold).max(2)
}

impl<'k> Table<'k> {
    /// Where the search for a key begins.
    fn begin(&self, key: &str) -> usize {
        let prime = PRIMES.get(self.shift).or(PRIMES.last()).copied().unwrap_or(1);
        (hash(key).wrapping_mul(11) % prime) as usize
    }

    /// The first slot of a key's sequence that is not taken.
    fn probe(&self, key: &str, is_taken: impl Fn(usize) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.begin(key) & mask;
        let mut step = 0;
        while is_taken(at) {
            step += 1;
            at = (at + step) & mask;
        }
        at
    }

    fn insert(&mut self, key: &'k str) {
        let at = self.probe(key, |at| self.slots.get(at).is_none_or(Option::is_some));
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(key);
        }
        self.used += 1;
        if self.slots.len() <= self.used + self.used / 16 {
            self.grow();
        }
    }

    /// Keys are moved to their new slots in place; one that finds another's there turns it out, which is moved next.
    fn grow(&mut self) {
        let before = self.slots.len();
        // A third more than there are, rounded up to a power of two.
        let wanted = self.used + self.used * 333 / 1000;
        self.shift = (usize::BITS - wanted.leading_zeros()) as usize;
        self.slots.resize((1 << self.shift).max(before), None);
        let mut settled = vec![false; self.slots.len()];
        for from in 0..before {
            if settled.get(from).is_none_or(|settled| *settled) {
                continue;
            }
            let mut moving = self.slots.get_mut(from).and_then(Option::take);
            while let Some(key) = moving {
                let at = self.probe(key, |at| settled.get(at).is_none_or(|settled| *settled));
                if let (Some(flag), Some(slot)) = (settled.get_mut(at), self.slots.get_mut(at)) {
                    *flag = true;
                    moving = slot.replace(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    /// As the real `ostree summary -u` wrote them.
    #[test]
    fn keys_come_as_glib_gives_them() {
        let short = |keys: &[&str]| -> Vec<String> {
            let full = |key: &&str| match *key {
                "static-deltas" => "ostree.static-deltas".to_owned(),
                "xa.title" => "xa.title".to_owned(),
                key => format!("ostree.summary.{key}"),
            };
            keys.iter().map(full).collect()
        };
        for (inserted, expected) in [
            (
                vec!["last-modified", "mode", "tombstone-commits", "indexed-deltas"],
                vec!["mode", "last-modified", "tombstone-commits", "indexed-deltas"],
            ),
            (
                vec![
                    "static-deltas",
                    "last-modified",
                    "mode",
                    "tombstone-commits",
                    "indexed-deltas",
                    "collection-id",
                    "collection-map",
                ],
                vec![
                    "mode",
                    "last-modified",
                    "tombstone-commits",
                    "static-deltas",
                    "collection-map",
                    "indexed-deltas",
                    "collection-id",
                ],
            ),
            (
                vec![
                    "xa.title",
                    "expires",
                    "last-modified",
                    "mode",
                    "tombstone-commits",
                    "indexed-deltas",
                    "collection-id",
                    "collection-map",
                ],
                vec![
                    "tombstone-commits",
                    "collection-id",
                    "indexed-deltas",
                    "last-modified",
                    "mode",
                    "expires",
                    "collection-map",
                    "xa.title",
                ],
            ),
        ] {
            let keys = short(&inserted);
            assert_eq!(order(&keys.iter().map(String::as_str).collect::<Vec<_>>()), short(&expected));
        }
        let many: Vec<String> = (0..5000).map(|n| format!("key{n}")).collect();
        let mut ordered = order(&many.iter().map(String::as_str).collect::<Vec<_>>());
        ordered.sort_unstable();
        ordered.dedup();
        assert_eq!(ordered.len(), 5000);
    }
}
