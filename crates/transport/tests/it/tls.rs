//! TLS between our client and our server: who is believed, and what is spoken.

use crate::liar::{Answer, Liar};
use crate::world::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_transport::{
    Access, ClientCertificate, FetchError, HttpOptions, HttpRemote, Limits, PullError, Remote, ServeOptions,
    ServerCheck, ServerTls, serve,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Someone who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }
}

/// A repository behind TLS.
struct Secure {
    commit: Id<Commit>,
    port: u16,
    log: Arc<Mutex<Vec<Access>>>,
    source: Place,
}

impl Secure {
    fn new(tls: ServerTls) -> Self {
        let source = Place::new(Format::Native, Mode::Archive);
        let commit = source.commit(BRANCH, &small_tree("1"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        let options = ServeOptions {
            tls: Some(tls),
            on_access: Some(Arc::new(move |access: &Access| sink.lock().unwrap().push(access.clone()))),
            ..Default::default()
        };
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime().spawn(serve(open_dir(source.path()), listener, options, std::future::pending()));
        Self { commit, port, log, source }
    }

    fn pull(&self, host: &str, options: HttpOptions) -> Result<Place, PullError> {
        let machine = Place::new(Format::Native, Mode::BareUser);
        let remote = HttpRemote::new(&format!("https://{host}:{}", self.port), options).unwrap();
        pull_quietly(&machine.repo, Arc::new(remote), &want(BRANCH))?;
        verified_objects(&machine.repo, self.commit);
        Ok(machine)
    }
}

fn trusting(authority: &Authority) -> HttpOptions {
    HttpOptions { ca_certificates: Some(authority.pem()), retries: 0, ..quick() }
}

fn is_refused(result: Result<Place, PullError>) -> bool {
    match result {
        Err(PullError::Fetch { source, .. }) => {
            matches!(*source, FetchError::Connect { .. } | FetchError::Broken { .. } | FetchError::Tls { .. })
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => false,
    }
}

#[test]
fn a_server_that_proves_its_name_is_pulled_from_over_one_connection_of_http_2() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    let server = Secure::new(ServerTls::new(&certificate, &key, None).unwrap());
    server.pull("127.0.0.1", trusting(&authority)).unwrap();
    let log = server.log.lock().unwrap();
    let peers: std::collections::BTreeSet<_> = log.iter().map(|access| access.peer).collect();
    // A few requests may be sent before the first connection is found to carry many.
    assert!(log.len() > 40 && peers.len() < 8, "{} requests, {} connections", log.len(), peers.len());
}

#[test]
fn who_is_not_believed_gets_no_request() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("127.0.0.1");
    let server = Secure::new(ServerTls::new(&certificate, &key, None).unwrap());
    assert!(is_refused(server.pull("127.0.0.1", trusting(&stranger))));
    assert!(is_refused(server.pull("localhost", trusting(&authority))), "it is another name");
    assert_eq!(server.log.lock().unwrap().len(), 0);
    let anyone = HttpOptions { server_check: ServerCheck::Nothing, ..trusting(&stranger) };
    server.pull("127.0.0.1", anyone).unwrap();
}

#[test]
fn a_client_must_show_a_certificate_where_the_server_asks_for_one() {
    let (authority, members, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("127.0.0.1");
    let server = Secure::new(ServerTls::new(&certificate, &key, Some(&members.pem())).unwrap());
    let with = |(certificates, key)| HttpOptions {
        client_certificate: Some(ClientCertificate { certificates, key }),
        ..trusting(&authority)
    };
    assert!(is_refused(server.pull("127.0.0.1", trusting(&authority))));
    assert!(is_refused(server.pull("127.0.0.1", with(stranger.issue("machine")))));
    assert_eq!(server.log.lock().unwrap().len(), 0);
    server.pull("127.0.0.1", with(members.issue("machine"))).unwrap();
}

#[test]
fn a_client_shows_its_certificate_to_no_server_that_only_a_redirect_names() {
    let (authority, members) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("127.0.0.1");
    let server = Secure::new(ServerTls::new(&certificate, &key, Some(&members.pem())).unwrap());
    let to = format!("https://127.0.0.1:{}", server.port);
    let (certificates, key) = members.issue("machine");
    for is_named in [false, true] {
        let target = to.clone();
        let liar = Liar::new(server.source.path(), move |asked| {
            let location = format!("Location: {target}{}\r\n", asked.path);
            Answer::Status(302, Box::leak(location.into_boxed_str()))
        });
        let options = HttpOptions {
            client_certificate: Some(ClientCertificate {
                certificates: certificates.clone(),
                key: key.clone(),
            }),
            origins: if is_named { vec![to.clone()] } else { Vec::new() },
            ..trusting(&authority)
        };
        let machine = Place::new(Format::Native, Mode::BareUser);
        let remote = HttpRemote::new(&liar.url, options).unwrap();
        let pulled = pull_quietly(&machine.repo, Arc::new(remote), &want(BRANCH));
        assert_eq!(is_refused(pulled.map(|_| machine)), !is_named);
        assert_eq!(server.log.lock().unwrap().is_empty(), !is_named);
    }
}

#[test]
fn what_is_no_certificate_or_another_ones_key_is_refused() {
    let authority = Authority::new();
    let ((certificate, key), (other, _)) = (authority.issue("a"), authority.issue("b"));
    for (certificate, key) in
        [(&b""[..], &key[..]), (b"-----BEGIN", &key), (&certificate, b""), (&other, &key)]
    {
        assert!(ServerTls::new(certificate, key, None).is_err());
    }
    assert!(ServerTls::new(&certificate, &key, Some(b"")).is_err());
}

/// Sends 100 bytes in 20 pieces, for two seconds.
struct Drip {
    left: usize,
    sleep: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl hyper::body::Body for Drip {
    type Data = &'static [u8];
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<&'static [u8]>, Self::Error>>> {
        use std::task::Poll;
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.sleep.as_mut().poll(cx));
        self.left -= 1;
        self.sleep.as_mut().reset(tokio::time::Instant::now() + DRIP);
        Poll::Ready(Some(Ok(hyper::body::Frame::data(b"drops"))))
    }
}

const DRIP: Duration = Duration::from_millis(100);

#[test]
fn requests_wait_for_each_other_where_a_server_bears_few_at_once() {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    let acceptor = acceptor(&certificate, &key);
    let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = hyper::service::service_fn(|_request| async {
                let body = Drip { left: 20, sleep: Box::pin(tokio::time::sleep(DRIP)) };
                Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(1);
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    // An answer must begin within a second, and each body takes two.
    let options = HttpOptions {
        connect_timeout: Duration::from_millis(200),
        stall_window: Duration::from_millis(800),
        min_bytes_per_second: 1,
        ..trusting(&authority)
    };
    let remote = HttpRemote::new(&format!("https://127.0.0.1:{port}"), options).unwrap();
    let whole = async |path| {
        let response = remote.get(path, None, Limits { max_bytes: 1000 }).await?.unwrap();
        response.bytes().await
    };
    runtime().block_on(async {
        assert_eq!(whole("config").await.unwrap().len(), 100);
        let (one, other, third) = tokio::join!(whole("a"), whole("b"), whole("c"));
        for result in [one, other, third] {
            assert_eq!(result.unwrap().len(), 100);
        }
    });
}

fn acceptor(certificate: &[u8], key: &[u8]) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let certificates = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let mut config =
        config.with_single_cert(certificates, PrivateKeyDer::from_pem_slice(key).unwrap()).unwrap();
    config.alpn_protocols.push(b"h2".to_vec());
    Arc::new(config).into()
}

/// Agrees on TLS, says a little and no more, and waits for the end.
async fn fall_silent(address: std::net::SocketAddr, authority: Vec<u8>, protocol: &[u8], little: &[u8]) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols.extend((!protocol.is_empty()).then(|| protocol.to_vec()));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(little).await.unwrap();
    // However it is told.
    drop(stream.read_to_end(&mut Vec::new()).await);
}

#[test]
fn who_says_nothing_over_tls_loses_the_connection() {
    let source = Place::new(Format::Native, Mode::Archive);
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    let options = ServeOptions {
        patience: Duration::from_millis(300),
        idle_timeout: Duration::from_mins(5),
        tls: Some(ServerTls::new(&certificate, &key, None).unwrap()),
        ..Default::default()
    };
    let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime().spawn(serve(open_dir(source.path()), listener, options, std::future::pending()));
    for protocol in ["h2", "http/1.1", ""] {
        for little in ["", "PRI * HT"] {
            let silent = fall_silent(address, authority.pem(), protocol.as_bytes(), little.as_bytes());
            let ended =
                runtime().block_on(async { tokio::time::timeout(Duration::from_secs(30), silent).await });
            assert!(ended.is_ok(), "{protocol:?} {little:?}");
        }
    }
}

#[test]
fn clients_that_send_too_slowly_lose_the_connection_and_idle_ones_keep_nobody_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    for tls in [None, Some(ServerTls::new(&certificate, &key, None).unwrap())] {
        let options = ServeOptions {
            patience: Duration::from_millis(300),
            idle_timeout: Duration::from_millis(900),
            tls: tls.clone(),
            ..Default::default()
        };
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime().spawn(serve(open_dir(source.path()), listener, options, std::future::pending()));
        // Nothing, the beginning of HTTP/2 or of a request or of TLS, or a head without an end.
        let beginnings: [&[u8]; 4] =
            [b"", b"PRI * HT", b"\x16\x03\x01\x02", b"GET /config HTTP/1.1\r\nhost: x\r\nx-more: "];
        let slow: Vec<_> = beginnings
            .into_iter()
            .map(|beginning| {
                runtime().spawn(async move {
                    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                    stream.write_all(beginning).await.unwrap();
                    let (mut read, mut write) = stream.split();
                    let trickle = async {
                        while !beginning.is_empty() && write.write_all(b"x").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        std::future::pending::<()>().await;
                    };
                    let mut answer = Vec::new();
                    tokio::select! { () = trickle => {}, _ended = read.read_to_end(&mut answer) => {} }
                })
            })
            .collect();
        let idle: Vec<_> = runtime().block_on(async {
            let mut idle = Vec::new();
            for _ in 0..300 {
                idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
            }
            idle
        });
        if tls.is_none() {
            let machine = Place::new(Format::Native, Mode::BareUser);
            pull_quietly(&machine.repo, http(&format!("http://{address}")), &want(BRANCH)).unwrap();
            verified_objects(&machine.repo, commit);
        }
        drop(idle);
        for client in slow {
            let ended =
                runtime().block_on(async { tokio::time::timeout(Duration::from_mins(1), client).await });
            ended.expect("the connection was never ended").unwrap();
        }
    }
}
