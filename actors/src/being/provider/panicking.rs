//! A provider with a fault in its code, for tests of what becomes of its being.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Piece, Provider, ProviderError, Request};

/// The name of a model by which it is made.
pub(crate) const MODEL: &str = "panicking";

/// Why it panics.
pub(crate) const WHY: &str = "this provider has a fault";

/// Panics in the middle of each answer.
pub(crate) struct Panicking;

impl Provider for Panicking {
    fn label(&self) -> String {
        MODEL.to_owned()
    }

    fn answer(&self, _: Arc<Request>) -> BoxStream<'static, Result<Piece, ProviderError>> {
        let begun = stream::once(async { Ok(Piece::Text("I have".to_owned())) });
        begun.chain(stream::once(async { panic!("{WHY}") })).boxed()
    }
}
