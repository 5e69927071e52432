//! Replicating repositories: remotes, pulling, and a static server.
//!
//! A [`Remote`] is anywhere an archive repository can be read from: [`HttpRemote`] for any web server, [`DirRemote`] for
//! a directory. [`pull`] brings refs and all they reach from a remote into a repository, [`pull_local`] from another
//! repository on this machine in any mode. [`serve`] is a static web server for one repository.
//!
//! What comes from a remote is hostile until proven otherwise: every response has a size limit, every object is hashed
//! before it gets its name, and a ref moves only when all it reaches is on the disk. A pull that is killed at any
//! moment leaves the refs where they were, and the next one goes on where it stopped.
//!
//! ```no_run
//! # use sapwood_transport::{HttpOptions, HttpRemote, PullOptions, Wanted, pull};
//! # use std::sync::Arc;
//! # fn f(repo: &sapwood_repo::Repo) -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
//! let remote = Arc::new(HttpRemote::new("https://os.example.org/repo", HttpOptions::default())?);
//! let options = PullOptions { wanted: vec![Wanted::parse("os/x86_64/stable")?], ..Default::default() };
//! let outcome = pull(runtime.handle(), repo, remote, &[], &options, &|_event| {})?;
//! println!("{} objects, {} bytes", outcome.objects_fetched(), outcome.bytes_received);
//! # Ok(())
//! # }
//! ```

mod date;
mod error;
mod files;
pub mod find;
mod http;
mod local;
mod pull;
mod remote;
mod serve;
mod split;
mod wire;

pub use error::{FetchError, PullError, SummaryProblem, WantedError};
pub use http::{
    ClientCertificate, Cookie, CookieError, CookieJar, HttpOptions, HttpRemote, Metalink, MetalinkError,
    MirrorRemote, MirrorSource, Proxies, ServerCheck, UrlError,
};
pub use local::DirRemote;
pub use pull::{
    Age, Bindings, DeltaPlan, Deltas, FileModes, FilesPlan, Freshness, OnMismatch, Progress, PullEvent,
    PullLimits, PullOptions, PullOutcome, PullPlan, RefUpdate, RefsInto, RemoteSummary, Scope, Subpath,
    SubpathError, SummaryCache, Wanted, plan_pull, pull, pull_local, remote_refs, remote_summary,
};
pub use remote::{Limits, Range, Remote, Response};
pub use serve::{Access, OnAccess, ServeOptions, ServerTls, ServerTlsError, serve};
pub use split::SplitRemote;
