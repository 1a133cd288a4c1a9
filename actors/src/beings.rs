//! The groups `beings` and `homes`: which beings there are, and where they live.

mod errands;
pub mod home;
pub(crate) mod parcels;
pub mod registry;

/// How begins what is said to be amiss with a being that is suspended: by this one it is known from afar.
pub const SUSPENDED: &str = "it is suspended";

/// What is said to be amiss with a being that its home is about to take in: it has not failed.
pub const NOT_THERE_YET: &str = "it is not where it lives yet";
