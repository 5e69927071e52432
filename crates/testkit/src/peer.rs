//! The real programs that ours are compared with.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Looks a program up in PATH and where administrators' programs are.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The real `ostree`.
#[derive(Debug, Clone)]
pub struct Ostree {
    program: PathBuf,
}

impl Ostree {
    /// Finds it, where it is installed.
    pub fn find() -> Option<Self> {
        find("ostree").map(|program| Self { program })
    }

    /// A command that runs it, free of the caller's settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("LC_ALL", "C.UTF-8").env_remove("OSTREE_REPO").env_remove("OSTREE_SYSROOT");
        command.env_remove("http_proxy").env_remove("https_proxy").env_remove("all_proxy");
        command
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = self.command();
        command.args(args);
        let out = command.output().with_context(|| format!("running {command:?}"))?;
        ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
        Ok(String::from_utf8(out.stdout)?)
    }
}

/// A running nginx that serves a folder on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    port: u16,
    scheme: &'static str,
    _folder: tempfile::TempDir,
}

/// What nginx does beyond serving a folder over HTTP/1.1, as sites have it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NginxOptions<'a> {
    /// Files of a certificate and its key (PEM): it speaks TLS, and HTTP/2 over it.
    pub tls: Option<(&'a Path, &'a Path)>,
    /// Whether it compresses all that it sends, for who takes that.
    pub gzip: bool,
    /// What it answers instead of 404, with 200, as if that were the file.
    pub apology: Option<&'a str>,
    /// The address of another server that it asks.
    pub behind: Option<&'a str>,
}

impl Nginx {
    /// Starts one that serves `root`; `None` where nginx is not installed.
    ///
    /// # Errors
    /// When it is there and does not start.
    pub fn serve(root: &Path) -> Result<Option<Self>> {
        Self::serve_with(root, NginxOptions::default())
    }

    /// The same with more options.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_with(root: &Path, options: NginxOptions<'_>) -> Result<Option<Self>> {
        let Some(program) = find("nginx") else { return Ok(None) };
        let mut last = None;
        // Another process may take the port between our looking and nginx's opening it.
        for _ in 0..5 {
            match Self::start(&program, root, options) {
                Ok(running) => return Ok(Some(running)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("nginx did not start")))
    }

    fn start(program: &Path, root: &Path, options: NginxOptions<'_>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let own = folder.path().display();
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {own}/{kind};"))
            .join(" ");
        let (protocols, scheme) = match options.tls {
            None => (";".to_owned(), "http"),
            Some((certificate, key)) => {
                let (certificate, key) = (certificate.display(), key.display());
                (format!(" ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};"), "https")
            }
        };
        let gzip =
            if options.gzip { "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;" } else { "" };
        let apology = match options.apology {
            Some(text) => {
                std::fs::write(folder.path().join("apology"), text)?;
                format!("error_page 404 =200 /apology; location = /apology {{ internal; root {own}; }}")
            }
            None => String::new(),
        };
        let behind = options
            .behind
            .map(|other| format!("location / {{ proxy_pass {other}; proxy_http_version 1.1; }}"));
        let behind = behind.unwrap_or_default();
        let config = format!(
            "daemon off; {user} worker_processes 2; pid {own}/pid; error_log {own}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 100000; {temporary} {gzip}\n\
             server {{ listen 127.0.0.1:{port}{protocols} root \"{}\"; {apology} {behind} }} }}\n",
            root.display()
        );
        let config_path = folder.path().join("nginx.conf");
        std::fs::write(&config_path, config)?;
        let mut child = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config_path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting nginx")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
                bail!("nginx ended ({status}): {}", log.trim());
            }
            ensure!(Instant::now() < deadline, "nginx did not answer within 10 seconds");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { child, port, scheme, _folder: folder })
    }

    /// Where it answers: `http://127.0.0.1:PORT`, or `https` over TLS.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked politely it ends its workers too.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
            && rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok()
        {
            let _ended = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn nginx_serves_the_folder_and_ends_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("greeting"), "hello").unwrap();
        let Some(nginx) = Nginx::serve(folder.path()).unwrap() else {
            return crate::skipped("nginx is not installed");
        };
        let port = nginx.port;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(b"GET /greeting HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        drop(nginx);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }

    #[test]
    fn the_real_ostree_is_found_where_it_is_installed() {
        let Some(ostree) = Ostree::find() else { return crate::skipped("the real ostree is not installed") };
        assert!(ostree.run(["--version"]).unwrap().contains("libostree"));
    }
}
