//! Legs that come together: one commit, and an answer to each.

use strife_proto::bank::v1::{
    Command as WireCommand, FinishLeg, Leg as WireLeg, LegBatch, PrepareLeg,
    command::Command as Kind,
};

use super::*;

pub(super) fn batch(commands: Vec<Kind>) -> LegBatch {
    let commands = commands.into_iter().map(|command| WireCommand { command: Some(command) });
    LegBatch { commands: commands.collect(), coordinator: "gateway".to_owned(), maker: None }
}

fn prepare_leg(leg: WireLeg, mut request: PrepareRequest) -> Kind {
    request.coordinator = String::new();
    Kind::Prepare(PrepareLeg { leg: leg.into(), request: Some(request) })
}

fn commit_leg(leg: WireLeg, id: &str) -> Kind {
    Kind::Commit(FinishLeg { leg: leg.into(), transaction_id: id.to_owned() })
}

#[tokio::test]
async fn a_batch_is_one_commit_and_has_a_result_per_command() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankParticipantClient::new(plain(&served));
    let commits = served.store.commits().count();
    let answer = bank.apply(batch(vec![
        prepare_leg(WireLeg::Debit, prepare("p", "a", rupees(60))),
        prepare_leg(WireLeg::Debit, prepare("q", "a", rupees(60))),
        prepare_leg(WireLeg::Debit, prepare("malformed", "a", rupees(0))),
        commit_leg(WireLeg::Debit, "p"),
        commit_leg(WireLeg::Credit, "never"),
        Kind::Transfer(transaction("t", "b", "a", rupees(1))),
        prepare_leg(WireLeg::Credit, prepare("p", "b", rupees(60))),
    ]));
    let results = answer.await.unwrap().into_inner().results;
    assert_eq!(served.store.commits().count(), commits + 1);
    let refused = |at: usize| results[at].refusal.as_ref().map(|refusal| refusal.reason());
    let none = [None; 3];
    assert_eq!([refused(0), refused(3), refused(6)], none);
    assert_eq!(refused(1), Some(RefusalReason::InsufficientFunds));
    assert_eq!(refused(4), Some(RefusalReason::NotPrepared));
    assert_eq!(results[5].available, rupees(99));
    let failure = results[2].failure.clone().unwrap();
    assert_eq!(Code::from_i32(failure.code), Code::InvalidArgument, "{failure:?}");
    assert_eq!(results.iter().filter(|result| result.failure.is_some()).count(), 1);
    // The legs know whom to ask.
    let in_doubt = served.store.in_doubt(u64::MAX, 10, |_| true).await.unwrap();
    let coordinators = in_doubt.iter().map(|found| found.leg.body.as_ref().unwrap());
    assert_eq!(coordinators.map(|body| body.coordinator.as_str()).collect::<Vec<_>>(), ["gateway"]);
    let nothing = bank.apply(batch(Vec::new())).await.unwrap().into_inner();
    assert!(nothing.results.is_empty());
}

#[tokio::test]
async fn an_oversized_batch_is_refused_whole() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankParticipantClient::new(plain(&served));
    let transfer = |n: usize| Kind::Transfer(transaction(&format!("t{n}"), "a", "b", rupees(1)));
    let refused = bank.apply(batch((0..1_025).map(transfer).collect())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("1025 commands"), "{refused}");
    assert_eq!(served.store.account("a").await.unwrap().unwrap().available, 100);
    let taken = bank.apply(batch((0..1_024).map(transfer).collect())).await.unwrap().into_inner();
    let refusals = taken.results.iter().filter(|result| result.refusal.is_some()).count();
    assert_eq!((taken.results.len(), refusals), (1_024, 924));
}

#[tokio::test]
async fn a_server_with_slots_has_its_calls_balanced_one_by_one() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::create(&directory.path().join("l.redb"), "icici", &openings()).unwrap();
    let (plaintext, shutdown) = (Security::Plaintext, Shutdown::manual());
    let (address, _) = serve_slots(4, "127.0.0.1:0", "icici", &store, &plaintext, &shutdown).await;
    let channel = connect::direct(&address, Expected::AnyServer, &plaintext).unwrap();
    let prepared = prepare_leg(WireLeg::Debit, prepare("p", "a", rupees(60)));
    let refused = BankParticipantClient::new(channel).apply(batch(vec![prepared])).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}
