//! Mutual TLS 1.3 on every link, or none at all (`--plaintext`).
//!
//! [`Security`] is read once from [`TlsArgs`] and passed down. A server side asks it to accept, a
//! client side to connect; either way the peer is signed by our authority, and what it is stands in
//! its certificate ([`peer_identity`]).

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use clap::Args;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{
    Failure, certs,
    identity::{Identity, Role},
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

    /// The client's side: connects to `address` (`host:port`) and proves who we are.
    pub async fn connect(&self, address: &str) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match self {
            Self::Plaintext => Ok(Stream::Plain(stream)),
            Self::Mutual(mutual) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let stream = mutual.connector.connect(name, stream).await?;
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
        let flag = match identity.role {
            Role::Bank => format!(" --bank {}", identity.name),
            Role::Client => format!(" --user {}", identity.name),
            _ => String::new(),
        };
        Failure::usage(format!(
            "cannot read {} ({error}); make it with `strife certs init {}{flag}`, name another \
             directory with --certs, or run the {role} with --plaintext",
            path.display(),
            dir.display(),
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

/// A connection, secured or not.
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// We accepted it.
    Server(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// We made it.
    Client(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $call,
            Stream::Server($stream) => $call,
            Stream::Client($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Server(stream) => stream.is_write_vectored(),
            Self::Client(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests;
