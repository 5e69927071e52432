//! `remote add-cookie`, `delete-cookie` and `list-cookies`: the cookies that a remote is sent.

use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::Render;
use sapwood_repo::Repo;
use sapwood_transport::{Cookie, CookieJar};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a new cookie lives: 25 years, as in OSTree.
const LIFETIME_SECONDS: u64 = 25 * 365 * 24 * 60 * 60;

/// Add a cookie that is sent to a remote
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    which: Which,
    /// What it holds
    #[arg(value_name = "VALUE")]
    value: String,
}

/// Remove a cookie of a remote
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    which: Which,
    /// Accepted; the name tells cookies apart
    #[arg(value_name = "VALUE", hide = true)]
    value: Option<String>,
}

/// List the cookies of a remote
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The remote
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The remote
    #[arg(value_name = "NAME")]
    remote: String,
    /// The host that it is for
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// What the path of a request must begin with
    #[arg(value_name = "PATH")]
    path: String,
    /// What it is called
    #[arg(value_name = "COOKIE_NAME")]
    cookie: String,
}

impl Which {
    fn is(&self, cookie: &Cookie) -> bool {
        (&cookie.domain, &cookie.path, &cookie.name) == (&self.domain, &self.path, &self.cookie)
    }
}

/// The cookies that there are now; their values are told only where they were asked for.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    remote: String,
    cookies: Vec<Shown>,
    #[serde(skip)]
    list: bool,
}

#[derive(Debug, serde::Serialize)]
struct Shown {
    domain: String,
    path: String,
    name: String,
    secure: bool,
    expires: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Outcome {
    fn new(remote: &str, jar: CookieJar, list: bool) -> Self {
        let shown = |cookie: Cookie| Shown {
            domain: cookie.domain,
            path: cookie.path,
            name: cookie.name,
            secure: cookie.secure,
            expires: cookie.expires,
            value: list.then_some(cookie.value),
        };
        Self { remote: remote.to_owned(), cookies: jar.cookies.into_iter().map(shown).collect(), list }
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for cookie in self.cookies.iter().filter(|_| self.list) {
            let Shown { domain, path, name, secure, expires, value } = cookie;
            let value = value.as_deref().unwrap_or_default();
            let secure = if *secure { "yes" } else { "no" };
            writeln!(out, "--\nDomain: {domain}\nPath: {path}\nName: {name}\nSecure: {secure}")?;
            writeln!(out, "Expires: {}\nValue: {value}", crate::time::utc(*expires))?;
        }
        Ok(())
    }
}

/// The cookies of a remote; none if nobody set any.
pub(crate) fn read(repo: &Repo, remote: &str) -> anyhow::Result<CookieJar> {
    let bytes = sapwood_fsio::read_optional(repo.dir(), file(remote), CookieJar::MAX_BYTES)?;
    Ok(bytes.map(|bytes| CookieJar::parse(&bytes)).transpose()?.unwrap_or_default())
}

fn write(repo: &Repo, remote: &str, jar: &CookieJar) -> anyhow::Result<()> {
    // They are secrets, so not for everyone to read.
    Ok(sapwood_fsio::replace(repo.dir(), file(remote), 0o600, jar.to_text()?.as_bytes())?)
}

fn file(remote: &str) -> String {
    format!("{remote}.cookies.txt")
}

pub(crate) fn add(args: &AddArgs, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let remote = repo.remote(&args.which.remote)?.name;
    let mut jar = read(&repo, remote.as_str())?;
    jar.cookies.retain(|cookie| !args.which.is(cookie));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    jar.cookies.push(Cookie {
        domain: args.which.domain.clone(),
        subdomains: false,
        path: args.which.path.clone(),
        secure: false,
        expires: now + LIFETIME_SECONDS,
        name: args.which.cookie.clone(),
        value: args.value.clone(),
    });
    write(&repo, remote.as_str(), &jar)?;
    Ok(Outcome::new(remote.as_str(), jar, false))
}

pub(crate) fn delete(args: &DeleteArgs, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let remote = repo.remote(&args.which.remote)?.name;
    let mut jar = read(&repo, remote.as_str())?;
    let before = jar.cookies.len();
    jar.cookies.retain(|cookie| !args.which.is(cookie));
    if jar.cookies.len() == before {
        return Err(usage("Cookie not found in jar"));
    }
    write(&repo, remote.as_str(), &jar)?;
    Ok(Outcome::new(remote.as_str(), jar, false))
}

pub(crate) fn list(args: &ListArgs, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let remote = repo.remote(&args.name)?.name;
    Ok(Outcome::new(remote.as_str(), read(&repo, remote.as_str())?, true))
}
