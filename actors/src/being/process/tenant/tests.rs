//! A tenant that is no being, in a process of its own: it does what no being should.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use genii_protocols::being::AskHealth;
use genii_protocols::{Address, Fault, Message, Never, message};
use genii_runtime::{Agent, Context, Handle, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::being::embedding::EmbedderSettings;
use crate::being::process::ProcessLimits;
use crate::being::process::annex::Annex;
use crate::being::process::watch::{Amiss, Watch};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a tenant may not look up from its work. A machine with much else to do keeps none from it for so
/// long.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long to leave the neighbour alone between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// Tells the test binary that it is the process of a tenant: the folder of its lease.
const FOLDER: &str = "GENII_TEST_TENANT";

/// Turn round for ever.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Spin {}
message!(Spin = "spinner.spin" -> ());

/// Say in which process you are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct TellProcess {}
message!(TellProcess = "spinner.tell_process" -> u32);

struct Spinner;

impl Agent for Spinner {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Spin>().on::<TellProcess>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self)
    }
}

impl Handle<Spin> for Spinner {
    async fn handle(&mut self, _: Spin, _: &mut Context) -> Result<(), Never> {
        loop {
            std::hint::spin_loop();
        }
    }
}

impl Handle<TellProcess> for Spinner {
    async fn handle(&mut self, _: TellProcess, _: &mut Context) -> Result<u32, Never> {
        Ok(std::process::id())
    }
}

/// The process of a tenant, if the test binary is told to be one.
#[test]
fn in_a_process_of_its_own() {
    // Run beside the others, it is none.
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let lease = Lease::read(&folder).unwrap();
    // As many threads as a being has.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(THREADS).enable_all().build().unwrap();
    let _lives = runtime.block_on(async {
        let node = Node::new(NodeOptions::new(name()));
        let spinner = node.agent::<Spinner>(&lease.being, Json::default());
        let spec = SupervisorSpec::new("tenant").with_child(spinner);
        let root = Supervisor::start(spec, node.tree().clone()).await.unwrap();
        let cluster = link(&node, &lease, &folder);
        let mut teller = Teller::new(&node);
        tokio::spawn(async move { teller.tell().await });
        (node, root, cluster)
    });
    // Until who has started it lets go of it, or has ended itself: nothing else ends a loop without an end.
    let _let_go = std::io::stdin().read_line(&mut String::new());
    std::process::exit(0);
}

/// A tenant with its annex. Dropped, its process is killed.
struct Apart {
    annex: Annex,
    watch: Watch,
    process: Child,
}

impl Apart {
    async fn new(house: &Node, id: &str) -> Self {
        let being = Address::parse(&format!("being/{id}")).unwrap();
        let limits =
            ProcessLimits { answer_within: ANSWER_WITHIN.into(), ..ProcessLimits::default() };
        let lease = Lease::new(being, PathBuf::new(), limits.clone(), EmbedderSettings::default());
        let annex = Annex::open(house, lease).await.unwrap();
        let test = "being::process::tenant::tests::in_a_process_of_its_own";
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, annex.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let watch = Watch::new(&annex, i32::try_from(process.id()).unwrap(), limits);
        let own = Self { annex, watch, process };
        timeout(PATIENCE, own.annex.answers()).await.expect("it lives in time");
        own
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _has_ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn house(data: &TempDir) -> Node {
    Node::new(NodeOptions {
        data: Some(data.path().to_owned()),
        ..NodeOptions::new(NodeName::new("main").unwrap())
    })
}

/// The process is a real one, and the loop too. That a process is killed of which something is amiss, and
/// comes back, is tried in `tests/cli/isolation.rs`, with one that is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_turns_round_for_ever_is_noticed_and_holds_up_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let house = house(&data);
    let (mut spins, other) = tokio::join!(Apart::new(&house, "marit"), Apart::new(&house, "tobin"));
    let neighbour = other.annex.mail();
    assert_eq!(spins.annex.mail().ask(TellProcess {}).await, Ok(spins.process.id()));

    let watch = spins.watch.clone();
    let mut noticed = std::pin::pin!(watch.until_amiss());
    spins.annex.mail().tell(Spin {}).await.unwrap();
    let until = Instant::now() + PATIENCE;
    let amiss = loop {
        tokio::select! {
            amiss = &mut noticed => break amiss,
            answer = neighbour.ask_within(TellProcess {}, ANSWER_WITHIN) => {
                assert_eq!(answer, Ok(other.process.id()));
            }
        }
        assert!(Instant::now() < until, "it is not noticed");
        sleep(PAUSE).await;
    };
    assert_eq!(amiss, Amiss::Silent(ANSWER_WITHIN.into()), "{amiss}");
    assert!(amiss.to_string().contains("`limits.answer_within`"), "{amiss}");
    assert!(spins.process.try_wait().unwrap().is_none(), "it turns round still");
    assert_eq!(neighbour.ask(TellProcess {}).await, Ok(other.process.id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_is_told_and_does_not_handle_is_a_dead_letter_of_the_house() {
    let data = tempfile::tempdir().unwrap();
    let house = house(&data);
    let mut apart = Apart::new(&house, "marit").await;
    let (mail, letters) = (apart.annex.mail(), house.dead_letters());
    mail.tell(AskHealth {}).await.unwrap();
    let (_, letter) = timeout(PATIENCE, letters.next_after(0)).await.expect("it is told of");
    assert_eq!(
        (letter.to.to_string().as_str(), &*letter.message),
        ("being/marit", AskHealth::NAME)
    );
    assert!(matches!(letter.fault, Fault::Rejected { .. }), "{}", letter.fault);

    // It is not known which of them was begun.
    mail.tell(Spin {}).await.unwrap();
    mail.tell(TellProcess {}).await.unwrap();
    apart.process.kill().unwrap();
    let (_, lost) = timeout(PATIENCE, letters.next_after(1)).await.expect("it is told of");
    assert_eq!(lost.to, letter.to);
    assert!(lost.message.starts_with("(up to "), "{}", lost.message);
}
