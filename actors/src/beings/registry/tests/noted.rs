//! What was done with beings, told also after the end of genii.

use std::sync::Arc;

use genii_supervision::What;

use super::*;

const MADE: &str = "was made on main";
const DELETED: &str = "was deleted, with all that it remembered";

impl World {
    /// What was done with a being, as the journal has it.
    fn noted(&self, id: &str) -> Vec<String> {
        self.kept_notes(id).iter().map(|event| event.what.to_string()).collect()
    }

    /// Of each of these notes, whether it is one of how the being came to be known.
    fn comings(&self, id: &str) -> Vec<bool> {
        let is_coming = |what: &What| matches!(what, What::KeptNote { is_coming: true, .. });
        self.kept_notes(id).iter().map(|event| is_coming(&event.what)).collect()
    }

    fn kept_notes(&self, id: &str) -> Vec<Arc<Event>> {
        let key = Key::from(being(id).shared());
        let is_meant =
            |event: &Event| event.key == key && matches!(event.what, What::KeptNote { .. });
        self.main().node.tree().journal.tail(usize::MAX, is_meant)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_with_beings_is_in_the_journal_after_the_end_of_genii() {
    let mut world = World::new().await;
    for id in ["alice", "bob"] {
        world.create(id, Some("main")).await;
    }
    world.migrate("bob", "pc2").await;
    let delete = DeleteBeing { id: name("alice"), lost: false };
    world.main().ask(&registry(), delete).await;
    assert_eq!(world.comings("alice"), [true, false]);
    world.end().await;
    world.boot("main").await;
    world.homes_are(1).await;
    assert_eq!(world.noted("alice"), [MADE, DELETED]);
    assert_eq!(world.comings("alice"), [true, false], "as it was before");
    assert_eq!(world.noted("bob"), [MADE, "has moved from main to pc2"]);
    // What is done from now on stands behind that, and nothing is told twice.
    world.create("alice", Some("main")).await;
    world.main().house.restart("beings/registry").await.unwrap();
    assert_eq!(world.noted("alice"), [MADE, DELETED, MADE]);
    world.end().await;
    world.boot("main").await;
    assert_eq!(world.noted("alice"), [MADE, DELETED, MADE]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_cut_off_before_the_end_of_genii_is_noted_when_it_is_done() {
    let mut world = World::new().await;
    world.create("alice", Some("main")).await;
    world.end().await;
    let book = Book::open(&world.beings("main")).unwrap();
    let alice = book.get(&name("alice")).unwrap().unwrap();
    book.put(Entry { stage: Stage::Going, ..alice }, None).await.unwrap();
    book.close().await;
    drop(book);
    world.boot("main").await;
    until(async || world.noted("alice") == [MADE, DELETED]).await;
    world.end().await;
    world.boot("main").await;
    assert_eq!(world.noted("alice"), [MADE, DELETED]);
    world.end().await;
}
