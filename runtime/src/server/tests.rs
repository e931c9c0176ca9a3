//! How many are served at once.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Connects; the connection if the server takes part, `None` if it closes at once.
async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HTTP2_PREFACE).await.ok()?;
    let settings = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
    settings.expect("an answer or an end").ok().map(|_| stream)
}

#[tokio::test]
async fn connections_are_bounded_and_give_their_places_back() {
    let mut server = Server::bind("127.0.0.1:0", "--port", &Security::Plaintext).await.unwrap();
    server.max_connections = 2;
    let (address, shutdown) = (server.address(), Shutdown::manual());
    let served = tokio::spawn(server.serve(Services::new(&[]), shutdown.clone()));
    let first = connect(address).await.expect("there is a place");
    let second = connect(address).await.expect("there is another");
    assert!(connect(address).await.is_none(), "there is no third");
    drop(first);
    let freed = async {
        loop {
            if let Some(stream) = connect(address).await {
                return stream;
            }
        }
    };
    let third = tokio::time::timeout(PATIENCE, freed).await.expect("the place is given back");
    drop((second, third));
    shutdown.request();
    served.await.unwrap().unwrap();
}
