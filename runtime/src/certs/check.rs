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
    check_unexpired(&cert_path, || {
        let command = command(dir, identity);
        format!("remove it and {} and run `{command}` to renew", key_path.display())
    })
}

/// Refuses an authority in `dir` that has expired.
pub(crate) fn check_authority_unexpired(dir: &Path) -> Result<(), CertsError> {
    check_unexpired(&dir.join(CA_FILE), || START_ANEW.to_owned())
}

/// A file that is no certificate passes: whoever reads it for use says so.
fn check_unexpired(path: &Path, remedy: impl FnOnce() -> String) -> Result<(), CertsError> {
    let Ok(certificate) = CertificateDer::from_pem_file(path) else { return Ok(()) };
    let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else { return Ok(()) };
    let end = parsed.validity().not_after;
    if ASN1Time::now() <= end {
        return Ok(());
    }
    let (path, day) = (path.to_owned(), end.to_datetime().date().to_string());
    Err(CertsError::Expired { path, day, remedy: remedy() })
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
