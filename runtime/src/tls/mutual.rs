//! The certificates of this process, read anew when they change.
//!
//! Who accepts or connects takes the configuration of the moment, so a change reaches the next
//! handshake and no connection that is there. Files that are not usable (half-written, a key of
//! another certificate, expired) are told of once, and what was read before stays in use.

mod stamps;

use std::{
    convert::Infallible,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::{info, warn};

use self::stamps::Stamps;
use crate::{Failure, certs, identity::Identity};

/// HTTP/2, the only protocol gRPC speaks.
const ALPN: &[u8] = b"h2";
/// Time between two looks at the files. A change is read when two looks in a row see the same, so
/// that files which are being written one after another are read together.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Both directions' TLS configuration and our own identity.
pub struct Mutual {
    identity: Identity,
    dir: PathBuf,
    current: RwLock<Configs>,
    files: Mutex<Files>,
}

/// Made of one reading of the files.
#[derive(Clone)]
struct Configs {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// What is known of the files.
struct Files {
    /// When they were read last, usable or not.
    read: Stamps,
    /// At the last look.
    seen: Stamps,
}

/// What came of a look at the files.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Unchanged,
    /// They may be changing still.
    Changing,
    Fresh,
    Unusable,
}

impl Mutual {
    pub(super) fn load(dir: &Path, identity: Identity) -> Result<Self, Failure> {
        let stamps = Stamps::of(dir, &identity);
        let current = RwLock::new(Configs::read(dir, &identity)?);
        let files = Mutex::new(Files { read: stamps, seen: stamps });
        Ok(Self { identity, dir: dir.to_owned(), current, files })
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    pub(super) fn connector(&self) -> TlsConnector {
        self.current.read().unwrap_or_else(PoisonError::into_inner).connector.clone()
    }

    /// Looks at the files at an interval, and reads them at once on SIGHUP.
    pub(super) async fn keep_fresh(&self) -> Infallible {
        let mut hangups = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "SIGHUP does not reload certificates"))
            .ok();
        let mut hangup = async || match &mut hangups {
            Some(hangups) => hangups.recv().await,
            None => std::future::pending().await,
        };
        loop {
            tokio::select! {
                _ = hangup() => self.read_again(),
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    self.look();
                }
            }
        }
    }

    /// Reads the files, whether they changed or not.
    pub(super) fn read_again(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(&mut files, Stamps::of(&self.dir, &self.identity));
    }

    fn look(&self) -> Look {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamps::of(&self.dir, &self.identity);
        let before = std::mem::replace(&mut files.seen, now);
        match now {
            _ if now == files.read => Look::Unchanged,
            _ if now != before => Look::Changing,
            _ => self.read(&mut files, now),
        }
    }

    /// `now`: taken before, so that a change during the reading is seen as one later.
    fn read(&self, files: &mut Files, now: Stamps) -> Look {
        (files.read, files.seen) = (now, now);
        let identity = &self.identity;
        match Configs::read(&self.dir, identity) {
            Ok(configs) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = configs;
                info!(%identity, "certificates reloaded");
                Look::Fresh
            }
            Err(error) => {
                warn!(%identity, %error, "certificates not reloaded, the old ones stay in use");
                Look::Unusable
            }
        }
    }
}

impl Configs {
    fn read(dir: &Path, identity: &Identity) -> Result<Self, Failure> {
        let (cert_path, key_path) = certs::paths(dir, &identity.file_stem());
        let ca_path = dir.join(certs::CA_FILE);
        for path in [&ca_path, &cert_path, &key_path] {
            check_readable(path, dir, identity)?;
        }
        let unusable = |path: &Path, why: &dyn std::fmt::Display| {
            Failure::usage(format!(
                "{} is not usable ({why}); make new certificates with `strife certs init NEWDIR`",
                path.display()
            ))
        };
        let expired = |error: certs::CertsError| Failure::usage(error.to_string());
        certs::check_authority_unexpired(dir).map_err(expired)?;
        certs::check_identity_unexpired(dir, identity).map_err(expired)?;
        let authority = read_certificates(&ca_path).map_err(|e| unusable(&ca_path, &e))?;
        let chain = read_certificates(&cert_path).map_err(|e| unusable(&cert_path, &e))?;
        let key = PrivateKeyDer::from_pem_file(&key_path).map_err(|e| unusable(&key_path, &e))?;
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            roots.add(certificate).map_err(|e| unusable(&ca_path, &e))?;
        }
        configs(Arc::new(roots), chain, key).map_err(|e| unusable(&cert_path, &e))
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

pub(super) fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
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
) -> Result<Configs, Box<dyn std::error::Error>> {
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
    let (acceptor, connector) = (Arc::new(server).into(), Arc::new(client).into());
    Ok(Configs { acceptor, connector })
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests;
