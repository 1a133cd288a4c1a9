//! The group `beings`: which beings there are.

pub mod registry;
