//! `genii up`: brings a household to life, and serves until somebody ends it.

mod call;
mod choice;
mod clients;
pub mod ending;
mod events;
mod local_cluster;
mod printer;
mod progress;
mod signals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use genii_actors::catalogue;
use genii_protocols::{Name, NodeName};
use genii_runtime::cluster::{Cluster, Timing};
use genii_runtime::gateway::{ClientPort, Gateway};
use genii_runtime::house::{ASLEEP, Row};
use genii_runtime::link::listener::Listener;
use genii_runtime::link::network::Network;
use genii_runtime::link::tls_network::TlsNetwork;
use genii_runtime::{House, Node, NodeOptions};

use self::choice::Choice;
use self::ending::Ending;
use self::events::Events;
use self::local_cluster::{LocalArgs, LocalCluster, LocalPlan};
pub use self::printer::LAST_WORDS;
use self::printer::Printer;
use self::progress::{Canvas, Progress};
use self::signals::Signals;
use crate::admin::server::AdminSocket;
use crate::commands::being::reach::{Unanswered, how_to_begin};
use crate::commands::{Side, elsewhere, examples, tree, why};
use crate::data::{Data, DataLock};
use crate::fault::Fault;
use crate::household;
use crate::load::{self, From, LegacyArgs, legacy_file};
use crate::logging;
use crate::screen::{Screen, many, span};
use crate::settings::Settings;

/// How long the machines beside this one may take before the tree is shown as it is, and how often to
/// look.
const SETTLE_PATIENCE: Duration = Duration::from_secs(3);
const SETTLE_LOOK: Duration = Duration::from_millis(10);

/// What a program ends with that was ended by a signal before it had done its work.
pub const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii up",
    "genii up --topology house.toml --only memory,audio",
    "genii up --legacy startup_config.yaml --cut TaskRouter:EmotionEngine --root ~/agents",
    "genii up --plain > up.log        one line for each thing that happens",
    "genii up --local-cluster         two machines, both of them this one",
]))]
pub struct UpArgs {
    /// The topology file [default: the one that is set, or else the one that is built in]
    #[arg(long, value_name = "FILE", conflicts_with = "legacy")]
    topology: Option<PathBuf>,
    /// Start-up files of before; NODE=FILE for those of another machine
    #[arg(long, value_name = "FILE", num_args = 1.., value_parser = legacy_file)]
    legacy: Vec<(Option<NodeName>, PathBuf)>,
    #[command(flatten)]
    legacy_args: LegacyArgs,
    /// Only these groups, and what their agents need [default: all]
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    only: Vec<Name>,
    /// The name of this machine in the topology [default: the setting `node`]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// Print a line for each thing that happens, for logs and CI
    #[arg(long)]
    plain: bool,
    /// As `--plain`, but only what is news: for those that `--local-cluster` starts
    #[arg(long, hide = true, conflicts_with = "plain")]
    only_news: bool,
    #[command(flatten)]
    local: LocalArgs,
}

