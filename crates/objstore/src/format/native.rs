//! The native codec; see `docs/FORMAT.md`.
