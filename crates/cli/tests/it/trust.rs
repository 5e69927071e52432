//! Signatures and statements from the command line: with the real `ostree` and `gpg` in every pairing, and what an owner and
//! a machine do with statements.

use crate::peer::real;
use crate::place::{Place, Ran};
use sapwood_testkit::{Gnupg, Ostree, Release, skipped};
use std::fs;

/// Signs and verifies: our program under OSTree's name, or OSTree's.
type Program<'a> = &'a dyn Fn(&str) -> Ran;

fn must(program: Program<'_>, line: &str) {
    let ran = program(line);
    assert_eq!(ran.code, 0, "ostree {line}: {}{}", ran.out, ran.err);
}

/// Whether a client with these keys pulls.
fn pulls(place: &Place, program: Program<'_>, keys: &str) -> bool {
    drop(fs::remove_dir_all(place.path("client")));
    must(program, "--repo=client init --mode=bare-user");
    let url = place.path("srv").display().to_string();
    must(
        program,
        &format!("--repo=client remote add --set=gpg-verify-summary=true --gpg-import={keys} o file://{url}"),
    );
    let ran = program("--repo=client pull o main");
    let moved = program("--repo=client rev-parse o:main").code == 0;
    assert_eq!(ran.code == 0, moved, "{ran:?}");
    moved
}

