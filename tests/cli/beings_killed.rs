//! Genii is killed while a being moves to another machine, while one is taken in from a file, and while one forgets.
//! Whenever that is, there is one of it afterwards, whole; of one that was still to come, it or nothing at all; and what
//! was to be forgotten is there, or no trace of it: so few memories have no index yet, whose files the tests of storage look
//! at.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::beings::{HOUSE, beings, create, remember};
use crate::cluster::{begin_with, join, listening_at, on};
use crate::support::{House, Running, finish, wait_until};

/// What a being is told to remember at first, each with the words by which it is recalled.
const NOTES: [(&str, &str); 3] = [
    ("The key is under the blue pot.", "blue pot"),
    ("Ann is allergic to walnuts.", "walnuts"),
    ("The tide turns at six.", "tide"),
];

/// What is said to it in a conversation, with the same.
const TURN: (&str, &str) = ("My boat is called Sandpiper.", "Sandpiper");

/// What it is to forget, in a word that stands nowhere else.
const SECRET: &str = "quillfeather";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    /// The one with the registry.
    Main,
    Pc2,
    Pc3,
}

use Machine::{Main, Pc2, Pc3};

const MACHINES: [Machine; 3] = [Main, Pc2, Pc3];

/// Where a being moves from and to; whose genii is killed, after how many twelfths of the time that a move
/// takes; and what the being is told when that is over. Each move begins on the machine that had no part in
/// the one before, so that the being has to move once more in between, wherever it has come to live.
const MOVES: [(Machine, Machine, Machine, u32, &str); 6] = [
    (Pc3, Main, Pc3, 1, "lantern"),
    (Pc2, Pc3, Main, 5, "sextant"),
    (Main, Pc2, Main, 3, "compass"),
    (Pc3, Main, Main, 9, "barometer"),
    (Pc2, Pc3, Pc2, 11, "logbook"),
    (Main, Pc2, Pc2, 7, "telescope"),
];

/// What lies of marit in the folder of the beings where she lives.
const AT_HOME: [&str; 2] = ["marit", "marit/being.redb"];

/// What lies nowhere once a move is over, however it ended: it puts nothing aside.
const UNSETTLED: [&str; 3] = ["marit/leaving", ".coming/marit", ".aside"];

/// The topology of the three machines.
const THREE: &str = "three.toml";

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Main => "main",
            Pc2 => "pc2",
            Pc3 => "pc3",
        }
    }

    /// Its data folder.
    fn folder(self) -> &'static str {
        match self {
            Main => "data",
            Pc2 | Pc3 => self.name(),
        }
    }
}

/// Three machines of one household, each with a home for beings.
struct Three {
    house: House,
    running: [Running; 3],
}

impl Three {
    fn new() -> Self {
        let house = House::new();
        let topology = HOUSE.replace("[groups.beings]\n", "[groups.beings]\nnode = \"main\"\n");
        house.file(THREE, &topology);
        for machine in MACHINES {
            let settings = format!("{}/genii.toml", machine.folder());
            house.file(&settings, "listen = \"127.0.0.1:0\"\n");
        }
        let mut main = begin_with(&house, Main.folder(), THREE);
        let at = listening_at(&mut main);
        let [pc2, pc3] = [Pc2, Pc3].map(|machine| {
            join(&house, &at, machine.name());
            begin_with(&house, machine.folder(), THREE)
        });
        let mut running = [main, pc2, pc3];
        for machine in &mut running {
            machine.wait_for("agents are ready after");
        }
        Self { house, running }
    }

    /// Kills the genii of a machine, and starts it again.
    fn kill(&mut self, machine: Machine) {
        let running = &mut self.running[machine as usize];
        running.signal(Signal::KILL);
        running.end();
        *running = begin_with(&self.house, machine.folder(), THREE);
        running.wait_for("agents are ready after");
    }

    /// Lets marit move, and waits until she lives there; how long the move took.
    fn move_to(&self, to: Machine) -> Duration {
        let took = time(&self.house, &["being", "migrate", "marit", to.name()]);
        wait_until(&format!("marit to live on {to:?} alone"), || match self.home() {
            Ok(home) if home == to => Ok(()),
            other => Err(other),
        });
        took
    }

