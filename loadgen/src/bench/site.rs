//! Where a benchmark takes place: two cores, servers, certificates, and a directory for the proxies.

use std::{fs, path::Path};

use rustix::thread::sched_getaffinity;
use strife_runtime::{Failure, Role, Security, TlsArgs, certs, identity::Identity};
use tempfile::TempDir;

use super::{pinned::bind_to, proxies::Certificates, traffic::Backends};

/// The name in the certificate of the servers.
const SERVER_NAME: &str = "bench";
const COMBINED_FILE: &str = "lb-1-combined.pem";

/// The two cores of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cores {
    /// Load and servers.
    pub(super) load: usize,
    /// The proxy, alone.
    pub(super) proxy: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub(super) fn find() -> Result<Self, Failure> {
        let allowed = sched_getaffinity(None).map_err(|error| {
            Failure::new(format!("cannot tell which cores there are ({error})"))
        })?;
        let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (Some(load), Some(proxy)) = (cores.next(), cores.next()) else {
            return Err(Failure::new(
                "this machine gives us one core: the comparison needs two, one for the proxy alone and \
                 one for load and servers",
            ));
        };
        Ok(Self { load, proxy })
    }

    /// Binds the calling thread to the load's core.
    pub(super) fn bind(self) -> Result<(), Failure> {
        let Self { load, .. } = self;
        bind_to(load).map_err(|error| Failure::new(format!("cannot stay on core {load} ({error})")))
    }
}

/// What all runs share.
pub(super) struct Site {
    pub(super) cores: Cores,
    pub(super) clear: Side,
    pub(super) secure: Side,
    pub(super) certificates: Certificates,
    /// Gone when this is dropped.
    pub(super) dir: TempDir,
}

/// Servers and load in the clear, or with TLS.
pub(super) struct Side {
    pub(super) backends: Backends,
    /// The load's.
    pub(super) security: Security,
}

impl Site {
    /// Makes certificates and starts the servers. Must run on a local runtime.
    pub(super) async fn open(cores: Cores, backends: u32) -> Result<Self, Failure> {
        let cannot =
            |error: std::io::Error| Failure::new(format!("cannot start servers ({error})"));
        let dir = tempfile::Builder::new().prefix("strife-bench-").tempdir().map_err(cannot)?;
        let certificates = make_certificates(&dir.path().join("certs"))?;
        let tls = TlsArgs { certs: certificates.dir.clone().into(), plaintext: false };
        let servers = Security::load(&tls, Role::Bank, SERVER_NAME)?;
        let load = Security::load(&tls, Role::Loadgen, "1")?;
        let clear = Backends::start(backends, &Security::Plaintext).await.map_err(cannot)?;
        let secure = Backends::start(backends, &servers).await.map_err(cannot)?;
        Ok(Self {
            cores,
            clear: Side { backends: clear, security: Security::Plaintext },
            secure: Side { backends: secure, security: load },
            certificates,
            dir,
        })
    }

    /// The one for runs with or without TLS.
    pub(super) fn side(&self, tls: bool) -> &Side {
        if tls { &self.secure } else { &self.clear }
    }
}

/// An authority, and an identity for proxy, servers and load.
fn make_certificates(dir: &Path) -> Result<Certificates, Failure> {
    let wanted = certs::Wanted::for_fleet(&[SERVER_NAME.to_owned()], &[], &[]);
    certs::init(dir, &wanted).map_err(|error| Failure::new(error.to_string()))?;
    let (certificate, key) = certs::paths(dir, &Identity::new(Role::Lb, "1").file_stem());
    let combined = dir.join(COMBINED_FILE);
    let unusable = |error: std::io::Error| Failure::new(format!("{}: {error}", dir.display()));
    let mut both = fs::read(&certificate).map_err(unusable)?;
    both.extend(fs::read(&key).map_err(unusable)?);
    fs::write(&combined, both).map_err(unusable)?;
    let text = |path: &Path| path.display().to_string();
    Ok(Certificates {
        dir: text(dir),
        authority: text(&dir.join(certs::CA_FILE)),
        certificate: text(&certificate),
        key: text(&key),
        combined: text(&combined),
    })
}
