//! Mutual TLS 1.3 on every link, or none at all (`--plaintext`).
//!
//! [`Security`] is read from [`TlsArgs`] and passed down; a server reads its files again when they
//! change. A server side asks it to accept, a client side to connect; either way the peer is signed
//! by our authority, and what it is stands in its certificate ([`peer_identity`]). A client says
//! whom it [`Expected`] and talks to nobody else.

mod expected;
mod foreign;
mod mutual;
mod stream;

use std::{convert::Infallible, io, path::PathBuf, sync::Arc};

use clap::Args;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{
    Failure,
    identity::{Identity, Role},
};

pub use self::{
    expected::Expected,
    foreign::{ForeignStream, ForeignTls},
    mutual::Mutual,
    stream::{Carrying, Stream},
};

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
    /// No TLS and no identities: for measurements, and for networks where everybody may do everything.
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

    /// Reads the certificates again at once, whether they changed or not. New connections use them
    /// if they are usable; connections that are there go on with what they began with.
    pub fn reload(&self) {
        if let Self::Mutual(mutual) = self {
            mutual.read_again();
        }
    }

    /// Reads the certificates again whenever they change, and on SIGHUP at once, for as long as it
    /// is polled.
    pub(crate) async fn keep_fresh(&self) -> Infallible {
        match self {
            Self::Plaintext => std::future::pending().await,
            Self::Mutual(mutual) => mutual.keep_fresh().await,
        }
    }

    /// Who we are; `None` in the clear.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Plaintext => None,
            Self::Mutual(mutual) => Some(mutual.identity()),
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
                let stream = mutual.acceptor().accept(stream).await?;
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
                let stream = mutual.connector().connect(name, stream).await?;
                let chain = stream.get_ref().1.peer_certificates();
                let identity = chain.and_then(|chain| peer_identity(chain.first()?));
                expected.check(address, identity.as_ref())?;
                Ok(Stream::Client(Box::new(stream)))
            }
        }
    }
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
