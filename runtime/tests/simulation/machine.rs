//! One life of one node, with those who send from it.

use std::fmt::Write as _;
use std::time::Duration;

use genii_protocols::{Address, AskError, NodeName};
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::dead_letters::DEAD_LETTERS_KEPT;
use genii_runtime::link::simulated::Waters;
use genii_runtime::topology::Topology;
use genii_runtime::{Catalogue, House, Limits, Node, NodeOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::agent::{Break, Work, Worker};
use crate::company::{NEWS, Publisher, publish};
use crate::linking;
use crate::log::{Buried, Log, Outcome, Style};
use crate::script::{AGENTS, COVERED, SENDERS, SPARE, millis};
use crate::streams;

/// Agents start at once; that they have must not be looked for when all is quiet.
const PATIENCE: &str = "start_timeout = \"1s\"\nstop_timeout = \"1s\"";

/// How many addresses one node may tell of.
pub const ADDRESSES_MAX: usize = 1_000;

/// How long who tells waits for room.
const TELL_PATIENCE: Duration = Duration::from_millis(700);

/// The name of a node.
pub fn name(node: usize) -> NodeName {
    NodeName::new(&format!("n{node}")).unwrap()
}

/// The address of an agent that every node has heard of.
pub fn address((node, agent): (usize, usize)) -> Address {
    Address::parse(&format!("g{node}/{}", AGENTS[agent])).unwrap()
}

/// The address of who stands in for an agent, given how many nodes there are.
pub fn stand_in(of: &Address, nodes: usize) -> Option<Address> {
    let node = (0..nodes).find(|node| address((*node, COVERED)) == *of)?;
    Some(address(((node + 1) % nodes, SPARE)))
}

/// The address of an agent that only its own node has in its topology.
pub fn extra(node: usize, number: usize) -> Address {
    Address::parse(&format!("g{node}/extra-{number}")).unwrap()
}

/// The topology as one node has it: all nodes, and its own extras.
fn topology(nodes: usize, own: usize, extras: usize) -> Topology {
    let mut text = String::new();
    for node in 0..nodes {
        let next = (node + 1) % nodes;
        write!(text, "[groups.g{node}]\nnode = \"n{node}\"\nrestarts = 100\nwindow = \"1s\"\n")
            .unwrap();
        write!(text, "[agents.\"g{node}/quick\"]\nkind = \"worker\"\n{PATIENCE}\nsettings = {{ listens = true }}\n").unwrap();
        write!(
            text,
            "[agents.\"g{node}/slow\"]\nkind = \"worker\"\n{PATIENCE}\nmailbox_capacity = 4\n"
        )
        .unwrap();
        write!(text, "[agents.\"g{node}/needy\"]\nkind = \"worker\"\n{PATIENCE}\nneeds = [\"g{next}/quick\"]\n").unwrap();
        write!(text, "[agents.\"g{node}/covered\"]\nkind = \"worker\"\n{PATIENCE}\nfallback = \"g{next}/spare\"\n").unwrap();
        write!(text, "[agents.\"g{node}/spare\"]\nkind = \"worker\"\n{PATIENCE}\n").unwrap();
    }
    for extra in 0..extras {
        write!(text, "[agents.\"g{own}/extra-{extra}\"]\nkind = \"worker\"\n{PATIENCE}\n").unwrap();
    }
    Topology::parse(&text, &kinds()).unwrap()
}

fn kinds() -> Catalogue {
    Catalogue::new().with::<Worker>("worker")
}

/// Something to be sent, or published under a number.
enum Job {
    Send(Sending),
    Publish(u64),
}

struct Sending {
    id: u64,
    to: Address,
    style: Style,
    takes: u64,
    fill: usize,
}

/// One life of a node.
pub struct Machine {
    pub node: Node,
    pub cluster: Cluster,
    pub house: House,
    /// Its number among all, and which life of it.
    pub which: (usize, u64),
    nodes: usize,
    senders: Vec<(mpsc::UnboundedSender<Job>, JoinHandle<()>)>,
    /// It drains, stops and takes its leave.
    drains: Option<JoinHandle<()>>,
    /// How many of its dead letters have been written down.
    buried: u64,
    log: Log,
}

impl Machine {
    pub async fn boot(waters: &Waters, nodes: usize, which: (usize, u64), log: &Log) -> Self {
        let own = name(which.0);
        let limits = Limits {
            tell_patience: TELL_PATIENCE,
            mailbox_capacity: 64,
            addresses_of_one_max: ADDRESSES_MAX,
            ..Limits::default()
        };
        let seed = which.1 * 100 + which.0 as u64;
        let node = Node::new(NodeOptions { seed, limits, ..NodeOptions::new(own.clone()) });
        let others: Vec<NodeName> = (0..nodes).map(name).collect();
        let network = waters.harbour_that_knows(&own, &others);
        // A greater number for each life.
        let cluster = Cluster::begin(&node, network, Timing::default(), which.1 * 1_000);
        let house = House::begin(node.clone(), kinds(), topology(nodes, which.0, 0)).await.unwrap();
        let by = |sender| (which.0, which.1, sender);
        let senders = (0..SENDERS).map(|number| sender(&node, log, by(number))).collect();
        let (drains, log) = (None, log.clone());
        Self { node, cluster, house, which, nodes, senders, drains, buried: 0, log }
    }

    /// Lets a sender send.
    pub fn send(&self, sender: usize, to: &Address, style: Style, takes: u64, fill: usize) {
        let id = self.log.sends((self.which.0, self.which.1, sender), to, style);
        self.put(sender, Job::Send(Sending { id, to: to.clone(), style, takes, fill }));
    }

    /// Lets a sender publish something.
    pub fn publish(&self, sender: usize) {
        let by = (self.which.0, self.which.1, sender);
        self.put(sender, Job::Publish(self.log.company(|company| company.publishes(by))));
    }

    fn put(&self, sender: usize, job: Job) {
        assert!(self.senders[sender].0.send(job).is_ok(), "a sender ends with its machine alone");
    }

    /// Lets an agent crash. Whether it does, where there is none, is of no interest.
    pub fn break_agent(&self, to: &Address) {
        let mail = self.node.to(to.clone());
        tokio::spawn(async move { drop(mail.ask_within(Break {}, millis(500)).await) });
    }

    /// Follows a topology with so many extras.
    pub fn follow(&self, extras: usize) -> JoinHandle<()> {
        let (house, topology) = (self.house.clone(), topology(self.nodes, self.which.0, extras));
        tokio::spawn(async move { drop(house.apply(topology).await) })
    }

    /// It is gone from one moment to the next; what it was is put away behind the scenes.
    pub fn crash(self, waters: &Waters) -> JoinHandle<()> {
        waters.crash(self.node.name());
        self.log.crashes(self.which);
        self.cluster.end();
        self.put_away()
    }

    /// It takes its leave.
    pub fn leave(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            self.cluster.leave().await;
            let _gone = self.put_away().await;
        })
    }

    /// It lets finish what runs, stops, and takes its leave, in the order of `genii ctl drain`. Others
    /// send to it all the while, and its senders send.
    pub fn drain(&mut self, patience: Duration) {
        let (house, cluster) = (self.house.clone(), self.cluster.clone());
        let (which, log) = (self.which, self.log.clone());
        self.drains.get_or_insert_with(|| {
            tokio::spawn(async move {
                let left = house.drain(patience, |_| {}).await;
                log.note(format_args!("{which:?} has drained: {left:?}"));
                house.shutdown().await;
                cluster.leave().await;
            })
        });
    }

    /// Whether it was told to drain.
    pub fn drains(&self) -> bool {
        self.drains.is_some()
    }

    /// Whether it has drained, and has left.
    pub fn has_drained(&self) -> bool {
        self.drains.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// What is left of it is put away: all of it, whatever it was about.
    pub fn put_away(mut self) -> JoinHandle<()> {
        for (_, sending) in &self.senders {
            sending.abort();
        }
        self.log.orphan(self.which.0, self.which.1);
        tokio::spawn(async move {
            self.house.shutdown().await;
            if let Some(drains) = self.drains.take() {
                drains.await.expect("it does not panic");
            }
            self.tell_of_the_end();
        })
    }

    /// Writes down what it has buried since this was last called.
    pub fn write_down(&mut self) {
        let letters = self.node.dead_letters();
        let new = usize::try_from(letters.total() - self.buried).unwrap();
        self.buried = letters.total();
        let kept = letters.tail(new.min(DEAD_LETTERS_KEPT));
        if kept.len() < new {
            self.log.lost_count(self.which);
        }
        // Lost news are told of in their own way.
        let others = kept.iter().filter(|letter| !letter.message.starts_with(NEWS));
        let buried = others.map(|letter| Buried {
            on: self.which,
            to: letter.to.address.clone(),
            up_to: letter
                .message
                .strip_prefix("(up to ")
                .map(|rest| rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap()),
        });
        self.log.buries(buried.collect());
    }

    /// Writes down what happened in it.
    pub fn tell_of_the_end(&mut self) {
        self.write_down();
        linking::read(&self.log, self);
        for event in self.node.tree().journal.tail(usize::MAX, |_| true) {
            let (which, key, life) = (self.which, &event.key, event.incarnation);
            self.log.note(format_args!("of {which:?}: {} {key} {life} {}", event.seq, event.what));
        }
    }

    /// How an agent stands, as this node sees it.
    pub fn state(&self, agent: &Address) -> Option<&'static str> {
        self.house.member(agent.as_str()).ok().map(|member| member.view.status.word())
    }

    /// How another node stands, as this one sees it.
    pub fn membership(&self, other: usize) -> Option<Membership> {
        let members = self.cluster.members();
        members.iter().find(|member| member.node == name(other)).map(|member| member.membership)
    }

    pub async fn probe(&self, sender: usize, to: &Address, patience: Duration) -> Outcome {
        let id = self.log.sends((self.which.0, self.which.1, sender), to, Style::Ask { patience });
        let work = Work { id, takes_millis: 0, fill: String::new() };
        let outcome = answered(self.node.to(to.clone()).ask_within(work, patience).await);
        self.log.ends(id, outcome.clone());
        outcome
    }
}

