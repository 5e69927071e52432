//! Attacks by whoever controls a server, on machines that ask for signatures: each by way of HTTP, through the program, with every
//! engine. Each is refused, and for its reason; nothing of it enters the repository, and no ref moves.

use crate::place::{Place, Server};
use sapwood_testkit::{Gnupg, openssl, skipped};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// An engine with its keys: `good` is trusted, and so were `expired` and `revoked`; `wrong` never was.
struct Engine {
    format: &'static str,
    /// The options that sign with a key.
    keys: BTreeMap<&'static str, String>,
    /// The options of `remote add` that trust them.
    trust: String,
    /// What is said of a signature by an unknown key, and of one over something else.
    unknown: &'static str,
    other_data: &'static str,
}

/// Keys that `sapwood` makes itself.
fn ed25519(place: &Place, format: &'static str) -> Engine {
    let mut keys = BTreeMap::new();
    let mut trust = String::new();
    for key in ["good", "wrong"] {
        let said = place.ok(&format!("trust new-key {key}"));
        keys.insert(key, format!("--sign-type=ed25519 --sign-from-file={key}"));
        if key == "good" {
            let public = said.split_whitespace().last().unwrap();
            trust = format!(
                "--no-gpg-verify --sign-verify=ed25519=inline:{public} --set=sign-verify-summary=true"
            );
        }
    }
    let said = "couldn't be verified";
    Engine { format, keys, trust, unknown: said, other_data: said }
}

/// Keys of P-256; `None` without `openssl`.
fn spki(place: &Place) -> Option<Engine> {
    let mut keys = BTreeMap::new();
    for key in ["good", "wrong"] {
        let secret =
            openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"").unwrap()?;
        fs::write(place.path(&format!("{key}.pub")), openssl(["pkey", "-pubout"], &secret).unwrap()?)
            .unwrap();
        fs::write(place.path(key), secret).unwrap();
        keys.insert(key, format!("--sign-type=spki --sign-from-file={key}"));
    }
    let trust = format!(
        "--no-gpg-verify --sign-verify=spki=file:{} --set=sign-verify-summary=true",
        place.path("good.pub").display()
    );
    let said = "couldn't be verified";
    Some(Engine { format: "native", keys, trust, unknown: said, other_data: said })
}

/// A keyring in which one key is good, one expired, and one taken back.
fn gpg(place: &Place, gpg: &Gnupg) -> Engine {
    let at = |day: &'static str| ["--faked-system-time", day];
    let make = |name: &str| {
        gpg.make(&format!("{name} <{name}@example.org>"), "ed25519", "never", &at("20200101T000000!"))
            .unwrap()
    };
    let [good, wrong, expired, revoked] = ["good", "wrong", "expired", "revoked"].map(make);
    let mut keyring = gpg.public(Some(&good)).unwrap();
    // Who signs still has it as it was: it is the machine that knows.
    let expire = |until: &str, day: &'static str| {
        gpg.run(at(day).into_iter().chain(["--quick-set-expire", &expired, until]), b"").unwrap();
    };
    expire("1d", "20200102T000000!");
    keyring.extend(gpg.public(Some(&expired)).unwrap());
    expire("never", "20200103T000000!");
    let elsewhere = Gnupg::new().unwrap().unwrap();
    elsewhere.run(["--import"], &gpg.public(Some(&revoked)).unwrap()).unwrap();
    let certificate = fs::read_to_string(gpg.home().join(format!("openpgp-revocs.d/{revoked}.rev"))).unwrap();
    elsewhere.run(["--import"], certificate.replace(":-----BEGIN", "-----BEGIN").as_bytes()).unwrap();
    keyring.extend(elsewhere.public(None).unwrap());
    fs::write(place.path("keyring"), keyring).unwrap();
    let by = |key: String| format!("--gpg-homedir={} --gpg-sign={key}", gpg.home().display());
    let keys = [("good", good), ("wrong", wrong), ("expired", expired), ("revoked", revoked)];
    Engine {
        format: "ostree",
        keys: keys.map(|(name, key)| (name, by(key))).into(),
        trust: "--gpg-import=keyring --set=gpg-verify-summary=true".to_owned(),
        unknown: "public key not found",
        other_data: "BAD signature",
    }
}

/// Which machines meet an attack.
#[derive(Clone, Copy, PartialEq)]
enum Machines {
    /// One that has the newest state, and one that is new.
    All,
    /// Only the one that has it: another cannot know.
    UpToDate,
}

/// An owner's server, and a machine that is up to date with it.
struct World<'p> {
    place: &'p Place,
    engine: Engine,
    server: Server,
}

