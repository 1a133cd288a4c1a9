//! What lies in a mailbox: letters, and parcels of them.

use std::collections::VecDeque;
use std::sync::Arc;

use genii_protocols::{Address, Cause, Fault, Sender};

use crate::directory::Line;
use crate::letter::Letter;
use crate::link::Parcel;
use crate::node::Node;

/// A letter, or a parcel of some.
pub(crate) enum Post {
    Letter(Box<dyn Letter>),
    Parcel(Box<Parcel>),
}

/// What may be put into a mailbox.
pub(crate) trait Mailable: Into<Post> {
    /// How many letters it is.
    fn letters(&self) -> usize;
}

impl Mailable for Post {
    fn letters(&self) -> usize {
        match self {
            Self::Letter(_) => 1,
            Self::Parcel(parcel) => parcel.len(),
        }
    }
}

impl Mailable for Box<dyn Letter> {
    fn letters(&self) -> usize {
        1
    }
}

impl From<Box<dyn Letter>> for Post {
    fn from(letter: Box<dyn Letter>) -> Self {
        Self::Letter(letter)
    }
}

/// Returns what is not handled to its senders, in order: who asked is told, and what was told becomes
/// a dead letter.
pub(crate) fn give_back(
    node: &Node,
    to: &Address,
    posts: impl IntoIterator<Item = Post>,
    cause: &Cause,
) {
    let fault = Fault::Down { to: to.clone().into(), cause: cause.clone() };
    for post in posts {
        match post {
            Post::Parcel(mut parcel) => parcel.lose(&fault),
            Post::Letter(mut letter) => {
                let from = letter.meta().from.take();
                give_up(node, to, letter, from, fault.clone());
            }
        }
    }
}

/// Returns a letter that is not handled to its sender.
pub(crate) fn give_up(
    node: &Node,
    to: &Address,
    letter: Box<dyn Letter>,
    from: Option<Arc<Sender>>,
    fault: Fault,
) {
    if !letter.has_asker() {
        node.dead_letters().add(to.clone().into(), from, letter.name(), fault.clone());
    }
    letter.fail(fault);
}

/// What a host has taken from its mailbox.
#[derive(Default)]
pub(crate) struct Batch {
    posts: VecDeque<Post>,
    letters: usize,
}

impl Batch {
    /// Whether there is nothing in it, not even a parcel of which all letters were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    /// How many letters were not taken.
    pub(crate) fn letters(&self) -> usize {
        self.letters
    }

    /// Adds some that are so many letters.
    pub(crate) fn add(&mut self, posts: impl Iterator<Item = Post>, letters: usize) {
        self.letters += letters;
        self.posts.extend(posts);
    }

    /// The next letter, for a life. A parcel is let go of when the letter after its last is wanted:
    /// then that has been handled.
    pub(crate) fn next(&mut self, line: &Arc<Line>) -> Option<Box<dyn Letter>> {
        loop {
            if let Post::Parcel(parcel) = self.posts.front_mut()? {
                let before = parcel.len();
                let letter = parcel.next(line);
                self.letters -= before - parcel.len();
                if letter.is_some() {
                    return letter;
                }
            }
            if let Some(Post::Letter(letter)) = self.posts.pop_front() {
                self.letters -= 1;
                return Some(letter);
            }
        }
    }

    /// Everything that is in it.
    pub(crate) fn into_posts(self) -> VecDeque<Post> {
        self.posts
    }
}
