//! Superblocks: which commit a delta leads to, and what it is made of.
#![deny(clippy::indexing_slicing)]

use super::{DeltaError, DeltaName};
use sapwood_objstore::gvariant::{Layout, Reader, Writer};
use sapwood_objstore::{DecodeError, Format, Id, Metadata, ObjectId, ObjectKind, ObjectName};

/// In the metadata: the byte order of numbers, `l` or `B`.
const ENDIANNESS: &str = "ostree.endianness";
/// In the metadata, after the path of the delta: what is to be put beside the target commit.
const COMMIT_METADATA: &str = "commitmeta";
/// The version of parts that is known.
const PART_VERSION: u32 = 0;
/// Bytes of an object's name in the list of a part: its type and its id.
const NAME_BYTES: usize = 33;

/// The byte order of sizes in a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant byte first; what is written unless asked otherwise.
    Little,
    /// The most significant byte first.
    Big,
}

/// What a delta is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The byte order of its sizes.
    pub order: ByteOrder,
    /// Whether the order is not written in it, but was guessed from the sizes, as for deltas of before 2016.
    pub order_guessed: bool,
    /// When it was made, in seconds since 1970.
    pub timestamp: u64,
    /// From where to where.
    pub name: DeltaName,
    /// The bytes of the target commit. Decoding checked that they are.
    pub commit: Vec<u8>,
    /// What is to be put beside the target commit.
    pub detached: Option<Metadata>,
    /// Its parts.
    pub parts: Vec<PartInfo>,
    /// Objects that are not in it, to be fetched one by one.
    pub fallbacks: Vec<Fallback>,
}

/// What a superblock says of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// SHA-256 of its bytes.
    pub digest: ObjectId,
    /// Their number.
    pub bytes: u64,
    /// How many bytes of content come out of it, as its maker says.
    pub content_bytes: u64,
    /// The objects that come out of it, in this order.
    pub objects: Vec<ObjectName>,
    /// Its bytes, where they are in the superblock.
    pub inline: Option<Vec<u8>>,
}

/// An object to be fetched by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// Which.
    pub name: ObjectName,
    /// Bytes as an archive repository stores it.
    pub stored_bytes: u64,
    /// Bytes of its content.
    pub content_bytes: u64,
}

