//! Servers come, go, fall ill and are drained; whoever picks sees the outcome.

use std::time::Duration;

use super::*;
use crate::{
    config::PoolConfig,
    health::Verdict,
    snapshot::{Ejection, EjectionCause},
};

const FIRST: &str = "127.0.0.1:1";
const SECOND: &str = "127.0.0.1:2";

/// A pool of these servers, whom nobody watches.
async fn pool(addresses: &[&str]) -> (Arc<Pool>, Writer) {
    let config = PoolConfig::of("default", addresses, "pick_first");
    let pool = Arc::new(Pool::new(&config).unwrap());
    let making = Making {
        health: health(),
        failures_told: Arc::default(),
        threads: NonZeroUsize::MIN,
        watch: Box::new(|_, _| Box::pin(std::future::pending())),
    };
    let (writer, task) = writer(pool.clone(), Clock::start(), making);
    tokio::spawn(task);
    writer.set_servers(0, owned(addresses)).await;
    (pool, writer)
}

/// As without any flag.
fn health() -> HealthConfig {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: crate::config::LbArgs,
    }
    let command: Command = clap::Parser::parse_from(["lb", "--pool", "a=h:1"]);
    command.args.config().unwrap().health
}

fn owned(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

fn finding(pool: &Pool, address: &str, state: State) -> Finding {
    let id = pool.endpoint(address).unwrap().id;
    Finding { id, state, why: "because".to_owned() }
}

fn check_ready(pool: &Pool, expected: &[&str]) {
    let snapshot = pool.snapshot();
    let ready: Vec<_> = snapshot.ready.iter().map(|endpoint| &endpoint.address).collect();
    assert_eq!(ready, expected);
}

fn members(pool: &Pool) -> Vec<String> {
    let snapshot = pool.snapshot();
    snapshot.members.iter().map(|member| member.endpoint.address.clone()).collect()
}

#[tokio::test]
async fn only_ready_members_are_picked() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    check_ready(&pool, &[]);
    writer.found(finding(&pool, FIRST, State::TransientFailure)).await;
    writer.found(finding(&pool, SECOND, State::Ready)).await;
    assert!(pool.wait_until_settled(Duration::from_secs(60)).await);
    check_ready(&pool, &[SECOND]);
    assert_eq!(&*pool.snapshot().members[0].why, "because");
}

#[tokio::test]
async fn a_draining_member_stays_out_whatever_its_health() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    for address in [FIRST, SECOND] {
        writer.found(finding(&pool, address, State::Ready)).await;
    }
    let drain =
        |draining| writer.drain(Drain { address: FIRST.to_owned(), draining, force: false });
    assert!(drain(true).await.unwrap());
    assert!(!drain(true).await.unwrap(), "it was draining already");
    check_ready(&pool, &[SECOND]);
    let first = pool.endpoint(FIRST).unwrap();
    assert!(first.is_draining());
    for state in [State::TransientFailure, State::Connecting, State::Ready] {
        writer.found(finding(&pool, FIRST, state)).await;
    }
    // Written after the findings: they are in.
    assert!(!drain(true).await.unwrap());
    assert_eq!(pool.member(FIRST).unwrap().state, State::Ready);
    check_ready(&pool, &[SECOND]);
    assert!(drain(false).await.unwrap());
    check_ready(&pool, &[FIRST, SECOND]);
    assert!(!first.is_draining());
}

#[tokio::test]
async fn the_last_member_that_takes_calls_is_drained_by_force_only() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    writer.found(finding(&pool, FIRST, State::Ready)).await;
    let drain = |address: &str, force| {
        writer.drain(Drain { address: address.to_owned(), draining: true, force })
    };
    let refused = drain(FIRST, false).await.unwrap_err();
    assert!(matches!(refused, LbError::LastServer { .. }), "{refused}");
    check_ready(&pool, &[FIRST]);
    assert!(drain(SECOND, false).await.unwrap(), "one that takes no calls is no loss");
    assert!(drain(FIRST, true).await.unwrap());
    check_ready(&pool, &[]);
    let unknown = drain("127.0.0.1:9", false).await.unwrap_err();
    assert!(matches!(unknown, LbError::NoServerToDrain(_)), "{unknown}");
}

#[tokio::test]
async fn a_server_stays_as_long_as_anybody_names_it() {
    let (pool, writer) = pool(&[FIRST]).await;
    let first = pool.endpoint(FIRST).unwrap();
    writer.join(owned(&[FIRST])).await;
    writer.set_servers(1, owned(&[SECOND, FIRST])).await;
    assert_eq!(members(&pool), [FIRST, SECOND]);
    writer.set_servers(0, Vec::new()).await;
    assert_eq!(members(&pool), [SECOND, FIRST], "the order of the source that is left");
    writer.set_servers(1, Vec::new()).await;
    assert_eq!(members(&pool), [FIRST]);
    assert!(!first.is_gone());
    writer.leave(|| owned(&[FIRST])).await;
    assert!(members(&pool).is_empty() && first.is_gone());
}

