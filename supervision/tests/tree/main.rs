//! Trees of real actors, on the paused clock.

#![allow(clippy::unwrap_used)]

mod corners;
mod household;
mod otp;
mod puppet;
