//! Texts that are said often, and the numbers that stand for them on a link.

use std::collections::HashMap;
use std::sync::Arc;

use genii_protocols::frame::{NAME_MAX_LEN, NAMES_MAX};
use parking_lot::{Mutex, RwLock};

use super::lane::End;

/// The numbers of the texts that this end sends.
#[derive(Default)]
pub(crate) struct Numbers {
    known: RwLock<Known>,
    /// Held while a number is given, so that they are told in their order.
    giving: Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// Only texts of this node come here, so that hashing need not be on its guard.
    numbers: HashMap<Arc<str>, u32, foldhash::fast::RandomState>,
    texts: Vec<Arc<str>>,
}

impl Numbers {
    /// The text that has a number.
    pub(crate) fn text(&self, number: u32) -> Option<Arc<str>> {
        self.known.read().texts.get(number as usize).cloned()
    }

    /// The number of a text. If it has none it is given one, which `tell` tells the other end.
    ///
    /// # Errors
    /// When there are too many, or it cannot be told.
    pub(crate) fn of(&self, text: &str, tell: impl FnOnce(&str) -> bool) -> Result<u32, NoNumber> {
        if let Some(number) = self.known.read().numbers.get(text) {
            return Ok(*number);
        }
        let _one_at_a_time = self.giving.lock();
        if let Some(number) = self.known.read().numbers.get(text) {
            return Ok(*number);
        }
        let number = self.known.read().texts.len();
        if number >= NAMES_MAX {
            return Err(NoNumber::UsedUp);
        }
        if !tell(text) {
            return Err(NoNumber::Untold);
        }
        // Bounded above.
        let number = number as u32;
        let (text, mut known) = (Arc::<str>::from(text), self.known.write());
        known.texts.push(text.clone());
        known.numbers.insert(text, number);
        Ok(number)
    }
}

/// Why a text has no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// There are no more.
    UsedUp,
    /// The other end cannot be told of it.
    Untold,
}

/// The texts that the other end sends, by number.
#[derive(Default)]
pub(crate) struct Texts(Vec<Arc<str>>);

impl Texts {
    /// The next text.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), End> {
        if text.len() > NAME_MAX_LEN {
            return Err(End::nonsense(format_args!("a name of {} bytes", text.len())));
        }
        if self.0.len() >= NAMES_MAX {
            return Err(End::nonsense(format_args!("more than {NAMES_MAX} names")));
        }
        self.0.push(text.into());
        Ok(())
    }

    /// The text that a number stands for.
    pub(crate) fn get(&self, number: u32) -> Result<&Arc<str>, End> {
        let known = self.0.get(number as usize);
        known.ok_or_else(|| End::nonsense(format_args!("the number {number} stands for nothing")))
    }
}
