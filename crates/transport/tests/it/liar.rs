//! A web server that misbehaves as it is told.

use crate::world::runtime;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request, as a rule sees it.
pub(crate) struct Asked {
    /// Begins with `/`.
    pub(crate) path: String,
    /// Where its range begins.
    pub(crate) from: Option<usize>,
    /// How often this path was asked for before.
    pub(crate) before: usize,
}

/// What is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// The file, or 404.
    Honest,
    /// The whole file, whatever range was asked for.
    Whole,
    /// A status and headers.
    Status(u16, &'static str),
    /// What was asked for, announced as a whole, but cut after so many bytes.
    Cut(usize),
    /// The same, counted from where the whole file begins, and ranges are not known.
    CutWhole(usize),
    /// The same as [`Cut`](Self::Cut), with an entity tag that no other answer has.
    CutTagged(usize),
    /// What was asked for, so many bytes at a time, and a wait after each.
    Slow(usize, Duration),
    /// Other bytes.
    Bytes(Vec<u8>),
    /// A head, one byte, and then nothing.
    Stall,
    /// Zeros for ever.
    Endless,
    /// A length of 10^18 bytes, and a few of them.
    Huge,
    /// These bytes, head and all.
    Raw(Vec<u8>),
    /// No HTTP.
    Garbage,
    /// A head of a megabyte.
    EndlessHead,
    /// The connection ends.
    Close,
}

pub(crate) type Rule = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// What was asked.
struct Request {
    path: String,
    /// Where the range asked for began.
    from: Option<usize>,
    head: String,
}

type Requests = Mutex<Vec<Request>>;

/// The server; it ends with the runtime.
pub(crate) struct Liar {
    pub(crate) url: String,
    requests: Arc<Requests>,
}

impl Liar {
    pub(crate) fn new(root: &Path, rule: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, root, rule): (_, _, Rule) = (Arc::clone(&requests), root.to_owned(), Arc::new(rule));
        runtime().spawn(async move {
            let counts = Arc::new(Mutex::new(HashMap::new()));
            while let Ok((stream, _)) = listener.accept().await {
                let (log, root, rule, counts) = (log.clone(), root.clone(), rule.clone(), counts.clone());
                tokio::spawn(async move {
                    // The client may be gone: that is its right.
                    drop(answer(stream, root, rule, &counts, &log).await);
                });
            }
        });
        Self { url, requests }
    }

    /// Where the ranges began with which a path was asked for.
    pub(crate) fn asked_for(&self, path: &str) -> Vec<Option<usize>> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|asked| asked.path == path).map(|asked| asked.from).collect()
    }

    /// The heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|asked| asked.head.clone()).collect()
    }

    /// What was asked for, in order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|asked| asked.path.clone()).collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn answer(
    mut stream: TcpStream,
    root: PathBuf,
    rule: Rule,
    counts: &Mutex<HashMap<String, usize>>,
    log: &Requests,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // The one character in names of repositories that clients encode.
    let path = head.split(' ').nth(1).unwrap_or_default().replace("%2B", "+");
    let from = head.to_ascii_lowercase().split("range: bytes=").nth(1).and_then(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    let is_conditional = head.to_ascii_lowercase().contains("\nif-range:");
    log.lock().unwrap().push(Request { path: path.clone(), from, head });
    let before = {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(path.clone()).or_insert(0_usize);
        *count += 1;
        *count - 1
    };
    let file =
        sapwood_fsio::read_optional(&crate::world::open_dir(&root), path.trim_start_matches('/'), 1 << 30);
    let file = file.ok().flatten();
    let (mut tag, mut pace) = (String::new(), (usize::MAX, Duration::ZERO));
    let (bytes, from, cut) = match rule(&Asked { path, from, before }) {
        Answer::Honest => (file, from, usize::MAX),
        Answer::Whole => (file, None, usize::MAX),
        Answer::Cut(cut) => (file, from, cut),
        Answer::CutWhole(cut) => (file, None, cut),
        Answer::CutTagged(cut) => {
            tag = format!("etag: \"{before}\"\r\n");
            (file, from.filter(|_| !is_conditional), cut)
        }
        Answer::Slow(bytes, wait) => {
            pace = (bytes, wait);
            (file, from, usize::MAX)
        }
        Answer::Bytes(bytes) => (Some(bytes), None, usize::MAX),
        Answer::Status(status, headers) => {
            let head =
                format!("HTTP/1.1 {status} So\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
            return stream.write_all(head.as_bytes()).await;
        }
        Answer::Stall => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx").await?;
            tokio::time::sleep(Duration::from_mins(1)).await;
            return Ok(());
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[0; 8192]).await?;
            }
        }
        Answer::Huge => {
            return stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000000000\r\n\r\nabc")
                .await;
        }
        Answer::Raw(bytes) => return stream.write_all(&bytes).await,
        Answer::Garbage => return stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await,
        Answer::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            for n in 0..20_000 {
                stream.write_all(format!("x-{n}: {}\r\n", "y".repeat(50)).as_bytes()).await?;
            }
            return Ok(());
        }
        Answer::Close => return Ok(()),
    };
    let Some(bytes) = bytes else {
        return stream.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    };
    let start = from.unwrap_or(0).min(bytes.len());
    let body = &bytes[start..];
    let mut head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{tag}", body.len());
    if from.is_some() {
        let range = format!("content-range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
        head = head.replace("200 OK", "206 Partial") + &range;
    }
    stream.write_all((head + "\r\n").as_bytes()).await?;
    for piece in body[..cut.min(body.len())].chunks(pace.0) {
        stream.write_all(piece).await?;
        tokio::time::sleep(pace.1).await;
    }
    stream.shutdown().await
}
