//! The record of what is staged: OSTree's keys, and ours beside them. Keys that are not known are kept.
#![deny(clippy::indexing_slicing)]

use super::Finalization;
use crate::boot::kargs::Kargs;
use crate::boot::kernel::BootId;
use crate::deployment::DeploymentId;
use crate::list::Current;
use crate::plan::{Position, Retain};
use crate::prepare::Blueprint;
use crate::{Error, Result, StaterootName, overlay};
use sapwood_etcmerge::Policy;
use sapwood_objstore::Value;
use sapwood_objstore::gvariant::{Layout, Reader, Writer};
use std::collections::BTreeMap;

/// What is to become of a staged deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) blueprint: Blueprint,
    /// The checksums of the kernels of it and of the deployment whose configuration it takes over, which OSTree wants to
    /// know.
    pub(crate) boot_ids: BootIds,
    pub(crate) finalization: Finalization,
    /// Whether a finalisation began. Where it is still staged after that, it did not come to its end.
    pub(crate) begun: bool,
    /// The list that is to replace it: where that is the current one, this record counts no more.
    pub(crate) superseded_by: Vec<DeploymentId>,
    /// What else another program wrote into it.
    pub(crate) other: Dict,
}

impl Record {
    /// A record of something that has only just been staged.
    pub(crate) fn new(blueprint: Blueprint, boot_ids: BootIds, finalization: Finalization) -> Self {
        Self {
            blueprint,
            boot_ids,
            finalization,
            begun: false,
            superseded_by: Vec::new(),
            other: Dict::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BootIds {
    pub(crate) target: Option<BootId>,
    pub(crate) merge: Option<BootId>,
}

const POLICIES: [(&str, Policy); 3] =
    [("keep-local", Policy::KeepLocal), ("keep-new", Policy::KeepNew), ("keep-both", Policy::KeepBoth)];
const RETAINS: [(&str, Retain); 4] = [
    ("necessary", Retain::Necessary),
    ("pending", Retain::Pending),
    ("rollback", Retain::Rollback),
    ("all", Retain::All),
];
const POSITIONS: [(&str, Position); 2] =
    [("default", Position::Default), ("not-default", Position::NotDefault)];

/// The word for a value.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, other)| other == value).map_or("", |(word, _)| word)
}

/// The value for a word; the default for one that is not known.
fn pick<T: Copy + Default>(words: &[(&str, T)], word: &str) -> T {
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).unwrap_or_default()
}

pub(crate) type Dict = BTreeMap<String, Value>;

impl Record {
    /// Whether the deployment whose configuration it takes over is not the one of its stateroot that runs. The system was
    /// booted into another one since, whose `/etc` is what counts.
    pub(crate) fn is_of_another_boot(&self, current: &Current) -> bool {
        let Some(merge) = &self.blueprint.merge else { return false };
        let mut running = current.deployments.iter().filter(|deployment| deployment.booted);
        running.any(|running| running.id.stateroot == merge.stateroot && running.id != *merge)
    }

    /// The bytes: a GVariant `a{sv}`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let blueprint = &self.blueprint;
        let strs = |texts: Vec<String>| Value::Strs(texts);
        let mut dict = self.other.clone();
        let mut set = |key: &str, value| dict.insert(key.to_owned(), value);
        set("target", of_id(&blueprint.id, self.boot_ids.target.as_ref()));
        if let Some(merge) = &blueprint.merge {
            set("merge-deployment", of_id(merge, self.boot_ids.merge.as_ref()));
        }
        if let Some(kargs) = &blueprint.kargs {
            set("kargs", strs(kargs.iter().map(str::to_owned).collect()));
        }
        if !blueprint.overlays.is_empty() {
            let checksums = blueprint.overlays.iter().map(|name| overlay::checksum(name).to_owned());
            set("overlay-initrds", strs(checksums.collect()));
        }
        set("locked", Value::Bool(self.finalization == Finalization::Held));
        let own = [
            ("sapwood.policy", word(&POLICIES, &blueprint.policy)),
            ("sapwood.retain", word(&RETAINS, &blueprint.retain)),
            ("sapwood.position", word(&POSITIONS, &blueprint.position)),
        ];
        for (key, word) in own {
            set(key, Value::Str(word.to_owned()));
        }
        if self.begun {
            set("sapwood.begun", Value::Bool(true));
        }
        if !self.superseded_by.is_empty() {
            set("sapwood.superseded-by", strs(self.superseded_by.iter().map(ToString::to_string).collect()));
        }
        write(&dict)
    }

