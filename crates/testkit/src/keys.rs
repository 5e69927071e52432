//! Keys made by the programs that people make theirs with: `gpg` and `openssl`.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::peer::find;

/// A home of `gpg` with keys of its own, until it is dropped.
#[derive(Debug)]
pub struct Gnupg {
    home: tempfile::TempDir,
}

impl Gnupg {
    /// An empty one; `None` where `gpg` is not installed.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn new() -> Result<Option<Self>> {
        if find("gpg").is_none() {
            return Ok(None);
        }
        // Sockets of its agent are in it: their paths must be short.
        Ok(Some(Self {
            home: tempfile::Builder::new()
                .prefix("g")
                .permissions(Permissions::from_mode(0o700))
                .tempdir()?,
        }))
    }

    /// Where it is.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs `gpg` with these arguments and this input; gives what it wrote.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Result<Vec<u8>> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(["--batch", "--no-tty", "--quiet", "--yes"]);
        command.args(["--pinentry-mode", "loopback", "--passphrase", ""]).args(args);
        piped(&mut command, input)
    }

    /// Makes a key that signs, of this algorithm (as `ed25519`, `rsa2048`, `nistp256`) and for as long as `expires` says
    /// (`never`, `1d`); gives its fingerprint.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn make(&self, user: &str, algorithm: &str, expires: &str, options: &[&str]) -> Result<String> {
        let make = ["--quick-gen-key", user, algorithm, "sign,cert", expires];
        self.run(options.iter().copied().chain(make), b"")?;
        let listed = self.run(["--with-colons", "--list-keys", "--", user], b"")?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).context("no key was made")?;
        Ok(line.split(':').nth(9).context("no fingerprint")?.to_owned())
    }

    /// The public keys of this owner, or all.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn public(&self, user: Option<&str>) -> Result<Vec<u8>> {
        self.run(["--export"].into_iter().chain(user), b"")
    }

    /// A detached signature.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn sign(&self, key: &str, data: &[u8], options: &[&str]) -> Result<Vec<u8>> {
        let sign = ["--local-user", key, "--detach-sign", "--output", "-"];
        self.run(options.iter().copied().chain(sign), data)
    }

    /// The certificate that was made with a key, by which it can be taken back, armoured.
    ///
    /// # Errors
    /// Where there is none.
    pub fn certificate(&self, fingerprint: &str) -> Result<String> {
        let made = self.home.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        // A colon keeps it from being used by accident.
        Ok(std::fs::read_to_string(made)?.replace(":-----BEGIN", "-----BEGIN"))
    }

    /// Takes a key back, with that certificate.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn revoke(&self, fingerprint: &str) -> Result<()> {
        self.run(["--import"], self.certificate(fingerprint)?.as_bytes()).map(drop)
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        let mut kill = Command::new("gpgconf");
        kill.arg("--homedir").arg(self.home.path()).args(["--kill", "all"]);
        // Without an agent there is none to end.
        drop(kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

/// Runs `openssl`; `None` where it is not installed.
///
/// # Errors
/// When it fails; the error has what it said.
pub fn openssl<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(program) = find("openssl") else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(args);
    piped(&mut command, input).map(Some)
}

/// Runs a command with this input.
fn piped(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {command:?}"))?;
    let stdin = child.stdin.take();
    let output: Output = std::thread::scope(|scope| {
        // What it does not read it has no use for.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input).ok()));
        child.wait_with_output()
    })?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout)
}
