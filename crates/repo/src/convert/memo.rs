//! What was converted in this run, remembered within bounds.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that forgets what was not asked for in a while, so that it never holds more than twice `each`.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    each: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V: Copy> Memo<K, V> {
    pub(super) fn new(each: usize) -> Self {
        Self { each, young: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.insert(key, value);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.each {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut memo = Memo::new(2);
        for key in 0..100 {
            memo.insert(key, key * 2);
            assert_eq!(memo.get(0), Some(0), "{key}");
            assert!(memo.young.len() + memo.old.len() <= 4);
        }
        assert_eq!((memo.get(98), memo.get(50)), (Some(196), None));
    }
}
