//! What vouches for commits and summaries, while others write too: nothing of it gets lost, what is there belongs together,
//! and a key that fails costs nothing.

use crate::commit_fixture::{FORMATS, Lab, branch, on};
use crate::maintain::commit;
use sapwood_fsio::fault;
use sapwood_objstore::{Format, Metadata, Mode};
use sapwood_repo::sign::{Ed25519, Mechanism, SignError, Signer, verifier};
use sapwood_repo::statement::{KeySet, Role, StatementFile, check_summary};
use sapwood_repo::{
    CollectionId, CreateOptions, Error, Expected, RefEdit, Repo, Result, SummaryCopy, Vouching,
};
use std::cell::Cell;
use std::path::Path;

/// A secret key and the public one, by a number.
fn pair(number: u8) -> (String, String) {
    Ed25519::generate(&[number; 32])
}

fn key(number: u8) -> Ed25519 {
    Ed25519::signer(&pair(number).0).unwrap()
}

fn signers(number: u8) -> Vec<Box<dyn Signer>> {
    vec![Box::new(key(number))]
}

fn by(signers: &[Box<dyn Signer>]) -> Vouching<'_> {
    Vouching { signers, ..Vouching::default() }
}

/// A key for which something else happens before it signs, as where a person is asked.
struct Slow<F> {
    key: Ed25519,
    meanwhile: F,
}

impl<F: Fn()> Signer for Slow<F> {
    fn metadata_key(&self) -> &'static str {
        self.key.metadata_key()
    }
    fn sign(&self, data: &[u8]) -> std::result::Result<Vec<u8>, SignError> {
        (self.meanwhile)();
        self.key.sign(data)
    }
    fn made_by(&self, signature: &[u8]) -> Option<String> {
        self.key.made_by(signature)
    }
}

/// A key that is not to be had.
struct Failing;

impl Signer for Failing {
    fn metadata_key(&self) -> &'static str {
        "ostree.sign.ed25519"
    }
    fn sign(&self, _data: &[u8]) -> std::result::Result<Vec<u8>, SignError> {
        Err(SignError::Signing { reason: "no such key".to_owned() })
    }
    fn made_by(&self, _signature: &[u8]) -> Option<String> {
        None
    }
}

/// How many of these keys signed this.
fn signed_by(keys: &[u8], data: &[u8], beside: &Metadata) -> usize {
    let counts = |number: &&u8| {
        let engines = vec![verifier("ed25519", &[pair(**number).1], &[]).unwrap()];
        let one = Mechanism { name: "sign", option: "sign-verify", engines, threshold: 1 };
        one.check(data, beside).is_ok()
    };
    keys.iter().filter(counts).count()
}

/// The files of the summary, those that are there.
fn files(repo: &Path) -> [Option<Vec<u8>>; 3] {
    ["summary", "summary.sig", "statement"].map(|name| std::fs::read(repo.join(name)).ok())
}

fn is_summary_signed(repo: &Path, format: Format, by: u8) -> bool {
    let [summary, signatures, _] = files(repo);
    let beside = signatures.map(|bytes| format.decode_metadata(&bytes).unwrap());
    beside.is_some_and(|beside| signed_by(&[by], &summary.unwrap(), &beside) == 1)
}

/// Key sets with the owner 1 and the publisher 9.
fn key_sets() -> StatementFile {
    let role = |number: u8| Role::new(1, vec![key(number).public().unwrap()]).unwrap();
    StatementFile::begin(KeySet { repository: [7; 32], version: 1, owners: role(1), publishers: role(9) })
}

