//! Payers, who keep a payment's id until they know its outcome and write it down; and what must be true of
//! all outcomes together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use strife_fleet::Fleet;
use strife_proto::{
    common::v1::Money,
    gateway::v1::{
        AccountRef, BalanceRequest, BalanceResponse, PaymentRequest, PaymentState,
        payment_gateway_client::PaymentGatewayClient,
    },
};
use strife_runtime::{Role, Security, TlsArgs, connect, tls::Expected};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status, transport::Channel};

use crate::PATIENCE;

const PAYERS: usize = 16;
/// Accounts of each bank that take part: few, so that payments meet.
const ACCOUNTS_PER_BANK: usize = 6;
/// How long a payer waits for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Of so many payments the payer is content with a place in the queue, for longer than any run takes.
const QUEUEABLE: f64 = 0.3;
const QUEUE_FOR_S: u32 = 3_600;
/// More than anybody has.
const TOO_MUCH: i64 = i64::MAX / 4;

/// Bank and account id.
type Name = (String, String);

/// A payment and what its payer was told.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    request: PaymentRequest,
    pub(crate) state: PaymentState,
    pub(crate) was_queued: bool,
}

/// Who pays, and what everybody had at first.
#[derive(Clone)]
pub(crate) struct World {
    gateway: PaymentGatewayClient<Channel>,
    /// User, bank, account id.
    accounts: Arc<Vec<(String, Name)>>,
    opening: Arc<BTreeMap<Name, i64>>,
}

pub(crate) struct Payers {
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Paid>>>,
}

impl World {
    pub(crate) async fn of(fleet: &Fleet) -> Self {
        // The load generator may pay for everybody.
        let tls = TlsArgs { certs: fleet.spec().certs(), plaintext: false };
        let security = Security::load(&tls, Role::Loadgen, "1").unwrap();
        let channel = connect::channel(fleet.balancer(), "gateway", Expected::LB, &security);
        let channel = channel.unwrap();
        let mut accounts = Vec::new();
        for bank in &fleet.spec().banks {
            let users = fleet.spec().accounts().join("users.csv");
            let mut reader = csv::Reader::from_path(users).unwrap();
            let rows = reader.records().map(Result::unwrap).filter(|row| row[1] == bank.name);
            let account = |row: csv::StringRecord| {
                (row[0].to_owned(), (row[1].to_owned(), row[2].to_owned()))
            };
            accounts.extend(rows.take(ACCOUNTS_PER_BANK).map(account));
        }
        let gateway = PaymentGatewayClient::new(channel);
        let mut world = Self { gateway, accounts: Arc::new(accounts), opening: Arc::default() };
        world.opening = Arc::new(world.balances().await);
        world
    }

    /// Of everybody who takes part, by account, with what is held.
    async fn balances(&self) -> BTreeMap<Name, i64> {
        let users: BTreeSet<&String> = self.accounts.iter().map(|(user, _)| user).collect();
        let mut balances = BTreeMap::new();
        for user in users {
            let asked = tokio::time::timeout(PATIENCE, self.balances_of(user)).await;
            let answer = asked.unwrap_or_else(|_| panic!("nobody tells what {user} has"));
            for found in answer.accounts {
                let account = found.account.unwrap();
                let units = |money: Option<Money>| money.map_or(0, |money| money.minor_units);
                let sum = units(found.available) + units(found.held);
                balances.insert((account.bank, account.account_id), sum);
            }
        }
        balances
    }

