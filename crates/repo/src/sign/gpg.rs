//! `OpenPGP`: signatures are verified here, and made by the user's own `gpg`, which has the secret keys, agents and cards.
//!
//! A signature counts when it is over the bytes, in SHA-2 or SHA-3, by a key of the keyring that may sign, and neither
//! that key nor its primary key is expired or revoked now, nor the signature itself expired. Bindings within a key are
//! verified before anything they say is believed.

mod directory;
mod keyring;
mod program;
mod read;
mod report;

pub use directory::DirectoryUrls;
pub use keyring::{Added, KeyListing, Keyring, SubkeyListing, UserListing};
pub use program::GpgSigner;
pub use report::{Report, Verdict, date};

use super::{Judgement, Verifier};

/// The key of the metadata under which signatures are kept.
pub const METADATA_KEY: &str = "ostree.gpgsigs";

impl Verifier for Keyring {
    fn name(&self) -> &'static str {
        "gpg"
    }
    fn metadata_key(&self) -> &'static str {
        METADATA_KEY
    }
    fn judge(&self, data: &[u8], signatures: &[Vec<u8>]) -> Vec<Judgement> {
        let reports = signatures.iter().flat_map(|blob| self.verify(data, blob));
        let judge = |report: Report| Judgement {
            good_by: (report.verdict == Verdict::Good).then(|| report.primary_or_own()),
            words: report.to_string(),
        };
        reports.map(judge).collect()
    }
}
