//! Proxies are chosen as the real `ostree` chooses them.

use crate::place::Place;
use sapwood_testkit::{Ostree, skipped};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;

/// What a listener was asked for first while a command ran: the line of the request, and what proves who asks.
fn first_request(listener: &TcpListener, mut command: Command) -> Option<(String, Option<String>)> {
    listener.set_nonblocking(true).unwrap();
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut first = None;
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            let mut stream = BufReader::new(stream);
            let head: Vec<String> =
                stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let secret =
                head.iter().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization"));
            let secret = secret.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned());
            // Which file is asked for first is each program's own affair.
            let line = head.first().map(|line| {
                let end = line.find("/y/").filter(|_| line.starts_with("GET"));
                end.map_or(line.as_str(), |end| &line[..end]).to_owned()
            });
            first.get_or_insert((line.unwrap_or_default(), secret));
            drop(
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            );
        } else if child.try_wait().unwrap().is_some() {
            break;
        } else {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    child.wait().unwrap();
    first
}

#[test]
fn keys_and_variables_choose_the_same_proxy_as_in_the_real_ostree() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let place = Place::new();
    place.ok("init --repo=r --mode=bare-user --format=ostree");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    place.ok("remote add --repo=r --no-gpg-verify plain http://os.invalid/y a");
    place.ok("remote add --repo=r --no-gpg-verify secure https://os.invalid/y a");
    place.ok(&format!(
        "remote add --repo=r --no-gpg-verify --set=proxy=http://k:p@{proxy} own http://os.invalid/y a"
    ));
    let variables = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let with_secret = format!("http://u:p%3a@{proxy}");
    let dead = "http://127.0.0.1:1".to_owned();
    let mut cases: Vec<(&str, Vec<(&str, &String)>)> = Vec::new();
    for variable in variables {
        cases.extend([("plain", vec![(variable, &with_secret)]), ("secure", vec![(variable, &proxy)])]);
    }
    let (name, other) = ("os.invalid".to_owned(), "x.os.invalid,other".to_owned());
    for (variable, value) in [("no_proxy", &name), ("NO_PROXY", &name), ("no_proxy", &other)] {
        cases.push(("plain", vec![("http_proxy", &proxy), (variable, value)]));
        cases.push(("own", vec![(variable, value)]));
    }
    cases.extend([
        ("own", vec![]),
        ("own", vec![("http_proxy", &dead)]),
        ("plain", vec![("http_proxy", &proxy), ("all_proxy", &dead)]),
        ("plain", vec![]),
    ]);
    let mut used = 0;
    for (remote, set) in cases {
        let run = |mut command: Command| {
            for name in variables.into_iter().chain(["no_proxy", "NO_PROXY"]) {
                command.env_remove(name);
            }
            command.current_dir(place.path(".")).args(["pull", "--repo=r", "--network-retries=0", remote]);
            command.envs(set.iter().copied());
            first_request(&listener, command)
        };
        let ours = run(place.command(place.path("ostree")));
        assert_eq!(ours, run(ostree.command()), "{remote} {set:?}");
        used += usize::from(ours.is_some());
    }
    assert!(used > 8, "{used}");
}
