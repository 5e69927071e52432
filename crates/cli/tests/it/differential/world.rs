//! The two sides of a differential run: one folder for the real program, one for ours, and what can be seen in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sapwood_testkit::{Ostree, Tree};

use super::model::Step;
use super::script::{self, quoted};
use crate::compatibility::Table;
use crate::place::{Place, Ran};

/// Both sides, the lines that were run in each, and the commits there are.
#[derive(Debug)]
pub(crate) struct World {
    mode: String,
    real: PathBuf,
    ours: PathBuf,
    ostree: Ostree,
    place: Place,
    /// The sequence as a shell script, as far as it was run.
    pub(crate) script: Vec<String>,
    commits: Vec<String>,
}

/// Files beside the trees that options name.
const FILES: &[(&str, &str)] = &[
    ("text", "First line\n\nAnd more.\n"),
    ("skip", "/a\n/d/e\n/usr/etc/\n"),
    ("override", "+2048 /usr/bin/x\n=384 /a\n"),
];

/// What a side shows: a line for each thing, by its name.
type Sight = BTreeMap<String, String>;

impl World {
    /// Two equal worlds: a repository of the mode, an archive, and the trees.
    ///
    /// # Errors
    /// What differs already.
    pub(crate) fn new(ostree: &Ostree, mode: &str, trees: &[(&'static str, Tree)]) -> Result<Self, String> {
        let place = Place::new();
        let (real, ours) = (place.path("real"), place.path("ours"));
        let mut world = Self {
            mode: mode.to_owned(),
            real,
            ours,
            ostree: ostree.clone(),
            place,
            script: Vec::new(),
            commits: Vec::new(),
        };
        for side in [&world.real, &world.ours] {
            fs::create_dir(side).unwrap();
            for (name, text) in FILES {
                fs::write(side.join(name), text).unwrap();
            }
            for (name, tree) in trees {
                tree.write_to(&side.join(name)).unwrap();
            }
        }
        for (name, text) in FILES {
            world.script.push(format!("printf %s {} > {name}", quoted(text.as_bytes())));
        }
        for (name, tree) in trees {
            world.script.extend(script::tree(name, tree));
        }
        let line = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        world.both(&line(&format!("init --repo=repo --mode={mode}")))?;
        world.both(&line("init --repo=other --mode=archive"))?;
        Ok(world)
    }

    /// Does the step on both sides and compares what can be seen then.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn step(&mut self, step: &Step, table: &Table) -> Result<(), String> {
        match step {
            Step::Put { tree, path, node } => {
                let mut one = Tree::default();
                one.nodes.insert((*path).to_owned(), node.clone());
                for side in [&self.real, &self.ours] {
                    let root = side.join(tree);
                    clear(&root, path);
                    one.write_to(&root).unwrap();
                }
                self.script.push(format!("rm -rf {}", quoted(format!("{tree}/{path}").as_bytes())));
                self.script.extend(script::tree(tree, &one));
                Ok(())
            }
            Step::Remove { tree, path } => {
                for side in [&self.real, &self.ours] {
                    remove(&side.join(tree).join(path));
                }
                self.script.push(format!("rm -rf {}", quoted(format!("{tree}/{path}").as_bytes())));
                Ok(())
            }
            Step::Run { verb, options, args } => {
                let claimed = |word: &&str| {
                    let name = word.split('=').next().unwrap_or_default();
                    !name.starts_with('-') || table.claims(verb, name)
                };
                let args = args.iter().map(String::as_str);
                if !table.claims(verb, "")
                    || !args.clone().all(|word| claimed(&word))
                    || self.lacks(args.clone().chain(options.iter().copied()))
                {
                    return Ok(());
                }
                if self.quirk(verb, options, args.clone().count()) {
                    return Ok(());
                }
                let repo = if *verb == "pull-local" { "--repo=other" } else { "--repo=repo" };
                let mut words: Vec<_> = verb.split(' ').map(str::to_owned).collect();
                // The one verb that has no repository.
                words.extend((*verb != "checksum").then(|| repo.to_owned()));
                words.extend(
                    options.iter().copied().filter(claimed).chain(args).map(|word| self.resolve(word)),
                );
                self.both(&words)
            }
        }
    }

    /// Whether the real program finds our repositories sound.
    pub(crate) fn sound(&mut self) -> Result<(), String> {
        for repo in ["repo", "other"] {
            let run = |side: &Path| {
                let mut command = self.ostree.command();
                Ran::from(
                    command.args(["fsck", "--quiet", "--repo", repo]).current_dir(side).output().unwrap(),
                )
            };
            // Sequences may damage a repository on purpose: then both must be equally damaged.
            let (real, ours) = (run(&self.real), run(&self.ours));
            if real.code != ours.code {
                return Err(format!("the real fsck of {repo}: {real:?}\nof ours: {ours:?}"));
            }
        }
        Ok(())
    }

    /// What the real program does in a way that nobody should repeat.
    fn quirk(&self, verb: &str, options: &[&str], args: usize) -> bool {
        // It fails to pull all refs from a repository that has some of remotes, and believes an old summary.
        let remotes = fs::read_dir(self.real.join("repo/refs/remotes"));
        let has_remotes = remotes.is_ok_and(|mut folder| folder.next().is_some());
        let has_summary = self.real.join("repo/summary").exists();
        let pulls_all = verb == "pull-local" && args == 1 && (has_remotes || has_summary);
        // Its --allow-noent allows only the last component to be missing.
        let allows =
            options.contains(&"--allow-noent") && options.iter().any(|word| word.starts_with("--subpath"));
        // It prints counts that were never set, and does not count what it consumes.
        let uncounted = options.contains(&"--table-output")
            && options.iter().any(|option| matches!(*option, "--skip-if-unchanged" | "--consume"));
        // It finds out that an archive has nothing to link when it meets the first file.
        let links = self.mode == "archive" && options.contains(&"--require-hardlinks");
        // It takes consumed files into a bare-user-only repository as they are, attributes included.
        pulls_all
            || allows
            || uncounted
            || links
            || (self.mode == "bare-user-only" && options.contains(&"--consume"))
    }

    /// Whether one of the words wants a commit, and there is none.
    fn lacks<'w>(&self, mut words: impl Iterator<Item = &'w str>) -> bool {
        self.commits.is_empty() && words.any(|word| word.contains("%c") || word.contains("%p"))
    }

