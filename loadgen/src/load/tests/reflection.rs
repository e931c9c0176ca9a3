//! Servers that describe themselves by an older version of reflection, or not at all.

use std::net::SocketAddr;

use prost_reflect::MethodDescriptor;
use tokio::{net::TcpListener, runtime::Builder};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use super::*;

/// Asks a server that has `services` and nothing else about `call`.
fn described_by(services: Routes, call: &str) -> Result<MethodDescriptor, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = Server::builder().add_routes(services);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let (method, target) = (MethodName::parse(call).unwrap(), address.to_string());
        describe::by_reflection(&method, &target, &target, &Security::Plaintext).await
    })
}

fn v1alpha_only() -> Routes {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(strife_proto::DESCRIPTORS)
        .build_v1alpha();
    Routes::new(reflection.unwrap())
}

#[test]
fn a_server_with_v1alpha_only_is_understood() {
    let method = described_by(v1alpha_only(), VALIDATE).unwrap();
    assert_eq!(describe::encode(&method, r#"{"account_id":"a"}"#).unwrap(), [0x0a, 1, b'a']);
    let unknown = described_by(v1alpha_only(), "a.B/Get").unwrap_err().to_string();
    assert!(unknown.contains("it has") && unknown.contains(".BankService"), "{unknown}");
}

#[test]
fn a_server_without_reflection_is_told_from_one_with() {
    let message = described_by(Routes::default(), VALIDATE).unwrap_err().to_string();
    assert!(message.contains("neither v1 nor v1alpha; name the service's file with --proto"));
}
