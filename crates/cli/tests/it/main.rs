//! The program as it is used: from the outside, in a directory that goes away.

mod failure;
mod json;
mod peer;
mod place;
mod story;
