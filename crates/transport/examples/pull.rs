//! Pulls a ref into a repository, which is made if there is none: `pull URL REF DIR [native] [MODE]`.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for people")]

use cap_std::{ambient_authority, fs::Dir};
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{CreateOptions, RemoteName, Repo};
use sapwood_transport::{HttpOptions, HttpRemote, PullOptions, RefsInto, Wanted, pull};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, name, dir, rest @ ..] = args.as_slice() else {
        return Err("usage: pull URL REF DIR [native] [MODE]".into());
    };
    let format = if rest.iter().any(|arg| arg == "native") { Format::Native } else { Format::Ostree };
    let mode = rest.iter().find_map(|arg| Mode::parse(arg)).unwrap_or(Mode::BareUser);
    std::fs::create_dir_all(dir)?;
    let dir = Dir::open_ambient_dir(dir, ambient_authority())?;
    let repo = Repo::create(&dir, &CreateOptions { format, mode, collection_id: None })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let remote = Arc::new(HttpRemote::new(url, HttpOptions::default())?);
    let requests = std::env::var("REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(32);
    let options = PullOptions {
        wanted: vec![Wanted::parse(name)?],
        into: RefsInto::Remote(RemoteName::new("origin")?),
        requests,
        ..Default::default()
    };
    let outcome = pull(runtime.handle(), &repo, remote, &[], &options, &|_event| {})?;
    println!(
        "{} metadata objects and {} files, {} bytes in {} requests",
        outcome.meta_fetched, outcome.files_fetched, outcome.bytes_received, outcome.requests
    );
    Ok(())
}
