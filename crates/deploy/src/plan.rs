//! Planning a new list of deployments: pure, from values to a value.

use crate::boot::bls::Bls;
use crate::boot::entry_name::{self, BootTries};
use crate::boot::kernel::BootId;
use crate::boot::link::BootLink;
use crate::deployment::{Deployment, DeploymentId, StaterootName};
use crate::list::{BootVersion, Current, Entries};
use std::collections::{BTreeMap, BTreeSet};

/// Where a new deployment goes in the boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// First: it boots by default.
    #[default]
    Default,
    /// After the running one, else after the one whose configuration is taken over, else last: it boots when it is chosen.
    NotDefault,
}

/// Which deployments of the same stateroot stay beside a new one. The running one, the one whose configuration is taken
/// over, pinned ones, and those of other stateroots always stay. Where nothing runs and nothing is taken over, nothing tells
/// what is pending from what one could go back to: who asks for either keeps all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retain {
    /// No other.
    #[default]
    Necessary,
    /// Those before the running one (or, if none runs, before the one whose configuration is taken over).
    Pending,
    /// Those behind it.
    Rollback,
    /// All.
    All,
}

/// What has to be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is the current list.
    Nothing,
    /// The links that the entries lead to; the entries stay as they are.
    Links {
        /** Which set of links it is. */
        version: BootVersion,
        /** The new one of its two states. */
        sub: BootVersion,
    },
    /// Entries and links.
    Entries {
        /** The new set. */
        version: BootVersion,
        /** The state of its links. */
        sub: BootVersion,
    },
}

/// One deployment of a new list, before its place in it is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    /// What it is.
    pub(crate) id: DeploymentId,
    /// The checksum of its kernel.
    pub(crate) boot_id: BootId,
    /// Its entry, with a title that does not say its place. Version and `ostree=` are filled in by the plan.
    pub(crate) entry: Bls,
    /// How often it may be tried.
    pub(crate) tries: Option<BootTries>,
}

/// One deployment of a new list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    pub(crate) id: DeploymentId,
    pub(crate) link: BootLink,
    pub(crate) entry: Bls,
    pub(crate) tries: Option<BootTries>,
    /// The file name of its entry.
    pub(crate) file: String,
}

/// A new list of deployments, and how to get there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeployPlan {
    pub(crate) change: Change,
    /// How the new set of entries is told from others.
    pub(crate) entries: Entries,
    pub(crate) planned: Vec<Planned>,
    /// How many deployments there are now.
    pub(crate) before: usize,
}

impl Slot {
    /// What a deployment of the current list is like in a new one.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let mut entry = deployment.entry.clone();
        let title = entry.get("title").unwrap_or_default();
        let title = without_place(title).to_owned();
        entry.set("title", &title);
        let (id, boot_id) = (deployment.id.clone(), deployment.boot_id.clone());
        Self { id, boot_id, entry, tries: deployment.tries }
    }
}

/// Cuts ` (ostree:INDEX)` or ` (ostree:STATEROOT:INDEX)` off a title.
fn without_place(title: &str) -> &str {
    match title.rfind(" (ostree:") {
        Some(at) if title.ends_with(')') => title.get(..at).unwrap_or(title),
        _ => title,
    }
}

