//! The edge: what travels on the wire and what the gateway means by it. Requests are read, callers
//! are held to their own accounts, errors become gRPC codes. Nothing of money is decided here.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use strife_proto::gateway::v1::{
    self as wire, decision_service_server::DecisionService, payment_gateway_server::PaymentGateway,
};
use strife_runtime::{AccessTable, Caller, Role, Rule, Shutdown};
use tonic::{Request, Response, Status};
use tracing::warn;

use crate::{
    banks::Banks,
    clock::now_ms,
    coordinator::{Answer, Coordinator},
    error::GatewayError,
    order::{Account, Order},
    standing::Standing,
    store::Store,
    transaction::Sequence,
    users::Users,
};
use deadline::patience;

mod admin;
pub mod banks;
mod convert;
mod deadline;
mod events;
mod history;
pub mod ids;
mod listing;
mod status;
#[cfg(test)]
mod tests;

/// The services whose calls are logged and counted as load.
pub const PAYMENTS: &[&str] = &["/strife.gateway.v1.PaymentGateway/"];
/// The services whose calls are logged.
pub const LOGGED: &[&str] =
    &["/strife.gateway.v1.PaymentGateway/", "/strife.gateway.v1.DecisionService/"];
/// Who may call what.
pub const ACCESS: AccessTable = &[
    Rule {
        path: "/strife.gateway.v1.PaymentGateway/",
        roles: &[Role::Client, Role::Loadgen, Role::Admin],
    },
    Rule { path: "/strife.gateway.v1.DecisionService/", roles: &[Role::Bank, Role::Admin] },
    Rule { path: "/strife.gateway.v1.GatewayAdmin/", roles: &[Role::Admin] },
    Rule { path: "/strife.gateway.v1.Events/", roles: &[Role::Admin] },
    Rule { path: "/strife.gateway.v1.GatewayAdmin/GetStatus", roles: &[Role::Loadgen] },
];
/// Largest request, bytes.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// How much longer than the payment timeout anybody waits: for the decision to become durable.
const GRACE: Duration = Duration::from_secs(1);
/// Accounts of one user that are asked for at once.
const BALANCES_AT_ONCE: usize = 16;

/// All of the gateway's services. Clones share everything.
pub struct GatewayService<B: Banks, S: Store> {
    coordinator: Arc<Coordinator<B, S>>,
    users: Arc<Users>,
    leaving: Shutdown,
}

impl<B: Banks, S: Store> Clone for GatewayService<B, S> {
    fn clone(&self) -> Self {
        Self {
            coordinator: self.coordinator.clone(),
            users: self.users.clone(),
            leaving: self.leaving.clone(),
        }
    }
}

impl<B: Banks, S: Store> GatewayService<B, S> {
    /// Serves the payments of `users`.
    pub fn new(coordinator: Arc<Coordinator<B, S>>, users: Arc<Users>) -> Self {
        Self { coordinator, users, leaving: Shutdown::manual() }
    }

    /// Sends off whoever follows events once `leaving` is requested.
    #[must_use]
    pub fn until(self, leaving: Shutdown) -> Self {
        Self { leaving, ..self }
    }

    /// The user the caller acts for, who must be known.
    fn user(&self, caller: &Caller, named: &str) -> Result<String, GatewayError> {
        let user = acts_for(caller, named)?;
        self.check_known(user)?;
        Ok(user.to_owned())
    }

    fn check_known(&self, user: &str) -> Result<(), GatewayError> {
        match self.users.accounts_of(user) {
            Some(_) => Ok(()),
            None => Err(GatewayError::UnknownUser(user.to_owned())),
        }
    }

    /// Whether the user may pay this, to a bank that can be reached.
    fn authorize(&self, order: &Order) -> Result<(), GatewayError> {
        self.check_known(&order.user)?;
        if self.users.owner_of(&order.from) != Some(&order.user) {
            let (user, account) = (order.user.clone(), order.from.clone());
            return Err(GatewayError::NotTheirAccount { user, account });
        }
        for bank in [&order.from.bank, &order.to.bank] {
            if !self.coordinator.banks().knows(bank) {
                return Err(GatewayError::UnknownBank(bank.clone()));
            }
        }
        Ok(())
    }

    /// Waits for as long as the client does, but no longer than a payment may take. Only a new payment
    /// is held against the users file and the banks of today: one that was taken on keeps its answer.
    async fn pay(
        &self,
        caller: &Caller,
        mut order: Order,
        deadline: Option<Duration>,
    ) -> Result<Answer, GatewayError> {
        let user = acts_for(caller, &order.user).map(str::to_owned);
        order.user = user.inspect_err(|why| log_denial(caller, why))?;
        let payment_id = order.payment_id.clone();
        let authorize = |order: &Order| {
            self.authorize(order)?;
            Ok(self.users.owner_of(&order.to).map(str::to_owned))
        };
        let patience_max = self.coordinator.settings().payment_timeout.saturating_add(GRACE);
        let answer = self.coordinator.pay(order, now_ms(), authorize);
        let answer = tokio::time::timeout(patience(deadline, patience_max), answer).await;
        let answer = answer.map_err(|_| GatewayError::StillUnderWay(payment_id))?;
        answer.inspect_err(|why| log_denial(caller, why))
    }