#[tokio::test]
async fn whoever_comes_back_is_somebody_else() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    let old = finding(&pool, FIRST, State::Ready);
    writer.found(finding(&pool, FIRST, State::Ready)).await;
    writer.set_servers(0, owned(&[SECOND])).await;
    check_ready(&pool, &[]);
    writer.set_servers(0, owned(&[SECOND, FIRST])).await;
    writer.found(old).await;
    writer.leave(|| owned(&[SECOND])).await;
    check_ready(&pool, &[]);
    assert_eq!(members(&pool), [SECOND, FIRST]);
    writer.found(finding(&pool, FIRST, State::Ready)).await;
    writer.set_policy("round_robin").await.unwrap();
    check_ready(&pool, &[FIRST]);
    assert_eq!(pool.snapshot().policy.spec, "round_robin");
}

#[tokio::test]
async fn whoever_begins_with_the_pool_has_no_slow_start() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    let ramp = |address| {
        let endpoint = pool.endpoint(address).unwrap();
        endpoint.load.ramp(Duration::from_millis(1))
    };
    for address in [FIRST, SECOND] {
        writer.found(finding(&pool, address, State::Ready)).await;
    }
    writer.set_policy("round_robin").await.unwrap();
    check_ready(&pool, &[FIRST, SECOND]);
    assert_eq!([ramp(FIRST), ramp(SECOND)], [1.0, 1.0]);
    // An operator's wish to have one back is no beginning.
    for draining in [true, false] {
        let drain = Drain { address: SECOND.to_owned(), draining, force: false };
        writer.drain(drain).await.unwrap();
    }
    assert!(ramp(SECOND) < 1.0);
}

#[tokio::test]
async fn a_watch_ends_when_its_server_leaves() {
    let (ended, mut ends) = mpsc::channel::<()>(1);
    let pool = Arc::new(Pool::new(&PoolConfig::of("default", &[FIRST], "pick_first")).unwrap());
    let making = Making {
        health: health(),
        failures_told: Arc::default(),
        threads: NonZeroUsize::MIN,
        watch: Box::new(move |_, _| {
            let ended = ended.clone();
            Box::pin(async move {
                let _held_to_the_end = ended;
                std::future::pending::<()>().await;
            })
        }),
    };
    let (writer, task) = writer(pool.clone(), Clock::start(), making);
    let task = tokio::spawn(task);
    writer.set_servers(0, owned(&[FIRST])).await;
    assert!(ends.try_recv().is_err());
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(ends.recv().await, None, "nobody holds it any more");
}

/// A server that was ejected, by its address.
async fn eject(pool: &Pool, writer: &Writer, address: &str, verdict: Verdict) {
    let id = pool.endpoint(address).unwrap().id;
    writer.judged(Judgement { id, verdict }).await;
    // Whatever is written after it is written with it.
    let policy = pool.snapshot().policy.spec.clone();
    writer.set_policy(&policy).await.unwrap();
}

const EJECTION: Verdict = Verdict::Eject(Ejection {
    cause: EjectionCause::ConsecutiveFailures,
    until: Duration::from_secs(3600),
    times: 1,
});

#[tokio::test]
async fn an_ejected_member_takes_no_calls_until_it_is_tried() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    for address in [FIRST, SECOND] {
        writer.found(finding(&pool, address, State::Ready)).await;
    }
    eject(&pool, &writer, FIRST, EJECTION).await;
    check_ready(&pool, &[SECOND]);
    assert!(!pool.snapshot().panics);
    assert_eq!(pool.endpoint(FIRST).unwrap().ejections.get(EjectionCause::ConsecutiveFailures), 1);
    let last = Drain { address: SECOND.to_owned(), draining: true, force: false };
    assert!(matches!(writer.drain(last).await, Err(LbError::LastServer { .. })));
    eject(&pool, &writer, FIRST, Verdict::Try).await;
    check_ready(&pool, &[FIRST, SECOND]);
}

#[tokio::test]
async fn ejected_members_take_calls_when_too_few_others_do_and_only_if_they_are_ready() {
    const THIRD: &str = "127.0.0.1:3";
    let (pool, writer) = pool(&[FIRST, SECOND, THIRD]).await;
    for address in [FIRST, SECOND, THIRD] {
        writer.found(finding(&pool, address, State::Ready)).await;
    }
    eject(&pool, &writer, FIRST, EJECTION).await;
    check_ready(&pool, &[SECOND, THIRD]);
    writer.found(finding(&pool, SECOND, State::TransientFailure)).await;
    eject(&pool, &writer, THIRD, Verdict::HoldBack).await;
    check_ready(&pool, &[FIRST, THIRD]);
    assert!(pool.snapshot().panics);
    assert_eq!(pool.metrics.panics.get(), 1);
    // One that an operator keeps calls from is no reason to panic, nor to be picked in one.
    let drain = Drain { address: SECOND.to_owned(), draining: true, force: true };
    writer.drain(drain).await.unwrap();
    check_ready(&pool, &[THIRD]);
    assert!(!pool.snapshot().panics);
}

