//! OSTree's codec.
