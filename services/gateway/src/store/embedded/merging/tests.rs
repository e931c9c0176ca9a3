//! A payment is found by its id and in its users' histories whatever has been merged.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use futures_util::{FutureExt, future::join_all};
use proptest::{collection::vec, prelude::*};
use redb::{ReadableDatabase, ReadableTableMetadata, backends::InMemoryBackend};
use strife_store::Limits;
use tempfile::TempDir;

use super::{
    super::{Embedded, FILE, tables},
    *,
};
use crate::{
    store::{Begun, Record, Store, conformance},
    transaction::Run,
};

/// Who pays and who is paid, by number.
const USERS: u64 = 3;

fn open(directory: &Path, generation: usize) -> Embedded {
    Embedded::open_with(directory, Limits::default(), generation).unwrap()
}

/// The id of a payment; in another order than its sequence.
fn payment_id(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn payment(run: Run, number: u64) -> Arc<Record> {
    let id = run.transaction(run.first_sequence() + number);
    let mut payment = (*conformance::record(id, &payment_id(number), "sbi")).clone();
    payment.order.user = user(number);
    payment.payee = (!number.is_multiple_of(5)).then(|| user(number / USERS));
    Arc::new(payment)
}

fn user(number: u64) -> String {
    format!("user {}", number % USERS)
}

/// What a store must know.
#[derive(Default)]
struct Model {
    ids: BTreeMap<String, Sequence>,
    histories: BTreeMap<String, Vec<Sequence>>,
}

impl Model {
    fn add(&mut self, record: &Record) {
        let sequence = record.id.sequence;
        self.ids.insert(record.order.payment_id.clone(), sequence);
        let payee = record.payee.iter().filter(|payee| **payee != record.order.user);
        for user in payee.chain([&record.order.user]) {
            self.histories.entry(user.clone()).or_default().push(sequence);
        }
    }

    async fn check(&self, store: &Embedded, page: usize) {
        for (payment_id, sequence) in &self.ids {
            let found = store.find(payment_id).await.unwrap();
            assert_eq!(found.map(|found| found.id.sequence), Some(*sequence), "{payment_id}");
        }
        assert_eq!(store.find("another").await.unwrap(), None);
        for (user, payments) in &self.histories {
            let (mut before, mut found) = (None, Vec::new());
            loop {
                let next = store.history(user, before, page).await.unwrap();
                assert!(next.len() <= page);
                let Some(last) = next.last() else { break };
                before = Some(last.id.sequence);
                found.extend(next.iter().map(|record| record.id.sequence));
            }
            found.reverse();
            assert_eq!(found, *payments, "{user}");
        }
    }
}

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    /// So many payments in one go.
    Begin(u64),
    /// It is closed and opened again.
    Restart,
    /// Everything is looked up, so many of a history at once.
    Check(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..90_u64).prop_map(Step::Begin),
        1 => Just(Step::Restart),
        2 => (1..200_usize).prop_map(Step::Check),
    ]
}

async fn check_steps(steps: &[Step], generation: usize) {
    let directory = TempDir::new().unwrap();
    let mut store = open(directory.path(), generation);
    let mut run = store.start("one").await.unwrap();
    let (mut model, mut number) = (Model::default(), 0);
    for step in steps {
        match step {
            Step::Begin(count) => {
                let payments: Vec<_> =
                    (number..number + count).map(|number| payment(run, number)).collect();
                number += count;
                payments.iter().for_each(|payment| model.add(payment));
                let begun = join_all(payments.into_iter().map(|payment| store.begin(payment)));
                assert!(begun.await.into_iter().all(|begun| begun.unwrap() == Begun::Done));
            }
            Step::Restart => {
                store.close().await;
                drop(store);
                store = open(directory.path(), generation);
                run = store.start("one").await.unwrap();
            }
            Step::Check(page) => model.check(&store, *page).await,
        }
    }
    model.check(&store, 7).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn everything_is_found_however_much_is_merged(
        steps in vec(any_step(), 1..24),
        generation in prop_oneof![Just(1_usize), 2..40_usize, 100..400_usize],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check_steps(&steps, generation));
    }
}

