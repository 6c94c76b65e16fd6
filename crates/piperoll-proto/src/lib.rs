//! The wire contract, generated from `proto/`.
//!
//! [`v1`] has the messages and the clients. [`raw`] has the same services for the daemon: there an event is
//! the bytes that its producer sent, in requests and in answers, and nothing decodes it on the way.

pub mod codec;

/// Version 1 of the contract, for everybody who speaks to a daemon.
pub mod v1 {
    #![expect(clippy::pedantic, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/v1/piperoll.v1.rs"));
}

/// Version 1 of the contract with events as bytes, for the daemon and for producers that send stored bytes.
pub mod raw {
    #![expect(clippy::pedantic, clippy::allow_attributes, reason = "generated")]
    pub use crate::codec::RawMessage;
    include!(concat!(env!("OUT_DIR"), "/raw/piperoll.v1.rs"));
}

/// The contract as a serialized `google.protobuf.FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Request metadata that names the tenant.
pub const TENANT_METADATA: &str = "piperoll-tenant";
