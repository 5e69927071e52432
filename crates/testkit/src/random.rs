//! Numbers that look random and are the same on every machine, for contents that never change between runs.

/// A generator of the `SplitMix64` family: tiny, and good enough for test data.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator whose numbers are decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator decided by some text, such as a path and a version.
    pub fn of(text: &str) -> Self {
        // FNV-1a.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % limit).unwrap_or(0)
    }

    /// `len` bytes that look like a program: parts that compress well between parts that do not.
    pub fn binary(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 64);
        while bytes.len() < len {
            let word = self.next_u64();
            let run = self.below(12) + 1;
            for step in 0..run {
                bytes.extend_from_slice(
                    &if word.is_multiple_of(3) { self.next_u64() } else { word }.to_le_bytes(),
                );
                bytes.push(u8::try_from(step).unwrap_or(0));
            }
        }
        bytes.truncate(len);
        bytes
    }

    /// Lines of words, about `len` bytes.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        const WORDS: [&str; 16] = [
            "the", "file", "system", "option", "default", "value", "set", "of", "when", "reads", "daemon",
            "user", "path", "network", "if", "service",
        ];
        let mut text = String::with_capacity(len + 80);
        while text.len() < len {
            for word in 0..self.below(9) + 3 {
                if word > 0 {
                    text.push(' ');
                }
                text.push_str(WORDS[self.below(WORDS.len())]);
            }
            text.push('\n');
        }
        text.into_bytes()
    }
}
