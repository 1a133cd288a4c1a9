//! Groups, and who is in them.

use genii_runtime::groups::{GroupError, MEMBERSHIPS_MAX};
use genii_runtime::{GroupEvent, GroupMonitor};

use super::super::*;

fn group(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The members of a group as `address@node`, each as often as it has joined.
fn members(machine: &Machine, of: &str) -> Vec<String> {
    let members = machine.node.group_members(&group(of)).into_iter();
    members
        .flat_map(|member| vec![member.destination().to_string(); member.times as usize])
        .collect()
}

async fn belongs(machine: &Machine, ear: &str, of: &str, joins: bool) -> bool {
    let belong = Belong { group: of.to_owned(), joins };
    machine.node.to(address(ear)).ask(belong).await.unwrap()
}

async fn event(monitor: &mut GroupMonitor) -> String {
    match tokio::time::timeout(PATIENCE, monitor.next()).await.unwrap().unwrap() {
        GroupEvent::Joined(member) => format!("+{}", member.destination()),
        GroupEvent::Left(member) => format!("-{}", member.destination()),
        GroupEvent::Lost(lost) => format!("lost {lost}"),
    }
}

#[tokio::test(start_paused = true)]
async fn members_are_known_on_every_node_and_as_often_as_they_joined() {
    let (_waters, all) = three(1).await;
    let [one, two, three] = &all;
    for machine in &all {
        assert_eq!(members(machine, "ears"), ["three/ear@three", "two/ear@two"]);
        assert_eq!(members(machine, "thirds"), ["three/ear@three"]);
        assert_eq!(machine.node.group_names(), [group("ears"), group("thirds")]);
        assert_eq!(members(machine, "nobody"), [""; 0]);
    }
    assert_eq!(two.node.group_members_here(&group("ears")).len(), 1);
    assert!(belongs(two, "two/ear", "ears", true).await);
    let twice = ["three/ear@three", "two/ear@two", "two/ear@two"];
    until("it is in twice", || members(one, "ears") == twice).await;
    for left in [&twice[..2], &twice[..1]] {
        assert!(belongs(one, "two/ear", "ears", false).await);
        until("it has left", || members(three, "ears") == left).await;
    }
    assert!(!belongs(two, "two/ear", "ears", false).await, "it is no member any more");
    // Anybody at the node may let an agent of that node join, and of no other.
    one.node.join_group(&group("ears"), &address("one/ear")).unwrap();
    let not_here = one.node.join_group(&group("ears"), &address("two/ear"));
    assert_eq!(not_here, Err(GroupError::NotHere(address("two/ear"))));
    assert!(not_here.unwrap_err().to_string().contains("joins where it lives"));
    until("all know", || members(three, "ears") == ["one/ear@one", "three/ear@three"]).await;
    one.node.leave_group(&group("ears"), &address("one/ear")).unwrap();
    let no_member = one.node.leave_group(&group("ears"), &address("one/ear")).unwrap_err();
    assert_eq!(no_member.to_string(), "one/ear is no member of ears");
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_group_hears_who_comes_and_goes() {
    let (waters, [one, two, three]) = three(2).await;
    let mut monitor = one.node.monitor_group(&group("ears")).unwrap();
    assert_eq!(monitor.members(), one.node.group_members(&group("ears")));
    // A member leaves with its life, and its next life joins anew.
    let before = one.node.group_members(&group("thirds"))[0].incarnation;
    three.node.to(address("three/ear")).ask(Crash {}).await.unwrap_err();
    assert_eq!(event(&mut monitor).await, "-three/ear@three");
    assert_eq!(event(&mut monitor).await, "+three/ear@three");
    assert!(one.node.group_members(&group("ears"))[0].incarnation > before);
    // A second time is no event.
    assert!(belongs(&two, "two/ear", "ears", true).await);
    assert!(belongs(&two, "two/ear", "ears", false).await);

    waters.cut(&name("one"), &name("two"));
    assert_eq!(event(&mut monitor).await, "-two/ear@two");
    assert_eq!(members(&one, "ears"), ["three/ear@three"]);
    assert_eq!(members(&three, "ears"), ["three/ear@three", "two/ear@two"]);
    waters.heal(&name("one"), &name("two"));
    assert_eq!(event(&mut monitor).await, "+two/ear@two");

    two.crash(&waters);
    assert_eq!(event(&mut monitor).await, "-two/ear@two");
    until("all see it", || members(&three, "ears") == ["three/ear@three"]).await;
    drop(monitor);
}

#[tokio::test(start_paused = true)]
async fn who_watches_and_does_not_look_is_told_that_it_missed_something() {
    let (_waters, [one, _two, _three]) = three(3).await;
    let mut monitor = one.node.monitor_group(&group("crowd")).unwrap();
    for _ in 0..600 {
        one.node.join_group(&group("crowd"), &address("one/ear")).unwrap();
        one.node.leave_group(&group("crowd"), &address("one/ear")).unwrap();
    }
    assert_eq!(event(&mut monitor).await, "lost 200");
    assert_eq!(event(&mut monitor).await, "+one/ear@one");
}

#[tokio::test(start_paused = true)]
async fn a_node_may_have_so_many_members_and_no_more() {
    let waters = Waters::new(4, (Duration::ZERO, Duration::ZERO));
    let one = Machine::boot(&waters, "one", 1).await;
    one.house.up().await.unwrap();
    let own = address("one/ear");
    for number in 0..MEMBERSHIPS_MAX {
        one.node.join_group(&group(&format!("g{number}")), &own).unwrap();
    }
    let refused = one.node.join_group(&group("one-more"), &own);
    assert_eq!(refused, Err(GroupError::TooMany));
    one.node.join_group(&group("g1"), &own).unwrap();
    one.node.leave_group(&group("g2"), &own).unwrap();
    one.node.join_group(&group("one-more"), &own).unwrap();
}

#[tokio::test(start_paused = true)]
async fn however_many_members_there_are_all_are_known() {
    let (waters, [one, two, _three]) = three(5).await;
    let own = address("one/ear");
    // More than there is room for on a control lane.
    let many = 20_000;
    for number in 0..many {
        let group = group(&format!("{}{number}", "g".repeat(50)));
        one.node.join_group(&group, &own).unwrap();
    }
    let all = || two.node.group_names().len() == many + 2;
    until("all are known", all).await;
    waters.cut(&name("one"), &name("two"));
    until("they are gone", || two.node.group_names().len() == 2).await;
    waters.heal(&name("one"), &name("two"));
    until("all are known again", all).await;
    one.node.to(own).ask(Crash {}).await.unwrap_err();
    until("they are gone", || two.node.group_names().len() == 2).await;
}
