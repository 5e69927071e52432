//! Tests of the GVariant module.
