//! Replication, tried out: over HTTP, over directories, between repositories, with real peers, and against liars.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod announced;
mod beside;
mod carried;
mod closures;
mod crash;
mod deltas;
mod far;
mod fresh;
mod hostile;
mod liar;
mod lines;
mod mirrors;
mod misbehaving;
mod moody;
mod peers;
mod proxies;
mod pulls;
mod remotes;
mod repair;
mod room;
mod secrets;
mod selective;
mod server;
mod slow;
mod summaries;
mod tls;
mod trust;
mod world;
