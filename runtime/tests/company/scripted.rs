//! Whatever happens between nodes, those that can talk come to agree, and nothing is heard twice or
//! out of its order.

use std::collections::HashMap;

use genii_runtime::{Heard, Subscription};

use super::super::*;

/// How many runs there are, each by its seed.
const SEEDS: u64 = 40;

/// How many things happen in a run.
const STEPS: usize = 120;

const PAIRS: [(&str, &str); 3] = [("one", "two"), ("one", "three"), ("two", "three")];

const PATTERNS: [&[&str]; 4] = [&["t.*"], &["t.*", "t.**"], &["t.x"], &["other"]];

struct Run {
    waters: Waters,
    machines: [Machine; 3],
    dice: fastrand::Rng,
    /// Each with the node that it is on and its patterns.
    subscriptions: Vec<(usize, &'static [&'static str], Subscription)>,
    published: u64,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let (waters, machines) = three(seed).await;
        let dice = fastrand::Rng::with_seed(seed);
        Self { waters, machines, dice, subscriptions: Vec::new(), published: 0 }
    }

    fn pair(&mut self) -> (NodeName, NodeName) {
        let one = self.dice.usize(..3);
        let other = (one + self.dice.usize(1..3)) % 3;
        (name(NODES[one]), name(NODES[other]))
    }

    async fn step(&mut self) {
        let on = self.dice.usize(..3);
        let group = Name::new(&format!("g{}", self.dice.u8(..4))).unwrap();
        let ear = address(&format!("{}/ear", NODES[on]));
        let node = self.machines[on].node.clone();
        match self.dice.u8(..12) {
            0 | 1 => node.join_group(&group, &ear).unwrap(),
            // It may be no member.
            2 | 3 => drop(node.leave_group(&group, &ear)),
            4 => {
                let texts = PATTERNS[self.dice.usize(..PATTERNS.len())];
                let subscription = node.subscribe(&patterns(texts)).unwrap();
                self.subscriptions.push((on, texts, subscription));
            }
            5 if !self.subscriptions.is_empty() => {
                let gone = self.dice.usize(..self.subscriptions.len());
                let (_, _, mut subscription) = self.subscriptions.swap_remove(gone);
                check(&mut subscription);
            }
            6..=8 => {
                self.published += 1;
                let count = Count { by: NODES[on].to_owned(), number: self.published };
                // Those that cannot be reached are said, and miss it.
                drop(node.publish(&topic("t.x"), &count).await);
            }
            9 => {
                let (one, other) = self.pair();
                self.waters.cut(&one, &other);
            }
            10 => {
                let (one, other) = self.pair();
                self.waters.heal(&one, &other);
            }
            _ => tokio::time::sleep(Duration::from_millis(self.dice.u64(..1_500))).await,
        }
    }

    /// Everything is whole again, and all nodes see the same.
    async fn agree(&mut self) {
        for (one, other) in PAIRS {
            self.waters.heal(&name(one), &name(other));
        }
        agree(&self.machines).await;
    }

    /// What is published when all is well comes to all who want it, once, and to nobody else.
    async fn reach_all(&mut self) {
        let number = u64::MAX;
        self.machines[0].count("t.x", number).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (_, texts, subscription) in &mut self.subscriptions {
            let last = check(subscription).filter(|last| *last == number);
            let wants = patterns(texts).iter().any(|pattern| pattern.matches(&topic("t.x")));
            assert_eq!(last.is_some(), wants, "{texts:?}");
        }
    }
}

