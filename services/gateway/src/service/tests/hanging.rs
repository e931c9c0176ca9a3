//! A bank that begins to answer and never ends: every call has a deadline of its own.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::Frame;
use strife_runtime::{Role, Rule, Security, Server, Services, Shutdown};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use super::fake_bank::NEVER;
use crate::{
    banks::{Banks, CallError, End},
    order::{Account, Money},
    payment::Leg,
    service::banks::{BankClients, BankRoutes},
};

/// How long a call may take here: it ends in no other way.
const TIMEOUT: Duration = Duration::from_millis(50);

/// A service that sends response headers and nothing else.
#[derive(Clone)]
struct OnlyHeaders<const PARTICIPANT: bool>;

/// The rest of its answers.
struct Endless;

impl NamedService for OnlyHeaders<true> {
    const NAME: &'static str = "strife.bank.v1.BankParticipant";
}

impl NamedService for OnlyHeaders<false> {
    const NAME: &'static str = "strife.bank.v1.BankService";
}

impl<const PARTICIPANT: bool> Service<http::Request<Body>> for OnlyHeaders<PARTICIPANT> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        let answer = http::Response::builder().header("content-type", "application/grpc");
        ready(Ok(answer.body(Body::new(Endless)).unwrap()))
    }
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Pending
    }
}

async fn hanging_bank() -> BankClients {
    const ALL: &[Role] = &[Role::Gateway];
    let security = Security::Plaintext;
    let server = Server::bind("127.0.0.1:0", "", &security).await.unwrap();
    let direct = BTreeMap::from([("icici".to_owned(), server.address().to_string())]);
    let services = Services::new(&[Rule { path: "/", roles: ALL }])
        .add(OnlyHeaders::<true>)
        .add(OnlyHeaders::<false>);
    tokio::spawn(server.serve(services, Shutdown::manual()));
    let routes = BankRoutes { balancer: None, direct, coordinator: "gateway".to_owned() };
    BankClients::new([], routes, &security).unwrap()
}

async fn check_gives_up<T>(call: impl Future<Output = Result<T, CallError>>) {
    let ended = tokio::time::timeout(NEVER, call).await.expect("the call hangs");
    let why = ended.err().expect("nothing was answered");
    assert!(matches!(&why, CallError::NoAnswer(why) if why.contains("icici")), "{why}");
}

#[tokio::test]
async fn no_call_waits_for_the_rest_of_an_answer_for_ever() {
    let banks = hanging_bank().await;
    let account = |id: &str| Account { bank: "icici".to_owned(), id: id.to_owned() };
    let (from, to) = (account("J1"), account("J2"));
    let amount = Money { minor_units: 1, currency: "INR".to_owned() };
    check_gives_up(banks.transfer("t1", &from, &to, &amount, TIMEOUT)).await;
    check_gives_up(banks.balance(&from, TIMEOUT)).await;
    for leg in Leg::BOTH {
        check_gives_up(banks.prepare("t1", leg, &from, &amount, TIMEOUT)).await;
        for end in [End::Commit, End::Abort] {
            check_gives_up(banks.finish("t1", leg, "icici", end, TIMEOUT)).await;
        }
    }
}
