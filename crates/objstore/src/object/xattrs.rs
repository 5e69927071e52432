//! Extended attributes of an object.

/// Attributes sorted by name, each name once, non-empty and without NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Xattrs(Vec<(Vec<u8>, Vec<u8>)>);

/// Longest name, in bytes, that a file on Linux can have: `XATTR_NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// Largest value: `XATTR_SIZE_MAX`.
const MAX_VALUE_BYTES: usize = 64 << 10;
/// Longest list of names, each with a NUL: `XATTR_LIST_MAX`.
const MAX_NAMES_BYTES: usize = 64 << 10;

/// Why attributes cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XattrError {
    /// A name is empty or holds a NUL byte.
    #[error("invalid attribute name {:?}", String::from_utf8_lossy(.0))]
    Name(Vec<u8>),
    /// A name is longer than Linux takes.
    #[error("the name of an attribute is longer than {MAX_NAME_BYTES} bytes")]
    LongName,
    /// A value is larger than Linux takes.
    #[error("attribute {:?} is larger than {MAX_VALUE_BYTES} bytes", String::from_utf8_lossy(.0))]
    LongValue(Vec<u8>),
    /// All names are longer than Linux lists.
    #[error("the names of all attributes are longer than {MAX_NAMES_BYTES} bytes")]
    LongNames,
    /// A name is there twice.
    #[error("attribute {:?} is there twice", String::from_utf8_lossy(.0))]
    Duplicate(Vec<u8>),
}

impl Xattrs {
    /// Sorts and checks attributes as [`sapwood_fsio::xattr::list`] gives them.
    ///
    /// # Errors
    /// [`XattrError`] names the attribute.
    pub fn new(mut list: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, XattrError> {
        list.sort_unstable();
        if let Some((name, _)) = list.iter().find(|(name, _)| !valid(name)) {
            return Err(XattrError::Name(name.clone()));
        }
        match list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(XattrError::Duplicate(pair[0].0.clone())),
            None => Ok(Self(list)),
        }
    }
    /// As [`new`](Self::new), for what does not come from a file on disk and is to be recorded of one: only what Linux can
    /// give to a file. (Objects that are there already are read with whatever they hold.)
    ///
    /// # Errors
    /// As [`new`](Self::new); a name of more than 255 bytes, a value of more than 64 KiB, and more than 64 KiB of names, each
    /// with a NUL.
    pub fn for_linux(list: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, XattrError> {
        if list.iter().any(|(name, _)| name.len() > MAX_NAME_BYTES) {
            return Err(XattrError::LongName);
        }
        if let Some((name, _)) = list.iter().find(|(_, value)| value.len() > MAX_VALUE_BYTES) {
            return Err(XattrError::LongValue(name.clone()));
        }
        if list.iter().map(|(name, _)| name.len() + 1).sum::<usize>() > MAX_NAMES_BYTES {
            return Err(XattrError::LongNames);
        }
        Self::new(list)
    }
    /// The attributes, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(n, v)| (n.as_slice(), v.as_slice()))
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The value of one.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).ok().map(|at| self.0[at].1.as_slice())
    }
    /// Sets one, replacing.
    ///
    /// # Errors
    /// [`XattrError::Name`] when the name is empty or holds a NUL byte; nothing is changed then.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), XattrError> {
        if !valid(name) {
            return Err(XattrError::Name(name.to_vec()));
        }
        match self.find(name) {
            Ok(at) => value.clone_into(&mut self.0[at].1),
            Err(at) => self.0.insert(at, (name.to_vec(), value.to_vec())),
        }
        Ok(())
    }
    /// Removes one; says whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.find(name).map(|at| self.0.remove(at)).is_ok()
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_slice().cmp(name))
    }
}

fn valid(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
        (name.into(), value.into())
    }

    #[test]
    fn attributes_are_kept_sorted_whatever_the_order_they_come_in() {
        let mut xattrs = Xattrs::new(vec![pair("user.b", "2"), pair("user.a", "1")]).unwrap();
        xattrs.set(b"user.aa", b"3").unwrap();
        xattrs.set(b"user.b", b"4").unwrap();
        let list: Vec<_> = xattrs.iter().collect();
        assert_eq!(list, [(&b"user.a"[..], &b"1"[..]), (b"user.aa", b"3"), (b"user.b", b"4")]);
        assert_eq!(xattrs.get(b"user.aa"), Some(&b"3"[..]));
        assert!(xattrs.remove(b"user.aa"));
        assert!(!xattrs.remove(b"user.aa"));
        assert_eq!(xattrs.get(b"user.aa"), None);
    }

    #[test]
    fn what_no_file_on_linux_can_have_is_not_recorded_and_read_all_the_same() {
        let name = |len: usize| "n".repeat(len);
        let many = |count: usize| (0..count).map(|n| pair(&format!("{n:0>255}"), "")).collect::<Vec<_>>();
        let cases = [
            (vec![pair(&name(255), &name(64 << 10))], Ok(())),
            (vec![pair(&name(256), "")], Err(XattrError::LongName)),
            (vec![pair("n", &name((64 << 10) + 1))], Err(XattrError::LongValue(b"n".to_vec()))),
            (many(256), Ok(())),
            (many(257), Err(XattrError::LongNames)),
        ];
        for (list, expected) in cases {
            assert!(Xattrs::new(list.clone()).is_ok());
            assert_eq!(Xattrs::for_linux(list).map(drop), expected);
        }
    }

    #[test]
    fn bad_and_duplicate_names_are_refused() {
        assert_eq!(Xattrs::new(vec![pair("", "")]), Err(XattrError::Name(vec![])));
        assert_eq!(Xattrs::new(vec![pair("a\0", "")]), Err(XattrError::Name(b"a\0".to_vec())));
        let twice = vec![pair("b", "1"), pair("a", ""), pair("b", "2")];
        assert_eq!(Xattrs::new(twice), Err(XattrError::Duplicate(b"b".to_vec())));
        assert!(Xattrs::default().set(b"", b"").is_err());
    }
}
