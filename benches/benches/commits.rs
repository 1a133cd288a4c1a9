//! What it brings that writers who wait share one commit: durable writes to a store, from 64 at once, and
//! one after the other with a commit each.
//!
//! `--data FOLDER` says on which disk.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use genii_benches::beings::{scratch, syncs};
use genii_benches::{Contender, compare, line};
use genii_storage::store::{Schema, Store, StoreError, StoreOptions, Table, Writer};
use tokio::runtime::Runtime;

const SCHEMA: Schema = Schema::new("bench", 1, &[]);
const VALUES: Table<u64, String> = Table::new("values");

/// How many writes a run has, and of how many bytes.
const WRITES: u64 = 1_024;
const BYTES: usize = 500;

const WRITERS: u64 = 64;

fn main() {
    let runtime = Runtime::new().unwrap();
    let data = scratch();
    println!("\ndurable writes of {BYTES} B");
    line("the disk: 4 KiB more, synced", &mut syncs(data.path()));
    let open = |name| Store::open(data.path().join(name), &SCHEMA, &StoreOptions::default());
    let (alone, together) = (open("alone.redb").unwrap(), open("together.redb").unwrap());
    let contenders = vec![
        Contender::new("a commit for each", || runtime.block_on(writes(&alone, 1))),
        Contender::new("64 writers, who share them", || {
            runtime.block_on(writes(&together, WRITERS))
        }),
    ];
    compare("writes of one store", WRITES, contenders);
    let shared = together.commits();
    println!("  {:44} {:>9} for {} writes", "commits of those who share", shared, 10 * WRITES);
    line("the disk again", &mut syncs(data.path()));
    alone.close_blocking().unwrap();
    together.close_blocking().unwrap();
}

async fn writes(store: &Store, writers: u64) -> Duration {
    let began = Instant::now();
    join_all((0..writers).map(|writer| some(store, writer, WRITES / writers))).await;
    began.elapsed()
}

async fn some(store: &Store, writer: u64, count: u64) {
    for number in 0..count {
        let key = writer * WRITES + number;
        let write = move |to: &mut Writer| to.insert(VALUES, &key, &"x".repeat(BYTES)).map(drop);
        store.write(write).await.map_err(|error: StoreError| error).unwrap();
    }
}