    /// On which machine marit lives: the registry says so, and nothing of her lies on any other.
    fn home(&self) -> Result<Machine, String> {
        let said = self.house.genii(&["being", "list", "--json"]);
        let listed: Value = serde_json::from_str(&said.out).unwrap_or_default();
        let is_one = listed.as_array().is_some_and(|all| all.len() == 1);
        let lying = MACHINES.map(|machine| (machine, self.lies_on(machine)));
        let lies_alone_on = |home: Machine| {
            lying.iter().all(|(machine, lies)| match *machine == home {
                true => *lies == AT_HOME,
                false => lies.is_empty(),
            })
        };
        let is_home = |home: Machine| listed[0]["node"] == home.name() && lies_alone_on(home);
        let home = MACHINES.into_iter().find(|machine| is_one && is_home(*machine));
        home.ok_or_else(|| format!("{listed} {lying:?} {}", said.err))
    }

    /// What lies on a machine of marit.
    fn lies_on(&self, machine: Machine) -> Vec<&'static str> {
        let beings = self.house.path(machine.folder()).join("beings");
        let all = AT_HOME.into_iter().chain(UNSETTLED);
        all.filter(|path| beings.join(path).exists()).collect()
    }
}

/// How long a command takes, as soon as it is not refused.
fn time(house: &House, args: &[&str]) -> Duration {
    wait_until(&args.join(" "), || {
        let began = Instant::now();
        let said = house.genii(args);
        if said.code == 0 { Ok(began.elapsed()) } else { Err(said.err) }
    })
}

/// When so many twelfths are done of what a command is for, which takes `whole` and does nothing else for
/// as long as one that does `nothing` takes.
fn moment(nothing: Duration, whole: Duration, twelfths: u32) -> Duration {
    nothing + whole.saturating_sub(nothing) * twelfths / 12
}

/// Begins a command. By that moment it was not refused, as a move is for some seconds to a machine from which
/// the being has just left.
fn begin(house: &House, args: &[&str], moment: Duration) -> Child {
    wait_until(&format!("{} not to be refused", args.join(" ")), || {
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        let mut child = command.args(args).spawn().unwrap();
        // This waits for nothing: wherever it has come to by then, what is said below holds.
        std::thread::sleep(moment);
        match child.try_wait().unwrap() {
            Some(status) if !status.success() => Err(finish(child).err),
            _ => Ok(child),
        }
    })
}

/// Tells a being all that it is told at first; the words by which it is recalled.
fn tell(house: &House, id: &str) -> Vec<&'static str> {
    for (text, _) in NOTES {
        remember(house, id, text);
    }
    let answered = house.genii(&["being", "ask", id, TURN.0]);
    assert_eq!(answered.code, 0, "{}", answered.err);
    NOTES.into_iter().chain([TURN]).map(|(_, words)| words).collect()
}

/// Waits until a being recalls all that it was told, asked from a machine.
fn until_it_recalls(house: &House, folder: &str, id: &str, told: &[&str]) {
    for words in told {
        wait_until(&format!("{id} to recall {words}"), || recall(house, folder, id, words));
    }
}

fn recall(house: &House, folder: &str, id: &str, words: &str) -> Result<(), String> {
    let said = on(house, folder, &["being", "recall", id, words, "--json"]);
    let recalled: Value = serde_json::from_str(&said.out).unwrap_or_default();
    let memories = recalled["memories"].as_array().into_iter().flatten();
    let mut texts = memories.filter_map(|it| it["memory"]["text"].as_str());
    let is_recalled = texts.any(|text| text.contains(words));
    if is_recalled { Ok(()) } else { Err(said.out + &said.err) }
}

/// Whether there is a being `new`, as soon as it has its folder if it is listed, and else nothing: nor does
/// anything lie where beings come and go.
fn is_there(house: &House) -> Result<bool, String> {
    let (listed, folders) = beings(house);
    let left = [".coming", ".going"].map(|folder| {
        let left = fs::read_dir(house.path("data/beings").join(folder));
        left.map_or(0, Iterator::count)
    });
    match listed == folders && left == [0, 0] {
        true => Ok(listed.iter().any(|id| id == "new")),
        false => Err(format!("{listed:?} {folders:?} {left:?}")),
    }
}

fn delete_new(house: &House) {
    let deleted = house.genii(&["being", "delete", "new", "--yes"]);
    assert_eq!(deleted.code, 0, "{}", deleted.err);
}

