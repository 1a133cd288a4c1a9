//! Asks and tells between agents of different machines.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_address_is_the_same_line_of_code_on_either_machine() {
    for seed in 0..20 {
        let (_waters, main, pc2) = two(seed).await;
        assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
        assert_eq!(pc2.echo("here/lamp", "hi").await.unwrap(), "here/lamp@main: hi");
        assert_eq!(pc2.echo("here/lamp@main", "hi").await.unwrap(), "here/lamp@main: hi");
        let elsewhere = main.echo("there/power@main", "hi").await.unwrap_err().to_string();
        let said = "there/power@main is not known; did you mean there/power?";
        assert_eq!(elsewhere, said);
        let refused = main.echo("there/power", "unsayable").await.unwrap_err();
        assert_eq!(refused, AskError::Refused(WontSay { word: "unsayable".to_owned() }));
        let to = main.node.to(address("there/power"));
        let json = Json(serde_json::json!({ "text": "json" }));
        let said = to.ask_json("worker.echo", &json, PATIENCE).await.unwrap();
        assert_eq!(said.0, "there/power@pc2: json");
        let unknown = to.ask_json("worker.ecko", &json, PATIENCE).await.unwrap_err();
        assert!(unknown.to_string().contains("did you mean worker.echo?"), "{unknown}");
        let nobody = main.echo("there/nobody", "hi").await.unwrap_err();
        assert!(matches!(nobody.fault(), Some(Fault::NotFound { .. })), "{nobody}");
        let late = to.ask_within(Dawdle { millis: 500 }, Duration::from_millis(100)).await;
        assert!(matches!(late.unwrap_err().fault(), Some(Fault::Timeout { .. })));
    }
}

/// Names and addresses that anybody may make up take room at the other end as long as the link lasts.
#[tokio::test(start_paused = true)]
async fn what_is_made_up_takes_no_room_on_a_link() {
    let (_waters, main, _pc2) = two(1).await;
    let before = main.cluster.figures().receivers;
    for number in 0..100 {
        let to = format!("there/made-up-{number}@pc2");
        let fault = main.echo(&to, "hi").await.unwrap_err();
        assert!(fault.to_string().contains("is not known"), "{fault}");
        let mail = main.node.to(address("there/power"));
        let message = format!("made.up_{number}");
        let refused = mail.ask_json(&message, &Json::default(), PATIENCE).await.unwrap_err();
        assert!(refused.to_string().contains("has no such message"), "{refused}");
    }
    // The one that does exist.
    assert_eq!(main.cluster.figures().receivers, before + 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_comes_once_and_in_order_however_much_it_is() {
    let (_waters, main, _pc2) = two(3).await;
    let to = main.node.to(address("there/power"));
    for number in 0..5_000 {
        to.tell(Note { number }).await.unwrap();
    }
    let notes = to.ask(Notes {}).await.unwrap();
    assert_eq!(notes, (0..5_000).collect::<Vec<_>>());
    assert_eq!(main.node.dead_letters().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_large_travels_in_parts_and_keeps_its_place() {
    let (_waters, main, _pc2) = two(4).await;
    let to = main.node.to(address("there/power"));
    let text = "x".repeat(5 << 20);
    let answer = to.ask(Echo { text: text.clone() }).await.unwrap();
    assert_eq!(answer.len(), "there/power@pc2: ".len() + text.len());
    let too_large = "x".repeat(65 << 20);
    let refused = to.ask(Echo { text: too_large }).await.unwrap_err();
    assert!(refused.to_string().contains("more than the limit"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_is_large_finds_room_whatever_came_before() {
    let (_waters, main, _pc2) = two(12).await;
    let to = main.node.to(address("there/power"));
    to.tell(Note { number: 1 }).await.unwrap();
    let asks = (0..2).map(|_| {
        let (power, printer) = (to.clone(), main.node.to(address("there/printer")));
        tokio::spawn(async move {
            let text = "x".repeat(40 << 20);
            let both = tokio::join!(
                power.ask_within(Echo { text: text.clone() }, PATIENCE),
                printer.ask_within(Echo { text }, PATIENCE),
            );
            both.0.unwrap().len().min(both.1.unwrap().len())
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert!(ask.await.unwrap() > 40 << 20);
    }
    // Those that are given up half-way leave nothing behind.
    for _ in 0..10 {
        let text = "x".repeat(20 << 20);
        let _late = to.ask_within(Echo { text }, Duration::from_millis(3)).await;
    }
    assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
    assert_eq!(main.membership("pc2"), Membership::Alive);
}

#[tokio::test(start_paused = true)]
async fn a_slow_agent_holds_up_nobody_else() {
    let (_waters, main, _pc2) = two(5).await;
    let slow = main.node.to(address("there/printer"));
    slow.tell(Dawdle { millis: 60_000 }).await.unwrap();
    let filling = tokio::spawn({
        let slow = slow.clone();
        async move {
            let mut sent = 0;
            while slow.tell(Note { number: sent }).await.is_ok() {
                sent += 1;
            }
            sent
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
    assert_eq!(main.membership("pc2"), Membership::Alive);
    let sent = filling.await.unwrap();
    assert!((1_000..=u64::from(CREDIT_MAX)).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn that_an_agent_is_suspended_is_known_on_other_nodes() {
    let (waters, main, pc2) = two(18).await;
    let power = address("there/power");
    let is_suspended = |machine: &Machine| {
        let rows = machine.house.rows();
        rows.iter().any(|row| row.name == "there/power" && row.is_suspended())
    };
    assert!(!is_suspended(&main));
    pc2.node.suspend(&power, PATIENCE).await.unwrap();
    until("it is told", || is_suspended(&main)).await;
    // One that comes later, and whose topology does not have it, is told, too.
    let other = "[groups.other]\n[agents.\"other/y\"]\nkind = \"worker\"\n";
    let pc3 = Machine::boot_as(&waters, "pc3", 1, other).await;
    link(&[&main, &pc2, &pc3]).await;
    let is_known = || pc3.house.rows().iter().any(|row| row.name == "there/power");
    until("it is listed", is_known).await;
    assert!(is_suspended(&pc3));
    pc2.node.resume(&power, PATIENCE).await.unwrap();
    until("it goes on", || !is_suspended(&main) && !is_suspended(&pc3)).await;
    // The next life of one is not suspended.
    pc2.node.suspend(&power, PATIENCE).await.unwrap();
    until("it is told again", || is_suspended(&main) && is_suspended(&pc3)).await;
    pc2.house.restart("there/power").await.unwrap();
    until("it is ready", || main.state("there/power") == "ready").await;
    until("that is told", || !is_suspended(&main) && !is_suspended(&pc3)).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_crashes_while_it_is_asked_from_afar_tells_why() {
    let (_waters, main, _pc2) = two(9).await;
    let lost = main.node.to(address("there/power")).ask(Crash {}).await.unwrap_err();
    assert!(lost.to_string().contains("as it was told"), "{lost}");
    until("it returns", || main.state("there/power") == "ready").await;
}
