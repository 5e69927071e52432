//! Counts what goes over the wire between a client and a server, without trusting either.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};

/// Stands between clients and a server on this machine and counts bytes. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
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
        };
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
                std::thread::spawn(move || pass(client_in, server, &sent));
                std::thread::spawn(move || pass(server_in, client, &received));
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
}

/// Copies one direction to its end.
fn pass(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(read as u64, Ordering::Relaxed);
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
}