/// Waits until what each node says of its own is what all know.
async fn agree(machines: &[Machine]) {
    let members = |machine: &Machine, group: &Name| machine.node.group_members_here(group);
    let groups = (0..4).map(|number| Name::new(&format!("g{number}")).unwrap());
    for group in groups.chain(["ears", "thirds"].map(|group| Name::new(group).unwrap())) {
        let own = machines.iter().flat_map(|machine| members(machine, &group));
        let mut expected: Vec<_> = own.collect();
        expected.sort();
        for machine in machines {
            let agrees = || machine.node.group_members(&group) == expected;
            until("members are agreed on", agrees).await;
        }
    }
    let own = |machine: &Machine| {
        let wanted = machine.node.wanted();
        wanted.into_iter().filter(|by| by.node == *machine.node.name()).collect::<Vec<_>>()
    };
    let mut expected: Vec<_> = machines.iter().flat_map(own).collect();
    expected.sort_by(|a, b| (&a.pattern, &a.node).cmp(&(&b.pattern, &b.node)));
    for machine in machines {
        until("patterns are agreed on", || machine.node.wanted() == expected).await;
    }
}

/// Checks that what was heard came in the order of each publisher, and once. Returns the last.
fn check(subscription: &mut Subscription) -> Option<u64> {
    let (mut last_of, mut last) = (HashMap::new(), None);
    while let Some(heard) = subscription.try_next() {
        let Heard::Published(publication) = heard else { panic!("{heard:?}") };
        let Count { by, number } = publication.read().unwrap();
        let before = last_of.insert(by.clone(), number);
        assert!(before.is_none_or(|before| before < number), "{by}: {number} after {before:?}");
        last = Some(number);
    }
    last
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_all_agree_and_nothing_is_heard_twice() {
    for seed in 1..=SEEDS {
        let mut run = Run::new(seed).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        println!("seed {seed}: {} published, {} listen", run.published, run.subscriptions.len());
        run.agree().await;
        run.reach_all().await;
        for machine in run.machines {
            machine.crash(&run.waters);
        }
    }
}

/// Joins, leaves, subscribes and lets go, as quickly as it can.
async fn rush(node: Node, seed: u64) -> Vec<Subscription> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let ear = address(&format!("{}/ear", node.name()));
    let mut subscriptions = Vec::new();
    for _ in 0..1_000 {
        let group = Name::new(&format!("g{}", dice.u8(..4))).unwrap();
        match dice.u8(..6) {
            0 | 1 => node.join_group(&group, &ear).unwrap(),
            // It may be no member.
            2 | 3 => drop(node.leave_group(&group, &ear)),
            4 => {
                let texts = PATTERNS[dice.usize(..PATTERNS.len())];
                subscriptions.push(node.subscribe(&patterns(texts)).unwrap());
            }
            _ => drop(subscriptions.pop()),
        }
        tokio::task::yield_now().await;
    }
    subscriptions
}

/// On real threads and the real clock: what is told in full, and what changes meanwhile, meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_changes_while_links_are_made_is_known_to_all() {
    for seed in 0..3 {
        let waters = Waters::new(seed, (Duration::ZERO, Duration::from_micros(500)));
        for (one, other) in PAIRS {
            waters.cut(&name(one), &name(other));
        }
        let mut machines = Vec::new();
        for own in NODES {
            machines.push(Machine::boot(&waters, own, 1).await);
        }
        let ready = |machine: &Machine| {
            let ear = format!("{}/ear", machine.node.name());
            machine.house.member(&ear).unwrap().view.status.word() == "ready"
        };
        let ups: Vec<_> = machines
            .iter()
            .map(|machine| {
                let house = machine.house.clone();
                tokio::spawn(async move { house.up().await.is_ok() })
            })
            .collect();
        for machine in &machines {
            until("its agent is there", || ready(machine)).await;
        }
        let nodes = machines.iter().map(|machine| machine.node.clone());
        let rushes: Vec<_> = nodes
            .flat_map(|node| (0..4).map(move |task| (node.clone(), seed * 4 + task)))
            .map(|(node, seed)| tokio::spawn(rush(node, seed)))
            .collect();
        for (one, other) in PAIRS {
            waters.heal(&name(one), &name(other));
        }
        let mut kept = Vec::new();
        for rush in rushes {
            kept.push(rush.await.unwrap());
        }
        for up in ups {
            assert!(up.await.unwrap());
        }
        agree(&machines).await;
        drop(kept);
        agree(&machines).await;
        for machine in machines {
            machine.crash(&waters);
        }
    }
}
