//! Files and directories that the user names, as any program takes them: through links, from pipes, with their modes.

use crate::place::Place;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// A repository `r` with the branch `x`, whose tree is a file `f`.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("tree")).unwrap();
    std::fs::write(place.path("tree/f"), "content").unwrap();
    place.ok("init --repo=r --mode=archive");
    place.ok("commit --repo=r -b x tree");
    place
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_exported_file_has_the_mode_of_a_new_one_or_of_the_one_it_replaces() {
    let place = place();
    for (umask, wanted) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        let line = format!("umask {umask}; exec \"$0\" export --repo=r -o {umask}.tar x");
        let run = place.command("sh").args(["-c", &line, env!("CARGO_BIN_EXE_sapwood")]).status().unwrap();
        assert!(run.success());
        assert_eq!(mode(&place.path(&format!("{umask}.tar"))), wanted);
    }
    let secret = place.path("secret.tar");
    std::fs::write(&secret, "").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    symlink("secret.tar", place.path("link.tar")).unwrap();
    symlink("later.tar", place.path("dangling.tar")).unwrap();
    let plain = std::fs::read(place.path("022.tar")).unwrap();
    for (name, written) in
        [("secret.tar", "secret.tar"), ("link.tar", "secret.tar"), ("dangling.tar", "later.tar")]
    {
        std::fs::write(&secret, "").unwrap();
        place.ok(&format!("export --repo=r -o {name} x"));
        assert_eq!(std::fs::read(place.path(written)).unwrap(), plain, "{name}");
        assert_eq!(mode(&secret), 0o600, "{name}");
    }
    assert!(place.path("link.tar").is_symlink() && place.path("dangling.tar").is_symlink());
    let left = std::fs::read_dir(place.path(".")).unwrap();
    assert!(
        left.map(|entry| entry.unwrap().file_name()).all(|name| !name.to_string_lossy().starts_with(".tmp"))
    );
}

#[test]
fn an_archive_is_committed_through_a_link_and_from_a_pipe() {
    let place = place();
    place.ok("export --repo=r -o plain.tar x");
    symlink("plain.tar", place.path("latest.tar")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let wanted = place.ok("commit --repo=r --orphan --timestamp=@1 --tree=tar=plain.tar");
    assert_eq!(place.ok("commit --repo=r --orphan --timestamp=@1 --tree=tar=latest.tar"), wanted);
    let mut writer = place.command("sh").args(["-c", "cat plain.tar > pipe"]).spawn().unwrap();
    assert_eq!(place.ok("commit --repo=r --orphan --timestamp=@1 --tree=tar=pipe"), wanted);
    assert!(writer.wait().unwrap().success());
    assert_ne!(place.run("commit --repo=r -b y --tree=tar=missing").code, 0);
}

#[test]
fn what_is_laid_over_a_directory_goes_where_a_link_to_it_leads() {
    let place = place();
    std::fs::create_dir(place.path("real")).unwrap();
    symlink("real", place.path("link")).unwrap();
    for how in ["--union", "--union-add"] {
        std::fs::remove_dir_all(place.path("real")).unwrap();
        std::fs::create_dir(place.path("real")).unwrap();
        place.ok(&format!("checkout --repo=r -U {how} x link"));
        assert_eq!(std::fs::read(place.path("real/f")).unwrap(), b"content", "{how}");
        assert!(place.path("link").is_symlink());
    }
    assert_ne!(place.run("checkout --repo=r -U x link").code, 0, "nothing is to be there otherwise");
}