/// The order of a new list: places in the current one, and `None` for the new deployment.
pub(crate) fn arrange(
    current: &[Deployment],
    stateroot: &StaterootName,
    merge: Option<&DeploymentId>,
    retain: Retain,
    position: Position,
) -> Vec<Option<usize>> {
    let booted = current.iter().position(|d| d.booted);
    // What is before this place was not booted yet; what is behind it is older.
    let crossing = booted.or_else(|| current.iter().position(|d| Some(&d.id) == merge));
    let retain = match retain {
        Retain::Pending | Retain::Rollback if crossing.is_none() => Retain::All,
        retain => retain,
    };
    let mut order = Vec::with_capacity(current.len() + 1);
    if position == Position::Default {
        order.push(None);
    }
    for (index, deployment) in current.iter().enumerate() {
        let before = crossing.is_some_and(|at| index < at);
        let keep = deployment.booted
            || deployment.pinned()
            || deployment.id.stateroot != *stateroot
            || Some(&deployment.id) == merge
            || match retain {
                Retain::Necessary => false,
                Retain::Pending => before,
                Retain::Rollback => !before,
                Retain::All => true,
            };
        if keep {
            order.push(Some(index));
        }
        if crossing == Some(index) && position == Position::NotDefault {
            order.push(None);
        }
    }
    if !order.contains(&None) {
        order.push(None);
    }
    order
}

impl DeployPlan {
    /// How to get from the current list to `slots`.
    pub(crate) fn new(current: &Current, slots: &[Slot]) -> Self {
        let before = current.deployments.len();
        let entries = current.entries;
        let unchanged = render(slots, current.version, entries);
        let same_entries = before == unchanged.len()
            && current
                .deployments
                .iter()
                .zip(&unchanged)
                .all(|(old, new)| old.tries == new.tries && old.entry.to_text() == new.entry.to_text());
        if same_entries {
            let same = current.deployments.iter().zip(&unchanged).all(|(old, new)| old.id == new.id);
            let version = current.version;
            let sub = current.sub(version).map_or(BootVersion::One, BootVersion::other);
            let change = if same { Change::Nothing } else { Change::Links { version, sub } };
            return Self { change, entries, planned: unchanged, before };
        }
        let version = current.version.other();
        // No entry leads to the links of this set, so whatever an interrupted run left of them is written anew.
        let change = Change::Entries { version, sub: BootVersion::One };
        let entries = entries.next();
        Self { change, entries, planned: render(slots, version, entries), before }
    }
}

/// Below the link to a deployment.
const PREPARE_ROOT: &str = "/usr/lib/ostree/ostree-prepare-root";

/// Fills in what depends on the place in the list.
fn render(slots: &[Slot], version: BootVersion, entries: Entries) -> Vec<Planned> {
    let several = slots.iter().map(|slot| &slot.id.stateroot).collect::<BTreeSet<_>>().len() > 1;
    let mut serials: BTreeMap<&BootId, u32> = BTreeMap::new();
    let mut planned = Vec::with_capacity(slots.len());
    for (index, slot) in slots.iter().enumerate() {
        let serial = serials.entry(&slot.boot_id).or_default();
        let stateroot = slot.id.stateroot.clone();
        let link = BootLink { version, stateroot, boot_id: slot.boot_id.clone(), serial: *serial };
        *serial += 1;
        let number = slots.len() - index;
        let mut entry = slot.entry.clone();
        let stateroot = if several { format!("{}:", slot.id.stateroot) } else { String::new() };
        let title = entry.get("title").unwrap_or_default();
        let title = format!("{title} (ostree:{stateroot}{index})");
        entry.set("title", &title);
        entry.set("version", &number.to_string());
        let mut kargs = entry.kargs();
        if entry.get("initrd").is_none() {
            // No initramfs: the kernel itself starts what prepares the root.
            kargs.set(&format!("init={link}{PREPARE_ROOT}"));
        } else if kargs.get("init").is_some_and(|init| init.ends_with(PREPARE_ROOT)) {
            kargs.remove_key("init");
        }
        kargs.set(&format!("ostree={link}"));
        entry.set("options", &kargs.to_string());
        let name = match entries {
            Entries::Linked => entry_name::linked(number),
            Entries::Flat { generation } => entry_name::flat(generation, number, index == 0),
        };
        let (id, tries) = (slot.id.clone(), slot.tries);
        planned.push(Planned { id, link, entry, tries, file: entry_name::file_name(&name, tries) });
    }
    planned
}

#[cfg(test)]
mod tests;
