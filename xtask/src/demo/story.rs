//! How the story is printed: chapters, sentences, commands with what they said.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::sh;

/// Most lines of a command's output that are shown.
const SHOWN_LINES: usize = 24;

/// A story under way.
#[derive(Debug)]
pub(crate) struct Story {
    chapter: usize,
    commands: usize,
    start: Instant,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self { chapter: 0, commands: 0, start: Instant::now() }
    }

    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        println!("\n── {}. {title}", self.chapter);
    }

    /// Shows the command, runs it, and shows and returns what it printed.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<String> {
        show(command);
        self.commands += 1;
        let start = Instant::now();
        let out = command.output().context("starting it")?;
        let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&out.stderr));
        for line in text.lines().take(SHOWN_LINES) {
            println!("     {line}");
        }
        match text.lines().count().saturating_sub(SHOWN_LINES) {
            0 => {}
            more => println!("     … {more} more lines"),
        }
        let seconds = start.elapsed().as_secs_f64();
        if seconds >= 0.5 {
            println!("     ({seconds:.1} s)");
        }
        if !out.status.success() {
            bail!("the command failed ({})", out.status);
        }
        Ok(text)
    }

    pub(crate) fn end(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        println!("\nAll {} commands did what the text says ({seconds:.0} s).", self.commands);
    }
}

/// A sentence of the story.
pub(crate) fn say(line: &str) {
    println!("   {line}");
}

/// A command of the story, as a reader would type it.
pub(crate) fn show(command: &Command) {
    println!("   $ {}", sh::shown(command));
}

/// `12.3 MB`, or kilobytes below one megabyte.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}
