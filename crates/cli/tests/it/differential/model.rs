//! What the random sequences are made of: commands with options and arguments, and changes of the trees they work on.
//!
//! Few names, so that commands meet each other's results. Words may hold `%cN`, the Nth commit that there is, and `%pN`,
//! a prefix of its id; which that is turns out when the step is run.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sapwood_testkit::{Kind, Node, Tree, strategies};

/// One step of a sequence.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A command with options, each a word, any of which may be left out, and arguments.
    Run { verb: &'static str, options: Vec<&'static str>, args: Vec<String> },
    /// Something new at a path of a tree, in place of what was there.
    Put { tree: &'static str, path: &'static str, node: Node },
    /// A path of a tree, and all below it, goes.
    Remove { tree: &'static str, path: &'static str },
}

/// Trees and steps.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    pub(crate) trees: Vec<(&'static str, Tree)>,
    pub(crate) steps: Vec<Step>,
}

/// The folders that are committed.
const TREES: &[&str] = &["t0", "t1", "t2"];

/// Paths that meet each other, of kinds that commands treat in different ways.
const PATHS: &[&str] = &[
    "a",
    "d/b",
    "d/e/c",
    "d/e",
    "usr/bin/x",
    "usr/etc/conf",
    "usr/lib/modules/6.1/vmlinuz",
    "d/.wh.b",
    ".wh.a",
    "é b",
    "z",
];

/// The last is of a remote.
const REFS: &[&str] = &["main", "os/x", "os/y", "alone", "remote:main"];

/// Sequences of up to `steps` steps. The first steps commit something, so that there is something to work on.
pub(crate) fn sequences(steps: usize) -> impl Strategy<Value = Sequence> {
    let trees = (strategies::trees(), small_trees(), small_trees());
    let commits = prop::collection::vec(commit(), 1..3);
    (trees, commits, prop::collection::vec(step(), 1..steps)).prop_map(|((t0, t1, t2), mut first, rest)| {
        first.extend(rest);
        Sequence { trees: TREES.iter().copied().zip([t0, t1, t2]).collect(), steps: first }
    })
}

/// Trees of the paths that meet each other.
fn small_trees() -> impl Strategy<Value = Tree> {
    prop::collection::vec((select(PATHS), strategies::nodes()), 1..8).prop_map(|entries| {
        let mut tree = Tree::default();
        for (path, node) in entries {
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            let blocked = above.clone().any(|dir| tree.nodes.get(dir).is_some_and(|n| n.kind != Kind::Dir))
                || tree.nodes.keys().any(|other| other.starts_with(&format!("{path}/")));
            if !blocked {
                tree.nodes.insert(path.to_owned(), node);
            }
        }
        tree
    })
}

/// A name of a commit: a ref, a parent, an id, a prefix of one; now and then nothing that is there.
fn revision() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(REFS).prop_map(str::to_owned),
        2 => select(REFS).prop_map(|name| format!("{name}^")),
        2 => (0..6_u8).prop_map(|n| format!("%c{n}")),
        1 => (0..6_u8).prop_map(|n| format!("%p{n}")),
        1 => select(&["alias", "nosuch", "main^^", "0000", "%c0^", "MAIN"][..]).prop_map(str::to_owned),
    ]
}

fn run(
    verb: &'static str,
    options: &'static [&'static str],
    most: usize,
    args: impl Strategy<Value = Vec<String>>,
) -> impl Strategy<Value = Step> {
    let most = most.min(options.len());
    (subsequence(options, 0..=most), args).prop_map(move |(options, args)| Step::Run { verb, options, args })
}

fn words(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    select(of).prop_map(|line| line.split(' ').map(str::to_owned).collect())
}

/// Paths in a commit, as verbs take them.
fn inner() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(PATHS).prop_map(|path| format!("/{path}")),
        2 => select(&["/", "/usr", "/d", "/nosuch", "usr/bin"][..]).prop_map(str::to_owned),
    ]
}

