//! Creating and opening repositories, their configuration and remotes.

use crate::commit_fixture::{FORMATS, Lab, MODES, branch, open};
use sapwood_fsio::fault;
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{CollectionId, CreateOptions, Error, RemoteName, Repo};
use sapwood_testkit::{Ostree, Tree, skipped};

fn options(format: Format, mode: Mode) -> CreateOptions {
    CreateOptions { format, mode, collection_id: None }
}

fn config_of(lab: &Lab, repo: &str) -> String {
    std::fs::read_to_string(lab.path(repo).join("config")).unwrap()
}

#[test]
fn a_new_ostree_repository_is_the_one_that_ostree_makes() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    for mode in MODES {
        let lab = Lab::new();
        lab.real_repo("theirs", &ostree, mode);
        lab.repo("ours", Format::Ostree, mode);
        assert_eq!(config_of(&lab, "ours"), config_of(&lab, "theirs"));
        let names = |repo: &str| {
            let mut found: Vec<String> = Vec::new();
            let mut todo = vec![lab.path(repo)];
            while let Some(dir) = todo.pop() {
                for entry in std::fs::read_dir(&dir).unwrap() {
                    let path = entry.unwrap().path();
                    let mode = std::os::unix::fs::MetadataExt::mode(&path.symlink_metadata().unwrap());
                    found.push(format!("{mode:o} {}", path.strip_prefix(lab.path(repo)).unwrap().display()));
                    if path.is_dir() && !path.ends_with("objects") && !path.ends_with("tmp") {
                        todo.push(path);
                    }
                }
            }
            found.retain(|name| !name.ends_with("tmp/cache"));
            found.sort();
            found
        };
        assert_eq!(names("ours"), names("theirs"));
        let lab_args = lab.args("ours", &["refs"]);
        assert_eq!(ostree.run(lab_args).unwrap(), "");
        assert_eq!(Repo::open(&open(&lab.path("theirs"))).unwrap().config().mode, mode);
    }
}

#[test]
fn a_native_repository_is_refused_by_ostree_and_opened_by_us() {
    let lab = Lab::new();
    lab.repo("repo", Format::Native, Mode::Archive);
    assert_eq!(config_of(&lab, "repo"), "[core]\nrepo_version=2\nmode=archive-z2\n");
    let again = Repo::open(&open(&lab.path("repo"))).unwrap();
    assert_eq!((again.config().format, again.config().mode), (Format::Native, Mode::Archive));
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    assert!(ostree.run(lab.args("repo", &["refs"])).is_err());
}

#[test]
fn creating_a_complete_repository_again_changes_nothing() {
    let lab = Lab::new();
    lab.repo("repo", Format::Ostree, Mode::Bare);
    std::fs::write(lab.path("repo").join("config"), "[core]\nrepo_version=1\nmode=bare\n# mine\n").unwrap();
    let again = Repo::create(&lab.dir("repo"), &options(Format::Native, Mode::Archive)).unwrap();
    assert_eq!((again.config().format, again.config().mode), (Format::Ostree, Mode::Bare));
    assert!(config_of(&lab, "repo").contains("# mine"));
}

#[test]
fn a_configuration_without_objects_is_kept_if_it_says_more_than_a_new_one() {
    let lab = Lab::new();
    let text = "[core]\nrepo_version=1\nmode=bare\n\n[remote \"r\"]\nurl=http://e.org\n";
    std::fs::write(
        {
            lab.dir("repo");
            lab.path("repo").join("config")
        },
        text,
    )
    .unwrap();
    let other = Repo::create(&lab.dir("repo"), &options(Format::Ostree, Mode::Archive));
    assert!(matches!(other, Err(Error::Config(_))), "{other:?}");
    let repo = Repo::create(&lab.dir("repo"), &options(Format::Ostree, Mode::Bare)).unwrap();
    assert_eq!(repo.remotes().unwrap().len(), 1);
    assert_eq!(config_of(&lab, "repo"), text);
}

#[test]
fn a_crash_while_creating_leaves_no_repository_or_a_whole_one() {
    for format in FORMATS {
        let wanted = options(format, Mode::Archive);
        for step in 1.. {
            let lab = Lab::new();
            let run = fault::crash_at(step, || Repo::create(&lab.dir("repo"), &wanted).map(drop));
            match Repo::open(&lab.dir("repo")) {
                Ok(repo) => assert!(repo.refs().unwrap().is_empty(), "step {step}"),
                Err(Error::NotARepo { .. }) => {}
                Err(other) => panic!("step {step}: {other}"),
            }
            // Another mode: nothing of the attempt counts before it is complete.
            if Repo::open(&lab.dir("repo")).is_err() {
                let retry = Repo::create(&lab.dir("repo"), &options(format, Mode::BareUser)).unwrap();
                assert_eq!(retry.config().mode, Mode::BareUser, "step {step}");
            }
            if !run.fired {
                break;
            }
        }
    }
}

