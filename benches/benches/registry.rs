//! Whether listing and finding beings stays as quick with 100,000 of them as with 1,000. They are all
//! asleep, and are found as folders that nobody has taken in yet.
//!
//! `--data FOLDER` says on which disk.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use genii_actors::being::birth::Birth;
use genii_benches::beings::{BeingHouse, being, character, folder_of, scratch};
use genii_benches::{line, resident};
use genii_protocols::beings::{ListBeings, RouteBeing};
use genii_protocols::{Json, Name, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// How often each of them is asked, in turn.
const ASKED: usize = 2_000;

/// How often a name is searched for, which looks at all of them.
const SEARCHED_ONE_IN: usize = 100;

/// How many a page has.
const PAGE: u32 = 100;

/// A house of so many beings.
struct Many {
    beings: usize,
    house: BeingHouse,
    lists: Vec<Duration>,
    routes: Vec<Duration>,
    searches: Vec<Duration>,
    _data: TempDir,
}

fn main() {
    Runtime::new().unwrap().block_on(all());
}

async fn all() {
    let mut houses = Vec::new();
    println!("\nbeings that sleep");
    for beings in SIZES {
        houses.push(Many::make(beings).await);
    }
    let mut dice = fastrand::Rng::with_seed(5);
    // In turn, so that what else goes on meets all alike.
    for _ in 0..ASKED {
        for many in &mut houses {
            many.ask(&mut dice).await;
        }
    }
    for many in houses {
        line(&format!("a page of {PAGE}, of {}", many.beings), &mut many.lists.clone());
        line(&format!("the way to one, of {}", many.beings), &mut many.routes.clone());
        line(&format!("those of a name, of {}", many.beings), &mut many.searches.clone());
        many.house.close().await;
    }
}

fn id(number: usize) -> String {
    format!("being-{number}")
}

fn lay_out(folder: &Path, beings: usize) {
    let birth =
        Birth { created: Timestamp::now(), character: character("Ada"), provider: Json::default() };
    let first = folder_of(folder, &id(0));
    std::fs::create_dir_all(&first).unwrap();
    birth.write(&first).unwrap();
    for number in 1..beings {
        let copy = folder_of(folder, &id(number));
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(first.join("birth.json"), copy.join("birth.json")).unwrap();
    }
}

impl Many {
    async fn make(beings: usize) -> Self {
        let data = scratch();
        lay_out(data.path(), beings);
        let began = Instant::now();
        let house = BeingHouse::open(data.path(), "").await;
        house.knows(beings as u64).await;
        let taken_in = began.elapsed().as_secs_f64();
        house.close().await;
        let (before, began) = (resident(), Instant::now());
        let house = BeingHouse::open(data.path(), "").await;
        house.knows(beings as u64).await;
        let up = began.elapsed().as_secs_f64();
        let each = resident().saturating_sub(before) / beings as u64;
        println!("  {beings}: taken in in {taken_in:.1} s, up again in {up:.2} s, {each} B each");
        let (lists, routes, searches) = Default::default();
        Self { beings, house, lists, routes, searches, _data: data }
    }

    async fn ask(&mut self, dice: &mut fastrand::Rng) {
        let mut any = || Name::new(&id(dice.usize(..self.beings))).unwrap();
        let (after, sought) = (Some(any()), any());
        let began = Instant::now();
        let list = ListBeings { after, limit: Some(PAGE), matching: None };
        self.house.ask(&self.house.registry, list).await;
        self.lists.push(began.elapsed());
        let began = Instant::now();
        let way = self.house.ask(&self.house.registry, RouteBeing { id: sought.clone() }).await;
        self.routes.push(began.elapsed());
        if self.routes.len().is_multiple_of(SEARCHED_ONE_IN) {
            let matching = Some(sought.as_str().to_owned());
            let began = Instant::now();
            let list = ListBeings { after: None, limit: Some(PAGE), matching };
            self.house.ask(&self.house.registry, list).await;
            self.searches.push(began.elapsed());
        }
        assert_eq!(way, being(sought.as_str()));
    }
}
