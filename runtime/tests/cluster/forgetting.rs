//! Askers that go before they are answered, on another node than who would answer; and who goes before it
//! has answered them.

use genii_protocols::CauseKind;
use genii_runtime::{HandleLater, Promise};

use super::*;

/// Keep this question.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Keep {}
message!(Keep = "keeper.keep" -> ());

/// Of which questions that were kept the askers have gone, in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Gone {}
message!(Gone = "keeper.gone" -> Vec<bool>);

struct Keeper(Vec<Promise<Keep>>);

impl Agent for Keeper {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on_later::<Keep>().on::<Gone>().on::<Crash>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self(Vec::new()))
    }
}

impl HandleLater<Keep> for Keeper {
    async fn handle_later(&mut self, _: Keep, promise: Promise<Keep>, _: &mut Context) {
        self.0.push(promise);
    }
}

impl Handle<Gone> for Keeper {
    async fn handle(&mut self, _: Gone, _: &mut Context) -> Result<Vec<bool>, Never> {
        Ok(self.0.iter().map(Promise::is_forgotten).collect())
    }
}

impl Handle<Crash> for Keeper {
    async fn handle(&mut self, _: Crash, context: &mut Context) -> Result<(), Never> {
        context.spawn(async { panic!("told to, in a task") });
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn who_answers_later_sees_that_an_asker_of_another_node_has_gone() {
    let (main, _pc2) = two_of::<Keeper>(70, TOPOLOGY).await;
    let to = main.node.to(address("there/power"));
    let ask = |patience| {
        let to = to.clone();
        tokio::spawn(async move { to.ask_within(Keep {}, patience).await })
    };
    let stays = ask(PATIENCE);
    let goes = ask(PATIENCE);
    let is_late = ask(Duration::from_millis(500));
    while to.ask(Gone {}).await.unwrap().len() < 3 {}
    assert_eq!(to.ask(Gone {}).await.unwrap(), [false; 3]);
    goes.abort();
    assert!(goes.await.unwrap_err().is_cancelled());
    assert_eq!(to.ask(Gone {}).await.unwrap(), [false, true, false]);
    is_late.await.unwrap().unwrap_err();
    assert_eq!(to.ask(Gone {}).await.unwrap(), [false, true, true]);
    stays.abort();
}

#[tokio::test(start_paused = true)]
async fn who_is_to_be_answered_later_from_another_node_learns_why_that_does_not_come() {
    let (main, _pc2) = two_of::<Keeper>(71, TOPOLOGY).await;
    let to = main.node.to(address("there/power"));
    let asking = tokio::spawn({
        let to = to.clone();
        async move { to.ask_within(Keep {}, PATIENCE).await }
    });
    let kept = async { while to.ask(Gone {}).await.unwrap().is_empty() {} };
    tokio::time::timeout(PATIENCE, kept).await.unwrap();
    to.tell(Crash {}).await.unwrap();
    let error = asking.await.unwrap().unwrap_err();
    let Some(Fault::Down { cause, .. }) = error.fault() else { panic!("{error}") };
    assert_eq!((cause.kind, cause.message.as_str()), (CauseKind::Panic, "told to, in a task"));
}
