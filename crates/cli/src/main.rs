//! The command line of Sapwood. The same program, called `ostree`, stands in for OSTree's.
//!
//! A command is one file below `cmd`: it parses into its `Args`, its `run` returns an `Outcome` and prints nothing, and
//! the outcome is shown as text or, with `--json`, as one JSON document. Data goes to standard output and everything
//! else to standard error; a closed pipe is no failure.

mod args;
mod cmd;
mod connect;
mod ctx;
mod extension;
mod journal;
mod report;
mod running;
mod time;
mod trust;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    allow_many_open_files();
    let invocation: Vec<_> = std::env::args_os().collect();
    let persona = args::Persona::of(&invocation);
    ui::speak_as(persona.name());
    let wants_json = invocation.iter().any(|word| word == "--json");
    match args::parse(persona, &invocation) {
        Ok(args::Parsed::Run(cli)) => {
            ui::start_logging(cli.global.verbose());
            sapwood_repo::name_command(&cli.verb);
            let ctx = ctx::Ctx::new(persona, &cli.global);
            match cmd::run(cli.command, &ctx) {
                Ok(code) => ExitCode::from(code),
                Err(error) => report::fail(&error, cli.global.json),
            }
        }
        Ok(args::Parsed::Print(text)) => ui::print(&text),
        Ok(args::Parsed::Extension(program)) => {
            report::fail(&extension::become_program(&program, &invocation), wants_json)
        }
        Err(error) => report::fail(&error, wants_json),
    }
}

/// A deep tree has a directory open for each level. The usual limit is low for the sake of old programs alone; it is
/// raised as far as this user may.
fn allow_many_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it most trees can be handled all the same.
    let _raised = setrlimit(Resource::Nofile, limit);
}