impl Superblock {
    /// Reads a superblock, signed or not: signatures are not looked at. Digests of parts are not looked at: [`super::PartPayload::open`] does.
    ///
    /// # Errors
    /// [`DeltaError::Malformed`], also if the commit in it is not the target; [`DeltaError::Unsupported`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        let read = |bytes: &[u8]| match super::signed::open(bytes)? {
            Some(envelope) => Self::read(Reader::new(envelope.superblock())),
            None => Self::read(Reader::new(bytes)),
        };
        read(bytes).map_err(|source| DeltaError::Malformed { what: "superblock", source })
    }

    fn read(whole: Reader<'_>) -> Result<Self, DecodeError> {
        let variable = Layout::variable(8);
        let [metadata, time, from, to, commit, recursion, parts, fallbacks] = whole.tuple([
            Layout::DICT,
            Layout::U64,
            Layout::BYTES,
            Layout::BYTES,
            variable,
            Layout::BYTES,
            variable,
            variable,
        ])?;
        if !recursion.bytes().is_empty() {
            return Err(recursion.error("a delta that needs others"));
        }
        let from = if from.bytes().is_empty() { None } else { Some(Id::new(read_id(from)?)) };
        let name = DeltaName { from, to: Id::new(read_id(to)?) };
        if Format::Ostree.id_of(ObjectKind::Commit, commit.raw()) != name.to.raw() {
            return Err(commit.error("the commit is not the target"));
        }
        let parts = parts.array(variable)?.map(|part| read_part(part?)).collect::<Result<Vec<_>, _>>()?;
        let fallbacks = fallbacks.array(variable)?.map(|entry| read_fallback(entry?));
        let mut superblock = Self {
            order: ByteOrder::Little,
            order_guessed: false,
            timestamp: time.u64_be()?,
            name,
            commit: commit.raw().to_vec(),
            detached: None,
            parts,
            fallbacks: fallbacks.collect::<Result<_, _>>()?,
        };
        superblock.read_metadata(metadata)?;
        superblock.refuse_other_commits().map_err(|what| whole.error(what))?;
        Ok(superblock)
    }

    /// A commit that came with another one would be in the store though nobody judged it, and as if it were complete.
    fn refuse_other_commits(&self) -> Result<(), &'static str> {
        let parts = self.parts.iter().flat_map(|part| &part.objects);
        let mut all = parts.chain(self.fallbacks.iter().map(|fallback| &fallback.name));
        let other = |name: &ObjectName| match name.kind {
            ObjectKind::Commit => name.id != self.name.to.raw(),
            ObjectKind::File | ObjectKind::DirTree | ObjectKind::DirMeta => false,
        };
        if all.any(other) { Err("a delta brings another commit than its target") } else { Ok(()) }
    }

    /// Takes over what is known of the metadata; what is not is left alone.
    fn read_metadata(&mut self, metadata: Reader<'_>) -> Result<(), DecodeError> {
        let path = self.name.path();
        let mut order = None;
        for entry in metadata.array(Layout::ENTRY)? {
            let (key, value) = entry?.entry()?;
            let (signature, content) = value.variant()?;
            let own = key.str()?.strip_prefix(path.as_str()).and_then(|rest| rest.strip_prefix('/'));
            match (key.str()?, own, signature) {
                (ENDIANNESS, _, "y") => order = Some(content.u8()?),
                (ENDIANNESS, _, _) => return Err(value.error("unknown byte order")),
                (_, Some(COMMIT_METADATA), "a{sv}") => {
                    self.detached = Some(Format::Ostree.decode_metadata(content.raw())?);
                }
                (_, Some(index), "(yay)") => {
                    let part = index.parse().ok().and_then(|index: usize| self.parts.get_mut(index));
                    part.ok_or_else(|| key.error("an inline part too much"))?.inline =
                        Some(content.raw().to_vec());
                }
                (_, Some(_), _) => return Err(value.error("an inline part of another type")),
                _ => {}
            }
        }
        match order {
            Some(b'l') => {}
            Some(b'B') => self.swap(),
            Some(_) => return Err(metadata.error("unknown byte order")),
            None => self.guess_order(),
        }
        Ok(())
    }

    fn swap(&mut self) {
        self.order = ByteOrder::Big;
        for part in &mut self.parts {
            part.bytes = part.bytes.swap_bytes();
            part.content_bytes = part.content_bytes.swap_bytes();
        }
        for fallback in &mut self.fallbacks {
            fallback.stored_bytes = fallback.stored_bytes.swap_bytes();
            fallback.content_bytes = fallback.content_bytes.swap_bytes();
        }
    }

    /// Takes the order in which the sizes are smaller together.
    fn guess_order(&mut self) {
        self.order_guessed = true;
        let sizes = self.parts.iter().flat_map(|part| [part.bytes, part.content_bytes]);
        let sizes =
            sizes.chain(self.fallbacks.iter().flat_map(|entry| [entry.stored_bytes, entry.content_bytes]));
        let sum =
            |sum: (u128, u128), size: u64| (sum.0 + u128::from(size), sum.1 + u128::from(size.swap_bytes()));
        let (as_is, swapped) = sizes.fold((0, 0), sum);
        if swapped < as_is {
            self.swap();
        }
    }

    /// The bytes of the superblock.
    pub fn encode(&self) -> Vec<u8> {
        let number = |value: u64| if self.order == ByteOrder::Big { value.swap_bytes() } else { value };
        let mark = if self.order == ByteOrder::Big { b'B' } else { b'l' };
        let path = self.name.path();
        let mut writer = Writer::new();
        writer.tuple(8, |w| {
            w.dict(|w| {
                w.entry(ENDIANNESS, |w| w.variant("y", |w| w.u8(mark)));
                for (index, part) in self.parts.iter().enumerate() {
                    if let Some(bytes) = &part.inline {
                        w.entry(&format!("{path}/{index}"), |w| w.variant("(yay)", |w| w.bytes(bytes)));
                    }
                }
                if let Some(detached) = &self.detached {
                    let bytes = Format::Ostree.encode_metadata(detached);
                    let key = format!("{path}/{COMMIT_METADATA}");
                    w.entry(&key, |w| w.variant("a{sv}", |w| w.raw(8, &bytes)));
                }
            });
            w.u64_be(self.timestamp);
            w.bytes(self.name.from.as_ref().map_or(&[], |from| from.as_bytes()));
            w.bytes(self.name.to.as_bytes());
            w.raw(8, &self.commit);
            w.bytes(&[]);
            w.array(8, |w| {
                for part in &self.parts {
                    w.tuple(8, |w| {
                        w.u32(PART_VERSION);
                        w.bytes(part.digest.as_bytes());
                        w.u64(number(part.bytes));
                        w.u64(number(part.content_bytes));
                        w.bytes(&names(&part.objects));
                    });
                }
            });
            w.array(8, |w| {
                for fallback in &self.fallbacks {
                    w.tuple(8, |w| {
                        w.u8(fallback.name.kind.number());
                        w.bytes(fallback.name.id.as_bytes());
                        w.u64(number(fallback.stored_bytes));
                        w.u64(number(fallback.content_bytes));
                    });
                }
            });
        });
        writer.finish()
    }
}

