//! Machines that come, go and come back: who is held to be there, and what is waited for.

use super::*;

#[tokio::test(start_paused = true)]
async fn nodes_that_have_met_one_are_introduced_to_each_other() {
    let waters = waters(16);
    let boot = |own: &str, knows: &[&str]| {
        let node = Node::new(NodeOptions { seed: 7, ..NodeOptions::new(name(own)) });
        let knows: Vec<NodeName> = knows.iter().map(|known| name(known)).collect();
        let network = waters.harbour_that_knows(&name(own), &knows);
        (Cluster::begin(&node, network, Timing::default(), 1), node)
    };
    let nodes = [
        boot("main", &[]),
        boot("pc2", &["main"]),
        boot("pc3", &["main"]),
        // One that knows another that joined.
        boot("pc4", &["pc3"]),
    ];
    let began = Instant::now();
    until("all are linked", || {
        nodes.iter().all(|(cluster, _)| {
            let members = cluster.members();
            members.len() == 3 && members.iter().all(|it| it.membership == Membership::Alive)
        })
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_suspected_then_down_and_heals_by_another_life() {
    let (waters, main, pc2) = two(8).await;
    waters.cut(&name("main"), &name("pc2"));
    let began = Instant::now();
    until("it is suspected", || main.membership("pc2") == Membership::Suspect).await;
    let suspected = began.elapsed();
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    let down = began.elapsed();
    assert!(suspected <= Duration::from_millis(410), "{suspected:?}");
    assert!(down <= Duration::from_millis(1_110), "{down:?}");
    until("the other sees it too", || pc2.membership("main") == Membership::Down).await;
    let before = main.cluster.members()[0].incarnation;
    waters.heal(&name("main"), &name("pc2"));
    until("it is back", || main.membership("pc2") == Membership::Alive).await;
    assert!(main.cluster.members()[0].incarnation > before);
    until("all is known", || main.state("there/power") == "ready").await;
    assert_eq!(main.echo("there/power", "hi").await.unwrap(), "there/power@pc2: hi");
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_waits_on_a_node_that_goes_ends_at_once() {
    let (waters, main, pc2) = two(6).await;
    let waiting = tokio::spawn({
        let to = main.node.to(address("there/power"));
        async move { to.ask_within(Dawdle { millis: 600_000 }, PATIENCE * 4).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    pc2.crash(&waters);
    let lost = waiting.await.unwrap().unwrap_err();
    assert!(matches!(lost.fault(), Some(Fault::Unreachable { .. })), "{lost}");
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
    until("it is down", || main.membership("pc2") == Membership::Down).await;
    // Those who need what was there lack it, and stand-ins stand in.
    until("it is degraded", || main.state("here/desk") == "degraded").await;
    assert_eq!(main.echo("there/printer", "hi").await.unwrap(), "here/lamp@main: hi");

    let pc2 = Machine::boot(&waters, "pc2", 2).await;
    pc2.meet("main");
    until("all is well", || main.state("here/desk") == "ready").await;
    until("it is known", || main.state("there/printer") == "ready").await;
    assert_eq!(main.echo("there/printer", "hi").await.unwrap(), "there/printer@pc2: hi");
}

#[tokio::test(start_paused = true)]
async fn what_its_node_does_not_have_is_not_waited_for() {
    let waters = waters(13);
    let main = Machine::boot(&waters, "main", 1).await;
    let node = Node::new(NodeOptions { seed: 7, ..NodeOptions::new(name("pc2")) });
    let cluster = Cluster::begin(&node, waters.harbour(&name("pc2")), Timing::default(), 1);
    cluster.meet(&name("main"), &[]);
    let began = Instant::now();
    main.house.up().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(main.state("here/desk"), "degraded");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_its_leave_is_not_waited_for() {
    let (_waters, main, pc2) = two(10).await;
    pc2.cluster.leave().await;
    until("it has left", || main.membership("pc2") == Membership::Left).await;
    let fault = main.echo("there/power", "hi").await.unwrap_err();
    assert!(matches!(fault.fault(), Some(Fault::Unreachable { .. })), "{fault}");
}
