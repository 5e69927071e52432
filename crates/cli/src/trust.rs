//! From what a remote's configuration says about signatures to the policy that a pull checks.

use crate::connect::summary_cache;
use crate::ctx::read_file;
use crate::report::usage;
use anyhow::Context as _;
use sapwood_objstore::{Commit, Id, ObjectId};
use sapwood_repo::sign::gpg::{Keyring, METADATA_KEY, Report};
use sapwood_repo::sign::{
    self, ENGINES, MAX_KEY_FILE_BYTES, Mechanism, Policy, SignError, Verifier, signatures,
};
use sapwood_repo::{Remote, Repo};
use sapwood_transport::{Age, Freshness, SummaryCache};
use std::path::{Path, PathBuf};

/// Where trusted keys are that count for every remote: for GPG, and (as `trusted.ENGINE` and the like) for the others.
const GPG_DIR: &str = "/usr/share/ostree/trusted.gpg.d";
pub(crate) const KEY_DIRS: [&str; 2] = ["/etc/ostree", "/usr/share/ostree"];
/// Largest keyring, in bytes.
pub(crate) const MAX_KEYRING_BYTES: u64 = 64 << 20;

/// What the command line asks for, beyond the configuration.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) gpg: Option<bool>,
    pub(crate) gpg_summary: Option<bool>,
    pub(crate) sign: Option<bool>,
    pub(crate) sign_summary: Option<bool>,
}

impl Asked {
    /// Whether anything is asked for.
    pub(crate) fn is_any(self) -> bool {
        [self.gpg, self.gpg_summary, self.sign, self.sign_summary].contains(&Some(true))
    }
}

/// What a pull from a remote must satisfy, and where its summary is kept.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) policy: Policy,
    pub(crate) freshness: Option<Freshness>,
    pub(crate) summary_cache: Option<SummaryCache>,
}

impl Terms {
    /// How old commits may be where the command line does not say: what must be the newest takes no ref back.
    pub(crate) fn age(&self) -> Age {
        if self.freshness.is_some() { Age::Forward } else { Age::Any }
    }
}

/// The key of a remote's configuration that has the id of the key set that is trusted.
const ROOT: &str = "trust-root";

/// What proves that a remote's state is its newest, if it must be proven.
pub(crate) fn freshness(repo: &Repo, remote: &Remote) -> anyhow::Result<Option<Freshness>> {
    let Some(root) = remote.option(ROOT) else { return Ok(None) };
    let root = ObjectId::from_hex(root.trim()).with_context(|| {
        format!("remote {}: {ROOT} is {root:?}, and must be the id of a key set", remote.name)
    })?;
    Ok(Some(Freshness::of(repo, remote.name.clone(), *root.as_bytes())?))
}

/// The terms of a remote; its summary is kept in `cache_dir`, or else in the repository.
pub(crate) fn terms(repo: &Repo, remote: &Remote, cache_dir: Option<&Path>) -> anyhow::Result<Terms> {
    let policy = policy(repo, remote, Asked::default())?;
    let freshness = freshness(repo, remote)?;
    Ok(Terms { policy, freshness, summary_cache: summary_cache(repo, remote, cache_dir)? })
}

/// The policy of a remote.
pub(crate) fn policy(repo: &Repo, remote: &Remote, asked: Asked) -> anyhow::Result<Policy> {
    let mut policy = Policy::default();
    let threshold = match remote.option("verify-threshold") {
        Some(text) => text.trim().parse().ok().filter(|count| *count > 0).with_context(|| {
            format!("remote {}: verify-threshold is {text:?}, and must be a number above 0", remote.name)
        })?,
        None => 1,
    };
    let gpg = |option| -> anyhow::Result<Mechanism> {
        let engines: Vec<Box<dyn Verifier>> = vec![Box::new(keyring(repo, remote)?)];
        Ok(Mechanism { name: "GPG", option, engines, threshold })
    };
    let sign = |option: &'static str, which: Engines| -> anyhow::Result<Mechanism> {
        Ok(Mechanism { name: "Signature", option, engines: engines(remote, &which)?, threshold })
    };
    // Where the publishers of the repository vouch for its state, GPG is asked for by name only.
    let gpg_default = remote.option(ROOT).is_none();
    if asked.gpg.map_or_else(|| verifies(remote, "gpg-verify", gpg_default), Ok)? {
        policy.commit.push(gpg("gpg-verify")?);
    }
    if asked.gpg_summary.map_or_else(|| verifies(remote, "gpg-verify-summary", false), Ok)? {
        policy.summary.push(gpg("gpg-verify-summary")?);
    }
    if let Some(names) = engine_names(remote, "sign-verify", asked.sign)? {
        policy.commit.push(sign("sign-verify", names)?);
    }
    if let Some(names) = engine_names(remote, "sign-verify-summary", asked.sign_summary)? {
        policy.summary.push(sign("sign-verify-summary", names)?);
    }
    Ok(policy)
}

