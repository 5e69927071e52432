//! Remotes in drop-in files, as the real `ostree` has them: of a sysroot, and of the running system, which a namespace plays.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Ostree, skipped};
use std::fs;
use std::process::Command;

/// All that says what remotes there are.
fn described(place: &Place, sysroot: &str) -> String {
    let mut files = vec![place.path(sysroot).join("ostree/repo/config")];
    let dir = fs::read_dir(place.path(sysroot).join("etc/ostree/remotes.d"));
    let mut found: Vec<_> = dir.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    files.append(&mut found);
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().display().to_string();
        format!("== {name}\n{}", fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

fn drop_in(place: &Place, sysroot: &str, name: &str, text: &str) {
    let dir = place.path(sysroot).join("etc/ostree/remotes.d");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn a_sysroots_drop_ins_are_read_and_changed_as_ostree_does() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    for sysroot in ["ours", "theirs"] {
        fs::create_dir(place.path(sysroot)).unwrap();
        place.ok(&format!("admin init-fs --format=ostree {sysroot}"));
        drop_in(&place, sysroot, "a.conf", "[remote \"a\"]\nurl=http://a/\n");
        drop_in(&place, sysroot, "b.txt", "[remote \"b\"]\nurl=http://b/\n");
        fs::create_dir(place.path(sysroot).join("etc/ostree/remotes.d/c.conf")).unwrap();
    }
    let both = |line: &str| {
        let ours = place.run_as_ostree(&line.replace("ROOT", "ours"));
        let theirs = real(&place, &ostree, &line.replace("ROOT", "theirs"));
        assert_eq!(ours.code, theirs.code, "{line}: {} / {}", ours.err, theirs.err);
        assert_eq!(ours.out, theirs.out, "{line}");
        fs::remove_dir(place.path("ours/etc/ostree/remotes.d/c.conf")).unwrap();
        fs::remove_dir(place.path("theirs/etc/ostree/remotes.d/c.conf")).unwrap();
        assert_eq!(described(&place, "ours"), described(&place, "theirs"), "{line}");
        fs::create_dir(place.path("ours/etc/ostree/remotes.d/c.conf")).unwrap();
        fs::create_dir(place.path("theirs/etc/ostree/remotes.d/c.conf")).unwrap();
        ours.code
    };
    for (line, code) in [
        ("remote add --sysroot=ROOT a http://again/", 1),
        ("remote add --sysroot=ROOT --if-not-exists a http://again/", 0),
        ("remote add --sysroot=ROOT b http://new/", 0),
        ("remote add --sysroot=ROOT --force --no-gpg-verify a http://forced/", 0),
        ("remote list --repo=ROOT/ostree/repo -u", 0),
        ("remote show-url --repo=ROOT/ostree/repo a", 1),
        ("remote delete --sysroot=ROOT b", 0),
        ("remote delete --sysroot=ROOT b", 1),
        ("remote delete --sysroot=ROOT a", 0),
        ("config --repo=ROOT/ostree/repo set core.add-remotes-config-dir true", 0),
        ("remote add --sysroot=ROOT d http://d/", 0),
    ] {
        assert_eq!(both(line), code, "{line}");
    }
    for text in ["[remote \"d\"]\nurl=http://twice/\n", "nothing\n"] {
        for sysroot in ["ours", "theirs"] {
            drop_in(&place, sysroot, "e.conf", text);
        }
        assert_eq!(both("remote delete --sysroot=ROOT d"), 1);
        assert_eq!(both("admin status --sysroot=ROOT"), 1);
    }
    // OSTree deletes the whole file, whatever else it describes.
    drop_in(&place, "ours", "e.conf", "[remote \"e\"]\nurl=http://e/\n\n[remote \"f\"]\nurl=http://f/\n");
    place.ok("remote delete --sysroot=ours e");
    let left = fs::read_to_string(place.path("ours/etc/ostree/remotes.d/e.conf")).unwrap();
    assert_eq!(left, "[remote \"f\"]\nurl=http://f/\n");
}

/// Runs commands where `s` is the sysroot of the running system, and `/etc` holds drop-ins alone.
fn in_a_system(place: &Place, program: &str, script: &str) -> Option<String> {
    let set_up = r#"set -e; umask 022; mkdir root; mount -t tmpfs none root
        for dir in bin lib lib64 usr tmp proc; do
            if [ -e /$dir ]; then mkdir root/$dir; mount --rbind /$dir root/$dir; fi
        done
        mkdir -p root/ostree root/sysroot root/etc root/dev; cp -a s root/copy; : > root/dev/null
        mkdir root/program; : > root/program/ostree
        mount --bind root/copy root/sysroot; mount --bind root/copy/ostree root/ostree
        mount --bind "$PROGRAM" root/program/ostree; cp -a /etc/ld.so.cache root/etc || true
        exec chroot root sh -c "$SCRIPT""#;
    let show =
        "for file in /etc/ostree/remotes.d/* /ostree/repo/config; do echo \"== $file\"; cat \"$file\"; done";
    let script =
        format!("ostree() {{ /program/ostree \"$@\" 2>/dev/null; echo \"= $?\"; }}\n{script}\n{show}");
    let mut unshare = Command::new("unshare");
    unshare.args(["-r", "-m", "sh", "-c", set_up]).current_dir(place.path("."));
    unshare.env("PROGRAM", program).env("SCRIPT", script).env("LC_ALL", "C.UTF-8");
    let ran = unshare.output().ok()?;
    fs::remove_dir(place.path("root")).ok()?;
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() || out.is_empty(), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    (!out.is_empty()).then_some(out)
}

#[test]
fn the_running_systems_new_remotes_get_files_of_their_own_as_ostree_gives_them() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    fs::create_dir(place.path("s")).unwrap();
    place.ok("admin init-fs --format=ostree s");
    let script = "
        ostree remote list -u
        ostree remote add --no-gpg-verify one http://1/ branch
        ostree remote add --repo=/sysroot/ostree/repo two http://2/
        ostree remote add --sysroot=/ three http://3/
        printf '[remote \"four\"]\\nurl=http://4/\\n' > /etc/ostree/remotes.d/by-hand.conf
        ostree remote list -u
        ostree remote show-url --repo=/ostree/repo four
        ostree remote add --force one http://else/
        ostree remote delete four
        ostree remote delete two
        ostree remote delete two
        ostree config set core.add-remotes-config-dir false
        ostree remote add five http://5/
        ostree remote add three http://3/
        ostree remote list -u";
    let program = ostree.command().get_program().to_string_lossy().into_owned();
    let program = if program.contains('/') { program } else { format!("/usr/bin/{program}") };
    let ours = place.path("ostree").canonicalize().unwrap();
    let (Some(ours), Some(theirs)) =
        (in_a_system(&place, &ours.display().to_string(), script), in_a_system(&place, &program, script))
    else {
        return skipped("no namespace can be made here");
    };
    assert!(
        theirs.contains("four   http://4/") && theirs.contains("== /etc/ostree/remotes.d/three.conf"),
        "{theirs}"
    );
    assert_eq!(ours, theirs);
}
