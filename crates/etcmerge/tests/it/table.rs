//! A table of cases, with the outcomes of OSTree's merge except where the crate says that it does better.

use crate::TestResult;
use crate::tree::Tree;
use sapwood_etcmerge::{ConflictKind, MergePlan, Policy, ScanOptions, Sides, apply, plan, scan};
use sapwood_fsio as fsio;

/// A case: what is there before, and what must come out with the local side kept.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) base: &'static [&'static str],
    pub(crate) local: &'static [&'static str],
    pub(crate) new: &'static [&'static str],
    pub(crate) expected: &'static [&'static str],
    conflicts: &'static [(&'static str, ConflictKind)],
}

/// Merges on disk and returns the plan and the tree that came out.
fn run(
    base: &Tree,
    local: &Tree,
    new: &Tree,
    policy: Policy,
) -> Result<(MergePlan, Tree), Box<dyn std::error::Error>> {
    let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority())?;
    let mut dirs = Vec::new();
    for (name, tree) in [("base", base), ("local", local), ("new", new), ("target", new)] {
        let made = fsio::create_dir(&dir, name, 0o755)?;
        tree.write(&made)?;
        dirs.push(made);
    }
    let [base, local, new, target] = &dirs[..] else { panic!("four trees") };
    let options = ScanOptions::default();
    let (a, b, c) = (scan(base, &options)?, scan(local, &options)?, scan(new, &options)?);
    let plan = plan(Sides { base: &a, ours: &b, theirs: &c }, policy);
    apply(&plan, local, target, new)?;
    Ok((plan, Tree::read(target)?))
}

