//! Who follows is told what happens, once, across crashes of the gateway.

use strife_proto::gateway::v1::{
    AcknowledgeRequest, Event, EventKind, EventMark, FollowRequest, ForgetFollowerRequest,
    OutboxRequest, PaymentState, events_client::EventsClient,
};
use tonic::{Code, Streaming, transport::Channel};

use super::{
    fake_bank::NEVER,
    system::{System, to_himself, to_jane},
};

fn client(system: &System) -> EventsClient<Channel> {
    EventsClient::new(system.channel_as(&system.security))
}

fn following(follower: &str, after: Option<u64>) -> FollowRequest {
    FollowRequest { follower: follower.to_owned(), after, wait: true, at_after: None }
}

/// The next `count` events of a stream.
async fn next(
    pages: &mut Streaming<strife_proto::gateway::v1::EventPage>,
    count: usize,
) -> Vec<Event> {
    let mut events = Vec::new();
    let reading = async {
        while events.len() < count {
            events.extend(pages.message().await.unwrap().expect("it waits for ever").events);
        }
    };
    let read = tokio::time::timeout(NEVER, reading).await;
    assert!(read.is_ok(), "{events:?}");
    assert_eq!(events.len(), count);
    events
}

fn told(events: &[Event]) -> Vec<(u64, EventKind, &str, PaymentState)> {
    let told = events.iter().map(|event| {
        let payment = event.payment.as_ref().unwrap();
        (event.position, event.kind(), payment.payment_id.as_str(), payment.state())
    });
    told.collect()
}

async fn acknowledge(system: &System, follower: &str, position: u64) -> Code {
    let request = AcknowledgeRequest { follower: follower.to_owned(), position };
    client(system).acknowledge(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn who_follows_is_told_each_change_once() {
    use EventKind::{Aborted, Committed, Initiated};
    let mut system = System::start().await;
    let mut pages = client(&system).follow(following("log", None)).await.unwrap().into_inner();
    system.pay(to_jane("p1", 10)).await.unwrap();
    let first = next(&mut pages, 2).await;
    let expected = [
        (1, Initiated, "p1", PaymentState::Initiated),
        (2, Committed, "p1", PaymentState::Committed),
    ];
    assert_eq!(told(&first), expected);
    assert!(first[0].at_ms > 0 && first[0].at_ms <= first[1].at_ms);
    system.pay(to_himself("p2", 1_000_000)).await.unwrap();
    let second = next(&mut pages, 2).await;
    let expected =
        [(3, Initiated, "p2", PaymentState::Initiated), (4, Aborted, "p2", PaymentState::Aborted)];
    assert_eq!(told(&second), expected);
    assert!(!second[1].detail.is_empty());
    assert_eq!(acknowledge(&system, "log", 2).await, Code::Ok);
    system.restart().await;
    // What it has acknowledged, or says that it has, is not told again.
    let mut pages = client(&system).follow(following("log", None)).await.unwrap().into_inner();
    assert_eq!(next(&mut pages, 2).await, second);
    let mut pages = client(&system).follow(following("log", Some(3))).await.unwrap().into_inner();
    assert_eq!(next(&mut pages, 1).await, second[1..]);
    let all = FollowRequest::default();
    let mut pages = client(&system).follow(all).await.unwrap().into_inner();
    assert_eq!(next(&mut pages, 4).await, [first, second].concat());
    assert_eq!(pages.message().await.unwrap(), None, "it did not ask to wait");
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let system = System::start().await;
    system.pay(to_jane("p1", 10)).await.unwrap();
    for name in ["a b", "a/b", "ä", &"x".repeat(65)] {
        let refused = client(&system).follow(following(name, None)).await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
    }
    assert_eq!(acknowledge(&system, "nobody", 1).await, Code::NotFound);
    for number in 0..32 {
        let name = format!("follower-{number}");
        client(&system).follow(following(&name, None)).await.unwrap();
    }
    let refused = client(&system).follow(following("one-more", None)).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    client(&system).follow(following("follower-0", None)).await.unwrap();
    assert_eq!(acknowledge(&system, "follower-0", 3).await, Code::OutOfRange);
    let forget = || ForgetFollowerRequest { follower: "follower-0".to_owned() };
    client(&system).forget_follower(forget()).await.unwrap();
    let refused = client(&system).forget_follower(forget()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let outbox = client(&system).get_outbox(OutboxRequest {}).await.unwrap().into_inner();
    assert_eq!((outbox.events, outbox.followers.len()), (2, 31));
}

/// As of a file whose store was replaced by an older copy, or restored elsewhere.
#[tokio::test]
async fn a_log_of_other_events_is_refused_and_nothing_kept_for_it() {
    let system = System::start().await;
    system.pay(to_jane("p1", 10)).await.unwrap();
    let mut pages = client(&system).follow(FollowRequest::default()).await.unwrap().into_inner();
    let last = next(&mut pages, 2).await.remove(1);
    let (transaction_id, at_ms) = (last.payment.unwrap().transaction_id, last.at_ms);
    let mark = EventMark { transaction_id, at_ms };
    let follow = async |after, at_after: Option<&EventMark>| {
        let request =
            FollowRequest { at_after: at_after.cloned(), ..following("log", Some(after)) };
        client(&system).follow(request).await.map(drop).map_err(|status| status.code())
    };
    let later = EventMark { at_ms: at_ms + 1, ..mark.clone() };
    let other = EventMark { transaction_id: "other".to_owned(), ..mark.clone() };
    for (after, mark) in [(3, None), (u64::MAX, None), (2, Some(&later)), (2, Some(&other))] {
        assert_eq!(follow(after, mark).await, Err(Code::OutOfRange), "{after} {mark:?}");
    }
    let outbox = async || client(&system).get_outbox(OutboxRequest {}).await.unwrap().into_inner();
    assert!(outbox().await.followers.is_empty());
    for (after, mark) in [(0, None), (1, None), (2, None), (2, Some(&mark))] {
        assert_eq!(follow(after, mark).await, Ok(()), "{after} {mark:?}");
    }
    assert_eq!(outbox().await.followers.len(), 1);
}
