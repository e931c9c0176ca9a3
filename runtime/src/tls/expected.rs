//! Whom a client means to talk to: an authority signs users' certificates too, so that being signed
//! by it makes nobody a bank.

use std::{fmt, io};

use crate::identity::{Identity, Role};

/// What the server at the other end has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Any server that our authority signed: for services that are not Strife's own. No user, load
    /// generator or operator is one.
    AnyServer,
    /// One of these roles, whatever its name.
    Roles(&'static [Role]),
    /// This one.
    Exactly(Identity),
}

impl Expected {
    /// The load balancer.
    pub const LB: Self = Self::Roles(&[Role::Lb]);
    /// A payment gateway.
    pub const GATEWAY: Self = Self::Roles(&[Role::Gateway]);
    /// A payment gateway, or the balancer in front of it.
    pub const LB_OR_GATEWAY: Self = Self::Roles(&[Role::Lb, Role::Gateway]);

    /// A transaction-id server, or the balancer in front of it.
    pub const LB_OR_TXID: Self = Self::Roles(&[Role::Lb, Role::Txid]);

    /// A server of the bank of that name.
    pub fn bank(name: &str) -> Self {
        Self::Exactly(Identity::new(Role::Bank, name))
    }

    /// The servers of a balancer's pool: `bank.NAME`, `gateway` and `txid` say who they are.
    pub fn of_pool(pool: &str) -> Self {
        match pool.strip_prefix("bank.") {
            Some(bank) => Self::bank(bank),
            None if pool == "gateway" => Self::GATEWAY,
            None if pool == "txid" => Self::Roles(&[Role::Txid]),
            None => Self::AnyServer,
        }
    }

    fn is_met_by(&self, identity: Option<&Identity>) -> bool {
        match (self, identity) {
            (Self::AnyServer, identity) => identity.is_none_or(|found| found.role.is_server()),
            (Self::Roles(roles), Some(found)) => roles.contains(&found.role),
            (Self::Exactly(wanted), Some(found)) => wanted == found,
            (Self::Roles(_) | Self::Exactly(_), None) => false,
        }
    }

    /// Refuses a server at `address` that proved to be `identity`.
    pub(super) fn check(&self, address: &str, identity: Option<&Identity>) -> io::Result<()> {
        if self.is_met_by(identity) {
            return Ok(());
        }
        let found = identity.map_or_else(|| "no Strife identity".to_owned(), Identity::to_string);
        let error = format!("the server at {address} is {found}, not {self}; correct the address");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, error))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyServer => f.write_str("a server"),
            Self::Exactly(Identity { role, name }) => write!(f, "{} {name}", role.as_str()),
            Self::Roles(roles) => {
                let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
                write!(f, "{}", names.join(" or "))
            }
        }
    }
}