/// All files below some directories of a repository.
fn state(repo: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs: Vec<PathBuf> = ["objects", "refs", "state"].map(|name| repo.join(name)).into();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                // That a commit is not complete is noted before it comes.
                false if path.extension().is_some_and(|kind| kind == "commitpartial") => {}
                false => drop(files.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    files
}

impl<'p> World<'p> {
    fn new(place: &'p Place, engine: Engine, init: &str) -> Self {
        fs::create_dir_all(place.path("t/etc")).unwrap();
        place.ok(&format!("init --repo=srv --mode=archive --format={} {init}", engine.format));
        let server = place.serve("srv");
        Self { place, engine, server }
    }

    /// Commits a tree of which an object of each kind is new.
    fn commit(&self, branch: &str, at: u32, key: Option<&str>) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(self.place.path("t/etc/version"), format!("{branch} {at}")).unwrap();
        let mode = fs::Permissions::from_mode(0o700 + at / 1000 % 8);
        fs::set_permissions(self.place.path("t/etc"), mode).unwrap();
        let by = key.map_or("", |key| &self.engine.keys[key]);
        let to = format!("--repo=srv -b {branch} -s {at} --timestamp=@{at}");
        self.place
            .ok(&format!("commit {to} --owner-uid=0 --owner-gid=0 --no-xattrs {by} t"))
            .trim()
            .to_owned()
    }

    fn publish(&self, key: &str) {
        self.place.ok(&format!("summary --repo=srv -u {}", self.engine.keys[key]));
    }

    /// Keeps the server's state under a name.
    fn keep(&self, name: &str) {
        self.place.ok_of("cp", &["-a", "srv", name]);
    }

    /// Puts the server into a state that was kept.
    fn put(&self, name: &str) {
        for entry in fs::read_dir(self.place.path("srv")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        self.place.ok_of("cp", &["-a", &format!("{name}/."), "srv"]);
    }

    /// Makes a machine that trusts the owner.
    fn machine(&self, name: &str, options: &str) {
        self.place.ok(&format!("init --repo={name} --mode=bare-user --format={}", self.engine.format));
        let (trust, url) = (&self.engine.trust, &self.server.url);
        self.place.ok(&format!("remote add --repo={name} {trust} {options} o {url}"));
    }

    /// The machines that meet the attack refuse it with these words, and stay as they are.
    fn refused(&self, what: &str, machines: Machines, because: &[&str]) {
        let names = if machines == Machines::All { &["machine", "new"][..] } else { &["machine"] };
        for name in names {
            let repo = self.place.path(name);
            // What an earlier attempt brought that was good is used by the next one: this one shall see it all.
            fs::remove_dir_all(repo.join("tmp")).unwrap();
            let before = state(&repo);
            let ran = self.place.run(&format!("pull --repo={name} -T o main"));
            assert_eq!(ran.code, 1, "{what}, {name}: {ran:?}");
            let said = ran.err.to_lowercase();
            assert!(
                because.iter().all(|word| said.contains(&word.to_lowercase())),
                "{what}, {name}: {}",
                ran.err
            );
            let after = state(&repo);
            let changed: Vec<_> =
                after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).collect();
            assert!(changed.is_empty() && before.len() == after.len(), "{what}, {name}: {changed:?}");
        }
    }
}

/// The files of objects in a repository that another state of it lacks, by kind, with their ids.
fn new_objects(repo: &Path, old: &Path) -> Vec<(String, String, PathBuf)> {
    let mut found = Vec::new();
    for path in state(repo).into_keys() {
        let below = path.strip_prefix(repo).unwrap();
        if below.starts_with("objects") && !old.join(below).exists() {
            let kind = path.extension().unwrap().to_str().unwrap().to_owned();
            let [folder, stem] = [path.parent().unwrap().file_name(), path.file_stem()].map(Option::unwrap);
            found.push((kind, format!("{}{}", folder.to_str().unwrap(), stem.to_str().unwrap()), path));
        }
    }
    found
}

/// Another object of a kind.
fn another(repo: &Path, kind: &str, than: &Path) -> Option<Vec<u8>> {
    let is_other = |path: &PathBuf| path != than && path.extension().is_some_and(|of| of == kind);
    state(repo).into_iter().find(|(path, _)| is_other(path)).map(|(_, bytes)| bytes)
}