use ConflictKind::{
    BothAdded, BothModified, DeletedModified, DirectoryRemoved, ModifiedDeleted, TypeChanged,
};

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    Case { name: "local unmodified, vendor same", base: &["f file 1"], local: &["f file 1"], new: &["f file 1"], expected: &["f file 1"], conflicts: &[] },
    Case { name: "local unmodified, vendor changed", base: &["f file 1"], local: &["f file 1"], new: &["f file 2"], expected: &["f file 2"], conflicts: &[] },
    Case { name: "local modified, vendor same", base: &["f file 1"], local: &["f file L"], new: &["f file 1"], expected: &["f file L"], conflicts: &[] },
    Case { name: "local modified, vendor modified", base: &["f file 1"], local: &["f file L"], new: &["f file 2"], expected: &["f file L"], conflicts: &[("f", BothModified)] },
    Case { name: "both modified alike", base: &["f file 1"], local: &["f file 2"], new: &["f file 2"], expected: &["f file 2"], conflicts: &[] },
    Case { name: "local deleted, vendor same", base: &["f file 1"], local: &[], new: &["f file 1"], expected: &[], conflicts: &[] },
    Case { name: "local deleted, vendor modified", base: &["f file 1"], local: &[], new: &["f file 2"], expected: &[], conflicts: &[("f", DeletedModified)] },
    Case { name: "local added", base: &[], local: &["d/f file L"], new: &[], expected: &["d/f file L"], conflicts: &[] },
    Case { name: "vendor added", base: &[], local: &[], new: &["d/f file 2"], expected: &["d/f file 2"], conflicts: &[] },
    Case { name: "local added, vendor also added", base: &[], local: &["f file L"], new: &["f file 2"], expected: &["f file L"], conflicts: &[("f", BothAdded)] },
    Case { name: "local modified, vendor deleted", base: &["f file 1"], local: &["f file L"], new: &[], expected: &["f file L"], conflicts: &[("f", ModifiedDeleted)] },
    Case { name: "local unmodified, vendor deleted", base: &["f file 1"], local: &["f file 1"], new: &[], expected: &[], conflicts: &[] },
    Case { name: "only the mode of a file changed", base: &["f file 1"], local: &["f file:600 1"], new: &["f file 1"], expected: &["f file:600 1"], conflicts: &[] },
    Case { name: "only the mode of a file changed, vendor modified it: the content of that time stays",
        base: &["f file 1"], local: &["f file:600 1"], new: &["f file 2"], expected: &["f file:600 1"], conflicts: &[("f", BothModified)] },
    Case { name: "only the mode of a directory changed is kept", base: &["d/f file 1"], local: &["d dir:700", "d/f file 1"], new: &["d/f file 2"],
        expected: &["d dir:700", "d/f file 2"], conflicts: &[] },
    Case { name: "the mode of the top is kept", base: &["f file 1"], local: &[". dir:750", "f file 1"], new: &["f file 2"], expected: &[". dir:750", "f file 2"], conflicts: &[] },
    Case { name: "file replaced by symlink locally", base: &["f file 1"], local: &["f link x"], new: &["f file 2"], expected: &["f link x"], conflicts: &[("f", TypeChanged)] },
    Case { name: "file replaced by directory locally", base: &["f file 1"], local: &["f/g file L"], new: &["f file 1"], expected: &["f/g file L"], conflicts: &[] },
    Case { name: "directory replaced by file locally", base: &["d/f file 1"], local: &["d file L"], new: &["d/f file 1"], expected: &["d file L"], conflicts: &[] },
    Case { name: "local file, new default is a directory: no error", base: &["f file 1"], local: &["f file L"], new: &["f/g file 2"], expected: &["f file L"],
        conflicts: &[("f", TypeChanged), ("f/g", DirectoryRemoved)] },
    Case { name: "local added file, new default is a directory", base: &[], local: &["f file L"], new: &["f/g file 2"], expected: &["f file L"],
        conflicts: &[("f", TypeChanged), ("f/g", DirectoryRemoved)] },
    Case { name: "local directory unmodified, new default is a file", base: &["d/f file 1"], local: &["d/f file 1"], new: &["d file 2"], expected: &["d file 2"], conflicts: &[] },
    Case { name: "local change in a directory that became a file", base: &["d/f file 1", "d/g file 1"], local: &["d/f file L", "d/g file 1"], new: &["d file 2"],
        expected: &["d/f file L"], conflicts: &[("d", TypeChanged), ("d/f", ModifiedDeleted)] },
    Case { name: "local addition in a directory that was removed", base: &["d dir:700", "d/g file 1"], local: &["d dir:700", "d/g file 1", "d/f file L"], new: &[],
        expected: &["d dir:700", "d/f file L"], conflicts: &[("d", DirectoryRemoved)] },
    Case { name: "both add the same directory: union with the local mode", base: &[], local: &["d dir:700", "d/l file L"], new: &["d/n file 2"],
        expected: &["d dir:700", "d/l file L", "d/n file 2"], conflicts: &[("d", BothAdded)] },
    Case { name: "directory removed locally, vendor adds a file inside", base: &["d/f file 1"], local: &[], new: &["d/f file 1", "d/g file 2"], expected: &[],
        conflicts: &[("d/g", DirectoryRemoved)] },
    Case { name: "fifos are left behind", base: &["d/f file 1"], local: &["d/f file 1", "d/p fifo"], new: &["d/f file 2"], expected: &["d/f file 2"], conflicts: &[] },
    Case { name: "a fifo in place of a file is left behind, and the file is removed", base: &["f file 1"], local: &["f fifo"], new: &["f file 2"], expected: &[],
        conflicts: &[("f", DeletedModified)] },
    Case { name: "new empty local directory keeps its mode", base: &[], local: &["d dir:1777"], new: &[], expected: &["d dir:1777"], conflicts: &[] },
    Case { name: ".updated is removed", base: &[], local: &[".updated file stamp"], new: &[".updated file other", "f file 2"], expected: &["f file 2"], conflicts: &[] },
    Case { name: ".updated elsewhere is a file as any", base: &[], local: &["d/.updated file L"], new: &[], expected: &["d/.updated file L"], conflicts: &[] },
    Case { name: "edited back to the default counts as unmodified", base: &["f file 1"], local: &["f file 1"], new: &["f file 3"], expected: &["f file 3"], conflicts: &[] },
    Case { name: "symlinks are merged by their target", base: &["l link a", "m link a"], local: &["l link L", "m link a"], new: &["l link b", "m link b"],
        expected: &["l link L", "m link b"], conflicts: &[("l", BothModified)] },
    Case { name: "an empty directory of the vendor goes and comes", base: &["d dir"], local: &["d dir"], new: &["e dir"], expected: &["e dir"], conflicts: &[] },
    Case { name: "the mode of a directory changed on both sides is local", base: &["d dir:755"], local: &["d dir:700"], new: &["d dir:711"], expected: &["d dir:700"],
        conflicts: &[("d", BothModified)] },
];

