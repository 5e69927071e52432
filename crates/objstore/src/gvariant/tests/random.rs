//! Random types and values of them.
use super::super::{Type, Writer, types::Node};

/// A small generator of numbers, so that a run can be repeated.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    pub(super) fn signature(&mut self, depth: usize) -> String {
        const BASIC: [&str; 13] = ["b", "y", "n", "q", "i", "u", "h", "x", "t", "d", "s", "o", "g"];
        match if depth == 0 { 0 } else { self.below(10) } {
            0..=3 => BASIC[self.below(13)].to_owned(),
            4 => "v".to_owned(),
            5 | 6 => format!("a{}", self.signature(depth - 1)),
            7 => format!("m{}", self.signature(depth - 1)),
            8 => format!("{{{}{}}}", BASIC[self.below(13)], self.signature(depth - 1)),
            _ => {
                let members: String = (0..self.below(4)).map(|_| self.signature(depth - 1)).collect();
                format!("({members})")
            }
        }
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 12] =
            ["a", "'", "\"", "\\", "\n", "é", "😀", "\u{200b}", "\u{1}", "\u{301}", "\u{e000}", "\u{2028}"];
        let count = if self.below(30) == 0 { 100 + self.below(200) } else { self.below(5) };
        (0..count).map(|_| PARTS[self.below(12)]).collect()
    }

    pub(super) fn write(&mut self, ty: &Type, w: &mut Writer) {
        match &ty.node {
            Node::Basic(b'b') => w.bool(self.below(2) == 1),
            Node::Basic(b'y') => w.u8(self.byte()),
            Node::Basic(b'n' | b'q') => w.u16(u16::from_le_bytes([self.byte(), self.byte()])),
            Node::Basic(b'i' | b'u' | b'h') => {
                w.u32(u32::from_le_bytes(std::array::from_fn(|_| self.byte())));
            }
            Node::Basic(b'x' | b't') => w.u64(u64::from_le_bytes(std::array::from_fn(|_| self.byte()))),
            Node::Basic(b'd') => match self.below(4) {
                0 => w.u64(u64::from_le_bytes(std::array::from_fn(|_| self.byte()))),
                1 => w.f64(
                    [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 1e16, 1e17, 123_456.0, 1e-5][self.below(8)],
                ),
                _ => w.f64(f64::from(u32::try_from(self.below(100_000)).unwrap()) / 100.0),
            },
            Node::Basic(b'o') => w.str(["/", "/a", "/a/b_0"][self.below(3)]),
            Node::Basic(b'g') => w.str(["", "a{sv}", "us(ay)"][self.below(3)]),
            Node::Basic(_) => {
                let text = self.text();
                w.str(&text);
            }
            Node::Variant => {
                let signature = self.signature(2);
                let inner = Type::parse(&signature).unwrap();
                w.variant(&signature, |w| self.write(&inner, w));
            }
            Node::Array(element) => {
                let count = if self.below(20) == 0 { self.below(300) } else { self.below(4) };
                w.array(element.layout().align, |w| (0..count).for_each(|_| self.write(element, w)));
            }
            Node::Maybe(element) if self.below(3) == 0 => w.nothing(element.layout().align),
            Node::Maybe(element) => w.just(element.layout().align, |w| self.write(element, w)),
            Node::Tuple(members) => {
                w.tuple(ty.layout().align, |w| members.iter().for_each(|member| self.write(member, w)));
            }
            Node::Entry(key, value) => w.tuple(ty.layout().align, |w| {
                self.write(key, w);
                self.write(value, w);
            }),
        }
    }

    /// Changes, drops or adds a byte or two, most often near the end, where the framing is.
    pub(super) fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let length = bytes.len();
            let reach = 6 + self.below(length + 1);
            let at = length.saturating_sub(1 + self.below(length.clamp(1, reach)));
            match self.below(6) {
                0 => bytes.push(self.byte()),
                1 => drop(bytes.pop()),
                2 => bytes.insert(at, 0),
                _ if length == 0 => {}
                3 => drop(bytes.remove(at)),
                4 => bytes[at] = bytes[at].wrapping_add(1),
                _ => bytes[at] = [0, 1, 0xff, b's', b'v'][self.below(5)],
            }
        }
    }
}
