//! What is declared about a child and about a supervisor, and what makes a declaration wrong.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::start::Start;

/// The name of a child, unique in its whole tree. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as shared text.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// When a child that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only when it ended abnormally: neither normally nor by shutdown.
    Transient,
    /// Never; its spec is forgotten when it ends.
    Temporary,
}

/// How a child is made to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Killed at once.
    Kill,
    /// Asked to stop, and killed when it has not ended by then.
    Within(Duration),
    /// Asked to stop, and waited for as long as it takes. For supervisors, whose children all have
    /// deadlines of their own.
    Patient,
}

/// Whether a child supervises others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChildKind {
    /// It does the work.
    #[default]
    Worker,
    /// It is a supervisor itself.
    Supervisor,
}

/// Who else is restarted when a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Nobody else.
    #[default]
    OneForOne,
    /// All the children of the supervisor.
    OneForAll,
    /// The children declared after it.
    RestForOne,
    /// Nobody else; children are started on demand, have no order among them, and are forgotten
    /// when they stop. OTP's `simple_one_for_one`.
    Dynamic,
}

/// Whether a supervisor ends when its significant children have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoShutdown {
    /// It stays.
    #[default]
    Never,
    /// It ends when any of them has ended by itself.
    AnySignificant,
    /// It ends when the last of them has ended by itself.
    AllSignificant,
}

/// In which order the children of one supervisor start; they stop in the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartOrder {
    /// One after the other, each when the one before is ready, as in OTP.
    #[default]
    Sequential,
    /// All together, held back only by what they need, bind and want.
    Graph,
}

/// How many restarts are borne within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// So many are borne; one more is too many.
    pub restarts: u32,
    /// The window they are counted in; never zero.
    pub window: Duration,
}

impl Default for Intensity {
    /// OTP's default: one restart in five seconds.
    fn default() -> Self {
        Self { restarts: 1, window: Duration::from_secs(5) }
    }
}

/// How long to wait before a restart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the first.
    pub first: Duration,
    /// How much longer each wait is than the one before; at least 1.
    pub factor: f64,
    /// No wait is longer.
    pub cap: Duration,
    /// The share of a wait that is left to chance, 0 to 1, so that children that fell together do
    /// not rise together.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            factor: 2.0,
            cap: Duration::from_secs(10),
            jitter: 0.2,
        }
    }
}

/// What happens when a child has been restarted more often than its supervisor bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GiveUp {
    /// The supervisor ends, and its own supervisor decides. Restarts are counted for all such
    /// children together, as in OTP.
    #[default]
    Escalate,
    /// The child is held back until somebody releases it; its siblings go on. Restarts are counted
    /// for the child alone.
    Quarantine,
}

/// What a child needs of others, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edges {
    /// Must be ready before it starts; it is told when one goes and when one returns.
    pub needs: Vec<Key>,
    /// As `needs`, and it is restarted whenever one of them is.
    pub binds: Vec<Key>,
    /// Start before it, and that is all.
    pub wants: Vec<Key>,
    /// Stands in for it while it is down.
    pub fallback: Option<Key>,
}

impl Edges {
    /// Everything that must come before: needs, binds and wants.
    pub fn before(&self) -> impl Iterator<Item = &Key> {
        self.needs.iter().chain(&self.binds).chain(&self.wants)
    }

    /// Whether there is nothing here.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it is among others too, in whatever way. The fallback stays.
    #[must_use]
    pub fn within(&self, others: &Self) -> Self {
        let kept = |keys: &[Key]| {
            let is_among = |key: &&Key| others.before().any(|other| other == *key);
            keys.iter().filter(is_among).cloned().collect()
        };
        Self {
            needs: kept(&self.needs),
            binds: kept(&self.binds),
            wants: kept(&self.wants),
            fallback: self.fallback.clone(),
        }
    }
}

/// How a child is treated. Shared by the children that are treated alike.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildPolicy {
    /// When it is started again.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Whether it supervises others.
    pub kind: ChildKind,
    /// Whether its end can end its supervisor; see [`AutoShutdown`].
    pub significant: bool,
    /// How long it may take from being started to being ready; for ever if absent.
    pub start_timeout: Option<Duration>,
    /// Whether its supervisor's start fails when it cannot become ready. When not, its dependents
    /// go on without it.
    pub required: bool,
    /// How long to wait before a restart; not at all if absent. With a backoff the first start is
    /// tried again too.
    pub backoff: Option<Backoff>,
    /// What happens when restarts are too many.
    pub give_up: GiveUp,
    /// Whether it only sleeps when its spec is forgotten, and wakes as a new child: so the journal tells it.
    pub sleeps: bool,
}

impl Default for ChildPolicy {
    /// OTP's defaults for a worker.
    fn default() -> Self {
        Self {
            restart: Restart::Permanent,
            shutdown: Shutdown::Within(Duration::from_secs(5)),
            kind: ChildKind::Worker,
            significant: false,
            start_timeout: None,
            required: true,
            backoff: None,
            give_up: GiveUp::Escalate,
            sleeps: false,
        }
    }
}

impl ChildPolicy {
    /// OTP's defaults for a child that is a supervisor.
    pub fn supervisor() -> Self {
        Self { shutdown: Shutdown::Patient, kind: ChildKind::Supervisor, ..Self::default() }
    }
}