impl UpArgs {
    /// What is set, with flags that stand behind those of the command line.
    fn settings(&self, data: &Data, more: &[(&'static str, String)]) -> Result<Settings, Fault> {
        let mut flags = Vec::new();
        if let Some(node) = &self.node {
            flags.push(("node", node.to_string()));
        }
        if let Some(file) = &self.topology {
            flags.push(("topology", file.display().to_string()));
        }
        flags.extend_from_slice(more);
        Settings::read(data, &flags)
    }

    fn from(&self, settings: &Settings, data: &Data) -> From {
        match settings.topology(data) {
            _ if !self.legacy.is_empty() => {
                From::Legacy(self.legacy.clone(), self.legacy_args.clone())
            }
            Some(file) => From::File(file),
            None if self.local.local_cluster => From::TwoMachines,
            None => From::BuiltIn,
        }
    }
}

/// Brings the household up and serves.
pub async fn run(args: &UpArgs, data: &Data) -> Result<ExitCode, Fault> {
    args.legacy_args.refuse_without(&args.legacy)?;
    let mut settings = args.settings(data, &[])?;
    let loaded = load::load(&args.from(&settings, data))?;
    if args.local.local_cluster {
        settings = args.settings(data, &local_cluster::flags(&settings, &loaded.topology))?;
    }
    let is_plain =
        args.plain || args.only_news || !std::io::IsTerminal::is_terminal(&std::io::stderr());
    let local = args.local.local_cluster.then(|| {
        let (topology, file) = (&loaded.topology, settings.topology(data));
        LocalPlan::of(topology, file, &settings.node(), &args.local, is_plain)
    });
    let choice = match loaded.report.has_errors() {
        true => Err(load::refused(&loaded.report)),
        false => Choice::on(loaded.topology, &args.only, &settings, data),
    };
    // Warnings about what is not started here would only be in the way.
    let mut report = loaded.report;
    if let Ok(choice) = &choice {
        choice.leave_out_others(&mut report);
        report.extend(choice.obstacles());
    }
    crate::report::show(&report);
    let choice = choice?;
    if report.has_errors() {
        return Err(load::refused(&report));
    }
    let local = local.transpose()?;
    data.prepare()?;
    let lock = data.lock()?;
    data.take_scratch(&lock)?;
    data.keep_call(&call::words(args), &lock);
    let signals = Signals::listen()?;
    let canvas = Canvas::default();
    let printer = Arc::new(Printer::begin(canvas.clone()));
    let (only_news, beside) = (args.only_news, Arc::default());
    let up = Up { data, lock, signals, canvas, printer, is_plain, only_news, local, beside };
    up.live(&settings, choice).await
}

/// What a running `up` holds.
struct Up<'a> {
    data: &'a Data,
    lock: DataLock,
    signals: Signals,
    canvas: Canvas,
    printer: Arc<Printer>,
    is_plain: bool,
    only_news: bool,
    /// The other machines that are to run here.
    local: Option<LocalPlan>,
    /// Those that do.
    beside: Arc<LocalCluster>,
}

/// What there is before the house begins.
struct Begun {
    node: Node,
    /// Where other machines are listened to.
    listener: Option<Listener>,
    /// Where clients will be served.
    port: Option<ClientPort>,
}

/// Why a house is to end.
enum End {
    /// A signal came before the house was up.
    Interrupted,
    /// Somebody asked for it.
    Asked(String),
    /// The house has failed.
    Failed(String),
}

/// How a house has ended.
struct Ended {
    house: House,
    end: End,
    /// How many processes could not be ended.
    left: usize,
}

impl Up<'_> {
    async fn live(mut self, settings: &Settings, choice: Choice) -> Result<ExitCode, Fault> {
        let (printer, logs) = (self.printer.clone(), self.data.logs());
        let outcome = match self.begin(settings).await {
            Ok(Begun { node, listener, port }) => {
                printer.complain(choice.what_is_left_out(node.cluster().is_some()));
                let everything = self.is_plain && !self.only_news;
                let events = Events::print(&node, printer.clone(), everything);
                let beside = self.beside.clone();
                let ended = self.run(node, choice, port, &events).await;
                // Where it did not come to the end that stops them, too.
                beside.stop().await;
                events.finish().await;
                if let Some(listener) = listener {
                    listener.close().await;
                }
                ended.and_then(|ended| ended.tell(&printer, &logs))
            }
            Err(fault) => Err(fault),
        };
        printer.finish().await;
        outcome
    }

    /// Takes what is needed to begin, and joins the other machines when all of it is had.
    async fn begin(&mut self, settings: &Settings) -> Result<Begun, Fault> {
        let node = self.node(settings).await?;
        let port = clients::port(settings).await?;
        let listener = self.join_others(settings, &node).await?;
        self.begin_beside(listener.as_ref())?;
        Ok(Begun { node, listener, port })
    }

    /// Makes the node, once nothing of an earlier genii is in its way.
    async fn node(&mut self, settings: &Settings) -> Result<Node, Fault> {
        let mark = self.data.mark();
        let sweeping = tokio::task::spawn_blocking({
            let mark = mark.clone();
            move || mark.as_deref().map_or(0, genii_runtime::process::strays::sweep)
        });
        let left = tokio::select! {
            left = sweeping => left.unwrap_or_default(),
            // Nothing has been started that would have to be stopped.
            () = self.signals.next() => std::process::exit(INTERRUPTED.into()),
        };
        if left > 0 {
            let killed = many(
                left,
                "process that an earlier genii left was",
                "processes that an earlier genii left were",
            );
            self.printer.complain(format!("{killed} killed\n"));
        }
        // Agents keep what they have there, wherever they are called from.
        let data = std::path::absolute(self.data.folder()).ok();
        let limits = settings.limits();
        let options = NodeOptions { limits, mark, data, ..NodeOptions::new(settings.node()) };
        let node = Node::new(options);
        logging::begin(self.data, settings, &node)?;
        Ok(node)
    }

