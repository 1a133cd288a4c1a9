//! What a person sees while a household starts and stops: what is starting, waiting for what; and
//! the lines that say what happens.

use std::io::Write;
use std::time::Duration;

use genii_protocols::Address;
use genii_runtime::{House, Node};
use genii_supervision::journal::{Follow, Followed};
use genii_supervision::{Event, Status, Tree, View, What};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::screen::span;

/// How often the display is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// How many agents are shown by name.
const LINES: usize = 8;

/// A display that lives until it is finished, or dropped.
pub struct Progress {
    drawing: Option<(JoinHandle<()>, MultiProgress)>,
}

impl Progress {
    /// Shows how far a house is, unless plain lines do.
    pub fn show(house: &House, verb: &'static str, is_plain: bool) -> Self {
        if is_plain {
            return Self { drawing: None };
        }
        let bars = MultiProgress::new();
        let display = Display::new(&bars, verb);
        let house = house.clone();
        let drawing = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REDRAW);
            loop {
                ticks.tick().await;
                display.draw(&house);
            }
        });
        Self { drawing: Some((drawing, bars)) }
    }

    /// Takes the display away.
    pub fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((drawing, bars)) = self.drawing.take() {
            drawing.abort();
            let _nobody_looks = bars.clear();
        }
    }
}

struct Display {
    verb: &'static str,
    total: ProgressBar,
    lines: Vec<ProgressBar>,
}

impl Display {
    fn new(bars: &MultiProgress, verb: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}  {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let total = bars.add(ProgressBar::new(0).with_style(style.progress_chars("=> ")));
        let line = ProgressStyle::with_template("  {msg}");
        let line = line.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = || bars.add(ProgressBar::new_spinner().with_style(line.clone()));
        Self { verb, total, lines: (0..LINES).map(|_| line()).collect() }
    }

    fn draw(&self, house: &House) {
        let tree = house.node().tree();
        let views: Vec<View> = (tree.board.all().into_iter())
            .filter(|view| Address::parse(view.key.as_str()).is_ok())
            .collect();
        let is_done = |view: &View| match self.verb {
            "stopping" => !view.status.is_alive(),
            _ => view.status.is_settled(),
        };
        self.total.set_length(views.len() as u64);
        self.total.set_position(views.iter().filter(|view| is_done(view)).count() as u64);
        self.total.set_message(self.verb);
        let mut busy: Vec<&View> = views.iter().filter(|view| !is_done(view)).collect();
        // What others wait for comes first.
        busy.sort_by_key(|view| (rank(&view.status), view.since));
        let mut texts: Vec<String> = busy.iter().map(|view| line(tree, view)).collect();
        if texts.len() > LINES {
            let more = texts.len() - (LINES - 1);
            texts.truncate(LINES - 1);
            texts.push(format!("and {more} more"));
        }
        for (number, bar) in self.lines.iter().enumerate() {
            bar.set_message(texts.get(number).cloned().unwrap_or_default());
            bar.tick();
        }
    }
}

fn rank(status: &Status) -> u8 {
    match status {
        Status::Starting | Status::Stopping => 0,
        Status::Down(_) => 1,
        _ => 2,
    }
}

fn line(tree: &Tree, view: &View) -> String {
    let (name, long) = (&view.key, span(view.since.elapsed()));
    match &view.status {
        Status::Waiting | Status::Declared => {
            let on = waits_for(tree, view);
            match on.is_empty() {
                true => format!("{name} is next"),
                false => format!("{name} waits for {}", on.join(", ")),
            }
        }
        Status::Down(failure) => format!("{name} is down: {failure}"),
        status => format!("{name} {status} for {long}"),
    }
}

fn waits_for(tree: &Tree, view: &View) -> Vec<String> {
    let Some(edges) = &view.edges else { return Vec::new() };
    let standings = tree.board.standings(edges).into_iter();
    let lacking = standings.filter(|(_, standing)| !standing.lets_start());
    lacking.map(|(key, _)| key.to_string()).collect()
}

/// Prints what happens, a line for each thing.
pub struct Events {
    printing: JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Events {
    /// Prints everything that happens from now on, or only what is news where a display shows the
    /// rest.
    pub fn print(node: &Node, everything: bool) -> Self {
        let follow = node.tree().journal.follow();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let printing = tokio::spawn(print(follow, everything, stopped));
        Self { printing, stop }
    }

    /// Prints what has happened until now, and no more.
    pub async fn finish(self) {
        drop(self.stop);
        let _it_only_prints = self.printing.await;
    }
}

async fn print(
    mut follow: Follow,
    everything: bool,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    loop {
        let next = tokio::select! {
            // What has happened already is printed before it stops.
            biased;
            next = follow.next() => next,
            _ = &mut stopped => None,
        };
        let text = match next {
            Some(Followed::Event(event)) => {
                log(&event);
                if !everything && !is_news(&event) {
                    continue;
                }
                let at = genii_protocols::Timestamp::from(event.at);
                format!("{at} {} {}\n", event.key, event.what)
            }
            Some(Followed::Missed(missed)) => format!("({missed} events went by)\n"),
            None => return,
        };
        // Whoever reads this may have gone; the house has not.
        let _nobody_reads = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

/// What happens stands in the log file as well, among what the agents say.
fn log(event: &Event) {
    let (agent, what) = (&event.key, &event.what);
    match what {
        What::Crashed { .. }
        | What::StartFailed { .. }
        | What::Quarantined { .. }
        | What::Escalated { .. } => tracing::warn!(target: JOURNAL, "{agent} {what}"),
        _ => tracing::info!(target: JOURNAL, "{agent} {what}"),
    }
}

/// The target of what happens, for the setting `log`.
const JOURNAL: &str = "genii::journal";

/// Whether somebody who watches no display should hear of it.
fn is_news(event: &Event) -> bool {
    match &event.what {
        What::Crashed { .. } | What::StartFailed { .. } | What::Quarantined { .. } => true,
        What::Escalated { .. } | What::Degraded { .. } | What::Blocked { .. } => true,
        What::Ready { .. } => event.incarnation > 1,
        _ => false,
    }
}
