//! What becomes of a turn when not all can be read that it needs.

use genii_storage::store::{Table, Writer};

use super::*;
use crate::being::tables::TURNS;

#[tokio::test]
async fn what_is_said_is_kept_when_the_budget_cannot_be_read() {
    const NO_BUDGET: Table<(), String> = Table::new("budget");
    const SAID: &str = "The kettle is on the stove.";
    assert_eq!(NO_BUDGET.name(), BUDGET.name());
    let folder = tempfile::tempdir().unwrap();
    let (mind, _node) = Mind::of_marit(folder.path()).await;
    let mind = Arc::new(mind);
    let damage = |writer: &mut Writer| writer.insert(NO_BUDGET, &(), &String::new()).map(drop);
    mind.store.write(damage).await.unwrap();
    assert!(mind.store.read(|reader| reader.get(BUDGET, &())).is_err());

    let saying = Saying { said: SAID.to_owned(), speaker: None };
    let place = Place::take(&mind).await;
    drop(answer(mind.clone(), place, saying, Listener::Nobody).await);
    let (_, last) = mind.store.read(|reader| reader.last(TURNS)).unwrap().unwrap();
    assert_eq!((last.said.as_str(), last.answer), (SAID, None));
    let why = last.failure.unwrap();
    assert!(why.contains("damaged"), "{why}");
    mind.close().await;
}
