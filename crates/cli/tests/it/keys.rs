//! Which keys a remote is verified by, and which are taken back: beside the real `ostree`.

use crate::peer::real;
use crate::place::{Place, Ran};
use sapwood_testkit::{Gnupg, Ostree, skipped};
use std::fs;
use std::os::unix::fs::symlink;

/// Runs a line under OSTree's name, so in its format; it must succeed.
fn ok(place: &Place, line: &str) -> String {
    let ran = place.run_as_ostree(line);
    assert_eq!(ran.code, 0, "ostree {line}: {ran:?}");
    ran.out
}

/// A repository `srv` whose commit `main` is signed by the key of `good`, and the exported keys `good.gpg` and `wrong.gpg`.
fn signed(place: &Place, gpg: &Gnupg) -> String {
    let key = gpg.make("good <good@a>", "ed25519", "never", &[]).unwrap();
    gpg.make("wrong <wrong@a>", "ed25519", "never", &[]).unwrap();
    for user in ["good", "wrong"] {
        fs::write(place.path(&format!("{user}.gpg")), gpg.public(Some(user)).unwrap()).unwrap();
    }
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/f"), "content").unwrap();
    ok(place, "init --repo=srv --mode=archive");
    let by = format!("--gpg-homedir={} --gpg-sign={key}", gpg.home().display());
    ok(place, &format!("commit --repo=srv -b main {by} t"));
    key
}

/// Whether a fresh `child` made by `prepare` takes in `r:main`: ours and the real program must agree where it is there.
fn both_pull(place: &Place, what: &str, prepare: &dyn Fn()) -> bool {
    let pulled = |run: &dyn Fn(&str) -> Ran| {
        drop(fs::remove_dir_all(place.path("child")));
        prepare();
        let ran = run("--repo=child pull r main");
        let moved = place.run_as_ostree("rev-parse --repo=child r:main").code == 0;
        assert_eq!(ran.code == 0, moved, "{what}: {ran:?}");
        moved
    };
    let ours = pulled(&|line| place.run_as_ostree(line));
    if let Some(ostree) = Ostree::find() {
        assert_eq!(pulled(&|line| real(place, &ostree, line)), ours, "{what}: the real program");
    }
    ours
}

#[test]
fn a_remote_of_a_parent_is_verified_by_the_keys_that_the_parent_trusts_for_it() {
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    let place = Place::new();
    signed(&place, &gpg);
    let url = format!("file://{}", place.path("srv").display());
    ok(&place, "init --repo=parent --mode=archive");
    ok(&place, &format!("remote add --repo=parent r {url}"));
    let child = || {
        ok(&place, "init --repo=child --mode=archive");
        ok(&place, &format!("config --repo=child set core.parent {}", place.path("parent").display()));
    };
    let own_remote = || {
        child();
        ok(&place, &format!("remote add --repo=child r {url}"));
    };
    let own_key = |key: &str| {
        child();
        ok(&place, &format!("remote gpg-import --repo=child r -k {key}"));
        assert_eq!(ok(&place, "remote gpg-list-keys --repo=child r").matches("UID").count(), 1);
    };
    let of_parent = |key: &str| {
        drop(fs::remove_file(place.path("parent/r.trustedkeys.gpg")));
        ok(&place, &format!("remote gpg-import --repo=parent r -k {key}"));
    };
    assert!(!both_pull(&place, "nobody has keys", &child));
    of_parent("good.gpg");
    assert!(both_pull(&place, "the parent's remote and keys", &child));
    assert!(both_pull(&place, "a remote of its own, the parent's keys", &own_remote));
    assert!(!both_pull(&place, "the wrong key of its own", &|| own_key("wrong.gpg")));
    child_lists(&place, &child, "good@a");
    of_parent("wrong.gpg");
    assert!(!both_pull(&place, "the parent's remote and wrong key", &child));
    assert!(!both_pull(&place, "a remote of its own, the parent's wrong key", &own_remote));
    assert!(both_pull(&place, "the good key of its own", &|| own_key("good.gpg")));
    child_lists(&place, &child, "wrong@a");
}

fn child_lists(place: &Place, child: &dyn Fn(), user: &str) {
    fs::remove_dir_all(place.path("child")).unwrap();
    child();
    let listed = ok(place, "remote gpg-list-keys --repo=child r");
    assert!(listed.contains(user) && listed.matches("UID").count() == 1, "{listed}");
}

