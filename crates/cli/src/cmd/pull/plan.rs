//! `pull --dry-run`: what a pull would fetch.

use super::Args;
use crate::connect;
use crate::ctx::Ctx;
use crate::ui::{Render, human};
use sapwood_transport::PullPlan;
use std::io::{self, Write};

/// What a pull would fetch.
#[derive(Debug)]
pub(crate) struct Outcome(PullPlan);

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let PullPlan { refs, deltas, files, .. } = &self.0;
        let refs = refs.iter().map(|update| {
            let old = update.old.map(|id| id.to_hex());
            serde_json::json!({ "name": update.name.to_string(), "old": old, "new": update.new.to_hex() })
        });
        let deltas = deltas.iter().map(|delta| {
            serde_json::json!({
                "delta": delta.name.to_string(),
                "parts": delta.parts,
                "parts_here": delta.parts_here,
                "bytes": delta.bytes,
                "bytes_here": delta.bytes_here,
                "content_bytes": delta.content_bytes,
                "fallbacks": delta.fallbacks,
                "fallback_bytes": delta.fallback_bytes,
            })
        });
        serde_json::json!({
            "refs": refs.collect::<Vec<_>>(),
            "deltas": deltas.collect::<Vec<_>>(),
            "files": files.number,
            "file_bytes_exact": files.exact_bytes,
            "file_bytes_at_most": files.content_bytes,
            "files_of_unknown_size": files.of_unknown_size,
            "metadata_fetched": self.0.meta_fetched,
            "bytes_received": self.0.bytes_received,
            "requests": self.0.requests,
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let PullPlan { deltas, files, .. } = &self.0;
        for delta in deltas {
            writeln!(
                out,
                "Delta update: {}/{} parts, {}/{}, {} total uncompressed",
                delta.parts_here,
                delta.parts,
                human::size(delta.bytes_here),
                human::size(delta.bytes),
                human::size(delta.content_bytes)
            )?;
            if delta.fallbacks > 0 {
                let bytes = human::size(delta.fallback_bytes);
                writeln!(out, "Beside the delta: {} objects, {bytes}", delta.fallbacks)?;
            }
        }
        if deltas.is_empty() || files.number > 0 {
            let mut sizes = Vec::new();
            if files.exact_bytes > 0 {
                sizes.push(human::size(files.exact_bytes));
            }
            if files.content_bytes > 0 {
                sizes.push(format!("{} before compression", human::size(files.content_bytes)));
            }
            if files.of_unknown_size > 0 {
                sizes.push(format!("{} of unknown size", files.of_unknown_size));
            }
            let sizes = if sizes.is_empty() { String::new() } else { format!(": {}", sizes.join(", ")) };
            writeln!(out, "{} files to fetch{sizes}", files.number)?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let ready = super::prepare(args, ctx)?;
    let caches: Vec<_> = ready.caches.iter().collect();
    Ok(Outcome(connect::plan(ctx, &ready.repo, ready.source, &caches, ready.terms, &ready.options)?))
}
