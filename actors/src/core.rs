//! Group `core`.

pub mod system_digital_twin;
