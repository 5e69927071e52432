//! What `grub2-mkconfig` asks for: the deployments as a menu, from the script that OSTree puts into `/etc/grub.d`.

use crate::place::Place;

/// A machine with two deployments, and entries of others.
fn machine() -> Place {
    let place = Place::new();
    place.machine();
    for tree in ["one", "two"] {
        place.ok(&format!("admin deploy --sysroot=machine --os=os --karg=quiet {tree}"));
    }
    let entries = place.path("machine/boot/loader/entries");
    std::fs::write(entries.join("other.conf"), "title Other\nversion 7\nlinux /other\n").unwrap();
    std::fs::write(entries.join("broken.conf"), b"title \xff\x01\n").unwrap();
    place
}

#[test]
fn the_menu_has_the_deployments_alone_and_the_default_first() {
    let place = machine();
    let generate = "admin instutil grub2-generate --sysroot=machine";
    let menu = place.ok(generate);
    let begin = |word: &str| -> Vec<String> {
        let lines = menu.lines().map(str::trim).filter(|line| line.split(' ').next() == Some(word));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        begin("menuentry"),
        ["menuentry 'Example OS 2.0 (ostree:0)' {", "menuentry 'Example OS 1.0 (ostree:1)' {"]
    );
    for (line, version) in begin("linux").iter().zip(["6.1.0-2", "6.1.0-1"]) {
        assert!(line.starts_with("linux /boot/ostree/os-") && line.contains(version), "{line}");
        assert!(line.contains(" quiet ostree=/ostree/boot."), "{line}");
    }
    assert_eq!(begin("initrd").len(), 2);
    // As OSTree's script calls it, while a set of entries is written and when it is not.
    assert_eq!(place.run_as_ostree(generate).out, menu);
    let link = std::fs::read_link(place.path("machine/boot/loader")).unwrap();
    let version = link.to_str().unwrap().strip_prefix("loader.").unwrap().to_owned();
    assert_eq!(place.ok(&format!("{generate} {version}")), menu);
    let mut by_variable = place.command(place.path("ostree"));
    by_variable.args(generate.split(' ')).env("_OSTREE_GRUB2_BOOTVERSION", &version);
    assert_eq!(String::from_utf8(by_variable.output().unwrap().stdout).unwrap(), menu);
    let refused = place.run(&format!("{generate} 2"));
    assert!(refused.code == 1 && refused.err.contains("Invalid bootversion: 2"), "{refused:?}");
}