    async fn run(
        mut self,
        node: Node,
        choice: Choice,
        port: Option<ClientPort>,
        events: &Events,
    ) -> Result<Ended, Fault> {
        let began = std::time::Instant::now();
        let house = House::begin(node, catalogue(), choice.topology).await;
        let house = house.map_err(|failure| Fault::new(failure.to_string()))?;
        let ending = Ending::default();
        let unanswered = Unanswered::default();
        let side = Side { house: house.clone(), ending: ending.clone(), unanswered };
        if let Some(cluster) = house.node().cluster() {
            cluster.carry_out(elsewhere::carry(side.clone()));
        }
        let socket = self.data.socket();
        let socket = match AdminSocket::open(&socket, side) {
            Ok(socket) => socket,
            Err(error) => {
                house.shutdown().await;
                let shown = socket.display();
                return Err(Fault::new(format!(
                    "the admin socket {shown} cannot be made: {error}"
                ))
                .help("name another data folder with --data DIR"));
            }
        };
        let clients = match clients::open(&house, port, self.data, &self.printer).await {
            Ok(clients) => clients,
            Err(fault) => {
                house.shutdown().await;
                socket.unlink();
                return Err(fault);
            }
        };
        let end = match self.bring_up(&house, &ending).await {
            None => {
                let took = began.elapsed();
                clients.is_serving(true).await;
                if self.local.is_some() {
                    others_settle(&house).await;
                }
                events.caught_up(house.node().tree().journal.last()).await;
                let (genii, here) = (self.data.genii(), Path::new(""));
                let first_being = how_to_begin(&house, &genii, here).await;
                self.say_it_is_up(&house, took, first_being.as_deref());
                self.serve(&house, &ending).await
            }
            Some(end) => end,
        };
        clients.is_serving(false).await;
        Ok(self.end(end, house, &ending, socket, clients).await)
    }

    /// Joins the node to the other machines of its household, where it listens to them or knows where
    /// one is.
    async fn join_others(
        &self,
        settings: &Settings,
        node: &Node,
    ) -> Result<Option<Listener>, Fault> {
        let identity = household::identity(self.data, &settings.node())?;
        let trust = self.data.trust();
        let (listener, opens) = match settings.listen() {
            None => (None, tokio::sync::mpsc::channel(1).1.into()),
            Some(at) => {
                let (listener, opens) = Listener::open(at, &trust).await.map_err(|error| {
                    Fault::new(error.to_string())
                        .help("set `listen` in genii.toml to another, or to \"\" to listen nowhere")
                })?;
                let (at, household) = (listener.at(), identity.household());
                self.printer.complain(format!("listening at {at} for the household {household}\n"));
                (Some(listener), opens)
            }
        };
        let places = listener.iter().map(|listener| household::place(listener.at())).collect();
        let network = TlsNetwork::new(&trust, identity.node().clone(), places, opens);
        if listener.is_some() || !network.known().is_empty() {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let began = now.unwrap_or_default().as_millis();
            let began = u64::try_from(began).unwrap_or(u64::MAX / 2);
            // Before the first greeting.
            node.knows(&catalogue());
            Cluster::begin(node, Arc::new(network), Timing::default(), began);
        }
        Ok(listener)
    }

    /// Starts the other machines that are to run here.
    fn begin_beside(&mut self, listener: Option<&Listener>) -> Result<(), Fault> {
        let planned = self.local.as_ref().zip(listener);
        if let Some((local, listener)) = planned {
            self.beside = Arc::new(local.begin(self.data, listener.at(), &self.printer)?);
        }
        Ok(())
    }

    /// Waits until the house is up, or is to end before that.
    async fn bring_up(&mut self, house: &House, ending: &Ending) -> Option<End> {
        let progress = Progress::show(house, "starting", &self.canvas, self.is_plain);
        let end = tokio::select! {
            up = house.up() => up.err().map(|failure| End::Failed(failure.to_string())),
            () = self.signals.next() => Some(End::Interrupted),
            why = ending.begun() => Some(End::Asked(why)),
        };
        progress.finish().await;
        end
    }

    /// Shows what is up, and how to go on from there: how the first being is made, where none is.
    fn say_it_is_up(&self, house: &House, took: Duration, first_being: Option<&str>) {
        let mut screen = Screen::stdout();
        tree::show(&tree::branches(house), &mut screen);
        screen.line("");
        let rows = crate::commands::ps::agents(house);
        screen.line(how_many_are_ready(house.node().name(), &rows, took));
        if !self.is_plain {
            let genii = self.data.genii();
            screen.hint(&format!(
                "`{genii} repl` in another terminal talks with them; Ctrl-C ends them"
            ));
        }
        if let Some(how) = first_being.filter(|_| !self.only_news) {
            screen.hint(how);
        }
        self.printer.say(screen.into_text());
    }

