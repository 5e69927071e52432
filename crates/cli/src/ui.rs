//! Output: standard output for data, standard error for everything else.

pub(crate) mod gvariant;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod progress;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// What a command found or did, ready to be shown.
pub(crate) trait Render: serde::Serialize {
    /// Writes the text form: what OSTree prints, where it has the command.
    fn render(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Lines for standard error, after the text; not with `--json`.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// 0 where all went well.
    fn exit_code(&self) -> u8 {
        0
    }
}

/// A command that succeeds silently.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Done {}

impl Render for Done {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// Shows an outcome, and gives the exit code.
pub(crate) fn show(outcome: &impl Render, as_json: bool) -> anyhow::Result<u8> {
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
            complain(&line);
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

/// Prints a line on standard error; that nobody can read it is no reason to stop.
pub(crate) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Sends the log to standard error: warnings, or with `verbose` everything but traces. `SAPWOOD_LOG` overrides.
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