#[test]
fn a_newer_format_is_refused_or_only_read_and_nothing_is_changed() {
    let lab = Lab::new();
    lab.repo("repo", Format::Native, Mode::Archive);
    let file = lab.path("repo").join("config");
    for text in [
        "[core]\nrepo_version=3\nmode=archive-z2\n",
        "[core]\nrepo_version=2\nmode=archive-z2\n[sapwood]\nincompatible=chunks;\n",
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(matches!(Repo::open(&lab.dir("repo")), Err(Error::NewerFormat { .. })));
    }
    let text = "[core]\nrepo_version=2\nmode=archive-z2\n[sapwood]\nread-only-compatible=index;\n";
    std::fs::write(&file, text).unwrap();
    let (outcomes, calls) = fault::record(|| {
        let mut repo = Repo::open(&lab.dir("repo")).unwrap();
        assert!(repo.refs().unwrap().is_empty());
        let commit = sapwood_objstore::Id::new(sapwood_objstore::ObjectId::from_bytes([1; 32]));
        [
            repo.begin().map(drop),
            repo.edit_refs(Vec::new()),
            repo.update_summary().map(drop),
            repo.mark_partial(commit),
            repo.clear_partial(commit),
            repo.delete_commit(commit),
            repo.plan_prune(&sapwood_repo::PruneOptions::default(), &|_| ())
                .and_then(|plan| plan.apply(&|_| ()))
                .map(drop),
            repo.fsck(
                &sapwood_repo::FsckOptions {
                    on_corrupt: sapwood_repo::OnCorrupt::Delete,
                    ..Default::default()
                },
                &|_| (),
            )
            .map(drop),
            repo.edit_config(|_| ()),
            repo.add_remote(&RemoteName::new("r").unwrap(), "http://e.org", &[], false),
        ]
    });
    for (at, outcome) in outcomes.iter().enumerate() {
        assert!(matches!(outcome, Err(Error::NewerFormat { .. })), "{at}: {outcome:?}");
    }
    assert!(calls.iter().all(|call| call.path.to_str() == Some(".lock")), "{calls:?}");
}

#[test]
fn what_is_no_repository_is_said_to_be_none() {
    let lab = Lab::new();
    let missing = |lab: &Lab| match Repo::open(&lab.dir("repo")) {
        Err(Error::NotARepo { missing }) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(&lab), "config");
    std::fs::write(lab.path("repo").join("config"), "[core]\nrepo_version=1\nmode=bare\n").unwrap();
    assert_eq!(missing(&lab), "objects");
    for bad in ["core", "[core]\nmode=odd\n", "[core]\nrepo_version=x\n"] {
        std::fs::write(lab.path("repo").join("config"), bad).unwrap();
        assert!(Repo::open(&lab.dir("repo")).is_err(), "{bad}");
    }
    std::fs::remove_file(lab.path("repo").join("config")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", lab.path("repo").join("config")).unwrap();
    assert!(Repo::open(&lab.dir("repo")).is_err());
}

#[test]
fn editing_the_configuration_keeps_every_other_line_and_what_others_wrote() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let file = lab.path("repo").join("config");
    std::fs::write(&file, "# top\n[core]\nrepo_version=1\nmode=archive-z2\n\n[x]\nother = 1\n").unwrap();
    repo.edit_config(|keyfile| {
        keyfile.set("core", "fsync", "false");
    })
    .unwrap();
    assert!(!repo.config().fsync && !repo.store().options().fsync);
    let text = "# top\n[core]\nrepo_version=1\nmode=archive-z2\nfsync=false\n\n[x]\nother = 1\n";
    assert_eq!(config_of(&lab, "repo"), text);
    for mode in ["bare", "archive-z2"] {
        // As long as there is nothing that would be of the wrong mode.
        repo.edit_config(|keyfile| _ = keyfile.set("core", "mode", mode)).unwrap();
        assert_eq!(repo.store().mode(), repo.config().mode);
    }
    let shard = lab.path("repo").join("objects/00");
    std::fs::create_dir(&shard).unwrap();
    std::fs::write(shard.join("0".repeat(62) + ".dirmeta"), "an object").unwrap();
    for (key, value) in [("mode", "bare"), ("repo_version", "2"), ("fsync", "perhaps"), ("repo_version", "9")]
    {
        let edited = repo.edit_config(|keyfile| {
            keyfile.set("core", key, value);
        });
        assert!(edited.is_err(), "{key}={value}");
        assert_eq!(config_of(&lab, "repo"), text);
    }
    for step in 1.. {
        let run = fault::crash_at(step, || {
            repo.edit_config(|keyfile| {
                keyfile.set("core", "tmp-expiry-secs", "5");
            })
        });
        let now = config_of(&lab, "repo");
        assert!(now == text || now == text.replace("fsync=false\n", "fsync=false\ntmp-expiry-secs=5\n"));
        if !run.fired {
            break;
        }
    }
}

