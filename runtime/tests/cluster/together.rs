//! Small messages that come together for one receiver of another node.

use super::*;

/// Pick an even number. No other can be read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Pick {
    #[serde(deserialize_with = "even")]
    number: u64,
}
message!(Pick = "picker.pick" -> u64);

/// What was picked, in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Picked {}
message!(Picked = "picker.picked" -> Vec<u64>);

fn even<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(from)?;
    match number % 2 {
        0 => Ok(number),
        _ => Err(serde::de::Error::custom("it is odd")),
    }
}

struct Picker(Vec<u64>);

impl Agent for Picker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Pick>().on::<Picked>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self(Vec::new()))
    }
}

impl Handle<Pick> for Picker {
    async fn handle(&mut self, Pick { number }: Pick, _: &mut Context) -> Result<u64, Never> {
        self.0.push(number);
        Ok(number)
    }
}

impl Handle<Picked> for Picker {
    async fn handle(&mut self, _: Picked, _: &mut Context) -> Result<Vec<u64>, Never> {
        Ok(self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_smaller_than_what_comes_together_takes_all_of_it_in_order() {
    let topology = TOPOLOGY
        .replace("[agents.\"there/power\"]\n", "[agents.\"there/power\"]\nmailbox_capacity = 3\n");
    let (main, _pc2) = two_of::<Worker>(60, &topology).await;
    let to = main.node.to(address("there/power"));
    to.tell(Dawdle { millis: 50 }).await.unwrap();
    for number in 0..500 {
        to.try_tell(Note { number }).unwrap();
    }
    assert_eq!(to.ask(Notes {}).await.unwrap(), (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_came_together_with_the_end_of_its_receiver_is_not_lost_in_silence() {
    let (_waters, main, pc2) = two(61).await;
    let to = main.node.to(address("there/power"));
    for number in 0..10 {
        to.try_tell(Note { number }).unwrap();
    }
    to.try_tell(Crash {}).unwrap();
    for number in 10..15 {
        to.try_tell(Note { number }).unwrap();
    }
    // All of it goes at once, this with it.
    let lost = to.ask(Notes {}).await.unwrap_err();
    let cause = match lost.fault() {
        Some(Fault::Down { cause, .. }) => cause.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(cause.contains("as it was told"), "{cause}");
    let letters = pc2.node.dead_letters().tail(10);
    let notes = letters.iter().filter(|letter| letter.message == "worker.note");
    assert_eq!(notes.count(), 5);
    until("that it has crashed is told", || main.state("there/power") == "down").await;
    until("it returns", || main.state("there/power") == "ready").await;
    // All that came was done with: there is room for as much as ever.
    for number in 0..u64::from(CREDIT_MAX) * 2 {
        to.tell(Note { number }).await.unwrap();
    }
    assert_eq!(to.ask(Notes {}).await.unwrap().len(), CREDIT_MAX as usize * 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_refused_and_what_came_beside_it_is_not() {
    let (main, pc2) = two_of::<Picker>(62, TOPOLOGY).await;
    let to = main.node.to(address("there/power"));
    for number in [2, 3, 4] {
        to.try_tell(Pick { number }).unwrap();
    }
    let asks = [5, 6].map(|number| to.ask(Pick { number }));
    let [odd, even] = futures_util::future::join_all(asks).await.try_into().unwrap();
    let odd: AskError<Never> = odd.unwrap_err();
    assert!(odd.to_string().contains("it is odd"), "{odd}");
    assert_eq!(even.unwrap(), 6);
    assert_eq!(to.ask(Picked {}).await.unwrap(), [2, 4, 6]);
    let letters = pc2.node.dead_letters().tail(10);
    assert_eq!(letters.len(), 1);
    assert!(letters[0].fault.to_string().contains("it is odd"), "{}", letters[0].fault);
}

#[tokio::test(start_paused = true)]
async fn what_was_handled_leaves_its_room_to_others_also_while_the_last_is_at_work() {
    let (_waters, main, pc2) = two(63).await;
    let to = main.node.to(address("there/power"));
    let echo = |len: usize| Echo { text: "x".repeat(len) };
    let handled = |count| {
        let member = pc2.house.member("there/power").unwrap();
        member.counters.unwrap().handled >= count
    };
    // Nearly as much as the receiver may keep before it gives it back.
    for _ in 0..60 {
        to.tell(echo(4_200)).await.unwrap();
    }
    until("these are handled", || handled(60)).await;
    for _ in 0..30 {
        to.try_tell(echo(4_000)).unwrap();
    }
    to.try_tell(Dawdle { millis: 60_000 }).unwrap();
    until("so are those", || handled(90)).await;
    // Nothing waits there but for what is at work.
    to.tell(echo(700 << 10)).await.unwrap();
}
