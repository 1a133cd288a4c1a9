//! Messages that have another form on another machine.

use super::*;

/// Say it back, as it will be asked one day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct LaterEcho {
    #[serde(default)]
    times: u32,
    text: String,
}
message!(LaterEcho = "worker.echo" -> String);

/// A worker as it will be one day.
struct LaterWorker;

impl Agent for LaterWorker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<LaterEcho>().on::<Notes>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self)
    }
}

impl Handle<LaterEcho> for LaterWorker {
    async fn handle(&mut self, echo: LaterEcho, _: &mut Context) -> Result<String, Never> {
        Ok(echo.text.repeat(echo.times as usize + 1))
    }
}

impl Handle<Notes> for LaterWorker {
    async fn handle(&mut self, _: Notes, _: &mut Context) -> Result<Vec<u64>, Never> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_another_form_there_is_not_misread() {
    let kinds = Catalogue::new().with::<LaterWorker>("worker");
    let (_waters, main, pc2) = two_with(17, kinds).await;
    let to = main.node.to(address("there/power"));
    let rejected = to.ask(Echo { text: "hi".to_owned() }).await.unwrap_err();
    let is_form =
        matches!(rejected.fault(), Some(Fault::Rejected { reason: Rejection::OtherForm, .. }));
    assert!(is_form, "{rejected}");
    assert!(to.tell(Echo { text: "hi".to_owned() }).await.is_err());
    // What has the same form on both is understood, and JSON is.
    assert_eq!(to.ask(Notes {}).await.unwrap(), [0; 0]);
    let json = Json(serde_json::json!({ "text": "hi" }));
    assert_eq!(to.ask_json("worker.echo", &json, PATIENCE).await.unwrap().0, "hi");
    let back = pc2.node.to(address("here/lamp"));
    assert!(back.ask(LaterEcho { times: 1, text: "hi".to_owned() }).await.is_err());
    for one in [&main, &pc2] {
        assert_eq!(one.cluster.members()[0].differing, ["worker.echo"]);
    }
    let noted = main.notes_of("pc2");
    assert!(noted.iter().any(|note| note.contains("another form of worker.echo")), "{noted:?}");
}
