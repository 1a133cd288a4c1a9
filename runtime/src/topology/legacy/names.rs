//! Names into addresses, dependencies into needs.

use std::collections::{BTreeSet, HashMap};

use genii_protocols::Address;
use genii_protocols::address::kebab;

use super::super::Link;
use super::super::diagnostic::{Diagnostic, Report};
use super::super::source::Place;
use super::LegacyOptions;
use super::agent::LegacyAgent;
use crate::nearest::nearest;

/// The group of agents that nobody declares.
const MISSING: &str = "missing";

/// What agents are called, in files and in the topology.
pub(super) struct Names {
    /// For each name, the agents that have it: the number of the file, and the address.
    by_name: HashMap<String, Vec<(usize, Address)>>,
    by_address: HashMap<Address, String>,
    /// Whether every file could be read, so that what is missing is missing.
    pub(super) all_were_read: bool,
    /// What was done with dependencies, for the head of the file that is written.
    pub(super) remarks: Vec<String>,
}

/// What an agent depends on.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) needs: Vec<Link>,
    pub(super) wants: Vec<Link>,
}

impl Names {
    /// Collects the names, leaving out agents whose name is taken.
    pub(super) fn of(agents: &mut Vec<LegacyAgent>, report: &mut Report) -> Self {
        let mut names = Self {
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            all_were_read: true,
            remarks: Vec::new(),
        };
        let mut first: HashMap<Address, Place> = HashMap::new();
        agents.retain(|agent| names.add(agent, &mut first, report));
        names
    }

    fn add(
        &mut self,
        agent: &LegacyAgent,
        first: &mut HashMap<Address, Place>,
        report: &mut Report,
    ) -> bool {
        let address = agent.address();
        let of_name = self.by_name.entry(agent.name.clone()).or_default();
        let twice_in_file = of_name.iter().find(|(file, _)| *file == agent.file);
        let taken = twice_in_file.map(|(_, address)| address).or_else(|| {
            let is_taken = self.by_address.contains_key(&address);
            is_taken.then_some(&address)
        });
        if let Some(taken) = taken {
            let other = self.by_address.get(taken).map_or("", String::as_str);
            let message = match other == agent.name {
                true => format!("{} is declared twice", agent.name),
                false => format!("{} and {other} would both be {address}", agent.name),
            };
            let diagnostic = Diagnostic::error("duplicate-name", message).at(&agent.place);
            report.push(diagnostic.note("it is here first", first.get(taken)));
            return false;
        }
        of_name.push((agent.file, address.clone()));
        first.insert(address.clone(), agent.place.clone());
        self.by_address.insert(address, agent.name.clone());
        true
    }

    /// What every agent was called, where that is enough to tell it from the others.
    pub(super) fn spoken(self) -> HashMap<Address, String> {
        let Self { by_address, by_name, .. } = self;
        by_address.into_iter().filter(|(_, name)| by_name[name].len() == 1).collect()
    }

    /// Whom a name in a file means: first of all one in the same file.
    fn find(&self, name: &str, file: usize) -> Option<&Address> {
        let of_name = self.by_name.get(name)?;
        let here = of_name.iter().find(|(other, _)| *other == file);
        here.or_else(|| of_name.first()).map(|(_, address)| address)
    }

    /// What each agent depends on, reporting what no file declares.
    pub(super) fn needs(
        &mut self,
        agents: &[LegacyAgent],
        options: &LegacyOptions<'_>,
        report: &mut Report,
    ) -> Vec<Needs> {
        let mut cuts = Cuts::new(&options.cuts);
        let all = agents.iter().map(|agent| self.needs_of(agent, &mut cuts, options, report));
        let all = all.collect::<Vec<_>>();
        for (from, to) in cuts.unused() {
            report.push(self.bad_cut(from, to, agents));
        }
        all
    }

