//! The gateway as a client of banks: one channel a bank, through the balancer or directly.
//!
//! What changes something at a bank goes there in batches (`batcher`), or, if the bank takes none,
//! in calls of its own (`single`); either way a command has one result.

mod batcher;
mod presence;
mod single;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
    time::Duration,
};

use strife_proto::bank::v1::{
    BalanceRequest, CommandResult, FinishLeg, GatewayRun, Leg as WireLeg, PrepareLeg,
    PrepareRequest, RefusalReason, TransactionRequest,
    bank_participant_client::BankParticipantClient, bank_service_client::BankServiceClient,
    command::Command as Kind,
};
use strife_runtime::{
    Failure, Security, calls::AT_FAULT, connect, identity::is_name, tls::Expected,
};
use tokio::time::Instant;
use tonic::{Code, Status, transport::Channel};
use tracing::error;

use self::{batcher::Batcher, presence::Presence, single::ask};
use super::convert::{abort_from_wire, money_from_wire, money_to_wire};
use crate::{
    banks::{Balance, Banks, CallError, End},
    order::{Account, Money},
    payment::{Leg, Vote},
    transaction::Run,
};

/// Most banks a gateway has channels to.
pub const BANKS_MAX: usize = 1_024;

/// Where banks are, and as whom they find us.
#[derive(Debug, Clone, Default)]
pub struct BankRoutes {
    /// The balancer's data plane, `host:port`; it routes by the authority `bank.NAME`.
    pub balancer: Option<String>,
    /// Banks that are reached directly, by name.
    pub direct: BTreeMap<String, String>,
    /// The authority under which banks ask this gateway for decisions.
    pub coordinator: String,
}

/// Every bank's client.
#[derive(Debug)]
pub struct BankClients {
    clients: HashMap<String, Client>,
    maker: Maker,
}

/// The run that prepares are of, once it has begun.
type Maker = Arc<OnceLock<GatewayRun>>;

/// One bank's.
#[derive(Debug)]
struct Client {
    bank: String,
    participant: BankParticipantClient<Channel>,
    service: BankServiceClient<Channel>,
    batcher: Batcher,
    coordinator: String,
    maker: Maker,
    presence: Presence,
}

impl BankClients {
    /// Clients of `banks` and of those with a direct route. Connects on first use. Must run inside a
    /// tokio runtime.
    pub fn new<'a>(
        banks: impl IntoIterator<Item = &'a str>,
        routes: BankRoutes,
        security: &Security,
    ) -> Result<Self, Failure> {
        let (mut clients, maker) = (HashMap::new(), Maker::default());
        let banks = banks.into_iter().map(str::to_owned);
        for bank in banks.chain(routes.direct.keys().cloned()) {
            if !is_name(&bank) {
                return Err(Failure::usage(format!(
                    "`{bank}` is not a bank's name; write --bank NAME=HOST:PORT, the name in lower case"
                )));
            }
            let client = Client::new(&bank, &routes, maker.clone(), security)?;
            clients.insert(bank, client);
        }
        if clients.len() > BANKS_MAX {
            return Err(Failure::usage(format!(
                "{} banks are more than a gateway can have ({BANKS_MAX}); split the users file",
                clients.len()
            )));
        }
        Ok(Self { clients, maker })
    }

    /// Reaches each bank by its channel. Must run inside a tokio runtime.
    #[cfg(feature = "test-support")]
    pub fn by(channels: impl IntoIterator<Item = (String, Channel)>, coordinator: &str) -> Self {
        let maker = Maker::default();
        let client = |(bank, channel): (String, Channel)| {
            let client = Client::by(&bank, channel, coordinator, maker.clone());
            (bank, client)
        };
        Self { clients: channels.into_iter().map(client).collect(), maker: maker.clone() }
    }

    fn client(&self, bank: &str) -> Result<&Client, CallError> {
        let client = self.clients.get(bank);
        // A bank that was taken out of the configuration may come back.
        client.ok_or_else(|| CallError::NoAnswer(format!("no way leads to bank {bank}")))
    }
}

