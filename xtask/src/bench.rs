//! `cargo xtask bench`: our program beside the real `ostree`, on the same tree in the same run.
//!
//! Machines differ and are busy, so only ratios within a run mean something. Therefore the contenders take turns
//! within each operation, the disk is synced before each start, and the medians of several rounds are compared. What
//! the programs compare is equal too: the same tree, storage mode and options, and one web server for all pulls.
//! Nothing is deleted before the end: a file system that has just freed many inodes makes new ones slowly for a while.

mod operation;
mod pulls;
mod table;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sapwood_testkit::Ostree;

use crate::measure::{Cost, measure};
use crate::sh;
use operation::Operation;
use pulls::{Owner, Servers};

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// The tree to measure with, such as a root filesystem
    #[arg(long, env = "SAPWOOD_BENCH_TREE")]
    tree: PathBuf,
    /// A later state of the tree, for what is measured with two
    #[arg(long)]
    next: Option<PathBuf>,
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

fn on(machine: &Path) -> String {
    format!("--sysroot={}", machine.display())
}

fn deploy(who: &Contender, machine: &Path, revision: &str) -> Command {
    who.command(&["admin", "deploy", &on(machine), "--os=os", revision])
}

/// Whether a tree is an operating system with a kernel to boot.
fn has_kernel(tree: &Path) -> bool {
    let modules = std::fs::read_dir(tree.join("usr/lib/modules")).into_iter().flatten().flatten();
    modules.into_iter().any(|version| version.path().join("vmlinuz").is_file())
}

/// One run of the benchmark.
struct Bench {
    work: PathBuf,
    tree: PathBuf,
    next: Option<PathBuf>,
    /// The mode that keeps files as they are, and what `commit` needs there.
    bare_mode: &'static str,
    commit_options: Vec<&'static str>,
    /// The repositories that have the next tree, too.
    with_next: RefCell<BTreeSet<PathBuf>>,
    /// Who signs; `None` where `gpg` is not installed.
    owner: Option<Owner>,
}

impl Bench {
    /// What a contender makes in a round. Operations that need something made use that of the first round.
    fn made(&self, who: &Contender, kind: &str, round: usize) -> PathBuf {
        self.work.join(format!("{}-{kind}-{round}", who.name.replace([' ', ','], "-")))
    }

    fn commit(&self, who: &Contender, repo: &Path, tree: &Path) -> Command {
        let tree = format!("--tree=dir={}", tree.display());
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
        match operation {
            Operation::CommitBare | Operation::CommitArchive => {
                let (kind, mode) = if operation == Operation::CommitBare {
                    ("bare", self.bare_mode)
                } else {
                    ("archive", "archive")
                };
                let repo = self.made(who, kind, round);
                who.init(&repo, mode)?;
                timed(&self.commit(who, &repo, &self.tree))
            }
            Operation::CommitUnchanged => timed(&self.commit(who, &self.bare(who, 0)?, &self.tree)),
            Operation::Fsck => timed(&who.command(&["fsck", &at(&self.bare(who, 0)?), "--quiet"])),
            Operation::Checkout => timed(&self.checkout(who, &self.made(who, "out", round))?),
            Operation::CommitNext => {
                let repo = self.bare(who, round)?;
                self.with_next.borrow_mut().insert(repo.clone());
                timed(&self.commit(who, &repo, self.next.as_deref().context("no --next")?))
            }
            Operation::Diff => timed(&who.command(&["diff", &at(&self.both(who, 0)?), "bench^", "bench"])),
            Operation::Prune => {
                let repo = self.both(who, round)?;
                timed(&who.command(&["prune", &at(&repo), "--refs-only", "--depth=0"]))
            }
            Operation::Deploy => timed(&deploy(who, &self.machine(who, round)?, "bench^")),
            Operation::DeployNext => {
                let machine = self.machine(who, round)?;
                if !machine.join("boot/loader").exists() {
                    sh::output(&mut deploy(who, &machine, "bench^"))?;
                }
                timed(&deploy(who, &machine, "bench"))
            }
            Operation::Status => {
                let machine = self.machine(who, 0)?;
                timed(&who.command(&["admin", "status", &on(&machine)]))
            }
            _ => self.pull(operation, who, round, servers),
        }
    }

    /// The machine of a round, whose repository has both trees.
    fn machine(&self, who: &Contender, round: usize) -> Result<PathBuf> {
        let machine = self.made(who, "machine", round);
        if machine.exists() {
            return Ok(machine);
        }
        let from = self.both(who, 0)?;
        std::fs::create_dir_all(&machine)?;
        let mut init = who.command(&["admin", "init-fs"]);
        init.arg(&machine);
        if let Some(format) = who.format {
            init.args([format!("--format={format}"), format!("--mode={}", self.bare_mode)]);
        }
        sh::output(&mut init)?;
        sh::output(&mut who.command(&["admin", "os-init", &on(&machine), "os"]))?;
        let into = at(&machine.join("ostree/repo"));
        let mut pull = who.command(&["pull-local", &into, "--depth=1"]);
        sh::output(pull.arg(&from).arg("bench"))?;
        Ok(machine)
    }

