//! Metalinks: an XML file that says where copies of a file are, how large it is, and its digest (versions 3 and 4).
//!
//! For a remote that file is the summary: the directories of its copies are mirrors of the repository.
#![deny(clippy::indexing_slicing)]

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use sapwood_objstore::Format;
use sha2::{Digest as _, Sha256, Sha512};

/// Largest metalink that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 4 << 20;
const MAX_DEPTH: usize = 64;
const MAX_URLS: usize = 1000;
const MAX_TEXT_BYTES: usize = 8192;

/// Why a metalink cannot be used, or a file is not what it promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetalinkError {
    /// Text that is no XML.
    #[error("malformed at byte {offset}: {why}")]
    Xml {
        /** Where. */
        offset: u64,
        /** How. */
        why: String,
    },
    /// There is something else before the first element.
    #[error("Document must begin with an element")]
    NoElement,
    /// It does not speak of the file.
    #[error("No file 'summary' in it")]
    NoFile,
    /// There is no size, or it is no number.
    #[error("No 'size' element that is a number")]
    NoSize,
    /// A summary of that size would not be read from anywhere else.
    #[error("Size of {size} bytes is more than the {limit} that a summary may have")]
    TooLarge {
        /** The promised one, in bytes. */
        size: u64,
        /** The largest, in bytes. */
        limit: u64,
    },
    /// A digest of a wrong length or not in hexadecimal.
    #[error("Invalid hash digest for {kind}")]
    BadDigest {
        /** The digest's kind. */
        kind: &'static str,
    },
    /// There is no digest, or none of a kind that can be relied on.
    #[error("No 'verification' element with known 'hash' types: sha512 or sha256 is needed")]
    NoDigest,
    /// There is no address.
    #[error("No 'url' with the method http or https among its elements")]
    NoUrl,
    /// The file is of another size.
    #[error("Expected size is {expected} bytes but content is {actual} bytes")]
    Size {
        /** The promised one, in bytes. */
        expected: u64,
        /** The one that it has. */
        actual: u64,
    },
    /// The file is another one.
    #[error("Expected checksum is {expected} but actual is {actual}")]
    Digest {
        /** The promised one, in hexadecimal. */
        expected: String,
        /** The one that it has. */
        actual: String,
    },
}

/// What a metalink says of the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metalink {
    /// Its size in bytes.
    pub size: u64,
    kind: Kind,
    digest: String,
    /// Where it is, the preferred places first.
    pub urls: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Sha256,
    Sha512,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    any: bool,
    size: Option<u64>,
    digests: Vec<(Kind, String)>,
    /// With the rank of each: the lowest is tried first.
    urls: Vec<(i64, String)>,
}

/// An element that is open.
struct Open {
    name: String,
    kind: Option<String>,
    rank: i64,
    is_summary: bool,
}

