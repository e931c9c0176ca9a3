//! Those who pay: each keeps a payment's id until it knows the outcome, and writes that down.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use strife_proto::{
    common::v1::Money,
    gateway::v1::{
        AccountRef, PaymentRequest, PaymentState, payment_gateway_client::PaymentGatewayClient,
    },
};
use tokio::time::{sleep, timeout};
use tonic::{Code, transport::Channel};

use crate::{
    hosts::{ACCOUNTS, BANKS, GATEWAY, USER},
    net,
};

/// How long a payer waits for one answer.
const CALL_TIMEOUT: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(20);

/// What payers were told, and whether they are to go on.
#[derive(Debug, Default)]
pub struct Book {
    /// The payment's id, and whether it was made.
    pub told: Mutex<Vec<(String, bool)>>,
    /// No further payments.
    pub is_closed: AtomicBool,
}

impl Book {
    /// Payments of which somebody was told.
    pub fn told_count(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

/// Pays until the book is closed: some at a time, at random.
pub async fn pay(payers: u32, seed: u64, book: Arc<Book>) -> turmoil::Result {
    let gateway = PaymentGatewayClient::new(net::channel(GATEWAY));
    let mut random = StdRng::seed_from_u64(seed);
    let payers: Vec<_> = (0..payers)
        .map(|payer| {
            let random = StdRng::seed_from_u64(random.random());
            tokio::spawn(pay_on(payer, gateway.clone(), random, book.clone()))
        })
        .collect();
    for payer in payers {
        payer.await?;
    }
    Ok(())
}

async fn pay_on(
    payer: u32,
    gateway: PaymentGatewayClient<Channel>,
    mut random: StdRng,
    book: Arc<Book>,
) {
    for number in 0.. {
        if book.is_closed.load(Relaxed) {
            return;
        }
        let request = any_payment(format!("{payer}-{number}"), &mut random);
        let made = if random.random_bool(0.2) {
            let (one, other) = tokio::join!(
                until_told(gateway.clone(), &request),
                until_told(gateway.clone(), &request)
            );
            assert_eq!(one, other, "{}: asked twice at once", request.payment_id);
            one
        } else {
            until_told(gateway.clone(), &request).await
        };
        book.told.lock().unwrap().push((request.payment_id, made));
        sleep(PAUSE).await;
    }
}

/// One payment between the banks.
pub async fn pay_once(book: Arc<Book>) -> turmoil::Result {
    let gateway = PaymentGatewayClient::new(net::channel(GATEWAY));
    let request = payment("one".to_owned(), (BANKS[0], ACCOUNTS[0]), (BANKS[1], ACCOUNTS[0]), 7);
    let made = until_told(gateway, &request).await;
    book.told.lock().unwrap().push((request.payment_id, made));
    Ok(())
}

/// Between any two accounts, most at two banks.
fn any_payment(payment_id: String, random: &mut StdRng) -> PaymentRequest {
    let mut all = BANKS.into_iter().flat_map(|bank| ACCOUNTS.map(|account| (bank, account)));
    let all: [_; 4] = std::array::from_fn(|_| all.next().unwrap());
    let pair: Vec<_> = all.sample(random, 2).copied().collect();
    payment(payment_id, pair[0], pair[1], random.random_range(1..80))
}

fn payment(
    payment_id: String,
    from: (&str, &str),
    to: (&str, &str),
    minor_units: i64,
) -> PaymentRequest {
    let account =
        |(bank, id): (&str, &str)| AccountRef { bank: bank.to_owned(), account_id: id.to_owned() };
    PaymentRequest {
        payment_id,
        user: USER.to_owned(),
        from: Some(account(from)),
        to: Some(account(to)),
        amount: Some(Money { minor_units, currency: "INR".to_owned() }),
        queue_for_s: 0,
    }
}

/// Whether it was made, once there is an answer.
async fn until_told(mut gateway: PaymentGatewayClient<Channel>, request: &PaymentRequest) -> bool {
    loop {
        match timeout(CALL_TIMEOUT, gateway.process_payment(request.clone())).await {
            Ok(Ok(answer)) => match answer.get_ref().state() {
                PaymentState::Committed => return true,
                PaymentState::Aborted => return false,
                other => panic!("{}: {other:?} is no outcome", request.payment_id),
            },
            Ok(Err(status)) => assert!(
                !matches!(status.code(), Code::InvalidArgument | Code::AlreadyExists),
                "{}: {status}",
                request.payment_id
            ),
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}
