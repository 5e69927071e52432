//! Refs of collections on volumes: made by us and read by the real `ostree`, and the other way round; and what a volume must
//! not bring in.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;
use std::os::unix::fs::symlink;

const COLLECTION: &str = "org.example.Os";

/// A vendor's repository `r` with two signed commits of `os/main`, a machine `m` that has the first of them, and a second one
/// `n` that has nothing; both ask for the vendor's signature. Gives the ids.
fn vendor_and_machines(place: &Place) -> [String; 2] {
    let mut tree = Tree::default();
    tree.file("usr/bin/program", "program").mode(0o755);
    tree.symlink("bin", "usr/bin");
    tree.write_to(&place.path("t")).unwrap();
    let public = place.ok("trust new-key key").trim().rsplit(' ').next().unwrap().to_owned();
    place.ok(&format!("init --repo=r --mode=archive --format=ostree --collection-id={COLLECTION}"));
    let commit = |version: u32| {
        fs::write(place.path("t/version"), version.to_string()).unwrap();
        let line = "commit --repo=r -b os/main --no-xattrs --sign-type=ed25519 --sign-from-file=key";
        place.ok(&format!("{line} --timestamp=@{version}000 t")).trim().to_owned()
    };
    let first = commit(1);
    for machine in ["m", "n"] {
        place.ok(&format!("init --repo={machine} --mode=bare-user --format=ostree"));
        let verify = format!("--set=sign-verify=ed25519 --set=verification-ed25519-key={public}");
        let add =
            format!("remote add --repo={machine} --no-gpg-verify --collection-id={COLLECTION} {verify}");
        place.ok(&format!("{add} vendor file://{}", place.path("r").display()));
    }
    place.ok("pull --repo=m vendor os/main");
    fs::create_dir(place.path("usb")).unwrap();
    [first, commit(2)]
}

const FIND: &str = "find-remotes --repo=n --finders=mount --volume=usb --pull org.example.Os os/main";

#[test]
fn what_we_put_on_a_volume_ostree_reads_and_what_ostree_puts_there_we_pull() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let [first, second] = vendor_and_machines(&place);
    for (option, at, by_us) in [
        ("", ".ostree/repo", true),
        ("--destination-repo=some/where", "some/where", true),
        ("", ".ostree/repo", false),
        ("--destination-repo=some/where", "some/where", false),
    ] {
        fs::remove_dir_all(place.path("usb")).unwrap();
        fs::create_dir(place.path("usb")).unwrap();
        let create = format!("--repo=m create-usb {option} usb {COLLECTION} os/main");
        let ran = if by_us { place.run_as_ostree(&create) } else { real(&place, &ostree, &create) };
        assert_eq!(ran.code, 0, "{}", ran.err);
        let said = format!(
            "Copied 1/1 refs successfully from ‘m’ to ‘{}’ repository in ‘usb’.\n",
            option.split_once('=').map_or(".ostree/repo", |(_, at)| at)
        );
        assert!(!by_us || ran.out == said, "{}", ran.out);
        let stick = format!("usb/{at}");
        for line in ["refs --collections", "fsck", "summary -v"] {
            let line = format!("--repo={stick} {line}");
            let (ours, theirs) = (place.run_as_ostree(&line), real(&place, &ostree, &line));
            assert_eq!((ours.code, theirs.code), (0, 0), "{line}: {} / {}", ours.err, theirs.err);
            assert!(
                line.ends_with("fsck") || ours.out == theirs.out,
                "{line}: {} / {}",
                ours.out,
                theirs.out
            );
        }
        let links = fs::read_dir(place.path("usb/.ostree/repos.d")).map_or(0, Iterator::count);
        assert_eq!(links, usize::from(!option.is_empty()), "{option}");
        // Again: nothing is there twice.
        place.ok(&format!("create-usb --repo=m {option} usb {COLLECTION} os/main"));
        assert_eq!(fs::read_dir(place.path("usb/.ostree/repos.d")).map_or(0, Iterator::count), links);

        let out = place.ok(FIND);
        for line in [
            " - Finder: OstreeRepoFinderMount",
            " - Keyring: vendor.trustedkeys.gpg",
            &format!("    - ({COLLECTION}, os/main) = {first}"),
            "1/1 refs were found.",
            "Pulled 1/1 refs successfully.",
        ] {
            assert!(out.lines().any(|found| found == line), "{line}: {out}");
        }
        assert_eq!(place.ok("rev-parse --repo=n vendor:os/main").trim(), first);
        assert_eq!(real(&place, &ostree, "fsck --repo=n").code, 0);
        place.ok("refs --repo=n --delete vendor");
    }
    // Who is on the network has the newer one.
    place.ok("summary --repo=r -u");
    let both =
        "find-remotes --repo=n --finders=config,mount --volume=usb --pull --mirror org.example.Os os/main";
    let out = place.ok(both);
    assert!(out.contains(&second) && !out.contains("OstreeRepoFinderMount"), "{out}");
    assert_eq!(
        fs::read_to_string(place.path("n/refs/mirrors/org.example.Os/os/main")).unwrap().trim(),
        second
    );
}

