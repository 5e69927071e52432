//! `cargo xtask torture`: kills the real program at random moments and looks at what is left.
//!
//! A pull into an empty machine and an upgrade of an installed one are killed by SIGKILL, each many times. After every
//! kill the repository must verify, the branch must name nothing or a whole commit, and what boots must be the old
//! set of deployments or the new one, complete. Then the same command, run again, must succeed. A pull that goes on in
//! the same boot fetches again at most what was under way; every other one goes on as if the machine had been booted
//! since, and then must leave nothing of what the boot before had staged. Crashes at every single write, which chance cannot
//! promise, are what the tests with fault injection are for.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sapwood_testkit::Random;

use crate::lab::{self, BRANCH, Format, Lab, MACHINE, MACHINE_REPO, SERVER, Versions, repo};
use crate::relay::Relay;
use crate::server::Server;
use crate::sh;

/// Options of `cargo xtask torture`.
#[derive(Debug, clap::Args)]
pub(crate) struct TortureArgs {
    /// Real root filesystems in place of the built-in one: the old version and the new one, or one alone
    #[arg(long, value_name = "DIR[,DIR2]", value_delimiter = ',')]
    tree: Vec<PathBuf>,
    /// Kill only this
    #[arg(long, value_enum)]
    only: Option<Victim>,
    /// How often each of pull and upgrade is killed
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// The repository format
    #[arg(long, value_enum, default_value_t = Format::Native)]
    format: Format,
    /// Decides the moments; a run that failed can be repeated, as far as the machine's speed repeats
    #[arg(long)]
    seed: Option<u64>,
    /// Where to work; needs room for about five times the tree
    #[arg(long)]
    work: Option<PathBuf>,
    /// Use this program in place of building one
    #[arg(long)]
    sapwood: Option<PathBuf>,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Victim {
    /// A pull into an empty machine
    Pull,
    /// An upgrade of an installed machine
    Upgrade,
}

/// The objects among what was asked for, but commits: those are never taken over from a run that was killed.
fn objects_of(asked: Vec<String>) -> HashSet<String> {
    asked.into_iter().filter(|path| path.contains("/objects/") && !path.contains(".commit")).collect()
}

/// Runs both kinds of kills.
pub(crate) fn run(args: &TortureArgs) -> Result<()> {
    let sapwood = sh::sapwood(args.sapwood.as_deref(), sh::Profile::Release)?;
    let mut named = tempfile::Builder::new();
    named.prefix("sapwood-torture-");
    let folder = match &args.work {
        Some(work) => named.tempdir_in(work)?,
        None => named.tempdir()?,
    };
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let lab = Lab::new(sapwood, folder.path().to_path_buf(), args.format);
    let versions = if args.tree.is_empty() {
        Versions::built_in(&lab.folder)?
    } else {
        Versions::given(&args.tree, &lab.folder)?
    };
    sh::output(&mut lab.init_server()?)?;
    let mut torture = Torture { lab, random: Random::new(seed), kills: args.kills };
    let old = torture.commit(&versions, 0)?;
    let server = Server::start(&torture.lab.folder.join(SERVER), torture.lab.sapwood())?;
    if args.only != Some(Victim::Upgrade) {
        torture.pulls(&server, &old)?;
    }
    if args.only != Some(Victim::Pull) {
        torture.upgrades(&server.url(), &old, &versions)?;
    }
    Ok(())
}

struct Torture {
    lab: Lab,
    random: Random,
    kills: usize,
}

/// Requests that a pull has under way at once.
const REQUESTS: usize = 128;

/// Has a command take the machine for one that was booted for the `boot`th time.
fn booted(mut command: Command, boot: usize) -> Command {
    command.env("OSTREE_BOOTID", format!("boot-{boot}"));
    command
}

/// How a killed run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    /// It was done before its moment came.
    Finished,
}

impl Torture {
    fn commit(&self, versions: &Versions, which: usize) -> Result<String> {
        sh::output(&mut self.lab.commit(&versions.trees[which], &versions.names[which]))?;
        Ok(sh::output(&mut self.lab.command(&["rev-parse", &repo(SERVER), BRANCH]))?.trim().to_owned())
    }