#[test]
fn what_ostree_signs_we_verify_and_the_other_way_round_and_both_refuse_the_same() {
    let (Some(ostree), Some(gpg)) = (Ostree::find(), Gnupg::new().unwrap()) else {
        return skipped("ostree or gpg is not installed");
    };
    let place = Place::new();
    let long_ago = ["--faked-system-time", "20200101T000000!"];
    let key = gpg.make("Owner <owner@example.org>", "rsa2048", "never", &long_ago).unwrap();
    let wrong = gpg.make("Other <other@example.org>", "ed25519", "never", &[]).unwrap();
    let export = |name: &str, key: &str| {
        fs::write(place.path(name), gpg.public(Some(key)).unwrap()).unwrap();
    };
    export("good", &key);
    export("wrong", &wrong);
    gpg.run(["--faked-system-time", "20200102T000000!", "--quick-set-expire", &key, "1d"], b"").unwrap();
    export("expired", &key);
    gpg.run(["--quick-set-expire", &key, "never"], b"").unwrap();
    fs::create_dir(place.path("t")).unwrap();

    let ours = |line: &str| place.run_as_ostree(line);
    let theirs = |line: &str| real(&place, &ostree, line);
    let programs: [(&str, Program<'_>); 2] = [("ours", &ours), ("theirs", &theirs)];
    let by = format!("--gpg-homedir={} --gpg-sign={key}", gpg.home().display());
    for (signer, sign) in programs {
        drop(fs::remove_dir_all(place.path("srv")));
        must(sign, "--repo=srv init --mode=archive");
        fs::write(place.path("t/f"), signer).unwrap();
        must(sign, &format!("--repo=srv commit -b main -s one --timestamp=@1700000000 {by} t"));
        must(sign, &format!("--repo=srv summary -u {by}"));
        let check = |what: &str, keys: &str, passes: bool| {
            for (verifier, verify) in programs {
                let words = format!("{what}, signed by {signer}, verified by {verifier}");
                assert_eq!(pulls(&place, verify, keys), passes, "{words}");
            }
        };
        check("a good commit and summary", "good", true);
        check("by another key", "wrong", false);
        check("by an expired key", "expired", false);

        let id = sign("--repo=srv rev-parse main").out.trim().to_owned();
        let beside = place.path(&format!("srv/objects/{}/{}.commitmeta", &id[..2], &id[2..]));
        let (signatures, summary_sig) =
            (fs::read(&beside).unwrap(), fs::read(place.path("srv/summary.sig")).unwrap());
        fs::remove_file(&beside).unwrap();
        check("a commit without signatures", "good", false);
        let mut damaged = signatures.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&beside, damaged).unwrap();
        check("a damaged signature", "good", false);
        fs::write(&beside, &summary_sig).unwrap();
        check("the signature of something else", "good", false);
        fs::write(&beside, &signatures).unwrap();

        fs::remove_file(place.path("srv/summary.sig")).unwrap();
        check("a summary without signatures", "good", false);
        fs::write(place.path("srv/summary.sig"), &signatures).unwrap();
        check("a summary with a commit's signature", "good", false);
        must(sign, "--repo=srv summary -u");
        fs::write(place.path("srv/summary.sig"), &summary_sig).unwrap();
        let summary = fs::read(place.path("srv/summary")).unwrap();
        fs::write(place.path("srv/summary"), [summary, vec![0; 8]].concat()).unwrap();
        check("a summary that was changed", "good", false);
        must(sign, &format!("--repo=srv summary -u {by}"));
        check("a good commit and summary, again", "good", true);
    }
    gpg.revoke(&key).unwrap();
    export("revoked", &key);
    for (verifier, verify) in programs {
        assert!(!pulls(&place, verify, "revoked"), "by a revoked key, verified by {verifier}");
    }
}

/// What follows a name in lines of `NAME: VALUE`.
fn value<'t>(text: &'t str, name: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Makes a key in the file of this name; returns its public half.
fn new_key(place: &Place, name: &str) -> String {
    value(&place.ok(&format!("trust new-key {name}")), "Public key").to_owned()
}

#[test]
fn a_machine_goes_back_to_nothing_older_and_verifies_what_it_runs_by_the_keys_of_now() {
    let place = Place::new();
    let (good, other) = (new_key(&place, "good"), new_key(&place, "other"));
    place.os("one", Release::One);
    place.os("two", Release::Two);
    place.ok("init --repo=srv --mode=archive");
    let sign = "--sign-type=ed25519 --sign-from-file=good";
    let commit = |tree: &str, at: u32| {
        place
            .ok(&format!("commit --repo=srv -b os -s {tree} --timestamp=@{at} {sign} {tree}"))
            .trim()
            .to_owned()
    };
    let first = commit("one", 1000);
    let server = place.serve("srv");
    fs::create_dir(place.path("m")).unwrap();
    place.ok("admin init-fs m --mode=bare-user");
    place.ok("admin os-init os --sysroot=m");
    fs::write(place.path("keys"), &good).unwrap();
    let trust = format!("--no-gpg-verify --sign-verify=ed25519=file:{}", place.path("keys").display());
    place.ok(&format!("remote add --repo=m/ostree/repo {trust} o {}", server.url));
    place.ok("pull --repo=m/ostree/repo o os");
    place.ok("admin deploy --sysroot=m --os=os o:os");
    let second = commit("two", 2000);
    place.ok("admin upgrade --sysroot=m");
    place.ok(&format!("reset --repo=srv os {first}"));
    for run in [Place::run, Place::run_as_ostree] {
        let refused = run(&place, "admin upgrade --sysroot=m --os=os");
        assert!(refused.code == 1 && refused.err.contains("chronologically older"), "{refused:?}");
        assert_eq!(place.ok("rev-parse --repo=m/ostree/repo o:os").trim(), second);
    }

    let verified = || place.run("admin status --sysroot=m --verify");
    let says = |code: i32, words: &str, times: usize| {
        let ran = verified();
        assert_eq!((ran.code, ran.out.matches(words).count()), (code, times), "{words}: {ran:?}");
    };
    says(0, "    Verified: ed25519: Signature verified successfully with key", 2);
    let json: serde_json::Value =
        serde_json::from_str(&place.ok("--json admin status --sysroot=m --verify")).unwrap();
    assert_eq!(json["deployments"][1]["verification"]["result"], "good");
    // The key was replaced since.
    fs::write(place.path("keys"), &other).unwrap();
    says(1, "    NOT verified: ed25519: Signature couldn't be verified", 2);
    let of_ostree = || place.run_as_ostree("admin status --sysroot=m --verify");
    assert_eq!(of_ostree().code, 1);
    fs::write(place.path("keys"), &good).unwrap();
    assert_eq!(of_ostree().code, 0);

    let release = format!("m/ostree/deploy/os/deploy/{first}.0/usr/lib/os-release");
    let content = fs::read(place.path(&release)).unwrap();
    let shards =
        fs::read_dir(place.path("m/ostree/repo/objects")).unwrap().map(|shard| shard.unwrap().path());
    let mut objects = shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|file| file.unwrap().path()));
    let file = objects.find(|file| fs::read(file).is_ok_and(|bytes| bytes == content)).unwrap();
    fs::write(&file, "damage").unwrap();
    says(1, "is corrupt", 1);
    fs::write(&file, content).unwrap();
    says(0, "NOT", 0);
    let config = place.path("m/ostree/repo/config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\nsign-verify=ed25519;", "\nsign-verify=false")).unwrap();
    says(0, "Verified: only that it is whole; remote o asks for no signatures of commits", 2);
}

