//! `cargo xtask bench`: our program beside the real `ostree`, on the same tree in the same run.
//!
//! Machines differ and are busy, so only ratios within a run mean something. Therefore the contenders take turns
//! within each operation, the disk is synced before each start, and the medians of several rounds are compared. What
//! the programs compare is equal too: the same tree, storage mode and options, and one web server for all pulls.
//! Nothing is deleted before the end: a file system that has just freed many inodes makes new ones slowly for a while.

mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sapwood_testkit::Ostree;

use crate::measure::{Cost, measure};
use crate::server::Server;
use crate::sh;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// The tree to measure with, such as a root filesystem
    #[arg(long, env = "SAPWOOD_BENCH_TREE")]
    tree: PathBuf,
    /// How often each operation is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where to work; needs room for about eight times the tree in each round
    #[arg(long)]
    work: Option<PathBuf>,
    /// Only these operations
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Operation>,
    /// Measure this program in place of the release build
    #[arg(long)]
    sapwood: Option<PathBuf>,
    /// Write the table to this file too
    #[arg(long)]
    output: Option<PathBuf>,
}

/// What is measured, in this order: later ones use what earlier ones left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Operation {
    /// Commit the tree into an empty repository that keeps files as they are
    CommitBare,
    /// Commit the same tree into the same repository again
    CommitUnchanged,
    /// Check the commit out by hard links
    Checkout,
    /// Verify every object
    Fsck,
    /// Commit the tree into an empty repository of compressed objects
    CommitArchive,
    /// Pull the commit over loopback into an empty repository
    Pull,
}

impl Operation {
    const ALL: [Self; 6] = [
        Self::CommitBare,
        Self::CommitUnchanged,
        Self::Checkout,
        Self::Fsck,
        Self::CommitArchive,
        Self::Pull,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::CommitBare => "commit, bare, fresh",
            Self::CommitUnchanged => "commit, bare, unchanged tree",
            Self::Checkout => "checkout by hard links",
            Self::Fsck => "fsck, bare",
            Self::CommitArchive => "commit, archive, fresh",
            Self::Pull => "initial pull, loopback",
        }
    }
}

/// Who is measured.
#[derive(Debug, Clone)]
struct Contender {
    name: &'static str,
    program: Program,
    /// `--format=…` for `init`, where the program has such a thing.
    format: Option<&'static str>,
}

/// How a contender's program is started.
#[derive(Debug, Clone)]
enum Program {
    Peer(Ostree),
    Ours(PathBuf),
}

impl Contender {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.program {
            Program::Peer(ostree) => ostree.command(),
            Program::Ours(path) => Command::new(path),
        };
        command.env_remove("RUST_BACKTRACE").args(args);
        command
    }

    fn init(&self, repo: &Path, mode: &str) -> Result<()> {
        std::fs::create_dir_all(repo)?;
        let mut command = self.command(&["init", &at(repo), &format!("--mode={mode}")]);
        if let Some(format) = self.format {
            command.arg(format!("--format={format}"));
        }
        sh::output(&mut command)?;
        Ok(())
    }
}

fn at(repo: &Path) -> String {
    format!("--repo={}", repo.display())
}

/// One run of the benchmark.
struct Bench {
    work: PathBuf,
    tree: PathBuf,
    /// The mode that keeps files as they are, and what `commit` needs there.
    bare_mode: &'static str,
    commit_options: Vec<&'static str>,
}

impl Bench {
    /// What a contender makes in a round. Operations that need something made use that of the first round.
    fn made(&self, who: &Contender, kind: &str, round: usize) -> PathBuf {
        self.work.join(format!("{}-{kind}-{round}", who.name.replace([' ', ','], "-")))
    }

    fn commit(&self, who: &Contender, repo: &Path) -> Command {
        let tree = format!("--tree=dir={}", self.tree.display());
        let mut command = who.command(&["commit", &at(repo), "--branch=bench", "--subject=bench", &tree]);
        command.args(&self.commit_options);
        command
    }

    /// Prepares the operation and measures it.
    fn measure(
        &self,
        operation: Operation,
        who: &Contender,
        round: usize,
        servers: &Servers,
    ) -> Result<Cost> {
        let bare = self.made(who, "bare", 0);
        match operation {
            Operation::CommitBare | Operation::CommitArchive => {
                let (kind, mode) = self.made_by(operation).context("it makes no repository")?;
                let repo = self.made(who, kind, round);
                who.init(&repo, mode)?;
                timed(&self.commit(who, &repo))
            }
            Operation::CommitUnchanged => timed(&self.commit(who, &bare)),
            Operation::Fsck => timed(&who.command(&["fsck", &at(&bare), "--quiet"])),
            Operation::Checkout => {
                let mut command = who.command(&["checkout", &at(&bare), "--require-hardlinks", "bench"]);
                if self.bare_mode != "bare" {
                    command.arg("--user-mode");
                }
                timed(command.arg(self.made(who, "out", round)))
            }
            Operation::Pull => {
                let into = self.made(who, "pulled", round);
                who.init(&into, self.bare_mode)?;
                let url = servers.get(who.format.unwrap_or("ostree")).context("no server runs")?.url();
                sh::output(&mut who.command(&[
                    "remote",
                    "add",
                    &at(&into),
                    "--no-gpg-verify",
                    "origin",
                    &url,
                ]))?;
                timed(&who.command(&["pull", &at(&into), "origin", "bench"]))
            }
        }
    }

