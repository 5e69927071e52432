//! The table a benchmark ends with, and what its reader must know of the conditions.

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::measure::Cost;
use crate::sh;

/// One paragraph: the tree, the peer, the machine.
pub(crate) fn header(tree: &Path, peer_version: &Command, bare_mode: &str, runs: usize) -> Result<String> {
    let mut command = Command::new(peer_version.get_program());
    let peer = sh::output(command.args(peer_version.get_args()))?;
    let peer =
        peer.lines().find_map(|line| line.trim().strip_prefix("Version:")).unwrap_or("").trim().to_owned();
    let (mut files, mut bytes) = (0_u64, 0_u64);
    walk(tree, &mut |path| {
        let metadata = path.symlink_metadata()?;
        if metadata.is_file() {
            files += 1;
            bytes += metadata.size();
        }
        Ok(())
    })?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let commit =
        sh::output(Command::new("git").current_dir(sh::root()).args(["describe", "--always", "--dirty"]));
    Ok(format!(
        "{files} files, {} MB; ostree {peer} and sapwood {}; bare mode: {bare_mode}; {cores} cores; medians of {runs} \
         rounds taken in turns; warm cache, disk synced before each start.\n",
        bytes / 1_000_000,
        commit.as_deref().unwrap_or("of this tree").trim(),
    ))
}

/// Reads every file once, so that nobody pays for the first time.
pub(crate) fn read_all(tree: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    walk(tree, &mut |path| {
        if path.symlink_metadata()?.is_file() {
            let mut file = std::fs::File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(())
    })
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), visit)?;
        } else {
            visit(&entry.path())?;
        }
    }
    Ok(())
}

/// `12.34 s (cpu 5.67 s), 89 MB`, and `; 1000 requests, 2.3 MB` where that was counted; short times are `4.5 ms`.
pub(crate) fn cell(cost: &Cost) -> String {
    let time = |time: Duration| match time.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    };
    let (wall, cpu) = (time(cost.wall), time(cost.cpu));
    let wire = cost.traffic.map_or_else(String::new, |traffic| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for readers")]
        let megabytes = traffic.down as f64 / 1e6;
        format!("; {} requests, {megabytes:.1} MB", traffic.requests)
    });
    format!("{wall} (cpu {cpu}), {} MB{wire}", cost.peak_bytes / 1_000_000)
}

/// Each figure's median for itself.
fn median(costs: &[Cost]) -> Cost {
    fn middle<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    }
    Cost {
        wall: middle(costs.iter().map(|cost| cost.wall).collect()).unwrap_or_default(),
        cpu: middle(costs.iter().map(|cost| cost.cpu).collect()).unwrap_or_default(),
        peak_bytes: middle(costs.iter().map(|cost| cost.peak_bytes).collect()).unwrap_or_default(),
        // What is asked for hardly varies: the first round's is as good as any.
        traffic: costs.first().and_then(|cost| cost.traffic),
    }
}

/// The table: a row per operation, a column per contender, the first being what the others are compared with.
pub(crate) fn render(names: &[&str], rows: &[(&str, Vec<Vec<Cost>>)]) -> String {
    let mut text = String::from("| operation |");
    for (column, name) in names.iter().enumerate() {
        let _infallible = write!(text, " {name} |{}", if column > 0 { " × wall (cpu) |" } else { "" });
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(names.len() * 2 - 1));
    for (title, costs) in rows {
        let medians: Vec<Cost> = costs.iter().map(|costs| median(costs)).collect();
        let _infallible = write!(text, "\n| {title} |");
        for (column, cost) in medians.iter().enumerate() {
            let _infallible = write!(text, " {} |", cell(cost));
            if column > 0 {
                let times =
                    |peer: Duration, ours: Duration| peer.as_secs_f64() / ours.as_secs_f64().max(1e-6);
                let (wall, cpu) = (times(medians[0].wall, cost.wall), times(medians[0].cpu, cost.cpu));
                let _infallible = write!(text, " {wall:.1} ({cpu:.1}) |");
            }
        }
    }
    text.push_str(
        "\n\nA cell: wall time (processor time), peak memory; over a line, requests and bytes received. \
         A ratio above 1: faster than ostree.\n",
    );
    text
}

/// What verification adds to a pull, for each contender.
pub(crate) fn added(names: &[&str], plain: &[Vec<Cost>], verified: &[Vec<Cost>]) -> String {
    let mut text = String::new();
    for ((name, plain), verified) in names.iter().zip(plain).zip(verified) {
        let percent = |plain: Duration, verified: Duration| {
            (verified.as_secs_f64() / plain.as_secs_f64().max(1e-6) - 1.0) * 100.0
        };
        let (plain, verified) = (median(plain), median(verified));
        let (wall, cpu) = (percent(plain.wall, verified.wall), percent(plain.cpu, verified.cpu));
        let _infallible = writeln!(text, "{name}: verification adds {wall:+.1} % (cpu {cpu:+.1} %).");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_verification_adds_is_told_in_percent_of_the_plain_pull() {
        let cost = |millis| Cost {
            wall: Duration::from_millis(millis),
            cpu: Duration::from_millis(2 * millis),
            peak_bytes: 0,
            traffic: None,
        };
        let text = added(&["ostree"], &[vec![cost(1000)]], &[vec![cost(1020)]]);
        assert_eq!(text, "ostree: verification adds +2.0 % (cpu +2.0 %).\n");
    }

    #[test]
    fn ratios_compare_medians_with_the_first_contender() {
        let cost = |millis| Cost {
            wall: Duration::from_millis(millis),
            cpu: Duration::from_millis(millis / 2),
            peak_bytes: 5_000_000,
            traffic: None,
        };
        let rows =
            [("commit", vec![vec![cost(900), cost(4000), cost(1000)], vec![cost(250), cost(250), cost(2)]])];
        let text = render(&["ostree", "sapwood"], &rows);
        assert!(
            text.contains("| commit | 1.00 s (cpu 0.50 s), 5 MB | 0.25 s (cpu 0.12 s), 5 MB | 4.0 (4.0) |"),
            "{text}"
        );
    }
}
