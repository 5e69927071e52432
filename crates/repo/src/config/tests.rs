//! Configurations: OSTree's keys and defaults, the native format's gates, and what is refused.

use super::*;

fn config(text: &str) -> Result<Config> {
    Config::parse(text.as_bytes())
}

#[test]
fn an_ostree_archive_gets_ostrees_defaults() {
    let config = config("[core]\nrepo_version=1\nmode=archive-z2\n").unwrap();
    assert_eq!((config.format, config.mode), (Format::Ostree, Mode::Archive));
    assert_eq!(config.tmp_expiry, Duration::from_hours(24));
    assert_eq!(config.lock_wait, Wait::For(Duration::from_mins(5)));
    assert_eq!(config.reserve, Reserve::Percent(3));
    assert!(config.fsync && config.locking && config.xattrs);
    assert!(!config.auto_update_summary && !config.tombstones);
    assert_eq!((config.parent, config.collection_id), (None, None));
    assert_eq!(config.compression_level, None);
}

#[test]
fn known_keys_are_typed() {
    let config = config(
        "[core]\nrepo_version=1\nmode=bare-user\nfsync=no\nlocking=0\nlock-timeout-secs=-1\nmin-free-space-size=2GB\n\
         min-free-space-percent=50\ndisable-xattrs=true\ntmp-expiry-secs=60\ncollection-id=org.example.Os\n\
         parent=/srv/repo\ntombstone-commits=yes\ncommit-update-summary=true\n[archive]\nzlib-level=9\n",
    )
    .unwrap();
    assert_eq!(config.reserve, Reserve::Bytes(2 << 30));
    assert_eq!(config.lock_wait, Wait::Forever);
    assert_eq!(config.parent.as_deref(), Some("/srv/repo"));
    assert!(!config.fsync && !config.locking && !config.xattrs);
    assert!(config.auto_update_summary && config.tombstones);
    assert_eq!(config.compression_level, Some(9));
    let options = config.store_options();
    assert!(!options.fsync && !options.locking && !options.xattrs);
}

#[test]
fn a_new_configuration_is_read_back() {
    for (format, text) in [
        (Format::Ostree, "[core]\nrepo_version=1\nmode=archive-z2\n"),
        (Format::Native, "[core]\nrepo_version=2\nmode=archive-z2\n"),
    ] {
        assert_eq!(Config::initial(format, Mode::Archive, None).to_text(), text);
        let read = config(text).unwrap();
        assert_eq!((read.format, read.mode), (format, Mode::Archive));
        assert!(read.is_initial());
    }
}

#[test]
fn a_newer_format_is_told_from_a_wrong_one() {
    for text in [
        "[core]\nrepo_version=3\nmode=bare\n",
        "[core]\nrepo_version=99999999999999999999999\n",
        "[core]\nrepo_version=2\n[sapwood]\nincompatible=teleport;\n",
    ] {
        assert!(matches!(config(text), Err(Error::NewerFormat { .. })), "{text}");
    }
    let old =
        config("[core]\nrepo_version=2\nmode=bare\n[sapwood]\ncompatible=x;y;\nread-only-compatible=z;\n");
    let old = old.unwrap();
    assert_eq!(old.read_only_because.as_deref(), Some("z"));
    assert!(matches!(old.check_writable(), Err(Error::NewerFormat { .. })));
    assert!(config("[core]\nrepo_version=2\n[sapwood]\ncompatible=x;\n").unwrap().check_writable().is_ok());
    // Nothing between separators is no flag.
    let none =
        config("[core]\nrepo_version=2\n[sapwood]\nincompatible=;\nread-only-compatible=;;\n").unwrap();
    assert!(none.check_writable().is_ok());
    // The flags are the native format's: in OSTree's the group is someone else's.
    assert!(config("[core]\nrepo_version=1\n[sapwood]\nincompatible=x;\n").is_ok());
}

#[test]
fn wrong_values_are_refused_by_their_key() {
    for (line, key) in [
        ("repo_version=one", "repo_version"),
        ("repo_version=", "repo_version"),
        ("mode=bare-of-all", "mode"),
        ("mode=", "mode"),
        ("archive=true", "archive"),
        ("fsync=perhaps", "fsync"),
        ("lock-timeout-secs=-2", "lock-timeout-secs"),
        ("tmp-expiry-secs=-1", "tmp-expiry-secs"),
        ("min-free-space-percent=100", "min-free-space-percent"),
        ("min-free-space-size=5", "min-free-space-size"),
        ("min-free-space-size=MB", "min-free-space-size"),
        ("min-free-space-size=+5MB", "min-free-space-size"),
        ("min-free-space-size=99999999999999TB", "min-free-space-size"),
        ("parent=../other", "parent"),
        ("x=y\n[archive]\nzlib-level=10", "zlib-level"),
        ("x=y\n[archive]\nzlib-level=0", "zlib-level"),
    ] {
        match config(&format!("[core]\n{line}\n")) {
            Err(Error::Config(error)) => assert_eq!(error.key, key),
            other => panic!("{line}: {other:?}"),
        }
    }
    assert!(matches!(config("[core]\ncollection-id=os\n"), Err(Error::Name(_))));
    assert!(matches!(config("core"), Err(Error::Keyfile(_))));
}
