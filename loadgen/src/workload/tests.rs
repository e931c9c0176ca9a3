//! Account files, mixes, and ids that never repeat.

use std::{collections::HashSet, fs, path::Path};

use proptest::prelude::*;
use prost::Message;
use strife_proto::{
    bank::v1::{Refusal, TransactionRequest, TransactionResponse},
    gateway::v1::{PaymentRequest, PaymentResponse, PaymentState},
};

use super::*;

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

fn book(files: &[(&str, &str)]) -> Result<AccountBook, AccountsError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    AccountBook::load(dir.path())
}

const ICICI: &str = "account_id,currency,balance,state\nI1,INR,100,active\nI2,INR,100,\n\
                     I3,EUR,5,active\nI4,INR,9,frozen\n";
const SBI: &str = "account_id,currency,balance\nS1,INR,100\nS2,INR,100\nS3,EUR,7\n";
const USERS: &str = "username,bank,account_id\nann,ICICI,I1\nann,sbi,S1\nbob,icici,I3\n\
                     bob,sbi,S3\nbob,icici,I2\neve,icici,I4\n";

fn full_book() -> AccountBook {
    book(&[("icici.csv", ICICI), ("sbi.csv", SBI), ("users.csv", USERS)]).unwrap()
}

#[test]
fn method_names_in_every_spelling() {
    for text in ["/a.b.S/Get", "a.b.S/Get", "a.b.S.Get"] {
        let name = MethodName::parse(text).unwrap();
        assert_eq!((name.path(), name.service(), name.method()), ("/a.b.S/Get", "a.b.S", "Get"));
        assert_eq!(name.to_string(), "a.b.S/Get");
    }
    for text in ["", "Get", "/Get", "a.S/", "/", "a/b/c", "a.S/G t"] {
        assert_eq!(MethodName::parse(text), None, "{text}");
    }
}

#[test]
fn a_frame_has_its_header() {
    assert_eq!(&framed(b"abc")[..], [0, 0, 0, 0, 3, b'a', b'b', b'c']);
    assert_eq!(&framed(b"")[..], [0; 5]);
}

#[test]
fn a_fixed_workload_repeats_itself() {
    let method = MethodName::parse("a.S/Get").unwrap();
    let mut workload = FixedWorkload::new(method, "a", b"x");
    assert_eq!(workload.next(0), workload.next(9));
}

#[test]
fn frozen_accounts_and_those_of_unknown_owners_are_left_out() {
    let book = full_book();
    let banks = book.banks(&[]).unwrap();
    let ids = |bank: usize| banks[bank].accounts.iter().map(|a| a.id.as_str()).collect::<Vec<_>>();
    assert_eq!((banks[0].bank.as_str(), ids(0)), ("icici", vec!["I3", "I1", "I2"]));
    assert_eq!((banks[1].bank.as_str(), ids(1)), ("sbi", vec!["S3", "S1", "S2"]));
    assert_eq!(book.owned().unwrap().len(), 5);
}