#[test]
fn a_kill_in_the_midst_of_a_move_leaves_the_being_on_one_machine() {
    let mut three = Three::new();
    create(&three.house, "marit");
    let mut told = tell(&three.house, "marit");
    let nothing = time(&three.house, &["being", "list"]);
    let whole = three.move_to(Pc2).min(three.move_to(Pc3));
    let mut cut_short = 0;
    for (from, to, killed, twelfths, thing) in MOVES {
        three.move_to(from);
        let migrate = ["being", "migrate", "marit", to.name()];
        let moving = begin(&three.house, &migrate, moment(nothing, whole, twelfths));
        three.kill(killed);
        let has_moved = finish(moving).code == 0;

        let round = format!("{from:?} to {to:?}, {killed:?} killed after {twelfths}/12");
        let home = wait_until(&round, || three.home());
        assert!(home == to || !has_moved, "{round}: it has moved, and is on {home:?}");
        until_it_recalls(&three.house, killed.folder(), "marit", &told);
        let text = format!("There is a {thing} in the locker.");
        let more = on(&three.house, killed.folder(), &["being", "remember", "marit", &text]);
        assert_eq!(more.code, 0, "{round}: {}", more.err);
        told.push(thing);
        cut_short += u32::from(!has_moved);
    }
    assert!(cut_short > 0, "each move was over before genii was killed: they take {whole:?}");
    three.move_to(Pc3);
    until_it_recalls(&three.house, Main.folder(), "marit", &told);
    for running in three.running {
        running.stop();
    }
}

#[test]
fn a_kill_in_the_midst_of_an_import_leaves_the_being_whole_or_nothing_of_it() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create(&house, "old");
    let told = tell(&house, "old");
    house.json(&["being", "export", "old", "old.being", "--json"]);
    let import = ["being", "import", "old.being", "--id", "new"];
    let nothing = time(&house, &["being", "list"]);
    let whole = time(&house, &import);
    delete_new(&house);
    let mut cut_short = 0;
    for twelfths in [1, 3, 5, 7, 9, 11] {
        let importing = begin(&house, &import, moment(nothing, whole, twelfths));
        running.signal(Signal::KILL);
        running.end();
        running = house.up(HOUSE);
        let was_taken_in = finish(importing).code == 0;

        let round = format!("genii killed after {twelfths}/12");
        let is_there = wait_until(&round, || is_there(&house));
        assert!(is_there || !was_taken_in, "{round}: it was taken in, and is not there");
        if is_there {
            until_it_recalls(&house, "data", "new", &told);
            delete_new(&house);
        }
        time(&house, &import);
        until_it_recalls(&house, "data", "new", &told);
        delete_new(&house);
        cut_short += u32::from(!was_taken_in);
    }
    assert!(cut_short > 0, "each import was over before genii was killed: they take {whole:?}");
    running.stop();
}

/// Whether a text stands in any file of a folder.
fn holds(folder: &Path, text: &str) -> bool {
    let has = |bytes: Vec<u8>| {
        bytes.windows(text.len()).any(|it| it.eq_ignore_ascii_case(text.as_bytes()))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => holds(&path, text),
        // What goes while it is looked at holds nothing.
        false => fs::read(path).is_ok_and(has),
    })
}

#[test]
fn a_kill_in_the_midst_of_forgetting_leaves_all_of_it_or_no_trace() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create(&house, "marit");
    let told = tell(&house, "marit");
    let folder = house.path("data/beings/marit");
    let text = format!("The password of the lodge is {SECRET}.");
    let forget = ["being", "forget", "marit", "--matching", SECRET, "--yes"];
    let know = || {
        remember(&house, "marit", &text);
        assert!(holds(&folder, SECRET), "else this shows nothing");
    };
    let whole = || {
        know();
        time(&house, &forget)
    };
    let whole = whole().min(whole());
    assert!(!holds(&folder, SECRET), "a trace is left");
    let mut cut_short = 0;
    // Sooner and sooner until it is cut short, and from then on about when it just is, or just is not.
    let mut after = whole;
    for _ in 0..8 {
        know();
        let forgetting = begin(&house, &forget, after);
        running.signal(Signal::KILL);
        running.end();
        running = house.up(HOUSE);
        let was_forgotten = finish(forgetting).code == 0;

        let round = format!("genii killed after {after:?} of {whole:?}");
        until_it_recalls(&house, "data", "marit", &told);
        let is_recalled = wait_until(&round, || {
            let is_recalled = recall(&house, "data", "marit", SECRET).is_ok();
            match is_recalled || !holds(&folder, SECRET) {
                true => Ok(is_recalled),
                false => Err("it is not recalled, and stands in a file".to_owned()),
            }
        });
        assert!(!is_recalled || !was_forgotten, "{round}: it was forgotten, and is recalled");
        if is_recalled {
            time(&house, &forget);
            assert!(!holds(&folder, SECRET), "{round}: a trace is left");
        }
        after = if was_forgotten { after * 2 / 3 } else { after * 6 / 5 };
        cut_short += u32::from(!was_forgotten);
    }
    assert!(cut_short > 0, "each was over before genii was killed: they take {whole:?}");
    until_it_recalls(&house, "data", "marit", &told);
    running.stop();
}
