//! Keeping the summary as the refs are, while they are served.
//!
//! What counts is whether the summary lists the refs as they are now, not what happened: so nothing is missed, whoever moves refs
//! or writes summaries meanwhile, and a failure is made good the next time. Refs that move again and again are waited for, but
//! not for ever.

use crate::cmd::summary::Publishing;
use crate::ui;
use sapwood_objstore::Metadata;
use sapwood_repo::{Listed, Repo};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often the refs are looked at; they must have been the same twice.
const TICK: Duration = Duration::from_millis(500);
/// Refs that keep moving are waited for no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure, so long is waited before the next try.
const REST: Duration = Duration::from_secs(10);

/// Decides when a summary is due.
#[derive(Debug, Default)]
struct Debounce {
    /// Since when the summary has been wrong, and what the refs were when last seen.
    waiting: Option<(Instant, Listed)>,
    /// Not before then.
    rests_until: Option<Instant>,
}

impl Debounce {
    /// Takes what is seen now: the refs, if the summary is not right about them.
    fn is_due(&mut self, now: Instant, wrong: Option<Listed>) -> bool {
        let Some(refs) = wrong else {
            self.waiting = None;
            return false;
        };
        let (since, is_quiet) = match &self.waiting {
            Some((since, before)) => (*since, *before == refs),
            None => (now, false),
        };
        self.waiting = Some((since, refs));
        let rests = self.rests_until.is_some_and(|until| now < until);
        !rests && (is_quiet || now.duration_since(since) >= PATIENCE)
    }

    /// Takes what came of it.
    fn tried(&mut self, now: Instant, succeeded: bool) {
        self.waiting = None;
        self.rests_until = (!succeeded).then(|| now + REST);
    }
}

/// The summary of a repository that is served.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    pub(super) repo: &'a Repo,
    pub(super) publishing: &'a Publishing,
}

impl Watch<'_> {
    /// Writes the summary if it is not right.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        if self.wrong()?.is_some() {
            self.publishing.publish(self.repo, &Metadata::default())?;
        }
        Ok(())
    }

    /// Does so again and again, until the other end of `stop` is gone.
    pub(super) fn go_on(&self, stop: &Receiver<()>) {
        let mut debounce = Debounce::default();
        let mut written = Instant::now();
        let mut said = String::new();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(TICK) {
            let tried = self.step(&mut debounce, written);
            let now = Instant::now();
            match &tried {
                Ok(false) => continue,
                Ok(true) => {
                    written = now;
                    said.clear();
                }
                Err(error) => {
                    // The same again and again would fill a log.
                    let text = format!("warning: the summary is not renewed: {error:#}");
                    if said != text {
                        ui::complain(&text);
                        said = text;
                    }
                }
            }
            debounce.tried(now, tried.is_ok());
        }
    }

    /// Looks, and writes if that is due: whether it did.
    fn step(&self, debounce: &mut Debounce, written: Instant) -> anyhow::Result<bool> {
        // Before clients would take it for outdated.
        let lasts = self.publishing.lasts(self.repo)?;
        let is_old = lasts.is_some_and(|lasts| written.elapsed() >= lasts / 2);
        let wrong = if is_old { Some(self.repo.to_be_listed()?) } else { self.wrong()? };
        let is_due = debounce.is_due(Instant::now(), wrong);
        if is_due {
            self.publishing.publish(self.repo, &Metadata::default())?;
        }
        Ok(is_due)
    }

    /// What the refs are, if the summary says something else of them, or lacks the signatures that it is to have.
    fn wrong(&self) -> anyhow::Result<Option<Listed>> {
        let refs = self.repo.to_be_listed()?;
        // One that cannot be read is written anew.
        let summary = self.repo.summary().unwrap_or_else(|error| {
            tracing::warn!(%error, "the summary is of no use");
            None
        });
        let lists_them = summary.is_some_and(|summary| summary.listed().is_ok_and(|listed| listed == refs));
        let is_signed = !self.publishing.signs() || self.repo.has_summary_signatures()?;
        Ok((!lists_them || !is_signed).then_some(refs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sapwood_objstore::{Id, ObjectId};
    use sapwood_repo::{RefName, Summary, SummaryRef};

    /// Refs that are somewhere, by a number.
    fn at(place: u8) -> Listed {
        let summary = Summary {
            refs: vec![SummaryRef {
                name: RefName::new("main").expect("valid"),
                target: Id::new(ObjectId::from_bytes([place; 32])),
                commit_bytes: 0,
                metadata: Metadata::default(),
            }],
            metadata: Metadata::default(),
        };
        summary.listed().expect("no collections")
    }

    #[test]
    fn refs_that_move_are_waited_for_but_not_for_ever() {
        let start = Instant::now();
        let after = |ticks: u32| start + TICK * ticks;
        let mut debounce = Debounce::default();
        assert!(!debounce.is_due(after(0), None));
        assert!(!debounce.is_due(after(1), Some(at(1))), "they may move on");
        assert!(!debounce.is_due(after(2), Some(at(2))), "as they did");
        assert!(debounce.is_due(after(3), Some(at(2))));
        debounce.tried(after(3), true);
        assert!(!debounce.is_due(after(4), None));
        let mut ticks = 5..;
        let due = ticks
            .find(|tick| debounce.is_due(after(*tick), Some(at(u8::try_from(*tick).expect("few")))))
            .expect("due");
        assert_eq!(after(due), after(5) + PATIENCE);
    }

    #[test]
    fn what_failed_is_tried_again_after_a_rest() {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        assert!(!debounce.is_due(start, Some(at(1))));
        assert!(debounce.is_due(start + TICK, Some(at(1))));
        debounce.tried(start + TICK, false);
        let due: Vec<_> = (2..60).filter(|tick| debounce.is_due(start + TICK * *tick, Some(at(1)))).collect();
        assert_eq!(due.first().map(|tick| TICK * *tick), Some(TICK + REST));
    }
}
