//! The port of a running genii, and what comes there that does not belong.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{DEADLINE, House, Running, wait_until};
use crate::up::STEADY;

/// What so much garbage may leave behind, in bytes. A leak of one connection each would be many times
/// as much.
const GROWTH_MAX: u64 = 24 << 20;

/// How many connections send garbage.
const GARBAGE: usize = 3_000;

fn listening(house: &House) -> (Running, String) {
    house.file("data/genii.toml", "listen = \"127.0.0.1:0\"\n");
    let mut running = house.up(&format!("[groups.a]\n[agents.\"a/one\"]\n{STEADY}"));
    let line = running.wait_for("listening at ");
    let at = line.split("listening at ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let at = at.to_owned();
    (running, at)
}

/// How many files and connections it has open.
fn open_files(running: &Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", running.pid().as_raw_nonzero())).unwrap().count()
}

fn garbage(at: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let _may_end_before = stream.write_all(bytes);
    let _may_end_before = stream.shutdown(std::net::Shutdown::Write);
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest);
    assert!(rest.len() < 1_000);
}

#[test]
fn garbage_at_the_port_leaves_nothing_behind_and_is_shown() {
    let house = House::new();
    let (running, at) = listening(&house);
    let kinds: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &[0; 4096], &[255; 100], b"\x16\x03\x01"];
    let all = |count: usize| {
        for number in 0..count {
            garbage(&at, kinds[number % kinds.len()]);
        }
    };
    all(200);
    let (before, files) = (running.resident(), open_files(&running));
    // Some say nothing at all meanwhile, and more than there is room for.
    let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(&at).unwrap()).collect();
    all(GARBAGE);
    let after = running.resident();
    assert!(after < before + GROWTH_MAX, "{before} grew to {after}");
    drop(silent);
    wait_until("connections to be let go", || {
        let now = open_files(&running);
        if now <= files + 4 { Ok(()) } else { Err(now) }
    });
    let nodes = house.json(&["ctl", "nodes", "--json"]);
    let turned_away = &nodes[0]["turned_away"];
    let count = |why: &str| turned_away[why].as_u64().unwrap_or_default();
    // Who is silent takes the place of nobody but those that are silent as long. Who begins as TLS does,
    // and goes, may be anybody.
    let all = count("garbage") + count("crowded") + count("idle");
    assert!(all >= GARBAGE as u64, "{turned_away}");
    assert!(count("garbage") > 0 && count("crowded") > 0, "{turned_away}");
    let shown = house.genii(&["ctl", "nodes"]).out;
    assert!(shown.contains("turned away: garbage "), "{shown}");
    // And another machine gets in as ever.
    let line = house.json(&["invite", "pc2", "--at", &at, "--json"]);
    let pc2 = house.path("pc2");
    let args = ["--data", pc2.to_str().unwrap(), "join", line["line"].as_str().unwrap()];
    assert_eq!(house.genii(&args).code, 0);
    running.stop();
}
