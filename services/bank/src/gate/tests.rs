//! Slots, waiting and service times on a paused clock.

use tonic::Code;

use super::*;

fn gate(slots: u32, service_time: &str, slow: f64, max_queue: usize) -> Arc<Gate> {
    let service_time = service_time.parse().unwrap();
    let config = GateConfig { slots, service_time, slow, seed: 1, max_queue };
    Arc::new(Gate::new(config, LoadTracker::new(slots)))
}

/// Milliseconds until all of `calls` that arrive at once were served.
async fn serve(gate: &Arc<Gate>, calls: usize) -> u128 {
    let started = Instant::now();
    let calls: Vec<_> = (0..calls)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.admit().await.map(drop) })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    started.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_slots_wait() {
    assert_eq!(serve(&gate(2, "constant:10ms", 1.0, 100), 2).await, 10);
    assert_eq!(serve(&gate(2, "constant:10ms", 1.0, 100), 6).await, 30);
    assert_eq!(serve(&gate(0, "constant:10ms", 1.0, 100), 6).await, 10);
    assert_eq!(serve(&gate(2, "none", 1.0, 100), 6).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_takes_longer() {
    assert_eq!(serve(&gate(1, "constant:10ms", 3.0, 100), 2).await, 60);
}

#[tokio::test(start_paused = true)]
async fn a_fault_comes_and_goes_while_the_server_runs() {
    let gate = gate(1, "constant:10ms", 3.0, 100);
    gate.set_fault(Fault { slow: 2.0, fail_with: None });
    assert_eq!(serve(&gate, 1).await, 60, "beside its own slowness");
    // It fails fast, even while its slot is taken.
    let held = gate.admit().await.unwrap();
    gate.set_fault(Fault { slow: 1.0, fail_with: Some(Code::Unavailable) });
    let started = Instant::now();
    let failed = gate.admit().await;
    assert!(matches!(failed, Err(BankError::Faulty { code: Code::Unavailable })), "{failed:?}");
    assert_eq!(started.elapsed(), FAILURE_TIME);
    drop(held);
    gate.set_fault(Fault::default());
    assert_eq!(serve(&gate, 1).await, 30);
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may() {
    let gate = gate(1, "constant:10ms", 1.0, 2);
    let held = gate.admit().await.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.admit().await.map(drop) })
        })
        .collect();
    while gate.waiting.load(Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(gate.admit().await, Err(BankError::SlotsExhausted { limit: 2 })));
    // A cancelled call makes room.
    waiting[0].abort();
    while gate.waiting.load(Relaxed) > 1 {
        tokio::task::yield_now().await;
    }
    drop(held);
    assert!(gate.admit().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_gives_its_slot_back() {
    let gate = gate(1, "constant:1s", 1.0, 10);
    let call = tokio::time::timeout(Duration::from_millis(5), gate.admit());
    assert!(call.await.is_err());
    assert_eq!(serve(&gate, 1).await, 1000);
}