#[tokio::test]
async fn a_drained_server_that_leaves_comes_back_drained() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    let drain =
        |draining| writer.drain(Drain { address: FIRST.to_owned(), draining, force: false });
    let comes_back = async || {
        writer.set_servers(0, owned(&[SECOND])).await;
        writer.set_servers(0, owned(&[SECOND, FIRST])).await;
        writer.found(finding(&pool, FIRST, State::Ready)).await;
        writer.set_policy("pick_first").await.unwrap();
        pool.endpoint(FIRST).unwrap().is_draining()
    };
    assert!(drain(true).await.unwrap());
    assert!(comes_back().await);
    check_ready(&pool, &[]);
    assert!(pool.absent_drained().is_empty(), "it is there");
    writer.set_servers(0, owned(&[SECOND])).await;
    assert!(!drain(true).await.unwrap(), "it is drained already");
    assert!(drain(false).await.unwrap(), "it need not be there to be undrained");
    assert!(matches!(drain(false).await, Err(LbError::NoServerToDrain(_))));
    assert!(!comes_back().await);
    check_ready(&pool, &[FIRST]);
    // Whoever took the balancer's place is told of those that are not there, too.
    writer.set_servers(0, owned(&[SECOND])).await;
    writer.have_drained(owned(&[FIRST, SECOND, FIRST])).await;
    assert_eq!(*pool.absent_drained(), [FIRST]);
    assert!(comes_back().await && pool.endpoint(SECOND).unwrap().is_draining());
}

#[tokio::test]
async fn drained_servers_that_never_come_back_are_forgotten_at_last() {
    let (pool, writer) = pool(&[]).await;
    let address = |number| format!("10.0.0.1:{number}");
    writer.have_drained((1..=1025).map(address).collect()).await;
    assert_eq!(pool.absent_drained().len(), 1024);
    assert!(!pool.absent_drained().contains(&address(1)));
}

#[tokio::test]
async fn what_is_found_again_is_no_news() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    writer.found(finding(&pool, FIRST, State::Ready)).await;
    writer.found(finding(&pool, SECOND, State::TransientFailure)).await;
    writer.set_policy("round_robin").await.unwrap();
    let (before, gains) = (pool.snapshot(), pool.gains());
    writer.found(finding(&pool, SECOND, State::TransientFailure)).await;
    writer.have_drained(Vec::new()).await;
    assert!(Arc::ptr_eq(&before, &pool.snapshot()), "nothing is published");
    // Another reason is told, and touches nobody who picks.
    writer.found(finding(&pool, SECOND, State::Connecting)).await;
    writer.have_drained(Vec::new()).await;
    let after = pool.snapshot();
    assert_eq!(after.members[1].state, State::Connecting);
    assert!(Arc::ptr_eq(&before.ready, &after.ready) && Arc::ptr_eq(&before.picker, &after.picker));
    writer.found(finding(&pool, FIRST, State::TransientFailure)).await;
    writer.have_drained(Vec::new()).await;
    check_ready(&pool, &[]);
    assert!(!gains.has_changed().unwrap(), "nobody is there who was not");
    writer.found(finding(&pool, SECOND, State::Ready)).await;
    writer.have_drained(Vec::new()).await;
    assert!(gains.has_changed().unwrap());
}

#[tokio::test]
async fn the_last_one_of_a_pool_that_panics_is_drained_by_force_only() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    writer.found(finding(&pool, FIRST, State::Ready)).await;
    eject(&pool, &writer, FIRST, EJECTION).await;
    check_ready(&pool, &[FIRST]);
    assert!(pool.snapshot().panics);
    let drain = |force| writer.drain(Drain { address: FIRST.to_owned(), draining: true, force });
    assert!(matches!(drain(false).await, Err(LbError::LastServer { .. })));
    assert!(drain(true).await.unwrap());
    check_ready(&pool, &[]);
}

#[tokio::test]
async fn a_server_that_leaves_lets_go_of_its_connection() {
    let (pool, writer) = pool(&[FIRST, SECOND]).await;
    let first = pool.endpoint(FIRST).unwrap();
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    first.set_channel(Some(channel));
    writer.set_servers(0, owned(&[SECOND])).await;
    assert!(first.is_gone() && first.channel().is_none());
}

#[tokio::test]
async fn any_number_join_and_leave_at_once() {
    let (pool, writer) = pool(&[FIRST]).await;
    let many: Vec<_> = (1..=5000).map(|number| format!("10.0.0.1:{number}")).collect();
    writer.join(many.clone()).await;
    assert_eq!(members(&pool).len(), 5001);
    assert_eq!(pool.endpoint(&many[4999]).unwrap().address, many[4999]);
    // Some leave by themselves, in the same batch in which one of them comes again.
    let (gone, stays) = many.split_at(2500);
    let leave =
        futures_util::future::join_all(gone.iter().map(|one| writer.leave(|| vec![one.clone()])));
    futures_util::future::join(leave, writer.join(vec![gone[0].clone()])).await;
    let left = [&[FIRST.to_owned()], stays, &gone[..1]].concat();
    assert_eq!(members(&pool), left);
    writer.leave(|| left.clone()).await;
    assert_eq!(members(&pool), [FIRST], "who registered is not who is configured");
}
