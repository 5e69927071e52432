//! `static-delta generate`.

use crate::ctx::{self, Ctx};
use crate::report::usage;
use crate::trust;
use crate::ui::{Render, human};
use anyhow::Context as _;
use sapwood_repo::sign;
use sapwood_repo::{ByteOrder, DeltaName, DeltaOptions, DeltaStats};
use std::io::{self, Write};
use std::path::PathBuf;

/// Make a delta
///
/// Without --from and --empty it leads from the parent of TO.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// The commit that it builds on
    #[arg(long, value_name = "REV")]
    from: Option<String>,
    /// Build on nothing
    #[arg(long)]
    empty: bool,
    /// Put the parts into the superblock
    #[arg(long)]
    inline: bool,
    /// The commit that it leads to
    #[arg(long, value_name = "REV")]
    to: Option<String>,
    /// Store every changed file as a whole
    #[arg(long)]
    disable_bsdiff: bool,
    /// Do nothing if there is one already
    #[arg(long, short = 'n')]
    if_not_exists: bool,
    /// The byte order of sizes: l or B
    #[arg(long, value_name = "ENDIAN")]
    set_endianness: Option<String>,
    /// Write sizes in the byte order that is not this machine's
    #[arg(long)]
    swap_endianness: bool,
    /// Leave files of more megabytes to be fetched by themselves; 0 is none
    #[arg(long, value_name = "MB", default_value_t = 4)]
    min_fallback_size: u32,
    /// Patch files of up to so many megabytes, old and new together
    #[arg(long, value_name = "MB", default_value_t = 128)]
    max_bsdiff_size: u32,
    /// Begin a new part after so many megabytes
    #[arg(long, value_name = "MB", default_value_t = 32)]
    max_chunk_size: u32,
    /// Write it to this file, and its parts beside it, instead of into the repository
    #[arg(long, value_name = "PATH")]
    filename: Option<PathBuf>,
    /// Sign it with this secret key (may be repeated)
    #[arg(long, value_name = "KEY")]
    sign: Vec<String>,
    /// Sign it with the secret keys in this file (may be repeated)
    #[arg(long, value_name = "FILE")]
    keys_file: Vec<PathBuf>,
    /// The type of the keys: ed25519, spki or dummy
    #[arg(long, value_name = "NAME", default_value = "ed25519", hide_default_value = true)]
    sign_type: String,
    /// The same as --to, which goes before
    #[arg(value_name = "TO")]
    target: Option<String>,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct Outcome {
    name: DeltaName,
    /// `None` if it was there already.
    made: Option<DeltaStats>,
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let made = self.made.as_ref();
        let part_bytes = made.map(|stats| stats.parts.iter().map(|part| part.bytes).sum::<u64>());
        serde_json::json!({
            "delta": self.name.to_string(),
            "generated": made.is_some(),
            "parts": made.map(|stats| stats.parts.len()),
            "part_bytes": part_bytes,
            "patched": made.map(|stats| stats.patched),
            "fallbacks": made.map(|stats| stats.fallbacks.len()),
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.made.is_none() {
            return writeln!(out, "Delta {} already exists.", self.name);
        }
        let from = self.name.from.map_or_else(|| "empty".to_owned(), |from| from.to_hex());
        writeln!(out, "Generating static delta:\n  From: {from}\n  To:   {}", self.name.to)
    }

    /// As OSTree counts them.
    fn remarks(&self) -> Vec<String> {
        let Some(stats) = &self.made else { return Vec::new() };
        let DeltaStats { modified, new_metadata, new_files, new_links, .. } = stats;
        let mut lines = vec![
            format!("modified: {modified}"),
            format!("new reachable: metadata={new_metadata} content regular={new_files} symlink={new_links}"),
        ];
        for entry in &stats.fallbacks {
            lines.push(format!("fallback for {} ({})", entry.name.id, human::size(entry.content_bytes)));
        }
        for (at, part) in stats.parts.iter().enumerate() {
            let (objects, compressed, content) = (part.objects.len(), part.bytes, part.content_bytes);
            lines.push(format!("part {} n:{objects} compressed:{compressed} uncompressed:{content}", at + 1));
        }
        let compressed: u64 = stats.parts.iter().map(|part| part.bytes).sum();
        let content: u64 = stats.parts.iter().map(|part| part.content_bytes).sum();
        lines.push(format!("uncompressed={content} compressed={compressed} loose={}", stats.loose_bytes));
        lines.push("rollsum=0 objects, 0 bytes".to_owned());
        lines.push(format!("bsdiff={} objects", stats.patched));
        lines
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let to = args.to.as_ref().or(args.target.as_ref());
    let to = to.ok_or_else(|| usage("TO revision must be specified"))?;
    let repo = ctx.open_repo()?;
    let from = match &args.from {
        Some(_) if args.empty => return Err(usage("Cannot specify both --empty and --from=REV")),
        Some(from) => Some(repo.resolve(from)?),
        None if args.empty => None,
        None => Some(repo.resolve(&format!("{to}^"))?),
    };
    let name = DeltaName { from, to: repo.resolve(to)? };
    let order = match args.set_endianness.as_deref() {
        Some(_) if args.swap_endianness => {
            return Err(usage("Cannot specify both --swap-endianness and --set-endianness"));
        }
        Some("l") => ByteOrder::Little,
        Some("B") => ByteOrder::Big,
        Some(other) => return Err(usage(format!("Invalid endianness '{other}'"))),
        None if args.swap_endianness == cfg!(target_endian = "little") => ByteOrder::Big,
        None => ByteOrder::Little,
    };
    let megabytes = |number: u32| u64::from(number) * 1_000_000;
    let options = DeltaOptions {
        inline: args.inline,
        order,
        min_fallback_bytes: megabytes(args.min_fallback_size),
        max_bsdiff_bytes: if args.disable_bsdiff { 0 } else { megabytes(args.max_bsdiff_size) },
        max_chunk_bytes: megabytes(args.max_chunk_size),
        ..DeltaOptions::default()
    };
    if args.if_not_exists && repo.deltas()?.contains(&name) {
        return Ok(Outcome { name, made: None });
    }
    let mut keys = args.sign.clone();
    for path in &args.keys_file {
        keys.extend(trust::keys_of_file(&args.sign_type, path)?);
    }
    let signers = keys.iter().map(|key| sign::signer(&args.sign_type, key)).collect::<Result<Vec<_>, _>>()?;
    let made = match &args.filename {
        None => repo.generate_delta(&name, &options, &signers)?,
        Some(path) => {
            let (dir, file) = ctx::open_parent(path)?;
            let file = file.to_str().with_context(|| format!("{} is not text", path.display()))?;
            repo.export_delta(&name, &options, &signers, &dir, file)?
        }
    };
    Ok(Outcome { name, made: Some(made) })
}