    fn say_it_stops(&self, why: &str) {
        self.printer.complain(format!("{why}; stopping; a second signal stops at once\n"));
    }

    /// Serves until the house is to end.
    async fn serve(&mut self, house: &House, ending: &Ending) -> End {
        tokio::select! {
            () = self.signals.next() => End::Asked("a signal came".to_owned()),
            why = ending.begun() => End::Asked(why),
            reason = house.ended() => End::Failed(format!("the house has ended: {reason}")),
        }
    }

    /// Stops everything. A second signal ends this process at once, and the processes of its
    /// agents are killed by those who keep them.
    async fn end(
        mut self,
        end: End,
        house: House,
        ending: &Ending,
        socket: AdminSocket,
        clients: Gateway,
    ) -> Ended {
        match &end {
            End::Interrupted => self.say_it_stops("interrupted"),
            End::Asked(why) => self.say_it_stops(why),
            End::Failed(_) => {}
        }
        let progress = Progress::show(&house, "stopping", &self.canvas, self.is_plain);
        let stops = async {
            // First, so that nobody asks what cannot be answered any more.
            clients.finish(ending.answers_until()).await;
            tokio::join!(house.shutdown(), self.beside.stop())
        };
        let left = tokio::select! {
            (left, ()) = stops => left,
            () = self.signals.next() => {
                progress.finish().await;
                self.printer.complain("forced to stop\n");
                self.printer.finish().await;
                std::process::exit(INTERRUPTED.into());
            }
        };
        if let Some(cluster) = house.node().cluster() {
            cluster.leave().await;
        }
        progress.finish().await;
        socket.unlink();
        clients.close().await;
        drop(self.lock);
        ending.finish(left);
        socket.close().await;
        let is_in_order = left == 0 && !matches!(end, End::Failed(_));
        if is_in_order && !self.only_news {
            self.printer.complain("stopped\n");
        }
        Ended { house, end, left }
    }
}

/// Waits for a moment until the agents of the machines beside this one have settled, so that what is
/// shown is not how they begin.
async fn others_settle(house: &House) {
    let settling = async {
        let begins = |row: &Row| {
            row.node.is_some() && matches!(&*row.state, "declared" | "waiting" | "starting")
        };
        while crate::commands::ps::agents(house).iter().any(begins) {
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    };
    let _shown_as_it_is = tokio::time::timeout(SETTLE_PATIENCE, settling).await;
}

/// How many agents of this machine are ready after a time; and how many of each other.
fn how_many_are_ready(own: &NodeName, rows: &[Row], took: Duration) -> String {
    let mut of: BTreeMap<Option<&NodeName>, (usize, usize)> = BTreeMap::new();
    for row in rows {
        let (ready, all) = of.entry(row.node.as_ref()).or_default();
        // One that sleeps wakes at its next message.
        *ready += usize::from(matches!(&*row.state, "ready" | "completed" | ASLEEP));
        *all += 1;
    }
    let (ready, all) = of.remove(&None).unwrap_or_default();
    let mut line = match all {
        0 => format!("{own} is up, and hosts no agents yet"),
        all => format!("{ready} of {all} agents are ready after {}", span(took)),
    };
    for (node, (ready, all)) in of.iter().filter_map(|(node, of)| Some(((*node)?, of))) {
        line += &format!("; on {node}, {ready} of {all}");
    }
    line
}

impl Ended {
    /// Says how it has ended, and what this program ends with.
    fn tell(self, printer: &Printer, logs: &Path) -> Result<ExitCode, Fault> {
        if self.left > 0 {
            let left = many(self.left, "process", "processes");
            return Err(Fault::new(format!("{left} could not be ended"))
                .help("the system's own ps shows what is left; it may hang in the kernel"));
        }
        match self.end {
            End::Asked(_) => Ok(ExitCode::SUCCESS),
            End::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
            End::Failed(why) => {
                printer.say(what_failed(&self.house));
                Err(Fault::new(why).help(format!("what was logged is in {}", logs.display())))
            }
        }
    }
}

/// How the required agents failed that never became ready, with what they printed.
fn what_failed(house: &House) -> String {
    let mut screen = Screen::stdout();
    let topology = house.topology();
    for agent in topology.agents.iter().filter(|agent| agent.policy.required) {
        let why = house.why(agent.address.as_str());
        let crash = why.ok().and_then(|why| why.because.crash);
        if let Some(crash) = crash.filter(|crash| crash.after_seconds.is_none()) {
            screen.line(agent.address.as_str());
            why::show_crash(&crash, "", &mut screen);
        }
    }
    screen.into_text()
}
