//! Operating systems for virtual machines: a small one of busybox and our program, or a real tree made ready.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::initramfs::{self, Initramfs};
use crate::sh;

/// What goes into every system.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The program `sapwood`.
    pub(crate) sapwood: PathBuf,
    /// The program of the boot.
    pub(crate) boot_program: PathBuf,
    /// The kernel's image.
    pub(crate) kernel: PathBuf,
    /// The folder of its modules, named as its version.
    pub(crate) modules: PathBuf,
}

impl Parts {
    /// Builds the programs (unless one is given) and finds a kernel.
    pub(crate) fn find(given: Option<&Path>, profile: sh::Profile, cache: &Path) -> Result<Self> {
        let sapwood = sh::sapwood(given, profile)?;
        let boot_program = sapwood.with_file_name("sapwood-boot");
        ensure!(boot_program.is_file(), "{} is not beside {}", boot_program.display(), sapwood.display());
        let (kernel, modules) = kernel(cache)?;
        Ok(Self { sapwood, boot_program, kernel, modules })
    }

    fn version(&self) -> String {
        self.modules.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The image of a kernel for virtual machines, and the folder of its modules: installed ones, else those of a package,
/// unpacked below `cache`.
pub(crate) fn kernel(cache: &Path) -> Result<(PathBuf, PathBuf)> {
    match installed_kernel(Path::new("/"))? {
        Some(found) => Ok(found),
        None => downloaded_kernel(cache),
    }
}

/// A kernel for clouds below `root`, the newest by name.
fn installed_kernel(root: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let Ok(all) = std::fs::read_dir(root.join("lib/modules")) else { return Ok(None) };
    let mut names: Vec<_> = all.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    Ok(names.iter().rev().find_map(|name| {
        let modules = root.join("lib/modules").join(name);
        let kernel = root.join("boot").join(format!("vmlinuz-{}", name.to_string_lossy()));
        (name.to_string_lossy().ends_with("-cloud-amd64")
            && kernel.is_file()
            && modules.join("modules.dep").is_file())
        .then_some((kernel, modules))
    }))
}

fn downloaded_kernel(cache: &Path) -> Result<(PathBuf, PathBuf)> {
    let unpacked = cache.join("kernel");
    if let Some(found) = installed_kernel(&unpacked)? {
        return Ok(found);
    }
    let shown = sh::output(Command::new("apt-cache").args(["show", "linux-image-cloud-amd64"]))?;
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
    let package =
        depends.and_then(|line| line.split([' ', ',']).next()).context("no kernel package is known")?;
    let temporary = tempfile::tempdir_in(cache)?;
    println!("downloading {package} …");
    sh::output(Command::new("apt-get").args(["-qq", "download", package]).current_dir(temporary.path()))?;
    let file = std::fs::read_dir(temporary.path())?.next().context("apt-get downloaded nothing")??.path();
    sh::output(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&unpacked))?;
    let version =
        std::fs::read_dir(unpacked.join("lib/modules"))?.next().context("the package has no modules")??;
    // Packages leave this to their installation.
    let version = version.file_name();
    sh::output(Command::new("/sbin/depmod").arg("-b").arg(&unpacked).arg(&version))?;
    installed_kernel(&unpacked)?.context("the package has no kernel")
}

/// The libraries that a program needs, as the dynamic linker finds them here.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = sh::output(Command::new("ldd").arg(program))?;
    Ok(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Writes the small operating system, version `number`, to the new folder `tree`.
pub(crate) fn small(tree: &Path, number: u32, parts: &Parts) -> Result<()> {
    for dir in [
        "usr/bin", "usr/lib", "usr/etc", "boot", "dev", "proc", "run", "sys", "sysroot", "tmp", "var", "root",
    ] {
        std::fs::create_dir_all(tree.join(dir))?;
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib"),
        ("ostree", "sysroot/ostree"),
    ] {
        symlink(target, tree.join(link))?;
    }
    copy(Path::new("/usr/bin/busybox"), &tree.join("usr/bin/busybox"))?;
    for applet in sh::output(Command::new("/usr/bin/busybox").arg("--list"))?.lines() {
        if applet != "busybox" && applet != "init" {
            symlink("busybox", tree.join("usr/bin").join(applet))?;
        }
    }
    script(tree, "usr/bin/init", include_str!("init.sh"))?;
    std::fs::write(tree.join("usr/lib/os-release"), format!("NAME=Small\nPRETTY_NAME=\"Small {number}\"\n"))?;
    add_ours(tree, number, parts)?;
    for library in libraries(&parts.sapwood)?.into_iter().chain(libraries(&parts.boot_program)?) {
        // All of them are looked for in /lib64 and in folders that lead to /usr/lib here.
        let to = tree.join("usr/lib").join(library.file_name().unwrap_or_default());
        copy(&library, &to)?;
        let nested = tree.join("usr/lib/x86_64-linux-gnu");
        if !nested.exists() {
            symlink(".", &nested)?;
        }
    }
    let initramfs = Initramfs::new(include_str!("initramfs-init.sh"), &parts.boot_program, &parts.modules)?;
    let kernel_dir = tree.join("usr/lib/modules").join(parts.version());
    std::fs::create_dir_all(&kernel_dir)?;
    copy(&parts.kernel, &kernel_dir.join("vmlinuz"))?;
    std::fs::write(kernel_dir.join("initramfs.img"), initramfs.to_bytes())?;
    Ok(())
}

/// What makes the initramfs of a real tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InitramfsMaker {
    /// `mkinitramfs`, as Debian has it
    InitramfsTools,
    /// `dracut`, with systemd in the initramfs
    Dracut,
}

/// A real tree with ours laid over it; dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Real {
    merged: PathBuf,
}

