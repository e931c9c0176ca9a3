//! A bank small enough to be obviously right, that can be told to misbehave.

mod wire;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use strife_proto::bank::v1::{
    FinishRequest, FinishResponse, PrepareRequest, PrepareResponse, Refusal, RefusalReason,
    TransactionRequest, TransactionResponse, bank_participant_server::BankParticipantServer,
    bank_service_server::BankServiceServer,
};
use strife_runtime::{Security, Server, Services, Shutdown};
use tokio::sync::watch;
use tonic::{Response, Status};

use crate::payment::Leg;

/// Long enough that only a test that fails waits for it.
pub(super) const NEVER: Duration = Duration::from_secs(60);

/// How a bank takes batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Batches {
    /// As it should.
    #[default]
    Taken,
    /// Not at all, as one of an earlier version.
    Unknown,
    /// Done, but with one result too few, or too many.
    Miscounted(i8),
    /// Not done: the call is turned away.
    Denied,
}

/// A method that can be told to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Method {
    Prepare(Leg),
    Commit(Leg),
    Abort(Leg),
    Transfer,
    Balance,
}

/// How.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Not done, no answer, until told otherwise.
    Silent,
    /// Not done, so many times.
    Unavailable(u32),
    /// Done, but the answer is lost, so many times.
    LoseAnswer(u32),
    /// Not done, turned away.
    Deny,
    /// Not done, so many times, as by a balancer that does not know the bank.
    Unknown(u32),
    /// Not done, and found to be wrong in itself.
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegState {
    Prepared,
    Committed,
    Aborted,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) balances: HashMap<String, i64>,
    pub(super) legs: HashMap<(String, Leg), LegState>,
    held: HashMap<String, (String, i64)>,
    credits: HashMap<String, (String, i64)>,
    transfers: HashMap<String, TransactionResponse>,
    pub(super) calls: HashMap<Method, u32>,
    /// How many commands each batch had that came.
    pub(super) batches: Vec<usize>,
    takes_batches: Batches,
    faults: HashMap<Method, Fault>,
}

/// A bank that serves; clones are the same bank.
#[derive(Clone)]
pub(super) struct FakeBank {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub(super) address: SocketAddr,
}

impl FakeBank {
    pub(super) async fn start(accounts: &[(&str, i64)], security: &Security) -> Self {
        let server = Server::bind("127.0.0.1:0", "", security).await.unwrap();
        let balances = accounts.iter().map(|(id, balance)| ((*id).to_owned(), *balance)).collect();
        let bank = Self {
            state: Arc::new(Mutex::new(State { balances, ..State::default() })),
            changed: watch::channel(0).0,
            address: server.address(),
        };
        const ALL: &[strife_runtime::Role] = &[strife_runtime::Role::Gateway];
        let services = Services::new(&[strife_runtime::Rule { path: "/", roles: ALL }])
            .add(BankParticipantServer::new(bank.clone()))
            .add(BankServiceServer::new(bank.clone()));
        tokio::spawn(server.serve(services, Shutdown::manual()));
        bank
    }

    pub(super) fn set(&self, method: Method, fault: Fault) {
        self.state.lock().unwrap().faults.insert(method, fault);
        self.changed.send_modify(|changes| *changes += 1);
    }

    pub(super) fn take_batches(&self, how: Batches) {
        self.state.lock().unwrap().takes_batches = how;
    }

    pub(super) fn heal(&self, method: Method) {
        self.state.lock().unwrap().faults.remove(&method);
        self.changed.send_modify(|changes| *changes += 1);
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.lock().unwrap())
    }

    pub(super) fn balance(&self, account: &str) -> i64 {
        self.read(|state| state.balances[account])
    }

    /// Waits until the bank is as described.
    pub(super) async fn until(&self, what: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = changed.wait_for(|_| what(&self.state.lock().unwrap()));
        tokio::time::timeout(NEVER, waiting).await.expect("the bank never got there").unwrap();
    }

    pub(super) async fn until_all(&self, leg: Leg, expected: LegState, count: usize) {
        self.until(|state| {
            let as_expected =
                |((_, found), at): &(&(String, Leg), &LegState)| *found == leg && **at == expected;
            state.legs.iter().filter(as_expected).count() == count
        })
        .await;
    }

    /// Runs `work` as the faults of `method` allow.
    async fn serve<T>(
        &self,
        method: Method,
        work: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let fault = {
            let mut state = self.state.lock().unwrap();
            *state.calls.entry(method).or_default() += 1;
            state.take_fault(method)
        };
        self.changed.send_modify(|changes| *changes += 1);
        match fault {
            Some(Fault::Unavailable(_)) => return Err(Status::unavailable("told to be away")),
            Some(Fault::Deny) => return Err(Status::permission_denied("told to deny")),
            Some(Fault::Unknown(_)) => return Err(Status::unimplemented("no such pool")),
            Some(Fault::Invalid) => return Err(Status::invalid_argument("told to find it wrong")),
            Some(Fault::Silent) => {
                let silent =
                    |state: &State| matches!(state.faults.get(&method), Some(Fault::Silent));
                self.until(|state| !silent(state)).await;
            }
            _ => {}
        }
        let answer = work(&mut self.state.lock().unwrap());
        self.changed.send_modify(|changes| *changes += 1);
        match fault {
            Some(Fault::LoseAnswer(_)) => Err(Status::unavailable("told to lose the answer")),
            _ => answer.map(Response::new),
        }
    }

    async fn prepare(
        &self,
        leg: Leg,
        request: PrepareRequest,
    ) -> Result<Response<PrepareResponse>, Status> {
        self.serve(Method::Prepare(leg), |state| {
            let refusal = state.prepare(leg, &request).err();
            let refusal =
                refusal.map(|reason| Refusal { reason: reason.into(), ..Refusal::default() });
            Ok(PrepareResponse { refusal })
        })
        .await
    }

    async fn commit(
        &self,
        leg: Leg,
        request: FinishRequest,
    ) -> Result<Response<FinishResponse>, Status> {
        self.serve(Method::Commit(leg), |state| state.commit(leg, request.transaction_id)).await
    }

    /// Holds money for a transaction of which nobody else knows.
    pub(super) fn hold(&self, transaction_id: &str, account: &str, amount: i64) {
        let mut state = self.state.lock().unwrap();
        *state.balances.get_mut(account).unwrap() -= amount;
        state.held.insert(transaction_id.to_owned(), (account.to_owned(), amount));
        state.legs.insert((transaction_id.to_owned(), Leg::Debit), LegState::Prepared);
    }

    /// As told by a decision the bank asked for.
    pub(super) fn abort_by_itself(&self, leg: Leg, transaction_id: &str) {
        self.state.lock().unwrap().abort(leg, transaction_id.to_owned());
    }

    async fn abort(
        &self,
        leg: Leg,
        request: FinishRequest,
    ) -> Result<Response<FinishResponse>, Status> {
        self.serve(Method::Abort(leg), |state| {
            state.abort(leg, request.transaction_id);
            Ok(FinishResponse::default())
        })
        .await
    }
}

