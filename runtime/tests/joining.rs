//! Another machine joins a household, over a real port.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use genii_runtime::link::join::{JoinError, join};
use genii_runtime::link::listener::{ListenError, Listener};
use genii_runtime::link::renewal::renew;
use genii_runtime::trust::{Authority, Identity, Invitation, signer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HOUR: Duration = Duration::from_secs(3_600);

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// A household whose first node listens.
struct Household {
    scratch: tempfile::TempDir,
    authority: Authority,
    listener: Listener,
}

impl Household {
    async fn new() -> Self {
        Self::made_at(SystemTime::now()).await
    }

    /// One whose clock said this when it was made.
    async fn made_at(now: SystemTime) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("main");
        let (authority, _) = Authority::found(&path, &node("main"), now).unwrap();
        let listener = listen(&path).await.unwrap();
        Self { scratch, authority, listener }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn at(&self) -> String {
        self.listener.at().to_string()
    }

    fn invite(&self, name: &str) -> Invitation {
        self.invite_at(name, vec![self.at()])
    }

    fn invite_at(&self, name: &str, at: Vec<String>) -> Invitation {
        let expires = SystemTime::now() + HOUR;
        Invitation {
            node: node(name),
            by: node("main"),
            household: self.authority.household(),
            at,
            expires: expires.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(),
            secret: self.authority.invite(&node(name), HOUR, SystemTime::now()).unwrap(),
        }
    }
}

async fn listen(path: &Path) -> Result<Listener, ListenError> {
    Ok(Listener::open("127.0.0.1:0".parse().unwrap(), path).await?.0)
}

#[tokio::test]
async fn a_machine_that_is_invited_joins_once() {
    let household = Household::new().await;
    let invitation = household.invite("pc2");
    let pc2 = join(&invitation, &household.path("pc2")).await.unwrap();
    assert_eq!(*pc2.node(), node("pc2"));
    assert_eq!(pc2.household(), household.authority.household());
    assert!(Identity::open(&household.path("pc2")).unwrap().is_some());
    assert_eq!(signer::read(&household.path("pc2")), Some(node("main")));
    let again = join(&invitation, &household.path("pc2")).await.err().unwrap();
    assert!(matches!(again, JoinError::Present(_)), "{again}");
    let again = join(&invitation, &household.path("other")).await.err().unwrap();
    assert!(again.to_string().contains("used already"), "{again}");
    assert!(Identity::open(&household.path("other")).unwrap().is_none());
}

/// As after an `init` that was cut short: the key comes first, the household's certificate last.
#[tokio::test]
async fn a_key_of_a_household_that_was_never_made_signs_for_nobody() {
    let household = Household::new().await;
    let pc2 = household.path("pc2");
    let (aside, now) = (household.path("aside"), SystemTime::now());
    Authority::found(&aside, &node("pc2"), now).unwrap();
    std::fs::create_dir(&pc2).unwrap();
    std::fs::copy(aside.join("household.key"), pc2.join("household.key")).unwrap();
    join(&household.invite("pc2"), &pc2).await.unwrap();
    assert!(Authority::open(&pc2).unwrap().is_none());
    // Another certificate comes from where the household was made.
    let renewed = renew(&pc2).await.unwrap();
    assert_eq!(renewed.household(), household.authority.household());
    assert_eq!(renew(&pc2).await.unwrap().household(), household.authority.household());
}

/// A household of one does not give way to what cannot be kept.
#[tokio::test]
async fn who_could_not_join_is_who_it_was() {
    let household = Household::new().await;
    let pc2 = household.path("pc2");
    let (alone, _) = Authority::found(&pc2, &node("pc2"), SystemTime::now()).unwrap();
    let in_the_way = pc2.join(".household.crt.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let error = join(&household.invite("pc2"), &pc2).await.err().unwrap();
    assert!(matches!(error, JoinError::Trust(_)), "{error}");
    let own = Identity::open(&pc2).unwrap().unwrap();
    assert_eq!(own.household(), alone.household());
    std::fs::remove_dir(in_the_way).unwrap();
    join(&household.invite("pc2"), &pc2).await.unwrap();
    assert!(Authority::open(&pc2).unwrap().is_none());
}

#[tokio::test]
async fn only_the_household_of_the_invitation_may_answer() {
    let (household, other) = (Household::new().await, Household::new().await);
    let stray = Invitation { at: vec![other.at()], ..household.invite("pc2") };
    let error = join(&stray, &household.path("pc2")).await.err().unwrap();
    assert!(matches!(error, JoinError::Stranger(_)), "{error}");
    assert!(error.to_string().contains("its certificate is of another household"), "{error}");
    // Another place of the same line may do.
    let line = household.invite_at("pc2", vec![other.at(), household.at()]);
    join(&line, &household.path("pc2")).await.unwrap();
}

#[tokio::test]
async fn where_nobody_can_sign_it_is_said() {
    let household = Household::new().await;
    let pc2 = household.path("pc2");
    join(&household.invite("pc2"), &pc2).await.unwrap();
    let second = listen(&pc2).await.unwrap();
    let line = household.invite_at("pc3", vec![second.at().to_string()]);
    // Who has not invited does not even hear the secret.
    let error = join(&line, &household.path("pc3")).await.err().unwrap();
    assert!(error.to_string().contains("the machine there is pc2"), "{error}");
    let line = Invitation { by: node("pc2"), ..line };
    let error = join(&line, &household.path("pc3")).await.err().unwrap();
    assert!(error.to_string().contains("cannot sign"), "{error}");
    // Nor does who belongs to no household listen.
    let nobody = listen(&household.path("nobody")).await.err().unwrap();
    assert!(matches!(nobody, ListenError::Nobody(_)), "{nobody}");
}

#[tokio::test]
async fn nobody_there_and_somebody_silent_are_told_apart() {
    let household = Household::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (quiet, nobody) = (silent.local_addr().unwrap(), free.local_addr().unwrap());
    drop(free);
    let line = household.invite_at("pc2", vec![nobody.to_string(), quiet.to_string()]);
    let error = join(&line, &household.path("pc2")).await.err().unwrap().to_string();
    assert!(error.contains("refused") && error.contains("no answer within"), "{error}");
}

/// Whether a line has expired is said by the clock of who has invited, whatever the one here says.
#[tokio::test]
async fn a_clock_that_is_ahead_here_does_not_make_a_line_expire() {
    let household = Household::new().await;
    let secret = household.authority.invite(&node("pc2"), Duration::ZERO, SystemTime::now());
    let late = Invitation { secret: secret.unwrap(), ..household.invite("pc2") };
    let error = join(&late, &household.path("pc2")).await.err().unwrap();
    assert!(matches!(&error, JoinError::Refused(why) if why.contains("has expired")), "{error}");
    let fresh = Invitation { expires: 1, ..household.invite("pc2") };
    join(&fresh, &household.path("pc2")).await.unwrap();
}

#[tokio::test]
async fn clocks_that_differ_too_much_to_join_are_named() {
    let (now, day) = (SystemTime::now(), 24 * HOUR);
    for (made, why) in [(now + 2 * day, "the clock here is behind"), (now - 91 * day, "ran out at")]
    {
        let household = Household::made_at(made).await;
        let error = join(&household.invite("pc2"), &household.path("pc2")).await.err().unwrap();
        assert!(matches!(error, JoinError::Untimely(_)), "{error}");
        let error = error.to_string();
        assert!(error.contains("the certificate of main") && error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn garbage_at_the_port_is_turned_away_and_counted_and_disturbs_nobody() {
    let household = Household::new().await;
    let garbage: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &[0; 4096], &[255; 100], b"\x16\x03\x01"];
    for garbage in garbage {
        let mut stream = TcpStream::connect(household.listener.at()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.len() < 1_000);
    }
    // Many who say nothing take no place from who does.
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(household.listener.at()).await.unwrap());
    }
    join(&household.invite("pc2"), &household.path("pc2")).await.unwrap();
    let counted = async {
        while household.listener.turned_away() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_of() {
    let household = Household::new().await;
    let error = Listener::open(household.listener.at(), &household.path("main")).await.err();
    assert!(error.unwrap().to_string().contains("cannot be listened at"));
}
