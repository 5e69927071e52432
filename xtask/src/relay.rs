//! Counts what goes over the wire between a client and a server, without trusting either, and can be as slow as a long line.
//!
//! The line is emulated above TCP: each piece of data comes half a round trip later, and no more of it than the bandwidth lets
//! through, of all connections together; a new connection costs a round trip. That TCP begins slowly is not emulated, nor is loss:
//! a real line is less kind to everybody, and least to whoever opens many connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Pieces of data that are on their way at once, of a connection in one direction.
const ON_THEIR_WAY: usize = 64;

/// What lies between client and server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// In each direction.
    pub(crate) bits_per_second: u64,
}

/// Stands between clients and a server on this machine and counts bytes. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    requests: AtomicU64,
    connections: AtomicU64,
    asked: Mutex<Vec<String>>,
}

/// What went over the wire since some moment, headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes from the client to the server: the requests.
    pub(crate) up: u64,
    /// Bytes from the server to the client: the answers.
    pub(crate) down: u64,
    /// Requests of HTTP/1.1, which have no bodies.
    pub(crate) requests: u64,
    /// Connections opened.
    pub(crate) connections: u64,
}

impl Relay {
    /// Starts one before the server at `127.0.0.1:server_port`.
    pub(crate) fn start(server_port: u16, line: Option<Line>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port for the relay")?;
        let relay = Self { port: listener.local_addr()?.port(), counts: Arc::default() };
        let counts = Arc::clone(&relay.counts);
        let (up, down) = (Arc::new(Way::new(line)), Arc::new(Way::new(line)));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)) else { continue };
                counts.connections.fetch_add(1, Ordering::Relaxed);
                let (Ok(client_in), Ok(server_in)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                // Small pieces must not wait for others: the line is slow enough.
                drop((client.set_nodelay(true), server.set_nodelay(true)));
                let opened = Instant::now() + line.map_or(Duration::ZERO, |line| line.round_trip);
                let (up, down, here) = (Arc::clone(&up), Arc::clone(&down), Arc::clone(&counts));
                let there = Arc::clone(&counts);
                std::thread::spawn(move || {
                    let mut heads = Vec::new();
                    up.pass(client_in, server, opened, |bytes| {
                        here.up.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        here.note(&mut heads, bytes);
                    });
                });
                std::thread::spawn(move || {
                    down.pass(server_in, client, opened, |bytes| {
                        there.down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    });
                });
            }
        });
        Ok(relay)
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What went through since the last call.
    pub(crate) fn take(&self) -> Traffic {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let Counts { up, down, requests, connections, .. } = &*self.counts;
        Traffic { up: take(up), down: take(down), requests: take(requests), connections: take(connections) }
    }

    /// The paths that were asked for since the last call, in order.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.counts.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counts {
    /// Notes the paths of requests, which have no bodies; what has come of the next one's head stays in `heads`.
    fn note(&self, heads: &mut Vec<u8>, bytes: &[u8]) {
        const END: &[u8] = b"\r\n\r\n";
        heads.extend_from_slice(bytes);
        while let Some(end) = heads.windows(END.len()).position(|window| window == END) {
            let head: Vec<u8> = heads.drain(..end + END.len()).collect();
            self.requests.fetch_add(1, Ordering::Relaxed);
            if let Some(path) = String::from_utf8_lossy(&head).split(' ').nth(1) {
                self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
            }
        }
    }
}

/// One direction of a line, which all connections share.
#[derive(Debug)]
struct Way {
    line: Option<Line>,
    /// When it has let through all that was sent.
    is_free: Mutex<Instant>,
}

impl Way {
    fn new(line: Option<Line>) -> Self {
        Self { line, is_free: Mutex::new(Instant::now()) }
    }

    /// When so many bytes that are sent now arrive.
    fn arrival(&self, bytes: usize, opened: Instant) -> Instant {
        let now = Instant::now().max(opened);
        let Some(line) = self.line else { return now };
        let takes = Duration::from_nanos(bytes as u64 * 8_000_000_000 / line.bits_per_second);
        let mut is_free = self.is_free.lock().unwrap_or_else(PoisonError::into_inner);
        *is_free = (*is_free).max(now) + takes;
        *is_free + line.round_trip / 2
    }

    /// Copies one direction of a connection to its end; `see` is shown what is passed.
    fn pass(&self, mut from: TcpStream, to: TcpStream, opened: Instant, mut see: impl FnMut(&[u8])) {
        let (sender, receiver) = sync_channel(ON_THEIR_WAY);
        std::thread::scope(|scope| {
            scope.spawn(move || deliver(&receiver, to));
            let mut buffer = vec![0; 16 << 10];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let bytes = &buffer[..read];
                see(bytes);
                if sender.send((self.arrival(read, opened), bytes.to_vec())).is_err() {
                    break;
                }
            }
            drop(sender);
        });
    }
}

/// Writes pieces when they arrive.
fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    while let Ok((at, bytes)) = pieces.recv() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // One side being gone is no news to report.
    drop(to.shutdown(Shutdown::Write));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_counts_both_directions() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::start(server.local_addr().unwrap().port(), None).unwrap();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            stream.write_all(&got.repeat(2)).unwrap();
        });
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).unwrap();
        client.write_all(b"12345").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        echo.join().unwrap();
        assert_eq!(answer, b"1234512345");
        assert_eq!(relay.take(), Traffic { up: 5, down: 10, requests: 0, connections: 1 });
    }

    #[test]
    fn paths_are_told_however_requests_are_cut() {
        let requests = b"GET /one HTTP/1.1\r\nhost: a\r\n\r\nGET /two HTTP/1.1\r\n\r\nGET /half HTTP/1.1\r\n";
        for cut in 0..requests.len() {
            let (counts, mut heads) = (Counts::default(), Vec::new());
            let (first, second) = requests.split_at(cut);
            counts.note(&mut heads, first);
            counts.note(&mut heads, second);
            assert_eq!(*counts.asked.lock().unwrap(), ["/one", "/two"]);
            assert_eq!(counts.requests.into_inner(), 2);
        }
    }

    #[test]
    fn nothing_arrives_before_the_line_lets_it() {
        let line = Line { round_trip: Duration::from_millis(100), bits_per_second: 8_000_000 };
        let way = Way::new(Some(line));
        // Late enough for the clock to play no part.
        let opened = Instant::now() + Duration::from_mins(10);
        // A kilobyte takes a millisecond, and each waits for those before it.
        let first = way.arrival(1000, opened);
        assert_eq!(first, opened + Duration::from_millis(51));
        assert_eq!(way.arrival(2000, opened), opened + Duration::from_millis(53));
    }
}
