//! Who a process is: `spiffe://strife/ROLE/NAME`, carried in the certificate's URI SAN.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The trust domain of every Strife identity.
const TRUST_DOMAIN: &str = "spiffe://strife/";

/// What a process may be. The access tables speak of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The load balancer. The only role whose word about others' identities is believed.
    Lb,
    /// A server of the bank the identity names.
    Bank,
    /// A payment gateway.
    Gateway,
    /// A server that gives transaction ids away.
    Txid,
    /// A user; the name is the username.
    Client,
    /// The load generator; may pay on behalf of any user.
    Loadgen,
    /// An operator.
    Admin,
}

impl Role {
    const ALL: [(Role, &'static str); 7] = [
        (Role::Lb, "lb"),
        (Role::Bank, "bank"),
        (Role::Gateway, "gateway"),
        (Role::Txid, "txid"),
        (Role::Client, "client"),
        (Role::Loadgen, "loadgen"),
        (Role::Admin, "admin"),
    ];

    /// The role's name in an identity.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }

    /// Whether anybody ever connects to it. The others' certificates cannot serve.
    pub fn is_server(self) -> bool {
        match self {
            Self::Lb | Self::Bank | Self::Gateway | Self::Txid => true,
            Self::Client | Self::Loadgen | Self::Admin => false,
        }
    }
}

/// A role and the name of the one who plays it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What it may do.
    pub role: Role,
    /// Which one it is: a bank's name, a username, `1`.
    pub name: String,
}

/// Not `spiffe://strife/ROLE/NAME` with a known role and a name of `[a-z0-9_-]`, 1 to 64 bytes.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a Strife identity (expected spiffe://strife/ROLE/NAME)")]
pub struct MalformedIdentity(String);

impl Identity {
    /// An identity; the name is folded to lower case.
    pub fn new(role: Role, name: &str) -> Self {
        Self { role, name: name.to_ascii_lowercase() }
    }

    /// The stem of the files `strife certs init` writes for it: `bank-icici`.
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.role.as_str(), self.name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TRUST_DOMAIN}{}/{}", self.role.as_str(), self.name)
    }
}

impl FromStr for Identity {
    type Err = MalformedIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedIdentity(text.to_owned());
        let path = text.strip_prefix(TRUST_DOMAIN).ok_or_else(malformed)?;
        let (role, name) = path.split_once('/').ok_or_else(malformed)?;
        let role = Role::ALL.iter().find(|(_, known)| *known == role).ok_or_else(malformed)?.0;
        if !is_name(name) {
            return Err(malformed());
        }
        Ok(Self { role, name: name.to_owned() })
    }
}

/// Names of banks that were not given any; further ones are numbered.
const BANK_NAMES: [&str; 4] = ["icici", "sbi", "hdfc", "axis"];

/// The name of the bank at `index` (from 0) where only their number was asked for: `icici`, `sbi`,
/// `hdfc`, `axis`, `bank5`, ...
pub fn default_bank_name(index: usize) -> String {
    BANK_NAMES.get(index).map_or_else(|| format!("bank{}", index + 1), |name| (*name).to_owned())
}

/// Whether `name` may stand in an identity: 1 to 64 bytes of `[a-z0-9_-]`.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_written() {
        for (role, _) in Role::ALL {
            let identity = Identity::new(role, "ICICI_1");
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for text in [
            "",
            "spiffe://other/bank/icici",
            "spiffe://strife/bank",
            "spiffe://strife/king/arthur",
            "spiffe://strife/bank/",
            "spiffe://strife/bank/a/b",
            "spiffe://strife/bank/a;b",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
