//! Public keys, and what of them may be believed.
#![deny(clippy::indexing_slicing)]

use super::directory::{self, DirectoryUrls};
use super::read::{self, MAX_KEYS, Read, bad};
use super::report::{Report, Verdict};
use crate::sign::{SignError, armor};
use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, SignedUser, Tag};
use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;
use std::time::{SystemTime, UNIX_EPOCH};

/// Public keys that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
    /// Revocations of keys that are not here, or not yet.
    revocations: Vec<Signature>,
}

/// What a file added to a keyring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// How many keys that were not there.
    pub keys: usize,
    /// How many keys that were there it revoked.
    pub revoked: usize,
}

impl AddAssign for Added {
    fn add_assign(&mut self, other: Self) {
        self.keys += other.keys;
        self.revoked += other.revoked;
    }
}

/// A key, for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyListing {
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it was made.
    pub created: u64,
    /// Until when it counts.
    pub expires: Option<u64>,
    /// Whether its owner took it back.
    pub revoked: bool,
    /// Whom it belongs to.
    pub users: Vec<UserListing>,
    /// Its subkeys.
    pub subkeys: Vec<SubkeyListing>,
}

/// Whom a key belongs to, for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserListing {
    /// Name and address, as the key has them.
    pub name: String,
    /// Whether the key's owner took the name back, or the whole key.
    pub revoked: bool,
    /// Where the domain of the address offers the key.
    pub directory: Option<DirectoryUrls>,
}

/// A subkey, for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubkeyListing {
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it was made.
    pub created: u64,
    /// Until when it counts.
    pub expires: Option<u64>,
    /// Whether its owner took it back, or the whole key.
    pub revoked: bool,
}

/// Most signatures in one blob.
const MAX_SIGNATURES: usize = 64;

impl Keyring {
    /// Adds the keys of a file: binary, any number of armoured blocks, or a keybox. A key that is there already gets what is new of
    /// it, as a revocation is. Of a revocation alone, which is no part of a key, the file may consist too: it counts for keys
    /// that are added before and after.
    ///
    /// # Errors
    /// [`SignError::BadKey`] where there is neither in it, or it is malformed; the keyring is then as it was.
    pub fn add(&mut self, bytes: &[u8]) -> Result<Added, SignError> {
        self.add_some(bytes, &[])
    }

