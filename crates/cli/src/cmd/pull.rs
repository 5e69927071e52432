//! `pull`: brings commits from a remote.

pub(crate) mod plan;

use crate::connect::{self, Overrides, Source};
use crate::ctx::{Ctx, open_repo_at};
use crate::report::{OrUsage, Usage, usage};
use crate::trust::{self, Terms};
use crate::ui::{Render, human};
use sapwood_objstore::Trust;
use sapwood_repo::Repo;
use sapwood_transport::{
    Age, Bindings, Deltas, FileModes, PullOptions, PullOutcome, RefsInto, Scope, Subpath, Wanted,
};
use std::io::{self, Write};
use std::time::Duration;

/// Pull refs, and all they reach, from a remote
///
/// Without refs, those that the remote's configuration names; with --mirror, all. What a pull that was interrupted had
/// fetched is kept for the next one.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Say what would be fetched, and move no ref; metadata that is fetched to find out is kept for the pull
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Fetch commits alone, without what they hold
    #[arg(long)]
    commit_metadata_only: bool,
    /// Set refs of the same names rather than the remote's refs; without names fetch all
    #[arg(long)]
    mirror: bool,
    /// How many parents of each commit are fetched; -1 is all
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    depth: i64,
    /// The address to pull from, instead of the configured one
    #[arg(long)]
    url: Option<String>,
    /// A header that is sent with each request
    #[arg(long, value_name = "NAME=VALUE")]
    http_header: Vec<String>,
    /// What is put behind the name of this program in each request
    #[arg(long, value_name = "TEXT")]
    append_user_agent: Option<String>,
    /// How often a failed request is repeated
    #[arg(long, value_name = "N")]
    network_retries: Option<u32>,
    /// Verify what comes from local repositories too
    #[arg(long)]
    untrusted: bool,
    /// Do not check for which refs commits were made
    #[arg(long)]
    disable_verify_bindings: bool,
    /// Fetch objects one by one, also where a static delta has them
    #[arg(long)]
    disable_static_deltas: bool,
    /// Fail for commits that no static delta leads to from what is here
    #[arg(long)]
    require_static_deltas: bool,
    /// Sync nothing: faster, and a power loss may leave anything
    #[arg(long)]
    disable_fsync: bool,
    /// Sync each file when it is written, rather than all at the end
    #[arg(long)]
    per_object_fsync: bool,
    /// Accepted; everything is verified
    #[arg(long, hide = true)]
    http_trusted: bool,
    /// Keep the summary for the next time here instead of in the repository
    #[arg(long, value_name = "PATH")]
    cache_dir: Option<std::path::PathBuf>,
    /// Fetch only this path and what is below it (may be repeated); the commit stays incomplete
    #[arg(long, value_name = "PATH")]
    subpath: Vec<String>,
    /// Refuse regular files with permission bits outside 0775
    #[arg(long)]
    bareuseronly_files: bool,
    /// Take objects from this repository rather than over the network where it has them (may be repeated)
    #[arg(long, short = 'L', value_name = "REPO")]
    localcache_repo: Vec<std::path::PathBuf>,
    /// Refuse commits that are older than the one the ref points to here
    #[arg(long, short = 'T')]
    timestamp_check: bool,
    /// Refuse commits that are older than this one
    #[arg(long, value_name = "REV")]
    timestamp_check_from_rev: Option<String>,
    /// How often progress is told, in milliseconds; 0 is 1000
    #[arg(long, value_name = "FREQUENCY")]
    update_frequency: Option<u32>,
    /// Give up transfers that are slower than this many bytes a second; 0: only those of which nothing comes
    #[arg(long, value_name = "BYTES")]
    low_speed_limit_bytes: Option<u64>,
    /// For how long a transfer must be that slow, in seconds; 0: only those of which nothing comes for long are given up
    #[arg(long, value_name = "SECONDS")]
    low_speed_time_seconds: Option<u64>,
    /// Receive no more than this many bytes a second; K, M and G are powers of 1024
    #[arg(long, value_name = "RATE", value_parser = connect::parse_rate)]
    limit_rate: Option<std::num::NonZeroU64>,
    /// Repeat no failed request
    #[arg(long)]
    disable_retry_on_network_errors: bool,
    /// How many requests are under way at once
    #[arg(long, value_name = "N")]
    max_outstanding_fetcher_requests: Option<std::num::NonZeroUsize>,
    /// The remote, or REMOTE:REF
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// REF, REF@COMMIT or COMMIT
    #[arg(value_name = "BRANCH")]
    branches: Vec<String>,
}

