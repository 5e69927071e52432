//! The repository's lock between handles.

use crate::support::{TestResult, tempdir};
use sapwood_fsio::lock::{LockKind, Wait};
use sapwood_objstore::{Error, Format, Mode, Store, StoreOptions};
use std::time::Duration;

#[test]
fn who_needs_the_lock_alone_comes_before_those_who_ask_to_share_it_later() -> TestResult {
    let dir = tempdir();
    let store = |lock_wait| {
        let options = StoreOptions { lock_wait, ..StoreOptions::default() };
        Store::create(&dir, Format::Native, Mode::BareUser, options)
    };
    let (writer, newcomer) = (store(Wait::No)?, store(Wait::No)?);
    let pruner = store(Wait::For(Duration::from_mins(5)))?;
    let late = store(Wait::For(Duration::from_mins(5)))?;
    std::thread::scope(|scope| {
        let held = writer.lock(LockKind::Shared)?;
        let alone = scope.spawn(|| pruner.lock(LockKind::Exclusive));
        let refused = loop {
            // It shares, until the other has begun to wait.
            if let Err(refused) = newcomer.lock(LockKind::Shared) {
                break refused;
            }
            std::thread::yield_now();
        };
        assert!(matches!(refused, Error::Lock(_)), "{refused}");
        // What the other waits for gets on, whatever it still needs.
        drop(writer.lock(LockKind::Shared)?);
        let shared = scope.spawn(|| late.lock(LockKind::Shared));
        drop(held);
        let alone = alone.join().expect("no panic")?;
        assert!(newcomer.lock(LockKind::Shared).is_err(), "it is held alone");
        drop(alone);
        shared.join().expect("no panic")?;
        assert!(newcomer.lock(LockKind::Shared)?.is_some());
        Ok(())
    })
}
