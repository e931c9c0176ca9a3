//! One unary call over loopback in the clear, one at a time: by tonic's own channel, and by Strife's
//! client-side channel over one and over eight servers. The difference is what a pick, its accounts
//! and a request that can be sent once more cost a client.

use criterion::Criterion;
use strife_channel::Channel;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    client::GrpcService,
    transport::{Endpoint, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const SERVERS: usize = 8;

async fn server(serving: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(health);
    let incoming = TcpListenerStream::new(listener);
    serving.spawn(async { server.serve_with_incoming(incoming).await.expect("it serves") });
    address
}

async fn call<C>(mut client: HealthClient<C>)
where
    C: GrpcService<Body>,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <C::ResponseBody as http_body::Body>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    client.check(HealthCheckRequest::default()).await.expect("the server is there");
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let mut serving = JoinSet::new();
    let servers: Vec<_> = (0..SERVERS).map(|_| runtime.block_on(server(&mut serving))).collect();
    let mut group = criterion.benchmark_group("channel");
    let plain = Endpoint::from_shared(format!("http://{}", servers[0])).expect("an address");
    let plain = HealthClient::new(plain.connect_lazy());
    group.bench_function("tonic", |b| b.iter(|| runtime.block_on(call(plain.clone()))));
    for count in [1, SERVERS] {
        let channel = Channel::builder().servers(&servers[..count]).build().expect("servers");
        let client = HealthClient::new(channel);
        let name = format!("least_load of {count}");
        group.bench_function(name, |b| b.iter(|| runtime.block_on(call(client.clone()))));
    }
    group.finish();
}
