//! `postgres://USER@HOST:PORT/DATABASE?sslmode=…`: where the database is, and how it is believed.
//!
//! The form and the words are libpq's, so that an address that works with `psql` works here. What
//! is stricter: with `sslrootcert` the server's name is always checked, whatever the mode.

use std::{env, path::PathBuf, time::Duration};

use strife_runtime::tls::ForeignTls;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use crate::StoreError;

/// How long making a connection to one host may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which sent bytes stay unacknowledged for this long is given up.
const SILENCE: Duration = Duration::from_secs(20);
/// Where a password that should not stand on a command line is looked for.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// Whether `text` means a PostgreSQL database rather than another process's `HOST:PORT`.
pub fn is_address(text: &str) -> bool {
    text.starts_with("postgres:") || text.starts_with("postgresql:")
}

/// A database and the way to it. Shown as `HOST:PORT/DATABASE`, without user and password.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: Option<ForeignTls>,
    place: String,
}

/// The parameters that are ours to understand, and the rest of the query.
#[derive(Default)]
struct Parameters {
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
    rest: String,
}

impl Address {
    /// Reads an address and the root file it names. A password that it lacks is taken from
    /// `PGPASSWORD`.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let parameters = Parameters::parse(query);
        let mut config: Config = match parameters.rest.as_str() {
            "" => base.parse(),
            rest => format!("{base}?{rest}").parse(),
        }
        .map_err(|error: tokio_postgres::Error| malformed(super::passing::said(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(malformed("it names no host"));
        }
        let Some(database) = config.get_dbname().filter(|name| !name.is_empty()) else {
            return Err(malformed("it names no database"));
        };
        let place = format!("{}/{database}", hosts(&config));
        let tls = parameters.tls(&mut config)?;
        if let (None, Ok(password)) = (config.get_password(), env::var(PASSWORD_VARIABLE)) {
            config.password(password);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config.keepalives_idle(SILENCE);
        Ok(Self { config, tls, place })
    }

    /// `HOST:PORT/DATABASE`.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Parameters {
    fn parse(query: &str) -> Self {
        let mut found = Self::default();
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "sslmode" => found.sslmode = Some(value.into_owned()),
                "sslrootcert" => found.sslrootcert = Some(PathBuf::from(value.as_ref())),
                _ => drop(rest.append_pair(&name, &value)),
            }
        }
        // PostgreSQL's addresses know `%20` and not `+`.
        found.rest = rest.finish().replace('+', "%20");
        found
    }

    /// Tells `config` whether there is to be TLS; how servers are believed if there is.
    fn tls(&self, config: &mut Config) -> Result<Option<ForeignTls>, StoreError> {
        let (mode, roots_needed) = match self.sslmode.as_deref() {
            Some("disable") => (SslMode::Disable, false),
            None | Some("prefer") => (SslMode::Prefer, false),
            Some("require") => (SslMode::Require, false),
            Some("verify-full") => (SslMode::Require, true),
            Some(other) => {
                let why = "sslmode is disable, prefer, require or verify-full";
                return Err(malformed(format!("{why}, not `{other}`")));
            }
        };
        config.ssl_mode(mode);
        match &self.sslrootcert {
            _ if mode == SslMode::Disable => Ok(None),
            Some(roots) => match ForeignTls::verified(roots) {
                Ok(tls) => Ok(Some(tls)),
                Err(why) => Err(malformed(format!("sslrootcert {}: {why}", roots.display()))),
            },
            None if roots_needed => {
                Err(malformed("sslmode=verify-full needs &sslrootcert=FILE, the authority's PEM"))
            }
            None => Ok(Some(ForeignTls::unverified())),
        }
    }
}

fn malformed(why: impl Into<String>) -> StoreError {
    StoreError::Address { why: why.into() }
}

fn hosts(config: &Config) -> String {
    let host = |(index, host): (usize, &Host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        format!("{name}:{port}")
    };
    config.get_hosts().iter().enumerate().map(host).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Address::parse(text).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn an_address_says_where_without_saying_the_password() {
        for (text, place) in [
            ("postgres://u@h:5433/d", "h:5433/d"),
            ("postgresql://u:secret@h/d?sslmode=disable", "h:5432/d"),
            ("postgres://u@h1:1,h2:2/d?target_session_attrs=read-write", "h1:1,h2:2/d"),
            ("postgres://u@h/d?application_name=a%20b&sslmode=require", "h:5432/d"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.place(), place);
            assert!(!format!("{address:?}").contains("secret"), "{address:?}");
        }
        let address = Address::parse("postgres://u@h/d?application_name=a%20b").unwrap();
        assert_eq!(address.config.get_application_name(), Some("a b"));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        for (text, expected) in [
            ("postgres://u@h:5433", "names no database"),
            ("postgres://u@h:5433/", "names no database"),
            ("postgres://u@h:port/d", "port"),
            ("postgres://u@h/d?sslmode=verify-ca", "not `verify-ca`"),
            ("postgres://u@h/d?sslmode=verify-full", "sslrootcert=FILE"),
            ("postgres://u@h/d?sslmode=require&sslrootcert=/nowhere.pem", "/nowhere.pem"),
            ("postgres://u@h/d?no_such=1", "no_such"),
            ("postgres:///d", "names no host"),
        ] {
            let said = refused(text);
            assert!(said.contains(expected), "{text}: {said}");
            assert!(said.contains("postgres://USER@HOST:PORT/DATABASE"), "{said}");
        }
    }

    #[test]
    fn modes_say_whether_and_whom_to_believe() {
        for (text, mode, tls) in [
            ("postgres://u@h/d?sslmode=disable", SslMode::Disable, false),
            ("postgres://u@h/d", SslMode::Prefer, true),
            ("postgres://u@h/d?sslmode=require", SslMode::Require, true),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.tls.is_some()), (mode, tls));
        }
    }
}
