//! The JSON form of outcomes.

use serde::Serialize;
use std::io::{self, Write};

/// Writes one document and a newline.
pub(crate) fn write(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}
