//! Payments in doubt, made by the hundred thousand: rows in the gateway's store as a gateway writes them, and
//! the legs at the banks as they prepare them. Of the payments every other one is committed, and no bank
//! knows it; the rest are not decided.

use std::{fs, path::Path, sync::Arc};

use futures_util::future::join_all;
use strife_fleet::Fleet;
use strife_gateway::{
    order::{Account, Money, Order, Route},
    payment::{Decision, State},
    store::{Begun, Decided, Embedded, Record, Store, Verdict},
    transaction::Run,
};
use strife_proto::{
    bank::v1::{
        Command, Leg, LegBatch, PrepareLeg, PrepareRequest,
        bank_participant_client::BankParticipantClient, command::Command as Kind,
    },
    common::v1::Money as WireMoney,
    gateway::v1::{GetPaymentRequest, PaymentState, payment_gateway_client::PaymentGatewayClient},
};
use strife_runtime::{Role, Security, TlsArgs, connect, tls::Expected};
use strife_store::Limits;
use tonic::Code;

use crate::{BANKS, GATEWAY, PATIENCE};

/// What every payment moves.
const UNITS: i64 = 1;
const CURRENCY: &str = "INR";
/// Rows, or legs, that are written at once.
const CHUNK: usize = 1_000;
/// Of so many payments one is looked at in the end.
const LOOKED_AT: usize = 97;

/// Who pays whom.
pub(crate) struct Seed {
    orders: Vec<Order>,
}

impl Seed {
    /// So many payments from the accounts of the first bank to those of the second, one after another.
    pub(crate) fn of(fleet: &Fleet, payments: u64) -> Self {
        let mut reader = csv::Reader::from_path(fleet.spec().accounts().join("users.csv")).unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let [payers, payees] =
            BANKS.map(|bank| rows.iter().filter(move |row| &row[1] == bank).collect::<Vec<_>>());
        let account = |row: &csv::StringRecord| Account { bank: row[1].into(), id: row[2].into() };
        let order = |number: u64| {
            let (payer, payee) = (number as usize % payers.len(), number as usize % payees.len());
            Order {
                payment_id: format!("p{number}"),
                user: payers[payer][0].to_owned(),
                from: account(payers[payer]),
                to: account(payees[payee]),
                amount: Money { minor_units: UNITS, currency: CURRENCY.to_owned() },
                queue_for_s: 0,
            }
        };
        Self { orders: (0..payments).map(order).collect() }
    }

    pub(crate) fn payments(&self) -> u64 {
        self.orders.len() as u64
    }

    /// Writes every payment's row, and decides every other one; leaves the file as it is when its
    /// process vanishes. The run that did so.
    pub(crate) async fn write_payments(&self, directory: &Path) -> Run {
        let store = Embedded::open(directory, Limits::default()).unwrap();
        let run = store.start(GATEWAY).await.unwrap();
        let records: Vec<_> = self.records(run).map(Arc::new).collect();
        for chunk in records.chunks(CHUNK) {
            let begun = join_all(chunk.iter().map(|record| store.begin(record.clone()))).await;
            assert!(begun.into_iter().all(|begun| begun.unwrap() == Begun::Done));
            let verdict = |record: &Arc<Record>| Verdict {
                sequence: record.id.sequence,
                route: Route::TwoBanks,
                decision: Decision::Committed,
                at_ms: 0,
                queued: None,
            };
            let verdicts = chunk.iter().step_by(2).map(verdict).collect();
            let decided = store.decide_all(run.number, verdicts).await.unwrap();
            assert!(decided.into_iter().all(|decided| decided == Decided::Done));
        }
        let copied = directory.with_extension("copy");
        copy_files(directory, &copied);
        store.close().await;
        drop(store);
        copy_files(&copied, directory);
        run
    }

    fn records(&self, run: Run) -> impl Iterator<Item = Record> {
        (run.first_sequence()..).zip(&self.orders).map(move |(sequence, order)| Record {
            id: run.transaction(sequence),
            order: order.clone(),
            payee: None,
            initiated_at_ms: 0,
            state: State::Initiated,
            earlier: None,
            queued: None,
        })
    }

    /// Has a bank prepare its leg of every payment.
    pub(crate) async fn prepare_legs(&self, fleet: &Fleet, bank: &str, run: Run) {
        let security = security(fleet, Role::Gateway);
        let channel =
            connect::direct(fleet.address(bank).unwrap(), Expected::bank(bank), &security);
        let mut participant = BankParticipantClient::new(channel.unwrap());
        let leg = if bank == BANKS[0] { Leg::Debit } else { Leg::Credit };
        let prepare = |record: Record| {
            let account = if leg == Leg::Debit { record.order.from } else { record.order.to };
            let request = PrepareRequest {
                transaction_id: record.id.to_string(),
                account_id: account.id,
                amount: Some(WireMoney { minor_units: UNITS, currency: CURRENCY.to_owned() }),
                ..PrepareRequest::default()
            };
            let prepare = PrepareLeg { leg: leg.into(), request: Some(request) };
            Command { command: Some(Kind::Prepare(prepare)) }
        };
        let commands: Vec<_> = self.records(run).map(prepare).collect();
        for chunk in commands.chunks(CHUNK) {
            let coordinator = GATEWAY.to_owned();
            let batch = LegBatch { commands: chunk.to_vec(), coordinator, maker: None };
            let results = participant.apply(batch).await.unwrap().into_inner().results;
            let yes = results.iter().all(|r| r.refusal.is_none() && r.failure.is_none());
            assert!(yes && results.len() == chunk.len(), "{bank} votes YES for every leg");
        }
    }

    /// Asks the gateway what became of some of them.
    pub(crate) async fn check(&self, fleet: &Fleet) {
        let security = security(fleet, Role::Loadgen);
        let channel = connect::channel(fleet.balancer(), GATEWAY, Expected::LB, &security).unwrap();
        let mut gateway = PaymentGatewayClient::new(channel);
        for (number, order) in self.orders.iter().enumerate().step_by(LOOKED_AT) {
            let (payment_id, user) = (order.payment_id.clone(), order.user.clone());
            let request = GetPaymentRequest { payment_id, user };
            // Asked again, as whoever changes nothing does when nobody is there for a moment.
            let asking = async {
                loop {
                    match gateway.get_payment(request.clone()).await {
                        Err(status) if status.code() == Code::Unavailable => {}
                        answer => return answer.unwrap(),
                    }
                }
            };
            let found = tokio::time::timeout(PATIENCE, asking).await.expect("the gateway answers");
            // Chunks begin at even numbers.
            let committed = number % 2 == 0;
            let expected = if committed { PaymentState::Committed } else { PaymentState::Aborted };
            assert_eq!(found.get_ref().state(), expected, "{}", order.payment_id);
        }
    }
}

fn security(fleet: &Fleet, role: Role) -> Security {
    let tls = TlsArgs { certs: fleet.spec().certs(), plaintext: fleet.spec().plaintext };
    Security::load(&tls, role, "1").unwrap()
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
