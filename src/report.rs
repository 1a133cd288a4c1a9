//! How diagnostics look: with the lines that they are about where a person reads, and on lines of
//! their own in a pipe.

use std::collections::HashMap;
use std::fmt;
use std::io::IsTerminal;

use genii_runtime::topology::diagnostic::{Diagnostic, Report, Severity};
use genii_runtime::topology::source::Place;
use miette::{GraphicalReportHandler, LabeledSpan, NamedSource, SourceCode};

/// How many warnings of one sort are shown before the rest is summed up.
const LIKE_EACH_OTHER_MAX: usize = 3;

/// Shows a report on standard error, errors last, where they are seen.
pub fn show(report: &Report) {
    let in_colour = std::io::stderr().is_terminal();
    let _nobody_reads = std::io::Write::write_all(
        &mut std::io::stderr().lock(),
        text(report, in_colour).as_bytes(),
    );
}

fn text(report: &Report, in_colour: bool) -> String {
    let of = |severity| report.diagnostics.iter().filter(move |one| one.severity == severity);
    let mut text = String::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for warning in of(Severity::Warning) {
        let alike = seen.entry(warning.code).or_default();
        *alike += 1;
        if *alike <= LIKE_EACH_OTHER_MAX {
            text += &one(warning, in_colour);
        }
    }
    let mut more: Vec<(&str, usize)> =
        seen.into_iter().filter(|(_, alike)| *alike > LIKE_EACH_OTHER_MAX).collect();
    more.sort_unstable();
    for (code, alike) in more {
        let more = alike - LIKE_EACH_OTHER_MAX;
        text += &format!("warning: {more} more like these [{code}]; `--json` lists them all\n");
    }
    for error in of(Severity::Error) {
        text += &one(error, in_colour);
    }
    text
}

fn one(diagnostic: &Diagnostic, in_colour: bool) -> String {
    if !in_colour {
        return format!("{diagnostic}\n");
    }
    let mut text = String::new();
    let handler = GraphicalReportHandler::new();
    match handler.render_report(&mut text, &Shown::new(diagnostic)) {
        Ok(()) => text,
        Err(fmt::Error) => format!("{diagnostic}\n"),
    }
}

/// A diagnostic as miette sees it.
#[derive(Debug)]
struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    source: Option<NamedSource<String>>,
    /// Notes on places in other files, which cannot be drawn.
    message: String,
}

impl<'a> Shown<'a> {
    fn new(diagnostic: &'a Diagnostic) -> Self {
        let source = diagnostic
            .place
            .as_ref()
            .map(|place| NamedSource::new(&place.source.name, place.source.text.clone()));
        let mut message = diagnostic.message.clone();
        for (note, place) in &diagnostic.notes {
            if !place.as_ref().is_some_and(|place| is_in(place, diagnostic)) {
                let at = place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
                message += &format!("\n{at}{note}");
            }
        }
        Self { diagnostic, source, message }
    }
}

fn is_in(place: &Place, diagnostic: &Diagnostic) -> bool {
    diagnostic.place.as_ref().is_some_and(|own| own.source == place.source)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let own = self.diagnostic.place.as_ref()?;
        let notes: Vec<(&str, &Place)> = (self.diagnostic.notes.iter())
            .filter_map(|(note, place)| Some((note.as_str(), place.as_ref()?)))
            .filter(|(_, place)| is_in(place, self.diagnostic))
            .collect();
        let own_is_noted = notes.iter().any(|(_, place)| place.span == own.span);
        let own = (!own_is_noted).then(|| LabeledSpan::underline(own.span.clone()));
        let label = |(note, place): (&str, &Place)| {
            LabeledSpan::new_with_span(Some(note.to_owned()), place.span.clone())
        };
        Some(Box::new(own.into_iter().chain(notes.into_iter().map(label))))
    }
}

#[cfg(test)]
mod tests {
    use genii_runtime::topology::Source;

    use super::*;

    #[test]
    fn warnings_of_one_sort_are_summed_up_and_errors_are_not() {
        let mut report = Report::default();
        for n in 0..5 {
            report.push(Diagnostic::warning("thin", format!("warning {n}")));
            report.push(Diagnostic::error("bad", format!("error {n}")));
        }
        let text = text(&report, false);
        assert!(text.contains("warning 2") && !text.contains("warning 3"), "{text}");
        assert!(text.contains("2 more like these [thin]") && text.contains("error 4"), "{text}");
    }

    #[test]
    fn a_place_is_drawn_with_its_line() {
        let source = Source::new("x.toml", "a = 1\nb = oops\n");
        let place = Place::new(&source, 10..14);
        let other = Place::new(&Source::new("y.toml", "z"), 0..1);
        let diagnostic =
            Diagnostic::error("bad", "not a value").at(&place).note("here", Some(&other));
        let text = one(&diagnostic, true);
        assert!(text.contains("b = oops") && text.contains("y.toml:1:1: here"), "{text}");
    }
}
