//! What a person sees while a household starts and stops: what is starting, waiting for what.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use genii_protocols::Address;
use genii_runtime::House;
use genii_supervision::{Key, Status, View};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::printer::LAST_WORDS;
use crate::screen::span;

/// How often the display is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// How many agents are shown by name.
const LINES: usize = 8;

/// Where a display is drawn, when there is one, so that lines can be printed above it.
#[derive(Clone, Default)]
pub struct Canvas(Arc<Mutex<Option<ProgressBar>>>);

impl Canvas {
    /// Prints above the display, or plainly where there is none.
    pub fn print(&self, print: impl FnOnce()) {
        // The lock is not held while something is written, which may take for ever.
        let bar = self.0.lock().clone();
        match bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

/// A display that lives until it is finished.
pub struct Progress {
    drawing: Option<(mpsc::Sender<()>, oneshot::Receiver<()>)>,
}

impl Progress {
    /// Shows how far a house is, unless plain lines do.
    pub fn show(house: &House, verb: &'static str, canvas: &Canvas, is_plain: bool) -> Self {
        if is_plain {
            return Self { drawing: None };
        }
        let display = Display::new(verb, canvas.clone());
        *canvas.0.lock() = Some(display.bar.clone());
        let (stop, stopped) = mpsc::channel();
        let (gone, is_gone) = oneshot::channel();
        let house = house.clone();
        // A thread of its own, since a terminal may take what is drawn when it likes, or never.
        std::thread::spawn(move || {
            display.live(&house, &stopped);
            let _nobody_waits = gone.send(());
        });
        Self { drawing: Some((stop, is_gone)) }
    }

    /// Takes the display away; returns when it is gone from the screen, or the screen takes too long.
    pub async fn finish(self) {
        if let Some((stop, is_gone)) = self.drawing {
            drop(stop);
            let _stuck = tokio::time::timeout(LAST_WORDS, is_gone).await;
        }
    }
}

struct Display {
    verb: &'static str,
    bar: ProgressBar,
    canvas: Canvas,
}

impl Display {
    fn new(verb: &'static str, canvas: Canvas) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len}  {elapsed}{msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(verb);
        Self { verb, bar, canvas }
    }

    /// Draws until it is stopped, and then clears what it has drawn.
    fn live(self, house: &House, stopped: &mpsc::Receiver<()>) {
        while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(REDRAW) {
            self.draw(house);
        }
        self.bar.finish_and_clear();
        *self.canvas.0.lock() = None;
    }

    fn draw(&self, house: &House) {
        // What lives on another machine is only seen as what is waited for.
        let is_here = |view: &View| {
            Address::parse(view.key.as_str()).is_ok() && house.home_of(view.key.as_str()).is_none()
        };
        let all = house.node().tree().board.all().into_iter();
        let views: Vec<View> = all.filter(is_here).collect();
        let is_done = |view: &View| match self.verb {
            "stopping" => !view.status.is_alive(),
            _ => view.status.is_settled(),
        };
        self.bar.set_length(views.len() as u64);
        self.bar.set_position(views.iter().filter(|view| is_done(view)).count() as u64);
        let mut busy: Vec<&View> = views.iter().filter(|view| !is_done(view)).collect();
        // What others wait for comes first.
        busy.sort_by_key(|view| (rank(&view.status), view.since));
        let mut texts: Vec<String> = busy.iter().map(|view| line(house, view)).collect();
        if texts.len() > LINES {
            let more = texts.len() - (LINES - 1);
            texts.truncate(LINES - 1);
            texts.push(format!("and {more} more"));
        }
        let lines = texts.iter().map(|text| format!("\n  {text}"));
        self.bar.set_message(lines.collect::<String>());
        self.bar.tick();
    }
}

fn rank(status: &Status) -> u8 {
    match status {
        Status::Starting | Status::Stopping => 0,
        Status::Down(_) => 1,
        _ => 2,
    }
}

fn line(house: &House, view: &View) -> String {
    let (name, long) = (&view.key, span(view.since.elapsed()));
    match &view.status {
        Status::Waiting | Status::Declared => {
            let on = waits_for(house, view);
            match on.is_empty() {
                true => format!("{name} is next"),
                false => format!("{name} waits for {}", on.join(", ")),
            }
        }
        Status::Down(failure) => format!("{name} is down: {failure}"),
        status => format!("{name} {status} for {long}"),
    }
}

fn waits_for(house: &House, view: &View) -> Vec<String> {
    let Some(edges) = &view.edges else { return Vec::new() };
    let tree = house.node().tree();
    let standings = tree.board.standings(edges).into_iter();
    let lacking = standings.filter(|(_, standing)| !standing.lets_start()).map(|(key, _)| key);
    let is_coming = |key: &&Key| {
        let view = tree.board.view(key.as_str());
        view.is_some_and(|view| {
            matches!(view.status, Status::Declared | Status::Waiting | Status::Starting)
        })
    };
    let wanted = edges.wants.iter().filter(is_coming).cloned();
    lacking.chain(wanted).map(|key| with_its_node(house, &key)).collect()
}

/// An agent, and where it is if that is on another machine.
fn with_its_node(house: &House, agent: &Key) -> String {
    let cluster = house.node().cluster();
    match house.home_of(agent.as_str()) {
        None => agent.to_string(),
        Some(node) if cluster.is_some_and(|cluster| cluster.is_connected(&node)) => {
            format!("{agent} on {node}")
        }
        Some(node) => format!("{agent} on {node}, which is not connected"),
    }
}
