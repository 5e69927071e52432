//! Which part of a file a request is for, and whether the client has it already. Pure.

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, or one that is not understood, which the protocol says to ignore.
    All,
    /// So many bytes from there on.
    Part { start: u64, len: u64 },
    /// A range beyond the end.
    Nothing,
}

/// Reads `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT` for a file of this size. Several ranges are ignored.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header.and_then(|value| value.trim().strip_prefix("bytes=")?.split_once('-'))
    else {
        return Wanted::All;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.trim(), last.trim()) {
        ("", count) => match number(count) {
            None => Wanted::All,
            Some(0) => Wanted::Nothing,
            Some(_) if size == 0 => Wanted::Nothing,
            Some(count) => {
                let len = count.min(size);
                Wanted::Part { start: size - len, len }
            }
        },
        (first, last) => {
            let Some(first) = number(first) else { return Wanted::All };
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match last {
                None => Wanted::All,
                Some(last) if last < first => Wanted::All,
                Some(_) if first >= size => Wanted::Nothing,
                Some(last) => Wanted::Part { start: first, len: last.min(size - 1) - first + 1 },
            }
        }
    }
}

/// Whether the client's copy, of which it sent `If-None-Match` or else `If-Modified-Since`, is still right.
pub(super) fn is_current(
    none_match: Option<&str>,
    modified_since: Option<&str>,
    tag: &str,
    mtime: u64,
) -> bool {
    match none_match {
        Some(list) => list.split(',').any(|one| {
            let one = one.trim();
            one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
        }),
        None => modified_since.and_then(crate::date::parse).is_some_and(|since| mtime <= since),
    }
}

/// Whether a range counts, given `If-Range`: a tag, compared strongly, or a date, compared exactly.
pub(super) fn range_counts(if_range: Option<&str>, tag: &str, mtime: u64) -> bool {
    if_range.is_none_or(|value| value == tag || crate::date::parse(value) == Some(mtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_rfc_9110_says() {
        let part = |start, len| Wanted::Part { start, len };
        for (header, size, expected) in [
            ("bytes=0-499", 10_000, part(0, 500)),
            ("bytes=500-999", 10_000, part(500, 500)),
            ("bytes=-500", 10_000, part(9500, 500)),
            ("bytes=9500-", 10_000, part(9500, 500)),
            ("bytes=0-", 10_000, part(0, 10_000)),
            ("bytes=9999-99999999999999999999", 10_000, part(9999, 1)),
            ("bytes=-20000", 10_000, part(0, 10_000)),
            ("bytes=10000-", 10_000, Wanted::Nothing),
            ("bytes=-0", 10_000, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-1", 0, Wanted::Nothing),
            ("bytes=5-4", 10_000, Wanted::All),
            ("bytes=0-0,-1", 10_000, Wanted::All),
            ("bytes=a-b", 10_000, Wanted::All),
            ("bytes=+1-2", 10_000, Wanted::All),
            ("bytes=-", 10_000, Wanted::All),
            ("lines=1-2", 10_000, Wanted::All),
        ] {
            assert_eq!(wanted(Some(header), size), expected, "{header}");
        }
        assert_eq!(wanted(None, 5), Wanted::All);
    }

    #[test]
    fn a_copy_is_current_by_its_tag_or_else_by_its_date() {
        let date = crate::date::format(1000);
        assert!(is_current(Some("\"x\", W/\"t\""), None, "\"t\"", 0));
        assert!(is_current(Some("*"), None, "\"t\"", 0));
        assert!(!is_current(Some("\"x\""), Some(&date), "\"t\"", 0));
        assert!(is_current(None, Some(&date), "\"t\"", 1000));
        assert!(!is_current(None, Some(&date), "\"t\"", 1001));
        assert!(!is_current(None, None, "\"t\"", 0));
    }

    #[test]
    fn a_range_counts_only_for_the_same_file() {
        assert!(range_counts(None, "\"t\"", 0));
        assert!(range_counts(Some("\"t\""), "\"t\"", 0));
        assert!(!range_counts(Some("W/\"t\""), "\"t\"", 0));
        assert!(range_counts(Some(&crate::date::format(7)), "\"t\"", 7));
        assert!(!range_counts(Some(&crate::date::format(7)), "\"t\"", 8));
    }
}
