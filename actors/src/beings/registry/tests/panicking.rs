//! What becomes of a being that panics while it answers.

use super::*;
use crate::being::provider::panicking;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_being_that_panics_loses_that_question_with_its_cause_and_returns_with_its_memory() {
    let mut world = World::new().await;
    // One at home where it is asked, and one beyond a link.
    for (id, on) in [("alice", "main"), ("bob", "pc2")] {
        world.create(id, Some(on)).await;
        world.create("other", Some(on)).await;
        world.main().ask(&being(id), note(BOAT)).await;
        world.main().ask(&being(id), query("Hello!".to_owned())).await;
        let before = world.main().ask(&being("other"), ShowBeing {}).await;
        let settings = serde_json::json!({
            "kind": "openai", "model": panicking::MODEL, "base_url": "http://127.0.0.1:1",
        });
        world.main().ask(&being(id), SetProvider { settings: Json(settings) }).await;

        let asked = "What is the boat called?";
        let lost = world.main().try_ask(&being(id), query(asked.to_owned())).await;
        let lost = lost.unwrap_err().to_string();
        assert!(lost.contains(panicking::WHY), "{lost}");

        until(async || world.main().recalls(id, "boat", BOAT).await).await;
        let said: Vec<String> = world.history(id).await.into_iter().map(|turn| turn.said).collect();
        assert_eq!(said, ["Hello!"]);
        // And it answers, once it has another provider.
        let offline = Json(serde_json::json!({ "kind": "offline" }));
        world.main().ask(&being(id), SetProvider { settings: offline }).await;
        let answered = world.main().ask(&being(id), query(asked.to_owned())).await;
        assert!(answered.text.contains(BOAT), "{answered:?}");
        let after = world.main().ask(&being("other"), ShowBeing {}).await;
        assert_eq!(after, before, "it has noticed nothing");
        world.main().ask(&registry(), DeleteBeing { id: name("other"), lost: false }).await;
    }
    world.end().await;
}
