//! Parts: tables of modes and attributes, a blob, and operations that make objects of them.
#![deny(clippy::indexing_slicing)]

use super::{DeltaError, MAX_PART_BYTES, PartInfo, delta_digest};
use sapwood_objstore::gvariant::{Array, Layout, Reader, Writer};
use sapwood_objstore::{DecodeError, Format, Xattrs};
use std::io::{Cursor, Read, Write};
use std::ops::Range;

/// The first byte of a part that is not compressed, and of one that is an xz stream.
const PLAIN: u8 = 0;
const XZ: u8 = b'x';
/// Memory that decompressing one part may take, in KiB: what OSTree allows.
const XZ_MEMORY_KIB: u32 = 100 << 10;
/// The preset of xz that parts are compressed with.
const XZ_PRESET: u32 = 8;
/// What a part may hold beyond twice the content it declares: patches are about as long as what they make, and the
/// tables, the operations and short files are not counted in what is declared.
const SLACK_BYTES: u64 = 64 << 20;
/// The same for each object.
const SLACK_OBJECT_BYTES: u64 = 1 << 10;
/// Rows that a table may have beyond one for each object, of which none needs more.
const SLACK_ROWS: usize = 1 << 10;

/// A row of the table of modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModeRow {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permission bits.
    pub mode: u32,
}

/// A part, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPayload {
    bytes: Vec<u8>,
    /// Owners and modes.
    pub modes: Vec<ModeRow>,
    /// Sets of attributes.
    pub xattrs: Vec<Xattrs>,
    blob: Range<usize>,
    operations: Range<usize>,
}

impl PartInfo {
    /// How much it may decompress to, in bytes: what is left in memory by [`PartPayload::open`] at most. While it decompresses,
    /// that takes up to 100 MiB more, as the stream asks for.
    pub fn max_payload_bytes(&self) -> u64 {
        let objects = SLACK_OBJECT_BYTES.saturating_mul(self.objects.len() as u64);
        let limit = self.content_bytes.saturating_mul(2).saturating_add(SLACK_BYTES).saturating_add(objects);
        limit.min(MAX_PART_BYTES)
    }
}

impl PartPayload {
    /// Verifies, decompresses and reads a part. Memory: what it decompresses to, for which there is a bound.
    ///
    /// # Errors
    /// [`DeltaError::Corrupt`], [`DeltaError::Malformed`], also where a table has far more rows than the part has objects;
    /// [`DeltaError::TooLarge`], [`DeltaError::Unsupported`].
    pub fn open(info: &PartInfo, bytes: &[u8]) -> Result<Self, DeltaError> {
        let actual = delta_digest(bytes);
        if actual != info.digest {
            return Err(DeltaError::Corrupt { expected: info.digest, actual });
        }
        let bytes = decompress(bytes, info.max_payload_bytes())?;
        match read(&bytes, info.objects.len().saturating_add(SLACK_ROWS)) {
            Ok((modes, xattrs, blob, operations)) => Ok(Self { bytes, modes, xattrs, blob, operations }),
            Err(source) => Err(DeltaError::Malformed { what: "part", source }),
        }
    }

    /// What operations take content from.
    pub fn blob(&self) -> &[u8] {
        self.bytes.get(self.blob.clone()).unwrap_or_default()
    }

    /// The operations, as they stand.
    pub fn operations(&self) -> &[u8] {
        self.bytes.get(self.operations.clone()).unwrap_or_default()
    }

    /// The part as a file, compressed.
    ///
    /// # Errors
    /// Never, as memory is written to; the type is the compressor's.
    pub(super) fn pack(
        modes: &[ModeRow],
        xattrs: &[Xattrs],
        blob: &[u8],
        operations: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        let mut writer = Writer::with_capacity(blob.len() + operations.len() + (4 << 10));
        writer.tuple(4, |w| {
            w.array(4, |w| {
                for row in modes {
                    w.tuple(4, |w| {
                        w.u32_be(row.uid);
                        w.u32_be(row.gid);
                        w.u32_be(row.mode);
                    });
                }
            });
            w.array(1, |w| xattrs.iter().for_each(|set| write_xattrs(w, set)));
            w.bytes(blob);
            w.bytes(operations);
        });
        let payload = writer.finish();
        let mut options = lzma_rust2::XzOptions::with_preset(XZ_PRESET);
        options.set_check_sum_type(lzma_rust2::CheckType::Crc64);
        // A window larger than the payload costs memory on both sides and gains nothing.
        let window = u32::try_from(payload.len().next_power_of_two()).unwrap_or(u32::MAX);
        let window = window.clamp(4 << 10, options.lzma_options.dict_size);
        options.lzma_options.dict_size = window;
        let mut compressor = lzma_rust2::XzWriter::new(vec![XZ], options)?;
        compressor.write_all(&payload)?;
        compressor.finish()
    }
}

