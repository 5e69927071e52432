//! `cat`: the content of files in a commit.

use crate::ctx::Ctx;
use crate::report::usage;
use crate::ui::Render;
use sapwood_objstore::{FileType, Id, kind};
use sapwood_repo::{Node, Repo, Root, TreePath};
use serde::Serialize;
use serde::ser::{Error as _, SerializeStruct, Serializer};
use std::io::{self, Read, Write};

/// Print the content of files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The commit
    #[arg(value_name = "COMMIT")]
    revision: String,
    /// The files in it
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
}

/// Files to be read as they are shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    repo: Repo,
    files: Vec<(String, Id<kind::File>)>,
}

impl Serialize for Outcome {
    /// Content that is not UTF-8 is given as a list of bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct File<'a> {
            path: &'a str,
            id: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            bytes: Option<Vec<u8>>,
        }
        fn read<'a>(repo: &Repo, path: &'a str, id: Id<kind::File>) -> io::Result<File<'a>> {
            let mut content = Vec::new();
            repo.store().open_file(id).map_err(io::Error::other)?.content.read_to_end(&mut content)?;
            let (text, bytes) = match String::from_utf8(content) {
                Ok(text) => (Some(text), None),
                Err(error) => (None, Some(error.into_bytes())),
            };
            Ok(File { path, id: id.to_hex(), text, bytes })
        }
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, id)| read(&self.repo, path, *id))
            .collect::<io::Result<_>>()
            .map_err(S::Error::custom)?;
        let mut document = serializer.serialize_struct("Cat", 1)?;
        document.serialize_field("files", &files)?;
        document.end()
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for (_, id) in &self.files {
            let mut file = self.repo.store().open_file(*id).map_err(io::Error::other)?;
            io::copy(&mut file.content, out)?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let root = repo.root(repo.resolve(&args.revision)?)?;
    let find = |path: &String| Ok((path.clone(), find_file(&repo, root, path, 0)?));
    let files = args.paths.iter().map(find).collect::<anyhow::Result<_>>()?;
    Ok(Outcome { repo, files })
}

/// Symlinks followed for one file.
const MAX_LINKS: u32 = 40;

/// The regular file at a path; symlinks are followed inside the tree.
fn find_file(repo: &Repo, root: Root, path: &str, links: u32) -> anyhow::Result<Id<kind::File>> {
    let entry = match repo.lookup(root, &TreePath::parse(path)?)? {
        Node::Dir(_) => return Err(usage(format!("Can't open directory {path}"))),
        Node::File(entry) => entry,
    };
    match repo.store().open_file(entry.id)?.header.file_type {
        FileType::Symlink(target) if links < MAX_LINKS => {
            find_file(repo, root, &resolve_link(path, &target), links + 1)
        }
        FileType::Symlink(_) => Err(usage(format!("{path} is a symlink in a loop"))),
        _ => Ok(entry.id),
    }
}

/// Where a symlink points, `..` resolved by name and never above the root.
fn resolve_link(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    if !target.starts_with('/') {
        parts.extend(path.split('/').filter(|part| !part.is_empty() && *part != "."));
        parts.pop();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