    /// As [`add`](Self::add), but only keys with one of these ids or fingerprints; with none, all.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_some(&mut self, bytes: &[u8], ids: &[String]) -> Result<Added, SignError> {
        let Read { mut keys, revocations } = read::keys(bytes)?;
        keys.retain(|key| is_one_of(key, ids));
        let mut places: HashMap<String, usize> =
            self.keys.iter().enumerate().map(|(at, key)| (hex(&key.primary_key), at)).collect();
        let new: HashSet<String> = keys.iter().map(|key| hex(&key.primary_key)).collect();
        let new = new.iter().filter(|name| !places.contains_key(*name)).count();
        if self.keys.len() + new > MAX_KEYS || self.revocations.len() + revocations.len() > MAX_KEYS {
            return Err(bad("too many keys"));
        }
        let mut added = Added::default();
        for mut key in keys {
            let late: Vec<_> = self.revocations.extract_if(.., |one| is_loose_one_of(&key, one)).collect();
            key.details.revocation_signatures.extend(late);
            let place = places.entry(hex(&key.primary_key)).or_insert(self.keys.len());
            if let Some(old) = self.keys.get_mut(*place) {
                let was_revoked = is_revoked(old);
                merge(old, key);
                added.revoked += usize::from(!was_revoked && is_revoked(old));
            } else {
                self.keys.push(key);
                added.keys += 1;
            }
        }
        for revocation in revocations {
            match self.keys.iter_mut().find(|key| is_loose_one_of(key, &revocation)) {
                Some(key) if is_one_of(key, ids) => {
                    added.revoked += usize::from(!is_revoked(key));
                    add_new(&mut key.details.revocation_signatures, vec![revocation]);
                }
                Some(_) => {}
                None => self.revocations.push(revocation),
            }
        }
        Ok(added)
    }

    /// Whether there are revocations of keys that it does not have.
    pub fn has_loose_revocations(&self) -> bool {
        !self.revocations.is_empty()
    }

    /// Whether a key has this id or fingerprint.
    pub fn knows(&self, id: &str) -> bool {
        self.keys.iter().any(|key| has_id(key, id))
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keyring in binary form, without revocations of keys that it does not have.
    ///
    /// # Errors
    /// [`SignError::BadKey`] where a key cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SignError> {
        let mut bytes = Vec::new();
        for key in &self.keys {
            key.to_writer(&mut bytes).or(Err(bad("a key cannot be written")))?;
        }
        Ok(bytes)
    }

    /// Its keys, for reading.
    pub fn list(&self) -> Vec<KeyListing> {
        self.keys.iter().map(listing).collect()
    }

    /// Reports on the binary signatures in `blob`, over `data`, as of now.
    pub fn verify(&self, data: &[u8], blob: &[u8]) -> Vec<Report> {
        let unreadable = || vec![report(Verdict::Bad, String::new())];
        let Ok(signatures) = DetachedSignature::from_bytes_many(blob) else { return unreadable() };
        let mut reports = Vec::new();
        for signature in signatures.take(MAX_SIGNATURES) {
            let Ok(signature) = signature else {
                reports.extend(unreadable());
                break;
            };
            reports.push(self.verify_one(data, &signature.signature));
        }
        if reports.is_empty() { unreadable() } else { reports }
    }

    fn verify_one(&self, data: &[u8], signature: &Signature) -> Report {
        let id = issuer(signature).unwrap_or_default();
        let mut found = report(Verdict::UnknownKey, id.clone());
        found.made = signature.created().map(|at| at.as_secs().into());
        found.algorithm = signature.config().map_or_else(String::new, |config| word(config.pub_alg));
        let lasts = signature.signature_expiration_time().map_or(0, |lasts| u64::from(lasts.as_secs()));
        found.expires = found.made.filter(|_| lasts != 0).map(|made| made + lasts);
        for key in &self.keys {
            if is_called(&hex(&key.primary_key), &id) {
                return judge_primary(key, data, signature, found);
            }
            if let Some(sub) = key.public_subkeys.iter().find(|sub| is_called(&hex(&sub.key), &id)) {
                return judge_sub(key, sub, data, signature, found);
            }
        }
        found
    }
}

/// Whether a key, or one of its subkeys, has this id or fingerprint.
fn has_id(key: &SignedPublicKey, id: &str) -> bool {
    let mut subkeys = key.public_subkeys.iter().map(|sub| hex(&sub.key));
    is_called(&hex(&key.primary_key), id) || subkeys.any(|name| is_called(&name, id))
}

/// Whether it is named by one of these, or none are given.
fn is_one_of(key: &SignedPublicKey, ids: &[String]) -> bool {
    ids.is_empty() || ids.iter().any(|id| has_id(key, id))
}

fn listing(key: &SignedPublicKey) -> KeyListing {
    let revoked = is_revoked(key);
    let user = |user: &SignedUser| {
        let newest = newest_certificate(key, user)?;
        let revoked = revoked || newest.typ() == Some(SignatureType::CertRevocation);
        let name = name(user);
        Some(UserListing { directory: directory::urls(&name), name, revoked })
    };
    let subkey = |sub: &SignedPublicSubKey| SubkeyListing {
        fingerprint: hex(&sub.key),
        created: sub.key.created_at().as_secs().into(),
        expires: expiry(&sub.key, binding(key, sub)),
        revoked: revoked || is_sub_revoked(key, sub),
    };
    KeyListing {
        fingerprint: hex(&key.primary_key),
        created: key.primary_key.created_at().as_secs().into(),
        expires: expiry(&key.primary_key, newest_self(key)),
        revoked,
        users: key.details.users.iter().filter_map(user).collect(),
        subkeys: key.public_subkeys.iter().map(subkey).collect(),
    }
}

fn report(verdict: Verdict, key_id: String) -> Report {
    Report {
        verdict,
        key_id,
        algorithm: String::new(),
        made: None,
        expires: None,
        user: None,
        fingerprint: None,
        primary: None,
        key_expires: None,
        primary_expires: None,
    }
}

