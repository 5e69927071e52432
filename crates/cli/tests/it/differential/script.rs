//! A failing sequence as a shell script, to be run by whoever looks into it.

use std::fmt::Write as _;

use sapwood_testkit::{Kind, Tree};

/// A word for bash.
pub(crate) fn quoted(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_=./:,@+%^".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut text = String::from("$'");
    for byte in word {
        match byte {
            b'\'' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text + "'"
}

/// The commands that make a tree.
pub(crate) fn tree(root: &str, tree: &Tree) -> Vec<String> {
    let mut lines = vec![format!("mkdir -p {root}")];
    let mut modes = Vec::new();
    for (path, node) in &tree.nodes {
        let full = quoted(format!("{root}/{path}").as_bytes());
        if let Some((above, _)) = path.rsplit_once('/') {
            lines.push(format!("mkdir -p {}", quoted(format!("{root}/{above}").as_bytes())));
        }
        lines.push(match &node.kind {
            Kind::Dir => format!("mkdir -p {full}"),
            Kind::Symlink(target) => format!("ln -s {} {full}", quoted(target.as_bytes())),
            Kind::File(content) => format!("printf '{}' > {full}", digits(content, "\\", Radix::Octal)),
        });
        for (name, value) in &node.xattrs {
            lines.push(format!("setfattr -n {name} -v 0x{} {full}", digits(value, "", Radix::Hexadecimal)));
        }
        if !matches!(node.kind, Kind::Symlink(_)) {
            modes.push(format!("chmod {:o} {full}", node.mode));
        }
    }
    // A directory's after those of what is in it.
    lines.extend(modes.into_iter().rev());
    lines
}

#[derive(Debug, Clone, Copy)]
enum Radix {
    Octal,
    Hexadecimal,
}

/// All bytes as digits, each with something before it.
fn digits(bytes: &[u8], before: &str, radix: Radix) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = match radix {
            Radix::Octal => write!(text, "{before}{byte:03o}"),
            Radix::Hexadecimal => write!(text, "{before}{byte:02x}"),
        };
        text
    })
}
