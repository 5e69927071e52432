//! Pulls from far away: as many requests are under way as the way takes.

use crate::liar::{Answer, Liar};
use crate::world::*;
use async_trait::async_trait;
use sapwood_objstore::{Format, Mode};
use sapwood_testkit::Tree;
use sapwood_transport::{DirRemote, FetchError, Limits, PullOptions, Range, Remote, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A directory at the end of a long way.
#[derive(Debug)]
struct Far {
    dir: DirRemote,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Remote for Far {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(under_way, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.dir.get(path, range, limits).await
    }

    fn describe(&self) -> String {
        "far away".to_owned()
    }
}

#[test]
fn more_requests_are_under_way_where_that_brings_more_in_but_never_more_than_allowed() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let mut tree = Tree::default();
    for n in 0..1200 {
        tree.file(&format!("usr/{n}"), n.to_string());
    }
    let commit = source.commit(BRANCH, &tree);
    for (allowed, expected) in [(128, 33..=128), (40, 33..=40), (5, 5..=5)] {
        let dir = DirRemote::new(open_dir(source.path()), "far away");
        let far = Arc::new(Far { dir, under_way: AtomicUsize::new(0), most: AtomicUsize::new(0) });
        let machine = Place::new(Format::Ostree, Mode::BareUser);
        let options = PullOptions { requests: allowed, ..want(BRANCH) };
        if allowed > 5 {
            pull_quietly(&machine.repo, Arc::clone(&far) as Arc<dyn Remote>, &options).unwrap();
            verified_objects(&machine.repo, commit);
        } else {
            // A few files tell as much as all of them.
            let subpaths = (0..40).map(|n| sapwood_transport::Subpath::parse(&format!("/usr/{n}")).unwrap());
            let options = PullOptions { subpaths: subpaths.collect(), ..options };
            pull_quietly(&machine.repo, Arc::clone(&far) as Arc<dyn Remote>, &options).unwrap();
        }
        let most = far.most.load(Ordering::Relaxed);
        assert!(expected.contains(&most), "{most} of {allowed}");
    }
}

#[test]
fn metadata_is_asked_for_with_as_many_requests_as_files() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let mut tree = Tree::default();
    // All of the same content.
    for n in 0..400 {
        tree.file(&format!("usr/{n}/{n}"), "");
    }
    source.commit(BRANCH, &tree);
    let dir = DirRemote::new(open_dir(source.path()), "far away");
    let far = Arc::new(Far { dir, under_way: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, Arc::clone(&far) as Arc<dyn Remote>, &want(BRANCH)).unwrap();
    let most = far.most.load(Ordering::Relaxed);
    assert!((33..=128).contains(&most), "{most}");
}

#[test]
fn what_had_to_be_asked_for_again_is_counted() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    let liar = Liar::new(source.path(), |asked| match asked.before {
        0 if asked.path.ends_with(".dirmeta") => Answer::Status(503, ""),
        _ => Answer::Honest,
    });
    let remote = http(&liar.url);
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, Arc::clone(&remote), &want(BRANCH)).unwrap();
    assert_eq!(remote.troubles(), asked_twice(&liar));
}

/// How many files were asked for twice.
fn asked_twice(liar: &Liar) -> u64 {
    let heads = liar.heads();
    let mut lines: Vec<_> = heads.iter().filter_map(|head| head.lines().next()).collect();
    lines.sort_unstable();
    let twice = lines.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(twice > 0, "it answered all at once");
    twice as u64
}
