//! TLS as tonic has it.

use strife_channel::{Channel, Connectivity};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::server::{PATIENCE, Server, Setup, check, until};

fn channel(server: &Server, ca: &str, name: &'static str) -> Channel {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name(name);
    let endpoint = move |address: &str| {
        Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls.clone())
    };
    let channel = Channel::builder().servers([server.address.clone()]).endpoint(endpoint);
    channel.ready_timeout(PATIENCE).build().expect("a runtime")
}

#[tokio::test]
async fn a_server_with_the_right_certificate_is_called_and_no_other() {
    let made = rcgen::generate_simple_self_signed(["bank.example".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = Some((certificate.clone(), key));
    let server = Server::with(Setup { tls, ..Setup::default() });
    check(&channel(&server, &certificate, "bank.example"), "").await.unwrap();
    let wrong = channel(&server, &certificate, "other.example");
    let refused = |state: &Connectivity| matches!(state, Connectivity::TransientFailure(_));
    until(&wrong, |servers| refused(&servers[0].state)).await;
    assert_eq!(server.calls(), 1);
}