    /// The kind of repository that a commit makes, and its mode.
    fn made_by(&self, operation: Operation) -> Option<(&'static str, &'static str)> {
        match operation {
            Operation::CommitBare => Some(("bare", self.bare_mode)),
            Operation::CommitArchive => Some(("archive", "archive")),
            _ => None,
        }
    }

    /// Makes what an operation starts from, where `--only` left out what would have made it; and warms the cache.
    fn prepare(&self, operation: Operation, contenders: &[Contender]) -> Result<()> {
        let maker = match operation {
            Operation::CommitBare | Operation::CommitArchive => return table::read_all(&self.tree),
            Operation::CommitUnchanged | Operation::Checkout | Operation::Fsck => Operation::CommitBare,
            Operation::Pull => Operation::CommitArchive,
        };
        let (kind, mode) = self.made_by(maker).context("it makes no repository")?;
        for who in contenders {
            let repo = self.made(who, kind, 0);
            if !repo.exists() {
                who.init(&repo, mode)?;
                sh::output(&mut self.commit(who, &repo))?;
            }
        }
        Ok(())
    }

    /// One server per format, over an archive that the format's reference contender made.
    fn serve(&self, contenders: &[Contender], ours: &Path) -> Result<Servers> {
        let mut servers = Servers::new();
        for (format, who) in [("ostree", &contenders[0]), ("native", &contenders[2])] {
            let server = Server::start(&self.made(who, "archive", 0), ours)?;
            println!("pulls of the {format} format come from {}", server.name());
            servers.insert(format, server);
        }
        Ok(servers)
    }
}

/// The running servers by format.
type Servers = BTreeMap<&'static str, Server>;

/// Measures from a quiet disk.
fn timed(command: &Command) -> Result<Cost> {
    rustix::fs::sync();
    measure(command)
}

/// Runs the benchmark and prints its table.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    ensure!(args.runs > 0, "--runs must be at least 1");
    let tree = args.tree.canonicalize().with_context(|| format!("--tree {}", args.tree.display()))?;
    let peer = Ostree::find().context("the real `ostree` is not installed (Debian package `ostree`)")?;
    let ours = sh::sapwood(args.sapwood.as_deref(), sh::Profile::Release)?;
    let root = rustix::process::geteuid().is_root();
    let folder = match &args.work {
        Some(work) => tempfile::Builder::new().prefix("sapwood-bench-").tempdir_in(work)?,
        None => tempfile::Builder::new().prefix("sapwood-bench-").tempdir()?,
    };
    let bench = Bench {
        work: folder.path().to_path_buf(),
        tree,
        bare_mode: if root { "bare" } else { "bare-user" },
        commit_options: if root { vec![] } else { vec!["--owner-uid=0", "--owner-gid=0", "--no-xattrs"] },
    };
    let ours_as =
        |name, format| Contender { name, program: Program::Ours(ours.clone()), format: Some(format) };
    let contenders = [
        Contender { name: "ostree", program: Program::Peer(peer), format: None },
        ours_as("sapwood, ostree format", "ostree"),
        ours_as("sapwood, native format", "native"),
    ];
    let operations: Vec<_> = Operation::ALL
        .into_iter()
        .filter(|operation| args.only.is_empty() || args.only.contains(operation))
        .collect();
    let header =
        table::header(&bench.tree, &contenders[0].command(&["--version"]), bench.bare_mode, args.runs)?;
    println!("{header}");

    let mut rows = Vec::new();
    for operation in operations {
        bench.prepare(operation, &contenders)?;
        let servers =
            if operation == Operation::Pull { bench.serve(&contenders, &ours)? } else { Servers::new() };
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contenders.len()];
        for round in 0..args.runs {
            // Each round starts with another contender, so that none always follows the same one.
            for turn in 0..contenders.len() {
                let who = (round + turn) % contenders.len();
                let name = contenders[who].name;
                let cost = bench
                    .measure(operation, &contenders[who], round, &servers)
                    .with_context(|| format!("{}: {name}", operation.title()))?;
                eprintln!("{}, round {}: {name}: {}", operation.title(), round + 1, table::cell(&cost));
                costs[who].push(cost);
            }
        }
        rows.push((operation.title(), costs));
    }
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let text = table::render(&names, &rows);
    println!("{text}");
    if let Some(path) = &args.output {
        std::fs::write(path, format!("{header}\n{text}"))?;
    }
    Ok(())
}
