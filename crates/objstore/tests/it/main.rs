//! The store through its public interface: every mode and format, faults, crashes and hostile bytes.

mod crash;
mod hostile;
mod import;
mod keys;
mod limits;
mod locks;
mod modes;
mod resume;
mod space;
mod support;
