//! Counts what goes over the wire between a client and a server, without trusting either.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Stands between clients and a server on this machine and counts bytes. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Bytes on the wire since some moment, in each direction, headers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From the client to the server: the requests.
    pub(crate) up: u64,
    /// From the server to the client: the answers.
    pub(crate) down: u64,
    /// Connections opened.
    pub(crate) connections: u64,
}

impl Relay {
    /// Starts one before the server at `127.0.0.1:server_port`.
    pub(crate) fn start(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port for the relay")?;
        let relay = Self {
            port: listener.local_addr()?.port(),
            sent: Arc::default(),
            received: Arc::default(),
            connections: Arc::default(),
            asked: Arc::default(),
        };
        let asked = Arc::clone(&relay.asked);
        let (sent, received) = (Arc::clone(&relay.sent), Arc::clone(&relay.received));
        let connections = Arc::clone(&relay.connections);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)) else { continue };
                connections.fetch_add(1, Ordering::Relaxed);
                let (Ok(client_in), Ok(server_in)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let (sent, received) = (Arc::clone(&sent), Arc::clone(&received));
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || {
                    let mut heads = Vec::new();
                    pass(client_in, server, &sent, |bytes| note(&mut heads, bytes, &asked));
                });
                std::thread::spawn(move || pass(server_in, client, &received, |_| ()));
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
        Traffic {
            up: self.sent.swap(0, Ordering::Relaxed),
            down: self.received.swap(0, Ordering::Relaxed),
            connections: self.connections.swap(0, Ordering::Relaxed),
        }
    }

    /// The paths that were asked for since the last call, in order.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Notes the paths of requests, which have no bodies; what has come of the next one's head stays in `heads`.
fn note(heads: &mut Vec<u8>, bytes: &[u8], asked: &Mutex<Vec<String>>) {
    const END: &[u8] = b"\r\n\r\n";
    heads.extend_from_slice(bytes);
    while let Some(end) = heads.windows(END.len()).position(|window| window == END) {
        let head: Vec<u8> = heads.drain(..end + END.len()).collect();
        if let Some(path) = String::from_utf8_lossy(&head).split(' ').nth(1) {
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        }
    }
}

/// Copies one direction to its end; `see` is shown what is passed.
fn pass(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(read as u64, Ordering::Relaxed);
        see(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
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
        let relay = Relay::start(server.local_addr().unwrap().port()).unwrap();
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
        assert_eq!(relay.take(), Traffic { up: 5, down: 10, connections: 1 });
    }

    #[test]
    fn paths_are_told_however_requests_are_cut() {
        let requests = b"GET /one HTTP/1.1\r\nhost: a\r\n\r\nGET /two HTTP/1.1\r\n\r\nGET /half HTTP/1.1\r\n";
        for cut in 0..requests.len() {
            let (asked, mut heads) = (Mutex::default(), Vec::new());
            let (first, second) = requests.split_at(cut);
            note(&mut heads, first, &asked);
            note(&mut heads, second, &asked);
            assert_eq!(*asked.lock().unwrap(), ["/one", "/two"]);
        }
    }
}