/// A child as it is declared.
#[derive(Clone)]
pub struct ChildSpec {
    /// Its name in the tree.
    pub key: Key,
    /// What starts it.
    pub start: Arc<dyn Start>,
    /// How it is treated.
    pub policy: Arc<ChildPolicy>,
    /// What it needs of others, if anything.
    pub edges: Option<Arc<Edges>>,
}

impl ChildSpec {
    /// A permanent worker that needs nothing.
    pub fn new(key: impl Into<Key>, start: Arc<dyn Start>) -> Self {
        Self { key: key.into(), start, policy: Arc::default(), edges: None }
    }

    /// The same child, treated otherwise.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<Arc<ChildPolicy>>) -> Self {
        self.policy = policy.into();
        self
    }

    /// The same child with other needs.
    #[must_use]
    pub fn with_edges(mut self, edges: Edges) -> Self {
        self.edges = (!edges.is_empty()).then(|| Arc::new(edges));
        self
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("key", &self.key)
            .field("policy", &self.policy)
            .field("edges", &self.edges)
            .finish_non_exhaustive()
    }
}

/// The part of a supervisor's declaration that can change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SupervisorFlags {
    /// Who else is restarted.
    pub strategy: Strategy,
    /// How many restarts are borne.
    pub intensity: Intensity,
    /// Whether it ends with its significant children.
    pub auto_shutdown: AutoShutdown,
    /// In which order its children start.
    pub start_order: StartOrder,
}

/// A supervisor as it is declared.
#[derive(Debug, Clone)]
pub struct SupervisorSpec {
    /// Its name in the tree.
    pub key: Key,
    /// How it supervises.
    pub flags: SupervisorFlags,
    /// The children it starts with, in order.
    pub children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// A supervisor with OTP's defaults and no children.
    pub fn new(key: impl Into<Key>) -> Self {
        Self { key: key.into(), flags: SupervisorFlags::default(), children: Vec::new() }
    }

    /// The same supervisor with other flags.
    #[must_use]
    pub fn with_flags(mut self, flags: SupervisorFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same supervisor with one more child.
    #[must_use]
    pub fn with_child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Checks the whole declaration.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), SpecError> {
        check_flags(&self.flags)?;
        let mut seen = HashSet::new();
        for child in &self.children {
            check_child(child, &self.flags)?;
            if !seen.insert(&child.key) {
                return Err(SpecError::Duplicate { key: child.key.clone() });
            }
        }
        Ok(())
    }
}

/// Checks the flags of a supervisor.
///
/// # Errors
/// [`SpecError::ZeroWindow`].
pub fn check_flags(flags: &SupervisorFlags) -> Result<(), SpecError> {
    match flags.intensity.window.is_zero() {
        true => Err(SpecError::ZeroWindow),
        false => Ok(()),
    }
}

/// Checks a child against the supervisor that is to have it.
///
/// # Errors
/// What is wrong with the child.
pub fn check_child(child: &ChildSpec, flags: &SupervisorFlags) -> Result<(), SpecError> {
    let key = || child.key.clone();
    let policy = &child.policy;
    if child.key.as_str().is_empty() {
        return Err(SpecError::EmptyKey);
    }
    if policy.significant && flags.auto_shutdown == AutoShutdown::Never {
        return Err(SpecError::SignificantForNothing { key: key() });
    }
    if policy.significant && policy.restart == Restart::Permanent {
        return Err(SpecError::SignificantPermanent { key: key() });
    }
    if let Some(backoff) = &policy.backoff {
        let good = backoff.factor >= 1.0
            && backoff.factor.is_finite()
            && (0.0..=1.0).contains(&backoff.jitter)
            && backoff.first <= backoff.cap;
        if !good {
            return Err(SpecError::Backoff { key: key() });
        }
    }
    let needs_itself = child.edges.as_ref().is_some_and(|edges| {
        edges.before().chain(&edges.fallback).any(|other| *other == child.key)
    });
    match needs_itself {
        true => Err(SpecError::NeedsItself { key: key() }),
        false => Ok(()),
    }
}

/// What is wrong with a declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A key without text.
    #[error("a child has an empty key")]
    EmptyKey,
    /// Two children of one name.
    #[error("two children are called {key}")]
    Duplicate {
        /// The name.
        key: Key,
    },
    /// A window in which nothing can be counted.
    #[error("the restart window is zero; give it at least a millisecond")]
    ZeroWindow,
    /// A significant child under a supervisor that never shuts itself down.
    #[error("{key} is significant, but its supervisor's auto-shutdown is `never`")]
    SignificantForNothing {
        /// The child.
        key: Key,
    },
    /// A significant child that always returns.
    #[error("{key} is significant and permanent; make it transient or temporary")]
    SignificantPermanent {
        /// The child.
        key: Key,
    },
    /// A backoff that would shrink, or never wait as told.
    #[error(
        "the backoff of {key} is wrong: factor must be at least 1, jitter between 0 and 1, and \
         the first wait no longer than the cap"
    )]
    Backoff {
        /// The child.
        key: Key,
    },
    /// A child that waits for itself.
    #[error("{key} depends on itself")]
    NeedsItself {
        /// The child.
        key: Key,
    },
}