    fn needs_of(
        &mut self,
        agent: &LegacyAgent,
        cuts: &mut Cuts<'_>,
        options: &LegacyOptions<'_>,
        report: &mut Report,
    ) -> Needs {
        let mut needs = Needs::default();
        let mut seen = BTreeSet::new();
        for (name, place) in &agent.dependencies {
            if !seen.insert(name) {
                let message = format!("{name} stands twice in the dependencies of {}", agent.name);
                report.push(Diagnostic::warning("stands-twice", message).at(place));
                continue;
            }
            let found = self.find(name, agent.file).cloned();
            if cuts.take((&agent.name, Some(&agent.address())), (name, found.as_ref())) {
                self.remarks.push(format!("Cut: {} does not wait for {name}.", agent.name));
                continue;
            }
            match found {
                Some(to) => needs.needs.push(Link { to, place: place.clone() }),
                None if options.stub_missing => {
                    self.remarks.push(format!("Missing: {} wants {name}.", agent.name));
                    needs.wants.extend(stub(name, place, report));
                }
                None => report.extend(self.missing(agent, name, place)),
            }
        }
        needs
    }

    fn missing(&self, agent: &LegacyAgent, name: &str, place: &Place) -> Report {
        let mut report = Report::default();
        if self.all_were_read {
            let message = format!("{} depends on {name}, which no file declares", agent.name);
            let known = self.by_name.keys().map(String::as_str);
            let meant = nearest(name, known).map(|name| format!("did you mean {name}? otherwise "));
            let help = format!(
                "{}declare it, or turn it into a wish with --stub-missing",
                meant.unwrap_or_default()
            );
            report.push(Diagnostic::error("missing-dependency", message).at(place).help(help));
        }
        report
    }

    /// What to say of a cut that cuts nothing.
    fn bad_cut(&self, from: &str, to: &str, agents: &[LegacyAgent]) -> Diagnostic {
        let is_meant = |agent: &&LegacyAgent| is_called(from, &agent.name, Some(&agent.address()));
        let Some(agent) = agents.iter().find(is_meant) else {
            let message = format!("--cut {from}:{to}: nobody is called {from}");
            let diagnostic = Diagnostic::error("bad-cut", message);
            return match nearest(from, self.by_name.keys().map(String::as_str)) {
                Some(name) => diagnostic.help(format!("did you mean {name}?")),
                None => diagnostic,
            };
        };
        let message = format!("--cut {from}:{to}: {} does not depend on {to}", agent.name);
        let on: Vec<&str> = agent.dependencies.iter().map(|(name, _)| name.as_str()).collect();
        let help = match on.is_empty() {
            true => "it depends on nobody".to_owned(),
            false => format!("it depends on {}", on.join(", ")),
        };
        Diagnostic::error("bad-cut", message).help(help)
    }
}

/// An address for an agent that nobody declares.
fn stub(name: &str, place: &Place, report: &mut Report) -> Option<Link> {
    match Address::parse(&format!("{MISSING}/{}", kebab(name))) {
        Ok(to) => Some(Link { to, place: place.clone() }),
        Err(error) => {
            report.push(Diagnostic::error("bad-name", error.to_string()).at(place));
            None
        }
    }
}

/// Whether somebody of this name and address is meant by what was said.
fn is_called(said: &str, name: &str, address: Option<&Address>) -> bool {
    said == name || address.is_some_and(|address| address.as_str() == said)
}

/// The dependencies to leave out, and which of them were met.
struct Cuts<'a> {
    cuts: Vec<(&'a (String, String), bool)>,
}

impl<'a> Cuts<'a> {
    fn new(cuts: &'a [(String, String)]) -> Self {
        Self { cuts: cuts.iter().map(|cut| (cut, false)).collect() }
    }

    fn take(&mut self, from: (&str, Option<&Address>), to: (&str, Option<&Address>)) -> bool {
        let mut is_cut = false;
        for ((cut_from, cut_to), used) in &mut self.cuts {
            if is_called(cut_from, from.0, from.1) && is_called(cut_to, to.0, to.1) {
                (*used, is_cut) = (true, true);
            }
        }
        is_cut
    }

    fn unused(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let unused = self.cuts.into_iter().filter(|(_, used)| !used);
        unused.map(|((from, to), _)| (from.as_str(), to.as_str()))
    }
}
