//! Attributes, hostile trees, and trees that change while they are merged.

use crate::TestResult;
use crate::tree::Tree;
use cap_tempfile::TempDir;
use sapwood_etcmerge::{
    Action, Entry, EntryKind, Error, MergePlan, NotKept, NotKeptWhat, Policy, ScanOptions, Sides, Source,
    Tree as Side, apply, plan, scan,
};
use sapwood_fsio::{self as fsio, Dir, xattr};

struct Place {
    dir: TempDir,
    base: Dir,
    local: Dir,
    new: Dir,
    target: Dir,
}

fn place(base: &[&str], local: &[&str], new: &[&str]) -> Result<Place, Box<dyn std::error::Error>> {
    let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority())?;
    let make = |name, lines: &[&str]| -> Result<Dir, fsio::Error> {
        let made = fsio::create_dir(&dir, name, 0o755)?;
        Tree::parse(lines).write(&made)?;
        Ok(made)
    };
    let (base, local, new, target) =
        (make("base", base)?, make("local", local)?, make("new", new)?, make("target", new)?);
    Ok(Place { dir, base, local, new, target })
}

impl Place {
    fn plan(&self) -> Result<MergePlan, Error> {
        let options = ScanOptions::default();
        let (a, b, c) =
            (scan(&self.base, &options)?, scan(&self.local, &options)?, scan(&self.new, &options)?);
        Ok(plan(Sides { base: &a, ours: &b, theirs: &c }, Policy::KeepLocal))
    }

    fn apply(&self, plan: &MergePlan) -> Result<sapwood_etcmerge::Applied, Error> {
        apply(plan, &self.local, &self.target, &self.new)
    }
}

#[test]
fn changed_attributes_alone_are_kept() -> TestResult {
    let place = place(&["f file 1", "d/g file 1"], &["f file 1", "d/g file 1"], &["f file 1", "d/g file 2"])?;
    if let Err(error) = xattr::set_of(&place.local, "f", b"user.note", b"mine") {
        eprintln!("skip extended attributes: {}", error.source);
        return Ok(());
    }
    xattr::set_of(&place.local, "d", b"user.note", b"mine")?;
    xattr::set_of(&place.target, "d", b"user.stale", b"x")?;
    let time = 1_600_000_000_000_000_000;
    fsio::set_mtime(&fsio::open_file(&place.local, "f")?, time)?;
    let applied = place.apply(&place.plan()?)?;
    assert_eq!((applied.copied, applied.directories), (1, 1));
    assert_eq!(xattr::get_of(&place.target, "f", b"user.note")?.as_deref(), Some(&b"mine"[..]));
    assert_eq!(xattr::list_of(&place.target, "d")?, xattr::list_of(&place.local, "d")?);
    assert_eq!(fsio::stat(&place.target, "f")?.mtime_ns, time);
    assert_eq!(fsio::read(&place.target, "d/g", 10)?, b"2");
    Ok(())
}

#[test]
fn owners_and_setuid_bits_are_kept() -> TestResult {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skip owners: not root");
        return Ok(());
    }
    let place = place(&[], &["d dir", "f file L", "l link x"], &[])?;
    for name in ["d", "f", "l"] {
        fsio::set_owner_of(&place.local, name, 12, 34)?;
    }
    fsio::set_mode_of(&place.local, "f", 0o6755)?;
    fsio::set_mode_of(&place.local, "d", 0o2770)?;
    xattr::set_of(&place.local, "l", b"trusted.k", b"v")
        .unwrap_or_else(|error| eprintln!("skip trusted.*: {error}"));
    let applied = place.apply(&place.plan()?)?;
    assert_eq!(applied.not_kept, []);
    for (name, mode) in [("d", 0o2770), ("f", 0o6755), ("l", 0o777)] {
        let stat = fsio::stat(&place.target, name)?;
        assert_eq!((stat.uid, stat.gid, stat.mode), (12, 34, mode), "{name}");
    }
    assert_eq!(xattr::list_of(&place.target, "l")?, xattr::list_of(&place.local, "l")?);
    Ok(())
}