/// What was acknowledged is found at any moment, also in that at which it goes from memory into the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_while_it_is_merged() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), 50);
    let run = store.start("one").await.unwrap();
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut number = 0;
                while !over.load(Relaxed) {
                    let known = acknowledged.load(Relaxed);
                    number = if known == 0 { continue } else { (number + 7) % known };
                    let found = at_once(store.find(&payment_id(number)));
                    assert!(found.is_some(), "{number} of {known}");
                }
            });
        }
        let writing = async {
            for batch in 0..80_u64 {
                let payments = (batch * 25..(batch + 1) * 25).map(|number| payment(run, number));
                let begun = join_all(payments.map(|payment| store.begin(payment))).await;
                assert!(begun.into_iter().all(|begun| begun.unwrap() == Begun::Done));
                acknowledged.store((batch + 1) * 25, Relaxed);
            }
            over.store(true, Relaxed);
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(writing));
    });
}

/// A look-up never waits.
fn at_once<T, E: Debug>(look_up: impl Future<Output = Result<T, E>>) -> T {
    let polled = look_up.now_or_never();
    polled.expect("reads are answered at once").unwrap()
}

#[tokio::test]
async fn what_is_merged_is_not_kept_in_memory_or_loaded_again() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), 300);
    let run = store.start("one").await.unwrap();
    for number in 0..700 {
        assert_eq!(store.begin(payment(run, number)).await.unwrap(), Begun::Done);
    }
    assert_eq!(store.recent.len(), 100, "two generations are merged");
    store.close().await;
    drop(store);
    let database = redb::Database::open(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(transaction.open_table(tables::UNMERGED).unwrap().len().unwrap(), 100);
    assert_eq!(transaction.open_table(tables::BY_PAYMENT_ID).unwrap().len().unwrap(), 600);
}

/// What is merged is given back as it was merged: no commit has all of it to do.
#[test]
fn no_commit_gives_back_more_than_a_piece_of_the_memory() {
    const PAYMENTS: u64 = 2_000;
    let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    let transaction = database.begin_write().unwrap();
    tables::create(&transaction, 1).unwrap();
    transaction.commit().unwrap();
    let recent = Recent::default();
    let mut merging = Merging::new(recent.clone(), PAYMENTS as usize);
    let run = Run { store: 1, number: 1 };
    let kept = |merging: &Merging| merging.merged.ids.len() + merging.merged.histories.len();
    let (mut most, mut before) = (0, 0);
    // One generation gathers, and while the next one does the former is merged and given back.
    for number in 0..2 * PAYMENTS {
        let payment = payment(run, number);
        recent.add(&payment);
        let transaction = database.begin_write().unwrap();
        merging.begin_commit();
        let begun = kept(&merging);
        merging.end_commit(&transaction, vec![payment.id.sequence]).unwrap();
        transaction.commit().unwrap();
        assert!(begun == before || before == 0, "it is given back in pieces only");
        before = kept(&merging);
        assert!(begun - before <= STEP + 2 * ENTRIES, "{} in one commit", begun - before);
        most = most.max(begun);
    }
    assert!(most > PAYMENTS as usize, "all of a generation was merged");
    assert_eq!(before, 0, "and given back");
}

/// However often a gateway dies before it has merged what it found, that does not become ever more.
#[tokio::test]
async fn what_has_gathered_beyond_two_generations_is_merged_by_the_start() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path(), 100);
    let run = store.start("one").await.unwrap();
    for number in 0..20 {
        store.begin(payment(run, number)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = open(directory.path(), 10);
    assert_eq!(store.recent.len(), 0);
    let mut model = Model::default();
    (0..20).for_each(|number| model.add(&payment(run, number)));
    model.check(&store, 9).await;
}

/// The rows of what is merged are all gone in the commit before; a new payment's must not be taken for one.
#[tokio::test]
async fn a_payment_that_comes_right_after_the_last_row_is_removed_is_found_again() {
    for rows in [255, 256, 257, 512] {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path(), rows);
        let run = store.start("one").await.unwrap();
        for number in 0..rows as u64 {
            store.begin(payment(run, number)).await.unwrap();
        }
        // Commits of nothing new, until the rows are gone.
        let rows_left =
            || store.commits.read(|read| Ok(read.open_table(tables::UNMERGED)?.len()?));
        while rows_left().unwrap() > 0 {
            assert!(store.beat(run.number).await.unwrap());
        }
        let next = payment(run, rows as u64);
        assert_eq!(store.begin(next.clone()).await.unwrap(), Begun::Done);
        store.close().await;
        drop(store);
        let store = open(directory.path(), rows);
        let found = store.find(&next.order.payment_id).await.unwrap();
        assert_eq!(found.map(|found| found.id), Some(next.id), "after {rows} rows");
    }
}
