//! The gateway as a client of transaction-id servers.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use strife_proto::txid::v1::{TakeBlockRequest, transaction_ids_client::TransactionIdsClient};
use strife_runtime::{Failure, Security, connect, tls::Expected};
use tonic::transport::Channel;

use crate::{
    coordinator::{Blocks, Granted},
    transaction::Block,
};

/// The pool of the servers at the balancer.
const POOL: &str = "txid";

/// Blocks of the servers behind the balancer at `address`, or of the server there. Connects on first use.
/// Must be called inside a tokio runtime.
pub fn source(address: &str, security: &Security) -> Result<Arc<dyn Blocks>, Failure> {
    let channel = connect::channel(address, POOL, Expected::LB_OR_TXID, security)?;
    Ok(Arc::new(Servers(TransactionIdsClient::new(channel))))
}

struct Servers(TransactionIdsClient<Channel>);

impl Blocks for Servers {
    fn take(&self, above: Block) -> BoxFuture<'_, Result<Granted, String>> {
        let mut client = self.0.clone();
        async move {
            let answer = client.take_block(TakeBlockRequest { above }).await;
            let block = answer.map_err(|why| format!("{:?}: {}", why.code(), why.message()))?;
            let block = block.into_inner();
            Ok(Granted { block: block.block, size: block.size })
        }
        .boxed()
    }
}