#[test]
fn every_case_has_the_outcome_of_the_table() -> TestResult {
    for case in CASES {
        let [base, local, new, expected] = [case.base, case.local, case.new, case.expected].map(Tree::parse);
        let (plan, tree) =
            run(&base, &local, &new, Policy::KeepLocal).map_err(|e| format!("{}: {e}", case.name))?;
        assert_eq!(tree, expected, "{}", case.name);
        let conflicts: Vec<_> = plan
            .conflicts
            .iter()
            .map(|conflict| (conflict.path.to_str().expect("text"), conflict.kind))
            .collect();
        assert_eq!(conflicts, case.conflicts, "{}", case.name);
    }
    Ok(())
}

#[test]
fn keeping_the_new_takes_every_new_default_and_the_other_local_changes() -> TestResult {
    let base = Tree::parse(&["both file 1", "mine file 1", "gone file 1", "dir/f file 1", "cut file 1"]);
    let local = Tree::parse(&["both file L", "mine file L", "gone file L", "extra file L"]);
    let new = Tree::parse(&["both file 2", "mine file 1", "dir/f file 1", "dir/g file 2", "cut file 2"]);
    let (plan, tree) = run(&base, &local, &new, Policy::KeepNew)?;
    assert_eq!(
        tree,
        Tree::parse(&["both file 2", "mine file L", "extra file L", "dir/g file 2", "cut file 2"])
    );
    let conflicts: Vec<_> =
        plan.conflicts.iter().map(|conflict| (conflict.path.to_str(), conflict.kind)).collect();
    assert_eq!(
        conflicts,
        [
            (Some("both"), BothModified),
            (Some("cut"), DeletedModified),
            (Some("dir"), DirectoryRemoved),
            (Some("gone"), ModifiedDeleted)
        ]
    );
    Ok(())
}

#[test]
fn keeping_both_puts_the_new_default_beside_the_local_file() -> TestResult {
    let long = "n".repeat(250);
    let base =
        Tree::parse(&["a file 1", "d dir:755", "f file 1", "l link 1", "x file 1", "c file 1", "t file 1"]);
    let mut local = Tree::parse(&[
        "a file:600 L",
        "d dir:700",
        "f file L",
        "l link L",
        "x file L",
        "x.new-default file old",
        "t file L",
    ]);
    let mut new = Tree::parse(&[
        "a file:640 2",
        "d dir:711",
        "f dir:750",
        "f/g/h file 2",
        "l link 2",
        "x file 2",
        "c file 2",
        "t file 2",
        "t.new-default file taken",
    ]);
    local.set(&[&long], Some(crate::tree::Node::Link("L".into())));
    new.set(&[&long], Some(crate::tree::Node::Link("2".into())));
    let (plan, tree) = run(&base, &local, &new, Policy::KeepBoth)?;
    let mut expected = Tree::parse(&[
        "a file:600 L",
        "a.new-default file:640 2",
        "d dir:700",
        "f file L",
        "f.new-default dir:750",
        "f.new-default/g/h file 2",
        "l link L",
        "l.new-default link 2",
        "x file L",
        "x.new-default file 2",
        "t file L",
        "t.new-default file taken",
    ]);
    expected.set(&[&long], Some(crate::tree::Node::Link("L".into())));
    assert_eq!(tree, expected);
    let beside = |path: &str| {
        let found =
            plan.conflicts.iter().find(|conflict| conflict.path.to_str() == Some(path)).expect("a conflict");
        match &found.resolution {
            sapwood_etcmerge::Resolution::KeptBoth { beside } => beside.to_str().map(str::to_owned),
            _ => None,
        }
    };
    assert_eq!(beside("a").as_deref(), Some("a.new-default"));
    assert_eq!(beside("f/g/h").as_deref(), Some("f.new-default"));
    for alone in ["c", "d", "t", &long] {
        assert_eq!(beside(alone), None, "{alone}");
    }
    Ok(())
}