impl Metalink {
    /// Reads what a metalink says of the file `summary`.
    ///
    /// # Errors
    /// See [`MetalinkError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MetalinkError> {
        let found = scan(bytes)?;
        if !found.any {
            return Err(MetalinkError::NoFile);
        }
        let size = found.size.ok_or(MetalinkError::NoSize)?;
        if size > Format::MAX_META_BYTES {
            return Err(MetalinkError::TooLarge { size, limit: Format::MAX_META_BYTES });
        }
        let (kind, digest) = found.digests.into_iter().max().ok_or(MetalinkError::NoDigest)?;
        if digest.len() != kind.hex_len() || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(MetalinkError::BadDigest { kind: kind.name() });
        }
        let mut urls = found.urls;
        urls.sort_by_key(|(rank, _)| *rank);
        let urls: Vec<_> = urls.into_iter().map(|(_, url)| url).collect();
        if urls.is_empty() {
            return Err(MetalinkError::NoUrl);
        }
        Ok(Self { size, kind, digest: digest.to_ascii_lowercase(), urls })
    }

    /// Whether bytes are the file that is spoken of.
    ///
    /// # Errors
    /// [`MetalinkError::Size`], [`MetalinkError::Digest`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), MetalinkError> {
        if bytes.len() as u64 != self.size {
            return Err(MetalinkError::Size { expected: self.size, actual: bytes.len() as u64 });
        }
        let actual = match self.kind {
            Kind::Sha256 => hex(&Sha256::digest(bytes)),
            Kind::Sha512 => hex(&Sha512::digest(bytes)),
        };
        if actual == self.digest {
            return Ok(());
        }
        Err(MetalinkError::Digest { expected: self.digest.clone(), actual })
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn scan(bytes: &[u8]) -> Result<Found, MetalinkError> {
    let mut reader = Reader::from_reader(bytes);
    let mut open: Vec<Open> = Vec::new();
    let mut text = String::new();
    let mut found = Found::default();
    let mut began = false;
    loop {
        let offset = reader.buffer_position();
        let xml = |why: String| MetalinkError::Xml { offset, why };
        match reader.read_event().map_err(|error| xml(error.to_string()))? {
            Event::Start(start) => {
                began = true;
                if open.len() >= MAX_DEPTH {
                    return Err(xml(format!("more than {MAX_DEPTH} elements inside each other")));
                }
                open.push(element(&start).map_err(xml)?);
                found.any |= in_summary(&open);
                text.clear();
            }
            Event::End(_) => {
                close(&mut found, &open, text.trim());
                open.pop();
                text.clear();
            }
            Event::Text(more) => text += &String::from_utf8_lossy(&more),
            Event::CData(more) => text += &String::from_utf8_lossy(&more),
            Event::GeneralRef(name) => text.push(match &*name {
                b"amp" => '&',
                b"lt" => '<',
                b"gt" => '>',
                b"quot" => '"',
                b"apos" => '\'',
                _ => return Err(xml("an entity that is not known".to_owned())),
            }),
            Event::Eof if !began => return Err(MetalinkError::NoElement),
            Event::Eof if !open.is_empty() => return Err(xml("it ends inside an element".to_owned())),
            Event::Eof => return Ok(found),
            Event::Empty(_) => began = true,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        if !began && !text.trim().trim_start_matches('\u{feff}').is_empty() {
            return Err(MetalinkError::NoElement);
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(xml(format!("a text of more than {MAX_TEXT_BYTES} bytes")));
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Open, String> {
    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
    let mut open = Open { name, kind: None, rank: 0, is_summary: false };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = String::from_utf8_lossy(&attribute.value);
        match attribute.key.as_ref() {
            b"type" => open.kind = Some(value.into_owned()),
            b"name" => open.is_summary = value == "summary",
            // The first version of the format counts up, the other down.
            b"preference" => open.rank = -value.parse::<i64>().unwrap_or(0).clamp(-1_000_000, 1_000_000),
            b"priority" => open.rank = value.parse::<i64>().unwrap_or(0).clamp(-1_000_000, 1_000_000),
            _ => {}
        }
    }
    Ok(open)
}

/// Whether the innermost open element is the file, or in it.
fn in_summary(open: &[Open]) -> bool {
    let mut names = open.iter();
    if names.next().is_none_or(|root| root.name != "metalink") {
        return false;
    }
    let file = names.next().and_then(|next| if next.name == "files" { names.next() } else { Some(next) });
    file.is_some_and(|file| file.name == "file" && file.is_summary)
}

fn close(found: &mut Found, open: &[Open], text: &str) {
    let Some(last) = open.last().filter(|_| in_summary(open)) else { return };
    match last.name.as_str() {
        "size" => found.size = text.parse().ok(),
        "hash" => {
            let kind = match last.kind.as_deref() {
                Some("sha256" | "sha-256") => Kind::Sha256,
                Some("sha512" | "sha-512") => Kind::Sha512,
                _ => return,
            };
            found.digests.push((kind, text.to_owned()));
        }
        "url" if found.urls.len() < MAX_URLS && is_web(text) => {
            found.urls.push((last.rank, text.to_owned()));
        }
        _ => {}
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    // `printf hello | sha256sum`, from the coreutils.
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn document(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"><x><file \
             name=\"summary\"><size>9</size></file></x><files><file name=\"other\"><size>1</size></file><file \
             name=\"summary\">{inside}</file></files></metalink>\n"
        )
    }

    #[test]
    fn the_summary_and_its_copies_are_found_in_order_of_preference() {
        let text = document(&format!(
            "<size>5</size><verification><hash type=\"md5\">x</hash><hash type=\"sha256\">{HELLO}</hash>\
             </verification><resources><url preference=\"1\">http://b/summary?a=1&amp;b=2</url><url \
             preference=\"100\"> https://a/summary </url><url>rsync://c/summary</url></resources>"
        ));
        let metalink = Metalink::parse(text.as_bytes()).expect("valid");
        assert_eq!(metalink.urls, ["https://a/summary", "http://b/summary?a=1&b=2"]);
        assert_eq!(metalink.check(b"hello"), Ok(()));
        assert!(matches!(metalink.check(b"hullo"), Err(MetalinkError::Digest { .. })));
        assert_eq!(metalink.check(b"hi"), Err(MetalinkError::Size { expected: 5, actual: 2 }));

        let version_4 = format!(
            "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"summary\"><size>5</size><hash \
             type=\"sha-256\">{HELLO}</hash><url priority=\"2\">http://b/s</url><url \
             priority=\"1\">http://a/s</url></file></metalink>"
        );
        let metalink = Metalink::parse(version_4.as_bytes()).expect("valid");
        assert_eq!(metalink.urls, ["http://a/s", "http://b/s"]);
    }

    #[test]
    fn what_cannot_be_relied_on_is_refused() {
        let size = "<size>5</size>";
        let hash = format!("<hash type=\"sha256\">{HELLO}</hash>");
        let url = "<url>http://a/s</url>";
        let parse = |inside: &str| Metalink::parse(document(inside).as_bytes());
        assert_eq!(parse(&format!("{hash}{url}")), Err(MetalinkError::NoSize));
        assert_eq!(parse(&format!("{size}{url}")), Err(MetalinkError::NoDigest));
        assert_eq!(parse(&format!("{size}{hash}")), Err(MetalinkError::NoUrl));
        let limit = Format::MAX_META_BYTES;
        let sized = |size: u64| parse(&format!("<size>{size}</size>{hash}{url}"));
        assert_eq!(sized(limit).map(|metalink| metalink.size), Ok(limit));
        assert_eq!(sized(limit + 1), Err(MetalinkError::TooLarge { size: limit + 1, limit }));
        let bad = "<hash type=\"sha512\">bacon</hash>";
        assert_eq!(
            parse(&format!("{size}{hash}{bad}{url}")),
            Err(MetalinkError::BadDigest { kind: "sha512" })
        );
        assert_eq!(Metalink::parse(b"bacon\n"), Err(MetalinkError::NoElement));
        assert_eq!(Metalink::parse(b""), Err(MetalinkError::NoElement));
        assert_eq!(Metalink::parse(b"<metalink></metalink>"), Err(MetalinkError::NoFile));
        for malformed in ["<metalink>", "<a></b>", "<a>&bomb;</a>", &"<a>".repeat(100)] {
            assert!(
                matches!(Metalink::parse(malformed.as_bytes()), Err(MetalinkError::Xml { .. })),
                "{malformed}"
            );
        }
    }
}