fn read_id(reader: Reader<'_>) -> Result<ObjectId, DecodeError> {
    ObjectId::from_slice(reader.bytes()).ok_or_else(|| reader.error("an id is not of 32 bytes"))
}

fn read_part(reader: Reader<'_>) -> Result<PartInfo, DecodeError> {
    let layouts = [Layout::U32, Layout::BYTES, Layout::U64, Layout::U64, Layout::BYTES];
    let [version, digest, bytes, content_bytes, objects] = reader.tuple(layouts)?;
    if version.u32()? != PART_VERSION {
        return Err(version.error("unknown version of a part"));
    }
    let (names, rest) = objects.bytes().as_chunks::<NAME_BYTES>();
    if !rest.is_empty() {
        return Err(objects.error("a list of objects that does not end with one"));
    }
    let name = |bytes: &[u8; NAME_BYTES]| {
        let (kind, id) = bytes.split_first()?;
        Some(ObjectName { kind: ObjectKind::from_number(*kind)?, id: ObjectId::from_slice(id)? })
    };
    let names = names.iter().map(|bytes| name(bytes).ok_or_else(|| objects.error("unknown kind of object")));
    Ok(PartInfo {
        digest: read_id(digest)?,
        bytes: bytes.u64()?,
        content_bytes: content_bytes.u64()?,
        objects: names.collect::<Result<_, _>>()?,
        inline: None,
    })
}

fn read_fallback(reader: Reader<'_>) -> Result<Fallback, DecodeError> {
    let [kind, id, stored, content] =
        reader.tuple([Layout::BYTE, Layout::BYTES, Layout::U64, Layout::U64])?;
    let kind = ObjectKind::from_number(kind.u8()?).ok_or_else(|| kind.error("unknown kind of object"))?;
    let name = ObjectName { kind, id: read_id(id)? };
    Ok(Fallback { name, stored_bytes: stored.u64()?, content_bytes: content.u64()? })
}

fn names(objects: &[ObjectName]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(objects.len() * NAME_BYTES);
    for name in objects {
        bytes.push(name.kind.number());
        bytes.extend_from_slice(name.id.as_bytes());
    }
    bytes
}
