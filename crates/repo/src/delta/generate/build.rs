//! Making one part.

use super::plan::Item;
use crate::delta::{DeltaError, ModeRow, PartInfo, PartPayload, delta_digest};
use crate::{Repo, Result, leb128};
use sapwood_fsio::At as _;
use sapwood_objstore::{FileHeader, FileType, Id, ObjectKind, Xattrs, kind};
use std::collections::HashMap;
use std::hash::Hash;
use std::io::Read;

/// A part under construction.
#[derive(Default)]
struct Builder {
    modes: Table<ModeRow>,
    xattrs: Table<Xattrs>,
    sources: HashMap<Id<kind::File>, usize>,
    blob: Vec<u8>,
    operations: Vec<u8>,
}

/// Rows, each once, known by their place.
struct Table<T> {
    rows: Vec<T>,
    places: HashMap<T, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn place(&mut self, row: T) -> usize {
        let rows = &mut self.rows;
        *self.places.entry(row).or_insert_with_key(|row| {
            rows.push(row.clone());
            rows.len() - 1
        })
    }
}

/// Makes a part of these objects: what the superblock says of it, and its bytes. Memory: some 10 times its content.
pub(super) fn build(repo: &Repo, items: &[Item]) -> Result<(PartInfo, Vec<u8>)> {
    let mut builder = Builder::default();
    for item in items {
        if item.name.kind == ObjectKind::File {
            builder.file(repo, item)?;
        } else {
            let bytes = repo.store().load_bytes(item.name)?;
            let numbers = [bytes.len(), builder.append(&bytes)];
            builder.operation(b'S', &numbers);
        }
    }
    let Builder { modes, xattrs, blob, operations, .. } = builder;
    let packed =
        PartPayload::pack(&modes.rows, &xattrs.rows, &blob, &operations).map_err(DeltaError::Compress)?;
    let info = PartInfo {
        digest: delta_digest(&packed),
        bytes: packed.len() as u64,
        content_bytes: items.iter().map(|item| item.size).sum(),
        objects: items.iter().map(|item| item.name).collect(),
        inline: None,
    };
    Ok((info, packed))
}

impl Builder {
    fn append(&mut self, bytes: &[u8]) -> usize {
        let at = self.blob.len();
        self.blob.extend_from_slice(bytes);
        at
    }

    fn operation(&mut self, code: u8, numbers: &[usize]) {
        self.operations.push(code);
        for number in numbers {
            leb128::write(&mut self.operations, *number as u64);
        }
    }

    fn header(&mut self, header: FileHeader) -> (usize, usize) {
        let kind = if header.is_regular() { 0o100_000 } else { 0o120_000 };
        let mode = ModeRow { uid: header.uid, gid: header.gid, mode: header.mode | kind };
        (self.modes.place(mode), self.xattrs.place(header.xattrs))
    }

    fn file(&mut self, repo: &Repo, item: &Item) -> Result<()> {
        let (header, bytes) = content(repo, Id::new(item.name.id))?;
        let (mode, xattrs) = self.header(header);
        let Some(source) = item.source else {
            let numbers = [mode, xattrs, bytes.len(), self.append(&bytes)];
            self.operation(b'S', &numbers);
            return Ok(());
        };
        let (_, old) = content(repo, source)?;
        self.operation(b'o', &[mode, xattrs, bytes.len()]);
        let id = match self.sources.get(&source) {
            Some(at) => *at,
            None => self.append(source.as_bytes()),
        };
        self.sources.insert(source, id);
        self.operation(b'r', &[id]);
        let at = self.blob.len();
        bsdiff::diff(&old, &bytes, &mut self.blob).map_err(DeltaError::Compress)?;
        let numbers = [at, self.blob.len() - at];
        self.operation(b'B', &numbers);
        self.operation(b'R', &[]);
        self.operation(b'c', &[]);
        Ok(())
    }
}

/// A file, verified: its header, and its content or the target of the link.
fn content(repo: &Repo, id: Id<kind::File>) -> Result<(FileHeader, Vec<u8>)> {
    let mut object = repo.store().open_file(id)?;
    let mut bytes = Vec::new();
    if let FileType::Symlink(target) = &object.header.file_type {
        bytes.extend_from_slice(target.as_bytes());
    } else {
        object.content.read_to_end(&mut bytes).at("read", id.to_hex())?;
    }
    Ok((object.header, bytes))
}
