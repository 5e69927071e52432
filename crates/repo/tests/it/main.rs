//! Integration tests of the repository, in one binary.

mod checkout;
mod checkout_conflicts;
mod commit;
mod commit_cache;
mod commit_crash;
mod commit_fixture;
mod history;
mod maintain;
mod repository;
