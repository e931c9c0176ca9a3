//! The contract: what travels between Strife's processes.
//!
//! The `.proto` files under `proto/proto/strife` are the source; this crate only holds what is
//! generated from them, one module a package, and the descriptors that reflection serves. Crates
//! keep these types inside their `service.rs`: what is inside a crate has types of its own.

#![allow(missing_docs, clippy::all, unreachable_pub, clippy::unwrap_used)]

/// `strife.common.v1`: money.
pub mod common {
    pub mod v1 {
        tonic::include_proto!("strife.common.v1");
    }
}

/// `strife.bank.v1`: the bank, its part in two-phase commit, its store.
pub mod bank {
    pub mod v1 {
        tonic::include_proto!("strife.bank.v1");
    }
}

/// `strife.gateway.v1`: payments.
pub mod gateway {
    pub mod v1 {
        tonic::include_proto!("strife.gateway.v1");
    }
}

/// `strife.lb.v1`: look-aside picks, load reports, administration.
pub mod lb {
    pub mod v1 {
        tonic::include_proto!("strife.lb.v1");
    }
}

/// `strife.txid.v1`: blocks of transaction ids.
pub mod txid {
    pub mod v1 {
        tonic::include_proto!("strife.txid.v1");
    }
}

/// ORCA (gRFC A51): how any gRPC server reports its load.
pub mod xds {
    /// `xds.data.orca.v3`: the report.
    pub mod data {
        pub mod orca {
            pub mod v3 {
                tonic::include_proto!("xds.data.orca.v3");
            }
        }
    }
    /// `xds.service.orca.v3`: reports out of band.
    pub mod service {
        pub mod orca {
            pub mod v3 {
                tonic::include_proto!("xds.service.orca.v3");
            }
        }
    }
}

/// The encoded `FileDescriptorSet` of every package, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