#[test]
fn an_owner_that_may_not_be_given_is_reported() -> TestResult {
    if rustix::process::geteuid().is_root() {
        eprintln!("skip missing privileges: root has them");
        return Ok(());
    }
    let place = place(&[], &[], &[])?;
    #[expect(clippy::disallowed_methods, reason = "only the system has files of another owner")]
    let etc = Dir::open_ambient_dir("/etc", cap_tempfile::ambient_authority())?;
    let kind = EntryKind::File { size: 0, digest: [0; 32] };
    let copy = Action::Copy {
        path: "passwd".into(),
        source: Source::Local,
        from: "passwd".into(),
        entry: Entry { kind, mode: 0o644, uid: 0, gid: 0, xattrs: Vec::new() },
    };
    let plan =
        MergePlan { policy: Policy::KeepLocal, actions: vec![copy], conflicts: vec![], skipped: vec![] };
    let applied = apply(&plan, &etc, &place.target, &place.new)?;
    assert_eq!(applied.not_kept, [NotKept { path: "passwd".into(), what: NotKeptWhat::Owner }]);
    assert_eq!(fsio::stat(&place.target, "passwd")?.mode, 0o644);
    Ok(())
}

#[test]
fn symlinks_lead_nowhere_outside_the_target() -> TestResult {
    let place = place(&["d/f file 1"], &["d/f file L", "d/new file L", "e/x file L"], &["d/f file 1"])?;
    let plan = place.plan()?;
    fsio::create_dir(&place.dir, "outside", 0o755)?;

    // The directory in the target became a symlink to the outside.
    fsio::remove_tree(&place.target, "d")?;
    fsio::symlink("../outside", &place.target, "d")?;
    assert!(matches!(place.apply(&plan), Err(Error::File { tree: Side::Target, .. })));
    assert_eq!(fsio::entries(&fsio::open_dir(&place.dir, "outside")?)?, []);
    fsio::remove_file(&place.target, "d")?;
    fsio::create_dir(&place.target, "d", 0o755)?;

    // The local directory became a symlink to secrets.
    fsio::replace(&place.dir, "outside/f", 0o600, b"secret")?;
    fsio::remove_tree(&place.local, "d")?;
    fsio::symlink("../outside", &place.local, "d")?;
    match place.apply(&plan) {
        Err(Error::Changed { tree: Side::Local, path }) => assert_eq!(path.to_str(), Some("d")),
        other => panic!("{other:?}"),
    }
    assert!(fsio::stat_optional(&place.target, "d/f")?.is_none());
    Ok(())
}

#[test]
fn a_file_that_vanishes_between_plan_and_copy_is_an_error() -> TestResult {
    for replacement in [None, Some("link"), Some("dir"), Some("fifo")] {
        let place = place(&["f file 1"], &["f file L"], &["f file 2"])?;
        let plan = place.plan()?;
        fsio::remove_file(&place.local, "f")?;
        if let Some(kind) = replacement {
            Tree::parse(&[&format!("f {kind} x")]).write(&place.local)?;
        }
        match place.apply(&plan) {
            Err(Error::Changed { tree: Side::Local, path }) => assert_eq!(path.to_str(), Some("f")),
            other => panic!("{other:?}"),
        }
        assert_eq!(fsio::read(&place.target, "f", 10)?, b"2");
    }
    Ok(())
}

#[test]
fn a_copy_is_never_more_readable_than_the_file() -> TestResult {
    let place = place(&[], &["d dir:700", "d/f file:600 secret"], &[])?;
    let plan = place.plan()?;
    for step in 1.. {
        let run = fsio::fault::crash_at(step, || place.apply(&plan).map(|_| ()));
        if let Some(dir) = fsio::open_dir_optional(&place.target, "d")? {
            assert_eq!(fsio::stat_dir(&dir)?.mode & 0o077, 0, "step {step}");
            for entry in fsio::entries(&dir)? {
                assert_eq!(fsio::stat(&dir, &entry.name)?.mode & 0o077, 0, "step {step}");
            }
        }
        if !run.fired {
            break;
        }
    }
    Ok(())
}

#[test]
fn scanning_has_limits() -> TestResult {
    let place = place(&["a/b/c/d file 1"], &[], &[])?;
    let limited = |max_depth, max_entries| {
        scan(&place.base, &ScanOptions { max_depth, max_entries, ..ScanOptions::default() })
    };
    assert_eq!(limited(3, 5)?.len(), 5);
    match limited(2, 5) {
        Err(Error::TooDeep { path, limit: 2 }) => assert_eq!(path.to_str(), Some("a/b/c")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(limited(3, 4), Err(Error::TooMany { limit: 4 })));
    Ok(())
}

#[test]
fn left_behind_special_files_are_listed() -> TestResult {
    let place = place(&["s file 1"], &["p fifo", "s fifo"], &["s file 1"])?;
    let plan = place.plan()?;
    let skipped: Vec<_> = plan.skipped.iter().map(|skipped| (skipped.path.to_str(), skipped.kind)).collect();
    assert_eq!(skipped, [(Some("p"), fsio::Kind::Fifo), (Some("s"), fsio::Kind::Fifo)]);
    assert_eq!((plan.copies(), plan.removals()), (0, 1));
    Ok(())
}
