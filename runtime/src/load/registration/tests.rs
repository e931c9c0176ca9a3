//! A server and a balancer that is not one: who is let in, who is not, who leaves and when it stops.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use strife_proto::lb::v1::{
    DeregisterServerResponse, LoadAck, LoadReport, RegisterServerResponse, ServerRequest,
    ServerResponse,
    load_balancer_server::{LoadBalancer, LoadBalancerServer},
};
use tokio::sync::mpsc;
use tonic::Request;

use super::*;
use crate::{Server, Services};

/// What the balancer was asked.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Join(String, String),
    Leave(String, String),
}

/// Answers registrations with `refusal`, or a lease that is over soon.
struct Balancer {
    asked: mpsc::Sender<Asked>,
    refusal: Arc<Mutex<Option<Status>>>,
}

#[tonic::async_trait]
impl LoadBalancer for Balancer {
    async fn get_best_server(
        &self,
        _: Request<ServerRequest>,
    ) -> Result<Response<ServerResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn report_server_load(
        &self,
        _: Request<LoadReport>,
    ) -> Result<Response<LoadAck>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn register_server(
        &self,
        request: Request<RegisterServerRequest>,
    ) -> Result<Response<RegisterServerResponse>, Status> {
        let RegisterServerRequest { pool, address } = request.into_inner();
        self.asked.send(Asked::Join(pool, address)).await.unwrap();
        match self.refusal.lock().unwrap().clone() {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(RegisterServerResponse { lease_ms: 30 })),
        }
    }

    async fn deregister_server(
        &self,
        request: Request<DeregisterServerRequest>,
    ) -> Result<Response<DeregisterServerResponse>, Status> {
        let DeregisterServerRequest { pool, address } = request.into_inner();
        self.asked.send(Asked::Leave(pool, address)).await.unwrap();
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        Ok(Response::new(DeregisterServerResponse::default()))
    }
}

/// A balancer, and a server that registers with it.
struct Scene {
    asked: mpsc::Receiver<Asked>,
    refusal: Arc<Mutex<Option<Status>>>,
    tracker: Arc<LoadTracker>,
    stopping: Stopping,
    member: JoinHandle<Result<(), Failure>>,
    _balancer: Shutdown,
}

async fn scene(refusal: Option<Status>) -> Scene {
    let (sender, asked) = mpsc::channel(16);
    let refusal = Arc::new(Mutex::new(refusal));
    let balancer = Balancer { asked: sender, refusal: refusal.clone() };
    let server = Server::bind("127.0.0.1:0", "--control", &Security::Plaintext).await.unwrap();
    let control = server.address().to_string();
    let shutdown = Shutdown::manual();
    let services = Services::new(&[]).add(LoadBalancerServer::new(balancer));
    tokio::spawn(server.serve(services, shutdown.clone()));
    let registration = Registration {
        balancer: control,
        pool: "bank.icici".to_owned(),
        address: "127.0.0.1:8081".to_owned(),
    };
    let (tracker, stopping) = (LoadTracker::new(0), Stopping::after_leaving(Shutdown::manual()));
    let member =
        registration.spawn(tracker.clone(), &Security::Plaintext, stopping.clone()).unwrap();
    Scene { asked, refusal, tracker, stopping, member, _balancer: shutdown }
}

fn place() -> (String, String) {
    ("bank.icici".to_owned(), "127.0.0.1:8081".to_owned())
}

impl Scene {
    async fn next(&mut self) -> Asked {
        let next = tokio::time::timeout(Duration::from_secs(30), self.asked.recv()).await;
        next.expect("the server asks").unwrap()
    }

    async fn joins(&mut self) {
        let (pool, address) = place();
        assert_eq!(self.next().await, Asked::Join(pool, address));
    }

    /// Until it leaves; renewals may come before.
    async fn leaves(&mut self) {
        let (pool, address) = place();
        while self.next().await != Asked::Leave(pool.clone(), address.clone()) {}
    }
}

#[tokio::test]
async fn a_member_renews_its_lease_and_leaves_before_it_stops() {
    let mut scene = scene(None).await;
    for _ in 0..3 {
        scene.joins().await;
    }
    let call = scene.tracker.started();
    let stopped = Arc::new(AtomicBool::new(false));
    let (stop, seen) = (scene.stopping.stop.clone(), stopped.clone());
    tokio::spawn(async move {
        stop.requested().await;
        seen.store(true, Relaxed);
    });
    scene.stopping.asked.request();
    scene.leaves().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(!stopped.load(Relaxed), "a call is still under way");
    }
    call.finish(false);
    scene.stopping.stop.requested().await;
    scene.member.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_is_an_error_that_says_what_to_do() {
    for (status, advice) in [
        (Status::failed_precondition("not open"), "--pool bank.icici=register:"),
        (Status::not_found("no such pool"), "start the balancer with --pool"),
        (Status::permission_denied("not yours"), "certificate may join"),
        (Status::unimplemented("what?"), "control address"),
        (Status::invalid_argument("no port"), "--advertise HOST:PORT"),
    ] {
        let mut scene = scene(Some(status.clone())).await;
        scene.joins().await;
        scene.stopping.stop.requested().await;
        let error = scene.member.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(status.message()) && error.contains(advice), "{error}");
        assert!(error.contains("127.0.0.1:8081 into the pool bank.icici"), "{error}");
        assert!(scene.asked.try_recv().is_err(), "who never was in a pool leaves none");
    }
}

#[tokio::test]
async fn a_member_that_is_forgotten_joins_again() {
    let mut scene = scene(None).await;
    scene.joins().await;
    for forgetful in [Status::not_found("who?"), Status::unavailable("restarting")] {
        *scene.refusal.lock().unwrap() = Some(forgetful);
        scene.joins().await;
        *scene.refusal.lock().unwrap() = None;
        scene.joins().await;
        scene.joins().await;
    }
    assert!(!scene.stopping.stop.is_requested());
    scene.stopping.asked.request();
    scene.leaves().await;
    scene.member.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_balancer_that_comes_late_is_waited_for() {
    let mut scene = scene(Some(Status::unavailable("starting"))).await;
    scene.joins().await;
    *scene.refusal.lock().unwrap() = None;
    scene.joins().await;
    scene.stopping.asked.request();
    scene.leaves().await;
    scene.member.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_was_never_let_in_stops_at_once() {
    let mut scene = scene(Some(Status::unavailable("starting"))).await;
    scene.joins().await;
    let _call = scene.tracker.started();
    scene.stopping.asked.request();
    // What was not answered may have been granted.
    scene.leaves().await;
    scene.stopping.stop.requested().await;
    scene.member.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_is_final_when_the_balancer_comes_late_too() {
    let mut scene = scene(Some(Status::unavailable("starting"))).await;
    scene.joins().await;
    *scene.refusal.lock().unwrap() = Some(Status::permission_denied("not yours"));
    let stopped = tokio::time::timeout(Duration::from_secs(30), scene.member).await;
    let error = stopped.expect("it does not try for ever").unwrap().unwrap_err().to_string();
    assert!(error.contains("not yours"), "{error}");
}