#[test]
fn remotes_are_those_of_ostree() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let name = RemoteName::new("origin").unwrap();
    let extra = [("gpg-verify".to_owned(), "false".to_owned()), ("branches".to_owned(), "a;b/c;".to_owned())];
    repo.add_remote(&name, "https://e.org/a#b;c", &extra, false).unwrap();
    assert!(matches!(repo.add_remote(&name, "x", &[], false), Err(Error::RemoteExists { .. })));
    let remote = repo.remote("origin").unwrap();
    assert_eq!(remote.url, "https://e.org/a#b;c");
    assert_eq!(remote.branches, ["a", "b/c"]);
    assert!(!remote.flag("gpg-verify", true) && remote.flag("gpg-verify-summary", true));
    let odd = [("a=b\nc".to_owned(), "d".to_owned())];
    assert!(matches!(
        repo.add_remote(&RemoteName::new("odd").unwrap(), "x", &odd, false),
        Err(Error::Config(_))
    ));
    assert!(matches!(repo.remote("../x"), Err(Error::UnknownRemote { .. })));
    if let Some(ostree) = Ostree::find() {
        let run = |args: &[&str]| ostree.run(lab.args("repo", args)).unwrap();
        assert_eq!(run(&["remote", "list"]), "origin\n");
        assert_eq!(run(&["remote", "show-url", "origin"]), "https://e.org/a#b;c\n");
        run(&[
            "remote",
            "add",
            "second",
            "--no-gpg-verify",
            "--contenturl=http://c.org",
            "http://s.org",
            "x",
            "y",
        ]);
        let repo = Repo::open(&lab.dir("repo")).unwrap();
        let names: Vec<String> = repo.remotes().unwrap().into_iter().map(|r| r.name.to_string()).collect();
        assert_eq!(names, ["origin", "second"]);
        let second = repo.remote("second").unwrap();
        assert_eq!(
            (second.url.as_str(), second.content_url.as_deref()),
            ("http://s.org", Some("http://c.org"))
        );
        assert_eq!(second.branches, ["x", "y"]);
        assert!(!second.flag("gpg-verify", true));
    } else {
        skipped("the real ostree is not installed");
    }
    std::fs::create_dir_all(lab.path("repo").join("refs/remotes/origin/os")).unwrap();
    std::fs::write(lab.path("repo").join("refs/remotes/origin/os/x"), "0".repeat(64)).unwrap();
    repo.delete_remote(&name).unwrap();
    assert!(matches!(repo.delete_remote(&name), Err(Error::UnknownRemote { .. })));
    assert!(repo.refs().unwrap().is_empty());
    assert!(!lab.path("repo").join("refs/remotes/origin").exists());
}

#[test]
fn a_parent_repository_has_what_is_missing_here() {
    let lab = Lab::new();
    let parent = lab.repo("parent", Format::Ostree, Mode::Archive);
    let mut tree = Tree::default();
    tree.file("f", "content");
    let dir = lab.tree("tree", &tree);
    let commit = parent
        .commit_dir(
            &dir,
            &sapwood_repo::ImportOptions::default(),
            &crate::commit_fixture::on("main"),
            &|_| (),
        )
        .unwrap()
        .commit;
    let mut repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    assert!(repo.root(commit).is_err());
    let path = lab.path("parent").to_str().unwrap().to_owned();
    repo.edit_config(|keyfile| {
        keyfile.set("core", "parent", &path);
    })
    .unwrap();
    assert_eq!(repo.walk(repo.root(commit).unwrap()).count(), 1);
    repo.edit_refs(vec![sapwood_repo::RefEdit::Set {
        name: branch("here"),
        expected: sapwood_repo::Expected::Absent,
        target: commit,
    }])
    .unwrap();
    assert!(repo.fsck(&sapwood_repo::FsckOptions::default(), &|_| ()).unwrap().findings.is_empty());
    // A repository that is its own ancestor.
    let own = lab.path("repo").to_str().unwrap().to_owned();
    let cycle = repo.edit_config(|keyfile| {
        keyfile.set("core", "parent", &own);
    });
    assert!(cycle.is_ok() || matches!(cycle, Err(Error::Config(_))));
    assert!(matches!(Repo::open(&lab.dir("repo")), Err(Error::Config(_))) || cycle.is_err());
}

#[test]
fn a_collection_id_is_in_the_configuration() {
    let lab = Lab::new();
    let id = CollectionId::new("org.example.Os").unwrap();
    let wanted = CreateOptions { collection_id: Some(id.clone()), ..options(Format::Ostree, Mode::Archive) };
    let repo = Repo::create(&lab.dir("repo"), &wanted).unwrap();
    assert_eq!(repo.config().collection_id, Some(id));
    assert_eq!(
        config_of(&lab, "repo"),
        "[core]\nrepo_version=1\nmode=archive-z2\ncollection-id=org.example.Os\n"
    );
}