#[test]
fn a_volume_brings_in_nothing_that_is_not_vouched_for() {
    let place = Place::new();
    let [first, second] = vendor_and_machines(&place);
    let refused = |what: &str, why: &str| {
        let ran = place.run(FIND);
        assert_eq!((ran.code, ran.out.as_str()), (0, "No results.\n"), "{what}: {}", ran.err);
        assert!(ran.err.contains(why), "{what}: {}", ran.err);
        let at = place.run("rev-parse --repo=n vendor:os/main");
        assert!(at.code == 1 || at.out.trim() == second, "{what}");
    };
    refused("an empty volume", "");

    // Somebody's own commit, which claims to be of the collection.
    place.ok(&format!("init --repo=evil --mode=archive --format=ostree --collection-id={COLLECTION}"));
    place.ok("commit --repo=evil -b os/main --no-xattrs --timestamp=@9000 t");
    place.ok(&format!("create-usb --repo=evil usb {COLLECTION} os/main"));
    refused("an unsigned commit", "No signatures found");
    fs::remove_dir_all(place.path("usb/.ostree")).unwrap();

    // A link that leads off the volume, to a repository that would do.
    fs::create_dir_all(place.path("usb/.ostree/repos.d")).unwrap();
    symlink("../../../r", place.path("usb/.ostree/repos.d/00-generated")).unwrap();
    symlink(place.path("r"), place.path("usb/.ostree/repo")).unwrap();
    refused("a link off the volume", "");
    fs::remove_dir_all(place.path("usb/.ostree")).unwrap();

    // One that has its objects elsewhere.
    place.ok(&format!("create-usb --repo=m usb {COLLECTION} os/main"));
    place.ok(&format!("config --repo=usb/.ostree/repo set core.parent {}", place.path("m").display()));
    refused("a repository on top of another", "builds on another repository");
    place.ok("config --repo=usb/.ostree/repo unset core.parent");

    // An object with a bit flipped: it is found, and not pulled.
    let object = fs::read_dir(place.path("usb/.ostree/repo/objects"))
        .unwrap()
        .flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "dirtree"))
        .unwrap();
    let good = fs::read(&object).unwrap();
    let mut bad = good.clone();
    bad[0] ^= 1;
    fs::write(&object, bad).unwrap();
    let ran = place.run(FIND);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.err.contains("Failed to pull some refs from the remotes: (org.example.Os, os/main)"),
        "{}",
        ran.err
    );
    assert_eq!(place.run("rev-parse --repo=n vendor:os/main").code, 1);
    fs::write(&object, good).unwrap();

    // The vendor's own, of yesterday.
    place.ok("pull --repo=n vendor os/main");
    let ran = place.run(FIND);
    assert!(ran.code == 1 && ran.err.contains("older than current revision"), "{}", ran.err);
    assert_eq!(place.ok("rev-parse --repo=n vendor:os/main").trim(), second);
    assert!(place.run(&format!("show --repo=n {first}")).code == 1, "nothing of it is here");

    // Where nothing is asked for, anybody could have made it.
    place.ok(
        "remote add --repo=n --force --no-gpg-verify --collection-id=org.example.Os vendor file:///nowhere",
    );
    refused("a remote without signatures", "no signatures are asked for");
}

#[test]
fn paths_off_the_volume_are_refused() {
    let place = Place::new();
    vendor_and_machines(&place);
    for path in ["/abs", "../out", ""] {
        let ran =
            place.run(&format!("create-usb --repo=m --destination-repo={path} usb {COLLECTION} os/main"));
        assert_eq!(ran.code, 1, "{path}");
    }
    assert_eq!(fs::read_dir(place.path("usb")).unwrap().count(), 0);
}

/// What a pull from a remote of a collection sets, and what it refuses.
#[test]
fn refs_of_collections_are_pulled_as_ostree_pulls_them() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let mut tree = Tree::default();
    tree.file("a", "a");
    tree.write_to(&place.path("t")).unwrap();
    place.ok("init --repo=r --mode=archive --format=ostree --collection-id=org.own.C");
    for line in [
        "-b main",
        "-b other --add-metadata-string=ostree.collection-binding=org.other.C",
        "-b none --no-bindings",
        "-b near --bind-ref=far",
    ] {
        place.ok(&format!("commit --repo=r {line} --timestamp=@1 t"));
    }
    place.ok("refs --repo=r --create=alias main");
    place.ok("refs --repo=r -c --create=org.far.C:far near");
    place.ok("summary --repo=r -u");
    let url = format!("file://{}", place.path("r").display());
    // (Of a directory OSTree believes the collection that it says itself; we go by the configuration there, too.)
    for of in ["", "--collection-id=org.own.C"] {
        for into in ["", "--collection-id=org.own.C"] {
            for how in ["", "--mirror", "--mirror --disable-verify-bindings"] {
                for name in ["main", "other", "none", "alias", "far"] {
                    let state = |repo: &str, ran: i32| {
                        let found = place.ok(&format!("refs --repo={repo} --collections"));
                        (ran, found, place.ok(&format!("refs --repo={repo}")))
                    };
                    let prepare = |repo: &str| {
                        let _ignored = fs::remove_dir_all(place.path(repo));
                        place.ok(&format!("init --repo={repo} --mode=archive --format=ostree {into}"));
                        place.ok(&format!("remote add --repo={repo} --no-gpg-verify {of} far {url}"));
                    };
                    prepare("ours");
                    let ran = place.run(&format!("pull --repo=ours {how} far {name}"));
                    let ours = state("ours", ran.code);
                    prepare("theirs");
                    let theirs = real(&place, &ostree, &format!("--repo=theirs pull {how} far {name}"));
                    let expected = state("theirs", theirs.code);
                    assert_eq!(ours, expected, "{of} / {into} / {how} {name}: {} / {}", ran.err, theirs.err);
                }
            }
        }
    }
}