fn judge_primary(key: &SignedPublicKey, data: &[u8], signature: &Signature, mut found: Report) -> Report {
    let own = newest_self(key);
    found.fingerprint = Some(hex(&key.primary_key));
    found.user = user(key);
    found.key_expires = expiry(&key.primary_key, own);
    let over_it = signature.verify(&key.primary_key, data).is_ok();
    let may_sign = own.is_some_and(|own| own.key_flags().sign() || !has_flags(own));
    found.verdict = verdict(&found, signature, over_it, is_revoked(key), may_sign);
    found
}

fn judge_sub(
    key: &SignedPublicKey,
    sub: &SignedPublicSubKey,
    data: &[u8],
    signature: &Signature,
    mut found: Report,
) -> Report {
    let bound = binding(key, sub);
    found.fingerprint = Some(hex(&sub.key));
    found.primary = Some(hex(&key.primary_key));
    found.user = user(key);
    found.key_expires = expiry(&sub.key, bound);
    found.primary_expires = expiry(&key.primary_key, newest_self(key));
    let over_it = signature.verify(&sub.key, data).is_ok();
    // A key that signs vouches for being a subkey, lest somebody else's be taken for one.
    let may_sign = newest_self(key).is_some()
        && bound.is_some_and(|bound| {
            bound.key_flags().sign()
                && bound
                    .embedded_signature()
                    .is_some_and(|back| back.verify_primary_key_binding(&sub.key, &key.primary_key).is_ok())
        });
    found.verdict =
        verdict(&found, signature, over_it, is_sub_revoked(key, sub) || is_revoked(key), may_sign);
    found
}

fn verdict(found: &Report, signature: &Signature, over_it: bool, revoked: bool, may_sign: bool) -> Verdict {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let is_past = |at: Option<u64>| at.is_some_and(|at| at <= now);
    let strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha224
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    if !matches!(signature.typ(), Some(SignatureType::Binary)) || found.made.is_none() {
        Verdict::Bad
    } else if !strong {
        Verdict::WeakDigest
    } else if !over_it {
        Verdict::Bad
    } else if revoked {
        Verdict::KeyRevoked
    } else if !may_sign {
        Verdict::NotForSigning
    } else if is_past(found.key_expires) || is_past(found.primary_expires) {
        Verdict::KeyExpired
    } else if is_past(found.expires) {
        Verdict::Expired
    } else {
        Verdict::Good
    }
}

/// Adds what `new` has and `old`, the same key, has not.
fn merge(old: &mut SignedPublicKey, new: SignedPublicKey) {
    add_new(&mut old.details.revocation_signatures, new.details.revocation_signatures);
    add_new(&mut old.details.direct_signatures, new.details.direct_signatures);
    for user in new.details.users {
        match old.details.users.iter_mut().find(|known| known.id == user.id) {
            Some(known) => add_new(&mut known.signatures, user.signatures),
            None => old.details.users.push(user),
        }
    }
    for sub in new.public_subkeys {
        match old.public_subkeys.iter_mut().find(|known| known.key == sub.key) {
            Some(known) => add_new(&mut known.signatures, sub.signatures),
            None => old.public_subkeys.push(sub),
        }
    }
}

fn add_new(old: &mut Vec<Signature>, new: Vec<Signature>) {
    for signature in new {
        if !old.contains(&signature) {
            old.push(signature);
        }
    }
}

/// The newest valid certificate that a key gives one of its users; `None` if it has none or took it back.
fn certificate<'k>(key: &'k SignedPublicKey, user: &'k SignedUser) -> Option<&'k Signature> {
    newest_certificate(key, user).filter(|newest| newest.typ() != Some(SignatureType::CertRevocation))
}

/// The newest valid thing that a key says of one of its users.
fn newest_certificate<'k>(key: &'k SignedPublicKey, user: &'k SignedUser) -> Option<&'k Signature> {
    let valid = user
        .signatures
        .iter()
        .filter(|one| one.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok());
    valid.max_by_key(|one| one.created())
}

/// The newest valid signature that a key gives itself: it says until when the key counts and what it is for.
fn newest_self(key: &SignedPublicKey) -> Option<&Signature> {
    let users = key.details.users.iter().filter_map(|user| certificate(key, user));
    let direct = key
        .details
        .direct_signatures
        .iter()
        .filter(|one| one.typ() == Some(SignatureType::Key) && one.verify_key(&key.primary_key).is_ok());
    users.chain(direct).max_by_key(|one| one.created())
}

