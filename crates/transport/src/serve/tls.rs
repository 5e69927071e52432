//! TLS of the server: its certificate, and the choice of HTTP/2.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What proves to clients who a server is.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// Why a certificate or a key is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerTlsError {
    /// There is no certificate, or what should be one is none.
    #[error("no certificates in PEM form")]
    Certificates,
    /// There is no key, or what should be one is none.
    #[error("no private key in PEM form")]
    Key,
    /// They do not fit each other, or are of a kind that is not known.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

impl ServerTls {
    /// From a certificate with those above it, and its key; both PEM. `clients`: those who sign the certificates that clients
    /// must show, if they must.
    ///
    /// # Errors
    /// See [`ServerTlsError`].
    pub fn new(certificates: &[u8], key: &[u8], clients: Option<&[u8]>) -> Result<Self, ServerTlsError> {
        let chain = |pem: &[u8]| {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            chain.ok().filter(|chain| !chain.is_empty()).ok_or(ServerTlsError::Certificates)
        };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_malformed| ServerTlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let mut roots = rustls::RootCertStore::empty();
                for certificate in chain(pem)? {
                    roots.add(certificate)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.map_err(|_unusable| ServerTlsError::Certificates)?)
            }
        };
        let mut config = config.with_single_cert(chain(certificates)?, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        self.acceptor.accept(stream).await
    }
}
