//! What the index of a being's memories costs: a being with 100,000 of them, and 100 beings awake with
//! 100 each. Vectors lie in clusters and words are as frequent as in speech; both are the same each
//! time. `cargo bench --bench index -- 10000` tries it with fewer.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use genii_benches::{line, resident, size, timed};
use genii_storage::index::{
    Entry, Filter, Hit, Index, IndexShare, IndexShareSettings, Opened, Rebuild, Shape, Tended,
    threads,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ENTRIES: usize = 100_000;
const DIMENSIONS: usize = 256;
const CLUSTERS: usize = 500;
const VOCABULARY: usize = 30_000;

/// How many entries come at once while a being lives, and while its index is made anew.
const LIVING_BATCH: usize = 256;
const REBUILD_BATCH: usize = 4_096;

const SEARCHES: usize = 300;

/// How many come in a flood, and how soon a batch of them comes after the one before: some 800 a second.
const FLOOD: usize = 8_192;
const FLOOD_PACE: Duration = Duration::from_millis(320);

/// How long it is let be between two questions in a flood.
const PAUSE: Duration = Duration::from_millis(20);

/// How many hits are asked for, as memories do.
const WORDS_WANTED: usize = 100;
const NEAR_WANTED: usize = 50;
const SMALL_BEINGS: usize = 100;
const SMALL_ENTRIES: usize = 100;

fn main() {
    threads::have_enough().unwrap();
    let runtime = Runtime::new().unwrap();
    if std::env::args().any(|argument| argument == "only-small") {
        return runtime.block_on(small_beings());
    }
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let world = Arc::new(World::new(asked.unwrap_or(ENTRIES)));
    println!("\nan index of {} memories, {DIMENSIONS} dimensions", world.entries.len());
    runtime.block_on(async {
        living(&world).await;
        flat(&world).await;
        anew(&world).await;
    });
    // In a process of its own, so that it does not inherit freed memory.
    let me = std::env::current_exe().unwrap();
    std::process::Command::new(me).arg("only-small").status().unwrap();
}

/// All memories there are, and what is asked of them.
struct World {
    entries: Vec<Entry>,
    asked: Vec<(Vec<String>, Vec<f32>)>,
}

impl World {
    fn new(count: usize) -> Self {
        let mut dice = fastrand::Rng::with_seed(7);
        let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| spread(&mut dice, None, 1.0)).collect();
        let entries = (1..=count as u64).map(|id| Entry {
            id,
            at: id as i64 * 1_000_000,
            kind: (id % 3) as u8,
            speaker: Some(format!("speaker-{}", id % 7)),
            terms: terms(&mut dice, 12..40).join(" "),
            vector: near_one(&mut dice, &centres),
        });
        let entries = entries.collect();
        let asked = (0..SEARCHES).map(|_| (terms(&mut dice, 4..9), near_one(&mut dice, &centres)));
        let asked = asked.collect();
        Self { entries, asked }
    }

    /// The ten that are really nearest.
    fn nearest(&self, vector: &[f32]) -> Vec<u64> {
        let score = |entry: &Entry| cosine(&entry.vector, vector);
        let mut all: Vec<(f32, u64)> =
            self.entries.iter().map(|one| (score(one), one.id)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all[..10].iter().map(|(_, id)| *id).collect()
    }
}

fn spread(dice: &mut fastrand::Rng, about: Option<&[f32]>, width: f32) -> Vec<f32> {
    let at = |n: usize| about.map_or(0.0, |about| about[n]);
    (0..DIMENSIONS).map(|n| at(n) + (dice.f32() + dice.f32() - 1.0) * width).collect()
}

fn near_one(dice: &mut fastrand::Rng, centres: &[Vec<f32>]) -> Vec<f32> {
    let centre = dice.choice(centres).unwrap();
    spread(dice, Some(centre), 0.8)
}

/// Words by Zipf's law: the n-th is n times rarer than the first.
fn terms(dice: &mut fastrand::Rng, count: std::ops::Range<usize>) -> Vec<String> {
    let most = (VOCABULARY as f64).ln();
    (0..dice.usize(count)).map(|_| format!("w{}", (dice.f64() * most).exp() as usize)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn shape() -> Shape {
    let (terms_by, vectors_by) = ("bench".to_owned(), Some("bench".to_owned()));
    Shape { dimensions: DIMENSIONS, terms_by, vectors_by }
}

fn share() -> IndexShare {
    IndexShare::new(&IndexShareSettings::default())
}

/// A being's life: a batch at a time, tended after each.
async fn living(world: &Arc<World>) {
    let dir = TempDir::new().unwrap();
    let index = Index::create(dir.path(), &share(), shape()).await.unwrap();
    let (mut appends, mut steps) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for batch in world.entries.chunks(LIVING_BATCH) {
        let batch = batch.to_vec();
        appends.push(timed(index.append(batch)).await.0);
        loop {
            let (took, tended) = timed(index.tend()).await;
            match tended.unwrap() {
                Tended::Nothing => break,
                Tended::Trained { partitions, .. } => told("  trained", partitions, took),
                _ => steps.push(took),
            }
        }
    }
    println!("  grown by {LIVING_BATCH} at a time in {:.1} s", began.elapsed().as_secs_f64());
    line("append of a batch", &mut appends);
    line("step of upkeep", &mut steps);
    size(dir.path());
    searches("", &index, world).await;
    filtered(&index, world).await;
    by_both_ways(&index, world).await;
    recall(&index, world).await;
    let last = world.entries.len() as u64;
    let deleted = (0..50).map(|n| timed(index.delete(vec![last - n * 7])));
    line("deletion of one", &mut all(deleted).await);
    in_a_flood(&index, world).await;
}

/// Without any index of vectors: from how many entries on would one be quicker?
async fn flat(world: &World) {
    let dir = TempDir::new().unwrap();
    let index = Index::create(dir.path(), &share(), shape()).await.unwrap();
    let mut wanted = 1_000;
    for batch in world.entries.chunks(1_000) {
        index.append(batch.to_vec()).await.unwrap();
        let count = index.through().unwrap();
        if count >= wanted {
            searches(&format!(", {count} one by one"), &index, world).await;
            wanted *= 4;
        }
    }
    searches(&format!(", {} one by one", world.entries.len()), &index, world).await;
}

/// Making it anew, while it is searched.
async fn anew(world: &Arc<World>) {
    let dir = TempDir::new().unwrap();
    let share = share();
    let old = made(dir.path(), &share, world, None).await;
    size(dir.path());
    searches(" when made at once", &old, world).await;
    recall(&old, world).await;
    let is_made = Arc::new(AtomicBool::new(false));
    let (stop, asked) = (Arc::clone(&is_made), Arc::clone(world));
    let searched = old.clone();
    let searcher = tokio::spawn(async move {
        let (mut words, mut near) = (Vec::new(), Vec::new());
        for (terms, vector) in asked.asked.iter().cycle() {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
            let all = Filter::default();
            // The last ones may meet the moment at which the new one takes its place.
            let (took, found) = timed(searched.words(&terms, &all, 10)).await;
            words.extend(found.is_ok().then_some(took));
            let (took, found) = timed(searched.nearest(vector, &all, 10)).await;
            near.extend(found.is_ok().then_some(took));
        }
        line("words while it is made anew", &mut words);
        line("nearest while it is made anew", &mut near);
    });
    made(dir.path(), &share, world, Some(&old)).await;
    is_made.store(true, Ordering::SeqCst);
    searcher.await.unwrap();
}

async fn made(dir: &Path, share: &IndexShare, world: &World, replaced: Option<&Index>) -> Index {
    let began = Instant::now();
    let rebuild = Rebuild::begin(dir, share, shape()).await.unwrap();
    for batch in world.entries.chunks(REBUILD_BATCH) {
        rebuild.append(batch.to_vec()).await.unwrap();
    }
    let appended = began.elapsed();
    let index = rebuild.finish(replaced).await.unwrap();
    let (all, appended) = (began.elapsed().as_secs_f64(), appended.as_secs_f64());
    println!("  made anew in {all:.1} s, of which {appended:.1} s for the rows");
    index
}

/// Many small beings at once.
async fn small_beings() {
    let world = World::new(SMALL_ENTRIES);
    let dir = TempDir::new().unwrap();
    let folders: Vec<_> = (0..SMALL_BEINGS).map(|n| dir.path().join(format!("b{n}"))).collect();
    for folder in &folders {
        let index = Index::create(folder, &share(), shape()).await.unwrap();
        for batch in world.entries.chunks(20) {
            index.append(batch.to_vec()).await.unwrap();
        }
        while index.tend().await.unwrap() != Tended::Nothing {}
    }
    println!("\n{SMALL_BEINGS} indices of {SMALL_ENTRIES} memories, all open");
    size(&folders[0]);
    let (share, before) = (share(), resident());
    let (mut opens, mut open) = (Vec::new(), Vec::new());
    for folder in &folders {
        let began = Instant::now();
        let Opened::Ready(index) = Index::open(folder, &share, shape()).await.unwrap() else {
            panic!("an index was not found")
        };
        one(&index, &world, 0).await;
        opens.push(began.elapsed());
        open.push(index);
    }
    line("open, first search of each sort", &mut opens);
    for index in &open {
        one(index, &world, 1).await;
    }
    println!("  {:44} {:>9} KiB each", "memory", (resident() - before) / 1024 / 100);
    searches(" in a small one", &open[0], &world).await;
}

async fn one(index: &Index, world: &World, n: usize) -> (Vec<Hit>, Vec<Hit>) {
    let (terms, vector) = &world.asked[n];
    let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
    let words = index.words(&terms, &Filter::default(), 10).await.unwrap();
    (words, index.nearest(vector, &Filter::default(), 10).await.unwrap())
}

async fn searches(which: &str, index: &Index, world: &World) {
    let all = Filter::default();
    some(&format!("words{which}"), &format!("nearest{which}"), index, world, &all).await;
    // What they need was read by then.
    let again = format!("{which}, again");
    some(&format!("words{again}"), &format!("nearest{again}"), index, world, &all).await;
}

async fn filtered(index: &Index, world: &World) {
    let by = Filter { speaker: Some("speaker-3".to_owned()), ..Filter::default() };
    some("words of one speaker", "nearest of one speaker", index, world, &by).await;
    let recent = world.entries.len() as i64 * 990_000;
    let recent = Filter { from: Some(recent), kinds: vec![1], ..Filter::default() };
    some("words, recent of a kind", "nearest, recent of a kind", index, world, &recent).await;
}

/// What the indices cover, asked directly, and by LanceDB's own plan: also for what they do not, and all is.
async fn by_both_ways(index: &Index, world: &World) {
    let directly = Filter { through: index.covered(), ..Filter::default() };
    let planned = Filter::default();
    for round in ["", ", again", ", once more"] {
        let names = |way: &str| (format!("words {way}{round}"), format!("nearest {way}{round}"));
        let (words, near) = names("directly");
        some(&words, &near, index, world, &directly).await;
        let (words, near) = names("by a plan");
        some(&words, &near, index, world, &planned).await;
    }
}

/// What a recall asks of an index, at rest and while batches come and are tended: words and the nearest side by
/// side, of what is covered. There is no store here, nothing is ranked, and nothing analysed.
async fn in_a_flood(index: &Index, world: &Arc<World>) {
    for round in ["", ", again"] {
        let mut times = both(index, world, &AtomicBool::new(true)).await;
        line(&format!("both side by side{round}"), &mut times);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (searched, asked, stop) = (index.clone(), Arc::clone(world), Arc::clone(&is_over));
    let searcher = tokio::spawn(async move { both(&searched, &asked, &stop).await });
    let mut pace = tokio::time::interval(FLOOD_PACE);
    let count = FLOOD.min(world.entries.len());
    let last = world.entries.len() as u64;
    for batch in world.entries[..count].chunks(LIVING_BATCH) {
        pace.tick().await;
        let more = batch.iter().map(|entry| Entry { id: last + entry.id, ..entry.clone() });
        index.append(more.collect()).await.unwrap();
        while index.tend().await.unwrap() != Tended::Nothing {}
    }
    is_over.store(true, Ordering::SeqCst);
    line("both side by side, while 800 a second come", &mut searcher.await.unwrap());
}

/// Asks all at least once, and until it is over.
async fn both(index: &Index, world: &World, is_over: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    for (n, (terms, vector)) in world.asked.iter().cycle().enumerate() {
        if n >= SEARCHES && is_over.load(Ordering::SeqCst) {
            break;
        }
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let covered = Filter { through: index.covered(), ..Filter::default() };
        let words = index.words(&terms, &covered, WORDS_WANTED);
        let near = index.nearest(vector, &covered, NEAR_WANTED);
        let (took, (words, near)) = timed(join(words, near)).await;
        words.and(near).unwrap();
        times.push(took);
        if !is_over.load(Ordering::SeqCst) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    times
}

async fn some(words: &str, near: &str, index: &Index, world: &World, filter: &Filter) {
    let terms = world.asked.iter().map(|(terms, _)| terms.iter().map(String::as_str).collect());
    let terms: Vec<Vec<&str>> = terms.collect();
    let searches = terms.iter().map(|terms| timed(index.words(terms, filter, WORDS_WANTED)));
    line(words, &mut all(searches).await);
    let vectors = world.asked.iter().map(|(_, vector)| vector);
    let searches = vectors.map(|vector| timed(index.nearest(vector, filter, NEAR_WANTED)));
    line(near, &mut all(searches).await);
}

async fn recall(index: &Index, world: &World) {
    let mut right = 0;
    let asked = &world.asked[..100];
    for (_, vector) in asked {
        let best = world.nearest(vector);
        let hits = index.nearest(vector, &Filter::default(), 10).await.unwrap();
        right += hits.iter().filter(|hit| best.contains(&hit.id)).count();
    }
    println!("  {:44} {:>9.3}", "recall@10 of nearest", right as f64 / (asked.len() * 10) as f64);
}

/// One after the other; how long each took.
async fn all<T, E: std::fmt::Debug>(
    works: impl Iterator<Item = impl Future<Output = (Duration, Result<T, E>)>>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for work in works {
        let (took, done) = work.await;
        done.unwrap();
        times.push(took);
    }
    times
}

fn told(what: &str, partitions: usize, took: Duration) {
    println!("{what} with {partitions} partitions in {:.2} s", took.as_secs_f64());
}
