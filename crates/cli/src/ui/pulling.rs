//! How far a pull is: a bar on a terminal, a line now and then in a log, and one JSON document a line for programs.

use super::human;
use super::lines::Lines;
use super::progress::Progress as Bar;
use crate::ctx::Ctx;
use sapwood_transport::{Progress, PullEvent};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A log gets a line so often, and none for a pull that is shorter.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Over so long, about, the rate is averaged.
const RATE_OVER: Duration = Duration::from_secs(2);

/// Tells about one pull.
#[derive(Debug)]
pub(crate) struct PullReport {
    bar: Bar,
    /// Whether lines go to standard error.
    has_log: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Where JSON lines go.
    lines: Option<Lines>,
    began: Instant,
    logged: Instant,
    rate: Rate,
}

/// How many bytes come in a second.
#[derive(Debug)]
struct Rate {
    at: Duration,
    bytes: u64,
    per_second: f64,
}

impl Rate {
    /// Takes note that so many bytes have come in all.
    fn update(&mut self, at: Duration, bytes: u64) {
        let passed = at.saturating_sub(self.at);
        if passed.is_zero() {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "it is shown in a few digits")]
        let now = bytes.saturating_sub(self.bytes) as f64 / passed.as_secs_f64();
        // What was counts the less the longer ago it was; at first there is nothing before.
        let weight = if self.at.is_zero() { 1.0 } else { 1.0 - (-passed.div_duration_f64(RATE_OVER)).exp() };
        self.per_second += weight * (now - self.per_second);
        (self.at, self.bytes) = (at, bytes);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes a second, never negative"
    )]
    fn bytes_per_second(&self) -> u64 {
        self.per_second as u64
    }
}

impl PullReport {
    /// Opens what `--progress-fd` names.
    pub(crate) fn new(ctx: &Ctx) -> anyhow::Result<Self> {
        let lines = ctx.progress_fd.map(Lines::to).transpose()?;
        let has_log = !ctx.json && !std::io::stderr().is_terminal();
        let began = Instant::now();
        let rate = Rate { at: Duration::ZERO, bytes: 0, per_second: 0.0 };
        let state = Mutex::new(State { lines, began, logged: began, rate });
        Ok(Self { bar: ctx.progress(), has_log, state })
    }

    /// Shows an event.
    pub(crate) fn tell(&self, event: PullEvent<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let PullEvent::Progress(now) = &event {
            let elapsed = state.began.elapsed();
            state.rate.update(elapsed, now.bytes_received);
            if self.has_log && state.logged.elapsed() >= LOG_EVERY {
                state.logged = Instant::now();
                super::complain(&line(now, state.rate.bytes_per_second()));
            }
        }
        if let (Some(text), Some(lines)) = (document(&event, &state), &state.lines) {
            lines.tell(text.to_string(), matches!(event, PullEvent::Progress(_)));
        }
        drop(state);
        self.show(event);
    }

    fn show(&self, event: PullEvent<'_>) {
        let bar = &self.bar;
        match event {
            PullEvent::Progress(now) if phase(&now) == "deltas" => {
                let parts = format!("{}/{} delta parts", now.delta_parts_done, now.delta_parts_known);
                bar.bytes(parts, now.bytes_received, now.delta_bytes_known);
            }
            PullEvent::Progress(now) => match (now.content_bytes_done, now.content_bytes_known) {
                (Some(done), Some(known)) if now.totals_final => bar.bytes(objects(&now), done, known),
                _ if now.totals_final => bar.count("files", now.files_done, now.files_known),
                _ => bar.note(format!("{}, {} received", objects(&now), human::size(now.bytes_received))),
            },
            PullEvent::Syncing => bar.note("syncing".to_owned()),
            _ => {}
        }
    }
}

fn objects(now: &Progress) -> String {
    format!("{}/{} objects", now.meta_done + now.files_done, now.meta_known + now.files_known)
}

/// What is being fetched.
fn phase(now: &Progress) -> &'static str {
    match now {
        _ if now.delta_parts_done < now.delta_parts_known => "deltas",
        _ if !now.totals_final => "metadata",
        _ => "files",
    }
}

/// A line for a log.
fn line(now: &Progress, bytes_per_second: u64) -> String {
    let more = if now.totals_final { "" } else { " or more" };
    format!(
        "pulling {}: {}{more}, {} received, {}/s, {} requests open",
        phase(now),
        objects(now),
        human::size(now.bytes_received),
        human::size(bytes_per_second),
        now.requests_open
    )
}

/// One line of `--progress-fd`.
fn document(event: &PullEvent<'_>, state: &State) -> Option<Value> {
    state.lines.as_ref()?;
    let elapsed = u64::try_from(state.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(match event {
        PullEvent::Resolved { name, commit } => json!({
            "event": "resolved",
            "elapsed_ms": elapsed,
            "ref": name.map(ToString::to_string),
            "commit": commit.to_hex(),
        }),
        PullEvent::Progress(now) => json!({
            "event": "progress",
            "elapsed_ms": elapsed,
            "phase": phase(now),
            "metadata_done": now.meta_done,
            "metadata_total": now.meta_known,
            "files_done": now.files_done,
            "files_total": now.files_known,
            "content_bytes_done": now.content_bytes_done,
            "content_bytes_total": now.content_bytes_known,
            "totals_final": now.totals_final,
            "delta_parts_done": now.delta_parts_done,
            "delta_parts_total": now.delta_parts_known,
            "delta_bytes_total": now.delta_bytes_known,
            "bytes_received": now.bytes_received,
            "bytes_per_second": state.rate.bytes_per_second(),
            "requests": now.requests,
            "requests_open": now.requests_open,
        }),
        PullEvent::Syncing => json!({ "event": "syncing", "elapsed_ms": elapsed }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_what_comes() {
        let mut rate = Rate { at: Duration::ZERO, bytes: 0, per_second: 0.0 };
        rate.update(Duration::from_secs(1), 1000);
        assert_eq!(rate.bytes_per_second(), 1000);
        rate.update(Duration::from_secs(1), 9000);
        assert_eq!(rate.bytes_per_second(), 1000, "no time has passed");
        (2..40).for_each(|second| rate.update(Duration::from_secs(second), 1000 + (second - 1) * 500));
        assert_eq!(rate.bytes_per_second(), 500);
        rate.update(Duration::from_hours(1), 20_000);
        assert!(rate.bytes_per_second() < 10);
    }

    #[test]
    fn a_line_says_what_is_known() {
        let now = Progress {
            meta_known: 12,
            meta_done: 10,
            files_known: 30,
            bytes_received: 2_500_000,
            requests_open: 7,
            ..Progress::default()
        };
        let expected =
            "pulling metadata: 10/42 objects or more, 2.5\u{a0}MB received, 1.0\u{a0}kB/s, 7 requests open";
        assert_eq!(line(&now, 1000), expected);
    }
}
