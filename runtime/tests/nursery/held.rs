//! Residents that are held back, as they cannot start as they are set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use genii_protocols::{Address, AskError, CauseKind, Fault, Json};
use genii_runtime::nursery::Mood;
use genii_runtime::{NurserySettings, Tenancy};
use genii_supervision::Status;
use tokio::time::Instant;

use super::{Keep, Tell, World, settings, world_with};

const SECOND: Duration = Duration::from_secs(1);

/// A nursery of which only those can start whose names begin with `well`, as long as the others are
/// not mended.
struct Ward {
    world: World,
    is_mended: Arc<AtomicBool>,
    /// How often one was made.
    made: Arc<AtomicUsize>,
}

impl Ward {
    async fn new() -> Self {
        let (is_mended, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (mended, making) = (is_mended.clone(), made.clone());
        let tenancy = move |address: &Address| {
            making.fetch_add(1, Ordering::SeqCst);
            let is_well = mended.load(Ordering::SeqCst) || address.name().starts_with("well");
            let settings = Json(serde_json::json!({ "is_broken": !is_well }));
            Tenancy { kind: "dreamer".to_owned(), settings }
        };
        let settings = NurserySettings { tenancy: Arc::new(tenancy), ..settings(1) };
        Self { world: world_with(settings).await, is_mended, made }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    fn mend(&self) {
        self.is_mended.store(true, Ordering::SeqCst);
    }

    fn is_held(&self, who: &Address) -> bool {
        let member = self.world.house.member(who.as_str());
        member.is_ok_and(|member| matches!(member.view.status, Status::Quarantined(_)))
    }

    /// Speaks to one that cannot start; with which kind of cause it was refused.
    async fn is_refused(&self, who: &Address) -> CauseKind {
        let answer = self.world.node.to(who.clone()).ask_within(Tell {}, 10 * SECOND).await;
        let Err(AskError::Fault(fault)) = answer else { panic!("{answer:?}") };
        let Fault::Down { cause, .. } = *fault else { panic!("{fault}") };
        assert!(cause.message.contains("its store is damaged"), "{cause}");
        cause.kind
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_mended_wakes_when_it_is_spoken_to() {
    let ward = Ward::new().await;
    let broken = ward.world.admit("broken");
    ward.is_refused(&broken).await;
    assert_eq!(ward.is_refused(&broken).await, CauseKind::Quarantined);
    tokio::time::sleep(600 * SECOND).await;
    assert!(ward.is_held(&broken), "nobody has spoken to it");
    ward.is_refused(&broken).await;
    assert_eq!((ward.made(), ward.is_held(&broken)), (2, true));
    ward.mend();
    tokio::time::sleep(11 * SECOND).await;
    ward.world.node.to(broken.clone()).tell(Keep { number: 1 }).await.unwrap();
    assert_eq!(ward.world.tell(&broken).await.1, [1]);
    assert_eq!((ward.made(), ward.world.nursery.awake()), (3, 1), "it is made anew");
    assert_eq!(ward.world.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_released_lives_as_things_are_set_by_then() {
    let ward = Ward::new().await;
    let broken = ward.world.admit("broken");
    ward.is_refused(&broken).await;
    assert_eq!(ward.is_refused(&broken).await, CauseKind::Quarantined);
    ward.mend();
    ward.world.house.release(broken.as_str()).await.unwrap();
    assert!(!ward.is_held(&broken));
    assert!(ward.world.tell(&broken).await.1.is_empty());
    assert_eq!(ward.made(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_spoken_to_all_the_time_is_not_tried_all_the_time() {
    let ward = Ward::new().await;
    let broken = ward.world.admit("broken");
    let began = Instant::now();
    while began.elapsed() < 35 * SECOND {
        ward.is_refused(&broken).await;
        tokio::time::sleep(SECOND / 10).await;
    }
    assert!((3..=4).contains(&ward.made()), "{}", ward.made());
}

#[tokio::test(start_paused = true)]
async fn those_that_are_held_back_keep_nobody_from_waking() {
    const HELD: usize = 1 + 4_096;
    let ward = Ward::new().await;
    for number in 0..HELD {
        let broken = ward.world.admit(&format!("n{number}"));
        ward.is_refused(&broken).await;
    }
    let well = ward.world.admit("well");
    assert!(ward.world.tell(&well).await.1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_was_held_back_and_kept_asleep_meanwhile_is_made_anew_at_once() {
    let ward = Ward::new().await;
    let broken = ward.world.admit("broken");
    ward.is_refused(&broken).await;
    let kept = ward.world.nursery.keep_once_idle(&broken, SECOND).await;
    assert!(kept.is_ok());
    ward.mend();
    drop(kept);
    assert_eq!(ward.world.nursery.mood(&broken), Some(Mood::Asleep));
    assert!(ward.world.tell(&broken).await.1.is_empty());
}
