//! Tests of the stat cache file.
