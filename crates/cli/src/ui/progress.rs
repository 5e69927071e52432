//! Progress bars on standard error, where that is a terminal; else nothing.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// One line of progress. Dropping it clears the line.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A line, hidden unless standard error is a terminal and text is wanted.
    pub(crate) fn new(as_json: bool) -> Self {
        if as_json || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self { bar }
    }

    /// Says what is going on, where no total is known.
    pub(crate) fn note(&self, text: String) {
        self.bar.set_message(text);
    }

    /// So much of so much.
    pub(crate) fn count(&self, what: &str, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            self.bar.set_length(total);
            self.bar.set_message(what.to_owned());
        }
        self.bar.set_position(done);
    }

    /// So many bytes of so many.
    pub(crate) fn bytes(&self, what: String, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            let style =
                ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            self.bar.set_length(total);
        }
        self.bar.set_message(what);
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
