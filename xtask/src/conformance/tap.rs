//! What a test said: the Test Anything Protocol, as far as OSTree's tests speak it.

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Points made: `ok` lines that were not skipped.
    pub(crate) points: u32,
    /// Whether it succeeded, in part, or did not even try.
    pub(crate) outcome: Outcome,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that was tried succeeded.
    Passed,
    /// It made no point, and said why.
    Skipped(String),
    /// Something failed; the last thing that was said.
    Failed(String),
}

/// Judges a test by its output and by what was wrong with its end (an exit code, a timeout).
pub(crate) fn judge(output: &str, trouble: Option<String>) -> Verdict {
    let (mut points, mut skipped, mut bad) = (0, 0, 0);
    let (mut plan, mut why) = (None, None);
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("1..") {
            plan = rest.split_whitespace().next().and_then(|count| count.parse::<u32>().ok());
            why = skip_reason(rest).or(why);
        } else if line.strip_prefix("not ok").is_some_and(ends_word) {
            bad += 1;
        } else if let Some(rest) = line.strip_prefix("ok").filter(|rest| ends_word(rest)) {
            match skip_reason(rest) {
                Some(reason) => {
                    skipped += 1;
                    why.get_or_insert(reason);
                }
                None => points += 1,
            }
        }
    }
    let seen = points + skipped + bad;
    let trouble = trouble.or_else(|| (bad > 0).then(|| format!("{bad} points failed")));
    let trouble =
        trouble.or_else(|| plan.filter(|plan| *plan != seen).map(|plan| format!("{seen} points of {plan}")));
    let outcome = match trouble {
        Some(trouble) => Outcome::Failed(format!("{trouble}: {}", last_words(output))),
        None if points == 0 => Outcome::Skipped(why.unwrap_or_else(|| "it said nothing".to_owned())),
        None => Outcome::Passed,
    };
    Verdict { points, outcome }
}

fn ends_word(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_alphanumeric())
}

/// The text behind `# SKIP`.
fn skip_reason(rest: &str) -> Option<String> {
    let (_, directive) = rest.split_once('#')?;
    let directive = directive.trim();
    directive
        .get(..4)
        .filter(|word| word.eq_ignore_ascii_case("skip"))
        .map(|_| directive[4..].trim().to_owned())
}

/// The last line that is not a trace of the shell's, a comment, or said while cleaning up.
fn last_words(output: &str) -> &str {
    let body = output.split("\n+ run_exit_cmds").next().unwrap_or(output);
    body.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['+', '#']))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_passes_when_it_ends_well_and_keeps_its_plan() {
        let said = "1..3\n+ echo ok\nok one\nokay is no point\nok two # skip no FUSE\nok three\n";
        assert_eq!(judge(said, None), Verdict { points: 2, outcome: Outcome::Passed });
        let died = judge("1..3\nok one\n+ false\n", Some("exit 1".to_owned()));
        assert_eq!(died, Verdict { points: 1, outcome: Outcome::Failed("exit 1: ok one".to_owned()) });
        let short = judge("1..3\nok one\nnot there\n", None);
        assert_eq!(short.outcome, Outcome::Failed("1 points of 3: not there".to_owned()));
        let bad = judge("not ok one\nok two\n1..2\n", None);
        assert_eq!(bad.points, 1);
        assert!(matches!(bad.outcome, Outcome::Failed(_)));
    }

    #[test]
    fn a_test_without_points_was_skipped() {
        assert_eq!(judge("1..0 # SKIP no sudo\n", None).outcome, Outcome::Skipped("no sudo".to_owned()));
        assert_eq!(judge("ok # SKIP no gjs\n1..1\n", None).outcome, Outcome::Skipped("no gjs".to_owned()));
    }
}