    /// Puts commits in the place of `%cN` and `%pN`.
    fn resolve(&self, word: &str) -> String {
        let Some(at) = word.find("%c").or_else(|| word.find("%p")) else { return word.to_owned() };
        let Some(digit) = word[at + 2..].chars().next().and_then(|c| c.to_digit(10)) else {
            return word.to_owned();
        };
        let id = &self.commits[usize::try_from(digit).unwrap() % self.commits.len()];
        let id = if word[at..].starts_with("%p") { &id[..12] } else { id };
        format!("{}{id}{}", &word[..at], &word[at + 3..])
    }

    fn both(&mut self, words: &[String]) -> Result<(), String> {
        let line: Vec<_> = words.iter().map(|word| quoted(word.as_bytes())).collect();
        self.script.push(format!("ostree {}", line.join(" ")));
        let mut real = self.ostree.command();
        let mut ours = self.place.command(self.place.path("ostree"));
        let run = |command: &mut Command, side: &Path| {
            command.args(words).current_dir(side).env("TZ", "UTC").env_remove("SOURCE_DATE_EPOCH");
            Ran::from(command.output().unwrap())
        };
        let (real, ours) = (run(&mut real, &self.real), run(&mut ours, &self.ours));
        if (real.code == 0) != (ours.code == 0) || normal(words, &real.out) != normal(words, &ours.out) {
            return Err(format!("the real program: {real:?}\nours: {ours:?}"));
        }
        if real.code != 0 && words.iter().any(|word| word == "checkout" || word == "--consume") {
            // How much is there of a tree that could not be checked out, or consumed, differs.
            let tree = words.last().and_then(|word| word.rsplit('=').next()).unwrap_or_default();
            remove(&self.real.join(tree));
            remove(&self.ours.join(tree));
            self.script.push(format!("rm -rf {tree}"));
        }
        let (real, ours) = (sight(&self.real), sight(&self.ours));
        let names: BTreeSet<_> = real.keys().chain(ours.keys()).collect();
        let differing: Vec<_> = names
            .into_iter()
            .filter(|name| real.get(*name) != ours.get(*name))
            .map(|name| format!("{name}: real {:?}, ours {:?}", real.get(name), ours.get(name)))
            .collect();
        if !differing.is_empty() {
            return Err(differing.join("\n"));
        }
        self.commits = ours.keys().filter_map(|name| commit_of(name)).collect();
        Ok(())
    }
}

