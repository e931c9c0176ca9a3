//! `strife bench copy`: a plain TCP copy, the least work that any proxy does.
//!
//! Each accepted connection gets one connection to the next server; bytes are copied both ways until
//! both sides are done. It knows nothing of HTTP/2 and so balances connections, not calls. Proxies are
//! compared with it to see what is theirs and what is the kernel's.

use clap::Args;
use strife_runtime::{Failure, Shutdown, executor, server};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};

/// Of each direction of a connection, bytes: a full batch of small calls, or several large ones.
const BUFFER_BYTES: usize = 64 * 1024;

/// Copy TCP connections to servers in turn
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  strife bench copy --listen 127.0.0.1:7000 --to 127.0.0.1:9101,127.0.0.1:9102"
)]
pub struct CopyArgs {
    /// Where clients connect.
    #[arg(long, value_name = "ADDR")]
    pub listen: String,
    /// The servers.
    #[arg(long, required = true, value_delimiter = ',', value_name = "ADDR,ADDR")]
    pub to: Vec<String>,
}

/// Copies until it is told to stop.
pub(super) fn run(args: &CopyArgs) -> Result<(), Failure> {
    executor::block_on(1, async {
        let shutdown = Shutdown::on_signals()
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let listener = server::bind(&args.listen, "--listen").await?;
        tokio::select! {
            () = accept(listener, &args.to) => {}
            () = shutdown.requested() => {}
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, servers: &[String]) {
    let mut turns = servers.iter().cycle();
    while let (Ok((client, _)), Some(server)) = (listener.accept().await, turns.next()) {
        let server = server.clone();
        tokio::spawn(async move {
            // Either end may go at any time; the other then sees its connection closed.
            let _ = copy(client, &server).await;
        });
    }
}

async fn copy(mut client: TcpStream, server: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
