//! The edge, and the one place where blocks are given: one at a time, and only what is written down.

use std::sync::Arc;

use strife_proto::txid::v1::{Block, TakeBlockRequest, transaction_ids_server::TransactionIds};
use strife_runtime::{AccessTable, Role, Rule};
use strife_store::StoreError;
use thiserror::Error;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use crate::{
    blocks::{Blocks, NoBlock},
    store::HighWater,
};

/// The service whose calls are counted as load.
pub const TRACKED: &[&str] = &["/strife.txid.v1.TransactionIds/"];
/// Who may call what.
pub const ACCESS: AccessTable =
    &[Rule { path: "/strife.txid.v1.TransactionIds/", roles: &[Role::Gateway] }];
/// Largest request, bytes.
pub const REQUEST_BYTES_MAX: usize = 1 << 10;

/// Why no block was given.
#[derive(Debug, Error)]
pub enum TxidError {
    /// There is none.
    #[error(transparent)]
    NoBlock(#[from] NoBlock),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TxidError> for Status {
    fn from(error: TxidError) -> Self {
        match &error {
            TxidError::NoBlock(NoBlock::FarAhead(_)) => Self::invalid_argument(error.to_string()),
            TxidError::NoBlock(NoBlock::UsedUp) => Self::resource_exhausted(error.to_string()),
            TxidError::Store(_) => Self::unavailable(error.to_string()),
        }
    }
}

/// A transaction-id server.
pub struct Server {
    number: u8,
    /// Ids of each block that may be used.
    size: u32,
    blocks: Mutex<Blocks>,
    store: HighWater,
}

impl Server {
    /// Server `number`, on what its store says. Of each block `size` ids may be used.
    pub fn new(number: u8, size: u32, store: HighWater) -> Result<Self, StoreError> {
        let blocks = Mutex::new(Blocks::new(number, store.read()?));
        Ok(Self { number, size, blocks, store })
    }

    /// A block above `above` that nobody else gets.
    pub async fn take(&self, above: u64) -> Result<u64, TxidError> {
        let mut blocks = self.blocks.lock().await;
        if let Some(high_water) = blocks.to_write(above)? {
            self.store.raise(high_water).await?;
            blocks.written(high_water);
        }
        Ok(blocks.give(above))
    }

    /// Ends the store.
    pub fn close(&self) {
        self.store.close();
    }
}

/// The service of a server.
#[derive(Clone)]
pub struct TxidService(pub Arc<Server>);

#[tonic::async_trait]
impl TransactionIds for TxidService {
    async fn take_block(
        &self,
        request: Request<TakeBlockRequest>,
    ) -> Result<Response<Block>, Status> {
        let server = &self.0;
        let block = server.take(request.get_ref().above).await?;
        Ok(Response::new(Block { block, size: server.size, server: server.number.into() }))
    }
}