    async fn balance(&self, account: Account, timeout: Duration) -> wire::AccountBalance {
        let balance = self.coordinator.banks().balance(&account, timeout).await;
        convert::balance_to_wire(account, balance.map_err(|error| error.to_string()))
    }
}

#[tonic::async_trait]
impl<B: Banks, S: Store> PaymentGateway for GatewayService<B, S> {
    async fn process_payment(
        &self,
        request: Request<wire::PaymentRequest>,
    ) -> Result<Response<wire::PaymentResponse>, Status> {
        let caller = Caller::of(&request);
        let deadline = deadline::of(request.metadata());
        let request = request.into_inner();
        caller.note(|| convert::format_payment(&request));
        let order = convert::order_from_wire(request)?;
        order.check().map_err(GatewayError::from)?;
        let answer = self.pay(&caller, order, deadline).await?;
        caller.outcome(|| match &answer {
            Answer::Decided(receipt) => receipt.decision.to_string(),
            Answer::Queued(_) => "QUEUED".to_owned(),
        });
        Ok(Response::new(convert::answer_to_wire(answer)))
    }

    async fn get_payment(
        &self,
        request: Request<wire::GetPaymentRequest>,
    ) -> Result<Response<wire::PaymentResponse>, Status> {
        let caller = Caller::of(&request);
        let wire::GetPaymentRequest { payment_id, user } = request.into_inner();
        caller.note(|| payment_id.clone());
        let user = acts_for(&caller, &user).inspect_err(|why| log_denial(&caller, why))?;
        let record = self.coordinator.payment(&payment_id).await?;
        // To anybody else nothing is said of it.
        let record = record.filter(|record| record.order.user == user);
        let record = record.ok_or(GatewayError::UnknownPayment(payment_id))?;
        Ok(Response::new(convert::record_to_wire(record)))
    }

    async fn get_balance(
        &self,
        request: Request<wire::BalanceRequest>,
    ) -> Result<Response<wire::BalanceResponse>, Status> {
        let caller = Caller::of(&request);
        let timeout_max = self.coordinator.settings().attempt_timeout;
        let timeout = patience(deadline::of(request.metadata()), timeout_max);
        let named = &request.get_ref().user;
        caller.note(|| format!("balance of {}", whom(named)));
        let user = self.user(&caller, named).inspect_err(|why| log_denial(&caller, why))?;
        let accounts = self.users.accounts_of(&user).unwrap_or_default().to_vec();
        let asked = accounts.into_iter().map(|account| self.balance(account, timeout));
        let accounts = stream::iter(asked).buffered(BALANCES_AT_ONCE).collect().await;
        Ok(Response::new(wire::BalanceResponse { user, accounts }))
    }

    async fn get_transaction_history(
        &self,
        request: Request<wire::HistoryRequest>,
    ) -> Result<Response<wire::HistoryResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        caller.note(|| format!("history of {}", whom(&request.user)));
        let user = self.user(&caller, &request.user).inspect_err(|why| log_denial(&caller, why))?;
        Ok(Response::new(history::page(&self.coordinator, &user, &request).await?))
    }
}

#[tonic::async_trait]
impl<B: Banks, S: Store> DecisionService for GatewayService<B, S> {
    async fn get_decision(
        &self,
        request: Request<wire::DecisionRequest>,
    ) -> Result<Response<wire::DecisionResponse>, Status> {
        let caller = Caller::of(&request);
        let transaction_id = &request.get_ref().transaction_id;
        caller.note(|| transaction_id.clone());
        let standing = self.coordinator.decision(transaction_id).await?;
        caller.outcome(|| format!("{standing:?}"));
        let decision = match standing {
            Standing::Commit => wire::Decision::Commit,
            Standing::Abort => wire::Decision::Abort,
            Standing::StillActive => wire::Decision::StillActive,
        };
        Ok(Response::new(wire::DecisionResponse { decision: decision.into() }))
    }
}

/// Whom the caller acts for: `named`, or who he is. The load generator and operators act for anybody,
/// everyone else for himself; where TLS is off nobody is anybody.
fn acts_for<'n>(caller: &'n Caller, named: &'n str) -> Result<&'n str, GatewayError> {
    match &caller.identity {
        Some(identity) if identity.role == Role::Client => {
            if !named.is_empty() && named != identity.name {
                let (identity, user) = (identity.to_string(), named.to_owned());
                return Err(GatewayError::NotThatUser { identity, user });
            }
            Ok(&identity.name)
        }
        _ if named.is_empty() => Err(GatewayError::UserMissing),
        _ => Ok(named),
    }
}

/// For the log: the user that a request names.
fn whom(named: &str) -> &str {
    if named.is_empty() { "the caller" } else { named }
}

fn log_denial(caller: &Caller, why: &GatewayError) {
    if matches!(why, GatewayError::NotThatUser { .. } | GatewayError::NotTheirAccount { .. }) {
        let client = caller.identity.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        warn!(client, address = caller.address, %why, "access denied");
    }
}

fn page_token_of(last: Sequence) -> String {
    format!("{last:016x}")
}

fn parse_page_token(token: &str) -> Result<Option<Sequence>, GatewayError> {
    if token.is_empty() {
        return Ok(None);
    }
    let sequence = Sequence::from_str_radix(token, 16).ok();
    let sequence = sequence.filter(|sequence| page_token_of(*sequence) == token);
    sequence.map(Some).ok_or_else(|| GatewayError::MalformedPageToken(token.to_owned()))
}