/// What was pulled.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    refs: Vec<RefUpdate>,
    commits: Vec<String>,
    metadata_fetched: u64,
    content_fetched: u64,
    metadata_cached: u64,
    content_cached: u64,
    delta_parts: u64,
    content_bytes_written: u64,
    bytes_received: u64,
    requests: u64,
    #[serde(skip)]
    seconds: Option<u64>,
}

#[derive(Debug, serde::Serialize)]
struct RefUpdate {
    name: String,
    old: Option<String>,
    new: String,
}

impl Outcome {
    /// From what the pull did; with the time it took if it went over the network.
    pub(crate) fn new(outcome: &PullOutcome, seconds: Option<u64>) -> Self {
        let refs = outcome.refs.iter().map(|update| RefUpdate {
            name: update.name.to_string(),
            old: update.old.map(|id| id.to_hex()),
            new: update.new.to_hex(),
        });
        Self {
            refs: refs.collect(),
            commits: outcome.commits.iter().map(sapwood_objstore::Id::to_hex).collect(),
            metadata_fetched: outcome.meta_fetched,
            content_fetched: outcome.files_fetched,
            metadata_cached: outcome.meta_cached,
            content_cached: outcome.files_cached,
            delta_parts: outcome.delta_parts,
            content_bytes_written: outcome.published.bytes_written,
            bytes_received: outcome.bytes_received,
            requests: outcome.requests,
            seconds,
        }
    }
}

impl Outcome {
    /// Whether nothing came over.
    pub(crate) fn is_empty(&self) -> bool {
        self.refs.iter().all(|update| update.old.as_ref() == Some(&update.new))
            && self.metadata_fetched == 0
            && self.content_fetched == 0
            && self.delta_parts == 0
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { metadata_fetched: meta, content_fetched: files, .. } = self;
        let written = human::size(self.content_bytes_written);
        match self.seconds {
            None => {
                writeln!(out, "{meta} metadata, {files} content objects imported; {written} content written")
            }
            Some(seconds) if self.delta_parts > 0 => writeln!(
                out,
                "{} delta parts, {} loose fetched; {} transferred in {seconds} seconds; {written} content written",
                self.delta_parts,
                meta + files,
                binary_size(self.bytes_received)
            ),
            Some(seconds) => {
                let cached = match (self.metadata_cached, self.content_cached) {
                    (0, 0) => String::new(),
                    (meta, files) => format!(" ({meta} meta, {files} content local)"),
                };
                writeln!(
                    out,
                    "{meta} metadata, {files} content objects fetched{cached}; {} transferred in {seconds} seconds; \
                     {written} content written",
                    binary_size(self.bytes_received)
                )
            }
        }
    }
}

/// A size in powers of 1024 without digits after the point, as OSTree counts what was transferred.
fn binary_size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let fits = units.iter().zip(1..).filter(|(_, power)| bytes >= 1 << (10 * power)).last();
    fits.map_or_else(|| format!("{bytes} B"), |(unit, power)| format!("{} {unit}", bytes >> (10 * power)))
}

/// How many parents: all below 0.
pub(super) fn depth(depth: i64) -> anyhow::Result<Option<u32>> {
    match depth {
        ..0 => Ok(None),
        _ => Ok(Some(u32::try_from(depth).or_usage(|| format!("--depth {depth} is too large"))?)),
    }
}

/// Whether deltas are used.
pub(super) fn deltas(disable: bool, require: bool) -> anyhow::Result<Deltas> {
    match (disable, require) {
        (true, true) => Err(usage("Cannot specify both --disable-static-deltas and --require-static-deltas")),
        (true, false) => Ok(Deltas::Never),
        (false, true) => Ok(Deltas::Require),
        (false, false) => Ok(Deltas::Use),
    }
}

