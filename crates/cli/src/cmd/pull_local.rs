//! `pull-local`: brings commits from another repository of this machine.

use super::pull::{self, Outcome};
use crate::args::Persona;
use crate::connect::{self, Source, pull_from};
use crate::ctx::{Ctx, open_repo_at};
use crate::report::usage;
use crate::trust::{self, Asked, Terms};
use crate::ui::warn;
use sapwood_objstore::Trust;
use sapwood_repo::sign::Policy;
use sapwood_repo::{RemoteName, Repo};
use sapwood_transport::{Bindings, Deltas, FileModes, PullOptions, RefsInto, Scope, Wanted};
use std::path::{Path, PathBuf};

/// Pull refs, and all they reach, from another repository of this machine
///
/// Without refs, all. Files are hardlinked where both repositories' modes and owners allow it.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Fetch commits alone, without what they hold
    #[arg(long)]
    commit_metadata_only: bool,
    /// Set the refs of this remote
    #[arg(long)]
    remote: Option<String>,
    /// How many parents of each commit are fetched; -1 is all
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    depth: i64,
    /// Read and verify everything
    #[arg(long)]
    untrusted: bool,
    /// Do not check for which refs commits were made
    #[arg(long)]
    disable_verify_bindings: bool,
    /// Sync nothing: faster, and a power loss may leave anything
    #[arg(long)]
    disable_fsync: bool,
    /// Sync each file when it is written, rather than all at the end
    #[arg(long)]
    per_object_fsync: bool,
    /// Refuse regular files with permission bits outside 0775
    #[arg(long)]
    bareuseronly_files: bool,
    /// Do not look for static deltas; they are not looked for unless they are required
    #[arg(long)]
    disable_static_deltas: bool,
    /// Fail for commits that no static delta leads to from what is here
    #[arg(long)]
    require_static_deltas: bool,
    /// Require GPG signatures of commits, by keys of --remote
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    gpg_verify: Option<bool>,
    /// Require a GPG signature of the summary, by keys of --remote
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    gpg_verify_summary: Option<bool>,
    /// Require other signatures of commits, by keys of --remote
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sign_verify: Option<bool>,
    /// Require another signature of the summary, by keys of --remote
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sign_verify_summary: Option<bool>,
    /// The repository
    #[arg(value_name = "SRC_REPO")]
    from: PathBuf,
    /// REF, REF@COMMIT or COMMIT
    #[arg(value_name = "REFS")]
    refs: Vec<String>,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut repo = ctx.open_repo()?;
    if args.disable_fsync {
        repo.set_fsync(false);
    }
    if args.per_object_fsync {
        repo.set_per_object_fsync(!args.disable_fsync);
    }
    let options = PullOptions {
        deltas: pull::deltas(args.disable_static_deltas, args.require_static_deltas)?,
        wanted: args.refs.iter().map(|text| Wanted::parse(text)).collect::<Result<_, _>>()?,
        into: match &args.remote {
            Some(name) => RefsInto::Remote(RemoteName::new(name)?),
            None => RefsInto::Heads,
        },
        depth: pull::depth(args.depth)?,
        scope: if args.commit_metadata_only { Scope::CommitsOnly } else { Scope::Everything },
        bindings: if args.disable_verify_bindings { Bindings::Ignore } else { Bindings::Check },
        trust: if args.untrusted { Trust::Untrusted } else { Trust::Trusted },
        file_modes: if args.bareuseronly_files { FileModes::Plain } else { FileModes::Any },
        ..PullOptions::default()
    };
    // Here the command line alone says what is verified, as for OSTree.
    let asked = Asked {
        gpg: Some(args.gpg_verify == Some(true)),
        gpg_summary: Some(args.gpg_verify_summary == Some(true)),
        sign: Some(args.sign_verify == Some(true)),
        sign_summary: Some(args.sign_verify_summary == Some(true)),
    };
    let policy = match &args.remote {
        Some(name) if asked.is_any() => trust::policy(&repo, &repo.remote(name)?, asked)?,
        None if asked.is_any() => {
            return Err(usage("Must specify remote name to enable signature verification"));
        }
        Some(name) if ctx.persona == Persona::Sapwood && !args.says_what_is_verified() => {
            warn_if_closed(&repo, name);
            Policy::default()
        }
        _ => Policy::default(),
    };
    // What was seen of a remote holds for its content on other media, too.
    let freshness = match &args.remote {
        Some(name) => {
            repo.remote(name).ok().map(|remote| trust::freshness(&repo, &remote)).transpose()?.flatten()
        }
        None => None,
    };
    if args.refs.is_empty() && ctx.persona == Persona::Ostree {
        refuse_refs_of_remotes(&args.from)?;
    }
    let terms = Terms { policy, freshness, ..Terms::default() };
    let options = PullOptions { age: terms.age(), ..options };
    // Deltas are files beside objects, so only who reads file by file finds them.
    let source = match options.deltas {
        Deltas::Require => {
            Source::Files { remote: connect::as_files(&args.from)?, max_bytes_per_second: None }
        }
        _ => Source::Local(args.from.clone()),
    };
    Ok(Outcome::new(&pull_from(ctx, &repo, source, &[], terms, &options)?, None))
}

impl Args {
    fn says_what_is_verified(&self) -> bool {
        let said = [self.gpg_verify, self.gpg_verify_summary, self.sign_verify, self.sign_verify_summary];
        said.iter().any(Option::is_some)
    }
}

/// Says that nothing is verified where the remote's configuration asks for it.
fn warn_if_closed(repo: &Repo, name: &str) {
    let Ok(remote) = repo.remote(name) else { return };
    let asks_for_none = |policy: Policy| policy.commit.is_empty() && policy.summary.is_empty();
    if !trust::policy(repo, &remote, Asked::default()).is_ok_and(asks_for_none) {
        warn(&format!(
            "remote {name} asks for signatures, and here nothing is verified unless it is asked for: --gpg-verify, --sign-verify"
        ));
    }
}

/// OSTree takes all refs of the other repository for its own, and fails at the first that is a remote's. Who calls us by its
/// name is told so, too; else what is the other's own is pulled.
fn refuse_refs_of_remotes(from: &Path) -> anyhow::Result<()> {
    let refs = open_repo_at(from)?.refs()?;
    match refs.iter().find(|entry| !entry.name.is_local()) {
        Some(entry) => anyhow::bail!("Invalid ref name {}", entry.name),
        None => Ok(()),
    }
}
