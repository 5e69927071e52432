//! `show --print-sizes`: what a commit says of the sizes of its objects, and how much of that is not here.

use crate::report::usage;
use crate::ui::human;
use sapwood_objstore::Commit;
use sapwood_repo::{Repo, recorded_sizes};
use std::io::{self, Write};

/// Sums, first of the objects that are not here, then of all.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Sizes {
    needed: Sum,
    total: Sum,
}

#[derive(Debug, Default, serde::Serialize)]
struct Sum {
    objects: u64,
    compressed_bytes: u64,
    unpacked_bytes: u64,
}

impl Sizes {
    pub(super) fn of(repo: &Repo, commit: &Commit) -> anyhow::Result<Self> {
        if commit.metadata.get("ostree.sizes").is_none() {
            return Err(usage("No metadata key ostree.sizes in commit"));
        }
        let mut sums = Self::default();
        for size in recorded_sizes(commit)? {
            let is_here = repo.store().contains(size.name)?;
            for sum in [Some(&mut sums.total), (!is_here).then_some(&mut sums.needed)].into_iter().flatten() {
                sum.objects += 1;
                sum.compressed_bytes = sum.compressed_bytes.saturating_add(size.stored_bytes);
                sum.unpacked_bytes = sum.unpacked_bytes.saturating_add(size.content_bytes);
            }
        }
        Ok(sums)
    }

    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { needed, total } = self;
        let size = human::size;
        let (some, all) = (size(needed.compressed_bytes), size(total.compressed_bytes));
        writeln!(out, "Compressed size (needed/total): {some}/{all}")?;
        let (some, all) = (size(needed.unpacked_bytes), size(total.unpacked_bytes));
        writeln!(out, "Unpacked size (needed/total): {some}/{all}")?;
        writeln!(out, "Number of objects (needed/total): {}/{}", needed.objects, total.objects)
    }
}