fn decompress(bytes: &[u8], limit: u64) -> Result<Vec<u8>, DeltaError> {
    match bytes.split_first() {
        Some((&PLAIN, payload)) if payload.len() as u64 > limit => {
            Err(DeltaError::TooLarge { what: "part", limit_bytes: limit })
        }
        Some((&PLAIN, payload)) => Ok(payload.to_vec()),
        Some((&XZ, payload)) => {
            let reader = lzma_rust2::XzReader::new_mem_limit(Cursor::new(payload), false, XZ_MEMORY_KIB);
            let mut out = Vec::new();
            reader.take(limit + 1).read_to_end(&mut out).map_err(DeltaError::Decompress)?;
            if out.len() as u64 > limit {
                return Err(DeltaError::TooLarge { what: "part", limit_bytes: limit });
            }
            Ok(out)
        }
        _ => Err(DeltaError::Unsupported { what: "the compression of a part" }),
    }
}

/// The tables, and where blob and operations are.
type Members = (Vec<ModeRow>, Vec<Xattrs>, Range<usize>, Range<usize>);

fn read(bytes: &[u8], max_rows: usize) -> Result<Members, DecodeError> {
    let variable = Layout::variable(4);
    let [modes, xattrs, blob, operations] =
        Reader::new(bytes).tuple([variable, Layout::BYTES, Layout::BYTES, Layout::BYTES])?;
    let row = Layout { align: 4, size: Some(12) };
    let modes = rows(modes, row, max_rows)?.map(|row| {
        let [uid, gid, mode] = row?.tuple([Layout::U32; 3])?;
        Ok(ModeRow { uid: uid.u32_be()?, gid: gid.u32_be()?, mode: mode.u32_be()? })
    });
    let xattrs = rows(xattrs, Layout::BYTES, max_rows)?.map(|set| read_xattrs(set?));
    let range = |member: Reader<'_>| member.offset()..member.offset() + member.raw().len();
    Ok((modes.collect::<Result<_, _>>()?, xattrs.collect::<Result<_, _>>()?, range(blob), range(operations)))
}

/// The rows of a table. An empty set of attributes is four zero bytes, which compress to nothing, and six times that in memory.
fn rows(table: Reader<'_>, row: Layout, max_rows: usize) -> Result<Array<'_>, DecodeError> {
    let rows = table.array(row)?;
    if rows.len() > max_rows {
        return Err(DecodeError { offset: table.offset(), what: "has more rows than the part needs" });
    }
    Ok(rows)
}

fn read_xattrs(set: Reader<'_>) -> Result<Xattrs, DecodeError> {
    Format::Ostree
        .decode_split_xattrs(set.raw())
        .map_err(|error| DecodeError { offset: set.offset() + error.offset, what: error.what })
}

fn write_xattrs(w: &mut Writer, xattrs: &Xattrs) {
    w.array(1, |w| {
        for (name, value) in xattrs.iter() {
            w.tuple(1, |w| {
                w.bytestring(name);
                w.bytes(value);
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part that makes nothing, with so many sets of attributes, all empty; not compressed.
    fn part(sets: usize) -> (PartInfo, Vec<u8>) {
        let mut writer = Writer::with_capacity(0);
        writer.tuple(4, |w| {
            w.array(4, |_| ());
            w.array(1, |w| (0..sets).for_each(|_| write_xattrs(w, &Xattrs::default())));
            w.bytes(&[]);
            w.bytes(&[]);
        });
        let bytes = [&[PLAIN], &*writer.finish()].concat();
        let info = PartInfo {
            digest: delta_digest(&bytes),
            bytes: bytes.len() as u64,
            content_bytes: 0,
            objects: Vec::new(),
            inline: None,
        };
        (info, bytes)
    }

    #[test]
    fn a_table_has_not_many_more_rows_than_the_part_has_objects() {
        let (info, bytes) = part(SLACK_ROWS);
        assert_eq!(PartPayload::open(&info, &bytes).expect("reads").xattrs.len(), SLACK_ROWS);
        let (info, bytes) = part(SLACK_ROWS + 1);
        let error = PartPayload::open(&info, &bytes).expect_err("too many");
        assert!(matches!(error, DeltaError::Malformed { what: "part", .. }), "{error}");
    }

    #[test]
    fn a_part_that_is_not_compressed_is_held_to_the_same_limit() {
        assert_eq!(decompress(&[PLAIN, 1, 2, 3], 3).expect("fits"), [1, 2, 3]);
        let error = decompress(&[PLAIN, 1, 2, 3], 2).expect_err("too large");
        assert!(matches!(error, DeltaError::TooLarge { limit_bytes: 2, .. }), "{error}");
    }
}
