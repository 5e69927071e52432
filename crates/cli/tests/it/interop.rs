//! Both clients pull from both servers: what is fetched is the same, whatever options say what that is, and whatever the server
//! in between does.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Nginx, NginxOptions, Ostree, openssl, skipped};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;

/// What a site says instead of 404, as if it were the file.
const APOLOGY: &str = "<html><body>We are sorry. There is nothing here.</body></html>";

/// Who pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Ours,
    Theirs,
}

/// What a pull left.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    code: i32,
    /// Names of objects, and of refs with where they are.
    files: BTreeSet<String>,
}

struct World {
    place: Place,
    ostree: Ostree,
    pulls: Cell<u32>,
}

impl World {
    fn new(ostree: Ostree) -> Self {
        Self { place: Place::new(), ostree, pulls: Cell::new(0) }
    }

    /// A repository with a history, a second branch and static deltas, made by the real program or by ours.
    fn publish(&self, repo: &str, by: Client, format: &str) -> String {
        let run = |line: &str| match by {
            Client::Ours => self.place.ok(line),
            Client::Theirs => {
                let ran = real(&self.place, &self.ostree, line);
                assert_eq!(ran.code, 0, "{line}: {}", ran.err);
                ran.out
            }
        };
        let of_ours = if by == Client::Ours { format!(" --format={format}") } else { String::new() };
        run(&format!("init --repo={repo} --mode=archive{of_ours}"));
        let tree = self.place.path("t");
        let mut last = String::new();
        for version in 1..=3 {
            fs::create_dir_all(tree.join("usr/lib/deep/er")).unwrap();
            fs::create_dir_all(tree.join("etc")).unwrap();
            fs::write(tree.join("usr/lib/deep/er/same"), "the same in each\n".repeat(500)).unwrap();
            fs::write(tree.join("usr/lib/version"), format!("{version}\n").repeat(3000)).unwrap();
            fs::write(tree.join("etc/version"), version.to_string()).unwrap();
            let options = format!("--timestamp=@{version} --owner-uid=0 --owner-gid=0 --no-xattrs");
            last = run(&format!("commit --repo={repo} -b os/main -s {version} {options} t"));
            run(&format!("commit --repo={repo} -b os/other -s {version} {options} t/etc"));
        }
        if format == "ostree" {
            run(&format!("static-delta generate --repo={repo} os/main"));
            run(&format!("static-delta generate --repo={repo} --empty os/other"));
        }
        run(&format!("summary --repo={repo} -u"));
        last.trim().to_owned()
    }

    /// Pulls into a new repository; `remote` is its address and options of `remote add`, `pull` options and refs of `pull`.
    fn pull(&self, client: Client, format: &str, remote: &str, pull: &str) -> Left {
        let number = self.pulls.replace(self.pulls.get() + 1);
        let repo = format!("m{number}");
        let mode = if pull.contains("--mirror") { "archive" } else { "bare-user" };
        self.place.ok(&format!("init --repo={repo} --mode={mode} --format={format}"));
        self.place.ok(&format!("remote add --repo={repo} --no-gpg-verify o {remote}"));
        let line = format!("pull --repo={repo} {}", pull.replacen("REMOTE", "o", 1));
        let ran = match client {
            Client::Ours => self.place.run(&line),
            Client::Theirs => real(&self.place, &self.ostree, &line),
        };
        if ran.code == 0 && !pull.contains("--commit-metadata-only") && !pull.contains("--subpath") {
            self.place.ok(&format!("fsck --repo={repo}"));
        }
        let mut files = BTreeSet::new();
        for dir in ["objects", "refs"] {
            let mut dirs = vec![self.place.path(&repo).join(dir)];
            while let Some(dir) = dirs.pop() {
                for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
                    let path = entry.path();
                    let name = path.strip_prefix(self.place.path(&repo)).unwrap().display().to_string();
                    if entry.file_type().unwrap().is_dir() {
                        dirs.push(path);
                    } else if name.starts_with("refs") {
                        files.insert(format!("{name} {}", fs::read_to_string(path).unwrap().trim()));
                    } else {
                        files.insert(name);
                    }
                }
            }
        }
        for name in ["summary", "summary.sig"] {
            if self.place.path(&repo).join(name).exists() {
                files.insert(name.to_owned());
            }
        }
        Left { code: ran.code, files }
    }
}

