//! What is wrong with a file: where, and what to do about it.

use std::fmt;

use genii_protocols::Address;
use serde::Serialize;

use super::source::Place;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It goes on, but somebody should know.
    Warning,
    /// It is refused.
    Error,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What sort of fault, in a word that does not change: `unknown-key`, `cycle`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What to do.
    pub help: Option<String>,
    /// Other places that have to do with it, and what they have.
    pub notes: Vec<(String, Option<Place>)>,
    /// For a cycle: the agents on it, the first of them again at the end.
    pub cycle: Vec<Address>,
    /// For a knot: the edges to cut, each as who needs whom.
    pub cuts: Vec<(Address, Address)>,
}

impl Diagnostic {
    /// Something that is refused.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            place: None,
            help: None,
            notes: Vec::new(),
            cycle: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// Something that somebody should know.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same, at a place.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with another place that has to do with it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>, place: Option<&Place>) -> Self {
        self.notes.push((note.into(), place.cloned()));
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{severity}: {} [{}]", self.message, self.code)?;
        for (note, place) in &self.notes {
            match place {
                Some(place) => write!(f, "\n  {place}: {note}")?,
                None => write!(f, "\n  {note}")?,
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            severity: Severity,
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            line: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            column: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            help: Option<&'a str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            notes: Vec<String>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            cycle: &'a [Address],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            cuts: &'a [(Address, Address)],
        }
        let note = |(note, place): &(String, Option<Place>)| match place {
            Some(place) => format!("{place}: {note}"),
            None => note.clone(),
        };
        Shown {
            severity: self.severity,
            code: self.code,
            message: &self.message,
            file: self.place.as_ref().map(|place| place.source.name.as_str()),
            line: self.place.as_ref().map(Place::line),
            column: self.place.as_ref().map(Place::column),
            help: self.help.as_deref(),
            notes: self.notes.iter().map(note).collect(),
            cycle: &self.cycle,
            cuts: &self.cuts,
        }
        .serialize(serializer)
    }
}

/// Everything that is wrong, in the order of the files.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Report {
    /// The diagnostics.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
    }

    /// Whether anything is refused.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|one| one.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// Leaves out what is only a consequence of broken syntax at the same place.
    pub(crate) fn drop_consequences(&mut self, syntax: &str) {
        let broken: Vec<Place> = (self.diagnostics.iter())
            .filter(|one| one.code == syntax)
            .filter_map(|one| one.place.clone())
            .collect();
        let is_consequence = |one: &Diagnostic| {
            let place = one.place.as_ref();
            one.code != syntax
                && place.is_some_and(|place| {
                    let same = |other: &Place| {
                        other.source == place.source && other.span.start == place.span.start
                    };
                    broken.iter().any(same)
                })
        };
        self.diagnostics.retain(|one| !is_consequence(one));
    }

    /// Puts them in the order of their files and places.
    pub fn sort(&mut self) {
        self.diagnostics.sort_by_key(|one| {
            one.place.as_ref().map(|place| (place.source.name.clone(), place.span.start))
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