#[test]
fn what_cannot_be_used_is_named() {
    let check = |files: &[(&str, &str)], expected: &str| {
        let failed = book(files).and_then(|book| book.banks(&["icici".into()]).and(book.owned()));
        let message = failed.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(&[("icici.csv", "account_id,money\nI1,3\n")], "missing field `currency`");
    check(&[("icici.csv", "account_id,currency,balance\nI1\n")], "line: 2");
    check(&[("sbi.csv", SBI)], "there is no icici.csv");
    check(&[("icici.csv", "account_id,currency,balance\nI1,INR,1\nI2,EUR,1\n")], "one currency");
    check(&[("icici.csv", ICICI)], "users.csv");
    let missing = AccountBook::load(Path::new("no/such/directory")).unwrap_err().to_string();
    assert!(missing.contains("strife accounts generate"), "{missing}");
}

#[test]
fn bank_calls_follow_the_mix() {
    let mut workload = BankWorkload::new(full_book().banks(&[]).unwrap(), 1, 1);
    assert_eq!(workload.authorities(), ["bank.icici", "bank.sbi"]);
    let mut counts = [0_u32; 3];
    for client in 0..10_000 {
        counts[workload.next(client).method] += 1;
    }
    // Six standard deviations; a transfer from an account that is alone becomes a balance query.
    assert!(counts[0].abs_diff(4_000) < 300, "{counts:?}");
    assert!(counts[2] > 1_000 && counts[2] < 1_700, "{counts:?}");
}

fn decoded<T: Message + Default>(call: &Call) -> T {
    T::decode(&call.body[FRAME_HEADER..]).unwrap()
}

#[test]
fn payments_cross_banks_mostly_and_never_currencies() {
    let mut workload =
        PaymentsWorkload::new(full_book().owned().unwrap(), PaymentMix::default(), 1, 1);
    let mut across = 0;
    for client in 0..1_000 {
        let request: PaymentRequest = decoded(&workload.next(client));
        let (from, to) = (request.from.unwrap(), request.to.unwrap());
        assert_ne!(from, to);
        let euro = |id: &str| id.ends_with('3');
        assert_eq!(euro(&from.account_id), euro(&to.account_id));
        assert_eq!(request.amount.unwrap().currency == "EUR", euro(&from.account_id));
        across += u32::from(from.bank != to.bank);
    }
    assert!(across > 800, "{across}");
}

#[test]
fn a_mix_decides_between_whom_payments_are() {
    let mut seen = HashSet::new();
    let mix = PaymentMix { cross_bank_percent: 100, hot_accounts: 2, queue_for_s: 0 };
    let mut workload = PaymentsWorkload::new(full_book().owned().unwrap(), mix, 1, 1);
    for client in 0..100 {
        let request: PaymentRequest = decoded(&workload.next(client));
        let (from, to) = (request.from.unwrap(), request.to.unwrap());
        assert_ne!(from.bank, to.bank);
        seen.extend([from, to].map(|account| (account.bank, account.account_id)));
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    let inside = |cross_bank_percent| {
        let mix = PaymentMix { cross_bank_percent, ..PaymentMix::default() };
        let mut workload = PaymentsWorkload::new(full_book().owned().unwrap(), mix, 1, 1);
        let inside = |client| {
            let request: PaymentRequest = decoded(&workload.next(client));
            request.from.unwrap().bank == request.to.unwrap().bank
        };
        (0..1_000).map(inside).filter(|inside| *inside).count()
    };
    assert!(inside(100) < inside(90) && inside(90) < inside(0));
}

#[test]
fn payments_may_wait_for_as_long_as_the_mix_says() {
    for queue_for_s in [0, 30] {
        let mix = PaymentMix { queue_for_s, ..PaymentMix::default() };
        let mut workload = PaymentsWorkload::new(full_book().owned().unwrap(), mix, 1, 1);
        assert_eq!(decoded::<PaymentRequest>(&workload.next(0)).queue_for_s, queue_for_s);
    }
}

fn transaction_ids(seed: u64, nonce: u64) -> HashSet<String> {
    let mut workload = BankWorkload::new(full_book().banks(&["sbi".into()]).unwrap(), seed, nonce);
    let transfers = (0..500).map(|client| workload.next(client)).filter(|call| call.method == 2);
    transfers.map(|call| decoded::<TransactionRequest>(&call).transaction_id).collect()
}

#[test]
fn ids_differ_between_calls_threads_and_runs() {
    let mut all = HashSet::new();
    let mut count = 0;
    for (seed, nonce) in [(1, 7), (2, 7), (1, 8), (7, 1), (6, 0)] {
        let ids = transaction_ids(seed, nonce);
        count += ids.len();
        all.extend(ids);
    }
    assert_eq!(all.len(), count);
    assert_eq!(transaction_ids(1, 7), transaction_ids(1, 7));
}

proptest! {
    #[test]
    fn transfers_are_between_two_accounts_of_one_currency(seed: u64) {
        let mut workload = BankWorkload::new(full_book().banks(&[]).unwrap(), seed, 0);
        for client in 0..100 {
            let call = workload.next(client);
            if call.method == 2 {
                let request: TransactionRequest = decoded(&call);
                prop_assert_ne!(&request.from_account_id, &request.to_account_id);
                let amount = request.amount.unwrap();
                prop_assert_eq!(amount.currency, "INR");
                prop_assert!((1..=100).contains(&amount.minor_units));
                let bank = if call.authority == 0 { 'I' } else { 'S' };
                prop_assert!(request.from_account_id.starts_with(bank));
                prop_assert!(request.to_account_id.starts_with(bank));
            }
        }
    }
}

#[test]
fn refusals_are_answers() {
    let bank = BankWorkload::new(full_book().banks(&[]).unwrap(), 1, 1);
    let refused = TransactionResponse { refusal: Some(Refusal::default()), ..Default::default() };
    assert_eq!(bank.judge(2, &refused.encode_to_vec()), Verdict::Refused);
    assert_eq!(bank.judge(2, &[]), Verdict::Accepted);
    assert_eq!(bank.judge(2, &[0xff]), Verdict::Malformed);
    let payments = PaymentsWorkload::new(full_book().owned().unwrap(), PaymentMix::default(), 1, 1);
    let check = |state: PaymentState, expected| {
        let response = PaymentResponse { state: state.into(), ..Default::default() };
        assert_eq!(payments.judge(0, &response.encode_to_vec()), expected);
    };
    check(PaymentState::Committed, Verdict::Accepted);
    check(PaymentState::Aborted, Verdict::Refused);
    check(PaymentState::Queued, Verdict::Queued);
    check(PaymentState::Initiated, Verdict::Malformed);
}
