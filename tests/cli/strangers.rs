//! Two households, of which one has come to where a machine of the other looks for its own.

use serde_json::Value;

use crate::cluster::{begin_with, join, listening_at, on};
use crate::support::{House, Running, wait_until};
use crate::up::STEADY;

const TOPOLOGY_FILE: &str = "apart.toml";

/// What a machine says of all, and the row of one of them.
fn nodes(house: &House, data: &str, name: &str) -> Value {
    let said = on(house, data, &["ctl", "nodes", "--json"]);
    let nodes: Vec<Value> = serde_json::from_str(&said.out).unwrap_or_default();
    nodes.into_iter().find(|node| node["node"] == name).unwrap_or_default()
}

fn begin(house: &House, data: &str, listen: &str) -> (Running, String) {
    house.file(&format!("{data}/genii.toml"), &format!("listen = \"{listen}\"\n"));
    let mut running = begin_with(house, data, TOPOLOGY_FILE);
    let at = listening_at(&mut running);
    (running, at)
}

/// A machine looks for the first of its household, which was made anew: it has the name and the place
/// that it had, and is of a household of its own. Neither takes the other, and both say so.
#[test]
fn a_machine_of_another_household_is_refused_and_both_say_so() {
    let house = House::new();
    let topology = format!(
        "[groups.a]\nnode = \"main\"\n[agents.\"a/one\"]\n{STEADY}\
         [groups.b]\nnode = \"pc2\"\n[agents.\"b/one\"]\n{STEADY}"
    );
    house.file(TOPOLOGY_FILE, &topology);
    let (main, at) = begin(&house, "data", "127.0.0.1:0");
    join(&house, &at, "pc2");
    main.stop();
    let (other, _) = begin(&house, "other", &at);
    let (pc2, _) = begin(&house, "pc2", "127.0.0.1:0");

    let why = "its certificate is of another household";
    wait_until("who calls to say why", || {
        let main = nodes(&house, "pc2", "main");
        let said = main["why"].as_str().is_some_and(|said| said.contains(why));
        if said { Ok(main) } else { Err(main) }
    });
    let main = nodes(&house, "pc2", "main");
    assert_eq!((&main["state"], &main["addresses"]), (&"unseen".into(), &0.into()), "{main}");
    let shown = on(&house, "pc2", &["ctl", "nodes"]);
    assert!(shown.out.contains(why), "{}", shown.out);

    // Who is called has not heard who it was that did not trust it, and blames nobody.
    wait_until("who is called to count it", || {
        let own = nodes(&house, "other", "main");
        let count = own["turned_away"]["distrusted"].as_u64().unwrap_or_default();
        if count > 0 { Ok(()) } else { Err(own) }
    });
    assert_eq!(nodes(&house, "other", "pc2"), Value::Null);
    let shown = on(&house, "other", &["ctl", "nodes"]);
    assert!(shown.out.contains("turned away: distrusted"), "{}", shown.out);

    // Each goes on with what it has.
    for (data, agent) in [("other", "a/one"), ("pc2", "b/one")] {
        let why = on(&house, data, &["ctl", "why", agent]);
        assert!(why.out.contains("has been ready"), "{}{}", why.out, why.err);
    }
    pc2.stop();
    other.stop();
}
