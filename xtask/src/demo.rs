//! `cargo xtask demo`: the main job on this machine, told step by step.
//!
//! Two versions of an operating system are committed, served, pulled into a machine's disk (a folder), deployed,
//! upgraded with the administrator's `/etc` kept, and rolled back. Every command shown is run, by the program that
//! users get, and what the text claims is checked at the end.

mod etc;
mod same;
mod story;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::lab::{self, Format, Lab, MACHINE, MACHINE_REPO, SERVER, Versions, disk_usage, regular_files};
use crate::relay::Relay;
use crate::server::Ours;
use crate::sh;
use etc::Edits;
use story::{Story, megabytes, say, show};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Real root filesystems in place of the built-in one: the old version and the new one, or one alone
    #[arg(long, value_name = "DIR[,DIR2]", value_delimiter = ',')]
    tree: Vec<PathBuf>,
    /// Work in this new folder and leave it for you to look at
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The repository format
    #[arg(long, value_enum, default_value_t = Format::Native)]
    format: Format,
    /// Use the quick build in place of what users get
    #[arg(long)]
    debug: bool,
    /// Use this program in place of building one
    #[arg(long)]
    sapwood: Option<PathBuf>,
}

/// Tells the story.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let profile = if args.debug { sh::Profile::Debug } else { sh::Profile::Release };
    let sapwood = sh::sapwood(args.sapwood.as_deref(), profile)?;
    let temporary;
    let folder = if let Some(folder) = &args.keep {
        std::fs::create_dir(folder).with_context(|| format!("--keep: creating {}", folder.display()))?;
        folder.canonicalize()?
    } else {
        temporary = tempfile::Builder::new().prefix("sapwood-demo-").tempdir()?;
        temporary.path().to_path_buf()
    };
    let told = tell(&Lab::new(sapwood, folder.clone(), args.format), args);
    if args.keep.is_some() {
        println!("\nEverything is in {}.", folder.display());
    }
    told
}

fn tell(lab: &Lab, args: &DemoArgs) -> Result<()> {
    let mut story = Story::new();
    story.chapter("Two versions of an operating system");
    let versions = if args.tree.is_empty() {
        Versions::built_in(&lab.folder)?
    } else {
        Versions::given(&args.tree, &lab.folder)?
    };
    let edits = Edits::choose(&versions.trees)?;
    for (tree, name) in versions.trees.iter().zip(&versions.names) {
        let files = regular_files(tree)?;
        let bytes: u64 = files.values().sum();
        say(&format!("Version {name}: {} files, {}, in {}", files.len(), megabytes(bytes), tree.display()));
    }

    story.chapter("The build server commits the first version");
    say("An archive repository holds compressed objects, each named by its hash: what a web server serves.");
    story.run(&mut lab.init_server()?)?;
    story.run(&mut lab.commit(&versions.trees[0], &versions.names[0]))?;

    story.chapter("A web server serves the repository");
    say("Any static web server will do; here it is our own. A relay before it counts the bytes on the wire.");
    show(&Ours::command(SERVER.as_ref(), lab.sapwood()));
    let server = Ours::start(&lab.folder.join(SERVER), lab.sapwood())?;
    let relay = Relay::start(server.port()?, None)?;
    say(&format!("(it answers at {}, the relay at {})", server.url(), relay.url()));

    story.chapter("A machine is installed");
    say(&format!(
        "The folder `{MACHINE}` is the root of the machine's disk. It pulls the version and deploys it."
    ));
    story.run(&mut lab.init_machine()?)?;
    story.run(&mut lab.admin(&["os-init", lab::OS]))?;
    story.run(&mut lab.add_remote(&relay.url()))?;
    story.run(&mut lab.pull())?;
    let first_wire = relay.take();
    story.run(&mut lab.deploy())?;
    story.run(&mut lab.admin(&["status"]))?;
    let first = lab.boots()?;
    ensure!(first.len() == 1, "one deployment was to boot, not {first:?}");
    let first_disk = disk_usage(&lab.folder.join(MACHINE))?;

    story.chapter("The administrator edits /etc");
    let old = lab.deployment(&first[0]);
    for line in edits.apply(&old.join("etc"))? {
        say(&line);
    }

    story.chapter("The second version arrives, and the machine upgrades");
    story.run(&mut lab.commit(&versions.trees[1], &versions.names[1]))?;
    say("The upgrade pulls what is new, deploys it beside the old version, and merges /etc three ways.");
    let upgraded = story.run(&mut lab.upgrade())?;
    let second_wire = relay.take();
    story.run(&mut lab.admin(&["status"]))?;
    let both = lab.boots()?;
    ensure!(
        both.len() == 2 && both[1] == first[0],
        "the new version was to boot, then the old; not {both:?}"
    );
    let second_disk = disk_usage(&lab.folder.join(MACHINE))?;

    story.chapter("What came of /etc");
    let new = lab.deployment(&both[0]);
    for line in edits.check(&new, &upgraded)? {
        say(&line);
    }
    let unchanged = std::fs::read_dir(old.join("etc"))?.count();
    say(&format!("The old version keeps its own /etc ({unchanged} entries), as it was."));

    story.chapter("What the second version cost");
    let added = second_disk.saturating_sub(first_disk);
    say(&format!("On the wire: {}; the first: {}.", traffic(second_wire), traffic(first_wire)));
    say(&format!("On the machine's disk: {} more, on top of {}.", megabytes(added), megabytes(first_disk)));
    let wire = second_wire.up + second_wire.down;
    ensure!(
        wire > 0 && wire * 2 < first_wire.up + first_wire.down,
        "the update was to cost less than half on the wire"
    );
    ensure!(added * 2 < first_disk, "the update was to cost less than half on disk");

    story.chapter("Back to the first version");
    say("Both versions are on the disk, complete. Which one boots is decided by one symbolic link.");
    story.run(&mut lab.admin(&["rollback"]))?;
    story.run(&mut lab.admin(&["status"]))?;
    let back = lab.boots()?;
    ensure!(
        back == [both[1].clone(), both[0].clone()],
        "the old version was to boot first again, not {back:?}"
    );

    story.chapter("Every object is what its name says");
    for at in [MACHINE_REPO, SERVER] {
        story.run(&mut lab.fsck(at))?;
    }
    if rustix::process::geteuid().is_root() {
        let paths = same::as_committed(&versions.trees[1], &new)?;
        say(&format!(
            "All {paths} paths of version 2 are deployed with mode, owner and extended attributes as committed."
        ));
    } else {
        say("(Run by root, this would keep owners and extended attributes, and compare them.)");
    }
    story.end();
    Ok(())
}

fn traffic(traffic: crate::relay::Traffic) -> String {
    format!("{} down, {} up", megabytes(traffic.down), megabytes(traffic.up))
}
