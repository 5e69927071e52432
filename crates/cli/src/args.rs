//! What can be typed: the global options and the list of commands, and how wrong usage is put into one line.

use crate::{cmd, extension, report::Usage};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Under which name the program was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persona {
    /// Its own.
    Sapwood,
    /// `ostree`: new repositories are of OSTree's format.
    Ostree,
}

impl Persona {
    /// The persona that the first word of a command line asks for.
    pub(crate) fn of(invocation: &[OsString]) -> Self {
        match invocation.first().map(Path::new).and_then(Path::file_name) {
            Some(name) if name == "ostree" => Self::Ostree,
            _ => Self::Sapwood,
        }
    }

    /// The name as it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sapwood => "sapwood",
            Self::Ostree => "ostree",
        }
    }
}

/// Git for operating system binaries
///
/// Records complete bootable file trees in a repository, replicates them over HTTP, and deploys several versions of
/// several systems side by side, switching between them atomically. Called as `ostree` it stands in for OSTree.
#[derive(Debug, Parser)]
#[command(
    args_override_self = true,
    disable_help_subcommand = true,
    disable_version_flag = true,
    subcommand_required = false,
    subcommand_help_heading = "Builtin Commands",
    max_term_width = 100
)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Global {
    /// The repository [default: the current directory if it is one, else `$OSTREE_REPO`, else that of the system]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) repo: Option<PathBuf>,
    /// Print the result as one JSON document, errors too
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Write how far a pull is to this file descriptor, one JSON document a line
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    pub(crate) progress_fd: Option<u32>,
    /// Say more on standard error about what is done (also -v)
    #[arg(long = "verbose", global = true, help_heading = "Global options")]
    verbose: bool,
    #[arg(short = 'v', id = "v", global = true, hide = true)]
    pub(crate) v: bool,
    /// Print the version and what is built in
    #[arg(long, global = true, help_heading = "Global options")]
    version: bool,
}

impl Global {
    /// Whether more was asked for. A lone `-v` of `summary` means `--view`, which that command sorts out.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Admin(cmd::admin::Args),
    Cat(cmd::cat::Args),
    Checkout(cmd::checkout::Args),
    Checksum(cmd::checksum::Args),
    Commit(Box<cmd::commit::Args>),
    #[command(hide = true)]
    Completions(cmd::completions::Args),
    Config(cmd::config::Args),
    Convert(cmd::convert::Args),
    CreateUsb(cmd::create_usb::Args),
    Diff(cmd::diff::Args),
    Export(cmd::export::Args),
    FindRemotes(cmd::find_remotes::Args),
    Fsck(cmd::fsck::Args),
    GpgSign(cmd::gpg_sign::Args),
    Init(cmd::init::Args),
    Log(cmd::log::Args),
    Ls(cmd::ls::Args),
    Prune(cmd::prune::Args),
    Pull(cmd::pull::Args),
    PullLocal(cmd::pull_local::Args),
    Refs(cmd::refs::Args),
    Remote(cmd::remote::Args),
    Reset(cmd::reset::Args),
    RevParse(cmd::rev_parse::Args),
    Serve(cmd::serve::Args),
    Show(cmd::show::Args),
    Sign(cmd::sign::Args),
    StaticDelta(cmd::static_delta::Args),
    Summary(cmd::summary::Args),
    Trust(cmd::trust::Args),
}

/// A command with the global options beside it.
#[derive(Debug)]
pub(crate) struct Cli {
    pub(crate) global: Global,
    pub(crate) command: Command,
    /// The command as it was typed.
    pub(crate) verb: String,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// To run a command.
    Run(Box<Cli>),
    /// To print a text: the help or the version.
    Print(String),
    /// To run another program, for a command that is none of ours.
    Extension(PathBuf),
}

/// The description of the whole command line, for help and completions.
pub(crate) fn command(persona: Persona) -> clap::Command {
    Line::command().name(persona.name()).bin_name(persona.name())
}

