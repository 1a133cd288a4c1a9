//! The groups `beings` and `homes`: which beings there are, and where they live.

mod errands;
pub mod home;
pub(crate) mod parcels;
pub mod registry;
