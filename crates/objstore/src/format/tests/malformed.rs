//! Inputs that must be refused.