impl Real {
    /// Lays our programs and an initramfs, made by the tree's own programs, over `tree`, which is not changed.
    pub(crate) fn new(
        tree: &Path,
        folder: &Path,
        number: u32,
        parts: &Parts,
        maker: InitramfsMaker,
    ) -> Result<Self> {
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| folder.join(name));
        for dir in [&upper, &work, &merged] {
            std::fs::create_dir_all(dir)?;
        }
        let options =
            format!("lowerdir={},upperdir={},workdir={}", tree.display(), upper.display(), work.display());
        sh::output(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged))?;
        let real = Self { merged };
        add_ours(&real.merged, number, parts)?;
        real.add_units()?;
        real.make_initramfs(maker)?;
        Ok(real)
    }

    /// The tree.
    pub(crate) fn path(&self) -> &Path {
        &self.merged
    }

    fn add_units(&self) -> Result<()> {
        let units = self.merged.join("usr/lib/systemd/system");
        std::fs::write(units.join("sapwood-vm-step.service"), include_str!("step.service"))?;
        std::fs::write(units.join("sapwood-vm.target"), "[Unit]\nRequires=sapwood-vm-step.service\n")?;
        // No argument of the kernel, which a systemd in the initramfs would take for itself.
        let default = self.merged.join("usr/etc/systemd/system/default.target");
        if default.is_symlink() {
            std::fs::remove_file(&default)?;
        }
        symlink("/usr/lib/systemd/system/sapwood-vm.target", default)?;
        // Else the first boot asks questions.
        std::fs::write(self.merged.join("usr/etc/machine-id"), "5a90000000000000000000000000da7a\n")?;
        Ok(())
    }

    fn make_initramfs(&self, maker: InitramfsMaker) -> Result<()> {
        let modules = self.merged.join("usr/lib/modules");
        let version = std::fs::read_dir(&modules)?.next().context("the tree has no kernel")??.file_name();
        let version = version.to_str().context("a kernel's version is plain text")?;
        // As in a running system: the tree keeps its configuration in /usr/etc. A link would do for mkinitramfs; dracut copies
        // it, and what it links to `../usr/lib` from there leads nowhere.
        let etc = self.merged.join("etc");
        std::fs::create_dir(&etc)?;
        let temporary = self.merged.join("var/tmp");
        std::fs::create_dir_all(&temporary)?;
        // Debian's kernels have it; mkinitramfs looks where a deployed tree has nothing.
        let config = self.merged.join(format!("boot/config-{version}"));
        std::fs::write(&config, "CONFIG_RD_ZSTD=y\n")?;
        let image = format!("/usr/lib/modules/{version}/initramfs.img");
        let words = match maker {
            InitramfsMaker::InitramfsTools => vec!["/usr/sbin/mkinitramfs", "-o", &image, version],
            // As `dist/README.md` says.
            InitramfsMaker::Dracut => {
                vec![
                    "/usr/bin/dracut",
                    "--force",
                    "--no-hostonly",
                    "--add",
                    "sapwood",
                    "--kver",
                    version,
                    &image,
                ]
            }
        };
        // Both look into these; what is mounted goes with the namespace.
        let script = "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && \
            mount --bind \"$0/usr/etc\" \"$0/etc\" && exec chroot \"$0\" \"$@\"";
        let mut make = Command::new("unshare");
        make.args(["-m", "sh", "-c", script]).arg(&self.merged).args(words);
        sh::output(make.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))?;
        std::fs::remove_dir_all(&temporary)?;
        std::fs::remove_file(&config)?;
        Ok(std::fs::remove_dir(&etc)?)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Err(error) = sh::output(Command::new("umount").arg(&self.merged)) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// What both kinds of systems get: our programs, as a distribution installs them, and what tests them.
fn add_ours(tree: &Path, number: u32, parts: &Parts) -> Result<()> {
    let programs = tempfile::tempdir()?;
    for program in [&parts.sapwood, &parts.boot_program] {
        stripped(program, &programs.path().join(program.file_name().unwrap_or_default()))?;
    }
    sh::output(Command::new(sh::root().join("dist/install.sh")).arg(tree).arg(programs.path()))?;
    script(tree, "usr/libexec/sapwood-vm-step", include_str!("step.sh"))?;
    std::fs::write(tree.join("usr/lib/sapwood-vm-version"), number.to_string())?;
    let etc = tree.join("usr/etc/sapwood-vm");
    std::fs::create_dir_all(&etc)?;
    std::fs::write(etc.join("default"), format!("default {number}"))?;
    std::fs::write(etc.join("changed"), format!("default {number}"))?;
    Ok(())
}

fn script(tree: &Path, path: &str, text: &str) -> Result<()> {
    let path = tree.join(path);
    std::fs::create_dir_all(path.parent().context("a script is in a folder")?)?;
    std::fs::write(&path, text)?;
    Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Copies a program without its symbols, which make most of one that was built for debugging.
fn stripped(from: &Path, to: &Path) -> Result<()> {
    sh::output(Command::new("strip").arg("-o").arg(to).arg(from))?;
    Ok(())
}

/// Whether the modules for virtual machines are there.
pub(crate) fn usable(modules: &Path) -> bool {
    initramfs::needed(modules).is_ok_and(|files| !files.is_empty())
}
