//! Trees of real actors, on the paused clock.

#![allow(clippy::unwrap_used)]

mod household;
mod otp;
mod puppet;
