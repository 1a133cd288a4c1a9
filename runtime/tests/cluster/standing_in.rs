//! Stand-ins, and theirs, on several machines.

use super::*;

/// `core/x` on one machine, its stand-in on another, and the stand-in of that on a third or the first.
fn chain(last: &str) -> String {
    format!(
        r#"
[groups.core]
node = "main"
[groups.far]
node = "pc2"
[groups.last]
node = {last:?}

[agents."core/x"]
kind = "worker"
fallback = "far/y"
[agents."far/y"]
kind = "worker"
fallback = "last/z"
[agents."last/z"]
kind = "worker"
"#
    )
}

async fn three(seed: u64, topology: &str) -> (Waters, [Machine; 3]) {
    let waters = waters(seed);
    let all = [
        Machine::boot_as(&waters, "main", 1, topology).await,
        Machine::boot_as(&waters, "pc2", 1, topology).await,
        Machine::boot_as(&waters, "pc3", 1, topology).await,
    ];
    link(&all.each_ref()).await;
    for agent in ["core/x", "far/y", "last/z"] {
        until("all are ready", || all.iter().all(|it| it.state(agent) == "ready")).await;
    }
    (waters, all)
}

/// All see that an agent stands so.
async fn seen(all: &[&Machine], agent: &str, state: &str) {
    until(&format!("{agent} is {state}"), || all.iter().all(|it| it.state(agent) == state)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_of_those_who_stand_in_answers_wherever_it_and_who_asks_live() {
    for last in ["main", "pc3"] {
        let (_waters, all) = three(50, &chain(last)).await;
        let [main, pc2, pc3] = &all;
        let all = [main, pc2, pc3];
        let answers = async |expected: &str| {
            for machine in all {
                let said = machine.says("core/x").await;
                assert_eq!(said, format!("{expected}: hi"), "on {}", machine.node.name());
            }
        };
        answers("core/x@main").await;
        main.house.stop("core/x").await.unwrap();
        seen(&all, "core/x", "stopped").await;
        answers("far/y@pc2").await;
        pc2.house.stop("far/y").await.unwrap();
        seen(&all, "far/y", "stopped").await;
        answers(&format!("last/z@{last}")).await;
        pc2.house.start("far/y").await.unwrap();
        seen(&all, "far/y", "ready").await;
        answers("far/y@pc2").await;
        main.house.start("core/x").await.unwrap();
        seen(&all, "core/x", "ready").await;
        answers("core/x@main").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_gone_is_passed_over() {
    let (waters, [main, pc2, pc3]) = three(51, &chain("pc3")).await;
    main.house.stop("core/x").await.unwrap();
    seen(&[&pc3], "core/x", "stopped").await;
    pc2.crash(&waters);
    seen(&[&main, &pc3], "far/y", "stopped").await;
    for machine in [&main, &pc3] {
        assert_eq!(machine.says("core/x").await, "last/z@pc3: hi");
    }
    main.crash(&waters);
    seen(&[&pc3], "core/x", "stopped").await;
    assert_eq!(pc3.says("core/x").await, "last/z@pc3: hi");
}

#[tokio::test(start_paused = true)]
async fn a_fault_names_who_was_asked_and_why_that_is_not_there() {
    let (_waters, all) = three(52, &chain("main")).await;
    let [main, pc2, pc3] = &all;
    main.house.stop("core/x").await.unwrap();
    seen(&[pc2, pc3], "core/x", "stopped").await;
    // Of what a stand-in is asked, too.
    for machine in [main, pc3] {
        let to = machine.node.to(address("core/x"));
        let crashed = to.ask(Crash {}).await.unwrap_err().to_string();
        assert!(crashed.starts_with("core/x is down: it panicked"), "{crashed}");
        seen(&[main, pc2, pc3], "far/y", "ready").await;
        let mut count = to.stream(CountTo { last: 666 }).await.unwrap();
        while count.next().await.is_some() {}
        let crashed = count.finish().await.unwrap_err().to_string();
        assert!(crashed.starts_with("core/x is down: it panicked"), "{crashed}");
        seen(&[main, pc2, pc3], "far/y", "ready").await;
    }
    pc2.house.stop("far/y").await.unwrap();
    main.house.stop("last/z").await.unwrap();
    seen(&[main, pc2, pc3], "far/y", "stopped").await;
    seen(&[main, pc2, pc3], "last/z", "stopped").await;
    for machine in [main, pc2, pc3] {
        let down = machine.echo("core/x", "hi").await.unwrap_err();
        let Some(Fault::Down { to, cause }) = down.fault() else { panic!("{down}") };
        assert_eq!(to.address, address("core/x"), "on {}", machine.node.name());
        assert!(cause.message.contains("asked to stop"), "{cause}");
    }
}

/// One that needs an agent of another machine, with or without a stand-in for that on its own.
fn needy(fallback: &str) -> String {
    format!(
        r#"
[groups.core]
node = "main"
[groups.far]
node = "pc2"

[agents."core/x"]
kind = "worker"
{fallback}
[agents."far/y"]
kind = "worker"
[agents."far/needy"]
kind = "worker"
needs = ["core/x"]
"#
    )
}

const FALLBACK: &str = "fallback = \"far/y\"";

/// It is shown to lack what it needs, and how.
async fn lacks(machine: &Machine, how: &str) {
    let detail = || machine.house.member("far/needy").unwrap().view.status.detail();
    until(how, || detail().as_deref() == Some(how)).await;
}

#[tokio::test(start_paused = true)]
async fn a_need_of_what_lives_elsewhere_is_met_by_its_stand_in_here() {
    let waters = waters(60);
    let topology = needy(FALLBACK);
    let main = Machine::boot_as(&waters, "main", 1, &topology).await;
    let pc2 = Machine::boot_as(&waters, "pc2", 1, &topology).await;
    link(&[&main, &pc2]).await;
    seen(&[&main, &pc2], "far/needy", "ready").await;
    main.crash(&waters);
    lacks(&pc2, "far/y stands in for core/x, which is stopped").await;
    let why = pc2.house.why("far/needy").unwrap().because;
    assert!(why.says.contains("far/y stands in for core/x"), "{}", why.says);
    assert!(why.because[0].says.contains("its node main is down"), "{why:?}");
    pc2.house.stop("far/y").await.unwrap();
    lacks(&pc2, "core/x is stopped").await;
    pc2.house.start("far/y").await.unwrap();
    lacks(&pc2, "far/y stands in for core/x, which is stopped").await;
    let main = Machine::boot_as(&waters, "main", 2, &topology).await;
    link(&[&main, &pc2]).await;
    seen(&[&main, &pc2], "far/needy", "ready").await;
}

#[tokio::test(start_paused = true)]
async fn who_starts_alone_starts_on_the_stand_in_and_waits_for_nobody() {
    let waters = waters(61);
    let pc2 = Machine::boot_as(&waters, "pc2", 1, &needy(FALLBACK)).await;
    let began = Instant::now();
    pc2.house.up().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    lacks(&pc2, "far/y stands in for core/x, which is waiting").await;
    let main = Machine::boot_as(&waters, "main", 1, &needy(FALLBACK)).await;
    link(&[&main, &pc2]).await;
    seen(&[&main, &pc2], "far/needy", "ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_is_new_or_none_any_more_changes_what_is_lacking() {
    let waters = waters(62);
    let main = Machine::boot_as(&waters, "main", 1, &needy("")).await;
    let pc2 = Machine::boot_as(&waters, "pc2", 1, &needy("")).await;
    link(&[&main, &pc2]).await;
    seen(&[&main, &pc2], "far/needy", "ready").await;
    main.crash(&waters);
    lacks(&pc2, "core/x is stopped").await;
    pc2.apply(&needy(FALLBACK)).await;
    lacks(&pc2, "far/y stands in for core/x, which is stopped").await;
    pc2.apply(&needy("")).await;
    lacks(&pc2, "core/x is stopped").await;
}

#[tokio::test(start_paused = true)]
async fn why_names_the_node_of_what_is_waited_for() {
    let waters = waters(63);
    let topology = "[groups.here]\nnode = \"main\"\n[groups.there]\nnode = \"pc2\"\n\
        [agents.\"here/lamp\"]\nkind = \"worker\"\nneeds = [\"there/power\"]\n\
        [agents.\"there/power\"]\nkind = \"worker\"\n";
    let kinds = Catalogue::new().with::<Worker>("worker");
    let main = Machine::boot_in(&waters, "main", 1, kinds, topology).await;
    main.meet("pc2");
    let house = main.house.clone();
    let coming_up = tokio::spawn(async move { house.up().await });
    until("it waits", || main.state("here/lamp") == "waiting").await;
    let why = main.house.why("here/lamp").unwrap();
    let power = &why.because.because[0];
    assert!(power.says.ends_with("on its node pc2, which is not linked"), "{why:?}");
    coming_up.abort();
}