#[test]
fn a_list_of_revoked_keys_that_cannot_be_read_is_no_empty_one() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    fs::create_dir_all(place.path("t")).unwrap();
    fs::create_dir_all(place.path("k/revoked.spki.d")).unwrap();
    place.ok("commit --repo=r -b main t");
    // The key of RFC 8032, section 7.1, test 1.
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    fs::write(place.path("k/trusted.spki"), key).unwrap();
    let why = "holds what is no key";
    for (revoked, refused) in [
        ("", false),
        (key, false),
        ("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n", true),
        (&key[..key.len() - 30], true),
        (&format!("{key}{}", key.replace("PUBLIC KEY", "CERTIFICATE")), true),
    ] {
        for file in ["revoked.spki", "revoked.spki.d/more"] {
            fs::write(place.path("k").join(file), revoked).unwrap();
            let ran = place.run("sign --repo=r --verify --sign-type=spki --keys-dir=k main");
            assert!(ran.code == 1 && ran.err.contains(why) == refused, "{file}: {revoked}: {ran:?}");
            fs::remove_file(place.path("k").join(file)).unwrap();
        }
    }
}

#[test]
fn an_owner_states_what_is_newest_and_a_machine_takes_nothing_else() {
    let place = Place::new();
    let (owner, publisher) = (new_key(&place, "owner"), new_key(&place, "publisher"));
    assert_eq!(place.run("trust new-key owner").code, 1, "no key is lost");
    place.ok("init --repo=srv --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    let commit = |at: u32| place.ok(&format!("commit --repo=srv -b main -s {at} --timestamp=@{at} t"));
    let publish = || place.ok("summary --repo=srv -u --sign-from-file=publisher");
    commit(1000);
    place.ok(&format!("trust init --repo=srv --owner={owner} --publisher={publisher}"));
    let refused = place.run("summary --repo=srv -u");
    assert!(refused.code == 1 && refused.err.contains("key set"), "{refused:?}");
    publish();
    let root = value(&place.ok("trust show --repo=srv"), "Root").to_owned();
    let server = place.serve("srv");
    place.ok("init --repo=machine --mode=bare-user");
    place.ok(&format!("remote add --repo=machine --set=trust-root={root} o {}", server.url));
    place.ok("pull --repo=machine o main");

    let yesterday =
        ["summary", "statement"].map(|name| fs::read(place.path(&format!("srv/{name}"))).unwrap());
    commit(2000);
    publish();
    let newest = place.ok("rev-parse --repo=srv main");
    place.ok("pull --repo=machine o main");
    assert_eq!(place.ok("rev-parse --repo=machine o:main"), newest);
    for (name, bytes) in ["summary", "statement"].iter().zip(&yesterday) {
        fs::write(place.path(&format!("srv/{name}")), bytes).unwrap();
    }
    for line in [
        "pull --repo=machine o main",
        "remote refs --repo=machine o",
        "pull-local --repo=machine --remote=o srv main",
    ] {
        let refused = place.run(line);
        assert_eq!(refused.code, 1, "{line}");
        assert!(
            refused.err.contains("an older state") && refused.err.contains("trust forget"),
            "{}",
            refused.err
        );
    }
    assert_eq!(place.ok("rev-parse --repo=machine o:main"), newest);
    let seen = place.ok("--json trust show --repo=machine o");
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    assert!(seen["counter"].is_u64() && seen["root"] == root, "{seen}");
    place.ok("trust forget --repo=machine o");
    let refused = place.run("pull --repo=machine o main");
    assert!(refused.err.contains("chronologically older"), "{}", refused.err);

    // The publisher's key is replaced; machines follow by themselves.
    let second = new_key(&place, "second");
    let rotate = format!("trust rotate --repo=srv --publisher={second} --sign-from-file");
    assert_eq!(place.run(&format!("{rotate}=publisher")).code, 1, "a publisher is no owner");
    place.ok(&format!("{rotate}=owner"));
    assert_eq!(place.run("summary --repo=srv -u --sign-from-file=publisher").code, 1);
    place.ok("summary --repo=srv -u --sign-from-file=second");
    place.ok("pull --repo=machine o main");
    assert_eq!(value(&place.ok("trust show --repo=machine o"), "Key set"), "2");

    // Whoever has a publisher's key can state that a ref went back; no machine goes with it.
    let first = place.ok("rev-parse --repo=srv main^");
    place.ok(&format!("reset --repo=srv main {}", first.trim()));
    place.ok("summary --repo=srv -u --sign-from-file=second");
    for line in ["pull --repo=machine o main", "pull-local --repo=machine --remote=o srv main"] {
        let refused = place.run(line);
        assert!(refused.code == 1 && refused.err.contains("chronologically older"), "{line}: {refused:?}");
    }
    assert_eq!(place.ok("rev-parse --repo=machine o:main"), newest);
}

#[test]
fn signed_deltas_are_those_of_ostree_and_only_good_ones_are_applied() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    // Debian's has no other engine for them than the one for tests.
    let run = |mut command: std::process::Command, line: &str| -> Ran {
        command
            .args(line.split_whitespace())
            .current_dir(place.path("."))
            .env("OSTREE_DUMMY_SIGN_ENABLED", "1");
        command.output().unwrap().into()
    };
    let ours = |line: &str| run(place.command(place.path("ostree")), line);
    let theirs = |line: &str| run(ostree.command(), line);
    must(&ours, "--repo=r init --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    for content in ["one", "two"] {
        fs::write(place.path("t/f"), content).unwrap();
        must(&ours, "--repo=r commit -b x -s s t");
    }
    let id = |rev: &str| ours(&format!("--repo=r rev-parse {rev}")).out.trim().to_owned();
    let (from, to) = (id("x^"), id("x"));
    let generate = format!("--repo=r static-delta generate --from={from} --to={to} --sign-type=dummy");
    let verify = |key: &str| format!("--repo=r static-delta verify --sign-type=dummy {from}-{to} {key}");
    let shown = format!("--repo=r static-delta show {from}-{to}");
    let programs: [(&str, Program<'_>); 2] = [("ours", &ours), ("theirs", &theirs)];
    for (signer, sign) in programs {
        for (options, key, good) in
            [("", "good", false), ("--sign=good", "good", true), ("--sign=good", "bad", false)]
        {
            must(sign, &format!("{generate} {options}"));
            let words = format!("{options}, verified with {key}, signed by {signer}");
            let said = |program: Program<'_>| {
                let ran = program(&verify(key));
                assert_eq!(ran.code == 0, good, "{words}: {ran:?}");
                (ran.out, ran.err, program(&shown).out)
            };
            assert_eq!(said(&ours), said(&theirs), "{words}");
        }
        drop(fs::remove_dir_all(place.path("to")));
        must(&ours, "--repo=to init --mode=bare-user");
        must(&ours, &format!("--repo=to pull-local r {from}"));
        let name = fs::read_dir(place.path("r/deltas")).unwrap().next().unwrap().unwrap();
        let inner = fs::read_dir(name.path()).unwrap().next().unwrap().unwrap().path();
        let apply = format!("--repo=to static-delta apply-offline {}", inner.display());
        must(&ours, "--repo=to config set core.sign-verify-deltas true");
        for (line, why) in [
            (apply.clone(), "Key is mandatory"),
            (format!("{apply} --sign-type=dummy bad"), "incorrect signatures found: 1"),
        ] {
            let ran = ours(&line);
            assert!(ran.code == 1 && ran.err.contains(why), "{line}: {ran:?}");
            assert_eq!(ours(&format!("--repo=to ls {to}")).code, 1, "nothing was applied");
        }
        must(&ours, &format!("{apply} --sign-type=dummy good"));
        must(&ours, &format!("--repo=to ls {to}"));
    }
}
