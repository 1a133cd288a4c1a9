//! Addresses that more than one machine has, for a while or for good.

use super::*;

fn lamp_on(node: &str) -> String {
    format!("[groups.lamp]\nnode = {node:?}\n[agents.\"lamp/x\"]\nkind = \"worker\"\n")
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_moves_is_found_by_who_hears_of_it_before_it_knows_of_the_move() {
    for seed in 0..5 {
        let waters = waters(70 + seed);
        let before = lamp_on("main");
        let main = Machine::boot_as(&waters, "main", 1, &before).await;
        let pc2 = Machine::boot_as(&waters, "pc2", 1, &before).await;
        let pc3 = Machine::boot_as(&waters, "pc3", 1, &before).await;
        link(&[&main, &pc2, &pc3]).await;
        until("it is known", || pc3.state("lamp/x") == "ready").await;
        let after = lamp_on("pc2");
        for machine in [&pc2, &main, &pc3] {
            machine.apply(&after).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for machine in [&main, &pc3] {
            assert_eq!(machine.state("lamp/x"), "ready", "{}", machine.node.name());
            assert_eq!(machine.echo("lamp/x", "hi").await.unwrap(), "lamp/x@pc2: hi");
        }
        // It is not given up later either.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(pc3.state("lamp/x"), "ready");
    }
}

/// Groups that name no machine: each that reads this has them.
const LAMP: &str = "[groups.lamp]\n[agents.\"lamp/x\"]\nkind = \"worker\"\n";

const OTHER: &str = "[groups.other]\n[agents.\"other/y\"]\nkind = \"worker\"\n";

const MORE: &str = "[groups.more]\n[agents.\"more/z\"]\nkind = \"worker\"\n";

#[tokio::test(start_paused = true)]
async fn what_two_machines_have_is_asked_on_the_same_from_everywhere_and_told_of() {
    // Whichever is heard of first.
    for (first, second) in [("main", "pc2"), ("pc2", "main")] {
        let waters = waters(80);
        let pc3 = Machine::boot_as(&waters, "pc3", 1, OTHER).await;
        let pc4 = Machine::boot_as(&waters, "pc4", 1, MORE).await;
        let first = Machine::boot_as(&waters, first, 1, LAMP).await;
        link(&[&pc3, &pc4, &first]).await;
        let second = Machine::boot_as(&waters, second, 1, LAMP).await;
        link(&[&pc3, &pc4, &first, &second]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        for machine in [&pc3, &pc4] {
            assert_eq!(machine.echo("lamp/x", "hi").await.unwrap(), "lamp/x@main: hi");
            let other = first.node.name();
            let text = format!("has lamp/x, as {other} has; from here it is asked on main");
            let told = machine.notes_of(second.node.name().as_str());
            let told = told.iter().filter(|note| note.contains("lamp/x"));
            assert_eq!(told.collect::<Vec<_>>(), [&text]);
        }
        // Who has it asks its own.
        for machine in [&first, &second] {
            let own = machine.node.name();
            let echo = machine.echo("lamp/x", "hi").await.unwrap();
            assert_eq!(echo, format!("lamp/x@{own}: hi"));
            assert!(!machine.notes_of("main").iter().any(|note| note.contains("lamp/x")));
        }
        let (main, pc2) =
            if first.node.name().as_str() == "main" { (first, second) } else { (second, first) };
        main.crash(&waters);
        until("it is down", || pc3.membership("main") == Membership::Down).await;
        assert_eq!(pc3.echo("lamp/x", "hi").await.unwrap(), "lamp/x@pc2: hi");
        assert_eq!(pc3.cluster.figures().addresses, 2);
        pc2.crash(&waters);
        until("it is down", || pc3.membership("pc2") == Membership::Down).await;
        let nobody = pc3.echo("lamp/x", "hi").await.unwrap_err();
        assert!(matches!(nobody.fault(), Some(Fault::NotFound { .. })), "{nobody}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_others_have_is_listed_once_as_it_is_asked() {
    let waters = waters(90);
    let here = Machine::boot_as(&waters, "here", 1, OTHER).await;
    let main = Machine::boot_as(&waters, "main", 1, LAMP).await;
    let pc2 = Machine::boot_as(&waters, "pc2", 1, LAMP).await;
    let row = |agent: &str| {
        let rows = here.house.rows();
        let mut of_it = rows.iter().filter(|row| row.name == agent);
        let row = of_it.next().cloned();
        assert!(of_it.next().is_none(), "{agent} is listed twice");
        row
    };
    assert!(row("lamp/x").is_none());
    link(&[&here, &main, &pc2]).await;
    let on = |node: &str| row("lamp/x").is_some_and(|row| row.node == Some(name(node)));
    until("it is listed", || on("main") && row("lamp/x").unwrap().state == "ready").await;
    let stranger = row("lamp/x").unwrap();
    assert_eq!((stranger.counted, stranger.for_seconds, stranger.required), (None, None, None));
    assert!(row("other/y").unwrap().counted.is_some());
    // Its group is where it is asked.
    assert_eq!(here.house.home_of("lamp"), Some(name("main")));
    let elsewhere = here.house.is_own("lamp/x").unwrap_err().to_string();
    assert_eq!(elsewhere, "lamp/x lives on main");
    main.crash(&waters);
    until("the other counts", || on("pc2")).await;
    pc2.crash(&waters);
    until("nobody has it", || row("lamp/x").is_none()).await;
    assert_eq!(here.house.home_of("lamp"), None);
}
