//! `show --print-variant-type`: a file as a GVariant of a given type.

use super::Outcome;
use crate::ctx::read_file;
use crate::report::{OrUsage as _, usage};
use crate::ui::human;
use anyhow::Context as _;
use sapwood_objstore::gvariant::Type;
use sapwood_objstore::{Format, Value};
use std::path::Path;

/// Reads the file. Numbers are always taken for big-endian ones, as OSTree does here.
///
/// OSTree shows values made up by `GLib` where the bytes are none of the type; here that is an error.
pub(super) fn read(path: &str, signature: &str) -> anyhow::Result<Outcome> {
    Type::parse(signature).or_usage(|| format!("Invalid type string '{signature}'"))?;
    if path.is_empty() {
        return Err(usage("A filename must be given"));
    }
    let bytes = read_file(Path::new(path), Format::MAX_META_BYTES)?;
    let value = Value::from_gvariant(signature, &bytes)
        .with_context(|| format!("{path} is not a value of type {signature}"))?;
    let text = human::value_text(&value, Format::Ostree, human::ByteOrder::Swapped);
    Ok(Outcome::Value { key: path.to_owned(), value: human::value_json(&value), text })
}
