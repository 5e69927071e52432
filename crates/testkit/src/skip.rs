//! How a test says that it cannot run here.

/// Prints a line `skipped: WHY`, as `cargo xtask test` counts them.
///
/// ```
/// use sapwood_testkit::{Ostree, skipped};
///
/// let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
/// ```
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