const COMMIT_OPTIONS: &[&str] = &[
    "--subject=one line",
    "--body=more than one",
    "--body-file=text",
    "--parent=none",
    "--parent=%c0",
    "--no-bindings",
    "--bind-ref=os/y",
    "--owner-uid=0",
    "--owner-gid=12",
    "--canonical-permissions",
    "--mode-ro-executables",
    "--no-xattrs",
    "--skip-if-unchanged",
    "--skip-list=skip",
    "--statoverride=override",
    "--add-metadata-string=version=1",
    "--add-metadata=number=uint32 7",
    "--add-metadata=list=['x', 'y']",
    "--keep-metadata=version",
    "--add-detached-metadata-string=note=x",
    "--table-output",
    "--generate-sizes",
    "--link-checkout-speedup",
    "--consume",
    "--base=main",
    "--fsync=false",
];

fn commit() -> impl Strategy<Value = Step> {
    let branch = prop_oneof![
        6 => select(REFS).prop_map(|name| vec!["-b".to_owned(), name.to_owned()]),
        1 => Just(vec!["--orphan".to_owned()]),
        1 => Just(vec![]),
    ];
    let content = prop_oneof![
        5 => select(TREES).prop_map(|tree| vec![tree.to_owned()]),
        2 => select(TREES).prop_map(|tree| vec![format!("--tree=dir={tree}")]),
    ];
    let args = (branch, content, 0..5_u32).prop_map(|(mut args, content, time)| {
        args.push(format!("--timestamp=@{}", 1_700_000_000 + time));
        args.extend(content);
        args
    });
    run("commit", COMMIT_OPTIONS, 4, args)
}

const CHECKOUT_OPTIONS: &[&str] = &[
    "--user-mode",
    "--union",
    "--union-add",
    "--union-identical",
    "--whiteouts",
    "--process-passthrough-whiteouts",
    "--allow-noent",
    "--require-hardlinks",
    "--force-copy",
    "--force-copy-zerosized",
    "--bareuseronly-dirs",
    "--skip-list=skip",
    "--disable-cache",
    "--fsync=false",
    "--subpath=/usr",
    "--subpath=/d/e",
    "--subpath=usr/bin/x",
];

fn checkout() -> impl Strategy<Value = Step> {
    let args =
        (revision(), select(&["out0", "out1", "t2"][..])).prop_map(|(rev, to)| vec![rev, to.to_owned()]);
    run("checkout", CHECKOUT_OPTIONS, 3, args)
}

fn one<S: Strategy<Value = String>>(word: S) -> impl Strategy<Value = Vec<String>> {
    word.prop_map(|word| vec![word])
}

fn refs() -> impl Strategy<Value = Step> {
    let create = (select(REFS), revision())
        .prop_map(|(name, rev)| vec![format!("--create={name}"), rev])
        .prop_flat_map(|args| run("refs", &["--force"], 1, Just(args)));
    let alias = select(&REFS[..4])
        .prop_map(|of| vec!["--alias".to_owned(), "--create=alias".to_owned(), of.to_owned()]);
    let prefix = || words(&["os", "main", "remote:main", "remote", "nosuch", "os/x", "alone"]);
    prop_oneof![
        3 => create,
        2 => run("refs", &["--force"], 1, alias),
        1 => run("refs", &["--list", "--alias", "--collections"], 2, Just(vec![])),
        1 => run("refs", &["--list"], 1, prefix()),
        1 => prefix().prop_map(|mut args| {
            args.insert(0, "--delete".to_owned());
            Step::Run { verb: "refs", options: vec![], args }
        }),
    ]
}