    fn checkout(&self, who: &Contender, to: &Path) -> Result<Command> {
        let repo = self.bare(who, 0)?;
        let mut command = who.command(&["checkout", &at(&repo), "--require-hardlinks", "bench"]);
        if self.bare_mode != "bare" {
            command.arg("--user-mode");
        }
        command.arg(to);
        Ok(command)
    }

    /// What linking the files of a checkout costs without any program of ours.
    fn copy_links(&self, who: &Contender, round: usize) -> Result<Cost> {
        let from = self.made(who, "linked", 0);
        if !from.exists() {
            sh::output(&mut self.checkout(who, &from)?)?;
        }
        let mut command = Command::new("cp");
        timed(command.arg("-al").arg(from).arg(self.work.join(format!("cp-al-{round}"))))
    }

    /// The repository of a round that keeps files as they are, with the tree; made, where `--only` left that out.
    fn bare(&self, who: &Contender, round: usize) -> Result<PathBuf> {
        let repo = self.made(who, "bare", round);
        if !repo.exists() {
            who.init(&repo, self.bare_mode)?;
            sh::output(&mut self.commit(who, &repo, &self.tree))?;
        }
        Ok(repo)
    }

    /// The same with the next tree after it.
    fn both(&self, who: &Contender, round: usize) -> Result<PathBuf> {
        let repo = self.bare(who, round)?;
        if self.with_next.borrow_mut().insert(repo.clone()) {
            sh::output(&mut self.commit(who, &repo, self.next.as_deref().context("no --next")?))?;
        }
        Ok(repo)
    }

    /// Warms the cache for what reads a tree.
    fn prepare(&self, operation: Operation, contenders: &[Contender]) -> Result<()> {
        match operation {
            Operation::CommitBare | Operation::CommitArchive => table::read_all(&self.tree),
            Operation::CommitNext => table::read_all(self.next.as_deref().context("no --next")?),
            _ if operation.is_pull() => contenders.iter().try_for_each(|who| {
                let repo = self.archive(who, operation.is_update())?;
                match &self.owner {
                    Some(owner) if operation == Operation::PullVerified => owner.sign(who, &repo),
                    _ => Ok(()),
                }
            }),
            _ => Ok(()),
        }
    }
}

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
        next: args.next.as_ref().map(|next| next.canonicalize()).transpose().context("--next")?,
        with_next: RefCell::default(),
        owner: Owner::new(folder.path())?,
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
        .filter(|operation| args.next.is_some() || !operation.needs_next())
        .filter(|operation| bench.owner.is_some() || *operation != Operation::PullVerified)
        .filter(|operation| !operation.needs_kernel() || (root && has_kernel(&bench.tree)))
        .collect();
    let header =
        table::header(&bench.tree, &contenders[0].command(&["--version"]), bench.bare_mode, args.runs)?;
    println!("{header}");

    let mut rows = Vec::new();
    let mut added = String::new();
    for operation in operations {
        bench.prepare(operation, &contenders)?;
        let servers =
            if operation.is_pull() { bench.serve(operation, &contenders, &ours)? } else { Servers::new() };
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contenders.len()];
        let mut beside = costs.clone();
        let mut floor = Vec::new();
        for round in 0..args.runs {
            // Each round starts with another contender, so that none always follows the same one.
            if operation == Operation::Checkout {
                floor.push(bench.copy_links(&contenders[0], round)?);
            }
            for turn in 0..contenders.len() {
                let who = (round + turn) % contenders.len();
                let name = contenders[who].name;
                let plain = || bench.pull_unverified(&contenders[who], round, &servers);
                // One must be before the other.
                if operation == Operation::PullVerified && round % 2 == 0 {
                    beside[who].push(plain()?);
                }
                let cost = bench
                    .measure(operation, &contenders[who], round, &servers)
                    .with_context(|| format!("{}: {name}", operation.title()))?;
                eprintln!("{}, round {}: {name}: {}", operation.title(), round + 1, table::cell(&cost));
                costs[who].push(cost);
                if operation == Operation::PullVerified && round % 2 == 1 {
                    beside[who].push(plain()?);
                }
            }
        }
        if operation == Operation::PullVerified {
            added = table::added(&contenders.each_ref().map(|who| who.name), &beside, &costs);
            rows.push(("the same, nothing verified", beside));
        }
        rows.push((operation.title(), costs));
        if !floor.is_empty() {
            rows.push(("the same files by `cp -al`", vec![floor]));
        }
    }
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let text = table::render(&names, &rows) + &added;
    println!("{text}");
    if let Some(path) = &args.output {
        std::fs::write(path, format!("{header}\n{text}"))?;
    }
    Ok(())
}
