//! OTP's own test cases for its supervisor, by their names, for every behaviour that applies here.
//! `docs/supervision.md` lists those that do not apply, and why.

mod administration;
mod misc;
mod restarts;
mod significant;
mod starting;
mod stopping;
mod termination;
