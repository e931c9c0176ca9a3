//! Mutual TLS 1.3 on every link, or none at all (`--plaintext`).
//!
//! [`Security`] is read once from [`TlsArgs`] and passed down. A server side asks it to accept, a
//! client side to connect; either way the peer is signed by our authority, and what it is stands in
//! its certificate ([`peer_identity`]). A client says whom it [`Expected`] and talks to nobody else.

mod expected;
mod stream;

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{
    Failure, certs,
    identity::{Identity, Role},
};

pub use self::{
    expected::Expected,
    stream::{Carrying, Stream},
};

/// HTTP/2, the only protocol gRPC speaks.
const ALPN: &[u8] = b"h2";

/// Flags of every command that opens or accepts connections.
#[derive(Debug, Clone, Args)]
pub struct TlsArgs {
    /// Directory of certificates, as made by `strife certs init DIR`.
    #[arg(
        long,
        help_heading = "Security",
        default_value = "certs",
        env = "STRIFE_CERTS",
        value_name = "DIR"
    )]
    pub certs: PathBuf,
    /// No TLS and no identities: for measurements on one machine only.
    #[arg(long, help_heading = "Security")]
    pub plaintext: bool,
}

impl TlsArgs {
    /// The same flags, to hand to a child process.
    pub fn to_flags(&self) -> Vec<String> {
        if self.plaintext {
            vec!["--plaintext".to_owned()]
        } else {
            vec!["--certs".to_owned(), self.certs.display().to_string()]
        }
    }
}

/// How this process's connections are secured.
#[derive(Clone)]
pub enum Security {
    /// In the clear; peers have no identity and are allowed everything.
    Plaintext,
    /// Mutual TLS under one authority.
    Mutual(Arc<Mutual>),
}

/// Both directions' TLS configuration and our own identity.
pub struct Mutual {
    identity: Identity,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Security {
    /// Reads the certificate of `role`/`name` from the directory the flags name.
    pub fn load(args: &TlsArgs, role: Role, name: &str) -> Result<Self, Failure> {
        if args.plaintext {
            return Ok(Self::Plaintext);
        }
        let identity = Identity::new(role, name);
        let mutual = Mutual::load(&args.certs, identity)?;
        Ok(Self::Mutual(Arc::new(mutual)))
    }

    /// Who we are; `None` in the clear.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Plaintext => None,
            Self::Mutual(mutual) => Some(&mutual.identity),
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Plaintext => "http",
            Self::Mutual(_) => "https",
        }
    }

    /// The server's side of a new connection. The peer's identity is `None` in the clear.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Stream, Option<Identity>)> {
        stream.set_nodelay(true)?;
        match self {
            Self::Plaintext => Ok((Stream::Plain(stream), None)),
            Self::Mutual(mutual) => {
                let stream = mutual.acceptor.accept(stream).await?;
                let certificates = stream.get_ref().1.peer_certificates();
                let identity = certificates.and_then(|chain| peer_identity(chain.first()?));
                let identity = identity.ok_or_else(|| {
                    io::Error::other("the peer's certificate names no Strife identity")
                })?;
                Ok((Stream::Server(Box::new(stream)), Some(identity)))
            }
        }
    }

    /// The client's side: connects to `address` (`host:port`) and proves who we are. Whoever
    /// answers and is not `expected` is left before a byte of ours is sent.
    pub async fn connect(&self, address: &str, expected: &Expected) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match self {
            Self::Plaintext => Ok(Stream::Plain(stream)),
            Self::Mutual(mutual) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let stream = mutual.connector.connect(name, stream).await?;
                let chain = stream.get_ref().1.peer_certificates();
                let identity = chain.and_then(|chain| peer_identity(chain.first()?));
                expected.check(address, identity.as_ref())?;
                Ok(Stream::Client(Box::new(stream)))
            }
        }
    }
}

impl Mutual {
    fn load(dir: &Path, identity: Identity) -> Result<Self, Failure> {
        let (cert_path, key_path) = certs::paths(dir, &identity.file_stem());
        let ca_path = dir.join(certs::CA_FILE);
        for path in [&ca_path, &cert_path, &key_path] {
            check_readable(path, dir, &identity)?;
        }
        let unusable = |path: &Path, why: &dyn std::fmt::Display| {
            Failure::usage(format!(
                "{} is not usable ({why}); make new certificates with `strife certs init NEWDIR`",
                path.display()
            ))
        };
        let expired = |error: certs::CertsError| Failure::usage(error.to_string());
        certs::check_authority_unexpired(dir).map_err(expired)?;
        certs::check_identity_unexpired(dir, &identity).map_err(expired)?;
        let authority = read_certificates(&ca_path).map_err(|e| unusable(&ca_path, &e))?;
        let chain = read_certificates(&cert_path).map_err(|e| unusable(&cert_path, &e))?;
        let key = PrivateKeyDer::from_pem_file(&key_path).map_err(|e| unusable(&key_path, &e))?;
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            roots.add(certificate).map_err(|e| unusable(&ca_path, &e))?;
        }
        let (acceptor, connector) =
            configs(Arc::new(roots), chain, key).map_err(|e| unusable(&cert_path, &e))?;
        Ok(Self { identity, acceptor, connector })
    }
}

fn check_readable(path: &Path, dir: &Path, identity: &Identity) -> Result<(), Failure> {
    File::open(path).map(drop).map_err(|error| {
        let role = identity.role.as_str();
        Failure::usage(format!(
            "cannot read {} ({error}); make it with `{}`, name another directory with --certs, or \
             run the {role} with --plaintext",
            path.display(),
            certs::command(dir, identity),
        ))
    })
}

fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_reader_iter(BufReader::new(File::open(path)?)).collect();
    let certificates = certificates.map_err(io::Error::other)?;
    if certificates.is_empty() {
        return Err(io::Error::other("no certificate in it"));
    }
    Ok(certificates)
}

fn configs(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(TlsAcceptor, TlsConnector), Box<dyn std::error::Error>> {
    let provider = provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    let versions = &[&rustls::version::TLS13];
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![ALPN.to_vec()];
    Ok((TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client))))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The identity a certificate carries in its URI SAN, if it is one of ours.
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
