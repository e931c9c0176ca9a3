//! What clients of several servers see of one bank is what they would see of a single account book, asked
//! one call at a time in some order that contradicts nobody's (Herlihy and Wing, 1990): histories are
//! recorded while the owner's server is shut down and started again, and an order is searched for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use strife_runtime::Shutdown;
use tempfile::TempDir;

use super::*;
use crate::{
    ledger::{Receipt, Refusal, Transfer, tests::openings},
    money::Amount,
    service::tests::serve_at,
    store::Embedded,
};

const ACCOUNTS: [&str; 2] = ["a", "b"];
/// Clients at once, and what each of them asks in one history. The search is exponential in both.
const CLIENTS: usize = 4;
const CALLS: usize = 6;
const HISTORIES: usize = 60;

/// The account book.
#[derive(Debug, Clone)]
struct Book(BTreeMap<&'static str, i64>);

/// What is asked of it.
#[derive(Debug, Clone)]
enum Call {
    Transfer { from: &'static str, to: &'static str, amount: i64 },
    Read(&'static str),
}

/// What it answers: what the payer has left, or the account.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Paid(i64),
    Refused(Refusal),
    Has(i64),
}

impl SequentialSpec for Book {
    type Op = Call;
    type Ret = Answer;

    fn invoke(&mut self, call: &Call) -> Answer {
        match *call {
            Call::Read(account) => Answer::Has(self.0[account]),
            Call::Transfer { from, amount, .. } if self.0[from] < amount => {
                Answer::Refused(Refusal::InsufficientFunds)
            }
            Call::Transfer { from, to, amount } => {
                *self.0.get_mut(from).unwrap() -= amount;
                *self.0.get_mut(to).unwrap() += amount;
                Answer::Paid(self.0[from])
            }
        }
    }
}

type Tester = Arc<Mutex<LinearizabilityTester<usize, Book>>>;

/// Asks until there is an answer, with the same transaction id.
async fn ask(store: &impl Store, transaction_id: &str, call: &Call) -> Answer {
    loop {
        let answer = match *call {
            Call::Read(account) => store
                .account(account)
                .await
                .map(|account| Answer::Has(account.expect("it was opened").available)),
            Call::Transfer { from, to, amount } => {
                let transfer = Transfer {
                    transaction_id: transaction_id.to_owned(),
                    from: from.to_owned(),
                    to: to.to_owned(),
                    amount: Amount { minor_units: amount, currency: "INR".parse().unwrap() },
                    at_ms: 1,
                };
                store.apply(Command::Transfer(transfer)).await.map(|verdict| match verdict {
                    Ok(Receipt::Transferred { available }) => Answer::Paid(available.minor_units),
                    Ok(Receipt::Done) => unreachable!("a transfer has a receipt of its own"),
                    Err(refusal) => Answer::Refused(refusal),
                })
            }
        };
        match answer {
            Ok(answer) => return answer,
            Err(BankError::OwnerUnavailable { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

async fn client<S: Store>(store: S, number: usize, name: String, seed: u64, tester: Tester) {
    let mut random = StdRng::seed_from_u64(seed);
    for at in 0..CALLS {
        let pair: Vec<_> = ACCOUNTS.sample(&mut random, 2).copied().collect();
        let call = match random.random_bool(0.5) {
            true => Call::Read(pair[0]),
            false => {
                let amount = random.random_range(1..120);
                Call::Transfer { from: pair[0], to: pair[1], amount }
            }
        };
        tester.lock().unwrap().on_invoke(number, call.clone()).unwrap();
        let answer = ask(&store, &format!("{name}-{number}-{at}"), &call).await;
        tester.lock().unwrap().on_return(number, answer).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_linearizable() {
    let seed = rand::random::<u32>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed.into());
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.redb");
    let store = Embedded::create(&path, "icici", &openings()).unwrap();
    let plain = Security::Plaintext;
    let mut shutdown = Shutdown::manual();
    let (address, mut serving) = serve_at("127.0.0.1:0", "icici", &store, &plain, &shutdown).await;
    let one = Shared::connect(&address, "icici", &plain).await.unwrap();
    let other = Shared::connect(&address, "icici", &plain).await.unwrap();
    for history in 0..HISTORIES {
        let mut book = Book(BTreeMap::new());
        for account in ACCOUNTS {
            book.0.insert(account, store.account(account).await.unwrap().unwrap().available);
        }
        let tester = Arc::new(Mutex::new(LinearizabilityTester::new(book)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (name, seed, tester) = (history.to_string(), random.random(), tester.clone());
                match number {
                    0 => tokio::spawn(client(store.clone(), number, name, seed, tester)),
                    1 => tokio::spawn(client(one.clone(), number, name, seed, tester)),
                    _ => tokio::spawn(client(other.clone(), number, name, seed, tester)),
                }
            })
            .collect();
        if history % 4 == 0 {
            shutdown.request();
            serving.await.unwrap();
            shutdown = Shutdown::manual();
            serving = serve_at(&address, "icici", &store, &plain, &shutdown).await.1;
        }
        for client in clients {
            client.await.unwrap();
        }
        let tester = tester.lock().unwrap();
        assert!(tester.is_consistent(), "history {history}: {tester:?}");
    }
}

/// The search would see it: who reads after a transfer has been answered reads what it left.
#[test]
fn a_stale_read_is_found_out() {
    let mut tester = LinearizabilityTester::new(Book([("a", 100), ("b", 100)].into()));
    let call = Call::Transfer { from: "a", to: "b", amount: 60 };
    tester.on_invret(0, call, Answer::Paid(40)).unwrap();
    tester.on_invret(1, Call::Read("b"), Answer::Has(100)).unwrap();
    assert!(!tester.is_consistent());
}
