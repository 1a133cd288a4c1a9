//! Group `pc2-core`.

pub mod health_monitor;
pub mod resource_manager;
pub mod unified_error;
