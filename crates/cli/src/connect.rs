//! From a configured remote to something that can be pulled from.
//!
//! What a remote's configuration asks for and this version cannot do is refused, never left out: above all a remote
//! whose signatures must be verified.

use crate::args::{OSTREE_VERSION, Persona};
use crate::ctx::{Ctx, open_dir};
use crate::report::Advised;
use crate::ui::human;
use sapwood_repo::{Remote as Configured, Repo};
use sapwood_transport::{
    HttpOptions, HttpRemote, PullEvent, PullOptions, PullOutcome, Remote, SplitRemote, pull, pull_local,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Where to pull from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A server, or whatever else is read file by file.
    Files(Arc<dyn Remote>),
    /// A repository of this machine.
    Local(PathBuf),
}

/// What the command line says about a connection, beyond the configuration.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// Under which name the program runs; our own by default.
    pub(crate) persona: Option<Persona>,
    /// Instead of the remote's address.
    pub(crate) url: Option<String>,
    /// How often a failed request is repeated.
    pub(crate) retries: Option<u32>,
    /// Below this many bytes a second a transfer is given up.
    pub(crate) min_bytes_per_second: Option<u64>,
    /// For how long it must be that slow.
    pub(crate) stall_seconds: Option<u64>,
    /// What is put behind the name of this program.
    pub(crate) user_agent: Option<String>,
    /// Headers sent with each request.
    pub(crate) headers: Vec<(String, String)>,
}

/// Keys of a remote that change how it is talked to, and that this version does not know.
const UNKNOWN_KEYS: &[&str] =
    &["metalink", "proxy", "tls-client-cert-path", "tls-client-key-path", "custom-backend"];

/// Connects to nothing yet, but says what would be.
pub(crate) fn source(remote: &Configured, overrides: &Overrides) -> anyhow::Result<Source> {
    refuse_what_cannot_be_done(remote)?;
    let url = overrides.url.as_deref().unwrap_or(&remote.url);
    if let Some(path) = url.strip_prefix("file://") {
        return Ok(Source::Local(PathBuf::from(path)));
    }
    let meta = http(remote, url, overrides)?;
    let content = match &remote.content_url {
        Some(url) if overrides.url.is_none() => Some(http(remote, url, overrides)?),
        _ => None,
    };
    Ok(Source::Files(match content {
        Some(content) => Arc::new(SplitRemote { meta, content }),
        None => meta,
    }))
}

fn http(remote: &Configured, url: &str, overrides: &Overrides) -> anyhow::Result<Arc<dyn Remote>> {
    if url.starts_with("mirrorlist=") || url.starts_with("metalink=") {
        let hint = format!("`sapwood remote add --force {} URL` names one server", remote.name);
        return Err(unsupported(remote, "lists of mirrors are not supported", hint));
    }
    let mut options = HttpOptions { headers: overrides.headers.clone(), ..HttpOptions::default() };
    if overrides.persona == Some(Persona::Ostree) {
        // Some servers tell their clients apart by it.
        options.user_agent = format!("libostree/{OSTREE_VERSION}");
    }
    if let Some(text) = &overrides.user_agent {
        options.user_agent = format!("{} {text}", options.user_agent);
    }
    if let Some(retries) = overrides.retries {
        options.retries = retries;
    }
    if let Some(limit) = overrides.min_bytes_per_second {
        options.min_bytes_per_second = limit;
    }
    if let Some(seconds) = overrides.stall_seconds {
        options.stall_window = Duration::from_secs(seconds);
    }
    if let Some(path) = remote.option("tls-ca-path") {
        options.ca_certificates = Some(crate::ctx::read_file(path.as_ref(), 16 << 20)?);
    }
    Ok(Arc::new(HttpRemote::new(url, options)?))
}

fn unsupported(remote: &Configured, what: &str, hint: String) -> anyhow::Error {
    Advised { kind: "unsupported", message: format!("remote {}: {what}", remote.name), hint }.into()
}

fn refuse_what_cannot_be_done(remote: &Configured) -> anyhow::Result<()> {
    let name = &remote.name;
    for (key, default) in [("gpg-verify", true), ("gpg-verify-summary", false)] {
        if remote.flag(key, default) {
            let what = format!("{key} asks for GPG signatures, which this version cannot verify");
            let hint = format!(
                "where the server and the way to it are trusted, `sapwood config set 'remote \"{name}\".{key}' false` \
                 pulls without (as `remote add --no-gpg-verify` does)"
            );
            return Err(
                Advised { kind: "cannot-verify", message: format!("remote {name}: {what}"), hint }.into()
            );
        }
    }
    // These may be lists of signature types as well as booleans.
    for key in ["sign-verify", "sign-verify-summary"] {
        if remote.option(key).is_some_and(|value| !matches!(value, "false" | "0" | "no" | "")) {
            let what = format!("{key} asks for signatures, which this version cannot verify");
            let hint = format!(
                "where the server and the way to it are trusted, set remote \"{name}\".{key} to false"
            );
            return Err(
                Advised { kind: "cannot-verify", message: format!("remote {name}: {what}"), hint }.into()
            );
        }
    }
    if remote.flag("tls-permissive", false) {
        let hint = "put the server's certificate authority into a file, and name it in the key tls-ca-path"
            .to_owned();
        return Err(unsupported(remote, "tls-permissive is not supported", hint));
    }
    match UNKNOWN_KEYS.iter().find(|key| remote.option(key).is_some()) {
        Some(key) => {
            let hint = format!("`sapwood config unset 'remote \"{name}\".{key}'` removes it");
            Err(unsupported(remote, &format!("{key} is not supported"), hint))
        }
        None => Ok(()),
    }
}

/// The threads that do the networking.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Pulls with a progress line.
pub(crate) fn pull_from(
    ctx: &Ctx,
    repo: &Repo,
    from: Source,
    caches: &[&Repo],
    options: &PullOptions,
) -> anyhow::Result<PullOutcome> {
    let progress = ctx.progress();
    let on_event = |event: PullEvent<'_>| match event {
        PullEvent::Progress(now) => {
            let objects =
                format!("{}/{} objects", now.meta_done + now.files_done, now.meta_known + now.files_known);
            match (now.content_bytes_done, now.content_bytes_known) {
                (Some(done), Some(known)) if now.totals_final => progress.bytes(objects, done, known),
                _ if now.totals_final => progress.count("files", now.files_done, now.files_known),
                _ => progress.note(format!("{objects}, {} received", human::size(now.bytes_received))),
            }
        }
        PullEvent::Syncing => progress.note("syncing".to_owned()),
        _ => {}
    };
    Ok(match from {
        Source::Files(remote) => pull(runtime()?.handle(), repo, remote, caches, options, &on_event)?,
        Source::Local(path) => pull_local(repo, &crate::ctx::open_repo_at(&path)?, options, &on_event)?,
    })
}

/// A local repository as something to be read file by file: only archives can be.
pub(crate) fn as_files(path: &std::path::Path) -> anyhow::Result<Arc<dyn Remote>> {
    Ok(Arc::new(sapwood_transport::DirRemote::new(open_dir(path)?, path.display().to_string())))
}
