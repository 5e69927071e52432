//! What the system's journal is told, as a socket in its place hears it.

use crate::place::Place;
use sapwood_testkit::skipped;
use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// Stands in for the journal of what runs in its namespace.
struct Journal<'a> {
    place: &'a Place,
    socket: UnixDatagram,
}

impl<'a> Journal<'a> {
    fn new(place: &'a Place) -> Self {
        let dir = place.path("run/systemd/journal");
        std::fs::create_dir_all(&dir).unwrap();
        let socket = UnixDatagram::bind(dir.join("socket")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { place, socket }
    }

    /// Runs the program where its `/run` is ours, and gives the fields of each message.
    fn hear(&self, words: &str) -> Vec<BTreeMap<String, String>> {
        let run = self.place.path("run");
        let script = format!("mount --bind '{}' /run && exec ./ostree {words}", run.display());
        let mut unshare = self.place.command("unshare");
        let out = unshare.args(["-r", "-m", "sh", "-c", &script]).output().unwrap();
        assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
        let mut heard = Vec::new();
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            heard.push(fields(&bytes[..length]));
        }
        heard
    }
}

/// Parses a message as the documentation of journald's protocol says.
fn fields(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (length, rest) = bytes.split_at(8);
        let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        let (value, rest) = rest.split_at(length);
        fields.insert(line.to_owned(), String::from_utf8(value.to_vec()).unwrap());
        bytes = rest.strip_prefix(b"\n").unwrap();
    }
    assert!(bytes.is_empty());
    fields
}

#[test]
fn every_change_is_told_with_the_ids_that_are_known() {
    let can_mount = Command::new("unshare").args(["-r", "-m", "true"]).status();
    if !can_mount.is_ok_and(|status| status.success()) {
        return skipped("mount namespaces are not allowed here");
    }
    let place = Place::new();
    let journal = Journal::new(&place);
    place.machine();
    let complete = "dd440e3e549083b63d0efc7dc15255f1";
    let first = journal.hear("admin deploy --sysroot=machine --os=os one");
    let ids = |heard: &[BTreeMap<String, String>]| -> Vec<String> {
        heard.iter().filter_map(|entry| entry.get("MESSAGE_ID").cloned()).collect()
    };
    assert_eq!(ids(&first), [complete], "{first:?}");
    assert!(first.iter().all(|entry| entry["SYSLOG_IDENTIFIER"] == "ostree"));
    let deployed = first.iter().find(|entry| entry.contains_key("OSTREE_CHECKSUM")).unwrap();
    assert_eq!((&*deployed["OSTREE_OSNAME"], &*deployed["OSTREE_DEPLOYSERIAL"]), ("os", "0"));
    let switched = first.iter().find(|entry| entry.contains_key("MESSAGE_ID")).unwrap();
    assert_eq!((&*switched["OSTREE_DID_BOOTSWAP"], &*switched["OSTREE_N_DEPLOYMENTS"]), ("yes", "1"));
    assert!(
        switched["MESSAGE"].starts_with("Bootloader updated; bootconfig swap: yes; bootversion: boot.1.")
    );

    let etc = place.path("machine").join(place.ok("admin --sysroot=machine --print-current-dir").trim());
    std::fs::write(etc.join("etc/issue"), "mine\n").unwrap();
    let second = journal.hear("admin deploy --sysroot=machine --os=os two");
    assert_eq!(ids(&second), ["d3863baec13e4449ab0384684a8af3a7", complete], "{second:?}");
    assert_eq!(second[0]["ETC_N_MODIFIED"], "1");
    let conflicts = second.iter().find(|entry| entry["PRIORITY"] == "4").unwrap();
    assert!(conflicts["MESSAGE"].starts_with("Conflicts in /etc: 1\n/etc/issue: "), "{conflicts:?}");

    for (words, said) in [
        ("admin pin --sysroot=machine 0", "Deployment 0 is now pinned"),
        ("admin rollback --sysroot=machine", "Default deployment is now os "),
        ("admin set-default --sysroot=machine 1", "Default deployment is now os "),
        (
            "admin kargs edit-in-place --sysroot=machine --append-if-missing=quiet",
            "Kernel arguments were changed",
        ),
        ("admin undeploy --sysroot=machine 1", "Deleted deployment os "),
    ] {
        let heard = journal.hear(words);
        assert!(heard.iter().any(|entry| entry["MESSAGE"].starts_with(said)), "{words}: {heard:?}");
    }
    assert_eq!(journal.hear("admin status --sysroot=machine"), []);
    // Nobody listens any more, and nothing fails.
    std::fs::remove_file(place.path("run/systemd/journal/socket")).unwrap();
    journal.hear("admin deploy --sysroot=machine --os=os one");
}
