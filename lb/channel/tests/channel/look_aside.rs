//! Servers by a balancer's picks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use strife_channel::Channel;
use strife_proto::lb::v1::{
    DeregisterServerRequest, DeregisterServerResponse, LoadAck, LoadReport, RegisterServerRequest,
    RegisterServerResponse, ServerRequest, ServerResponse,
    load_balancer_server::{LoadBalancer, LoadBalancerServer},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport};

use crate::server::{PATIENCE, Server, addresses, check, free_port, servers};

/// Names servers in turn, or what is next in `answers`; and writes down what it was asked.
#[derive(Clone, Default)]
struct Balancer {
    servers: Arc<Mutex<VecDeque<String>>>,
    refusal: Arc<Mutex<Option<Status>>>,
    asked: Arc<Mutex<Vec<ServerRequest>>>,
}

impl Balancer {
    /// It, the channel to it, and its task.
    async fn start(servers: &[String]) -> (Self, transport::Channel, JoinHandle<()>) {
        let balancer = Self::default();
        balancer.servers.lock().expect("nobody panics").extend(servers.iter().cloned());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let service = LoadBalancerServer::new(balancer.clone());
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serving.await.expect("it serves") });
        let endpoint =
            transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
        (balancer, endpoint.connect_lazy(), task)
    }
}

#[tonic::async_trait]
impl LoadBalancer for Balancer {
    async fn get_best_server(
        &self,
        request: Request<ServerRequest>,
    ) -> Result<Response<ServerResponse>, Status> {
        let request = request.into_inner();
        let avoid = request.avoid.clone();
        self.asked.lock().expect("nobody panics").push(request);
        if let Some(status) = self.refusal.lock().expect("nobody panics").clone() {
            return Err(status);
        }
        let mut servers = self.servers.lock().expect("nobody panics");
        for _ in 0..servers.len() {
            servers.rotate_left(1);
            if !avoid.contains(&servers[0]) {
                break;
            }
        }
        let address = servers[0].clone();
        Ok(Response::new(ServerResponse { address, ..ServerResponse::default() }))
    }

    async fn report_server_load(
        &self,
        _: Request<LoadReport>,
    ) -> Result<Response<LoadAck>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn register_server(
        &self,
        _: Request<RegisterServerRequest>,
    ) -> Result<Response<RegisterServerResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn deregister_server(
        &self,
        _: Request<DeregisterServerRequest>,
    ) -> Result<Response<DeregisterServerResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}

#[tokio::test]
async fn calls_go_where_the_balancer_says() {
    let servers = servers(3);
    let (balancer, control, _) = Balancer::start(&addresses(&servers)).await;
    let channel = Channel::builder().look_aside(control, "bank.icici").ready_timeout(PATIENCE);
    let channel = channel.hash_by("x-user").build().unwrap();
    for _ in 0..30 {
        check(&channel, "").await.unwrap();
    }
    let calls: Vec<_> = servers.iter().map(Server::calls).collect();
    assert_eq!(calls, [10; 3]);
    let asked = balancer.asked.lock().unwrap();
    let expected = ServerRequest { pool: "bank.icici".to_owned(), ..ServerRequest::default() };
    assert_eq!((asked.len(), &asked[0]), (30, &expected));
}

#[tokio::test]
async fn a_named_server_that_cannot_be_reached_is_avoided() {
    let servers = servers(1);
    let nobody = free_port();
    let list = [servers[0].address.clone(), nobody.clone()];
    let (balancer, control, _) = Balancer::start(&list).await;
    let channel = Channel::builder().look_aside(control, "").ready_timeout(PATIENCE);
    let channel = channel.build().unwrap();
    for _ in 0..10 {
        check(&channel, "").await.unwrap();
    }
    assert_eq!(servers[0].calls(), 10);
    let asked = balancer.asked.lock().unwrap();
    assert!(asked.iter().any(|request| request.avoid == [nobody.clone()]), "{asked:?}");
}

#[tokio::test]
async fn a_balancer_that_is_gone_is_done_without() {
    let servers = servers(2);
    let (balancer, control, task) = Balancer::start(&addresses(&servers)).await;
    let channel = Channel::builder().look_aside(control, "").policy("round_robin");
    let channel = channel.ready_timeout(PATIENCE).build().unwrap();
    for _ in 0..4 {
        check(&channel, "").await.unwrap();
    }
    *balancer.refusal.lock().unwrap() = Some(Status::unavailable("no server is ready"));
    for _ in 0..10 {
        check(&channel, "").await.unwrap();
    }
    let calls: Vec<_> = servers.iter().map(Server::calls).collect();
    assert_eq!(calls, [7, 7], "by the channel's own policy");
    task.abort();
}

#[tokio::test]
async fn a_balancers_refusal_is_told() {
    let (balancer, control, _) = Balancer::start(&[free_port()]).await;
    let channel = Channel::builder().look_aside(control, "bank.x").build().unwrap();
    *balancer.refusal.lock().unwrap() = Some(Status::not_found("there is no pool `bank.x`"));
    let status = check(&channel, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("there is no pool `bank.x`"), "{status}");
    *balancer.refusal.lock().unwrap() = Some(Status::unavailable("no server of pool `bank.x`"));
    let status = check(&channel, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no server of pool `bank.x`"), "{status}");
}
