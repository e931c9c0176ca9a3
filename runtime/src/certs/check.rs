//! Whether certificates that are there already will do.

use std::{net::IpAddr, path::Path};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{ASN1Time, FromDer},
};

use super::{CA_FILE, CertsError, START_ANEW, command, paths};
use crate::identity::Identity;

/// Refuses an identity whose certificate in `dir` has expired, and says how to renew it.
pub(crate) fn check_identity_unexpired(dir: &Path, identity: &Identity) -> Result<(), CertsError> {
    let (cert_path, key_path) = paths(dir, &identity.file_stem());
    // The first is its own, the others lead to the authority.
    let end = ends(&cert_path).into_iter().next();
    check_end(&cert_path, end, || {
        let command = command(dir, identity);
        format!("remove it and {} and run `{command}` to renew", key_path.display())
    })
}

/// Refuses an authority in `dir` that has expired; of several, one that has not is enough.
pub(crate) fn check_authority_unexpired(dir: &Path) -> Result<(), CertsError> {
    let path = dir.join(CA_FILE);
    let end = ends(&path).into_iter().max();
    check_end(&path, end, || START_ANEW.to_owned())
}

/// When each certificate of a file ends. What is no certificate is passed over: whoever reads it
/// for use says so.
fn ends(path: &Path) -> Vec<ASN1Time> {
    let end = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(parsed.validity().not_after)
    };
    let Ok(certificates) = CertificateDer::pem_file_iter(path) else { return Vec::new() };
    certificates.flatten().filter_map(|certificate| end(&certificate)).collect()
}

fn check_end(
    path: &Path,
    end: Option<ASN1Time>,
    remedy: impl FnOnce() -> String,
) -> Result<(), CertsError> {
    match end {
        Some(end) if ASN1Time::now() > end => {
            let (path, day) = (path.to_owned(), end.to_datetime().date().to_string());
            Err(CertsError::Expired { path, day, remedy: remedy() })
        }
        _ => Ok(()),
    }
}

/// The certificate of this public key: while an authority is replaced, its file holds the old one's
/// certificate too.
pub(super) fn certificate_of_key(
    path: &Path,
    public_key: &[u8],
) -> Result<CertificateDer<'static>, CertsError> {
    let other = || CertsError::OtherAuthority { path: path.to_owned() };
    let is_it = |certificate: &CertificateDer<'_>| {
        X509Certificate::from_der(certificate)
            .is_ok_and(|(_, parsed)| *parsed.public_key().subject_public_key.data == *public_key)
    };
    let mut certificates = CertificateDer::pem_file_iter(path).map_err(|_| other())?.flatten();
    certificates.find(is_it).ok_or_else(other)
}

/// Refuses a server's certificate that lacks one of `hosts`. A file that is no certificate passes,
/// as above.
pub(super) fn check_hosts(
    dir: &Path,
    identity: &Identity,
    hosts: &[String],
) -> Result<(), CertsError> {
    let (path, key_path) = paths(dir, &identity.file_stem());
    if !identity.role.is_server() {
        return Ok(());
    }
    let Ok(certificate) = CertificateDer::from_pem_file(&path) else { return Ok(()) };
    let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else { return Ok(()) };
    let Some(host) = hosts.iter().find(|host| !names(&parsed, host)) else { return Ok(()) };
    let command = command(dir, identity);
    let remedy = format!("remove it and {} and run `{command} --host {host}`", key_path.display());
    Err(CertsError::OtherHosts { path, host: host.clone(), remedy })
}

fn names(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let address = host.parse::<IpAddr>().ok().map(|address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    });
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return false };
    alternatives.value.general_names.iter().any(|name| match name {
        GeneralName::DNSName(name) => name.eq_ignore_ascii_case(host),
        GeneralName::IPAddress(octets) => address.as_deref() == Some(*octets),
        _ => false,
    })
}