/// All that a pull needs.
struct Ready {
    repo: Repo,
    source: Source,
    caches: Vec<Repo>,
    terms: Terms,
    options: PullOptions,
}

/// Reads the command line and the remote's configuration.
fn prepare(args: &Args, ctx: &Ctx) -> anyhow::Result<Ready> {
    let mut repo = ctx.open_repo()?;
    if args.disable_fsync {
        repo.set_fsync(false);
    }
    if args.per_object_fsync {
        repo.set_per_object_fsync(!args.disable_fsync);
    }
    let (name, first) = match args.remote.split_once(':') {
        Some((name, branch)) => (name, Some(branch.to_owned())),
        None => (args.remote.as_str(), None),
    };
    let remote = repo.remote(name)?;
    connect::refuse_custom_backend(&remote)?;
    let named: Vec<String> = first.into_iter().chain(args.branches.iter().cloned()).collect();
    let branches = match (named.is_empty(), args.mirror) {
        (true, false) if remote.branches.is_empty() => {
            let hint = "name the refs to pull, or pull all with --mirror; `sapwood remote refs` lists them"
                .to_owned();
            return Err(Usage::new(format!("No configured branches for remote {name}"), vec![hint]).into());
        }
        (true, false) => remote.branches.clone(),
        _ => named,
    };
    let terms = trust::terms(&repo, &remote, args.cache_dir.as_deref())?;
    let mut defaults = PullOptions::default();
    if let Some(requests) = args.max_outstanding_fetcher_requests {
        defaults.requests = requests.get();
    }
    if let Some(milliseconds) = args.update_frequency {
        let milliseconds = if milliseconds == 0 { 1000 } else { milliseconds };
        defaults.progress_interval = Duration::from_millis(milliseconds.into());
    }
    let options = PullOptions {
        deltas: deltas(args.disable_static_deltas, args.require_static_deltas)?,
        copy_summary: args.mirror && branches.is_empty(),
        wanted: branches.iter().map(|text| Wanted::parse(text)).collect::<Result<_, _>>()?,
        into: if args.mirror { RefsInto::Mirror } else { RefsInto::Remote(remote.name.clone()) },
        depth: depth(args.depth)?,
        scope: if args.commit_metadata_only { Scope::CommitsOnly } else { Scope::Everything },
        bindings: if args.disable_verify_bindings { Bindings::Ignore } else { Bindings::Check },
        collection: remote.collection_id(),
        trust: if args.untrusted { Trust::Untrusted } else { Trust::Trusted },
        subpaths: args.subpath.iter().map(|path| Subpath::parse(path)).collect::<Result<_, _>>()?,
        age: match &args.timestamp_check_from_rev {
            Some(revision) => Age::NotBefore(repo.resolve(revision)?),
            None if args.timestamp_check => Age::NotBeforeRef,
            None => terms.age(),
        },
        file_modes: if args.bareuseronly_files { FileModes::Plain } else { FileModes::Any },
        ..defaults
    };
    let header = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(usage(format!("Missing '=' in --http-header={text}"))),
    };
    let overrides = Overrides {
        file_by_file: args.require_static_deltas || args.dry_run,
        url: args.url.clone(),
        persona: Some(ctx.persona),
        retries: args.network_retries.or(args.disable_retry_on_network_errors.then_some(0)),
        limit_rate: args.limit_rate,
        min_bytes_per_second: args.low_speed_limit_bytes,
        stall_seconds: args.low_speed_time_seconds,
        user_agent: args.append_user_agent.clone(),
        headers: args.http_header.iter().map(header).collect::<Result<_, _>>()?,
    };
    connect::refuse_unconfigured(&remote)?;
    let source = connect::source(&repo, &remote, &overrides)?;
    let caches = args.localcache_repo.iter().map(|path| open_repo_at(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(Ready { repo, source, caches, terms, options })
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let Ready { repo, source, caches, terms, options } = prepare(args, ctx)?;
    let began = std::time::Instant::now();
    let over_the_network = matches!(source, Source::Files { .. });
    let caches: Vec<_> = caches.iter().collect();
    let outcome = connect::pull_from(ctx, &repo, source, &caches, terms, &options)?;
    Ok(Outcome::new(&outcome, over_the_network.then(|| began.elapsed().as_secs())))
}
