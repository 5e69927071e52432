//! The server, byte by byte.

use crate::world::*;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sapwood_objstore::{Format, Mode};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends bytes as they are; returns status, head and body.
fn raw(url: &str, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head, answer.get(end + 4..).unwrap_or_default().to_vec())
}

fn get(url: &str, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    raw(url, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn files_are_answered_as_the_protocol_says() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let config = sapwood_fsio::read(source.repo.dir(), "config", 4096).unwrap();
    let server = served(source.path());
    let url = server.url.as_str();
    let size = config.len();

    let (status, head, body) = get(url, "/config", "");
    assert_eq!((status, body.as_slice()), (200, config.as_slice()));
    assert_eq!(header(&head, "content-length"), Some(size.to_string().as_str()));
    assert_eq!(header(&head, "accept-ranges"), Some("bytes"));
    let tag = header(&head, "etag").unwrap().to_owned();
    let date = header(&head, "last-modified").unwrap().to_owned();
    let date = date.replace("gmt", "GMT");
    let date = capitalise(&date);

    let (status, head, body) = raw(url, "HEAD /config HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(header(&head, "content-length"), Some(size.to_string().as_str()));

    let (status, head, body) = get(url, "/config", "range: bytes=2-4\r\n");
    assert_eq!((status, body.as_slice()), (206, &config[2..5]));
    assert_eq!(header(&head, "content-range"), Some(format!("bytes 2-4/{size}").as_str()));
    let (status, _, body) = get(url, "/config", "range: bytes=-3\r\n");
    assert_eq!((status, body.as_slice()), (206, &config[size - 3..]));
    let (status, head, _) = get(url, "/config", "range: bytes=99999-\r\n");
    assert_eq!((status, header(&head, "content-range")), (416, Some(format!("bytes */{size}").as_str())));
    let (status, _, body) = get(url, "/config", "range: bytes=2-4\r\nif-range: \"other\"\r\n");
    assert_eq!((status, body.len()), (200, size));

    assert_eq!(get(url, "/config", &format!("if-none-match: {tag}\r\n")).0, 304);
    assert_eq!(get(url, "/config", "if-none-match: \"other\"\r\n").0, 200);
    assert_eq!(get(url, "/config", &format!("if-modified-since: {date}\r\n")).0, 304);
    assert_eq!(get(url, "/config", "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT\r\n").0, 200);
    assert_eq!(
        raw(url, "POST /config HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").0,
        405
    );
}

/// Headers were made lower-case for comparison; dates are not.
fn capitalise(date: &str) -> String {
    date.split(' ')
        .map(|word| match word.chars().next() {
            Some(first) if first.is_ascii_lowercase() => {
                format!("{}{}", first.to_ascii_uppercase(), &word[1..])
            }
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn no_spelling_of_a_path_leads_outside_or_into_private_places() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    for path in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/refs/%2e%2e/%2elock",
        "/refs%2f..%2f.lock",
        "//etc/passwd",
        "/refs/heads/..%00",
        "/.lock",
        "/tmp",
        "/tmp/",
        "/",
        "/objects",
        "/objects/",
        "/refs/heads/",
        "/config/",
        "/config%00",
        "/%ff%fe",
        "/state",
    ] {
        let (status, _, body) = get(&server.url, path, "");
        assert_eq!((status, body.len()), (404, 0), "{path}");
    }
    assert_eq!(get(&server.url, "http://elsewhere/etc/passwd", "").0, 404);
    assert_eq!(get(&server.url, &format!("/{}", "a/".repeat(5000)), "").0, 404);
    // After all that it still answers, through percent-encoding too.
    assert_eq!(get(&server.url, "/%63onfig", "").0, 200);
}

#[test]
fn nonsense_ends_its_own_connection_alone() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let server = served(source.path());
    raw(&server.url, "\0\0\0\0\r\n\r\n");
    raw(&server.url, &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)));
    raw(&server.url, &format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000)));
    assert_eq!(get(&server.url, "/config", "").0, 200);
}

#[test]
fn http_2_is_spoken_with_clients_that_know_beforehand() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let config = sapwood_fsio::read(source.repo.dir(), "config", 4096).unwrap();
    let server = served(source.path());
    runtime().block_on(async {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Empty<&[u8]>>();
        let response = client.get(format!("{}/config", server.url).parse().unwrap()).await.unwrap();
        assert_eq!(response.version(), hyper::Version::HTTP_2);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), config);
    });
}

#[test]
fn requests_are_reported() {
    let source = Place::new(Format::Ostree, Mode::Archive);
    let server = served(source.path());
    get(&server.url, "/config", "");
    get(&server.url, "/nothing", "");
    let log = server.log.lock().unwrap();
    let seen: Vec<_> = log.iter().map(|access| (access.path.as_str(), access.status)).collect();
    assert_eq!(seen, [("/config", 200), ("/nothing", 404)]);
    assert!(log[0].body_bytes > 0 && log[0].method == "GET");
}