/// The newest valid signature that binds a subkey.
fn binding<'k>(key: &'k SignedPublicKey, sub: &'k SignedPublicSubKey) -> Option<&'k Signature> {
    let valid = sub.signatures.iter().filter(|one| {
        one.typ() == Some(SignatureType::SubkeyBinding)
            && one.verify_subkey_binding(&key.primary_key, &sub.key).is_ok()
    });
    valid.max_by_key(|one| one.created())
}

fn is_revoked(key: &SignedPublicKey) -> bool {
    key.details.revocation_signatures.iter().any(|one| is_revocation_of(key, one))
}

fn is_revocation_of(key: &SignedPublicKey, one: &Signature) -> bool {
    one.typ() == Some(SignatureType::KeyRevocation) && one.verify_key(&key.primary_key).is_ok()
}

/// The same of one that stands alone, and may be of any key: where it says of which, that spares verifying it by all.
fn is_loose_one_of(key: &SignedPublicKey, one: &Signature) -> bool {
    issuer(one).is_none_or(|id| is_called(&hex(&key.primary_key), &id)) && is_revocation_of(key, one)
}

fn is_sub_revoked(key: &SignedPublicKey, sub: &SignedPublicSubKey) -> bool {
    sub.signatures.iter().any(|one| {
        one.typ() == Some(SignatureType::SubkeyRevocation)
            && one.verify_subkey_binding(&key.primary_key, &sub.key).is_ok()
    })
}

/// Whether a signature says anything of what a key is for.
fn has_flags(signature: &Signature) -> bool {
    let flags = signature.key_flags();
    flags.certify()
        || flags.sign()
        || flags.encrypt_comms()
        || flags.encrypt_storage()
        || flags.authentication()
}

/// Until when a key counts, by the signature that tells.
fn expiry(key: &impl KeyDetails, says: Option<&Signature>) -> Option<u64> {
    let lasts = says?.key_expiration_time()?.as_secs();
    (lasts != 0).then(|| u64::from(key.created_at().as_secs()) + u64::from(lasts))
}

/// Whom a key belongs to: the user that is marked as the main one, or else the first that is valid.
fn user(key: &SignedPublicKey) -> Option<String> {
    let valid: Vec<_> =
        key.details.users.iter().filter_map(|user| Some((user, certificate(key, user)?))).collect();
    let main = valid.iter().find(|(_, certificate)| certificate.is_primary()).or(valid.first());
    main.map(|(user, _)| name(user))
}

fn name(user: &SignedUser) -> String {
    String::from_utf8_lossy(user.id.id()).into_owned()
}

fn hex(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

/// Whether a key of this fingerprint may be called so: by the end of it, 8 digits at least.
pub(crate) fn is_called(fingerprint: &str, id: &str) -> bool {
    let id = id.strip_prefix("0x").unwrap_or(id).to_ascii_uppercase();
    id.len() >= 8 && fingerprint.ends_with(&id)
}

/// The id of the key that made a signature, as it says: 16 digits.
pub(super) fn issuer(signature: &Signature) -> Option<String> {
    if let Some(fingerprint) = signature.issuer_fingerprint().first() {
        let text = format!("{fingerprint:X}");
        return text.get(text.len().checked_sub(16)?..).map(str::to_owned);
    }
    let id = signature.issuer_key_id();
    id.first().map(|id| armor::hex(id.as_ref()).to_ascii_uppercase())
}

/// The name of an algorithm, as `gpg` has it.
fn word(algorithm: PublicKeyAlgorithm) -> String {
    match algorithm {
        PublicKeyAlgorithm::RSA => "RSA".to_owned(),
        PublicKeyAlgorithm::DSA => "DSA".to_owned(),
        PublicKeyAlgorithm::ECDSA => "ECDSA".to_owned(),
        PublicKeyAlgorithm::EdDSALegacy | PublicKeyAlgorithm::Ed25519 => "EdDSA".to_owned(),
        other => format!("{other:?}"),
    }
}
