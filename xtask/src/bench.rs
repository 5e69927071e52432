//! `cargo xtask bench`: our program beside the real `ostree`, on the same tree in the same run.
//!
//! Machines differ and are busy, so only ratios within a run mean something. Therefore the contenders take turns
//! within each operation, the disk is synced before each start, and the medians of several rounds are compared. What
//! the programs compare is equal too: the same tree, storage mode and options, and one web server for all pulls.
//! Nothing is deleted before the end: a file system that has just freed many inodes makes new ones slowly for a while.

mod table;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sapwood_testkit::{Gnupg, Ostree};

use crate::measure::{Cost, measure};
use crate::server::Server;
use crate::sh;

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
    /// Commit the next tree onto the same branch
    CommitNext,
    /// List what differs between the two commits
    Diff,
    /// Delete the first commit and what only it needs
    Prune,
    /// Commit the tree into an empty repository of compressed objects
    CommitArchive,
    /// Pull the commit over loopback into an empty repository
    Pull,
    /// The same where commit and summary must be signed with GPG, and beside it where nothing is verified
    PullVerified,
    /// Deploy the tree on an empty machine
    Deploy,
    /// Deploy the next tree beside it
    DeployNext,
    /// List the two deployments
    Status,
}

impl Operation {
    const ALL: [Self; 13] = [
        Self::CommitBare,
        Self::CommitUnchanged,
        Self::Checkout,
        Self::Fsck,
        Self::CommitNext,
        Self::Diff,
        Self::Prune,
        Self::CommitArchive,
        Self::Pull,
        Self::PullVerified,
        Self::Deploy,
        Self::DeployNext,
        Self::Status,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::CommitBare => "commit, bare, fresh",
            Self::CommitUnchanged => "commit, bare, unchanged tree",
            Self::Checkout => "checkout by hard links",
            Self::Fsck => "fsck, bare",
            Self::CommitNext => "commit of the next tree, bare",
            Self::Diff => "diff of the two commits",
            Self::Prune => "prune of the first commit",
            Self::CommitArchive => "commit, archive, fresh",
            Self::Pull => "initial pull, loopback",
            Self::PullVerified => "initial pull, commit and summary verified",
            Self::Deploy => "admin deploy of the tree",
            Self::DeployNext => "admin deploy of the next tree",
            Self::Status => "admin status of the two",
        }
    }

    /// Whether it needs a second tree.
    fn needs_next(self) -> bool {
        matches!(self, Self::CommitNext | Self::Diff | Self::Prune) || self.needs_kernel()
    }

    /// Whether the trees have to be operating systems that boot.
    fn needs_kernel(self) -> bool {
        matches!(self, Self::Deploy | Self::DeployNext | Self::Status)
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

/// A key of GPG.
struct Owner {
    gpg: Gnupg,
    key: String,
    /// The file of its public half.
    public: PathBuf,
}

impl Owner {
    fn new(folder: &Path) -> Result<Option<Self>> {
        let Some(gpg) = Gnupg::new()? else { return Ok(None) };
        let key = gpg.make("Owner <owner@example.org>", "rsa3072", "never", &[])?;
        let public = folder.join("owner.gpg");
        std::fs::write(&public, gpg.public(None)?)?;
        Ok(Some(Self { gpg, key, public }))
    }

    /// Signs the commit and the summary of an archive.
    fn sign(&self, who: &Contender, repo: &Path) -> Result<()> {
        let home = format!("--gpg-homedir={}", self.gpg.home().display());
        let commit = sh::output(&mut who.command(&["rev-parse", &at(repo), "bench"]))?;
        let key = format!("--gpg-sign={}", self.key);
        sh::output(&mut who.command(&["gpg-sign", &at(repo), &home, commit.trim(), &self.key]))?;
        sh::output(&mut who.command(&["summary", &at(repo), "--update", &home, &key]))?;
        Ok(())
    }

    /// The options of `remote add` that ask for both signatures.
    fn trust(&self) -> [String; 2] {
        [format!("--gpg-import={}", self.public.display()), "--set=gpg-verify-summary=true".to_owned()]
    }
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
            Operation::Pull => self.pull(who, "pulled", round, servers, &["--no-gpg-verify".to_owned()]),
            Operation::PullVerified => {
                let owner = self.owner.as_ref().context("gpg is not installed")?;
                self.pull(who, "verified", round, servers, &owner.trust())
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
        }
    }

    /// Pulls into a new repository, from a remote that was added with these options.
    fn pull(
        &self,
        who: &Contender,
        kind: &str,
        round: usize,
        servers: &Servers,
        trust: &[String],
    ) -> Result<Cost> {
        let into = self.made(who, kind, round);
        who.init(&into, self.bare_mode)?;
        let url = servers.get(who.format.unwrap_or("ostree")).context("no server runs")?.url();
        sh::output(who.command(&["remote", "add", &at(&into)]).args(trust).args(["origin", &url]))?;
        timed(&who.command(&["pull", &at(&into), "origin", "bench"]))
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
            Operation::Pull | Operation::PullVerified => contenders.iter().try_for_each(|who| {
                let repo = self.made(who, "archive", 0);
                if !repo.exists() {
                    who.init(&repo, "archive")?;
                    sh::output(&mut self.commit(who, &repo, &self.tree))?;
                }
                match &self.owner {
                    Some(owner) if operation == Operation::PullVerified => owner.sign(who, &repo),
                    _ => Ok(()),
                }
            }),
            _ => Ok(()),
        }
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
        let pulls = matches!(operation, Operation::Pull | Operation::PullVerified);
        let servers = if pulls { bench.serve(&contenders, &ours)? } else { Servers::new() };
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
                let plain = || {
                    bench.pull(
                        &contenders[who],
                        "unverified",
                        round,
                        &servers,
                        &["--no-gpg-verify".to_owned()],
                    )
                };
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