/// Whether a key asks for verification. What is no boolean must not pass for "no".
fn verifies(remote: &Remote, option: &str, default: bool) -> anyhow::Result<bool> {
    match remote.option(option) {
        Some(text) if remote.flag(option, true) != remote.flag(option, false) => {
            anyhow::bail!("remote {}: {option} is {text:?}, and must be true or false", remote.name)
        }
        _ => Ok(remote.flag(option, default)),
    }
}

/// Which engines verify.
enum Engines {
    /// Those that have trusted keys, of all there are.
    WithKeys,
    /// These; that one has no keys is an error.
    Named(Vec<String>),
}

/// The engines that a key asks for: none, all, or a list.
fn engine_names(remote: &Remote, key: &str, asked: Option<bool>) -> anyhow::Result<Option<Engines>> {
    let all = || Some(Engines::WithKeys);
    match (asked, remote.option(key).map(str::trim)) {
        (None, Some("")) => anyhow::bail!(
            "remote {}: {key} is empty, and must be true, false, or a list of signature types",
            remote.name
        ),
        (Some(false), _) | (None, None | Some("false" | "0" | "no")) => Ok(None),
        (Some(true), None | Some("" | "false" | "0" | "no")) | (_, Some("true" | "1" | "yes")) => Ok(all()),
        (_, Some(list)) => {
            let names: Vec<String> = list
                .split([';', ','])
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            match names.iter().find(|name| !ENGINES.contains(&name.as_str())) {
                Some(name) => Err(SignError::UnknownEngine { name: name.clone() }.into()),
                None => Ok(Some(Engines::Named(names))),
            }
        }
    }
}

/// The engines with their trusted keys. That there are no keys at all is an error: nothing could ever pass.
fn engines(remote: &Remote, which: &Engines) -> anyhow::Result<Vec<Box<dyn Verifier>>> {
    let names: Vec<&str> = match which {
        Engines::WithKeys => ENGINES.to_vec(),
        Engines::Named(names) => names.iter().map(String::as_str).collect(),
    };
    let mut found: Vec<Box<dyn Verifier>> = Vec::new();
    for name in names.iter().copied() {
        let mut trusted = Vec::new();
        let mut revoked = Vec::new();
        let key = remote.option(&format!("verification-{name}-key"));
        let file = remote.option(&format!("verification-{name}-file"));
        if let Some(key) = key {
            trusted.push(key.replace("\\n", "\n"));
        }
        if let Some(path) = file {
            trusted.extend(keys_of_file(name, Path::new(path))?);
        }
        for dir in KEY_DIRS {
            // Keys of the machine count where the remote has none of its own; revocations always.
            if key.is_none() && file.is_none() {
                trusted.extend(trusted_below(name, Path::new(dir))?);
            }
            revoked.extend(revoked_below(name, Path::new(dir))?);
        }
        match sign::verifier(name, &trusted, &revoked) {
            Ok(engine) => found.push(engine),
            Err(error @ (SignError::NoKeys { .. } | SignError::UnknownEngine { .. }))
                if matches!(which, Engines::WithKeys) =>
            {
                tracing::debug!(%error, "this engine verifies nothing");
            }
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_empty() {
        return Err(usage(format!(
            "remote {}: sign-verify is set, and there is no key to verify with: No keys found for signapi types {}",
            remote.name,
            names.join(", ")
        )));
    }
    Ok(found)
}

/// The keys in a file.
pub(crate) fn keys_of_file(engine: &str, path: &Path) -> anyhow::Result<Vec<String>> {
    let text = read_file(path, MAX_KEY_FILE_BYTES)?;
    Ok(sign::keys_in(engine, &String::from_utf8_lossy(&text)))
}

/// The keys in `trusted.ENGINE` and in the files of `trusted.ENGINE.d`, of those that are there.
pub(crate) fn trusted_below(engine: &str, dir: &Path) -> anyhow::Result<Vec<String>> {
    let file = dir.join(format!("trusted.{engine}"));
    let mut files = files_of(&dir.join(format!("trusted.{engine}.d")))?;
    if file.try_exists().with_context(|| file.display().to_string())? {
        files.insert(0, file);
    }
    let keys = files.iter().map(|path| keys_of_file(engine, path)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(keys.concat())
}

/// The keys in `revoked.ENGINE` and in the files of `revoked.ENGINE.d`. What is there and cannot be read, as a link that leads
/// nowhere, is an error, and so is a key that is not understood: to leave it out would be to trust it.
pub(crate) fn revoked_below(engine: &str, dir: &Path) -> anyhow::Result<Vec<String>> {
    let (file, folder) = (dir.join(format!("revoked.{engine}")), dir.join(format!("revoked.{engine}.d")));
    let mut files = Vec::new();
    if is_there(&file)? {
        files.push(file);
    }
    if is_there(&folder)? {
        files.extend(paths_in(&folder)?);
    }
    let mut revoked = Vec::new();
    for path in files {
        let text = read_file(&path, MAX_KEY_FILE_BYTES)?;
        let text = String::from_utf8_lossy(&text);
        let keys = sign::keys_in(engine, &text);
        let blocks = text.matches("-----BEGIN ").count();
        if (keys.is_empty() && !text.trim().is_empty()) || (blocks > 0 && blocks != keys.len()) {
            anyhow::bail!("{}: holds what is no key, and revoked keys must be known", path.display());
        }
        revoked.extend(keys);
    }
    Ok(revoked)
}

/// Whether there is anything of this name, be it a link that leads nowhere.
fn is_there(path: &Path) -> anyhow::Result<bool> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        other => other.map(|_| true).with_context(|| path.display().to_string()),
    }
}

/// The regular files of a directory, sorted; none if there is no such directory.
fn files_of(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.try_exists().with_context(|| path.display().to_string())? || !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = paths_in(path)?;
    files.retain(|path| path.is_file());
    Ok(files)
}

/// All that is in a directory, sorted.
fn paths_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = sapwood_fsio::entries(&crate::ctx::open_dir(dir)?)?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| dir.join(entry.name)).collect();
    paths.sort();
    Ok(paths)
}