/// One who sends one thing after another.
fn sender(node: &Node, log: &Log, by: Publisher) -> (mpsc::UnboundedSender<Job>, JoinHandle<()>) {
    let (jobs, mut todo) = mpsc::unbounded_channel::<Job>();
    let (node, log) = (node.clone(), log.clone());
    let sending = tokio::spawn(async move {
        while let Some(job) = todo.recv().await {
            match job {
                Job::Send(job) => {
                    log.begins(job.id);
                    let outcome = send(&node, &log, &job).await;
                    log.ends(job.id, outcome);
                }
                Job::Publish(number) => {
                    let _reached = publish(&node, &log, by, number).await;
                }
            }
        }
    });
    (jobs, sending)
}

async fn send(node: &Node, log: &Log, job: &Sending) -> Outcome {
    let mail = node.to(job.to.clone());
    let work = Work { id: job.id, takes_millis: job.takes, fill: "x".repeat(job.fill) };
    let told = match job.style {
        Style::Tell => mail.tell(work).await,
        Style::TryTell => mail.try_tell(work),
        Style::Ask { patience } => return answered(mail.ask_within(work, patience).await),
        Style::Stream(wanted) => return streams::ask(&mail, log, job.id, wanted).await,
    };
    match told {
        Ok(()) => Outcome::Told,
        Err(fault) => Outcome::Failed(*fault),
    }
}

fn answered(answer: Result<u64, AskError<genii_protocols::Never>>) -> Outcome {
    match answer {
        Ok(id) => Outcome::Answered(id),
        Err(AskError::Fault(fault)) => Outcome::Failed(*fault),
        Err(AskError::Refused(never)) => match never {},
    }
}
