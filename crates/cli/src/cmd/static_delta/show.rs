//! `static-delta show`.

use crate::ctx::Ctx;
use crate::ui::{Render, human};
use sapwood_repo::{ByteOrder, DeltaFiles, Operation, Operations, PartInfo, PartPayload, Superblock};
use serde_json::json;
use std::io::{self, Write};

/// Show what a delta is made of
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The delta: FROM-TO or TO
    #[arg(value_name = "DELTA")]
    delta: String,
}

/// A delta and its parts.
#[derive(Debug)]
pub(crate) struct Outcome {
    superblock: Superblock,
    signed: bool,
    parts: Vec<Part>,
}

/// What is inside a part.
#[derive(Debug)]
struct Part {
    modes: usize,
    xattrs: usize,
    blob: usize,
    operations: usize,
    counts: Counts,
}

/// How often each operation is there.
#[derive(Debug, Default)]
struct Counts {
    splice: u64,
    open: u64,
    write: u64,
    set: u64,
    unset: u64,
    close: u64,
    patch: u64,
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Superblock { name, timestamp, fallbacks, parts, .. } = &self.superblock;
        let fallbacks = fallbacks.iter().map(|entry| {
            json!({
                "object": entry.name.id.to_hex(),
                "stored_bytes": entry.stored_bytes,
                "content_bytes": entry.content_bytes,
            })
        });
        let parts = parts.iter().zip(&self.parts).map(|(info, part)| {
            json!({
                "objects": info.objects.len(),
                "bytes": info.bytes,
                "content_bytes": info.content_bytes,
                "inline": info.inline.is_some(),
                "patches": part.counts.patch,
            })
        });
        json!({
            "from": name.from.map(|from| from.to_hex()),
            "to": name.to.to_hex(),
            "timestamp": timestamp,
            "signed": self.signed,
            "fallbacks": fallbacks.collect::<Vec<_>>(),
            "parts": parts.collect::<Vec<_>>(),
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Superblock { name, fallbacks, parts, .. } = &self.superblock;
        writeln!(out, "Delta: {name}\nSigned: {}", if self.signed { "yes" } else { "no" })?;
        match name.from {
            Some(from) => writeln!(out, "From: {from}")?,
            None => writeln!(out, "From <scratch>")?,
        }
        let order = match self.superblock.order {
            ByteOrder::Little => "little",
            ByteOrder::Big => "big",
        };
        let guessed = if self.superblock.order_guessed { " (heuristic)" } else { "" };
        writeln!(out, "To: {}\nEndianness: {order}{guessed}", name.to)?;
        writeln!(out, "Timestamp: {}\nNumber of parents: 0", self.superblock.timestamp)?;
        writeln!(out, "Number of fallback entries: {}", fallbacks.len())?;
        for entry in fallbacks {
            writeln!(out, "  {}", entry.name.id)?;
        }
        let mut total = |what: &str, bytes: u64| writeln!(out, "{what}: {bytes} ({})", human::size(bytes));
        let stored = sum(fallbacks.iter().map(|entry| entry.stored_bytes));
        let content = sum(fallbacks.iter().map(|entry| entry.content_bytes));
        total("Total Fallback Size", stored)?;
        total("Total Fallback Uncompressed Size", content)?;
        writeln!(out, "Number of parts: {}", parts.len())?;
        for (at, (info, part)) in parts.iter().zip(&self.parts).enumerate() {
            render_part(at, info, part, out)?;
        }
        let part_bytes = sum(parts.iter().map(|part| part.bytes));
        let part_content = sum(parts.iter().map(|part| part.content_bytes));
        let mut total = |what: &str, bytes: u64| writeln!(out, "{what}: {bytes} ({})", human::size(bytes));
        total("Total Part Size", part_bytes)?;
        total("Total Part Uncompressed Size", part_content)?;
        total("Total Size", part_bytes.saturating_add(stored))?;
        total("Total Uncompressed Size", part_content.saturating_add(content))
    }
}

fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

fn render_part(at: usize, info: &PartInfo, part: &Part, out: &mut dyn Write) -> io::Result<()> {
    let (objects, bytes, content) = (info.objects.len(), info.bytes, info.content_bytes);
    writeln!(out, "PartMeta{at}: nobjects={objects} size={bytes} usize={content}")?;
    let Part { modes, xattrs, blob, operations, counts } = part;
    writeln!(out, "PartPayload{at}: nmodes={modes} nxattrs={xattrs} blobsize={blob} opsize={operations}")?;
    let Counts { splice, open, write, set, unset, close, patch } = counts;
    writeln!(
        out,
        "PartPayloadOps{at}: openspliceclose={splice} open={open} write={write} setread={set} \
         unsetread={unset} close={close} bspatch={patch}"
    )
}

fn look(files: &DeltaFiles, index: usize, info: &PartInfo) -> anyhow::Result<Part> {
    let payload = PartPayload::open(info, &files.part(index)?)?;
    let mut counts = Counts::default();
    let mut operations = Operations::new(payload.operations());
    let mut objects = info.objects.iter();
    let mut object = objects.next();
    while let Some(operation) = operations.next(object.map(|name| name.kind))? {
        let count = match operation {
            Operation::SpliceMeta { .. } | Operation::SpliceFile { .. } => &mut counts.splice,
            Operation::Open { .. } => &mut counts.open,
            Operation::Write { .. } => &mut counts.write,
            Operation::SetSource { .. } => &mut counts.set,
            Operation::UnsetSource => &mut counts.unset,
            Operation::Close => &mut counts.close,
            Operation::Patch { .. } => &mut counts.patch,
        };
        *count += 1;
        if operation.ends_object() {
            object = objects.next();
        }
    }
    Ok(Part {
        modes: payload.modes.len(),
        xattrs: payload.xattrs.len(),
        blob: payload.blob().len(),
        operations: payload.operations().len(),
        counts,
    })
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let files = repo.open_delta(&super::delta_name(&args.delta)?)?;
    let parts = files.superblock.parts.iter().enumerate();
    let parts = parts.map(|(index, info)| look(&files, index, info)).collect::<Result<_, _>>()?;
    Ok(Outcome { signed: files.is_signed(), superblock: files.superblock, parts })
}