/// The GPG keys that are trusted for a remote: its own, or else those of the machine, and those of `gpgkeypath`.
pub(crate) fn keyring(repo: &Repo, remote: &Remote) -> anyhow::Result<Keyring> {
    let mut keyring = own_keyring(repo, remote)?;
    if repo.remote_keyring(&remote.name)?.is_none() {
        add_global(&mut keyring)?;
    }
    for path in key_paths(remote.option("gpgkeypath").unwrap_or_default())? {
        let path = Path::new(path);
        // Here, a name that leads nowhere is an error: what is named is what is trusted.
        if path.metadata().with_context(|| format!("Using gpgkeypath ({})", path.display()))?.is_dir() {
            add_dir(&mut keyring, path)?;
        } else {
            add_file(&mut keyring, path)?;
        }
    }
    Ok(keyring)
}

/// The GPG keys that a remote has of its own.
pub(crate) fn own_keyring(repo: &Repo, remote: &Remote) -> anyhow::Result<Keyring> {
    let mut keyring = Keyring::default();
    if let Some(bytes) = repo.remote_keyring(&remote.name)?.filter(|bytes| !bytes.is_empty()) {
        keyring.add(&bytes).with_context(|| format!("{}.trustedkeys.gpg", remote.name))?;
    }
    Ok(keyring)
}

/// The paths of a list, which has `,` or `;` between them, and may have one at its end.
fn key_paths(list: &str) -> anyhow::Result<Vec<&str>> {
    let separator = match (list.contains(','), list.contains(';')) {
        (true, true) => {
            return Err(usage(format!("gpgkeypath={list}: key value list contains more than one separator")));
        }
        (true, false) => ',',
        _ => ';',
    };
    let list = list.strip_suffix(separator).unwrap_or(list);
    Ok(if list.is_empty() { Vec::new() } else { list.split(separator).map(str::trim).collect() })
}

/// Adds the machine's keys: those of `$OSTREE_GPG_HOME` if it is set.
pub(crate) fn add_global(keyring: &mut Keyring) -> anyhow::Result<()> {
    let dir = crate::ctx::variable("OSTREE_GPG_HOME").unwrap_or_else(|| PathBuf::from(GPG_DIR));
    add_dir(keyring, &dir)
}

/// Adds the keys of all `.gpg` and `.asc` files of a directory. One that is something else is passed over, with a warning; one that
/// cannot be read is an error, as it may revoke a key.
pub(crate) fn add_dir(keyring: &mut Keyring, dir: &Path) -> anyhow::Result<()> {
    for path in files_of(dir)? {
        if !path.extension().is_some_and(|name| name == "gpg" || name == "asc") {
            continue;
        }
        if let Err(error) = keyring.add(&read_file(&path, MAX_KEYRING_BYTES)?) {
            crate::ui::warn(&format!("no keys are taken from {}: {error}", path.display()));
        }
    }
    Ok(())
}

/// Adds the keys of a file.
pub(crate) fn add_file(keyring: &mut Keyring, path: &Path) -> anyhow::Result<()> {
    keyring.add(&read_file(path, MAX_KEYRING_BYTES)?).with_context(|| path.display().to_string())?;
    Ok(())
}

/// What is to be said of each GPG signature of a commit, by the keys in a ring, which is made only where it has some.
pub(crate) fn reports(
    repo: &Repo,
    id: Id<Commit>,
    keyring: impl FnOnce() -> anyhow::Result<Keyring>,
) -> anyhow::Result<Vec<Report>> {
    let Some(beside) = repo.store().detached(id)? else { return Ok(Vec::new()) };
    let list = signatures(&beside, METADATA_KEY);
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let keyring = keyring()?;
    let bytes = repo.store().load_bytes(id.name())?;
    Ok(list.iter().flat_map(|blob| keyring.verify(&bytes, blob)).collect())
}
