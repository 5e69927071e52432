//! Names of boot entries: how often an entry may still be tried, and, where no link can say it, which entries are the
//! current set.
//!
//! Without links, all entries are in one directory. The default of a set is `ostree-GENERATION`, the others of the set
//! are `ostree-0-GENERATION-NUMBER`; each set has a higher generation than the one before it. Boot loaders sort by name,
//! the highest version first, so every default comes before everything that is none, and the newest default before all.
//! A set whose default is missing is none: writing that one name last switches to the set.
#![deny(clippy::indexing_slicing)]

use crate::deployment::parse_decimal;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How often a boot loader that counts may still try an entry, and has tried it without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootTries {
    /// How often it is tried before the next entry is. With 0 it is tried only when nothing else is left.
    pub left: u32,
    /// How often it was tried.
    pub done: u32,
}

/// The file name of an entry, without `.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryName<'a> {
    /// The name proper.
    pub(crate) stem: &'a str,
    /// From `+LEFT` or `+LEFT-DONE` at its end; `None` for an entry that is not counted, or whose boot succeeded.
    pub(crate) tries: Option<BootTries>,
}

const SUFFIX: &str = ".conf";
const OWN: &str = "ostree-";

impl<'a> EntryName<'a> {
    /// Takes a file name apart; `None` where it is not that of an entry.
    pub(crate) fn parse(file: &'a str) -> Option<Self> {
        let whole = file.strip_suffix(SUFFIX)?;
        let counted = whole.rsplit_once('+').and_then(|(stem, count)| {
            let (left, done) = count.split_once('-').unwrap_or((count, "0"));
            // Counters may be written with zeros before them.
            let number = |text: &str| match text.trim_start_matches('0') {
                "" if !text.is_empty() => Some(0),
                rest => parse_decimal(rest),
            };
            Some(Self { stem, tries: Some(BootTries { left: number(left)?, done: number(done)? }) })
        });
        Some(counted.unwrap_or(Self { stem: whole, tries: None }))
    }
}

/// The file name of an entry.
pub(crate) fn file_name(stem: &str, tries: Option<BootTries>) -> String {
    match tries {
        None => format!("{stem}{SUFFIX}"),
        Some(BootTries { left, done: 0 }) => format!("{stem}+{left}{SUFFIX}"),
        Some(BootTries { left, done }) => format!("{stem}+{left}-{done}{SUFFIX}"),
    }
}

/// Whether an entry is one of ours.
pub(crate) fn is_own(file: &str) -> bool {
    file.starts_with(OWN) && file.ends_with(SUFFIX)
}

/// The name of the entry with this number in a set that a link names.
pub(crate) fn linked(number: usize) -> String {
    format!("{OWN}{number}")
}

/// The name of an entry in a set that its generation names; `number` counts down to 1, and the default has the highest.
pub(crate) fn flat(generation: u64, number: usize, is_default: bool) -> String {
    if is_default { format!("{OWN}{generation}") } else { format!("{OWN}0-{generation}-{number}") }
}

/// Generation and, but for a default, number.
fn parse_flat(stem: &str) -> Option<(u64, Option<u64>)> {
    let number = |text: &str| {
        let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        if plain { text.parse().ok() } else { None }
    };
    let rest = stem.strip_prefix(OWN)?;
    match rest.strip_prefix("0-") {
        None => Some((number(rest)?, None)),
        Some(rest) => {
            let (generation, rest) = rest.split_once('-')?;
            Some((number(generation)?, Some(number(rest)?)))
        }
    }
}

/// Picks the current set out of the names in a directory, in order, and says its generation; 0 where there is none.
///
/// # Errors
/// What is wrong: an entry of ours has a name that is none of these, or there are some and no default.
pub(crate) fn current_set(files: &[String]) -> Result<(u64, Vec<&str>), String> {
    let mut set = Vec::new();
    for file in without_twins(files.iter().filter(|file| is_own(file)).map(String::as_str)) {
        let place = EntryName::parse(file).and_then(|name| parse_flat(name.stem));
        let (generation, number) =
            place.ok_or_else(|| format!("{file} is not the name of an entry of a set"))?;
        set.push((generation, number, file));
    }
    let defaults = set.iter().filter(|(_, number, _)| number.is_none());
    let Some(newest) = defaults.map(|(generation, ..)| *generation).max() else {
        return if set.is_empty() {
            Ok((0, set_of(set)))
        } else {
            Err("no entry is the default of a set".to_owned())
        };
    };
    set.retain(|(generation, ..)| *generation == newest);
    set.sort_by_key(|(_, number, _)| (number.is_some(), Reverse(*number)));
    Ok((newest, set_of(set)))
}

