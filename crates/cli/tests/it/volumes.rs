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
            "Copied 1/1 refs successfully from ‘{}’ to ‘{}’ repository in ‘usb’.\n",
            place.path("m").display(),
            option.split_once('=').map_or(".ostree/repo", |(_, at)| at)
        );
        assert_eq!(ran.out, said);
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
fn a_volume_on_which_making_the_repository_was_cut_short_is_gone_on_with() {
    let place = Place::new();
    let [first, _] = vendor_and_machines(&place);
    // What is written first.
    fs::create_dir_all(place.path("usb/.ostree/repo")).unwrap();
    place.ok("init --repo=whole --mode=archive --format=ostree");
    fs::copy(place.path("whole/config"), place.path("usb/.ostree/repo/config")).unwrap();
    place.ok(&format!("create-usb --repo=m usb {COLLECTION} os/main"));
    assert!(place.ok(FIND).contains(&first));
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

/// The options that ask for the vendor's signature, as the machine `n` has them.
fn verification(place: &Place) -> String {
    let config = fs::read_to_string(place.path("n/config")).unwrap();
    let key = config.lines().find_map(|line| line.strip_prefix("verification-ed25519-key=")).unwrap();
    format!("--collection-id={COLLECTION} --set=sign-verify=ed25519 --set=verification-ed25519-key={key}")
}

const SIGNED: &str = "--no-xattrs --sign-type=ed25519 --sign-from-file=key";

#[test]
fn a_ref_that_is_not_right_spoils_nothing_else_of_its_place() {
    let place = Place::new();
    let [first, _] = vendor_and_machines(&place);
    fs::create_dir(place.path("t2")).unwrap();
    fs::write(place.path("t2/alone"), "in no other tree").unwrap();
    place.ok(&format!("commit --repo=r -b os/extra {SIGNED} --timestamp=@1 t2"));
    place.ok("pull --repo=m vendor os/extra");
    place.ok(&format!("create-usb --repo=m usb {COLLECTION} os/main {COLLECTION} os/extra"));
    // Somebody added a ref, and a disk lost an object of another.
    place.ok("commit --repo=usb/.ostree/repo -b mine --no-xattrs t");
    place.ok(&format!("refs --repo=usb/.ostree/repo -c --create={COLLECTION}:os/mine mine"));
    let shards = fs::read_dir(place.path("usb/.ostree/repo/objects")).unwrap();
    let objects = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let tree = objects.map(|object| object.unwrap().path()).find(|path| {
        let is_tree = path.extension().is_some_and(|kind| kind == "dirtree");
        is_tree && fs::read(path).unwrap().windows(5).any(|name| name == b"alone")
    });
    fs::remove_file(tree.unwrap()).unwrap();

    let ran = place.run(&format!("{FIND} {COLLECTION} os/extra {COLLECTION} os/mine"));
    assert_eq!(ran.code, 1, "{}", ran.out);
    let failed = "Failed to pull some refs from the remotes: (org.example.Os, os/extra)";
    assert!(ran.err.lines().any(|line| line.ends_with(failed)), "{}", ran.err);
    let why = ran.err.lines().find(|line| line.contains("os/mine: "));
    assert!(why.is_some_and(|why| why.contains("No signatures found")), "{}", ran.err);
    assert_eq!(place.ok("rev-parse --repo=n vendor:os/main").trim(), first);
    for name in ["os/extra", "os/mine"] {
        assert_eq!(place.run(&format!("rev-parse --repo=n vendor:{name}")).code, 1, "{name}");
    }
}

#[test]
fn what_would_be_refused_takes_nobodys_place() {
    let place = Place::new();
    let [_, second] = vendor_and_machines(&place);
    place.ok("summary --repo=r -u");
    let other = |from: &str| {
        place.ok(&format!("init --repo=other --mode=archive --format=ostree --collection-id={COLLECTION}"));
        place.ok(&format!("pull-local --repo=other {from}"));
        place.ok("refs --repo=other --create=os/main os/newer");
        place.ok("summary --repo=other -u");
        let url = place.path("other");
        let add = format!("remote add --repo=n --no-gpg-verify {} other", verification(&place));
        place.ok(&format!("{add} file://{}", url.display()));
        let out = place.ok("find-remotes --repo=n --finders=config --pull org.example.Os os/main");
        assert!(out.ends_with("1/1 refs were found.\nPulled 1/1 refs successfully.\n"), "{out}");
        assert_eq!(place.ok("rev-parse --repo=n vendor:os/main").trim(), second);
        place.ok("remote delete --repo=n other");
        place.ok("refs --repo=n --delete vendor");
        fs::remove_dir_all(place.path("other")).unwrap();
    };
    // The vendor's own, newer, and made for another ref.
    place.ok(&format!("commit --repo=r -b os/newer {SIGNED} --timestamp=@3000 t"));
    other("r os/newer");
    // Nobody's, but here already.
    place.ok(&format!("init --repo=evil --mode=archive --format=ostree --collection-id={COLLECTION}"));
    place.ok("commit --repo=evil -b os/newer --bind-ref=os/main --no-xattrs --timestamp=@9000 t");
    place.ok("pull-local --repo=n evil os/newer");
    other("evil os/newer");
}

#[test]
fn what_is_pulled_is_what_was_looked_at_whatever_is_mounted_there_by_then() {
    let place = Place::new();
    let [first, _] = vendor_and_machines(&place);
    place.ok(&format!("create-usb --repo=m usb {COLLECTION} os/main"));
    // A server is asked after the volumes: by then another is there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(place.path("n/config")).unwrap();
    let url = format!("url=http://{}/", listener.local_addr().unwrap());
    let lines = config.lines().map(|line| if line.starts_with("url=") { url.as_str() } else { line });
    fs::write(place.path("n/config"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let (usb, gone) = (place.path("usb"), place.path("gone"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _already = fs::rename(&usb, &gone).and_then(|()| fs::create_dir(&usb));
            let mut stream = stream.unwrap();
            let _its_head = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
            let no = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            std::io::Write::write_all(&mut stream, no).unwrap();
        }
    });
    let ran = place.run(&FIND.replace("=mount", "=config,mount"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(place.path("gone").exists(), "it was asked");
    assert_eq!(place.ok("rev-parse --repo=n vendor:os/main").trim(), first);
}

/// What [`vendor_and_machines`] makes, with a summary, and one more line of what `n` knows of its remote.
fn vendor_with(place: &Place, line: &str) {
    vendor_and_machines(place);
    place.ok("summary --repo=r -u");
    let config = fs::read_to_string(place.path("n/config")).unwrap();
    fs::write(place.path("n/config"), config.replace("\nurl=", &format!("\n{line}\nurl="))).unwrap();
}

#[test]
fn no_more_is_taken_in_a_second_than_the_remote_lets() {
    let place = Place::new();
    vendor_with(&place, "limit-rate=none");
    let ran = place.run("find-remotes --repo=n --finders=config org.example.Os os/main");
    assert!(ran.err.contains("Invalid limit-rate of remote \"vendor\""), "{} {}", ran.out, ran.err);
}

#[test]
fn nothing_is_pulled_from_a_remote_that_is_still_to_be_configured() {
    let place = Place::new();
    vendor_with(&place, "unconfigured-state=register first");
    for line in [
        "find-remotes --repo=n --finders=config --pull org.example.Os os/main",
        "pull --repo=n vendor os/main",
    ] {
        let ran = place.run(line);
        assert!(ran.code == 1 && ran.err.contains("unconfigured-state: register first"), "{line}: {ran:?}");
        assert_eq!(place.run("rev-parse --repo=n vendor:os/main").code, 1);
    }
    assert!(place.ok("remote refs --repo=n vendor").contains("vendor:os/main"));
}
