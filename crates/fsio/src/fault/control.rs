//! The part of fault injection that tests see: which operation fails, how, and the log of calls.

use super::{On, Op};
use rustix::fs::{AtFlags, StatxFlags, makedev, statx};
use rustix::io::Errno;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// `ENOSPC`: the disk is full.
    NoSpace,
    /// `EIO`: the disk is broken.
    Io,
}

/// What came of running a function under an injected fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<T> {
    /// What the function returned.
    pub value: T,
    /// Whether the fault happened: `false` means the function needs fewer operations than that.
    pub fired: bool,
    /// How many write operations were tried.
    pub steps: u64,
}

/// The identity of a file: device and inode number.
pub type Node = (u64, u64);

/// One write operation of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was done.
    pub op: Op,
    /// The directory of `path`; for an operation on an open file, `None`.
    pub dir: Option<Node>,
    /// One component: the name that was made, changed or removed; for [`Op::Rename`] and [`Op::Link`] the new name.
    /// Empty for an operation on an open file.
    pub path: PathBuf,
    /// For [`Op::Rename`] and [`Op::Link`], the directory and name that were there before.
    pub from: Option<(Option<Node>, PathBuf)>,
    /// The file itself as it was before the operation (for a rename the one that is moved); `None` if there was none.
    pub file: Option<Node>,
    /// Which thread did it: 0 is the one that called [`record`], others count up as they enter the context.
    pub thread: u64,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    CrashAt(u64),
    FailAt(u64, Failure),
    FailFrom(u64, Failure),
    Record,
}

#[derive(Debug)]
pub(crate) struct Plan {
    mode: Mode,
    steps: AtomicU64,
    fired: AtomicBool,
    threads: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

pub(crate) type Shared = Arc<Plan>;

thread_local! {
    static CURRENT: RefCell<Option<(Shared, u64)>> = const { RefCell::new(None) };
}

/// Puts back what the thread had before.
#[derive(Debug)]
pub(crate) struct Restore {
    before: Option<(Shared, u64)>,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.before.take();
        CURRENT.with_borrow_mut(|current| *current = before);
    }
}

pub(crate) fn current() -> Option<Shared> {
    CURRENT.with_borrow(|current| current.as_ref().map(|(plan, _)| Arc::clone(plan)))
}

pub(crate) fn enter(plan: Option<Shared>) -> Restore {
    let next = plan.map(|plan| {
        let known = CURRENT.with_borrow(|now| match now {
            Some((now, thread)) if Arc::ptr_eq(now, &plan) => Some(*thread),
            _ => None,
        });
        let thread = known.unwrap_or_else(|| plan.threads.fetch_add(1, Ordering::Relaxed));
        (plan, thread)
    });
    let before = CURRENT.with_borrow_mut(|current| std::mem::replace(current, next));
    Restore { before, stays_on_its_thread: PhantomData }
}

fn run<T>(mode: Mode, f: impl FnOnce() -> T) -> (Run<T>, Vec<Call>) {
    let plan = Arc::new(Plan {
        mode,
        steps: AtomicU64::new(0),
        fired: AtomicBool::new(false),
        threads: AtomicU64::new(0),
        calls: Mutex::new(Vec::new()),
    });
    let value = {
        let _restore = enter(Some(Arc::clone(&plan)));
        f()
    };
    let run =
        Run { value, fired: plan.fired.load(Ordering::SeqCst), steps: plan.steps.load(Ordering::SeqCst) };
    let calls = std::mem::take(&mut *plan.calls.lock().unwrap_or_else(PoisonError::into_inner));
    (run, calls)
}

/// Runs `f` as if the process died just before its write operation number `step`, counted from 1: that one and all
/// later ones fail without effect, so that no clean-up can act. Reads still work; their results are the caller's to
/// ignore.
pub fn crash_at<T>(step: u64, f: impl FnOnce() -> T) -> Run<T> {
    run(Mode::CrashAt(step), f).0
}

/// Runs `f` with its write operation number `step`, counted from 1, failing, and no other.
pub fn fail_at<T>(step: u64, failure: Failure, f: impl FnOnce() -> T) -> Run<T> {
    run(Mode::FailAt(step, failure), f).0
}

/// Runs `f` on a disk that, from operation number `step` on, takes nothing new: creating and writing fail, removing,
/// renaming and changing attributes work. With [`Failure::Io`] syncing fails too.
pub fn fail_from<T>(step: u64, failure: Failure, f: impl FnOnce() -> T) -> Run<T> {
    run(Mode::FailFrom(step, failure), f).0
}

/// Runs `f` and returns its write operations in the order in which they were started.
pub fn record<T>(f: impl FnOnce() -> T) -> (T, Vec<Call>) {
    let (run, calls) = run(Mode::Record, f);
    (run.value, calls)
}

pub(crate) fn step(op: Op, on: On<'_>) -> io::Result<()> {
    let Some((plan, thread)) =
        CURRENT.with_borrow(|now| now.as_ref().map(|(plan, thread)| (Arc::clone(plan), *thread)))
    else {
        return Ok(());
    };
    let number = plan.steps.fetch_add(1, Ordering::SeqCst) + 1;
    let error = match plan.mode {
        Mode::CrashAt(step) if number >= step => Some(io::Error::other("injected crash")),
        Mode::FailAt(step, failure) if number == step => Some(errno(failure)),
        Mode::FailFrom(step, failure) if number >= step && needs_room(op, failure) => Some(errno(failure)),
        Mode::Record => {
            let mut call = describe(op, on);
            call.thread = thread;
            plan.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
            None
        }
        _ => None,
    };
    match error {
        Some(error) => {
            plan.fired.store(true, Ordering::SeqCst);
            Err(error)
        }
        None => Ok(()),
    }
}

fn errno(failure: Failure) -> io::Error {
    match failure {
        Failure::NoSpace => Errno::NOSPC.into(),
        Failure::Io => Errno::IO.into(),
    }
}

fn needs_room(op: Op, failure: Failure) -> bool {
    match op {
        Op::Create
        | Op::Write
        | Op::Copy
        | Op::Truncate
        | Op::Link
        | Op::Mkdir
        | Op::Symlink
        | Op::Mknod
        | Op::SetXattr => true,
        Op::Fsync | Op::Syncfs => failure == Failure::Io,
        _ => false,
    }
}

fn describe(op: Op, on: On<'_>) -> Call {
    let empty = Call { op, dir: None, path: PathBuf::new(), from: None, file: None, thread: 0 };
    match on {
        On::Name(dir, name) => {
            Call { dir: node(dir, OsStr::new("")), path: name.into(), file: node(dir, name), ..empty }
        }
        On::Open(file) => Call { file: node(file, OsStr::new("")), ..empty },
        On::Move(from_dir, from, to_dir, to) => Call {
            dir: node(to_dir, OsStr::new("")),
            path: to.into(),
            from: Some((node(from_dir, OsStr::new("")), from.into())),
            file: node(from_dir, from),
            ..empty
        },
    }
}

fn node(dir: BorrowedFd<'_>, name: &OsStr) -> Option<Node> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let stat = statx(dir, name, flags, StatxFlags::INO).ok()?;
    Some((makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
}
