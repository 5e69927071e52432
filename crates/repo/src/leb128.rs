//! Numbers as LEB128 writes them: seven bits a byte, the lowest first, no byte more than needed.

/// Appends a number.
pub(crate) fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Takes a number from the front of bytes; `None` where there is none, or one of more than 64 bits.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_beyond_64_bits_is() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            bytes.push(7);
            let mut rest = bytes.as_slice();
            assert_eq!((take(&mut rest), rest), (Some(value), &[7][..]));
            assert_eq!(take(&mut bytes.get(..bytes.len() - 2).unwrap()), None);
        }
        // The tenth byte has room for one bit.
        assert_eq!(take(&mut [[0xff; 9].as_slice(), &[2]].concat().as_slice()), None);
        assert_eq!(take(&mut [0x80; 11].as_slice()), None);
    }
}