#[test]
fn every_option_brings_the_same_from_both_servers_to_both_clients() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let world = World::new(ostree);
    let last = world.publish("r", Client::Theirs, "ostree");
    let Some(nginx) = Nginx::serve(&world.place.path("r")).unwrap() else {
        return skipped("nginx is not installed");
    };
    let ours = world.place.serve("r");
    let options = [
        "REMOTE os/main",
        "REMOTE os/main os/other",
        &format!("REMOTE os/main@{last}"),
        &format!("REMOTE {last}"),
        "--depth=1 REMOTE os/main",
        "--depth=-1 REMOTE os/other",
        "--subpath=/usr/lib/deep REMOTE os/main",
        "--subpath=/etc --subpath=/usr/lib/version REMOTE os/main",
        "--commit-metadata-only REMOTE os/main",
        "--commit-metadata-only --depth=-1 REMOTE os/main",
        "--mirror REMOTE os/main",
        "--mirror REMOTE",
        "--mirror --depth=-1 REMOTE",
        "--disable-static-deltas REMOTE os/main",
        "--require-static-deltas REMOTE os/main",
        "--require-static-deltas REMOTE os/other",
        "--http-header=X-Y=z --append-user-agent=more REMOTE os/main",
        "REMOTE nosuch",
    ];
    for pull in options {
        let expected = world.pull(Client::Theirs, "ostree", &nginx.url(), pull);
        assert_eq!(
            expected.code != 0,
            pull.contains("nosuch") || pull == "--require-static-deltas REMOTE os/main",
            "{pull}"
        );
        for (client, url) in [
            (Client::Ours, nginx.url()),
            (Client::Theirs, ours.url.clone()),
            (Client::Ours, ours.url.clone()),
        ] {
            let left = world.pull(client, "ostree", &url, pull);
            // What a pull that failed has fetched meanwhile is each program's own affair.
            let same = if expected.code == 0 { left == expected } else { left.code == expected.code };
            assert!(same, "{client:?} {url} {pull}: {left:#?} instead of {expected:#?}");
        }
    }
    // Refs and summary from one server, objects from the other, and what the configuration says is pulled where nothing is named.
    fs::create_dir_all(world.place.path("meta")).unwrap();
    for name in ["config", "summary"] {
        fs::copy(world.place.path("r").join(name), world.place.path("meta").join(name)).unwrap();
    }
    for dir in ["objects", "refs/heads", "tmp", "state"] {
        fs::create_dir_all(world.place.path("meta").join(dir)).unwrap();
    }
    let meta = world.place.serve("meta");
    let split = |content: &str| format!("--contenturl={content} {} os/main", meta.url);
    let expected = world.pull(Client::Theirs, "ostree", &split(&nginx.url()), "REMOTE");
    assert_eq!(expected.code, 0);
    assert_eq!(world.pull(Client::Ours, "ostree", &split(&nginx.url()), "REMOTE"), expected);
    assert_eq!(world.pull(Client::Ours, "ostree", &split(&ours.url), "REMOTE"), expected);
}

#[test]
fn whatever_a_web_server_is_set_to_do_pulls_bring_the_same() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let world = World::new(ostree);
    let place = &world.place;
    let key = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=x",
    ];
    let names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    let (key_file, certificate) = (place.path("key.pem"), place.path("cert.pem"));
    let files = ["-keyout", key_file.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
    if openssl(key.into_iter().chain(names).chain(files), b"").unwrap().is_none() {
        return skipped("openssl is not installed");
    }
    world.publish("theirs", Client::Theirs, "ostree");
    world.publish("ours", Client::Ours, "ostree");
    world.publish("native", Client::Ours, "native");
    let tls = Some((certificate.as_path(), key_file.as_path()));
    for (repo, format) in [("theirs", "ostree"), ("ours", "ostree"), ("native", "native")] {
        let server = place.serve(repo);
        let expected = world.pull(Client::Ours, format, &server.url, "REMOTE os/main");
        assert_eq!(expected.code, 0, "{repo}");
        let clients: &[Client] =
            if format == "native" { &[Client::Ours] } else { &[Client::Ours, Client::Theirs] };
        let behind = server.url.trim_end_matches('/');
        for (what, options) in [
            ("as it is", NginxOptions::default()),
            ("compressing", NginxOptions { gzip: true, ..NginxOptions::default() }),
            ("HTTP/2 over TLS", NginxOptions { tls, ..NginxOptions::default() }),
            ("HTTP/2 and compressing", NginxOptions { tls, gzip: true, ..NginxOptions::default() }),
            ("in front of ours", NginxOptions { behind: Some(behind), ..NginxOptions::default() }),
            (
                "in front, HTTP/2",
                NginxOptions { behind: Some(behind), tls, gzip: true, ..NginxOptions::default() },
            ),
        ] {
            let Some(nginx) = Nginx::serve_with(&place.path(repo), options).unwrap() else {
                return skipped("nginx is not installed");
            };
            let remote = format!("--set=tls-ca-path={} {}", certificate.display(), nginx.url());
            for client in clients {
                let left = world.pull(*client, format, &remote, "REMOTE os/main");
                assert_eq!(left, expected, "{repo}, {what}, {client:?}");
            }
        }
        // A page that says that nothing is there, as if it were what was asked for: none of it is believed.
        let options = NginxOptions { apology: Some(APOLOGY), ..NginxOptions::default() };
        let Some(nginx) = Nginx::serve_with(&place.path(repo), options).unwrap() else {
            return skipped("nginx is not installed");
        };
        assert_eq!(world.pull(Client::Ours, format, &nginx.url(), "REMOTE os/main"), expected, "{repo}");
        let none = world.pull(Client::Ours, format, &nginx.url(), "REMOTE os/nosuch");
        assert_eq!((none.code, none.files.is_empty()), (1, true), "{repo}");
    }
}

/// Which ref a commit was made for is looked at also where all refs are pulled.
#[test]
fn a_commit_under_another_ref_than_its_own_is_refused_as_ostree_does() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    place.ok("init --repo=r --mode=archive --format=ostree");
    place.ok("commit --repo=r -b a t");
    place.ok("refs --repo=r --create=b a");
    place.ok("summary --repo=r -u");
    let server = place.serve("r");
    for (number, pull) in
        ["pull --mirror o", "pull-local r", "pull-local --remote=o r", "pull --mirror o a", "pull-local r a"]
            .into_iter()
            .enumerate()
    {
        let outcome = |by: &str, run: &dyn Fn(&str) -> crate::place::Ran| {
            let to = format!("{by}{number}");
            place.ok(&format!("init --repo={to} --mode=archive --format=ostree"));
            place.ok(&format!("remote add --repo={to} --no-gpg-verify o {}", server.url));
            let ran = run(&format!("--repo={to} {pull}"));
            (ran.code, place.ok(&format!("refs --repo={to}")))
        };
        let ours = outcome("ours", &|line| place.run_as_ostree(line));
        assert_eq!(ours, outcome("theirs", &|line| real(&place, &ostree, line)), "{pull}");
        assert_eq!(ours.0 == 0, pull.ends_with('a'), "{pull}");
    }
}
