//! What shows who this machine is goes to servers that the remote's owner named, and to no others.

use crate::liar::{Answer, Liar};
use crate::world::*;
use sapwood_objstore::{Format, Mode};
use sapwood_transport::{Cookie, CookieJar, HttpOptions, HttpRemote, MirrorRemote, MirrorSource, Remote};
use std::sync::Arc;

const HEADER: &str = "x-own: secret";
const COOKIE: &str = "cookie: key=secret";
/// `user:secret`, as RFC 7617 writes it.
const CREDENTIALS: &str = "authorization: Basic dXNlcjpzZWNyZXQ=";

fn private(origins: &[&str]) -> HttpOptions {
    let cookie = Cookie {
        domain: "127.0.0.1".to_owned(),
        subdomains: false,
        path: "/".to_owned(),
        secure: false,
        expires: 0,
        name: "key".to_owned(),
        value: "secret".to_owned(),
    };
    HttpOptions {
        origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        headers: vec![("X-Own".to_owned(), "secret".to_owned())],
        cookies: CookieJar { cookies: vec![cookie] },
        retries: 0,
        ..quick()
    }
}

/// Whether all requests that a server got had a line of their head, or none; there must have been some.
fn all_have(server: &Liar, line: &str) -> bool {
    let heads = server.heads();
    let with = heads.iter().filter(|head| head.lines().any(|one| one.eq_ignore_ascii_case(line))).count();
    assert!(!heads.is_empty() && (with == 0 || with == heads.len()), "{with} of {}: {line}", heads.len());
    with > 0
}

/// The files of a repository, where they are.
fn honest(place: &Place) -> Liar {
    Liar::new(place.path(), |_| Answer::Honest)
}

/// A server that says everything is at the other.
fn redirecting(place: &Place, to: &Liar) -> Liar {
    let to = to.url.clone();
    Liar::new(place.path(), move |asked| {
        let location = format!("Location: {to}{}\r\n", asked.path.replace('+', "%2B"));
        Answer::Status(302, Box::leak(location.into_boxed_str()))
    })
}

fn pulls(remote: impl Remote + 'static) {
    let machine = Place::new(Format::Ostree, Mode::BareUser);
    pull_quietly(&machine.repo, Arc::new(remote), &want(BRANCH)).unwrap();
}

#[test]
fn a_redirect_takes_nothing_private_to_a_server_that_nobody_named() {
    let place = Place::new(Format::Ostree, Mode::Archive);
    place.commit(BRANCH, &small_tree("1"));
    for is_named in [false, true] {
        let other = honest(&place);
        let own = redirecting(&place, &other);
        let origins = if is_named { vec![other.url.as_str()] } else { Vec::new() };
        let url = own.url.replace("http://", "http://user:secret@");
        pulls(HttpRemote::new(&url, private(&origins)).unwrap());
        for line in [HEADER, COOKIE, CREDENTIALS] {
            assert!(all_have(&own, line), "{line}");
        }
        for line in [HEADER, COOKIE] {
            assert_eq!(all_have(&other, line), is_named, "{line}");
        }
        assert!(!all_have(&other, CREDENTIALS), "they stand in the address of another server");
    }
}

#[test]
fn a_mirror_gets_what_its_own_address_holds_and_nothing_else_unless_it_was_named() {
    let place = Place::new(Format::Ostree, Mode::Archive);
    place.commit(BRANCH, &small_tree("1"));
    place.repo.update_summary().unwrap();
    let summary = sapwood_fsio::read(place.repo.dir(), "summary", 1 << 20).unwrap();
    let digest = Format::Ostree.id_of(sapwood_objstore::ObjectKind::DirMeta, &summary).to_hex();
    for (source, is_named) in [
        (MirrorSource::List, false),
        (MirrorSource::List, true),
        (MirrorSource::Metalink, false),
        (MirrorSource::Metalink, true),
    ] {
        let mirror = honest(&place);
        let address = mirror.url.replace("http://", "http://user:secret@");
        let text = match source {
            MirrorSource::List => format!("{address}\n"),
            MirrorSource::Metalink => format!(
                "<metalink><files><file name=\"summary\"><size>{}</size><verification><hash type=\"sha256\">\
                 {digest}</hash></verification><resources><url>{address}/summary</url></resources></file></files>\
                 </metalink>",
                summary.len()
            ),
        };
        let lister = Liar::new(place.path(), move |_| Answer::Bytes(text.clone().into_bytes()));
        let origins = if is_named { vec![mirror.url.as_str()] } else { Vec::new() };
        pulls(MirrorRemote::new(format!("{}/list", lister.url), source, private(&origins)));
        for line in [HEADER, COOKIE] {
            assert!(all_have(&lister, line), "{line}");
            assert_eq!(all_have(&mirror, line), is_named, "{source:?}: {line}");
        }
        assert!(all_have(&mirror, CREDENTIALS), "{source:?}");
    }
}
