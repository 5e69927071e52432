//! A web server over a repository: nginx where it is installed, else our own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use sapwood_testkit::Nginx;

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) enum Server {
    /// The server most sites run.
    Nginx(Nginx),
    /// `sapwood serve`.
    Ours(Ours),
}

impl Server {
    /// Serves the repository, by nginx if possible.
    pub(crate) fn start(repo: &Path, sapwood: &Path) -> Result<Self> {
        match Nginx::serve(repo)? {
            Some(nginx) => Ok(Self::Nginx(nginx)),
            None => Ok(Self::Ours(Ours::start(repo, sapwood)?)),
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Nginx(nginx) => nginx.url(),
            Self::Ours(ours) => ours.url.clone(),
        }
    }

    /// Its port on this machine.
    pub(crate) fn port(&self) -> Result<u16> {
        port_of(&self.url())
    }

    /// What runs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nginx(_) => "nginx",
            Self::Ours(_) => "`sapwood serve`",
        }
    }
}

/// A running `sapwood serve`.
#[derive(Debug)]
pub(crate) struct Ours {
    child: Child,
    url: String,
}

impl Ours {
    /// The command that [`start`](Self::start) runs.
    pub(crate) fn command(repo: &Path, sapwood: &Path) -> Command {
        let mut command = Command::new(sapwood);
        command.arg("serve").arg(format!("--repo={}", repo.display())).arg("--port=0");
        command
    }

    /// Starts it and reads where it answers from the first line it prints.
    pub(crate) fn start(repo: &Path, sapwood: &Path) -> Result<Self> {
        let mut child =
            Self::command(repo, sapwood).stdout(Stdio::piped()).spawn().context("starting sapwood serve")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("sapwood serve has no output")?;
        let mut lines = BufReader::new(stdout);
        lines.read_line(&mut line)?;
        // What it prints later nobody reads; the pipe must not fill up or break.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        let mut server = Self { child, url: String::new() };
        // Made before it can fail, so that the server ends in any case.
        server.url = url.with_context(|| format!("sapwood serve printed no address: {line:?}"))?;
        Ok(server)
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its port on this machine.
    pub(crate) fn port(&self) -> Result<u16> {
        port_of(&self.url)
    }
}

fn port_of(url: &str) -> Result<u16> {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    port.with_context(|| format!("no port in {url}"))
}

impl Drop for Ours {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ended = self.child.wait();
        }
    }
}
