//! A certificate authority of one's own, and an identity per role.
//!
//! `DIR/ca.pem` and `DIR/ca-key.pem` are the authority; `DIR/STEM.pem` and `DIR/STEM-key.pem` an
//! identity, the stem being [`Identity::file_stem`]. `ca.pem` may hold further authorities that are
//! trusted too. Keys are readable by their owner only. Nothing is ever overwritten: an existing
//! authority is used to sign what is missing, and half of a pair, or one that has expired, is the
//! user's to decide about.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use thiserror::Error;

use crate::identity::{Identity, Role};

mod check;

pub(crate) use check::{check_authority_unexpired, check_identity_unexpired};

/// The authority's certificate: peers must be signed by it, or by another one in the same file.
pub const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
const CA_YEARS: i32 = 10;
const IDENTITY_YEARS: i32 = 1;
/// What is left to do when an authority is of no more use.
const START_ANEW: &str = "make new certificates with `strife certs init NEWDIR`";

/// What a certificate directory should hold.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// One certificate each.
    pub identities: Vec<Identity>,
    /// Host names and addresses the servers are reached by, beside `localhost`, `127.0.0.1`, `::1`.
    pub hosts: Vec<String>,
}

impl Wanted {
    /// Everything a fleet of these banks and users needs. The balancer also answers to its pools'
    /// names (`gateway`, `bank.icici`), which clients put into `:authority`.
    pub fn for_fleet(banks: &[String], users: &[String], hosts: &[String]) -> Self {
        let mut identities: Vec<_> =
            [Role::Lb, Role::Gateway, Role::Txid, Role::Loadgen, Role::Admin]
                .into_iter()
                .map(|role| Identity::new(role, "1"))
                .collect();
        identities.extend(banks.iter().map(|bank| Identity::new(Role::Bank, bank)));
        identities.extend(users.iter().map(|user| Identity::new(Role::Client, user)));
        Self { identities, hosts: hosts.to_vec() }
    }

    fn pool_names(&self) -> impl Iterator<Item = String> + '_ {
        let banks = self.identities.iter().filter(|identity| identity.role == Role::Bank);
        ["gateway".to_owned(), "auth".to_owned(), "txid".to_owned()]
            .into_iter()
            .chain(banks.map(|bank| format!("bank.{}", bank.name)))
    }
}

/// Why certificates could not be made.
#[derive(Debug, Error)]
pub enum CertsError {
    /// The directory or a file in it could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate without its key, or the other way round. Neither is made anew by itself: what
    /// is missing may be elsewhere, and a new authority would make every certificate worthless.
    #[error(
        "{} is there without {}; put the missing file back, or {remedy}",
        present.display(), missing.display()
    )]
    HalfPresent {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
        /// What else can be done.
        remedy: String,
    },
    /// A certificate whose time is over.
    #[error("{} expired on {day}; {remedy}", path.display())]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// Its last day, UTC.
        day: String,
        /// What to do.
        remedy: String,
    },
    /// A server's certificate that does not name a host it should be reached by.
    #[error("{} is not valid for {host}; {remedy}", path.display())]
    OtherHosts {
        /// The certificate.
        path: PathBuf,
        /// The first host it does not name.
        host: String,
        /// What to do.
        remedy: String,
    },
    /// Whoever reads `ca.pem` would not trust what `ca-key.pem` signs.
    #[error(
        "{} has no certificate of the key in {CA_KEY_FILE}; put the authority's own certificate back \
         into it, or {START_ANEW}",
        path.display()
    )]
    OtherAuthority {
        /// The authority's certificates.
        path: PathBuf,
    },
    /// The existing authority is not usable, or a host name cannot stand in a certificate.
    #[error("certificates in {}: {source}", dir.display())]
    Certificate {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
}

/// Makes what is missing in `dir`; returns the files written, in order.
pub fn init(dir: &Path, wanted: &Wanted) -> Result<Vec<PathBuf>, CertsError> {
    fs::create_dir_all(dir).map_err(|source| CertsError::File { path: dir.into(), source })?;
    let certificate = |source| CertsError::Certificate { dir: dir.into(), source };
    let mut written = Vec::new();
    let issuer = authority(dir, &mut written)?;
    let pools: Vec<String> = wanted.pool_names().collect();
    for identity in &wanted.identities {
        let stem = identity.file_stem();
        let (cert_path, key_path) = paths(dir, &stem);
        let remedy = || format!("remove the other and run `{}`", command(dir, identity));
        if is_pair(&cert_path, &key_path, remedy)? {
            check_identity_unexpired(dir, identity)?;
            check::check_hosts(dir, identity, &wanted.hosts)?;
            continue;
        }
        let extra = if identity.role == Role::Lb { pools.as_slice() } else { &[] };
        let params = identity_params(identity, &wanted.hosts, extra).map_err(certificate)?;
        let key = KeyPair::generate().map_err(certificate)?;
        let signed = params.signed_by(&key, &issuer).map_err(certificate)?;
        write(&key_path, &key.serialize_pem(), 0o600)?;
        write(&cert_path, &signed.pem(), 0o644)?;
        written.extend([cert_path, key_path]);
    }
    Ok(written)
}