fn attack(place: &Place, engine: Engine) {
    use Machines::{All, UpToDate};
    let world = World::new(place, engine, "");
    let other = world.commit("other", 1000, Some("good"));
    world.commit("main", 1000, Some("good"));
    world.publish("good");
    world.keep("old");
    let second = world.commit("main", 2000, Some("good"));
    world.publish("good");
    world.keep("now");
    world.machine("new", "");
    world.machine("machine", "");
    place.ok("pull --repo=machine o main");
    let beside =
        |commit: &str| place.path(&format!("srv/objects/{}/{}.commitmeta", &commit[..2], &commit[2..]));

    world.commit("main", 3000, None);
    world.publish("good");
    world.refused("an unsigned commit", All, &["no signatures found"]);
    for (key, because) in
        [("wrong", world.engine.unknown), ("expired", "key expired"), ("revoked", "key revoked")]
    {
        if world.engine.keys.contains_key(key) {
            world.put("now");
            world.publish(key);
            world.refused(&format!("a summary by a key: {key}"), All, &[because]);
            world.commit("main", 3000, Some(key));
            world.publish("good");
            world.refused(&format!("a commit by a key: {key}"), All, &[because]);
        }
    }

    world.put("now");
    let third = world.commit("main", 3000, Some("good"));
    world.publish("good");
    world.keep("next");
    fs::copy(beside(&second), beside(&third)).unwrap();
    world.refused("the signature of another commit", All, &[world.engine.other_data]);
    fs::remove_file(beside(&third)).unwrap();
    world.refused("a commit stripped of its signatures", All, &["no signatures found"]);
    world.put("next");
    fs::remove_file(place.path("srv/summary.sig")).unwrap();
    world.refused("a summary stripped of its signatures", All, &["no summary.sig found"]);
    fs::copy(place.path("old/summary.sig"), place.path("srv/summary.sig")).unwrap();
    world.refused("an older signature with a newer summary", All, &[world.engine.other_data]);
    fs::copy(beside(&third), place.path("srv/summary.sig")).unwrap();
    world.refused("a summary with a commit's signatures", All, &[world.engine.other_data]);

    world.put("next");
    place.ok(&format!("reset --repo=srv main {other}"));
    world.publish("good");
    world.refused("a good commit under another ref", All, &["bind"]);
    world.put("old");
    world.refused("the state of yesterday", UpToDate, &["older"]);
    world.put("next");
    for name in ["summary", "summary.sig"] {
        fs::copy(place.path("old").join(name), place.path("srv").join(name)).unwrap();
    }
    world.refused("an older summary with newer objects", UpToDate, &["older"]);

    world.put("next");
    let expired = format!("ostree.summary.expires=uint64 {}", 1_000_000_000_u64.swap_bytes());
    let mut update = place.command(place.path("ostree"));
    update.args(["summary", "--repo=srv", "-u", "-m", &expired]);
    assert!(update.args(world.engine.keys["good"].split(' ')).status().unwrap().success());
    world.refused("a frozen summary past its expiry", All, &["expired"]);

    tampered(&world);

    world.put("next");
    for name in ["machine", "new"] {
        place.ok(&format!("pull --repo={name} -T o main"));
        assert_eq!(place.ok(&format!("rev-parse --repo={name} o:main")).trim(), third);
    }
    place.ok("fsck --repo=machine");
}

/// Changes each kind of object, and what is beside them, cut short and exchanged for another good one.
fn tampered(world: &World<'_>) {
    let (place, srv) = (world.place, world.place.path("srv"));
    world.put("next");
    let new = new_objects(&srv, &place.path("now"));
    let mut kinds: Vec<&str> = Vec::new();
    for (kind, id, path) in &new {
        if kinds.contains(&kind.as_str()) {
            continue;
        }
        kinds.push(kind);
        let good = fs::read(path).unwrap();
        let other = another(&srv, kind, path).unwrap();
        for (how, bytes) in [("cut short", &good[..good.len() - 1]), ("another one", &other)] {
            fs::write(path, bytes).unwrap();
            let because: &[&str] = if kind == "commitmeta" { &["commit"] } else { &[id] };
            world.refused(&format!("a {kind} that is {how}"), Machines::All, because);
        }
        fs::write(path, good).unwrap();
    }
    kinds.sort_unstable();
    assert_eq!(kinds.len(), 5, "one object of each kind: {kinds:?}");
    for name in ["summary", "summary.sig"] {
        let good = fs::read(srv.join(name)).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        for (how, bytes) in [("cut short", &good[..good.len() - 1]), ("changed", &bad)] {
            fs::write(srv.join(name), bytes).unwrap();
            world.refused(&format!("a {name} that is {how}"), Machines::All, &[]);
        }
        fs::write(srv.join(name), good).unwrap();
    }
}

#[test]
fn nothing_that_ed25519_keys_do_not_vouch_for_gets_in() {
    let place = Place::new();
    let engine = ed25519(&place, "native");
    attack(&place, engine);
}

#[test]
fn nothing_that_they_do_not_vouch_for_gets_in_in_the_format_of_ostree() {
    let place = Place::new();
    let engine = ed25519(&place, "ostree");
    attack(&place, engine);
}

#[test]
fn nothing_that_public_keys_in_pem_do_not_vouch_for_gets_in() {
    let place = Place::new();
    let Some(engine) = spki(&place) else { return skipped("openssl is not installed") };
    attack(&place, engine);
}

#[test]
fn nothing_that_gpg_keys_do_not_vouch_for_gets_in() {
    let Some(home) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    let place = Place::new();
    let engine = gpg(&place, &home);
    attack(&place, engine);
}

#[test]
fn another_repository_of_the_same_owner_is_told_by_its_collection() {
    let place = Place::new();
    let engine = ed25519(&place, "ostree");
    let world = World::new(&place, engine, "--collection-id=org.example.Servers");
    world.commit("main", 1000, Some("good"));
    world.publish("good");
    world.machine("phone", "--collection-id=org.example.Phones");
    let before = state(&place.path("phone"));
    let ran = place.run("pull --repo=phone o main");
    assert!(ran.code == 1 && ran.err.contains("org.example.Phones"), "{ran:?}");
    assert_eq!(state(&place.path("phone")), before);
    world.machine("machine", "--collection-id=org.example.Servers");
    place.ok("pull --repo=machine o main");
}
