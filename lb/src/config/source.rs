//! Where a pool's servers come from, as flags and files say it: addresses, a watched file, DNS, or the
//! servers themselves.

use std::{collections::HashSet, fmt, net::IpAddr, path::PathBuf};

use crate::error::LbError;

const FILE: &str = "file:";
const DNS: &str = "dns:";
const SRV: &str = "srv:";
const REGISTRATION: &str = "register:";

/// One source of a pool's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceConfig {
    /// `host:port`, at least one, differing.
    Static(Vec<String>),
    /// `file:PATH`: one `host:port` a line, read again when it changes.
    File(PathBuf),
    /// `dns:HOST:PORT`: all A and AAAA records of the host, resolved again and again.
    Dns {
        /// Relative names go through the resolver's search list.
        host: String,
        /// Of every server.
        port: u16,
    },
    /// `srv:_service._proto.name`: the targets of the records of lowest priority (RFC 2782).
    Srv(String),
    /// `register:`: servers say themselves that they are there (`LoadBalancer.RegisterServer`).
    Registration,
}

impl fmt::Display for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(addresses) => f.write_str(&addresses.join(",")),
            Self::File(path) => write!(f, "{FILE}{}", path.display()),
            Self::Dns { host, port } => write!(f, "{DNS}{host}:{port}"),
            Self::Srv(name) => write!(f, "{SRV}{name}"),
            Self::Registration => f.write_str(REGISTRATION),
        }
    }
}

/// Reads the sources of `pool`. All addresses together are one source, which stands where the first
/// of them does.
pub(super) fn sources<'a>(
    pool: &str,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Vec<SourceConfig>, LbError> {
    let (mut sources, mut seen) = (Vec::new(), HashSet::new());
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        if !seen.insert(text) {
            return Err(LbError::DuplicateAddress {
                pool: pool.to_owned(),
                address: text.to_owned(),
            });
        }
        match source(pool, text)? {
            SourceConfig::Static(more) => {
                let known = sources.iter_mut().find_map(|source| match source {
                    SourceConfig::Static(known) => Some(known),
                    _ => None,
                });
                match known {
                    Some(known) => known.extend(more),
                    None => sources.push(SourceConfig::Static(more)),
                }
            }
            source => sources.push(source),
        }
    }
    if sources.is_empty() {
        return Err(LbError::PoolWithoutServers(pool.to_owned()));
    }
    Ok(sources)
}

fn source(pool: &str, text: &str) -> Result<SourceConfig, LbError> {
    let malformed = |expected| LbError::MalformedSource {
        pool: pool.to_owned(),
        text: text.to_owned(),
        expected,
    };
    if let Some(path) = text.strip_prefix(FILE) {
        return match path {
            "" => Err(malformed("file:PATH")),
            path => Ok(SourceConfig::File(path.into())),
        };
    }
    if let Some(name) = text.strip_prefix(DNS) {
        return dns(name).ok_or_else(|| malformed("dns:HOST:PORT with a host's name"));
    }
    if let Some(name) = text.strip_prefix(SRV) {
        let is_service = name.starts_with('_') && name.contains("._") && is_name(name);
        return if is_service {
            Ok(SourceConfig::Srv(name.to_owned()))
        } else {
            Err(malformed("srv:_service._proto.name, as in srv:_grpc._tcp.bank.example.com"))
        };
    }
    if text.starts_with(REGISTRATION) {
        return match text {
            REGISTRATION => Ok(SourceConfig::Registration),
            _ => Err(malformed("register: with nothing behind it")),
        };
    }
    if !is_address(text) {
        let (pool, address) = (pool.to_owned(), text.to_owned());
        return Err(LbError::MalformedAddress { pool, address });
    }
    Ok(SourceConfig::Static(vec![text.to_owned()]))
}

fn dns(text: &str) -> Option<SourceConfig> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let is_host = is_name(host) && host.parse::<IpAddr>().is_err();
    is_host.then(|| SourceConfig::Dns { host: host.to_owned(), port })
}

/// Letters, digits, `-` and `_` in labels of at most 63, 253 in all (RFC 1035, section 2.3.4).
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// Whether a server can be reached at this `host:port`.
pub(crate) fn is_address(text: &str) -> bool {
    // As what it will be used for: the authority of a connection.
    let authority: Result<http::uri::Authority, _> = text.parse();
    authority.is_ok_and(|authority| {
        !authority.host().is_empty()
            && authority.port_u16().is_some_and(|port| port > 0)
            && !text.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<SourceConfig>, String> {
        sources("a", text.split(',')).map_err(|error| error.to_string())
    }

    #[test]
    fn sources_are_read_in_order_and_written_as_they_were() {
        let text = "register:,10.0.0.1:1,file:a b.txt,[::1]:2,dns:bank.svc:9000,srv:_g._tcp.x.,h:3";
        let sources = read(text).unwrap();
        let addresses = ["10.0.0.1:1", "[::1]:2", "h:3"].map(str::to_owned).to_vec();
        let expected = [
            SourceConfig::Registration,
            SourceConfig::Static(addresses),
            SourceConfig::File("a b.txt".into()),
            SourceConfig::Dns { host: "bank.svc".to_owned(), port: 9000 },
            SourceConfig::Srv("_g._tcp.x.".to_owned()),
        ];
        assert_eq!(sources, expected);
        let written: Vec<_> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(read(&written.join(",")).unwrap(), expected);
    }

    #[test]
    fn what_names_no_servers_is_told_how_to_write_it() {
        let check = |text: &str, expected: &str| {
            let error = read(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
        };
        check("", "pool `a` has no servers");
        check("file:", "write file:PATH");
        check("dns:bank", "write dns:HOST:PORT");
        check("dns:bank:0", "write dns:HOST:PORT");
        check("dns:10.0.0.1:80", "write dns:HOST:PORT");
        check("dns:a b:80", "write dns:HOST:PORT");
        check("dns:a..b:80", "write dns:HOST:PORT");
        check("srv:bank.example.com", "write srv:_service._proto.name");
        check("register:me", "write register: with nothing behind it");
        check("nowhere", "`nowhere` is not host:port");
        check("file:a,file:a", "names file:a twice");
        check("h:1,dns:x:1,h:1", "names h:1 twice");
    }
}
