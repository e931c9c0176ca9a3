//! Who talks to whom: each pair runs all cases, in the clear and over TLS.

use super::{Language, all_cases};
use crate::interop::{
    balancer::{Balancer, Links},
    run_cases, tonic_server,
};

async fn between(client: Option<Language>, server: Option<Language>, links: Links) {
    let (Some(client), Some(server)) = (client, server) else { return };
    let server = server.server(&links, 0).await;
    all_cases(&client, server.address, &server.events, &links).await;
}

async fn to_tonic(client: Option<Language>, links: Links) {
    let Some(client) = client else { return };
    let server = tonic_server(&links).await;
    all_cases(&client, server.address, &server.events, &links).await;
}

async fn from_tonic(server: Option<Language>, links: Links) {
    let Some(server) = server else { return };
    let server = server.server(&links, 0).await;
    let balancer = Balancer::start(&[server.address], &links).await;
    run_cases(&balancer.target("tonic")).await;
    strife_interop::cases::check_events(&server.events, "tonic").await;
}

macro_rules! pairs {
    ($($name:ident: $run:ident($($language:ident),+);)+) => {$(
        mod $name {
            use super::{Language, Links, $run};

            #[tokio::test]
            async fn in_the_clear() {
                $run($(Language::$language()),+, Links::plaintext()).await;
            }

            #[tokio::test]
            async fn over_tls() {
                $run($(Language::$language()),+, Links::tls()).await;
            }
        }
    )+};
}

pairs! {
    python_to_python: between(python, python);
    python_to_node: between(python, node);
    python_to_tonic: to_tonic(python);
    node_to_python: between(node, python);
    node_to_tonic: to_tonic(node);
    tonic_to_python: from_tonic(python);
    tonic_to_node: from_tonic(node);
}