/// Where an identity's certificate and key stand.
pub fn paths(dir: &Path, stem: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{stem}.pem")), dir.join(format!("{stem}-key.pem")))
}

/// The command that makes an identity's files.
pub(crate) fn command(dir: &Path, identity: &Identity) -> String {
    let flag = match identity.role {
        Role::Bank => format!(" --bank {}", identity.name),
        Role::Client => format!(" --user {}", identity.name),
        _ => String::new(),
    };
    format!("strife certs init {}{flag}", dir.display())
}

/// Whether both files are there; neither is `false`, one of them an error.
fn is_pair(
    cert_path: &Path,
    key_path: &Path,
    remedy: impl FnOnce() -> String,
) -> Result<bool, CertsError> {
    let (present, missing) = match (cert_path.exists(), key_path.exists()) {
        (true, false) => (cert_path.to_owned(), key_path.to_owned()),
        (false, true) => (key_path.to_owned(), cert_path.to_owned()),
        (both, _) => return Ok(both),
    };
    Err(CertsError::HalfPresent { present, missing, remedy: remedy() })
}

fn authority(
    dir: &Path,
    written: &mut Vec<PathBuf>,
) -> Result<Issuer<'static, KeyPair>, CertsError> {
    let certificate = |source| CertsError::Certificate { dir: dir.into(), source };
    let (cert_path, key_path) = (dir.join(CA_FILE), dir.join(CA_KEY_FILE));
    if is_pair(&cert_path, &key_path, || START_ANEW.to_owned())? {
        check_authority_unexpired(dir)?;
        let file = |source| CertsError::File { path: key_path.clone(), source };
        let key = fs::read_to_string(&key_path).map_err(file)?;
        let key = KeyPair::from_pem(&key).map_err(certificate)?;
        let own = check::certificate_of_key(&cert_path, key.public_key_raw())?;
        return Issuer::from_ca_cert_der(&own, key).map_err(certificate);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Strife CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for_years(&mut params, CA_YEARS);
    let key = KeyPair::generate().map_err(certificate)?;
    let own = params.self_signed(&key).map_err(certificate)?;
    write(&key_path, &key.serialize_pem(), 0o600)?;
    write(&cert_path, &own.pem(), 0o644)?;
    written.extend([cert_path, key_path]);
    Ok(Issuer::new(params, key))
}

/// Those whom nobody connects to get neither host names nor the right to serve: a user's
/// certificate is no bank's.
fn identity_params(
    identity: &Identity,
    hosts: &[String],
    extra: &[String],
) -> Result<CertificateParams, rcgen::Error> {
    let (names, usages) = if identity.role.is_server() {
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let names = own.into_iter().chain(hosts.iter().cloned()).chain(extra.iter().cloned());
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (names.collect(), usages)
    } else {
        (Vec::new(), vec![ExtendedKeyUsagePurpose::ClientAuth])
    };
    // `new` tells addresses from names.
    let mut params = CertificateParams::new(names)?;
    params.subject_alt_names.push(SanType::URI(identity.to_string().try_into()?));
    params.distinguished_name.push(DnType::CommonName, identity.file_stem());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    valid_for_years(&mut params, IDENTITY_YEARS);
    Ok(params)
}

/// From a day ago, so that a clock a little behind accepts it.
fn valid_for_years(params: &mut CertificateParams, years: i32) {
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    params.not_before = (now - day).into();
    params.not_after = (now + day * 365 * years.unsigned_abs()).into();
}

/// Whole or not at all, so that nobody reads half a file; never over another.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let file = |source| CertsError::File { path: path.into(), source };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let written = write_new(Path::new(&unfinished), text, mode)
        .and_then(|()| fs::hard_link(&unfinished, path))
        .map_err(file);
    // It may not even be there, or is only a second name by now.
    let _ = fs::remove_file(&unfinished);
    written
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    out.write_all(text.as_bytes())
}

#[cfg(test)]
pub(crate) mod tests;
