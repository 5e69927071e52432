//! `serve`: a static web server for the repository.

mod watch;

use super::summary::Publishing;
use crate::connect::{MAX_PEM_BYTES, runtime};
use crate::ctx::{Ctx, open_dir, open_parent, read_file};
use crate::report::usage;
use crate::ui;
use anyhow::Context as _;
use sapwood_objstore::Mode;
use sapwood_transport::{Access, ServeOptions, ServerTls, serve};
use serde_json::json;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use watch::Watch;

/// Serve the repository over HTTP until interrupted
///
/// The first line that is printed is its address. Meant for tests and small sites: any web server can serve the
/// directory of an archive repository as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port; 0 is any free one
    #[arg(long, short = 'p', default_value_t = 8080)]
    port: u16,
    /// The address to listen at
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// A file into which the port is written once it is open
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// The certificate to serve with over TLS, and those above it, in a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve only clients that show a certificate signed by one of those in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Write the summary anew, and sign it with the keys given, when refs have moved
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    publishing: Publishing,
    /// Print each request on standard error
    #[arg(long)]
    log: bool,
}

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<u8> {
    let path = ctx.repo_path()?;
    let repo = crate::ctx::open_repo_at(&path)?;
    if repo.store().mode() != Mode::Archive {
        ui::warn("only archive repositories can be pulled from over HTTP");
    }
    if args.publishing.signs() && !args.watch {
        return Err(usage("keys are of use with --watch alone"));
    }
    let watch = Watch { repo: &repo, publishing: &args.publishing };
    if args.watch {
        watch.begin()?;
    }
    let dir = open_dir(&path)?;
    let mut options = ServeOptions::default();
    if args.log {
        options.on_access = Some(Arc::new(|access: &Access| {
            ui::complain(&format!(
                "{} {} {} {} {}",
                access.peer, access.method, access.path, access.status, access.body_bytes
            ));
        }));
    }
    options.tls = tls(args)?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    allow_many_connections();
    let address = SocketAddr::new(args.bind, args.port);
    let serving = async {
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen at {address}"))?;
        let port = listener.local_addr()?.port();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        if let Some(path) = &args.port_file {
            let (parent, name) = open_parent(path)?;
            sapwood_fsio::replace(&parent, name, 0o644, format!("{port}\n").as_bytes())?;
        }
        announce(scheme, SocketAddr::new(args.bind, port), ctx.json)?;
        let shutdown = async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        };
        serve(dir, listener, options, shutdown).await;
        Ok(0)
    };
    let runtime = runtime()?;
    std::thread::scope(|scope| {
        // It ends when the sender is dropped.
        let (_goes_on, stop) = std::sync::mpsc::channel();
        if args.watch {
            scope.spawn(move || watch.go_on(&stop));
        }
        runtime.block_on(serving)
    })
}

/// Takes as many descriptors as this process may have: each connection is one.
fn allow_many_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "there will be fewer connections");
    }
}

/// What proves to clients who this is.
fn tls(args: &Args) -> anyhow::Result<Option<ServerTls>> {
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let read = |path: &PathBuf| read_file(path, MAX_PEM_BYTES);
    let clients = args.tls_client_ca.as_ref().map(read).transpose()?;
    let tls = ServerTls::new(&read(certificate)?, &read(key)?, clients.as_deref());
    tls.with_context(|| format!("{} cannot be served with", certificate.display())).map(Some)
}

fn announce(scheme: &str, address: SocketAddr, as_json: bool) -> io::Result<()> {
    let url = format!("{scheme}://{address}/");
    let mut out = io::stdout().lock();
    if as_json {
        ui::json::write(&json!({ "url": url, "port": address.port() }), &mut out)
    } else {
        writeln!(out, "{url}")?;
        out.flush()
    }
}
