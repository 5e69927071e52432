//! Names on disk: the only file that knows them.

use crate::{Mode, ObjectId, ObjectKind};

/// The directory of all objects.
pub(crate) const OBJECTS: &str = "objects";
/// The directory of what is being written.
pub(crate) const TMP: &str = "tmp";
/// The lock file of a repository.
pub(crate) const LOCK: &str = ".lock";

/// The directory (`ab`) and the name (`cdef….file`) of an object below [`OBJECTS`].
pub(crate) fn object_path(mode: Mode, kind: ObjectKind, id: ObjectId) -> (String, String) { todo!() }