fn look() -> impl Strategy<Value = Step> {
    let ls = (revision(), inner()).prop_map(|(rev, path)| vec![rev, path]);
    let cat = (revision(), inner()).prop_map(|(rev, path)| vec![rev, path]);
    let diff = (revision(), revision()).prop_map(|(from, to)| vec![from, to]);
    let tree_diff = (revision(), select(TREES))
        .prop_map(|(from, to)| vec!["--no-xattrs".to_owned(), from, format!("./{to}")]);
    let show = &[
        "--raw",
        "--print-metadata-key=version",
        "--print-metadata-key=list",
        "--print-detached-metadata-key=note",
        "--print-related",
        "--print-sizes",
    ];
    prop_oneof![
        2 => run("ls", &["--recursive", "--checksum", "--xattrs", "--dironly", "--nul-filenames-only"], 4, ls),
        1 => run("ls", &["--recursive", "--checksum"], 2, one(revision())),
        1 => run("cat", &[], 0, cat),
        1 => run("log", &["--raw"], 1, one(revision())),
        1 => run("show", show, 1, one(revision())),
        1 => run("rev-parse", &[], 0, one(revision())),
        1 => run("rev-parse", &[], 0, Just(vec!["--single".to_owned()])),
        1 => run("diff", &["--stats", "--fs-diff"], 2, diff),
        1 => run("diff", &["--owner-uid=0", "--owner-gid=0"], 2, tree_diff),
        1 => run("checksum", &["--ignore-xattrs"], 1, words(&["t0/a", "t1", "t1/d", "t2/usr/bin/x", "nosuch"])),
        1 => run("export", &["--no-xattrs", "--subpath=/usr", "--prefix=p/"], 2, one(revision())),
    ]
}

fn maintain() -> impl Strategy<Value = Step> {
    let prune =
        &["--refs-only", "--no-prune", "--depth=0", "--depth=1", "--commit-only", "--only-branch=os/x"];
    let config = &[
        "set core.add-remotes-config-dir false",
        "set section.key some words",
        "set --group=g k v",
        "get core.mode",
        "get section.key",
        "get nosuch.key",
        "get --group=g k",
        "unset section.key",
        "get nodot",
    ];
    prop_oneof![
        2 => run("prune", prune, 2, Just(vec![])),
        1 => run("prune", &["--refs-only"], 1, words(&["--keep-younger-than=@1700000002"])),
        2 => run("fsck", &["--quiet", "--all", "--delete", "--add-tombstones", "--verify-bindings", "--verify-back-refs"], 2, Just(vec![])),
        1 => run("summary", &[], 0, words(&["--update", "--view", "--raw"])),
        1 => (select(REFS), revision()).prop_map(|(name, rev)| vec![name.to_owned(), rev])
            .prop_flat_map(|args| run("reset", &[], 0, Just(args))),
        2 => run("config", &[], 0, words(config)),
        2 => (Just("repo".to_owned()), prop::option::of(select(REFS))).prop_map(|(from, name)| {
                std::iter::once(from).chain(name.map(str::to_owned)).collect::<Vec<_>>()
            })
            .prop_flat_map(|args| run(
                "pull-local",
                &["--untrusted", "--commit-metadata-only", "--remote=remote", "--depth=1", "--depth=-1", "--bareuseronly-files"],
                2,
                Just(args),
            )),
        1 => run("remote list", &["--show-urls"], 1, Just(vec![])),
        1 => run("remote add", &["--no-gpg-verify", "--if-not-exists", "--force", "--set=a=b"], 2, words(&["origin http://localhost/", "remote file:///nowhere main"])),
        1 => run("remote delete", &["--if-exists"], 1, words(&["origin", "remote"])),
        1 => run("remote show-url", &[], 0, words(&["origin", "remote"])),
        1 => run("init", &[], 0, words(&["--mode=archive", "--mode=bare-user-only"])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let put = (select(TREES), select(PATHS), strategies::nodes()).prop_map(|(tree, path, node)| Step::Put {
        tree,
        path,
        node,
    });
    let remove = (select(TREES), select(PATHS)).prop_map(|(tree, path)| Step::Remove { tree, path });
    prop_oneof![
        5 => commit(),
        5 => checkout(),
        3 => refs(),
        6 => look(),
        5 => maintain(),
        2 => put,
        1 => remove,
    ]
}
