//! `config`: reads and changes the configuration.

use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::Render;
use sapwood_repo::Keyfile;
use std::io::{self, Write};

/// Read or change the configuration: get KEY, set KEY VALUE, unset KEY
///
/// KEY is GROUP.KEY, or with --group just the key.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The group of the key
    #[arg(long)]
    group: Option<String>,
    /// get, set or unset
    #[arg(value_name = "OPERATION", value_parser = ["get", "set", "unset"])]
    operation: String,
    /// The key
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// The value
    #[arg(value_name = "VALUE")]
    value: Option<String>,
}

/// The key and the value it has now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    group: String,
    key: String,
    value: Option<String>,
    #[serde(skip)]
    shown: bool,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.value {
            Some(value) if self.shown => writeln!(out, "{value}"),
            _ => Ok(()),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut repo = ctx.open_repo()?;
    let setting = args.operation == "set";
    let (Some(key), true) = (&args.key, args.value.is_some() == setting) else {
        return Err(usage(match (setting, &args.value) {
            (true, _) => "KEY and VALUE must be specified",
            (false, Some(_)) => "Too many arguments given",
            (false, None) => "KEY must be specified",
        }));
    };
    let (group, key) = match &args.group {
        Some(group) => (group.clone(), key.clone()),
        None => split(key)?,
    };
    let value = match (args.operation.as_str(), args.value.clone()) {
        ("set", Some(value)) => {
            if !Keyfile::default().set(&group, &key, &value) {
                return Err(usage(format!("no configuration can hold a key “{key}” in a group “{group}”")));
            }
            repo.edit_config(|file| _ = file.set(&group, &key, &value))?;
            Some(value)
        }
        ("unset", _) => {
            if repo.config().keyfile.raw(&group, &key).is_some() {
                repo.edit_config(|file| _ = file.remove(&group, &key))?;
            }
            None
        }
        _ => {
            let file = &repo.config().keyfile;
            let value = file.get(&group, &key);
            if value.is_none() {
                let group_is_there = file.groups().any(|name| name == group);
                return Err(usage(if group_is_there {
                    format!("Key file does not have key “{key}” in group “{group}”")
                } else {
                    format!("Key file does not have group “{group}”")
                }));
            }
            value
        }
    };
    Ok(Outcome { group, key, value, shown: args.operation == "get" })
}

/// Splits GROUP.KEY. A group may hold dots in quotes, as `remote "example.org"` does; a key never does.
fn split(text: &str) -> anyhow::Result<(String, String)> {
    let cut = if text.contains('"') { text.rsplit_once('.') } else { text.split_once('.') };
    match cut {
        Some((group, key)) if !group.is_empty() && !key.is_empty() => Ok((group.to_owned(), key.to_owned())),
        _ => Err(usage("Key must be of the form \"sectionname.keyname\"")),
    }
}