#[test]
fn a_signature_that_is_added_meanwhile_is_kept() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        let id = commit(&repo, &lab, "one", &on("main"));
        let other = Repo::open(&lab.dir("repo")).unwrap();
        let slow = Slow { key: key(1), meanwhile: move || other.sign_commit(id, &signers(2)).unwrap() };
        repo.sign_commit(id, &[Box::new(slow)]).unwrap();
        let beside = repo.store().detached(id).unwrap().unwrap();
        let bytes = repo.store().load_bytes(id.name()).unwrap();
        assert_eq!(signed_by(&[1, 2], &bytes, &beside), 2);
        // One key that fails, and none of them signs.
        let both: Vec<Box<dyn Signer>> = vec![Box::new(key(3)), Box::new(Failing)];
        assert!(matches!(repo.sign_commit(id, &both), Err(Error::Sign(_))));
        assert_eq!(repo.store().detached(id).unwrap(), Some(beside));
    }
}

#[test]
fn a_summary_that_is_overtaken_while_it_is_signed_is_made_anew() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        let id = commit(&repo, &lab, "one", &on("main"));
        let other = Repo::open(&lab.dir("repo")).unwrap();
        let once = Cell::new(true);
        let meanwhile = move || {
            if once.take() {
                let edit = RefEdit::Set { name: branch("next"), expected: Expected::Absent, target: id };
                other.edit_refs(vec![edit]).unwrap();
                other.publish_summary(&Metadata::default(), &by(&signers(2))).unwrap();
            }
        };
        let slow: Vec<Box<dyn Signer>> = vec![Box::new(Slow { key: key(1), meanwhile })];
        let summary = repo.publish_summary(&Metadata::default(), &by(&slow)).unwrap();
        assert_eq!(summary.refs.len(), 2);
        assert_eq!(repo.summary().unwrap(), Some(summary));
        assert!(is_summary_signed(&lab.path("repo"), format, 1));
    }
}

#[test]
fn who_is_overtaken_again_and_again_has_the_others_wait() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Native, Mode::Archive);
    repo.edit_config(|file| _ = file.set("core", "lock-timeout-secs", "0")).unwrap();
    let id = commit(&repo, &lab, "one", &on("main"));
    let other = Repo::open(&lab.dir("repo")).unwrap();
    let number = Cell::new(0);
    let meanwhile = move || {
        number.set(number.get() + 1);
        assert!(number.get() < 100, "it goes on for ever");
        let name = branch(&format!("branch{}", number.get()));
        let moved = other.edit_refs(vec![RefEdit::Set { name, expected: Expected::Absent, target: id }]);
        assert!(moved.is_ok() || matches!(moved, Err(Error::Lock(_))), "{moved:?}");
    };
    let slow: Vec<Box<dyn Signer>> = vec![Box::new(Slow { key: key(1), meanwhile })];
    repo.publish_summary(&Metadata::default(), &by(&slow)).unwrap();
    assert!(is_summary_signed(&lab.path("repo"), Format::Native, 1));
    assert_eq!(repo.summary().unwrap().unwrap().listed().unwrap(), repo.to_be_listed().unwrap());
}

#[test]
fn a_key_that_fails_leaves_the_summary_what_vouches_for_it_and_the_branch_of_metadata_as_they_were() {
    for format in FORMATS {
        let lab = Lab::new();
        let collection_id = Some(CollectionId::new("org.example.Os").unwrap());
        let options = CreateOptions { format, mode: Mode::Archive, collection_id };
        let repo = Repo::create(&lab.dir("repo"), &options).unwrap();
        let publishers = [key(9)];
        repo.change_statement::<Error>(|_| Ok(key_sets())).unwrap();
        commit(&repo, &lab, "one", &on("main"));
        let by = |signers| Vouching { signers, publishers: &publishers, lasts_seconds: None };
        let good = signers(1);
        repo.commit_metadata(&Metadata::default(), &good).unwrap();
        repo.publish_summary(&Metadata::default(), &by(&good)).unwrap();
        let tip = repo.resolve("ostree-metadata").unwrap();
        let beside = repo.store().detached(tip).unwrap().unwrap();
        assert_eq!(signed_by(&[1], &repo.store().load_bytes(tip.name()).unwrap(), &beside), 1);

        let before = files(&lab.path("repo"));
        let [Some(summary), Some(_), Some(statement)] = &before else { panic!("{before:?}") };
        let statement = StatementFile::decode(statement).unwrap();
        check_summary(statement.statement().unwrap(), Some(summary)).unwrap();
        commit(&repo, &lab, "two", &on("next"));
        let failing: Vec<Box<dyn Signer>> = vec![Box::new(Failing)];
        assert!(repo.commit_metadata(&Metadata::default(), &failing).is_err());
        assert!(repo.publish_summary(&Metadata::default(), &by(&failing)).is_err());
        let strangers = [key(8)];
        let by_strangers = Vouching { publishers: &strangers, ..by(&good) };
        assert!(repo.publish_summary(&Metadata::default(), &by_strangers).is_err());
        assert_eq!(files(&lab.path("repo")), before);
        assert_eq!(repo.resolve("ostree-metadata").unwrap(), tip);
    }
}

