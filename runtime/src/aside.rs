//! Long work among tasks that wait for their turn.

use tokio::runtime::{Handle, RuntimeFlavor};

/// What is larger takes so long to read that others are not to wait for it, in bytes.
const LARGE_LEN: usize = 256 << 10;

/// Reads something of so many bytes. While that takes long, the other tasks of this thread are given to
/// another.
pub(crate) fn reading<T>(len: usize, read: impl FnOnce() -> T) -> T {
    let is_large = len > LARGE_LEN;
    let flavor = || Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match is_large && matches!(flavor(), Ok(RuntimeFlavor::MultiThread)) {
        true => tokio::task::block_in_place(read),
        false => read(),
    }
}