#[test]
fn a_revocation_alone_revokes_wherever_it_is_named() {
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    let place = Place::new();
    let key = signed(&place, &gpg);
    let certificate = gpg.certificate(&key).unwrap();
    fs::write(place.path("revoked.asc"), &certificate).unwrap();
    let binary = gpg.run(["--dearmor"], certificate.as_bytes()).unwrap();
    fs::write(place.path("revoked.gpg"), &binary).unwrap();
    let good = fs::read(place.path("good.gpg")).unwrap();
    fs::write(place.path("both.gpg"), [good.clone(), binary.clone()].concat()).unwrap();
    let url = format!("file://{}", place.path("srv").display());
    let named = |files: &[&str]| {
        let paths: Vec<_> = files.iter().map(|file| place.path(file).display().to_string()).collect();
        let paths = paths.join(",");
        both_pull(&place, &paths, &|| {
            ok(&place, "init --repo=child --mode=archive");
            ok(&place, &format!("remote add --repo=child --set=gpgkeypath={paths} r {url}"));
        })
    };
    assert!(named(&["good.gpg"]));
    assert!(!named(&["both.gpg"]));
    assert!(!named(&["good.gpg", "revoked.asc"]));
    assert!(!named(&["good.gpg", "revoked.gpg"]));

    // In a folder OSTree takes what it finds in the order of the disk, and passes over what comes before the key.
    let pulls = |key_path: &str| {
        drop(fs::remove_dir_all(place.path("child")));
        ok(&place, "init --repo=child --mode=archive");
        let path = place.path(key_path);
        ok(&place, &format!("remote add --repo=child --set=gpgkeypath={} r {url}", path.display()));
        place.run("pull --repo=child r main")
    };
    fs::create_dir(place.path("keys")).unwrap();
    fs::write(place.path("keys/m.gpg"), &good).unwrap();
    assert_eq!(pulls("keys").code, 0);
    for (name, bytes) in [
        ("a.asc", certificate.as_bytes()),
        ("z.asc", certificate.as_bytes()),
        ("a.gpg", &binary),
        ("z.gpg", &binary),
    ] {
        let path = place.path("keys").join(name);
        fs::write(&path, bytes).unwrap();
        let ran = pulls("keys");
        assert!(ran.code == 1 && ran.err.contains("Key revoked"), "{name}: {ran:?}");
        fs::remove_file(path).unwrap();
    }
    fs::write(place.path("keys/z.gpg"), "no key at all").unwrap();
    let ran = pulls("keys");
    assert!(ran.code == 0 && ran.err.contains("no keys are taken from"), "{ran:?}");

    // What was imported is revoked by importing the certificate, and that of a stranger is not taken for done.
    ok(&place, &format!("remote add --repo=srv --gpg-import=good.gpg good {url}"));
    ok(&place, &format!("remote add --repo=srv --gpg-import=wrong.gpg wrong {url}"));
    let ran = place.run_as_ostree("remote gpg-import --repo=srv -k revoked.asc wrong");
    assert!(ran.code == 1 && ran.err.contains("no keys of its own"), "{ran:?}");
    for (file, said) in [("revoked.asc", "\nRevoked 1 GPG key of"), ("revoked.gpg", "Imported 0 GPG keys to")]
    {
        let said_now = ok(&place, &format!("remote gpg-import --repo=srv -k {file} good"));
        assert!(said_now.contains(said), "{said_now}");
        let listed = ok(&place, "remote gpg-list-keys --repo=srv good");
        assert!(listed.contains(&format!("Key: {key} (revoked)")), "{listed}");
    }
}

#[test]
fn a_list_of_revoked_keys_that_is_not_what_it_should_be_is_an_error() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    fs::create_dir_all(place.path("t")).unwrap();
    fs::create_dir_all(place.path("k")).unwrap();
    let keys = place.ok("trust new-key secret");
    let public = keys.lines().find_map(|line| line.strip_prefix("Public key: ")).unwrap();
    fs::write(place.path("k/trusted.ed25519"), public).unwrap();
    place.ok("commit --repo=r -b main --sign-type=ed25519 --sign-from-file=secret t");
    let verify = || place.run("sign --repo=r --verify --sign-type=ed25519 --keys-dir=k main");
    assert_eq!(verify().code, 0);
    let (file, folder) = (place.path("k/revoked.ed25519"), place.path("k/revoked.ed25519.d"));
    let refused = |what: &str| {
        let ran = verify();
        assert!(ran.code == 1 && ran.err.contains("revoked.ed25519"), "{what}: {ran:?}");
    };
    symlink("nowhere", &file).unwrap();
    refused("a link to nothing");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused("a folder in place of the list");
    fs::remove_dir(&file).unwrap();
    symlink("nowhere", &folder).unwrap();
    refused("a link to nothing in place of the folder");
    fs::remove_file(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    refused("a file in place of the folder");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    assert_eq!(verify().code, 0);
    symlink("nowhere", folder.join("more")).unwrap();
    refused("a link to nothing in the folder");
}

#[test]
fn what_verifies_is_never_empty_and_that_nothing_does_is_said() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    place.ok("init --repo=srv --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    place.ok("commit --repo=srv -b main t");
    place.ok("summary --repo=srv -u");
    let url = format!("file://{}", place.path("srv").display());
    for key in ["gpg-verify", "gpg-verify-summary", "sign-verify", "sign-verify-summary"] {
        let ran = place.run(&format!("remote add --repo=r --no-gpg-verify {key} {url}"));
        assert!(ran.code == 0 && ran.err.starts_with("warning: no signatures are verified"), "{ran:?}");
        let ran = place.run(&format!("pull-local --repo=r --remote={key} srv main"));
        assert!(ran.code == 0 && ran.err.is_empty(), "{ran:?}");
        place.ok(&format!("pull --repo=r {key} main"));
        let config = fs::read_to_string(place.path("r/config")).unwrap();
        let others = config.lines().filter(|line| !line.starts_with(&format!("{key}=")));
        let emptied = format!("{key}=");
        let emptied: Vec<&str> = others.chain([emptied.as_str()]).collect();
        fs::write(place.path("r/config"), emptied.join("\n")).unwrap();
        let refused = place.run(&format!("pull --repo=r {key} main"));
        assert!(refused.code == 1 && refused.err.contains(&format!("{key} is")), "{key}: {refused:?}");
    }
    place.ok(&format!("remote add --repo=r signed {url}"));
    let ran = place.run("pull-local --repo=r --remote=signed srv main");
    assert!(ran.code == 0 && ran.err.starts_with("warning: remote signed asks for signatures"), "{ran:?}");
    let ran = place.run("pull-local --repo=r --remote=signed --gpg-verify srv main");
    assert!(ran.code == 1 && !ran.err.contains("warning"), "{ran:?}");
    let ran = place.run("pull-local --repo=r --remote=signed --gpg-verify=false srv main");
    assert!(ran.code == 0 && ran.err.is_empty(), "{ran:?}");
}