#[test]
fn a_crash_while_publishing_leaves_no_signature_beside_a_summary_that_it_is_not_of() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    commit(&repo, &lab, "one", &on("main"));
    let good = signers(1);
    for step in 1.. {
        repo.publish_summary(&Metadata::default(), &by(&good)).unwrap();
        commit(&repo, &lab, &format!("at-{step}"), &on("main"));
        let run = fault::crash_at(step, || repo.publish_summary(&Metadata::default(), &by(&good)));
        let is_signed = is_summary_signed(&lab.path("repo"), Format::Ostree, 1);
        assert!(is_signed || files(&lab.path("repo"))[1].is_none(), "step {step}");
        if !run.fired {
            assert!(is_signed);
            break;
        }
    }
}

#[test]
fn a_copy_of_a_summary_that_is_here_already_leaves_its_signatures_in_place() -> Result<()> {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    commit(&repo, &lab, "one", &on("main"));
    repo.publish_summary(&Metadata::default(), &by(&signers(1)))?;
    let [Some(summary), Some(signatures), None] = files(&lab.path("repo")) else { panic!() };
    let copy = SummaryCopy { summary: &summary, signatures: Some(&signatures), statement: None };
    let (copied, calls) = fault::record(|| repo.copy_summary(&copy, &repo.summary_state()?));
    copied?;
    let touches = |call: &&fault::Call| call.path.to_string_lossy().contains("summary");
    assert_eq!(calls.iter().filter(touches).count(), 0, "{calls:?}");
    // Other signatures take the place of the old ones, and those that the other repository lacks go.
    let copy = SummaryCopy { signatures: Some(b"others"), ..copy };
    let (copied, calls) = fault::record(|| repo.copy_summary(&copy, &repo.summary_state()?));
    copied?;
    assert!(calls.iter().all(|call| call.op != fault::Op::Unlink), "{calls:?}");
    assert_eq!(files(&lab.path("repo"))[1].as_deref(), Some(&b"others"[..]));
    repo.copy_summary(&SummaryCopy { signatures: None, ..copy }, &repo.summary_state()?)?;
    assert_eq!(files(&lab.path("repo")), [Some(summary), None, None]);
    Ok(())
}

#[test]
fn a_summary_that_publishers_vouch_for_does_not_follow_refs_by_itself() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    repo.edit_config(|file| _ = file.set("core", "auto-update-summary", "true")).unwrap();
    let id = commit(&repo, &lab, "one", &on("main"));
    assert_eq!(repo.summary().unwrap().unwrap().refs[0].target, id);
    repo.change_statement::<Error>(|_| Ok(key_sets())).unwrap();
    let publishers = [key(9)];
    let by = Vouching { publishers: &publishers, ..Vouching::default() };
    repo.publish_summary(&Metadata::default(), &by).unwrap();
    let before = files(&lab.path("repo"));
    commit(&repo, &lab, "two", &on("main"));
    let edit = RefEdit::Set { name: branch("next"), expected: Expected::Absent, target: id };
    repo.edit_refs(vec![edit]).unwrap();
    assert_eq!(files(&lab.path("repo")), before);
}
