//! The REPL, on a terminal of its own.

use crate::support::{House, wait_until};
use crate::terminal::Terminal;
use crate::up::STEADY;

#[test]
fn a_person_completes_kills_watches_and_asks_why() {
    let house = House::new();
    let running = house.up(&format!(
        "[groups.a]\n[groups.core]\n[agents.\"a/base\"]\n{STEADY}\
         [agents.\"core/system-digital-twin\"]\nkind = \"system-digital-twin\"\n"
    ));
    let mut terminal = Terminal::open(&house, "repl");
    terminal.wait_for("genii> ");
    // Tab completes commands and addresses.
    terminal.press("kil\ta/b\t");
    terminal.wait_for("a/base");
    terminal.press("\r");
    terminal.wait_for("a/base is ");
    wait_until("its return", || {
        Some(house.row("a/base")).filter(|row| row["restarts"] == 1 && row["state"] == "ready")
    });
    terminal.wait_for("genii> ");
    terminal.press("why a/base\r");
    terminal.wait_for("killed by hand");
    terminal.wait_for("genii> ");
    // Machines and states are completed, too.
    terminal.press("why a/base@\t");
    terminal.wait_for("why a/base@main");
    terminal.press("\r");
    terminal.wait_for("a/base has been ready");
    terminal.wait_for("genii> ");
    terminal.press("ps --state qua\t");
    terminal.wait_for("quarantined");
    terminal.press("--node m\t\r");
    terminal.wait_for("no agent is in this list");
    terminal.wait_for("genii> ");
    // A hint of what the message takes.
    terminal.press("ask core/system-digital-twin twin.what_if ");
    terminal.wait_for("{ goes: [text]");
    terminal.press("'{\"goes\": [\"a/base\"]}'\r");
    terminal.wait_for("genii> ");
    // A slip is told, and the REPL goes on.
    terminal.press("tre\r");
    terminal.wait_for("tree");
    terminal.wait_for("genii> ");
    terminal.press("help\r");
    terminal.wait_for("dead-letters");
    terminal.wait_for("genii> ");
    terminal.press("exit\r");
    wait_until("the history", || {
        std::fs::read_to_string(house.path("data/history"))
            .ok()
            .filter(|it| it.contains("why a/base"))
    });
    running.stop();
}

/// Genii ends under a REPL and comes back: neither is taken for anything else.
#[test]
fn a_genii_that_ends_is_missed_and_found_again() {
    let house = House::new();
    let topology = format!("[groups.a]\n[agents.\"a/base\"]\n{STEADY}");
    let running = house.up(&topology);
    let mut terminal = Terminal::open(&house, "repl");
    terminal.wait_for("genii> ");
    running.stop();
    terminal.press("tree\r");
    terminal.wait_for("does not run any more");
    terminal.wait_for("`genii up --topology ");
    terminal.wait_for("genii> ");
    let running = house.up(&topology);
    wait_until("it to be found again", || {
        terminal.press("ps\r");
        let shown = terminal.wait_for("genii> ");
        if shown.contains("a/base") { Ok(()) } else { Err(shown) }
    });
    terminal.press("exit\r");
    running.stop();
}
