//! `cargo xtask memory`: how much memory the verbs need for trees of many files, and how it grows with them.
//!
//! Trees of small files are made, a hundred to a directory, each with a content of its own. The real program commits
//! them, commits them again unchanged, checks them out, checks, converts and prunes; the kernel says what it
//! needed at most.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::measure::{Cost, measure};
use crate::sh;

/// Files in a directory, and directories in one above.
const FAN_OUT: u64 = 100;
const MEGABYTE: u64 = 1_000_000;

/// Options of `cargo xtask memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct MemoryArgs {
    /// How many files the trees have, smallest first
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    files: Vec<u64>,
    /// The repository's mode
    #[arg(long, default_value = "bare-user")]
    mode: String,
    /// The repository's format
    #[arg(long, default_value = "native")]
    format: String,
    /// Fail if a verb needs more than so many megabytes
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// Fail if a verb needs more than so many bytes for each file that the largest tree has more than the smallest
    #[arg(long, default_value_t = 300)]
    growth: u64,
    /// Where to work; needs about 12 KB for each file
    #[arg(long, default_value = "/var/tmp")]
    work: PathBuf,
    /// Use this program in place of building one
    #[arg(long)]
    sapwood: Option<PathBuf>,
}

/// What a verb cost with each of the trees.
struct Row {
    verb: &'static str,
    costs: Vec<Cost>,
}

/// Makes the trees, runs the verbs, prints the table.
pub(crate) fn run(args: &MemoryArgs) -> Result<()> {
    ensure!(!args.files.is_empty() && args.files.is_sorted(), "--files: smallest first");
    judge(args, &measure_all(args, &sh::sapwood(args.sapwood.as_deref(), sh::Profile::Release)?)?)
}

/// As [`run`], with trees that are made in seconds, and the program that the tests have built.
pub(crate) fn ci() -> Result<()> {
    let folder = crate::ci::scratch_folder("memory")?;
    let args = MemoryArgs {
        files: vec![5_000, 30_000],
        mode: "bare-user".to_owned(),
        format: "native".to_owned(),
        limit: 100,
        growth: 400,
        work: folder.path().to_owned(),
        sapwood: None,
    };
    judge(&args, &measure_all(&args, &sh::sapwood(None, sh::Profile::Debug)?)?)
}

fn measure_all(args: &MemoryArgs, sapwood: &Path) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for files in &args.files {
        let folder = tempfile::Builder::new().prefix("sapwood-memory-").tempdir_in(&args.work)?;
        eprintln!("making {files} files …");
        make_tree(&folder.path().join("tree"), *files)?;
        for (verb, line) in verbs(args) {
            let mut command = Command::new(sapwood);
            command.args(line.split_whitespace()).current_dir(folder.path());
            eprintln!("{verb} …");
            let cost = measure(&command).with_context(|| format!("{verb} with {files} files"))?;
            match rows.iter_mut().find(|row| row.verb == verb) {
                Some(row) => row.costs.push(cost),
                None => rows.push(Row { verb, costs: vec![cost] }),
            }
        }
    }
    Ok(rows)
}

/// Prints what was measured, and fails if it is too much.
fn judge(args: &MemoryArgs, rows: &[Row]) -> Result<()> {
    print(args, rows);
    for Row { verb, costs } in rows {
        let most = costs.iter().map(|cost| cost.peak_bytes).max().unwrap_or(0);
        ensure!(most <= args.limit * MEGABYTE, "{verb}: more than {} MB were needed", args.limit);
        let growth = slope(&args.files, costs).unwrap_or(0);
        ensure!(growth <= args.growth, "{verb}: {growth} B were needed for each further file");
    }
    Ok(())
}

/// The verbs, in this order, with their command lines.
fn verbs(args: &MemoryArgs) -> Vec<(&'static str, String)> {
    let MemoryArgs { mode, format, .. } = args;
    let other = if format == "native" { "ostree" } else { "native" };
    [
        ("init", format!("init --repo r --format={format} --mode={mode}")),
        ("commit, fresh", "commit --repo r -b main tree".to_owned()),
        ("commit, unchanged", "commit --repo r -b main tree".to_owned()),
        ("checkout", "checkout --repo r -U main out".to_owned()),
        ("fsck", "fsck --repo r".to_owned()),
        ("prune, all is needed", "prune --repo r --refs-only".to_owned()),
        ("init of the other format", format!("init --repo other --format={other} --mode={mode}")),
        ("convert to the other format", "convert --repo other --from r".to_owned()),
        ("refs --delete", "refs --repo r --delete main".to_owned()),
        ("prune, nothing is needed", "prune --repo r --refs-only".to_owned()),
    ]
    .to_vec()
}

/// A tree of so many files of some 20 bytes.
fn make_tree(root: &Path, files: u64) -> Result<()> {
    for dir in 0..files.div_ceil(FAN_OUT) {
        let path = root.join(format!("d{:03}/d{:02}", dir / FAN_OUT, dir % FAN_OUT));
        std::fs::create_dir_all(&path)?;
        for file in dir * FAN_OUT..files.min((dir + 1) * FAN_OUT) {
            std::fs::write(path.join(format!("f{:02}", file % FAN_OUT)), format!("the file {file}\n"))?;
        }
    }
    Ok(())
}

fn print(args: &MemoryArgs, rows: &[Row]) {
    let heads: Vec<String> = args.files.iter().map(|files| format!(" {files} files |")).collect();
    let heads = heads.concat();
    println!("Peak memory and wall time; {} format, mode {}.\n", args.format, args.mode);
    println!("| operation |{heads} a file more |");
    println!("|---|{}---|", "---|".repeat(args.files.len()));
    for row in rows.iter().filter(|row| row.verb != "init") {
        let cells = row.costs.iter().map(|cost| {
            format!(" {} MB, {:.1} s |", cost.peak_bytes.div_ceil(MEGABYTE), cost.wall.as_secs_f64())
        });
        println!(
            "| {} |{} {} |",
            row.verb,
            cells.collect::<Vec<_>>().concat(),
            slope(&args.files, &row.costs).map_or_else(|| "-".to_owned(), |bytes| format!("{bytes} B"))
        );
    }
}

/// Bytes for each file that the largest tree has more than the smallest.
fn slope(files: &[u64], costs: &[Cost]) -> Option<u64> {
    let ((few, most), (small, large)) = (files.first().zip(files.last())?, costs.first().zip(costs.last())?);
    large.peak_bytes.saturating_sub(small.peak_bytes).checked_div(most - few)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_as_many_files_as_were_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        make_tree(folder.path(), 250).expect("made");
        let found = sh::output(Command::new("find").arg(folder.path()).args(["-type", "f"])).expect("listed");
        assert_eq!(found.lines().count(), 250);
    }

    #[test]
    fn the_slope_is_bytes_for_each_file_more() {
        let cost = |peak_bytes| Cost { peak_bytes, ..Cost::default() };
        assert_eq!(slope(&[100, 1100], &[cost(5000), cost(9000)]), Some(4));
        assert_eq!(slope(&[100, 1100], &[cost(9000), cost(5000)]), Some(0));
        assert_eq!(slope(&[100], &[cost(9000)]), None);
    }
}