impl Client {
    fn new(
        bank: &str,
        routes: &BankRoutes,
        maker: Maker,
        security: &Security,
    ) -> Result<Self, Failure> {
        let direct = routes.direct.get(bank).map(|address| (address, Expected::bank(bank)));
        let balanced = || routes.balancer.as_ref().map(|address| (address, Expected::LB));
        let (address, expected) = direct.or_else(balanced).ok_or_else(|| {
            Failure::usage(format!(
                "no way leads to bank {bank}: name the balancer with --balancer HOST:PORT, or the \
                 bank with --bank {bank}=HOST:PORT"
            ))
        })?;
        let channel = connect::channel(address, &format!("bank.{bank}"), expected, security)?;
        Ok(Self::by(bank, channel, &routes.coordinator, maker))
    }

    fn by(bank: &str, channel: Channel, coordinator: &str, maker: Maker) -> Self {
        let participant = BankParticipantClient::new(channel.clone());
        let coordinator = coordinator.to_owned();
        let batcher = Batcher::start(bank, participant.clone(), coordinator.clone(), maker.clone());
        let service = BankServiceClient::new(channel);
        let (bank, presence) = (bank.to_owned(), Presence::new());
        Self { bank, participant, service, batcher, coordinator, maker, presence }
    }

    /// Has the bank do what `command` says, within `timeout`; the result has no failure in it.
    async fn apply(
        &self,
        command: impl Fn() -> Kind,
        timeout: Duration,
    ) -> Result<CommandResult, CallError> {
        let result = self.ask_for(command, timeout).await;
        match &result {
            Err(CallError::NoAnswer(_)) => self.presence.silent(),
            Ok(_) | Err(_) => self.presence.answered(),
        }
        result
    }

    async fn ask_for(
        &self,
        command: impl Fn() -> Kind,
        timeout: Duration,
    ) -> Result<CommandResult, CallError> {
        let deadline = Instant::now() + timeout;
        if let Some(result) = self.batcher.apply(command(), deadline).await? {
            return match result.failure {
                None => Ok(result),
                Some(why) => {
                    let status = Status::new(Code::from_i32(why.code), why.message);
                    Err(call_error(&self.bank, &status))
                }
            };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.single(command(), left).await
    }
}

impl Banks for BankClients {
    async fn prepare(
        &self,
        transaction_id: &str,
        leg: Leg,
        account: &Account,
        amount: &Money,
        timeout: Duration,
    ) -> Result<Vote, CallError> {
        let client = self.client(&account.bank)?;
        let request = || PrepareRequest {
            transaction_id: transaction_id.to_owned(),
            account_id: account.id.clone(),
            amount: Some(money_to_wire(amount)),
            coordinator: String::new(),
            maker: None,
        };
        let leg = leg_to_wire(leg).into();
        let command = || Kind::Prepare(PrepareLeg { leg, request: Some(request()) });
        let result = client.apply(command, timeout).await?;
        match &result.refusal {
            Some(refusal) if refusal.reason() == RefusalReason::Fenced => {
                Err(CallError::Fenced(format!("bank {}: {}", client.bank, refusal.detail)))
            }
            _ => Ok(vote(&client.bank, result)),
        }
    }

    async fn finish(
        &self,
        transaction_id: &str,
        leg: Leg,
        bank: &str,
        end: End,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let client = self.client(bank)?;
        let finish = || FinishLeg {
            leg: leg_to_wire(leg).into(),
            transaction_id: transaction_id.to_owned(),
        };
        let command = || match end {
            End::Commit => Kind::Commit(finish()),
            End::Abort => Kind::Abort(finish()),
        };
        match client.apply(command, timeout).await?.refusal {
            None => Ok(()),
            // Nothing more can come of it, so that a commit counts as told.
            Some(refusal) if refusal.reason() == RefusalReason::Forced => {
                error!(
                    transaction_id,
                    bank,
                    ?leg,
                    decided = ?end,
                    "an operator of the bank has ended this leg the other way; see `strife admin reconcile`"
                );
                match end {
                    End::Commit => Ok(()),
                    // The money has moved: who asks must not take it for released.
                    End::Abort => {
                        Err(CallError::Rejected(format!("bank {bank}: {}", refusal.detail)))
                    }
                }
            }
            Some(refusal) => Err(CallError::Rejected(format!("bank {bank}: {}", refusal.detail))),
        }
    }

