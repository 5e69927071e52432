//! Making writes fail, one by one.
//!
//! Every write operation of this crate asks here first. Without the feature `fault` that costs nothing. With it a test
//! can make the Nth operation the last before a crash, or fail it, and can read the order in which things were done.
//! What is injected belongs to a thread and to those that enter its [`Context`], so tests that run side by side in one
//! process do not see each other's faults.

#[cfg(feature = "fault")]
mod control;

#[cfg(feature = "fault")]
pub use control::{Call, Failure, Node, Run, crash_at, fail_at, fail_from, record};

use std::ffi::OsStr;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

/// A kind of write operation. Each call to the system that changes a disk is one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Op {
    /// A regular file came to be.
    Create,
    /// Bytes were written.
    Write,
    /// Bytes were copied in the kernel, or extents shared.
    Copy,
    /// A file was cut or extended.
    Truncate,
    /// A name was moved, or two were swapped.
    Rename,
    /// A file got another name.
    Link,
    /// A name that is not a directory's was removed.
    Unlink,
    /// A directory was made.
    Mkdir,
    /// An empty directory was removed.
    Rmdir,
    /// A symlink was made.
    Symlink,
    /// A fifo or device node was made.
    Mknod,
    /// Permission bits were set.
    Chmod,
    /// Owner and group were set.
    Chown,
    /// Times were set.
    Utimens,
    /// An extended attribute was set.
    SetXattr,
    /// An extended attribute was removed.
    RemoveXattr,
    /// Inode flags were set.
    SetFlags,
    /// One file or directory was made durable.
    Fsync,
    /// A whole filesystem was made durable.
    Syncfs,
}

/// What an operation is about to change.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "fault"), expect(dead_code, reason = "read by the injected faults alone"))]
pub(crate) enum On<'a> {
    /// What has this name, or is to get it.
    Name(BorrowedFd<'a>, &'a OsStr),
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// The first name becomes the second.
    Move(BorrowedFd<'a>, &'a OsStr, BorrowedFd<'a>, &'a OsStr),
}

/// Called before each write operation; the operation happens only if this succeeds.
#[inline]
#[cfg_attr(
    not(feature = "fault"),
    expect(clippy::unnecessary_wraps, reason = "can fail with the feature `fault`")
)]
pub(crate) fn step(op: Op, on: On<'_>) -> io::Result<()> {
    #[cfg(feature = "fault")]
    return control::step(op, on);
    #[cfg(not(feature = "fault"))]
    {
        let _ = (op, on);
        Ok(())
    }
}

/// What a thread inherits from the one that started it, so that injected faults cover a whole thread pool.
///
/// Take it with [`context`] before starting threads; each [`enter`](Context::enter)s it. Without the feature `fault` it
/// is empty.
#[derive(Debug, Clone)]
pub struct Context {
    #[cfg(feature = "fault")]
    plan: Option<control::Shared>,
}

/// While it lives, the thread is part of the context. What the thread had before comes back when it is dropped.
#[derive(Debug)]
#[must_use = "the context is left when this is dropped"]
pub struct Entered {
    #[cfg(feature = "fault")]
    _restore: control::Restore,
    stays_on_its_thread: PhantomData<*const ()>,
}

/// The context of this thread.
#[inline]
pub fn context() -> Context {
    Context {
        #[cfg(feature = "fault")]
        plan: control::current(),
    }
}

impl Context {
    /// Makes this thread part of the context until the guard is dropped.
    #[inline]
    pub fn enter(&self) -> Entered {
        Entered {
            #[cfg(feature = "fault")]
            _restore: control::enter(self.plan.clone()),
            stays_on_its_thread: PhantomData,
        }
    }
}
