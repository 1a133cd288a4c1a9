//! The name of a message, as a client writes it.

use std::ops::Deref;

use genii_protocols::frame::NAME_MAX_LEN;
use tonic::Status;

/// The name of a message, no longer than any that there is.
pub(super) struct MessageName(String);

impl MessageName {
    /// Reads it out of a request.
    ///
    /// # Errors
    /// When it is too long to be one.
    pub(super) fn read(name: String) -> Result<Self, Status> {
        match name.len() {
            len if len > NAME_MAX_LEN => Err(Status::invalid_argument(format!(
                "the name of a message has {NAME_MAX_LEN} bytes at most, and this one {len}"
            ))),
            _ => Ok(Self(name)),
        }
    }
}

impl Deref for MessageName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
