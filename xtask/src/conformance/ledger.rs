//! What was won: the checked-in list of OSTree's tests, with what our program makes of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::tap::{Outcome, Verdict};

/// The list by name of the test, without `test-` and extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    head: String,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// What is known of one test.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) standing: Standing,
    /// What a reader must know: why it is not run, what contradicts it.
    pub(crate) note: String,
}

/// How far our program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// It passes, with so many points.
    Passes(u32),
    /// It fails or is skipped, after so many points.
    Open(u32),
    /// It concerns something other than the command line, and is not run.
    #[default]
    Out,
}

/// How a verdict compares with what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Same,
    Won,
    Lost,
}

impl Standing {
    fn of(verdict: &Verdict) -> Self {
        match verdict.outcome {
            Outcome::Passed => Self::Passes(verdict.points),
            _ => Self::Open(verdict.points),
        }
    }

    /// The points made, and whether that is the whole test.
    pub(crate) fn points(self) -> (u32, bool) {
        match self {
            Self::Passes(points) => (points, true),
            Self::Open(points) => (points, false),
            Self::Out => (0, false),
        }
    }
}

impl Ledger {
    /// Reads the list.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let head: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let head = head.join("\n") + "\n";
        let mut entries = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (name, rest) = line.split_once(' ').with_context(|| format!("{line:?} has no columns"))?;
            let (standing, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
            let rest = rest.trim_start();
            let (points, note) = rest.split_once(' ').unwrap_or((rest, ""));
            let number = || points.parse().with_context(|| format!("{line:?} has no number of points"));
            let (standing, note) = match standing {
                "passes" => (Standing::Passes(number()?), note),
                "open" => (Standing::Open(number()?), note),
                "out" => (Standing::Out, rest),
                other => anyhow::bail!("{other:?} in {line:?} is neither passes, open nor out"),
            };
            entries.insert(name.to_owned(), Entry { standing, note: note.trim().to_owned() });
        }
        Ok(Self { head, entries })
    }

    /// The list as text, in order of the names.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.head.clone();
        for (name, Entry { standing, note }) in &self.entries {
            let columns = match standing {
                Standing::Passes(points) => format!("passes {points:>3}"),
                Standing::Open(points) => format!("open   {points:>3}"),
                Standing::Out => "out       ".to_owned(),
            };
            let line = format!("{name:<36} {columns}  {note}");
            let _infallible = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// What the verdict changes. A test that was never recorded has nothing to lose.
    pub(crate) fn compare(&self, name: &str, verdict: &Verdict) -> Change {
        let (known, whole) = self.entries.get(name).map_or((0, false), |entry| entry.standing.points());
        let (points, passed) = Standing::of(verdict).points();
        if (whole && !passed) || points < known {
            Change::Lost
        } else if points > known || (passed && !whole) {
            Change::Won
        } else {
            Change::Same
        }
    }

    /// Takes in a verdict.
    pub(crate) fn record(&mut self, name: &str, verdict: &Verdict) {
        self.entries.entry(name.to_owned()).or_default().standing = Standing::of(verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\nbasic                                passes  12\nfails                                \
                        open     3  contradicted by 2026.4\nlibrary                              out         the C library\n";

    #[test]
    fn the_list_survives_being_read_and_written() {
        let ledger = Ledger::parse(TEXT).unwrap();
        assert_eq!(ledger.entries["fails"].standing, Standing::Open(3));
        assert_eq!(ledger.entries["library"].note, "the C library");
        assert_eq!(ledger.to_text(), TEXT);
        assert!(Ledger::parse("basic maybe 3\n").is_err());
    }

    #[test]
    fn fewer_points_are_lost_and_more_are_won() {
        let ledger = Ledger::parse(TEXT).unwrap();
        let failed = |points| Verdict { points, outcome: Outcome::Failed(String::new()) };
        let passed = |points| Verdict { points, outcome: Outcome::Passed };
        assert_eq!(ledger.compare("basic", &passed(12)), Change::Same);
        assert_eq!(ledger.compare("basic", &passed(11)), Change::Lost);
        assert_eq!(ledger.compare("basic", &failed(12)), Change::Lost);
        assert_eq!(ledger.compare("fails", &failed(3)), Change::Same);
        assert_eq!(ledger.compare("fails", &passed(3)), Change::Won);
        assert_eq!(ledger.compare("unheard of", &failed(0)), Change::Same);
    }
}
