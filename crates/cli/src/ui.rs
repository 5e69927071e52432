//! Output: standard output for data, standard error for everything else.

pub(crate) mod human;
pub(crate) mod json;
mod lines;
pub(crate) mod progress;
pub(crate) mod pulling;

use crate::journal::{self, Entry};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// What a command found or did, ready to be shown.
pub(crate) trait Render: serde::Serialize {
    /// Writes the text form: what OSTree prints, where it has the command.
    fn render(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Lines for standard error, after the text; not with `--json`.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the system's journal is told.
    fn entries(&self) -> Vec<Entry> {
        Vec::new()
    }

    /// 0 where all went well.
    fn exit_code(&self) -> u8 {
        0
    }
}

/// Shows an outcome, and gives the exit code.
pub(crate) fn show(outcome: &impl Render, as_json: bool) -> anyhow::Result<u8> {
    journal::tell(&outcome.entries());
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    if as_json {
        json::write(outcome, &mut out)?;
    } else {
        outcome.render(&mut out)?;
    }
    out.flush()?;
    drop(out);
    if !as_json {
        for line in outcome.remarks() {
            complain(&spoken(&line));
        }
    }
    Ok(outcome.exit_code())
}

/// Prints a text on standard output.
pub(crate) fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// The name of the program, as it was called.
static NAME: OnceLock<&str> = OnceLock::new();

/// Sets the name by which commands are called in what is said.
pub(crate) fn speak_as(name: &'static str) {
    NAME.get_or_init(|| name);
}

/// The name by which the program was called.
pub(crate) fn name() -> &'static str {
    NAME.get().copied().unwrap_or("sapwood")
}

/// A text with the commands in it called by the name of the program.
pub(crate) fn spoken(text: &str) -> String {
    match NAME.get() {
        Some(name) if *name != "sapwood" => text.replace("`sapwood ", &format!("`{name} ")),
        _ => text.to_owned(),
    }
}

/// Prints a line on standard error; that nobody can read it is no reason to stop.
pub(crate) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Warns of what goes on all the same, and its user should know.
pub(crate) fn warn(what: &str) {
    complain(&format!("warning: {what}"));
}

/// Sends the log to standard error: errors, or with `verbose` everything but traces. `SAPWOOD_LOG` overrides.
pub(crate) fn start_logging(verbose: bool) {
    let default = if verbose { "warn,sapwood=debug" } else { "error" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SAPWOOD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .init();
}