impl State {
    fn take_fault(&mut self, method: Method) -> Option<Fault> {
        match self.faults.get_mut(&method) {
            Some(Fault::Unavailable(0) | Fault::LoseAnswer(0) | Fault::Unknown(0)) => None,
            Some(Fault::Unknown(left)) => {
                *left -= 1;
                Some(Fault::Unknown(*left))
            }
            Some(Fault::Unavailable(left)) => {
                *left -= 1;
                Some(Fault::Unavailable(*left))
            }
            Some(Fault::LoseAnswer(left)) => {
                *left -= 1;
                Some(Fault::LoseAnswer(*left))
            }
            other => other.cloned(),
        }
    }

    fn prepare(&mut self, leg: Leg, request: &PrepareRequest) -> Result<(), RefusalReason> {
        let (id, account) = (request.transaction_id.clone(), request.account_id.clone());
        let amount = request.amount.as_ref().unwrap().minor_units;
        match self.legs.get(&(id.clone(), leg)) {
            Some(LegState::Aborted) => return Err(RefusalReason::Aborted),
            Some(_) => return Ok(()),
            None => {}
        }
        let balance = self.balances.get_mut(&account).ok_or(RefusalReason::UnknownAccount)?;
        match leg {
            Leg::Debit => {
                if *balance < amount {
                    return Err(RefusalReason::InsufficientFunds);
                }
                *balance -= amount;
                self.held.insert(id.clone(), (account, amount));
            }
            Leg::Credit => {
                self.credits.insert(id.clone(), (account, amount));
            }
        }
        self.legs.insert((id, leg), LegState::Prepared);
        Ok(())
    }

    fn commit(&mut self, leg: Leg, id: String) -> Result<FinishResponse, Status> {
        match self.legs.get(&(id.clone(), leg)) {
            None | Some(LegState::Aborted) => {
                return Err(Status::failed_precondition("not prepared"));
            }
            Some(LegState::Committed) => return Ok(FinishResponse::default()),
            Some(LegState::Prepared) => {}
        }
        match leg {
            Leg::Debit => drop(self.held.remove(&id)),
            Leg::Credit => {
                let (account, amount) = self.credits.remove(&id).unwrap();
                *self.balances.get_mut(&account).unwrap() += amount;
            }
        }
        self.legs.insert((id, leg), LegState::Committed);
        Ok(FinishResponse::default())
    }

    fn abort(&mut self, leg: Leg, id: String) {
        let before = self.legs.insert((id.clone(), leg), LegState::Aborted);
        assert_ne!(before, Some(LegState::Committed), "aborted after its commit");
        if leg == Leg::Debit
            && let Some((account, amount)) = self.held.remove(&id)
        {
            *self.balances.get_mut(&account).unwrap() += amount;
        }
    }

    fn transfer(&mut self, request: TransactionRequest) -> TransactionResponse {
        let id = request.transaction_id;
        if let Some(answer) = self.transfers.get(&id) {
            return answer.clone();
        }
        let amount = request.amount.unwrap().minor_units;
        let from = self.balances.get_mut(&request.from_account_id).unwrap();
        let refusal = (*from < amount).then(|| Refusal {
            reason: RefusalReason::InsufficientFunds.into(),
            detail: "too little".to_owned(),
        });
        if refusal.is_none() {
            *from -= amount;
            *self.balances.get_mut(&request.to_account_id).unwrap() += amount;
        }
        let answer = TransactionResponse { transaction_id: id.clone(), available: None, refusal };
        self.transfers.insert(id, answer.clone());
        answer
    }
}