/// Reads a command line.
///
/// # Errors
/// [`Usage`], in one line.
pub(crate) fn parse(persona: Persona, invocation: &[OsString]) -> anyhow::Result<Parsed> {
    let command = command(persona);
    let parsed = match command.clone().try_get_matches_from(invocation) {
        Err(error) if error.kind() == ErrorKind::UnknownArgument => {
            let reordered = verbs_first(&command, invocation);
            command.clone().try_get_matches_from(reordered).or(Err(error))
        }
        parsed => parsed,
    };
    let matches = match parsed {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Parsed::Print(error.render().to_string()));
        }
        Err(error) => {
            let unknown = (error.kind() == ErrorKind::InvalidSubcommand)
                .then(|| error.get(ContextKind::InvalidSubcommand))
                .flatten();
            return match unknown {
                Some(ContextValue::String(name)) if deepest(&command, invocation).0 == persona.name() => {
                    extension::find(persona, name).map(Parsed::Extension)
                }
                _ => None,
            }
            .ok_or_else(|| explain(&error, &command, invocation).into());
        }
    };
    let mut line = Line::from_arg_matches(&matches).map_err(|e| explain(&e, &command, invocation))?;
    if line.global.version {
        return Ok(Parsed::Print(version(persona)));
    }
    let Some(command_given) = line.command.take() else {
        let message = "No command specified".to_owned();
        let hints = help_hint(&command, invocation);
        return Err(Usage { message, hints, synopsis: synopsis(&command, invocation) }.into());
    };
    if line.global.v && !matches!(command_given, Command::Summary(_)) {
        line.global.verbose = true;
    }
    let verb = verb(&matches);
    Ok(Parsed::Run(Box::new(Cli { global: line.global, command: command_given, verb })))
}

/// The command as it was typed, with the ones below it: `admin deploy`.
fn verb(matches: &clap::ArgMatches) -> String {
    let mut words = Vec::new();
    let mut at = matches;
    while let Some((name, below)) = at.subcommand() {
        words.push(name);
        at = below;
    }
    words.join(" ")
}

/// The version of OSTree that we follow.
pub(crate) const OSTREE_VERSION: &str = "2026.4";

/// As OSTree prints it, which is YAML. Under its name, the version is the one that we follow.
fn version(persona: Persona) -> String {
    let own = env!("CARGO_PKG_VERSION");
    let head = match persona {
        Persona::Sapwood => format!("sapwood:\n Version: '{own}'\n"),
        Persona::Ostree => {
            format!("libostree:\n Version: '{OSTREE_VERSION}'\n Implementation: 'sapwood {own}'\n")
        }
    };
    format!(
        "{head} Features:\n  - format-native\n  - format-ostree\n  - gpgme\n  - http2\n  - libarchive\n  - rustls\n  \
         - sign-ed25519\n  - sign-spki\n"
    )
}

/// OSTree's options that this version does not have: to be told apart from typing errors.
const NOT_YET: &[&str] = &["--bind-ref-collection", "--composefs", "--kexec"];

/// The one line that says what is wrong with a command line.
fn explain(error: &clap::Error, command: &clap::Command, invocation: &[OsString]) -> Usage {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let bad = text(ContextKind::InvalidArg).unwrap_or_default();
    // The name alone, also of `--name=value`.
    let bad = if bad.starts_with("--") { bad.split('=').next().unwrap_or_default() } else { &bad };
    let mut hints = help_hint(command, invocation);
    let message = match error.kind() {
        ErrorKind::UnknownArgument if bad.starts_with('-') => {
            if NOT_YET.contains(&bad) {
                format!("{bad} is an option of OSTree that this version does not have")
            } else {
                format!("Unknown option {bad}")
            }
        }
        ErrorKind::UnknownArgument => format!("Too many arguments given: {bad:?} is one more than is used"),
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            match deepest(command, invocation).0.split_once(' ') {
                None => format!("Unknown command '{name}'"),
                Some((_, above)) => format!("Unknown \"{above}\" subcommand '{name}'"),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "No command specified".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            let names: Vec<_> = bad.split(", ").map(|n| n.trim_matches(['<', '>', '.', '[', ']'])).collect();
            format!("{} must be specified", names.join(" and "))
        }
        _ => first_paragraph(&error.render().to_string()),
    };
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        if let Some(near) = text(kind) {
            hints.insert(0, format!("did you mean {near}?"));
        }
    }
    Usage { message, hints, synopsis: synopsis(command, invocation) }
}

