//! Repositories, trees, servers and pulls for all tests.

use cap_std::ambient_authority;
use sapwood_fsio::Dir;
use sapwood_objstore::{Commit, DirMeta, DirTree, Format, Id, Metadata, Mode, ObjectName, Totals, Verdict};
use sapwood_repo::{
    CommitOptions, CreateOptions, ImportOptions, Modifiers, RefName, Refspec, Repo, WalkEntry,
};
use sapwood_testkit::Tree;
use sapwood_transport::{
    Access, HttpOptions, HttpRemote, PullError, PullOptions, PullOutcome, Remote, ServeOptions, Wanted, pull,
    serve,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

pub(crate) const FORMATS: [Format; 2] = [Format::Native, Format::Ostree];
pub(crate) const BRANCH: &str = "os/x86_64/stable";

/// The runtime of all tests.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "tests open their own temporary directories")]
pub(crate) fn open_dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

/// Modes that anyone can write.
pub(crate) fn modes() -> Vec<Mode> {
    let mut modes = vec![Mode::Archive, Mode::BareUser, Mode::BareUserOnly];
    if rustix::process::geteuid().is_root() {
        modes.push(Mode::Bare);
    }
    modes
}

/// A repository in a temporary directory.
pub(crate) struct Place {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) repo: Repo,
}

impl Place {
    pub(crate) fn new(format: Format, mode: Mode) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let options = CreateOptions { format, mode, collection_id: None };
        let mut repo = Repo::create(&open_dir(temp.path()), &options).unwrap();
        // Nothing here outlives the machine, and a busy disk would hold the tests up.
        repo.edit_config(|keyfile| assert!(keyfile.set("core", "fsync", "false"))).unwrap();
        Self { temp, repo }
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn reopen(&self) -> Repo {
        Repo::open(&open_dir(self.temp.path())).unwrap()
    }

    /// Commits a tree, owned by root, with plain permissions, so that every mode can hold it.
    pub(crate) fn commit(&self, branch: &str, tree: &Tree) -> Id<Commit> {
        self.commit_at(branch, tree, 1_700_000_000)
    }

    /// As [`commit`](Self::commit), at a time in seconds since the epoch.
    pub(crate) fn commit_at(&self, branch: &str, tree: &Tree, timestamp: u64) -> Id<Commit> {
        let from = tempfile::tempdir().unwrap();
        tree.write_to(from.path()).unwrap();
        let modifiers = Modifiers { canonical_permissions: true, ..Default::default() };
        let import = ImportOptions { modifiers, ..Default::default() };
        let commit = CommitOptions {
            branch: Some(local(branch)),
            subject: "a commit".to_owned(),
            timestamp: Some(timestamp),
            ..Default::default()
        };
        self.repo.commit_dir(&open_dir(from.path()), &import, &commit, &|_| {}).unwrap().commit
    }
}

/// A commit of a tree and nothing else.
pub(crate) fn bare_commit(tree: Id<DirTree>, meta: Id<DirMeta>, totals: Option<Totals>) -> Commit {
    Commit {
        metadata: Metadata::default(),
        parent: None,
        subject: String::new(),
        body: String::new(),
        timestamp: 0,
        tree,
        meta,
        totals,
    }
}

pub(crate) fn local(name: &str) -> Refspec {
    Refspec::local(RefName::new(name).unwrap())
}

/// A tree with a bit of everything: shared contents, empty and large files, links, deep and empty directories.
pub(crate) fn small_tree(version: &str) -> Tree {
    let mut tree = Tree::default();
    tree.file("etc/version", version);
    tree.file("etc/hosts", "127.0.0.1 localhost\n");
    tree.file("usr/bin/tool", format!("#!/bin/sh\necho {version}\n")).mode(0o755);
    tree.file("usr/bin/copy", "#!/bin/sh\n").mode(0o755);
    tree.file("usr/share/copy", "#!/bin/sh\n").mode(0o755);
    tree.file("usr/share/empty", "");
    tree.file("usr/share/ünï", "not ASCII\n");
    tree.symlink("bin", "usr/bin");
    tree.symlink("usr/share/dangling", "/nowhere/at/all");
    tree.dir("var/empty").mode(0o700);
    tree.file("a/b/c/d/e/f/g", "deep\n");
    for n in 0..30 {
        tree.file(&format!("usr/lib/many/{n}"), format!("number {n} of {version}\n"));
    }
    tree
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A server of a directory, until it is dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) log: Arc<Mutex<Vec<Access>>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Served {
    /// Paths that were answered with success, in order.
    pub(crate) fn delivered(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|access| access.status < 300).map(|access| access.path.clone()).collect()
    }
}

pub(crate) fn served(path: &Path) -> Served {
    let dir = open_dir(path);
    let log = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sink = Arc::clone(&log);
    let options = ServeOptions {
        on_access: Some(Arc::new(move |access: &Access| sink.lock().unwrap().push(access.clone()))),
        shutdown_grace: Duration::ZERO,
        ..Default::default()
    };
    let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime().spawn(serve(dir, listener, options, async move {
        drop(stopped.await);
    }));
    Served { url, log, _stop: stop }
}

/// Impatient enough for tests.
pub(crate) fn quick() -> HttpOptions {
    HttpOptions {
        first_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(20),
        stall_window: Duration::from_millis(700),
        connect_timeout: Duration::from_secs(5),
        ..Default::default()
    }
}

pub(crate) fn http(url: &str) -> Arc<dyn Remote> {
    Arc::new(HttpRemote::new(url, quick()).unwrap())
}

pub(crate) fn want(name: &str) -> PullOptions {
    PullOptions { wanted: vec![Wanted::parse(name).unwrap()], ..Default::default() }
}

pub(crate) fn pull_quietly(
    repo: &Repo,
    remote: Arc<dyn Remote>,
    options: &PullOptions,
) -> Result<PullOutcome, PullError> {
    pull(runtime().handle(), repo, remote, &[], options, &|_| {})
}

/// All objects of a commit, each read and hashed; panics where one is missing or wrong.
pub(crate) fn verified_objects(repo: &Repo, commit: Id<Commit>) -> BTreeSet<ObjectName> {
    let mut names = BTreeSet::from([commit.name()]);
    let root = repo.root(commit).unwrap();
    names.extend([root.tree.name(), root.meta.name()]);
    for entry in repo.walk(root) {
        match entry.unwrap() {
            WalkEntry::Dir { entry, .. } => names.extend([entry.tree.name(), entry.meta.name()]),
            WalkEntry::File { entry, .. } => drop(names.insert(entry.id.name())),
        }
    }
    for name in &names {
        assert_eq!(repo.store().verify(*name).unwrap(), Verdict::Good, "{name}");
    }
    names
}

/// Everything in the store, each object of which must be what its name says.
pub(crate) fn stored(repo: &Repo) -> BTreeSet<ObjectName> {
    let mut names = BTreeSet::new();
    repo.store()
        .for_each(&mut |name| {
            assert_eq!(repo.store().verify(name)?, Verdict::Good, "{name}");
            names.insert(name);
            Ok(())
        })
        .unwrap();
    names
}