    /// Reads what [`encode`](Self::encode) or OSTree wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = |what: &str| Error::Record { what: what.to_owned() };
        let mut dict = read(bytes)?;
        let (id, target) = to_id(&dict.remove("target").ok_or_else(|| bad("it names no deployment"))?)?;
        let (merge, merged) = dict.remove("merge-deployment").as_ref().map(to_id).transpose()?.unzip();
        let kargs = take_strs(&mut dict, "kargs");
        let overlays = take_strs(&mut dict, "overlay-initrds").unwrap_or_default();
        // Older records of ours have the names instead.
        let name = |text: &String| overlay::of_checksum(overlay::checksum(text));
        let overlays = overlays.iter().map(name).collect::<Option<_>>();
        let superseded_by = take_strs(&mut dict, "sapwood.superseded-by").unwrap_or_default();
        Ok(Self {
            blueprint: Blueprint {
                id,
                merge,
                policy: pick(&POLICIES, &take_word(&mut dict, "sapwood.policy")),
                kargs: kargs.map(|kargs| Kargs::parse(&kargs.join(" "))),
                extra: extra(&dict)?,
                overlays: overlays.ok_or_else(|| bad("the checksum of an overlay is malformed"))?,
                retain: pick(&RETAINS, &take_word(&mut dict, "sapwood.retain")),
                position: pick(&POSITIONS, &take_word(&mut dict, "sapwood.position")),
            },
            boot_ids: BootIds { target, merge: merged.flatten() },
            finalization: match dict.remove("locked") {
                Some(Value::Bool(true)) => Finalization::Held,
                _ => Finalization::AtShutdown,
            },
            begun: dict.remove("sapwood.begun") == Some(Value::Bool(true)),
            superseded_by: superseded_by.iter().map(parse_id).collect::<Result<_>>()?,
            other: dict,
        })
    }
}

fn take_strs(dict: &mut Dict, key: &str) -> Option<Vec<String>> {
    match dict.remove(key) {
        Some(Value::Strs(texts)) => Some(texts),
        _ => None,
    }
}

fn take_word(dict: &mut Dict, key: &str) -> String {
    match dict.remove(key) {
        Some(Value::Str(text)) => text,
        _ => String::new(),
    }
}

/// Keys of entries that are written anew, and not taken over from a record.
const WRITTEN: [&str; 7] = ["title", "version", "options", "devicetree", "linux", "initrd", "fdtdir"];

/// What OSTree wants in the entry beside what every entry has.
fn extra(dict: &Dict) -> Result<Vec<(String, String)>> {
    let Some(Value::Variant { signature, bytes }) = dict.get("bootconfig-extra") else {
        return Ok(Vec::new());
    };
    if signature != "a{ss}" {
        return Ok(Vec::new());
    }
    let parse = || {
        let mut extra = Vec::new();
        for entry in Reader::new(bytes).array(Layout::variable(1))? {
            let [key, value] = entry?.tuple([Layout::STR, Layout::STR])?;
            extra.push((key.str()?.to_owned(), value.str()?.to_owned()));
        }
        Ok(extra)
    };
    let mut extra: Vec<_> = parse().map_err(|error| malformed(&error))?;
    // Anything else would not be read back as it was written.
    let is_key = |key: &str| {
        key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    extra.retain(|(key, _)| is_key(key) && !WRITTEN.contains(&key.as_str()));
    Ok(extra)
}

/// `STATEROOT COMMIT.SERIAL`, as a deployment is displayed.
fn parse_id(text: &String) -> Result<DeploymentId> {
    let malformed = || Error::Record { what: format!("{text:?} is no deployment") };
    let (stateroot, name) = text.split_once(' ').ok_or_else(malformed)?;
    let (commit, serial) = DeploymentId::parse_dir_name(name.as_bytes())?;
    Ok(DeploymentId { stateroot: StaterootName::new(stateroot)?, commit, serial })
}

fn of_id(id: &DeploymentId, boot_id: Option<&BootId>) -> Value {
    let mut dict = Dict::new();
    dict.insert("name".to_owned(), Value::Str(id.dir_name()));
    dict.insert("osname".to_owned(), Value::Str(id.stateroot.to_string()));
    if let Some(boot_id) = boot_id {
        dict.insert("bootcsum".to_owned(), Value::Str(boot_id.to_string()));
    }
    Value::Variant { signature: "a{sv}".to_owned(), bytes: write(&dict) }
}

fn to_id(value: &Value) -> Result<(DeploymentId, Option<BootId>)> {
    let bad = |what: &str| Error::Record { what: what.to_owned() };
    let Value::Variant { signature, bytes } = value else { return Err(bad("a deployment is no dictionary")) };
    if signature != "a{sv}" {
        return Err(bad("a deployment is no dictionary"));
    }
    let dict = read(bytes)?;
    let text = |key: &str| match dict.get(key) {
        Some(Value::Str(text)) => Ok(text.as_str()),
        _ => Err(bad(&format!("a deployment has no {key}"))),
    };
    let (commit, serial) = DeploymentId::parse_dir_name(text("name")?.as_bytes())?;
    let id = DeploymentId { stateroot: StaterootName::new(text("osname")?)?, commit, serial };
    Ok((id, text("bootcsum").ok().and_then(BootId::parse)))
}

fn write(dict: &Dict) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(8, |writer| {
        for (key, value) in dict {
            writer.entry(key, |writer| {
                writer.variant(value.signature(), |writer| writer.raw(1, &value.to_gvariant()));
            });
        }
    });
    writer.finish()
}

fn read(bytes: &[u8]) -> Result<Dict> {
    let parse = || {
        let mut dict = Dict::new();
        for entry in Reader::new(bytes).array(Layout::ENTRY)? {
            let (key, value) = entry?.entry()?;
            let (signature, value) = value.variant()?;
            dict.insert(key.str()?.to_owned(), Value::from_gvariant(signature, value.raw())?);
        }
        Ok(dict)
    };
    parse().map_err(|error| malformed(&error))
}

fn malformed(error: &sapwood_objstore::DecodeError) -> Error {
    Error::Record { what: error.to_string() }
}

#[cfg(test)]
mod tests;
