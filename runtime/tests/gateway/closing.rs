//! A gateway that closes in good order: what was asked is answered, and what comes later was not taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use genii_protocols::Never;
use genii_protocols::client::{CallError, Client, ConnectError, Proof};
use genii_runtime::gateway::Gateway;
use genii_runtime::trust::scope::Verb;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::distance::far_from;
use crate::place::{CountTo, DEADLINE, Echo, Note, Place, address};

/// How often the gateway closes and another opens, and how many clients ask meanwhile.
const TIMES: usize = 12;
const CLIENTS: usize = 4;

/// How long a client waits for an answer that does not come.
const IMPATIENCE: Duration = Duration::from_millis(1_500);

fn echo() -> Echo {
    Echo { text: "hello".to_owned() }
}

#[tokio::test]
async fn what_was_asked_is_answered_and_nothing_more_is_taken() {
    let place = Place::new().await;
    let client = place.owner().await;
    let lamp = address("here/lamp");
    let pattern = "news.**".parse().unwrap();
    // What has no end does not hold it up.
    let _hears = client.subscribe(&[pattern]).await.unwrap();
    let mut items = client.stream(&lamp, &CountTo { number: 500, letters: 0 }).await.unwrap();
    assert_eq!(items.next().await.unwrap().number, 1);
    let finishes = place.gateway.finish(Some(Instant::now() + DEADLINE));
    let asks = async {
        let impatient = client.clone().with_timeout(Duration::from_millis(300));
        let until = Instant::now() + DEADLINE;
        // It may take a moment until the client has heard.
        while impatient.ask(&lamp, &echo()).await.is_ok() {
            assert!(Instant::now() < until, "it goes on to take calls");
        }
        let late = impatient.ask(&lamp, &echo()).await;
        assert!(matches!(late, Err(CallError::Unreachable(_))), "{late:?}");
        let mut last = 1;
        while let Some(item) = items.next().await {
            last = item.number;
        }
        assert_eq!((last, items.finish().await), (500, Ok(500)));
    };
    let finished = timeout(DEADLINE / 2, async { tokio::join!(finishes, asks) }).await;
    finished.expect("it waits for nothing that has no end");
}

/// Notes one number after another, and goes on when there is nobody for a while.
async fn keep_noting(client: Client, next: Arc<AtomicU64>, is_over: Arc<AtomicBool>) {
    while !is_over.load(SeqCst) {
        let number = next.fetch_add(1, SeqCst);
        client.ask(&address("here/desk"), &Note { number }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_gateway_that_closes_and_opens_again_lose_nothing() {
    let mut place = Place::new().await;
    let (next, is_over, mut clients) = (Arc::default(), Arc::default(), JoinSet::new());
    for _ in 0..CLIENTS {
        let client = place.owner().await;
        // Two on each connection. Of a call that is handed to a connection in the moment in which that
        // ends, tokio's channel tells hyper only when it is freed, and so when the next call comes.
        for client in [client.clone(), client] {
            clients.spawn(keep_noting(client, Arc::clone(&next), Arc::clone(&is_over)));
        }
    }
    for _ in 0..TIMES {
        let before = next.load(SeqCst);
        let until = Instant::now() + DEADLINE;
        while next.load(SeqCst) < before + 50 {
            assert!(Instant::now() < until, "nobody is served");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let gateway = Gateway::new(place.house.clone(), &place.trust());
        let closes = std::mem::replace(&mut place.gateway, gateway);
        closes.finish(None).await;
        closes.close().await;
        place.gateway.serve_unix(&place.socket()).unwrap();
    }
    is_over.store(true, SeqCst);
    clients.join_all().await;
    let mut notes = place.report("here/desk", |_| true).await.notes;
    notes.sort_unstable();
    assert_eq!(notes, (0..next.load(SeqCst)).collect::<Vec<_>>(), "each is noted, and once");
}

/// Asks until nobody is there any more, each time anew if that is wanted; returns what came instead of
/// an answer, where somebody was.
async fn ask_to_the_end<C>(
    connect: impl Fn() -> C,
    each_anew: bool,
    mut is_over: watch::Receiver<bool>,
) -> Option<CallError<Never>>
where
    C: Future<Output = Result<Client, ConnectError>>,
{
    let mut client: Option<Client> = None;
    loop {
        let asks = match client.take().filter(|_| !each_anew) {
            Some(client) => client,
            None => tokio::select! {
                connected = connect() => match connected {
                    Ok(client) => client.with_timeout(IMPATIENCE),
                    Err(_nobody_there) => return None,
                },
                _ = is_over.wait_for(|is_over| *is_over) => return None,
            },
        };
        match asks.ask(&address("here/desk"), &Note { number: 0 }).await {
            Ok(_) => client = Some(asks),
            Err(CallError::Unreachable(_)) => return None,
            Err(lost) => return Some(lost),
        }
    }
}

/// Closes a gateway, and ends its house then, while clients at a distance ask; none may be asked in
/// vain.
async fn end_while_they_ask(by: Duration, clients: u32, each_anew: bool) {
    let place = Place::new().await;
    let (_, token) = place.token(&["here/desk"], &[Verb::Ask]);
    let at = far_from(place.at, by).await.to_string();
    let (over, is_over) = watch::channel(false);
    let mut asking = JoinSet::new();
    for number in 0..clients {
        let is_over = is_over.clone();
        let (household, token, at) = (place.household(), token.clone(), at.clone());
        asking.spawn(async move {
            let connect = || Client::tcp(&at, household.clone(), Proof::Token(token.clone()));
            // Not all in the same moment.
            tokio::time::sleep(by * number / 4).await;
            ask_to_the_end(connect, each_anew, is_over).await
        });
    }
    place.report("here/desk", |report| report.notes.len() >= clients as usize * 2).await;
    place.gateway.finish(Some(Instant::now() + DEADLINE)).await;
    place.house.shutdown().await;
    place.gateway.close().await;
    over.send_replace(true);
    let lost: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    assert!(lost.is_empty(), "{by:?} away: {lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_far_away_and_has_not_heard_of_the_end_loses_nothing() {
    end_while_they_ask(Duration::from_millis(60), 8, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_just_connects_when_the_end_comes_loses_nothing() {
    for millis in 3..9 {
        end_while_they_ask(Duration::from_millis(millis), 1, true).await;
    }
}
