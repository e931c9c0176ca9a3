//! TLS towards servers that are not ours, such as a database: no identity of ours is shown.
//!
//! Such a server is known by its host's name in a certificate that one of the given roots signed,
//! or not known at all: then the connection is encrypted, and whoever can stand in between can
//! still read it. Which of the two is the user's choice and must be theirs to make.

use std::{fmt, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::mutual::{provider, read_certificates};

/// A connection made by [`ForeignTls`].
pub type ForeignStream<S> = tokio_rustls::client::TlsStream<S>;

/// A client's side of TLS 1.2 or 1.3 with servers of others. Clones share the configuration.
#[derive(Clone)]
pub struct ForeignTls {
    connector: TlsConnector,
}

impl fmt::Debug for ForeignTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignTls")
    }
}

impl ForeignTls {
    /// Believes servers whose certificate names their host and is signed, directly or not, by one
    /// of the certificates in the PEM file `roots`.
    pub fn verified(roots: &Path) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        for certificate in read_certificates(roots)? {
            store.add(certificate).map_err(io::Error::other)?;
        }
        let config = builder().with_root_certificates(store).with_no_client_auth();
        Ok(Self { connector: Arc::new(config).into() })
    }

    /// Believes any server: encrypts, and proves nothing.
    pub fn unverified() -> Self {
        let anybody = Arc::new(Anybody(provider()));
        let config =
            builder().dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
        Self { connector: Arc::new(config).into() }
    }

    /// The handshake with the server called `host` at the other end of `stream`.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<ForeignStream<S>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider());
    builder.with_safe_default_protocol_versions().expect("the provider has TLS 1.2 and 1.3")
}

/// Takes every certificate; the handshake must still be signed by its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
