//! `ls`: what a commit holds.

use crate::ctx::Ctx;
use crate::ui::{Render, human};
use anyhow::Context as _;
use sapwood_objstore::{DirMeta, DirTree, FileEntry, FileType};
use sapwood_repo::{Node, Repo, Root, TreePath};
use std::io::{self, Write};

/// List files in a commit
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// List directories themselves, not what is in them
    #[arg(long, short = 'd')]
    dironly: bool,
    /// List directories with all that is below them
    #[arg(long, short = 'R')]
    recursive: bool,
    /// List also the ids of objects
    #[arg(long, short = 'C')]
    checksum: bool,
    /// List also extended attributes
    #[arg(long, short = 'X')]
    xattrs: bool,
    /// List only names, with a NUL behind each
    #[arg(long)]
    nul_filenames_only: bool,
    /// The commit
    #[arg(value_name = "COMMIT")]
    revision: String,
    /// Where in it; all of it if missing
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
}

/// The list.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    entries: Vec<Entry>,
    #[serde(skip)]
    columns: Columns,
}

/// What is shown of each entry.
#[derive(Debug, Clone, Copy)]
struct Columns {
    ids: bool,
    xattrs: bool,
    names_only: bool,
}

#[derive(Debug, serde::Serialize)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Of the file, or of the names in the directory.
    id: String,
    /// Of the directory's attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<String>,
    xattrs: String,
}

impl Entry {
    fn letter(&self) -> char {
        match self.kind {
            "directory" => 'd',
            "symlink" => 'l',
            "fifo" => 'p',
            "char-device" => 'c',
            "block-device" => 'b',
            _ => '-',
        }
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        for entry in &self.entries {
            if self.columns.names_only {
                write!(out, "{}\0", entry.path)?;
                continue;
            }
            write!(
                out,
                "{}{:05o} {} {} {:>6} ",
                entry.letter(),
                entry.mode,
                entry.uid,
                entry.gid,
                entry.size
            )?;
            if self.columns.ids {
                write!(out, "{} ", entry.id)?;
                if let Some(meta) = &entry.meta {
                    write!(out, "{meta} ")?;
                }
            }
            if self.columns.xattrs {
                write!(out, "{} ", entry.xattrs)?;
            }
            match &entry.target {
                Some(target) => writeln!(out, "{} -> {target}", entry.path)?,
                None => writeln!(out, "{}", entry.path)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let root = repo.root(repo.resolve(&args.revision)?)?;
    let mut lister = Lister { repo: &repo, recursive: args.recursive, entries: Vec::new() };
    let everything = ["/".to_owned()];
    let paths = if args.paths.is_empty() { &everything[..] } else { &args.paths };
    for path in paths {
        let place = || format!("Inspecting path '{path}'");
        let node = TreePath::parse(path).and_then(|p| repo.lookup(root, &p)).with_context(place)?;
        let shown =
            format!("/{}", path.split('/').filter(|p| !matches!(*p, "" | ".")).collect::<Vec<_>>().join("/"));
        match node {
            Node::File(entry) => lister.file(shown, &entry)?,
            Node::Dir(dir) => {
                lister.dir(shown.clone(), dir)?;
                // As in OSTree, --recursive wins.
                if args.recursive || !args.dironly {
                    lister.inside(&shown, dir)?;
                }
            }
        }
    }
    let entries = lister.entries;
    let columns = Columns { ids: args.checksum, xattrs: args.xattrs, names_only: args.nul_filenames_only };
    Ok(Outcome { entries, columns })
}

struct Lister<'a> {
    repo: &'a Repo,
    recursive: bool,
    entries: Vec<Entry>,
}

impl Lister<'_> {
    fn file(&mut self, path: String, entry: &FileEntry) -> anyhow::Result<()> {
        let file = self.repo.store().open_file(entry.id)?;
        let header = file.header;
        let (kind, target) = match header.file_type {
            FileType::Regular => ("file", None),
            FileType::Symlink(target) => ("symlink", Some(target)),
            FileType::Fifo => ("fifo", None),
            FileType::CharDevice(_) => ("char-device", None),
            FileType::BlockDevice(_) => ("block-device", None),
        };
        self.entries.push(Entry {
            path,
            kind,
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
            size: file.size,
            target,
            id: entry.id.to_hex(),
            meta: None,
            xattrs: human::xattrs(&header.xattrs),
        });
        Ok(())
    }

    fn dir(&mut self, path: String, dir: Root) -> anyhow::Result<()> {
        let meta: DirMeta = self.repo.store().load(dir.meta)?;
        self.entries.push(Entry {
            path,
            kind: "directory",
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            size: 0,
            target: None,
            id: dir.tree.to_hex(),
            meta: Some(dir.meta.to_hex()),
            xattrs: human::xattrs(&meta.xattrs),
        });
        Ok(())
    }

    /// Files first, as OSTree has them, then directories.
    fn inside(&mut self, path: &str, dir: Root) -> anyhow::Result<()> {
        let tree: DirTree = self.repo.store().load(dir.tree)?;
        let stem = path.trim_end_matches('/');
        for entry in tree.files() {
            self.file(format!("{stem}/{}", entry.name), entry)?;
        }
        for entry in tree.dirs() {
            let (path, root) =
                (format!("{stem}/{}", entry.name), Root { tree: entry.tree, meta: entry.meta });
            self.dir(path.clone(), root)?;
            if self.recursive {
                self.inside(&path, root)?;
            }
        }
        Ok(())
    }
}
