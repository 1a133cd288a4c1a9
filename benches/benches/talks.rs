//! What a query costs without its provider: 200 beings that talk at once, with a server on this machine
//! that streams its answers at once, each turn safe on the disk.
//!
//! From what whoever asks waits, the time is taken off for which the server had the question: from its
//! last byte read to the last of the answer written. In turn with it, as often: as many questions to the same
//! server with a commit after each, and no being. `--data FOLDER` says on which disk.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use genii_benches::bare::Bare;
use genii_benches::beings::{BeingHouse, being, scratch, syncs};
use genii_benches::line;
use genii_benches::provider::Stub;
use genii_benches::speech::Speech;
use genii_protocols::being::Converse;
use genii_storage::index::threads;
use tokio::runtime::Runtime;
use tokio::time::sleep_until;

const BEINGS: u64 = 200;

/// What each remembers.
const MEMORIES: usize = 50;

/// How often each is talked to.
const TURNS: u64 = 20;

/// How long each rests from the beginning of one turn to that of the next, in quicker and quicker talk.
const PACES: [Option<Duration>; 4] = [
    Some(Duration::from_millis(2_000)),
    Some(Duration::from_millis(1_000)),
    Some(Duration::from_millis(500)),
    None,
];

/// What was seen of a turn.
struct Seen {
    number: u64,
    began: Instant,
    first: Instant,
    ended: Instant,
}

fn main() {
    threads::have_enough().unwrap();
    Runtime::new().unwrap().block_on(talks());
}

async fn talks() {
    let (data, stub) = (scratch(), Stub::start());
    println!("\n{BEINGS} beings talk at once, {MEMORIES} memories each");
    line("the disk: 4 KiB more, synced", &mut syncs(data.path()));
    let house = BeingHouse::open(data.path(), &format!("awake_max = {}", BEINGS + 10)).await;
    for number in 0..BEINGS {
        house.create(&id(number), Some(stub.settings())).await;
    }
    join_all((0..BEINGS).map(|number| prepare(&house, number))).await;
    let bares = (0..BEINGS).map(|number| bare(&stub, data.path(), number));
    let mut bares: Vec<Bare> = join_all(bares).await;
    // Connections are made, and all that is made once.
    house_talks(&house, &stub, 0, None, "as they warm up").await;
    for (n, pace) in PACES.into_iter().enumerate() {
        let how = match pace {
            Some(pace) => format!("each every {} ms", pace.as_millis()),
            None => "each at once again".to_owned(),
        };
        let round = 1 + 2 * n as u64;
        house_talks(&house, &stub, round, pace, &how).await;
        bares_talk(&mut bares, &stub, round + 1, pace, &how).await;
    }
    line("the disk again", &mut syncs(data.path()));
    join_all(bares.into_iter().map(Bare::close)).await;
    house.close().await;
}

fn id(number: u64) -> String {
    format!("being-{number}")
}

async fn bare(stub: &Stub, data: &Path, number: u64) -> Bare {
    Bare::open(stub, &data.join(format!("bare-{number}.redb"))).await
}

async fn prepare(house: &BeingHouse, number: u64) {
    let mut speech = Speech::new(number);
    for _ in 0..MEMORIES {
        house.remember(&id(number), speech.sentence()).await;
    }
}

async fn house_talks(
    house: &BeingHouse,
    stub: &Stub,
    round: u64,
    pace: Option<Duration>,
    how: &str,
) {
    let began = Instant::now();
    let each = async |number| {
        let being = id(number);
        let ask = async |said: String, number| {
            let asked = Instant::now();
            let first = one(house, &being, said).await;
            Seen { number, began: asked, first, ended: Instant::now() }
        };
        talk(number, round, (began, pace), ask).await
    };
    let seen = join_all((0..BEINGS).map(each)).await.into_iter().flatten().collect();
    tell(how, seen, began, stub);
}

async fn bares_talk(
    bares: &mut [Bare],
    stub: &Stub,
    round: u64,
    pace: Option<Duration>,
    how: &str,
) {
    let began = Instant::now();
    let each = async |(number, bare): (u64, &mut Bare)| {
        let ask = async |said: String, number| {
            let asked = Instant::now();
            let first = bare.ask(&said).await;
            Seen { number, began: asked, first, ended: Instant::now() }
        };
        talk(number, round, (began, pace), ask).await
    };
    let seen = join_all((0..).zip(bares).map(each)).await.into_iter().flatten().collect();
    tell(&format!("{how}, no being"), seen, began, stub);
}

/// What was seen since then.
fn tell(how: &str, seen: Vec<Seen>, since: Instant, stub: &Stub) {
    let rate = seen.len() as f64 / since.elapsed().as_secs_f64();
    let of = |time: fn(&Seen, &Stub) -> Duration| -> Vec<Duration> {
        seen.iter().map(|seen| time(seen, stub)).collect()
    };
    println!("  {how}: {rate:.0} queries/s");
    line("    own cost", &mut of(own_cost));
    line("    from its first word to ours", &mut of(first_word));
    line("    what the server took", &mut of(servers));
}

/// Asks [`TURNS`] times, at a pace from a moment on.
async fn talk(
    number: u64,
    round: u64,
    (from, pace): (Instant, Option<Duration>),
    mut ask: impl AsyncFnMut(String, u64) -> Seen,
) -> Vec<Seen> {
    let mut speech = Speech::new(1_000 + number + round * BEINGS);
    let mut all = Vec::new();
    // One after the other begins.
    let offset = pace.unwrap_or_default().mul_f64(number as f64 / BEINGS as f64);
    for turn in 0..TURNS {
        if let Some(pace) = pace {
            sleep_until((from + offset + pace * turn as u32).into()).await;
        }
        let mark = (round * TURNS + turn) * BEINGS + number;
        all.push(ask(Stub::marked(&speech.question(), mark), mark).await);
    }
    all
}

/// Asks a being; when its first words had come.
async fn one(house: &BeingHouse, id: &str, said: String) -> Instant {
    let asked = Converse { said, speaker: None, path: Vec::new() };
    let mut answers = house.node.to(being(id)).stream(asked).await.unwrap();
    assert!(answers.next().await.is_some(), "nothing was answered");
    let first = Instant::now();
    answers.finish().await.unwrap();
    first
}

fn own_cost(seen: &Seen, stub: &Stub) -> Duration {
    (seen.ended - seen.began).saturating_sub(servers(seen, stub))
}

fn first_word(seen: &Seen, stub: &Stub) -> Duration {
    seen.first.saturating_duration_since(stub.served(seen.number).began)
}

fn servers(seen: &Seen, stub: &Stub) -> Duration {
    let served = stub.served(seen.number);
    served.ended - served.asked
}