/// The id of the commit object that has this path.
fn commit_of(path: &str) -> Option<String> {
    let object = path.strip_prefix("repo/objects/")?.strip_suffix(".commit")?;
    Some(object.replace('/', ""))
}

/// Text without what may differ: the time of a summary, how many files were known unread, what objects measure when
/// compressed, and the two programs' own words about what they do meanwhile;
/// lists that the real one does not put in order, in order.
fn normal(words: &[String], text: &str) -> String {
    let verb = words.first().map_or("", String::as_str);
    if matches!(verb, "fsck" | "pull-local") {
        return String::new();
    }
    let differs = |line: &&str| match verb {
        "diff" => line.starts_with("Common Object Size: "),
        "summary" => ["ast-Modified", "Latest Commit ("].iter().any(|part| line.contains(part)),
        "commit" => line.starts_with("Content Cache Hits: "),
        _ => false,
    };
    let mut lines: Vec<_> = text.lines().filter(|line| !differs(line)).collect();
    if verb == "prune" {
        // How much was freed comes after a comma.
        for line in &mut lines {
            *line = line.split(',').next().unwrap_or_default();
        }
    }
    if matches!(verb, "refs" | "remote" | "diff") {
        lines.sort_unstable();
    }
    lines.join("\n")
}

/// All files below a side, but for what is no part of its state.
fn sight(side: &Path) -> Sight {
    let mut sight = Sight::new();
    look(side, side, &mut sight);
    sight
}

fn look(side: &Path, folder: &Path, sight: &mut Sight) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(side).unwrap().to_string_lossy().into_owned();
        let meta = path.symlink_metadata().unwrap();
        let (repo, inside) = name.split_once('/').unwrap_or((&name, ""));
        let in_repo = repo == "repo" || repo == "other";
        // Locks, caches, our log of refs and the summary's time differ; what is in objects is their names' affair, and the fsck's.
        if in_repo
            && [
                "tmp",
                ".lock",
                ".refs.lock",
                "summary",
                "uncompressed-objects-cache",
                "extensions/sapwood/reflog",
            ]
            .iter()
            .any(|ours| inside.starts_with(ours))
        {
            continue;
        }
        let of = |what: String| format!("{what} {:o}", meta.mode() & 0o7777);
        let owner = format!("{}:{}", meta.uid(), meta.gid());
        let shown = if meta.is_dir() {
            look(side, &path, sight);
            if in_repo {
                continue;
            }
            of(format!("dir {owner} {}", xattrs(&path)))
        } else if meta.is_symlink() {
            format!("link {}", fs::read_link(&path).unwrap().display())
        } else if in_repo && inside.starts_with("objects/") {
            String::new()
        } else if meta.is_file() {
            let content = fs::read(&path).unwrap();
            let content = String::from_utf8_lossy(&content);
            // Of a repository's own files the modes are those of whoever made it.
            if in_repo {
                content.into_owned()
            } else {
                of(format!("file {owner} {} {content}", xattrs(&path)))
            }
        } else {
            of(format!("special {owner}"))
        };
        sight.insert(name, shown);
    }
}

/// The extended attributes of a file, but for those of the system.
fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut shown = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        shown.push(format!("{}={:?}", String::from_utf8_lossy(name), &value[..length]));
    }
    shown.sort();
    shown.join(" ")
}

/// Removes what is at the path, and what stands on the way to it.
fn clear(root: &Path, path: &str) {
    for (at, _) in path.match_indices('/') {
        let above = root.join(&path[..at]);
        if above.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
            remove(&above);
        }
    }
    remove(&root.join(path));
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}
