//! `docs/compatibility.md` says what is true: it has every command and option of the real `ostree`, and ours has those
//! that it says ours has, and no others.
//!
//! A line is asked about by giving the option a value `x` and then `--help`: whether it takes one or not, nothing is
//! run, and only an option that does not exist is called unknown.

use std::collections::BTreeMap;

use sapwood_testkit::{Ostree, skipped};

use crate::place::Place;

/// What the second column says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    Same,
    Better,
    Differs,
    LeftOut,
    Later,
}

impl Here {
    fn is_here(self) -> bool {
        matches!(self, Self::Same | Self::Better | Self::Differs)
    }
}

/// The document: the commands, and the options by command (`""` for those of every command, `admin` for those of
/// every command below it).
#[derive(Debug, Default)]
pub(crate) struct Table {
    commands: BTreeMap<String, Here>,
    options: BTreeMap<String, BTreeMap<String, Here>>,
    problems: Vec<String>,
}

impl Table {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mut table = Self::default();
        let mut section = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                title.clone_into(&mut section);
            }
            let columns: Vec<_> = line.trim_matches('|').splitn(3, '|').map(str::trim).collect();
            let &[name, word, note] = columns.as_slice() else { continue };
            let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
            let here = match word {
                "same" => Here::Same,
                "better" => Here::Better,
                "differs" => Here::Differs,
                "left out" => Here::LeftOut,
                "later" => Here::Later,
                other => panic!("{other:?} in {line:?} is none of the five words"),
            };
            if note.is_empty() && matches!(here, Here::Better | Here::Differs | Here::LeftOut) {
                table.problems.push(format!("{section} {name}: {word}, and not how or why"));
            }
            match section.as_str() {
                "Commands" => drop(table.commands.insert(name.to_owned(), here)),
                "Every command" => table.add_options("", name, here),
                command => table.add_options(command, name, here),
            }
        }
        table
    }

    /// Whether the table says that the command, or an option of it, does what OSTree's does.
    pub(crate) fn claims(&self, command: &str, option: &str) -> bool {
        let here = match option {
            "" => self.commands.get(command),
            _ => self.options.get(command).and_then(|options| options.get(option)),
        };
        matches!(here, Some(Here::Same | Here::Better))
    }

    /// Takes in a cell such as `-s, --subject`.
    fn add_options(&mut self, command: &str, names: &str, here: Here) {
        let options = self.options.entry(command.to_owned()).or_default();
        options.extend(names.split(", ").map(|name| (name.to_owned(), here)));
    }
}

/// The commands in a help text of the real program.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| !line.contains("Commands:")).skip(1);
    listed.map_while(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// The options in a help text of the real program: `-s` and `--subject` for `  -s, --subject=SUBJECT`.
fn options(help: &str) -> Vec<String> {
    let mut options = Vec::new();
    for line in help.lines().filter(|line| line.starts_with("  -")) {
        for word in line.split_whitespace().take_while(|word| word.starts_with('-')) {
            let end = word.find(['=', '[', ',']).unwrap_or(word.len());
            options.push(word[..end].to_owned());
        }
    }
    options
}

/// All commands of the real program, with their help.
fn walk(ostree: &Ostree) -> BTreeMap<String, String> {
    let help = |words: &str| {
        let mut command = ostree.command();
        let out = command.args(words.split_whitespace()).arg("--help").output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let mut found = BTreeMap::new();
    for command in commands(&help("")) {
        let text = help(&command);
        let below = commands(&text);
        if below.is_empty() {
            found.insert(command, text);
        } else {
            found.extend(below.into_iter().map(|sub| format!("{command} {sub}")).map(|name| {
                let text = help(&name);
                (name, text)
            }));
        }
    }
    found
}

#[test]
fn every_option_of_ostree_has_its_line() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let table = Table::read();
    let has = |section: &str, option: &str| {
        table.options.get(section).is_some_and(|options| options.contains_key(option))
    };
    let mut missing = Vec::new();
    for (command, help) in walk(&ostree) {
        if !table.commands.contains_key(&command) {
            missing.push(command.clone());
        }
        let group = command.split(' ').next().unwrap_or_default();
        for option in options(&help) {
            if !["", group, &command].iter().any(|section| has(section, &option)) {
                missing.push(format!("{command} {option}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/compatibility.md has no line for:\n{}", missing.join("\n"));
}

#[test]
fn what_the_table_says_is_here_is_here() {
    let place = Place::new();
    let mut table = Table::read();
    let refused = |line: &str, of: &[&str]| {
        let said = place.run_as_ostree(line).err;
        of.iter().any(|text| said.contains(text))
    };
    for (command, here) in &table.commands {
        let known = !refused(&format!("{command} --help"), &["Unknown command", "\" subcommand '"]);
        if known != here.is_here() && command != "trivial-httpd" {
            table.problems.push(format!("{command}: the table says {here:?}"));
        }
    }
    for (command, options) in &table.options {
        let command_here = table.commands.get(command).is_none_or(|here| here.is_here());
        // Options of many commands are asked of one of them.
        let words = match command.as_str() {
            "" => "cat",
            "admin" => "admin status",
            command => command,
        };
        for (option, here) in options {
            let probe = if option.starts_with("--") { format!("{option}=x") } else { format!("{option}x") };
            let unknown = [
                format!("Unknown option {option}\n"),
                format!("{option} is an option of OSTree that this version does not have"),
            ];
            let unknown = unknown.each_ref().map(String::as_str);
            let known = command_here && !refused(&format!("{words} {probe} --help"), &unknown);
            if known != here.is_here() {
                table.problems.push(format!("{command} {option}: the table says {here:?}"));
            }
        }
    }
    assert!(table.problems.is_empty(), "docs/compatibility.md:\n{}", table.problems.join("\n"));
}