    /// A machine with an empty repository, in place of what was there.
    fn new_machine(&self, url: &str) -> Result<()> {
        let machine = self.lab.folder.join(MACHINE);
        if machine.exists() {
            std::fs::remove_dir_all(&machine)?;
        }
        sh::output(&mut self.lab.init_machine()?)?;
        sh::output(&mut self.lab.admin(&["os-init", lab::OS]))?;
        sh::output(&mut self.lab.add_remote(url))?;
        Ok(())
    }

    /// Runs the command and kills it at some moment of the time that it takes undisturbed.
    fn kill_within(&mut self, command: &mut Command, whole: Duration) -> Result<(Duration, End)> {
        let millis = usize::try_from(whole.as_millis()).unwrap_or(usize::MAX);
        let moment = Duration::from_millis(u64::try_from(self.random.below(millis.max(1)))?);
        let said = self.lab.folder.join("said");
        let stderr = std::fs::File::create(&said)?;
        let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().context("starting it")?;
        std::thread::sleep(moment);
        // Ended already is an end like the other.
        drop(child.kill());
        let status = child.wait()?;
        ensure!(
            status.success() || status.code().is_none(),
            "it failed before it was killed ({status}, after at most {} ms): {}",
            moment.as_millis(),
            std::fs::read_to_string(&said)?.trim()
        );
        Ok((moment, if status.success() { End::Finished } else { End::Killed }))
    }

    /// The commit that the machine's repository has for the branch.
    fn pulled(&self) -> Option<String> {
        let branch = format!("origin:{BRANCH}");
        let id = sh::output(&mut self.lab.command(&["rev-parse", &repo(MACHINE_REPO), &branch]));
        id.ok().map(|id| id.trim().to_owned())
    }

    fn verify(&self) -> Result<()> {
        sh::output(&mut self.lab.fsck(MACHINE_REPO)).context("what was left does not verify").map(drop)
    }

    fn pulls(&mut self, server: &Server, commit: &str) -> Result<()> {
        let relay = Relay::start(server.port()?, None)?;
        let url = &relay.url();
        self.new_machine(url)?;
        let start = Instant::now();
        sh::output(&mut self.lab.pull())?;
        let whole = start.elapsed();
        let objects = objects_of(relay.take_asked());
        println!("pull: {:.2} s undisturbed, {} objects but commits", whole.as_secs_f64(), objects.len());
        let (mut killed, mut most_again, mut most_kept) = (0, 0, 0);
        for round in 1..=self.kills {
            self.new_machine(url)?;
            relay.take_asked();
            let (moment, end) = self.kill_within(&mut booted(self.lab.pull(), 1), whole)?;
            let at = || format!("pull {round}, {end:?} after {} ms", moment.as_millis());
            self.verify().with_context(at)?;
            let left = self.pulled();
            ensure!(left.as_deref().is_none_or(|id| id == commit), "{}: the branch is {left:?}", at());
            let before = objects_of(relay.take_asked());
            let is_same_boot = round % 2 == 1;
            let mut retry = booted(self.lab.pull(), if is_same_boot { 1 } else { 2 });
            sh::output(&mut retry).with_context(at).context("the retry failed")?;
            let again = objects_of(relay.take_asked()).intersection(&before).count();
            if is_same_boot {
                ensure!(again <= REQUESTS, "{}: {again} objects were asked for again", at());
                (most_again, most_kept) = (most_again.max(again), most_kept.max(before.len() - again));
            }
            let staged = self.staged()?;
            ensure!(staged.is_empty(), "{}: the retry left {staged:?}", at());
            self.verify().with_context(at).context("after the retry")?;
            ensure!(self.pulled().as_deref() == Some(commit), "{}: the retry left another commit", at());
            println!(
                "{}: sound ({}), retry {} sound, {again} of {} objects asked for again",
                at(),
                if left.is_some() { "pulled" } else { "not pulled" },
                if is_same_boot { "in the same boot" } else { "after a boot" },
                before.len(),
            );
            killed += usize::from(end == End::Killed);
        }
        println!("pull: {killed} of {} kills hit it running; all sound", self.kills);
        println!(
            "pull: in the same boot at most {most_again} objects came again, of at most {most_kept} kept"
        );
        Ok(())
    }

