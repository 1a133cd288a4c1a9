//! What clients say to a household; made from `genii.proto`, and both ways between its faults and
//! ours.

mod faults;
mod refused;

#[allow(missing_docs, clippy::large_enum_variant)]
mod made {
    tonic::include_proto!("genii.v1");
}

pub use faults::{fault_of, status_of};
pub use made::*;
pub use refused::{Refused, Why};

/// The service, described for tools that know nothing of it: a `FileDescriptorSet`.
pub const DESCRIBED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/genii.bin"));

/// The name of the service, as health checks have it.
pub const SERVICE: &str = "genii.v1.Genii";
