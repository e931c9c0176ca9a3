//! A way to a database on which the answer to a COMMIT is lost, and with it the connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// In the statement, and in what the server says when it is done.
const COMMIT: &[u8] = b"COMMIT";

/// Passes on what it is given, unless it is told otherwise. It ends with the test.
pub(super) struct LossyWay {
    /// `127.0.0.1:PORT`.
    pub(super) host: String,
    /// The answer to the next COMMIT is lost; `false` again once one is about to be.
    pub(super) lose_a_commit: Arc<AtomicBool>,
}

impl LossyWay {
    /// To the server at this address.
    pub(super) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let lose_a_commit = Arc::<AtomicBool>::default();
        let lose = lose_a_commit.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, lose.clone()));
            }
        });
        Self { host, lose_a_commit }
    }
}

/// Until one of the two ends, or until what is to be lost has come from the server.
async fn pass(mut client: TcpStream, mut server: TcpStream, lose: Arc<AtomicBool>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut loses = false;
    loop {
        tokio::select! {
            Ok(count @ 1..) = client.read(&mut asked) => {
                let asked = &asked[..count];
                loses = loses || has_commit(asked) && lose.swap(false, Relaxed);
                server.write_all(asked).await.unwrap();
            }
            Ok(count @ 1..) = server.read(&mut answered) => {
                let answered = &answered[..count];
                match loses {
                    true if has_commit(answered) => return,
                    true => {}
                    false => client.write_all(answered).await.unwrap(),
                }
            }
            else => return,
        }
    }
}

fn has_commit(bytes: &[u8]) -> bool {
    bytes.windows(COMMIT.len()).any(|window| window == COMMIT)
}
