//! The control server: generated types stop here and below.

mod control;
mod look_aside;
mod picks;
mod registration;

use std::sync::Arc;

use strife_proto::lb::v1::{
    load_balancer_admin_server::LoadBalancerAdminServer, load_balancer_server::LoadBalancerServer,
};
use strife_runtime::{AccessTable, Role, Rule, Services, Shutdown};
use tonic::Status;

use self::{control::Control, look_aside::LookAside, registration::Registry};
use crate::{
    balancer::Balancer, discovery::Registrations, error::LbError, membership::Writer,
    picks::PickRecorder,
};

/// Those who may have a place in a pool.
const SERVERS: &[Role] = &[Role::Bank, Role::Gateway, Role::Txid];

/// Who may call what. For which pool a server may report is decided by its name as well.
const ACCESS: AccessTable = &[
    Rule {
        path: "/strife.lb.v1.LoadBalancer/GetBestServer",
        roles: &[Role::Client, Role::Loadgen, Role::Gateway, Role::Bank, Role::Admin],
    },
    Rule { path: "/strife.lb.v1.LoadBalancer/ReportServerLoad", roles: SERVERS },
    Rule { path: "/strife.lb.v1.LoadBalancer/RegisterServer", roles: SERVERS },
    Rule { path: "/strife.lb.v1.LoadBalancer/DeregisterServer", roles: SERVERS },
    Rule { path: "/strife.lb.v1.LoadBalancerAdmin/", roles: &[Role::Admin] },
];

/// What operators change is written down.
const LOGGED: &[&str] =
    &["/strife.lb.v1.LoadBalancerAdmin/SetPolicy", "/strife.lb.v1.LoadBalancerAdmin/DrainServer"];

/// Everything the control server serves. `writers`, `registrations`: one per pool, in the balancer's
/// order. `picks`: where look-aside picks are written down.
pub(crate) fn services(
    balancer: &Arc<Balancer>,
    writers: Vec<Writer>,
    registrations: Vec<Arc<Registrations>>,
    picks: PickRecorder,
    shutdown: Shutdown,
) -> Services {
    let registry = Registry::new(balancer.clone(), registrations);
    Services::new(ACCESS)
        .add(LoadBalancerServer::new(LookAside::new(balancer.clone(), registry, picks)))
        .add(LoadBalancerAdminServer::new(Control::new(balancer.clone(), writers, shutdown)))
        .logged(LOGGED)
}

impl From<LbError> for Status {
    fn from(error: LbError) -> Self {
        let message = error.to_string();
        match error {
            LbError::UnknownPool { .. }
            | LbError::UnknownEndpoint { .. }
            | LbError::NotRegistered { .. }
            | LbError::NoServerToDrain(_) => Self::not_found(message),
            LbError::LastServer { .. } | LbError::NoRegistration(_) => {
                Self::failed_precondition(message)
            }
            LbError::NotItsPool { .. } => Self::permission_denied(message),
            LbError::NoReadyEndpoint(_) | LbError::NoServers { .. } => Self::unavailable(message),
            LbError::NoFreeStream(_)
            | LbError::TooManyRegistrations { .. }
            | LbError::TooManyWatchers(_) => Self::resource_exhausted(message),
            LbError::NoPoolFor { .. } => Self::unimplemented(message),
            LbError::NoPool
            | LbError::MalformedPool(_)
            | LbError::MalformedPoolName(_)
            | LbError::MalformedMethod(_)
            | LbError::UnreadableConfig { .. }
            | LbError::InvalidConfig { .. }
            | LbError::MalformedSource { .. }
            | LbError::PoolWithoutServers(_)
            | LbError::DuplicatePool(_)
            | LbError::MalformedAddress { .. }
            | LbError::DuplicateAddress { .. }
            | LbError::MalformedPoolPolicy(_)
            | LbError::OutOfRange { .. }
            | LbError::InvalidPolicy(_)
            | LbError::TooManyAvoided { .. }
            | LbError::UnreadableReport
            | LbError::InvalidReport(_) => Self::invalid_argument(message),
        }
    }
}
