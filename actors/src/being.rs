//! `being/ID`: an isolated mind, with a memory, a character and a provider of its own.

pub mod character;
pub mod lorebook;
pub mod prompt;
pub mod provider;
