//! Failure, as it is told: one line with the causes, hints on what to do, and the exit code.

mod causes;
mod diagnosis;
pub(crate) mod words;

use crate::ui;
use serde_json::json;
use std::process::ExitCode;

/// Wrong usage: one line, and where to read more.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hints: Vec<String>,
    /// How the command is used, which is printed first; OSTree does.
    pub(crate) synopsis: Option<String>,
}

impl Usage {
    /// With hints.
    pub(crate) fn new(message: impl Into<String>, hints: Vec<String>) -> Self {
        Self { message: message.into(), hints, synopsis: None }
    }
}

/// A failure with advice of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Advised {
    /// The kind, for `--json`.
    pub(crate) kind: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

/// Wrong usage that shows only when the command runs.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage::new(message, Vec::new()).into()
}

/// Turns a failed check of an argument into wrong usage.
pub(crate) trait OrUsage<T> {
    /// The value, or this message; what the check itself says is left out.
    fn or_usage(self, message: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T, E> OrUsage<T> for Result<T, E> {
    fn or_usage(self, message: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.ok().ok_or_else(|| usage(message()))
    }
}

/// Tells a failure, and gives the exit code that goes with it. A closed pipe is none.
pub(crate) fn fail(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let message = one_line(error);
    let (kind, mut hints) = diagnosis::of(error);
    for hint in &mut hints {
        *hint = ui::spoken(hint);
    }
    if as_json {
        let document = json!({ "error": { "kind": kind, "message": message, "hints": hints } });
        drop(ui::json::write(&document, &mut std::io::stdout().lock()));
    } else {
        if let Some(synopsis) = error.downcast_ref::<Usage>().and_then(|usage| usage.synopsis.as_deref()) {
            ui::complain(synopsis);
        }
        ui::complain(&format!("error: {message}"));
        for hint in hints {
            ui::complain(&format!("hint: {hint}"));
        }
    }
    ExitCode::FAILURE
}

/// The error and its causes, a cause that repeats what was said left out.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in causes::causes(error) {
        let said = words::of_ostree(cause);
        let text = plain(&said.unwrap_or_else(|| cause.to_string()));
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// On one line, without the number that Rust puts behind the system's words.
fn plain(text: &str) -> String {
    let text = text.replace('\n', " ");
    match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.ends_with(')') => words.to_owned(),
        _ => text,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