    /// Asks until there is an answer and every bank has told its part.
    async fn balances_of(&self, user: &str) -> BalanceResponse {
        loop {
            let request = BalanceRequest { user: user.to_owned() };
            match self.gateway.clone().get_balance(request).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    // A bank that does not answer is named, and has no amounts.
                    if answer.accounts.iter().all(|account| account.available.is_some()) {
                        return answer;
                    }
                }
                Err(status) => assert!(may_ask_again(&status), "{status}"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Asks once more about every payment, and counts what everybody must have.
    pub(crate) async fn check(&self, paid: &[Paid]) {
        let mut expected = (*self.opening).clone();
        let mut ids = BTreeSet::new();
        for paid in paid {
            let id = &paid.request.payment_id;
            assert_eq!(self.pay(&paid.request).await, Ok(paid.state), "{id}");
            assert!(ids.insert(id), "{id} was paid by two");
            if paid.state == PaymentState::Committed {
                let PaymentRequest { from, to, amount, .. } = &paid.request;
                let units = amount.as_ref().unwrap().minor_units;
                for (account, units) in [(from, -units), (to, units)] {
                    let account = account.clone().unwrap();
                    *expected.get_mut(&(account.bank, account.account_id)).unwrap() += units;
                }
            }
        }
        assert_eq!(self.balances().await, expected, "what was acknowledged, once each");
    }

    /// Asks until there is an outcome, be it after a while in the queue.
    async fn pay_at_last(&self, payment: &PaymentRequest) -> PaymentState {
        let paid = async {
            loop {
                match self.pay(payment).await {
                    Ok(PaymentState::Queued) => tokio::time::sleep(RETRY_PAUSE).await,
                    paid => return paid,
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, paid).await;
        let paid = waited.unwrap_or_else(|_| panic!("{} stays queued", payment.payment_id));
        paid.unwrap_or_else(|code| panic!("{payment:?}: {code}"))
    }

    /// Asks until there is an answer; an error is one that asking again does not change.
    async fn pay(&self, payment: &PaymentRequest) -> Result<PaymentState, Code> {
        let mut gateway = self.gateway.clone();
        let asked = async {
            loop {
                let mut request = Request::new(payment.clone());
                request.set_timeout(CALL_TIMEOUT);
                match gateway.process_payment(request).await {
                    Ok(answer) => return Ok(answer.get_ref().state()),
                    Err(status) if !may_ask_again(&status) => return Err(status.code()),
                    Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, asked).await;
        waited.unwrap_or_else(|_| panic!("{} gets no outcome", payment.payment_id))
    }

    /// A payment between any two accounts that take part; some cannot be made.
    fn payment(&self, payment_id: String, random: &mut StdRng) -> PaymentRequest {
        let pair: Vec<_> = self.accounts.sample(random, 2).collect();
        let [(user, from), (_, to)] = pair[..] else { panic!("there are more than two") };
        let reference = |(bank, account_id): &Name| AccountRef {
            bank: bank.clone(),
            account_id: account_id.clone(),
        };
        let (mut to, mut minor_units) = (reference(to), random.random_range(1..50));
        match random.random_range(0..20) {
            0 => minor_units = TOO_MUCH,
            1 => to.account_id = "nobody".to_owned(),
            _ => {}
        }
        PaymentRequest {
            payment_id,
            user: user.clone(),
            from: Some(reference(from)),
            to: Some(to),
            amount: Some(Money { minor_units, currency: "INR".to_owned() }),
            queue_for_s: if random.random_bool(QUEUEABLE) { QUEUE_FOR_S } else { 0 },
        }
    }

    async fn pay_until(self, payer: usize, mut random: StdRng, done: Arc<AtomicBool>) -> Vec<Paid> {
        let (mut paid, mut queued) = (Vec::new(), Vec::new());
        while !done.load(Relaxed) {
            let number = paid.len() + queued.len();
            let request = self.payment(format!("{payer}-{number}"), &mut random);
            let twice = random.random_bool(0.1);
            let state = if twice {
                let (one, other) = tokio::join!(self.pay(&request), self.pay(&request));
                // It may have left the queue in between.
                let is_queued = [&one, &other].contains(&&Ok(PaymentState::Queued));
                assert!(one == other || is_queued, "asked twice at once: {one:?}, {other:?}");
                if is_queued { Ok(PaymentState::Queued) } else { one }
            } else {
                self.pay(&request).await
            };
            let state = state.unwrap_or_else(|code| panic!("{request:?}: {code}"));
            if random.random_bool(0.1) {
                let mut other = request.clone();
                other.amount.as_mut().unwrap().minor_units += 1;
                assert_eq!(self.pay(&other).await, Err(Code::AlreadyExists), "another body");
            }
            match state {
                PaymentState::Queued => queued.push(request),
                state => paid.push(Paid { request, state, was_queued: false }),
            }
        }
        for request in queued {
            let state = self.pay_at_last(&request).await;
            paid.push(Paid { request, state, was_queued: true });
        }
        paid
    }
}

impl Payers {
    pub(crate) fn start(world: &World, random: &mut StdRng) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let tasks = (0..PAYERS).map(|payer| {
            let random = StdRng::seed_from_u64(random.random());
            tokio::spawn(world.clone().pay_until(payer, random, done.clone()))
        });
        Self { tasks: tasks.collect(), done }
    }

    /// Lets everybody see the outcome of the payment they are at.
    pub(crate) async fn stop(self) -> Vec<Paid> {
        self.done.store(true, Relaxed);
        let mut paid = Vec::new();
        for task in self.tasks {
            paid.extend(task.await.unwrap());
        }
        paid
    }
}

fn may_ask_again(status: &Status) -> bool {
    use Code::{Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable, Unknown};
    // The client's library calls it unknown when its connection to the balancer breaks.
    matches!(
        status.code(),
        Cancelled | DeadlineExceeded | ResourceExhausted | Unavailable | Unknown
    )
}
