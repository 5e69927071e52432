//! Lists are described by letters; each expected order follows from the rules in the documentation of [`Retain`].

use super::*;
use crate::Origin;
use sapwood_objstore::{Id, ObjectId};

fn boot_id(byte: u8) -> BootId {
    BootId::parse(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn slot(stateroot: &str, commit: u8, boot: u8) -> Slot {
    let commit = Id::new(ObjectId::from_bytes([commit; 32]));
    let mut entry = Bls::default();
    entry.set("title", "OS 1");
    entry.set("options", "root=/dev/x");
    entry.set("linux", "/k");
    entry.set("initrd", "/i");
    let stateroot = StaterootName::new(stateroot).unwrap();
    Slot { id: DeploymentId { stateroot, commit, serial: 0 }, boot_id: boot_id(boot), entry, tries: None }
}

/// The list as it is read back after `slots` were written as this version.
fn current(slots: &[Slot], version: BootVersion) -> Current {
    let deployments = render(slots, version, Entries::Linked)
        .into_iter()
        .enumerate()
        .map(|(index, planned)| Deployment {
            index,
            id: planned.id,
            boot_id: planned.link.boot_id,
            boot_serial: planned.link.serial,
            origin: Origin::default(),
            entry: planned.entry,
            booted: false,
            tries: planned.tries,
            file: planned.file,
        })
        .collect();
    Current { entries: Entries::Linked, version, subs: [Some(BootVersion::One), None], deployments }
}

fn texts(plan: &DeployPlan) -> Vec<String> {
    plan.planned.iter().map(|planned| planned.entry.to_text()).collect()
}

#[test]
fn the_first_list_is_written_as_ostree_writes_it() {
    let none = Current {
        entries: Entries::Linked,
        version: BootVersion::Zero,
        subs: [None, None],
        deployments: Vec::new(),
    };
    let plan = DeployPlan::new(&none, &[slot("os", 1, 0xaa)]);
    assert_eq!(plan.change, Change::Entries { version: BootVersion::One, sub: BootVersion::One });
    let id = "aa".repeat(32);
    assert_eq!(
        texts(&plan),
        [format!(
            "title OS 1 (ostree:0)\nversion 1\noptions root=/dev/x ostree=/ostree/boot.1/os/{id}/0\nlinux /k\ninitrd /i\n"
        )]
    );
    assert_eq!(plan.planned[0].file, "ostree-1.conf");
}

#[test]
fn the_same_list_changes_nothing() {
    let slots = [slot("os", 1, 1), slot("os", 2, 1)];
    let plan = DeployPlan::new(&current(&slots, BootVersion::Zero), &slots);
    assert_eq!(plan.change, Change::Nothing);
    let read_back: Vec<Slot> = current(&slots, BootVersion::Zero).deployments.iter().map(Slot::of).collect();
    assert_eq!(DeployPlan::new(&current(&slots, BootVersion::Zero), &read_back).change, Change::Nothing);
}

#[test]
fn another_tree_under_equal_entries_needs_new_links_only() {
    let old = current(&[slot("os", 1, 1), slot("os", 2, 1)], BootVersion::Zero);
    let plan = DeployPlan::new(&old, &[slot("os", 3, 1), slot("os", 1, 1)]);
    assert_eq!(plan.change, Change::Links { version: BootVersion::Zero, sub: BootVersion::Zero });
    assert_eq!(plan.planned[0].link.to_string(), format!("/ostree/boot.0/os/{}/0", boot_id(1)));
}

#[test]
fn another_kernel_title_argument_or_length_needs_new_entries() {
    let old = [slot("os", 1, 1)];
    let changed = |change: fn(&mut Slot)| {
        let mut new = slot("os", 1, 1);
        change(&mut new);
        vec![new]
    };
    for slots in [
        changed(|slot| slot.boot_id = boot_id(2)),
        changed(|slot| slot.entry.set("title", "OS 2")),
        changed(|slot| slot.entry.set("options", "root=/dev/y")),
        changed(|slot| slot.id.stateroot = StaterootName::new("other").unwrap()),
        vec![slot("os", 1, 1), slot("os", 1, 1)],
        vec![],
    ] {
        let plan = DeployPlan::new(&current(&old, BootVersion::Zero), &slots);
        assert_eq!(
            plan.change,
            Change::Entries { version: BootVersion::One, sub: BootVersion::One },
            "{slots:?}"
        );
    }
}

#[test]
fn boot_serials_count_over_all_stateroots_and_titles_name_them_if_there_are_several() {
    let none = Current {
        entries: Entries::Linked,
        version: BootVersion::One,
        subs: [None, None],
        deployments: Vec::new(),
    };
    let plan = DeployPlan::new(&none, &[slot("two", 1, 1), slot("os", 2, 2), slot("os", 3, 1)]);
    let links: Vec<_> = plan.planned.iter().map(|p| (p.link.stateroot.as_str(), p.link.serial)).collect();
    assert_eq!(links, [("two", 0), ("os", 0), ("os", 1)]);
    let titles: Vec<_> = plan.planned.iter().map(|p| p.entry.get("title").unwrap()).collect();
    assert_eq!(titles, ["OS 1 (ostree:two:0)", "OS 1 (ostree:os:1)", "OS 1 (ostree:os:2)"]);
    let files: Vec<_> = plan.planned.iter().map(|p| p.file.as_str()).collect();
    assert_eq!(files, ["ostree-3.conf", "ostree-2.conf", "ostree-1.conf"]);
}

#[test]
fn without_an_initramfs_the_kernel_starts_prepare_root() {
    let mut slot = slot("os", 1, 1);
    slot.entry.set("initrd", "");
    let none = Current {
        entries: Entries::Linked,
        version: BootVersion::One,
        subs: [None, None],
        deployments: Vec::new(),
    };
    let id = boot_id(1);
    let expected = format!(
        "root=/dev/x init=/ostree/boot.0/os/{id}/0/usr/lib/ostree/ostree-prepare-root ostree=/ostree/boot.0/os/{id}/0"
    );
    assert_eq!(DeployPlan::new(&none, &[slot]).planned[0].entry.get("options"), Some(expected.as_str()));
}

#[test]
fn foreign_keys_and_the_place_of_arguments_are_kept() {
    let mut entry = slot("os", 1, 1);
    entry.entry.set("options", "ostree=/old quiet");
    entry.entry.set("grub_users", "me");
    let none = Current {
        entries: Entries::Linked,
        version: BootVersion::Zero,
        subs: [None, None],
        deployments: Vec::new(),
    };
    let plan = DeployPlan::new(&none, &[entry]);
    let text = &texts(&plan)[0];
    assert!(text.contains(&format!("options ostree=/ostree/boot.1/os/{}/0 quiet\n", boot_id(1))), "{text}");
    assert!(text.ends_with("grub_users me\n"), "{text}");
}

/// `b` is booted, `p` pinned, `m` merged with, `x` of another stateroot; `N` is the new one.
fn arranged(list: &str, retain: Retain, position: Position) -> String {
    let slots: Vec<Slot> =
        (0_u8..).zip(list.chars()).map(|(i, c)| slot(if c == 'x' { "other" } else { "os" }, i, 1)).collect();
    let mut current = current(&slots, BootVersion::Zero);
    let mut merge = None;
    for (deployment, c) in current.deployments.iter_mut().zip(list.chars()) {
        deployment.booted = c == 'b';
        deployment.origin.set_pinned(c == 'p');
        if c == 'm' {
            merge = Some(deployment.id.clone());
        }
    }
    let order =
        arrange(&current.deployments, &StaterootName::new("os").unwrap(), merge.as_ref(), retain, position);
    order.into_iter().map(|at| at.map_or('N', |i| list.chars().nth(i).unwrap())).collect()
}

#[test]
fn only_what_must_stays_unless_asked_for() {
    use Position::{Default, NotDefault};
    let table = [
        ("", Retain::Necessary, Default, "N"),
        ("mo", Retain::Necessary, Default, "Nm"),
        ("omr", Retain::Pending, Default, "Nom"),
        ("omr", Retain::Rollback, Default, "Nmr"),
        ("omr", Retain::All, Default, "Nomr"),
        ("oboxpo", Retain::Necessary, Default, "Nbxp"),
        ("obo", Retain::Pending, Default, "Nob"),
        ("obo", Retain::Rollback, Default, "Nbo"),
        ("obr", Retain::All, NotDefault, "obNr"),
        ("mx", Retain::Necessary, NotDefault, "mNx"),
        ("omrx", Retain::All, NotDefault, "omNrx"),
        ("mbx", Retain::Necessary, NotDefault, "mbNx"),
        ("oox", Retain::All, NotDefault, "ooxN"),
        ("oox", Retain::Necessary, Default, "Nx"),
        ("oox", Retain::Pending, Default, "Noox"),
        ("oox", Retain::Rollback, Default, "Noox"),
        ("", Retain::Necessary, NotDefault, "N"),
    ];
    for (list, retain, position, expected) in table {
        assert_eq!(arranged(list, retain, position), expected, "{list} {retain:?} {position:?}");
    }
}

#[test]
fn without_links_the_next_set_has_names_that_come_before_those_of_this_one() {
    let old = Current {
        entries: Entries::Flat { generation: 4 },
        ..current(&[slot("os", 1, 1)], BootVersion::One)
    };
    let mut new = slot("os", 2, 2);
    new.tries = Some(BootTries { left: 3, done: 0 });
    let plan = DeployPlan::new(&old, &[new, slot("os", 1, 1)]);
    assert_eq!(plan.change, Change::Entries { version: BootVersion::Zero, sub: BootVersion::One });
    let files: Vec<_> = plan.planned.iter().map(|planned| planned.file.as_str()).collect();
    assert_eq!(files, ["ostree-5+3.conf", "ostree-0-5-1.conf"]);
    let same = DeployPlan::new(&old, &[slot("os", 1, 1)]);
    assert_eq!((same.change, same.entries), (Change::Nothing, Entries::Flat { generation: 4 }));
}

#[test]
fn a_deployment_that_is_to_be_counted_anew_gets_a_new_entry() {
    let old = current(&[slot("os", 1, 1)], BootVersion::Zero);
    let mut new = slot("os", 2, 1);
    new.tries = Some(BootTries { left: 3, done: 0 });
    let plan = DeployPlan::new(&old, &[new]);
    assert_eq!(plan.change, Change::Entries { version: BootVersion::One, sub: BootVersion::One });
    assert_eq!(plan.planned[0].file, "ostree-1+3.conf");
}
