//! Pulls through proxies.

use crate::world::*;
use sapwood_objstore::{Format, Mode};
use sapwood_transport::{HttpOptions, HttpRemote, Proxies, PullError};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that leads all that it is asked for to one server, whatever its name; HTTP and SOCKS 5.
struct Proxy {
    address: String,
    /// Lines of requests, with what proved who asked.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn new(target: &str) -> Self {
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, target) = (Arc::clone(&asked), target.to_owned());
        runtime().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (log, target) = (Arc::clone(&log), target.clone());
                // Either side may end first.
                tokio::spawn(async move { drop(relay(BufReader::new(client), &target, &log).await) });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn relay(
    mut client: BufReader<TcpStream>,
    target: &str,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    if client.fill_buf().await?.first() == Some(&5) {
        let name = socks(&mut client).await?;
        log.lock().unwrap().push(format!("SOCKS {name}"));
        let mut server = TcpStream::connect(target).await?;
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    let mut server = BufReader::new(TcpStream::connect(target).await?);
    // Request by request, as one connection may carry several.
    loop {
        let mut head = Vec::new();
        let mut line = String::new();
        while client.read_line(&mut line).await? > 0 && line != "\r\n" {
            head.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        let Some(first) = head.first() else { return Ok(()) };
        let secret = head.iter().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization"));
        log.lock().unwrap().push(format!("{first} {}", secret.cloned().unwrap_or_default()));
        if first.starts_with("CONNECT") {
            client.write_all(b"HTTP/1.1 502 No\r\n\r\n").await?;
            return Ok(());
        }
        let path = first.split(' ').nth(1).unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
        let range = head.iter().find(|line| line.to_ascii_lowercase().starts_with("range:"));
        let range = range.map(|line| format!("{line}\r\n")).unwrap_or_default();
        server.write_all(format!("GET /{path} HTTP/1.1\r\nhost: x\r\n{range}\r\n").as_bytes()).await?;
        let mut length = 0;
        let mut answer = String::new();
        while server.read_line(&mut answer).await? > 0 && !answer.ends_with("\r\n\r\n") {}
        for line in answer.lines() {
            if let Some(digits) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = digits.parse().unwrap();
            }
        }
        client.write_all(answer.as_bytes()).await?;
        let mut body = vec![0; length];
        server.read_exact(&mut body).await?;
        client.write_all(&body).await?;
    }
}

/// The greeting of SOCKS 5, by RFC 1928; gives the name that is asked for.
async fn socks(client: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let (_version, methods) = (client.read_u8().await?, client.read_u8().await?);
    client.read_exact(&mut vec![0; methods.into()]).await?;
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    assert_eq!(request, [5, 1, 0, 3], "a connection to a name");
    let mut name = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut name).await?;
    client.read_u16().await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

fn remote(url: &str, proxies: Proxies) -> Arc<HttpRemote> {
    Arc::new(HttpRemote::new(url, HttpOptions { proxies, retries: 0, ..quick() }).unwrap())
}

#[test]
fn a_pull_goes_through_a_proxy_which_alone_sees_its_credentials() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let proxy = Proxy::new(server.url.strip_prefix("http://").unwrap());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let proxies = Proxies { http: Some(format!("http://u%40x:p@{}", proxy.address)), ..Proxies::default() };
    // There is no such host: the proxy alone knows it.
    let outcome = pull_quietly(&machine.repo, remote("http://os.invalid/", proxies), &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
    let asked = proxy.asked();
    assert_eq!(asked.len() as u64, outcome.requests);
    // `u@x:p`.
    let ends = "HTTP/1.1 proxy-authorization: Basic dUB4OnA=";
    assert!(asked.iter().all(|line| line.starts_with("GET http://os.invalid/") && line.ends_with(ends)));
    assert!(
        !format!("{proxies:?}", proxies = Proxies { http: Some("u:secret@h".into()), ..Proxies::default() })
            .contains("secret")
    );
}

#[test]
fn a_pull_goes_through_socks_and_leaves_names_to_it() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let proxy = Proxy::new(server.url.strip_prefix("http://").unwrap());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let proxies = Proxies { http: Some(format!("socks5h://{}", proxy.address)), ..Proxies::default() };
    pull_quietly(&machine.repo, remote("http://os.invalid", proxies), &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
    assert!(proxy.asked().iter().all(|line| line == "SOCKS os.invalid"));
}

#[test]
fn a_tunnel_is_asked_for_where_the_proxy_must_not_see_what_passes() {
    let machine = Place::new(Format::Native, Mode::BareUser);
    let server = served(machine.path());
    let proxy = Proxy::new(server.url.strip_prefix("http://").unwrap());
    let proxies = Proxies { https: Some(format!("u:p@{}", proxy.address)), ..Proxies::default() };
    let error =
        pull_quietly(&machine.repo, remote("https://os.invalid/r", proxies), &want(BRANCH)).unwrap_err();
    assert!(matches!(error, PullError::Fetch { .. }), "{error:?}");
    let asked = proxy.asked();
    assert!(!asked.is_empty(), "{error:?}");
    let expected = "CONNECT os.invalid:443 HTTP/1.1 Proxy-Authorization: Basic dTpw";
    assert!(asked.iter().all(|line| line == expected), "{asked:?}");
}

#[test]
fn hosts_that_need_no_proxy_are_reached_directly() {
    let source = Place::new(Format::Native, Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let proxy = Proxy::new("127.0.0.1:1");
    for none_for in ["127.0.0.1", "*", "os.invalid, 127.0.0.0/8"] {
        let machine = Place::new(Format::Native, Mode::BareUser);
        let http = Some(format!("http://{}", proxy.address));
        let proxies = Proxies { http, none_for: none_for.to_owned(), ..Proxies::default() };
        pull_quietly(&machine.repo, remote(&server.url, proxies), &want(BRANCH)).unwrap();
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn what_cannot_be_a_proxy_is_refused_without_its_password() {
    for address in ["ftp://u:secret@h:1", "https://u:secret@h:1", "http://u:secret@"] {
        let proxies = Proxies { https: Some(address.to_owned()), ..Proxies::default() };
        let error = HttpRemote::new("http://a/", HttpOptions { proxies, ..quick() }).unwrap_err();
        assert_eq!(error.why, "cannot be used as a proxy");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