    /// What is staged in the machine's repository.
    fn staged(&self) -> Result<Vec<PathBuf>> {
        let mut staged = Vec::new();
        for entry in std::fs::read_dir(self.lab.folder.join(MACHINE_REPO).join("tmp"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("staging-") && entry.file_type()?.is_dir() {
                staged.push(entry.path());
            }
        }
        Ok(staged)
    }

    fn upgrades(&mut self, url: &str, old: &str, versions: &Versions) -> Result<()> {
        self.new_machine(url)?;
        sh::output(&mut self.lab.pull())?;
        sh::output(&mut self.lab.deploy())?;
        let before = self.lab.boots()?;
        ensure!(before.len() == 1 && before[0].starts_with(old), "the machine boots {before:?}");
        let note = self.lab.deployment(&before[0]).join("etc/torture-note");
        std::fs::write(&note, "the administrator's\n")?;
        let new = self.commit(versions, 1)?;

        let start = Instant::now();
        sh::output(&mut self.lab.upgrade())?;
        let whole = start.elapsed();
        println!("upgrade: {:.2} s undisturbed", whole.as_secs_f64());
        let mut killed = 0;
        for round in 1..=self.kills {
            self.forget_upgrade()?;
            ensure!(self.lab.boots()? == before, "the way back left {:?}", self.lab.boots()?);
            let (moment, end) = self.kill_within(&mut self.lab.upgrade(), whole)?;
            let at = || format!("upgrade {round}, {end:?} after {} ms", moment.as_millis());
            self.verify().with_context(at)?;
            let boots = self.lab.boots().with_context(at)?;
            let is_new = boots.len() == 2 && boots[0].starts_with(&new) && boots[1] == before[0];
            ensure!(boots == before || is_new, "{}: boots {boots:?}", at());
            sh::output(&mut self.lab.admin(&["status"])).with_context(at)?;
            if is_new {
                self.noted(&boots[0]).with_context(at)?;
            }
            let retry = self.lab.upgrade().output().with_context(at)?;
            // 77: there is nothing to upgrade.
            ensure!(
                retry.status.success() || (is_new && retry.status.code() == Some(77)),
                "{}: the retry failed: {}",
                at(),
                String::from_utf8_lossy(&retry.stderr).trim()
            );
            let after = self.lab.boots().with_context(at)?;
            ensure!(after.len() == 2 && after[0].starts_with(&new), "{}: the retry left {after:?}", at());
            self.noted(&after[0]).with_context(at)?;
            self.verify().with_context(at).context("after the retry")?;
            println!("{}: sound (boots the {}), retry sound", at(), if is_new { "new" } else { "old" });
            killed += usize::from(end == End::Killed);
        }
        println!("upgrade: {killed} of {} kills hit it running; all sound", self.kills);
        Ok(())
    }

    /// The administrator's file is in the new deployment.
    fn noted(&self, deployment: &str) -> Result<()> {
        let note = self.lab.deployment(deployment).join("etc/torture-note");
        ensure!(note.exists(), "the administrator's file is missing in {deployment}");
        Ok(())
    }

    /// Makes the machine as it was before the upgrade: without the deployment, the branch, and the new objects.
    fn forget_upgrade(&self) -> Result<()> {
        sh::output(&mut self.lab.admin(&["undeploy", "0"]))?;
        let branch = format!("origin:{BRANCH}");
        sh::output(&mut self.lab.command(&["refs", &repo(MACHINE_REPO), "--delete", &branch]))?;
        sh::output(&mut self.lab.command(&["prune", &repo(MACHINE_REPO), "--refs-only"]))?;
        Ok(())
    }
}
