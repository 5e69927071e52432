//! Pulls: from whom, over which line, signed by whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sapwood_testkit::Gnupg;

use super::operation::Operation;
use super::{Bench, Contender, at, timed};
use crate::measure::Cost;
use crate::relay::Relay;
use crate::server::Server;
use crate::sh;

/// A server and the line to it, if there is one.
pub(super) struct Served {
    server: Server,
    line: Option<Relay>,
    /// The commit of the first tree.
    first: String,
}

/// The running servers by format.
pub(super) type Servers = BTreeMap<&'static str, Served>;

/// A key of GPG.
pub(super) struct Owner {
    gpg: Gnupg,
    key: String,
    /// The file of its public half.
    public: PathBuf,
}

impl Owner {
    pub(super) fn new(folder: &Path) -> Result<Option<Self>> {
        let Some(gpg) = Gnupg::new()? else { return Ok(None) };
        let key = gpg.make("Owner <owner@example.org>", "rsa3072", "never", &[])?;
        let public = folder.join("owner.gpg");
        std::fs::write(&public, gpg.public(None)?)?;
        Ok(Some(Self { gpg, key, public }))
    }

    /// Signs the commit and the summary of an archive.
    pub(super) fn sign(&self, who: &Contender, repo: &Path) -> Result<()> {
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
    /// The archive of a contender, with the tree, and maybe the next after it; made where it is not there.
    pub(super) fn archive(&self, who: &Contender, with_next: bool) -> Result<PathBuf> {
        let repo = self.made(who, if with_next { "archive-next" } else { "archive" }, 0);
        if !repo.exists() {
            who.init(&repo, "archive")?;
            sh::output(&mut self.commit(who, &repo, &self.tree))?;
            if with_next {
                sh::output(&mut self.commit(who, &repo, self.next.as_deref().context("no --next")?))?;
            }
            // As a site has it: what it says beside the commits saves round trips.
            sh::output(&mut who.command(&["summary", &at(&repo), "--update"]))?;
        }
        Ok(repo)
    }

    /// One server per format, over an archive that the format's reference contender made.
    pub(super) fn serve(
        &self,
        operation: Operation,
        contenders: &[Contender],
        ours: &Path,
    ) -> Result<Servers> {
        let mut servers = Servers::new();
        for (format, who) in [("ostree", &contenders[0]), ("native", &contenders[2])] {
            let repo = self.archive(who, operation.is_update())?;
            let server = Server::start(&repo, ours)?;
            println!("{}: pulls of the {format} format come from {}", operation.title(), server.name());
            let first = if operation.is_update() { "bench^" } else { "bench" };
            let first = sh::output(&mut who.command(&["rev-parse", &at(&repo), first]))?.trim().to_owned();
            let port = server.port()?;
            let line = operation.line().map(|line| Relay::start(port, Some(line))).transpose()?;
            servers.insert(format, Served { server, line, first });
        }
        Ok(servers)
    }

    /// Pulls as the operation says.
    pub(super) fn pull(
        &self,
        operation: Operation,
        who: &Contender,
        round: usize,
        servers: &Servers,
    ) -> Result<Cost> {
        let into = self.made(who, &format!("{operation:?}"), round);
        if operation == Operation::PullVerified {
            let owner = self.owner.as_ref().context("gpg is not installed")?;
            return self.pull_into(&into, who, servers, &owner.trust(), false);
        }
        self.pull_into(&into, who, servers, &[UNVERIFIED.to_owned()], operation.is_update())
    }

    /// Pulls what is signed without looking at that.
    pub(super) fn pull_unverified(&self, who: &Contender, round: usize, servers: &Servers) -> Result<Cost> {
        let into = self.made(who, "unverified", round);
        self.pull_into(&into, who, servers, &[UNVERIFIED.to_owned()], false)
    }

    /// Pulls into a new repository, from a remote that was added with these options; maybe one that has the first tree.
    fn pull_into(
        &self,
        into: &Path,
        who: &Contender,
        servers: &Servers,
        trust: &[String],
        has_first: bool,
    ) -> Result<Cost> {
        let Served { server, line, first } =
            servers.get(who.format.unwrap_or("ostree")).context("no server runs")?;
        who.init(into, self.bare_mode)?;
        let url = line.as_ref().map_or_else(|| server.url(), Relay::url);
        sh::output(who.command(&["remote", "add", &at(into)]).args(trust).args(["origin", &url]))?;
        if has_first {
            let directly = format!("--url={}", server.url());
            let first = format!("bench@{first}");
            sh::output(&mut who.command(&["pull", &at(into), &directly, "origin", &first]))?;
        }
        let pull = who.command(&["pull", &at(into), "origin", "bench"]);
        let Some(line) = line else { return timed(&pull) };
        line.take();
        let mut cost = timed(&pull)?;
        cost.traffic = Some(line.take());
        drop(line.take_asked());
        Ok(cost)
    }
}

/// The option of `remote add` that asks for no signatures.
const UNVERIFIED: &str = "--no-gpg-verify";