fn set_of(set: Vec<(u64, Option<u64>, &str)>) -> Vec<&str> {
    set.into_iter().map(|(.., file)| file).collect()
}

/// Leaves one of those that differ in their counters alone, since one was being renamed to the other: the one that was tried
/// more, or succeeded.
pub(crate) fn without_twins<'a>(files: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept: BTreeMap<&str, (Option<u32>, &str)> = BTreeMap::new();
    for file in files {
        let Some(EntryName { stem, tries }) = EntryName::parse(file) else { continue };
        let this = (tries.map(|tries| tries.left), file);
        let best = kept.entry(stem).or_insert(this);
        *best = this.min(*best);
    }
    kept.into_values().map(|(_, file)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::verscmp;

    #[test]
    fn counters_are_read_as_the_specification_writes_them() {
        let tries = |left, done| Some(BootTries { left, done });
        for (file, stem, expected) in [
            ("ostree-2.conf", "ostree-2", None),
            ("ostree-2+3.conf", "ostree-2", tries(3, 0)),
            ("ostree-2+2-1.conf", "ostree-2", tries(2, 1)),
            ("ostree-2+0-3.conf", "ostree-2", tries(0, 3)),
            ("ostree-2+00-03.conf", "ostree-2", tries(0, 3)),
            ("a+b+7.conf", "a+b", tries(7, 0)),
            ("a+b.conf", "a+b", None),
            ("a+.conf", "a+", None),
            ("a+1-.conf", "a+1-", None),
            ("a+4294967296.conf", "a+4294967296", None),
        ] {
            let parsed = EntryName::parse(file);
            assert_eq!(parsed, Some(EntryName { stem, tries: expected }), "{file}");
        }
        assert_eq!(EntryName::parse("ostree-2+3"), None);
        assert_eq!(file_name("ostree-2", tries(3, 0)), "ostree-2+3.conf");
        assert_eq!(file_name("ostree-2", tries(0, 3)), "ostree-2+0-3.conf");
    }

    fn strings(files: &[&str]) -> Vec<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn the_set_with_the_newest_default_is_the_current_one_whatever_else_is_there() {
        let files = strings(&[
            "ostree-0-11-2.conf",
            "ostree-9.conf",
            "ostree-0-10-1.conf",
            "ostree-10+2-1.conf",
            "ostree-0-9-1.conf",
            "ostree-0-10-2+3.conf",
            "memtest.conf",
            "ostree-11.conf.tmp",
        ]);
        assert_eq!(
            current_set(&files),
            Ok((10, vec!["ostree-10+2-1.conf", "ostree-0-10-2+3.conf", "ostree-0-10-1.conf"]))
        );
        assert_eq!(current_set(&[]), Ok((0, Vec::new())));
    }

    #[test]
    fn of_an_entry_that_was_being_renamed_the_later_name_counts() {
        let files = strings(&["ostree-3+3.conf", "ostree-3+2-1.conf"]);
        assert_eq!(current_set(&files), Ok((3, vec!["ostree-3+2-1.conf"])));
        let files = strings(&["ostree-3+3.conf", "ostree-3.conf", "ostree-3+2-1.conf"]);
        assert_eq!(current_set(&files), Ok((3, vec!["ostree-3.conf"])));
    }

    #[test]
    fn entries_of_ours_without_a_default_and_names_that_say_nothing_are_refused() {
        for file in
            ["ostree-0-3-1.conf", "ostree-1-os.conf", "ostree-0.conf", "ostree-01.conf", "ostree-.conf"]
        {
            assert!(current_set(&strings(&[file])).is_err(), "{file}");
        }
    }

    #[test]
    fn every_default_sorts_before_what_is_none_and_the_newest_before_all() {
        let order =
            [flat(12, 3, true), flat(9, 2, true), flat(1, 1, true), flat(12, 2, false), flat(12, 1, false)];
        for (first, second) in order.iter().zip(order.iter().skip(1)) {
            let compared = verscmp::compare(first.as_bytes(), second.as_bytes());
            assert!(compared.is_gt(), "{first} {second}");
        }
    }
}
