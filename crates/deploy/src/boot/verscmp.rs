//! The order of versions that boot loaders use: digits compare as numbers, all else by bytes (as `strverscmp`).
#![deny(clippy::indexing_slicing)]

use std::cmp::Ordering;

/// Compares two versions.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // The number that the first difference is in, or right behind, begins here.
    let head = a.get(..same).unwrap_or_default();
    let number = head.iter().rposition(|c| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let (rest_a, rest_b) = (a.get(number..).unwrap_or_default(), b.get(number..).unwrap_or_default());
    let by_bytes = || a.get(same..).unwrap_or_default().cmp(b.get(same..).unwrap_or_default());
    let (digits_a, digits_b) = (digits(rest_a), digits(rest_b));
    if digits_a == 0 || digits_b == 0 {
        return by_bytes();
    }
    let zero = |rest: &[u8]| rest.first() == Some(&b'0');
    if zero(rest_a) || zero(rest_b) {
        // A number with leading zeros is a fraction: the more zeros, the less. In zeros alone the last does not lead.
        let zeros = |rest: &[u8], n: usize| {
            let zeros = rest.iter().take(n).take_while(|c| **c == b'0').count();
            if zeros == n { zeros - 1 } else { zeros }
        };
        let (zeros_a, zeros_b) = (zeros(rest_a, digits_a), zeros(rest_b, digits_b));
        if zeros_a != zeros_b {
            return zeros_b.cmp(&zeros_a);
        }
        return by_bytes();
    }
    digits_a.cmp(&digits_b).then_with(by_bytes)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::compare;

    /// The order that the manual page of `strverscmp` gives, and versions as they are written to entries.
    #[test]
    fn versions_are_ordered_as_strverscmp_orders_them() {
        for order in [
            &["000", "00", "01", "010", "09", "0", "1", "9", "10"][..],
            &["1", "2", "9", "10", "11", "100"],
            &["a1", "a2", "a10", "a10b", "b1"],
            &["", "1"],
            &["1.2", "1.10"],
        ] {
            for (i, a) in order.iter().enumerate() {
                for (j, b) in order.iter().enumerate() {
                    assert_eq!(compare(a.as_bytes(), b.as_bytes()), i.cmp(&j), "{a} {b}");
                }
            }
        }
    }
}
