//! What the merge promises: its laws on random trees, a table of cases, crashes, and hostile trees.

mod apply;
mod crash;
mod laws;
mod oracle;
mod table;
mod tree;

type TestResult = Result<(), Box<dyn std::error::Error>>;