    async fn transfer(
        &self,
        transaction_id: &str,
        from: &Account,
        to: &Account,
        amount: &Money,
        timeout: Duration,
    ) -> Result<Vote, CallError> {
        let client = self.client(&from.bank)?;
        let command = || {
            Kind::Transfer(TransactionRequest {
                transaction_id: transaction_id.to_owned(),
                from_account_id: from.id.clone(),
                to_account_id: to.id.clone(),
                amount: Some(money_to_wire(amount)),
            })
        };
        let result = client.apply(command, timeout).await?;
        match &result.refusal {
            // The id stands for another transfer, so this one was never made under it.
            Some(refusal) if refusal.reason() == RefusalReason::Conflict => {
                let why = format!("bank {}: {}", client.bank, refusal.detail);
                Err(CallError::Rejected(why))
            }
            _ => Ok(vote(&client.bank, result)),
        }
    }

    async fn balance(&self, account: &Account, timeout: Duration) -> Result<Balance, CallError> {
        let bank = &account.bank;
        let mut service = self.client(bank)?.service.clone();
        let request = BalanceRequest { account_id: account.id.clone() };
        let answer = ask(bank, timeout, request, |r| service.get_account_balance(r)).await?;
        let (Some(available), Some(held)) = (answer.available, answer.held) else {
            return Err(CallError::NoAnswer(format!("bank {bank}: an answer without amounts")));
        };
        Ok(Balance { available: money_from_wire(available), held: money_from_wire(held) })
    }

    fn begin(&self, run: Run) {
        // There is one run in the life of a gateway.
        let _ = self.maker.set(run_to_wire(run));
    }

    async fn fence(&self, bank: &str, run: Run, timeout: Duration) -> Result<(), CallError> {
        let command = || Kind::Fence(run_to_wire(run));
        self.client(bank)?.apply(command, timeout).await.map(drop)
    }

    fn names(&self) -> Vec<String> {
        self.clients.keys().cloned().collect()
    }

    fn knows(&self, bank: &str) -> bool {
        self.clients.contains_key(bank)
    }

    fn is_silent(&self, bank: &str) -> bool {
        self.clients.get(bank).is_some_and(|client| client.presence.is_silent())
    }

    fn is_away(&self, bank: &str) -> bool {
        self.clients.get(bank).is_some_and(|client| client.presence.is_away())
    }
}

/// What an error says about whether something was done. UNIMPLEMENTED is said by a balancer that does not know
/// the bank yet, and says nothing of the bank.
fn call_error(bank: &str, status: &Status) -> CallError {
    let why = format!("bank {bank}: {:?}: {}", status.code(), status.message());
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => CallError::Invalid(why),
        // Too large for it, and not that it is busy.
        Code::ResourceExhausted if status.metadata().contains_key(AT_FAULT.as_str()) => {
            CallError::Invalid(why)
        }
        Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition => CallError::Rejected(why),
        _ => CallError::NoAnswer(why),
    }
}

/// What the bank says to a prepare or a transfer.
fn vote(bank: &str, result: CommandResult) -> Vote {
    match result.refusal {
        None => Vote::Yes,
        Some(refusal) => Vote::No(abort_from_wire(bank, refusal)),
    }
}

fn run_to_wire(run: Run) -> GatewayRun {
    GatewayRun { store: run.store, run: run.number }
}

fn leg_to_wire(leg: Leg) -> WireLeg {
    match leg {
        Leg::Debit => WireLeg::Debit,
        Leg::Credit => WireLeg::Credit,
    }
}
