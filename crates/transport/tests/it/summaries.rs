//! The summary that is kept between pulls: it spares fetching it, and never stands in for a newer one.

use crate::trust::{OTHER_SECRET, SECRET, key, options, other_summary_signed, summary_signed};
use crate::world::{BRANCH, FORMATS, Place, http, local, pull_quietly, served, small_tree};
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::sign::Policy;
use sapwood_repo::{Refspec, RemoteName};
use sapwood_testkit::{Ostree, skipped};
use sapwood_transport::{OnMismatch, PullError, PullOptions, SummaryCache};

const KEPT: &str = "tmp/cache/summaries/origin";

fn cache(into: &Place) -> SummaryCache {
    SummaryCache::of(&into.repo, &RemoteName::new("origin").unwrap()).unwrap()
}

fn pulls(into: &Place, url: &str, policy: Policy) -> Result<Option<Id<Commit>>, PullError> {
    let options = PullOptions { summary_cache: Some(cache(into)), ..options(policy) };
    pull_quietly(&into.repo, http(url), &options)?;
    Ok(into.repo.ref_target(&local(BRANCH)).unwrap())
}

fn published(from: &Place, version: &str, secret: &str) -> (Id<Commit>, [Vec<u8>; 2]) {
    let commit = from.commit(BRANCH, &small_tree(version));
    from.repo.update_summary().unwrap();
    from.repo.sign_summary(&key(secret)).unwrap();
    (commit, files(from, "summary"))
}

/// A summary and its signatures.
fn files(place: &Place, path: &str) -> [Vec<u8>; 2] {
    let read = |path: String| sapwood_fsio::read(place.repo.dir(), path, 1 << 20).unwrap();
    let signatures = if path == "summary" { "summary.sig".to_owned() } else { format!("{path}.sig") };
    [read(path.to_owned()), read(signatures)]
}

fn put(place: &Place, path: &str, bytes: &[u8]) {
    sapwood_fsio::replace(place.repo.dir(), path, 0o644, bytes).unwrap();
}

#[test]
fn a_summary_is_fetched_once_and_the_newest_is_always_used() {
    for format in FORMATS {
        let from = Place::new(format, Mode::Archive);
        let (first, old) = published(&from, "one", SECRET);
        let into = Place::new(format, Mode::BareUser);
        let server = served(from.path());
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(first));
        assert_eq!(files(&into, KEPT), old);
        server.log.lock().unwrap().clear();
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(first));
        let again = server.delivered();
        assert!(
            again.contains(&"/summary.sig".to_owned()) && !again.contains(&"/summary".to_owned()),
            "{again:?}"
        );

        let (second, new) = published(&from, "two", SECRET);
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(second));
        assert_eq!(files(&into, KEPT), new);
    }
}

#[test]
fn what_is_kept_changes_only_for_what_passes() {
    for format in FORMATS {
        let from = Place::new(format, Mode::Archive);
        let (first, old) = published(&from, "one", SECRET);
        let into = Place::new(format, Mode::BareUser);
        let server = served(from.path());
        pulls(&into, &server.url, summary_signed()).unwrap();
        let (second, new) = published(&from, "two", SECRET);

        put(&from, "summary", &old[0]);
        let outcome = pulls(&into, &server.url, summary_signed());
        assert!(matches!(outcome, Err(PullError::UntrustedSummary { .. })), "{outcome:?}");
        assert_eq!(files(&into, KEPT), old, "after an old summary with new signatures");

        put(&from, "summary", &new[0]);
        put(&from, "summary.sig", &old[1]);
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(first));
        assert_eq!(files(&into, KEPT), old, "after a new summary with old signatures");

        put(&from, "summary.sig", b"invalid");
        assert!(pulls(&into, &server.url, summary_signed()).is_err());
        put(&from, "summary.sig", &new[1]);
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(second));
        assert_eq!(files(&into, KEPT), new);
    }
}

/// It asks only for what is newer than the file that is kept. Published files may be older than when they were published.
#[test]
fn what_we_keep_is_never_taken_for_the_newest_by_the_real_client() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let from = Place::new(Format::Ostree, Mode::Archive);
    published(&from, "one", SECRET);
    let into = Place::new(Format::Ostree, Mode::BareUser);
    let server = served(from.path());
    pulls(&into, &server.url, summary_signed()).unwrap();
    let (second, _) = published(&from, "two", SECRET);
    for name in ["summary", "summary.sig"] {
        let file = sapwood_fsio::open_file(from.repo.dir(), name).unwrap();
        sapwood_fsio::set_mtime(&file, 1_700_000_000 * 1_000_000_000).unwrap();
    }
    let repo = format!("--repo={}", into.path().display());
    ostree.run(["remote", "add", &repo, "--no-gpg-verify", "origin", &server.url]).unwrap();
    ostree.run(["pull", &repo, "origin", BRANCH]).unwrap();
    let pulled = Refspec::parse(&format!("origin:{BRANCH}")).unwrap();
    assert_eq!(into.reopen().ref_target(&pulled).unwrap(), Some(second));
}

#[test]
fn what_is_kept_counts_for_nothing_by_itself() {
    for format in FORMATS {
        let from = Place::new(format, Mode::Archive);
        let (first, good) = published(&from, "one", SECRET);
        let into = Place::new(format, Mode::BareUser);
        let server = served(from.path());
        pulls(&into, &server.url, summary_signed()).unwrap();
        // It does not fit the signatures any more, by damage or by malice.
        let (_, evil) = published(&from, "evil", OTHER_SECRET);
        put(&from, "summary", &good[0]);
        put(&from, "summary.sig", &good[1]);
        put(&into, KEPT, &evil[0]);
        let mut strict = cache(&into);
        strict.on_mismatch = OnMismatch::Fail;
        let strict = PullOptions { summary_cache: Some(strict), ..options(summary_signed()) };
        assert!(pull_quietly(&into.repo, http(&server.url), &strict).is_err());
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(first));
        assert_eq!(files(&into, KEPT), good);
        // Whom one trusts now is what counts.
        let outcome = pulls(&into, &server.url, other_summary_signed());
        assert!(matches!(outcome, Err(PullError::UntrustedSummary { .. })), "{outcome:?}");
        // Half of it is nothing.
        sapwood_fsio::remove_file(into.repo.dir(), KEPT).unwrap();
        assert_eq!(pulls(&into, &server.url, summary_signed()).unwrap(), Some(first));
        assert_eq!(files(&into, KEPT), good);
    }
}
