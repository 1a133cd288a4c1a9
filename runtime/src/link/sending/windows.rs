//! The receivers at the other end of a link, and what may be on its way to each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use genii_protocols::Address;
use genii_protocols::frame::CREDIT_MAX;
use tokio::sync::Semaphore;

use super::{Link, NotSent, Style};
use crate::link::lane::End;

/// A receiver at the other end, and what may be on its way to it.
pub(crate) struct Window {
    pub(super) number: u32,
    pub(super) credit: Semaphore,
    /// How much was told since all that was sent had been handled. Whoever asks learns otherwise what
    /// has become of it.
    told: AtomicU64,
    /// Held while something goes in parts, so that nothing overtakes it.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) in_parts: AtomicBool,
    /// The first message and the first sender, which is likely to be the only one.
    pub(super) message: OnceLock<Numbered>,
    pub(super) sender: OnceLock<Numbered>,
}

/// A text and its number.
pub(super) struct Numbered {
    pub(super) text: Box<str>,
    pub(super) number: u32,
}

impl Window {
    /// So much is about to be sent. Its credit has been taken by then, and it is counted before it is
    /// written, since the link may be lost as soon as it is.
    pub(super) fn telling(&self, style: Style, cost: u32) -> Telling<'_> {
        let cost = if let Style::Tell = style { u64::from(cost) } else { 0 };
        if cost > 0 {
            self.told.fetch_add(cost, Ordering::SeqCst);
        }
        Telling { window: self, cost }
    }

    /// How much is on its way, or not known to have been handled.
    fn spent(&self) -> u32 {
        let left = u32::try_from(self.credit.available_permits()).unwrap_or(CREDIT_MAX);
        CREDIT_MAX.saturating_sub(left)
    }

    /// As [`Window::spent`], of what was told.
    fn unheard(&self) -> u32 {
        let told = self.told.load(Ordering::SeqCst);
        self.spent().min(u32::try_from(told).unwrap_or(u32::MAX))
    }

    /// Something has been handled.
    fn was_handled(&self, cost: u32) {
        // It cannot have handled more than was sent.
        self.credit.add_permits(cost.min(self.spent()) as usize);
        let told = self.told.load(Ordering::SeqCst);
        if told > 0 && self.spent() == 0 {
            // Whatever is told meanwhile counts.
            let _told_meanwhile =
                self.told.compare_exchange(told, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

/// What is counted as told, and is not any more if it was not sent.
pub(super) struct Telling<'a> {
    window: &'a Window,
    cost: u64,
}

impl Telling<'_> {
    pub(super) fn keep(mut self) {
        self.cost = 0;
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if self.cost > 0 {
            let less = |told: u64| Some(told.saturating_sub(self.cost));
            let _always = self.window.told.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        }
    }
}

impl Link {
    /// A receiver at the other end, to send to. Keep it where you send often.
    ///
    /// # Errors
    /// When the link is over, or too many receivers are known.
    pub(crate) fn window(&self, to: &Address) -> Result<Arc<Window>, NotSent> {
        if let Some(window) = self.windows.get(to.as_str()) {
            return Ok(window.clone());
        }
        let number = self.number(to.as_str())?;
        let new = || {
            Arc::new(Window {
                number,
                credit: Semaphore::new(CREDIT_MAX as usize),
                told: AtomicU64::new(0),
                turn: tokio::sync::Mutex::default(),
                in_parts: AtomicBool::new(false),
                message: OnceLock::new(),
                sender: OnceLock::new(),
            })
        };
        let window = self.windows.entry(to.shared()).or_insert_with(new).clone();
        if self.is_over() {
            window.credit.close();
        }
        Ok(window)
    }

    /// How many receivers at the other end something was sent to.
    pub(crate) fn receivers(&self) -> usize {
        self.windows.len()
    }

    /// The receivers that have not said that they have handled everything that they were told, by name,
    /// each with how much that may be at most.
    pub(crate) fn unheard(&self) -> Vec<(Address, u32)> {
        let each = self.windows.iter().filter_map(|window| {
            let address = Address::from_shared(window.key().clone()).ok()?;
            let unheard = window.unheard();
            (unheard > 0).then_some((address, unheard))
        });
        let mut each: Vec<(Address, u32)> = each.collect();
        each.sort_unstable();
        each
    }

    /// The other end has handled something that was sent to the receiver of this number.
    pub(crate) fn credit(&self, to: u32, cost: u32) -> Result<(), End> {
        let unknown = || End::nonsense(format_args!("credit for number {to}, which is nobody's"));
        let address = self.numbers.text(to).ok_or_else(unknown)?;
        let window = self.windows.get(&address).ok_or_else(unknown)?;
        window.was_handled(cost);
        Ok(())
    }
}