/// The first paragraph of a message of clap's, as one line.
fn first_paragraph(message: &str) -> String {
    let lines: Vec<_> = message.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The same words with the names of commands first: OSTree takes a command's own options before its name, too.
fn verbs_first(command: &clap::Command, invocation: &[OsString]) -> Vec<OsString> {
    let mut words = invocation.to_vec();
    let (mut at, mut place) = (command, 1);
    while let Some(found) =
        words.iter().skip(place).position(|word| !word.as_encoded_bytes().starts_with(b"-"))
    {
        let Some(sub) = words.get(place + found).and_then(|word| at.find_subcommand(word)) else { break };
        at = sub;
        if let Some(part) = words.get_mut(place..=place + found) {
            part.rotate_right(1);
        }
        place += 1;
    }
    words
}

/// The deepest command that the words name.
fn deepest<'c>(command: &'c clap::Command, invocation: &[OsString]) -> (String, &'c clap::Command) {
    let mut path = command.get_name().to_owned();
    let mut at = command;
    for word in invocation.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(sub) = at.find_subcommand(word) {
            path = format!("{path} {word}");
            at = sub;
        }
    }
    (path, at)
}

/// Where to read how a command is used.
fn help_hint(command: &clap::Command, invocation: &[OsString]) -> Vec<String> {
    vec![format!("`{} --help` shows how it is used", deepest(command, invocation).0)]
}

/// How a command is used, in one line, for those who call us `ostree`.
fn synopsis(command: &clap::Command, invocation: &[OsString]) -> Option<String> {
    if command.get_name() != Persona::Ostree.name() {
        return None;
    }
    let (path, deepest) = deepest(command, invocation);
    Some(deepest.clone().bin_name(path).render_usage().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that can be typed, with the words that lead to it.
    fn leaves<'c>(command: &'c clap::Command, path: &str, found: &mut Vec<(String, &'c clap::Command)>) {
        for sub in command.get_subcommands() {
            leaves(sub, &format!("{path} {}", sub.get_name()), found);
        }
        if !command.has_subcommands() {
            found.push((path.to_owned(), command));
        }
    }

    /// An option that every command takes is looked up by its name: of two with one name, one would be read as the other.
    fn check_names(command: &clap::Command, globals: &[String]) {
        let names = || command.get_arguments().map(|arg| (arg.get_id().to_string(), arg.is_global_set()));
        for (name, _) in names() {
            assert!(
                !globals.contains(&name),
                "{}: {name} is the name of a global option",
                command.get_name()
            );
        }
        let mut globals = globals.to_vec();
        globals.extend(names().filter(|(_, global)| *global).map(|(name, _)| name));
        for sub in command.get_subcommands() {
            check_names(sub, &globals);
        }
    }

    #[test]
    fn no_command_has_an_argument_with_the_name_of_a_global_option() {
        check_names(&command(Persona::Sapwood), &[]);
    }

    #[test]
    fn every_command_can_be_read() {
        command(Persona::Sapwood).debug_assert();
        let command = command(Persona::Sapwood);
        let mut found = Vec::new();
        leaves(&command, "sapwood", &mut found);
        let mut refused = Vec::new();
        let count = found.len();
        for (path, leaf) in found {
            let needed = leaf.get_arguments().filter(|arg| arg.is_required_set() || arg.is_positional());
            let words = needed.map(|arg| {
                let possible = arg.get_possible_values();
                let value = possible.first().map_or("1", |value| value.get_name());
                arg.get_long().map_or_else(|| value.to_owned(), |long| format!("--{long}={value}"))
            });
            let line: Vec<_> = path.split(' ').map(OsString::from).chain(words.map(OsString::from)).collect();
            if let Err(error) = parse(Persona::Sapwood, &line) {
                refused.push(format!("{line:?}: {error}"));
            }
        }
        assert!(refused.is_empty() && count > 60, "{count} commands: {refused:#?}");
    }
}
