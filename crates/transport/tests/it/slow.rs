//! Clients that take what they asked for slowly, or not at all, in HTTP/2 frame by frame.

use crate::world::*;
use sapwood_objstore::{Format, Mode};
use sapwood_transport::{ServeOptions, serve};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// More than a server reads ahead.
const LARGE_BYTES: usize = 2 << 20;
const LARGE: &str = "/refs/heads/large";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// A repository with a large file, behind a server with two threads for what blocks.
struct Site {
    address: SocketAddr,
    _source: Place,
    _runtime: Runtime,
}

impl Site {
    #[expect(clippy::disallowed_methods, reason = "a fixture")]
    fn new(patience: Duration) -> Self {
        let source = Place::new(Format::Ostree, Mode::Archive);
        std::fs::write(source.path().join(&LARGE[1..]), noise(LARGE_BYTES)).unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { patience, ..Default::default() };
        runtime.spawn(serve(open_dir(source.path()), listener, options, std::future::pending()));
        Self { address, _source: source, _runtime: runtime }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        // Whoever waits for so long waits for ever.
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    }
}

/// A client that lets a server send no more of any file than it is told to.
struct Reluctant {
    stream: TcpStream,
    /// Bytes of files that came.
    taken: usize,
    is_over: bool,
}

impl Reluctant {
    fn new(site: &Site) -> Self {
        let mut client = Self { stream: site.connect(), taken: 0, is_over: false };
        client.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let no_window = [0, 4, 0, 0, 0, 0];
        client.send(SETTINGS, 0, 0, &no_window);
        // As a whole the connection may carry everything.
        client.grant(0, i32::MAX as u32 - 65_535);
        client
    }

    /// The server may have gone already; reading tells.
    fn send(&mut self, kind: u8, flags: u8, on: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(on.to_be_bytes());
        frame.extend(payload);
        drop(self.stream.write_all(&frame));
    }

    fn ask_for(&mut self, path: &str, on: u32) {
        // GET, http, and the path and authority as literals, by the static table of HPACK.
        let mut head = vec![0x82, 0x86];
        for (name, value) in [(0x04, path), (0x01, "x")] {
            head.extend([name, u8::try_from(value.len()).unwrap()]);
            head.extend(value.as_bytes());
        }
        self.send(HEADERS, 0x4 | END_STREAM, on, &head);
    }

    fn grant(&mut self, on: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, on, &bytes.to_be_bytes());
    }

    /// The kind of the next frame; pings are answered. `None` when the server ended the connection.
    fn next(&mut self) -> Option<u8> {
        let mut head = [0; 9];
        let ends = |error: std::io::Error| {
            let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.kind()), "{error}");
        };
        self.stream.read_exact(&mut head).map_err(ends).ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).map_err(ends).ok()?;
        match head[3] {
            DATA => {
                self.taken += len;
                self.is_over |= head[4] & END_STREAM != 0;
            }
            PING if head[4] & ACK == 0 => self.send(PING, ACK, 0, &payload),
            _ => {}
        }
        Some(head[3])
    }
}

#[test]
fn what_waits_for_one_client_keeps_no_other_waiting() {
    let site = Site::new(Duration::from_mins(5));
    let mut reluctant = Reluctant::new(&site);
    for n in 0..16 {
        reluctant.ask_for(LARGE, 2 * n + 1);
    }
    let mut answers = 0;
    while answers < 16 {
        answers += usize::from(reluctant.next().unwrap() == HEADERS);
    }
    let mut other = site.connect();
    other
        .write_all(format!("GET {LARGE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    other.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&noise(LARGE_BYTES)));
    assert_eq!(reluctant.taken, 0);
}

#[test]
fn who_takes_next_to_nothing_loses_the_connection_whatever_else_it_answers() {
    for window in [0, 1] {
        let site = Site::new(Duration::from_millis(500));
        let mut client = Reluctant::new(&site);
        client.ask_for(LARGE, 1);
        client.ask_for("/config", 3);
        let mut granting = Reluctant { stream: client.stream.try_clone().unwrap(), taken: 0, is_over: false };
        let (ended, is_ended) = std::sync::mpsc::channel();
        let trickle = std::thread::spawn(move || {
            while is_ended.recv_timeout(Duration::from_millis(20)).is_err() {
                // Answers to pings are no interest in files.
                granting.send(PING, 0, 0, &[0; 8]);
                if window > 0 {
                    granting.grant(1, window);
                }
            }
        });
        while client.next().is_some() {}
        ended.send(()).unwrap();
        trickle.join().unwrap();
        assert!(client.taken >= window as usize && !client.is_over);
    }
}

#[test]
fn who_takes_a_little_at_a_time_gets_everything() {
    let site = Site::new(Duration::from_secs(2));
    let mut client = Reluctant::new(&site);
    client.ask_for(LARGE, 1);
    // Far less than the server has read by then, but not less than lines have carried.
    for n in 1..=100 {
        client.grant(1, 1024);
        while client.taken < n * 1024 {
            client.next().unwrap();
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    client.grant(1, 16 << 20);
    while !client.is_over {
        client.next().unwrap();
    }
    assert_eq!(client.taken, LARGE_BYTES);
}
