//! Who belongs to a household, and who does not: real certificates and handshakes, no network.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genii_protocols::NodeName;
use genii_runtime::trust::credentials::Credentials;
use genii_runtime::trust::verdict::Verdict;
use genii_runtime::trust::{
    Admitted, Authority, Identity, Invitation, InvitationFault, JoinRefused, Request, Secret,
    TrustError, certified, tls,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

const HOUR: Duration = Duration::from_secs(3_600);

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// A household of two, with the folders of both.
struct Two {
    scratch: tempfile::TempDir,
    authority: Authority,
    main: Identity,
    pc2: Identity,
}

impl Two {
    fn new() -> Self {
        Self::at(SystemTime::now())
    }

    fn at(now: SystemTime) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("main");
        let (authority, main) = Authority::found(&path, &node("main"), now).unwrap();
        let pc2 = join(&authority, "pc2", &scratch.path().join("pc2"), now);
        Self { scratch, authority, main, pc2 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

fn join(authority: &Authority, name: &str, path: &Path, now: SystemTime) -> Identity {
    let secret = authority.invite(&node(name), HOUR, now).unwrap();
    let request = Request::new().unwrap();
    let Admitted { certificate, expelled } =
        authority.admit(&secret, request.der(), now).unwrap().unwrap();
    Identity::keep(path, &request, authority.certificate(), &certificate, &expelled).unwrap()
}

/// What both ends of a link learn of each other: who called, or why it came to nothing.
fn meet(caller: &Identity, called: &Identity, name: &str) -> Result<NodeName, String> {
    let name = ServerName::try_from(certified(&node(name))).unwrap();
    let client = tls::client(caller).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(tls::server(called).unwrap())).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        let heard = server.process_new_packets();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        heard.map_err(|error| format!("the called: {error}"))?;
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().map_err(|error| format!("the caller: {error}"))?;
    }
    Ok(tls::peer(server.peer_certificates()).expect("it has shown a certificate"))
}

#[test]
fn two_nodes_of_a_household_know_each_other_by_name() {
    let two = Two::new();
    assert_eq!(meet(&two.pc2, &two.main, "main").unwrap(), node("pc2"));
    assert_eq!(meet(&two.main, &two.pc2, "pc2").unwrap(), node("main"));
    // Who answers must be who was called.
    let refused = meet(&two.main, &two.pc2, "pc3").unwrap_err();
    assert!(refused.contains("the caller"), "{refused}");
    assert_eq!(two.main.household(), two.pc2.household());
}

#[test]
fn what_was_made_is_read_again_and_is_its_owners_alone() {
    let two = Two::new();
    let main = Identity::open(&two.path("main")).unwrap().unwrap();
    let pc2 = Identity::open(&two.path("pc2")).unwrap().unwrap();
    assert_eq!(meet(&pc2, &main, "main").unwrap(), node("pc2"));
    assert!(Authority::open(&two.path("pc2")).unwrap().is_none());
    let authority = Authority::open(&two.path("main")).unwrap().unwrap();
    assert_eq!(authority.household(), two.main.household());
    let pc3 = join(&authority, "pc3", &two.path("pc3"), SystemTime::now());
    assert_eq!(meet(&pc3, &pc2, "pc2").unwrap(), node("pc3"));
    for folder in ["main", "pc2"] {
        for file in std::fs::read_dir(two.path(folder)).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.path().display());
        }
    }
    let again = Authority::found(&two.path("main"), &node("main"), SystemTime::now());
    assert!(matches!(again.err(), Some(TrustError::Present { .. })));
}

#[test]
fn a_stranger_is_refused_by_both_ends() {
    let (two, other) = (Two::new(), Two::new());
    let refused = meet(&other.pc2, &two.main, "main").unwrap_err();
    assert!(refused.contains("UnknownIssuer") || refused.contains("BadSignature"), "{refused}");
    assert!(meet(&two.pc2, &other.main, "main").is_err());
}

#[test]
fn who_is_expelled_is_refused_from_then_on() {
    let two = Two::new();
    two.authority.expel(&node("pc2"), SystemTime::now()).unwrap();
    let main = Identity::open(&two.path("main")).unwrap().unwrap();
    let refused = meet(&two.pc2, &main, "main").unwrap_err();
    assert!(refused.contains("Revoked"), "{refused}");
    let refused = meet(&main, &two.pc2, "pc2").unwrap_err();
    assert!(refused.contains("Revoked"), "{refused}");
    assert_eq!(two.authority.nodes().unwrap(), [(node("main"), false), (node("pc2"), true)]);
    // It gets no new certificate by itself, but may be invited again.
    let request = Request::new().unwrap();
    let renew =
        |it: &Identity| two.authority.renew(it.certificate(), request.der(), SystemTime::now());
    assert!(matches!(renew(&two.pc2), Err(TrustError::CountsNoMore)));
    let pc2 = join(&two.authority, "pc2", &two.path("pc2-again"), SystemTime::now());
    assert_eq!(meet(&pc2, &main, "main").unwrap(), node("pc2"));
    // That the name belongs again helps nobody who had it before.
    assert!(matches!(renew(&two.pc2), Err(TrustError::CountsNoMore)));
    assert!(renew(&pc2).is_ok());
    let unknown = two.authority.expel(&node("pc9"), SystemTime::now());
    assert!(matches!(unknown, Err(TrustError::UnknownNode(_))));
}

/// A connection outlives the handshake, and what was found then.
#[test]
fn whether_somebody_who_was_let_in_still_counts_is_known_at_any_time() {
    let (two, now) = (Two::new(), SystemTime::now());
    let credentials = Credentials::at(&two.path("main"));
    let pc2 = two.pc2.certificate();
    assert_eq!(credentials.still_counts(pc2), Ok(()));
    two.authority.expel(&node("pc2"), now).unwrap();
    assert_eq!(credentials.still_counts(pc2), Err(Verdict::Expelled(node("pc2"))));
    // Nor does it count again when another machine has its name.
    let again = join(&two.authority, "pc2", &two.path("again"), now);
    assert_eq!(credentials.still_counts(again.certificate()), Ok(()));
    assert_eq!(credentials.still_counts(pc2), Err(Verdict::Expelled(node("pc2"))));
    let day = 24 * HOUR;
    let old = join(&two.authority, "pc3", &two.path("before"), now - 91 * day);
    let refused = credentials.still_counts(old.certificate()).unwrap_err();
    assert!(matches!(&refused, Verdict::Expired(pc3, _) if *pc3 == node("pc3")), "{refused}");
    let early = join(&two.authority, "pc3", &two.path("after"), now + 2 * day);
    let refused = credentials.still_counts(early.certificate()).unwrap_err();
    assert!(matches!(&refused, Verdict::NotYet(..)), "{refused}");
}

#[test]
fn a_certificate_counts_for_its_time_and_whatever_the_clocks_say_for_a_day() {
    let now = SystemTime::now();
    let day = 24 * HOUR;
    let old = Two::at(now - 91 * day);
    let refused = meet(&old.pc2, &old.main, "main").unwrap_err();
    assert!(refused.contains("xpired"), "{refused}");
    for skew in [now + 23 * HOUR, now - 23 * HOUR] {
        let two = Two::at(skew);
        assert_eq!(meet(&two.pc2, &two.main, "main").unwrap(), node("pc2"));
    }
    let early = Two::at(now + 2 * day);
    assert!(meet(&early.pc2, &early.main, "main").unwrap_err().contains("not valid yet"));
    // It is renewed before that, for another key.
    let two = Two::at(now - 80 * day);
    assert!(two.pc2.expires().unwrap() < now + 11 * day);
    let request = Request::new().unwrap();
    let certificate = two.authority.renew(two.pc2.certificate(), request.der(), now).unwrap();
    let expelled = two.authority.expel(&node("main"), now).unwrap().list.unwrap();
    let (path, household) = (two.path("pc2"), two.authority.certificate());
    let pc2 = Identity::keep(&path, &request, household, &certificate, &expelled).unwrap();
    assert!(pc2.expires().unwrap() > now + 89 * day);
}

#[test]
fn an_invitation_lets_in_one_and_for_its_time() {
    let two = Two::new();
    let now = SystemTime::now();
    let request = Request::new().unwrap();
    let admit = |secret: &Secret, now| two.authority.admit(secret, request.der(), now).unwrap();
    let secret = two.authority.invite(&node("pc3"), HOUR, now).unwrap();
    let late = admit(&secret, now + HOUR).unwrap_err();
    assert_eq!(late, JoinRefused::Expired);
    admit(&secret, now).unwrap();
    assert_eq!(admit(&secret, now).unwrap_err(), JoinRefused::Used);
    let unknown = Secret::from_bytes(&[7; 16]).unwrap();
    assert_eq!(admit(&unknown, now).unwrap_err(), JoinRefused::Unknown);
    // What is no request is refused, and does not use the invitation up.
    let secret = two.authority.invite(&node("pc4"), HOUR, now).unwrap();
    assert!(two.authority.admit(&secret, b"nonsense", now).is_err());
    assert!(two.authority.admit(&secret, request.der(), now).unwrap().is_ok());
    // The secret is nowhere in the folder.
    let ledger = std::fs::read_to_string(two.path("main").join("ledger.json")).unwrap();
    let hex: String = secret.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!ledger.contains(&hex) && !format!("{secret:?}").contains(&hex));
}

#[test]
fn an_invitation_is_taken_back_from_who_has_not_joined() {
    let (two, now) = (Two::new(), SystemTime::now());
    let request = Request::new().unwrap();
    let admit = |secret: &Secret| two.authority.admit(secret, request.der(), now).unwrap();
    let invite = |name| two.authority.invite(&node(name), HOUR, now).unwrap();
    let expel = |name, at| two.authority.expel(&node(name), at);
    let (first, second, other) = (invite("pc3"), invite("pc3"), invite("pc4"));
    // The second has taken the place of the first.
    let expulsion = expel("pc3", now).unwrap();
    assert!(expulsion.list.is_none() && expulsion.invitations == 1);
    assert_eq!(admit(&first).unwrap_err(), JoinRefused::Unknown);
    assert_eq!(admit(&second).unwrap_err(), JoinRefused::Unknown);
    assert!(admit(&other).is_ok());
    assert!(matches!(expel("pc3", now), Err(TrustError::UnknownNode(_))));
    // One that nobody can use any more is none.
    invite("pc3");
    assert!(matches!(expel("pc3", now + HOUR), Err(TrustError::UnknownNode(_))));
    // Who has joined, and is invited once more, comes by neither; what was used stays known as used.
    let again = invite("pc4");
    let expulsion = expel("pc4", now).unwrap();
    assert!(expulsion.list.is_some() && expulsion.invitations == 1);
    assert_eq!(admit(&again).unwrap_err(), JoinRefused::Unknown);
    assert_eq!(admit(&other).unwrap_err(), JoinRefused::Used);
}

#[test]
fn a_line_is_read_as_it_was_written_and_slips_are_noticed() {
    let two = Two::new();
    let now = SystemTime::now();
    let invitation = Invitation {
        node: node("pc3"),
        by: node("main"),
        household: two.main.household(),
        at: vec!["192.168.1.2:7420".to_owned()],
        expires: now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 60,
        secret: two.authority.invite(&node("pc3"), HOUR, now).unwrap(),
    };
    let line = invitation.line().unwrap();
    let read: Invitation = format!("  {line}\n").parse().unwrap();
    assert_eq!(read, invitation);
    assert!(!read.has_expired(now) && read.has_expired(now + HOUR));
    let fault = |line: &str| line.parse::<Invitation>().unwrap_err();
    for cut in 14..line.len() {
        assert_eq!(fault(&line[..cut]), InvitationFault::Damaged);
    }
    for (at, letter) in line.char_indices().skip(13) {
        let other = if letter == 'A' { "B" } else { "A" };
        let slip = format!("{}{other}{}", &line[..at], &line[at + 1..]);
        assert_eq!(fault(&slip), InvitationFault::Damaged, "at {at}");
    }
    assert_eq!(fault("hello"), InvitationFault::NoInvitation);
    assert_eq!(fault(""), InvitationFault::NoInvitation);
    assert_eq!(fault("genii-join-2-xyz"), InvitationFault::OtherVersion);
    assert_eq!(fault(&format!("genii-join-1-{}", "A".repeat(5_000))), InvitationFault::TooLong);
}

/// Whoever took up a session again would not be asked for its certificate, which may have been expelled.
#[test]
fn each_connection_shows_its_certificate_anew() {
    let two = Two::new();
    let client = Arc::new(tls::client(&two.pc2).unwrap());
    let server = Arc::new(tls::server(&two.main).unwrap());
    for _ in 0..2 {
        let name = ServerName::try_from(certified(&node("main"))).unwrap();
        let mut client = ClientConnection::new(client.clone(), name).unwrap();
        let mut server = ServerConnection::new(server.clone()).unwrap();
        // The last of it would be what lets a session be taken up again.
        for _ in 0..6 {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            client.write_tls(&mut there).unwrap();
            server.read_tls(&mut &there[..]).unwrap();
            server.process_new_packets().unwrap();
            server.write_tls(&mut back).unwrap();
            client.read_tls(&mut &back[..]).unwrap();
            client.process_new_packets().unwrap();
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

/// What a household of one needs that joins another, as it came from there.
struct Joining<'a> {
    from: &'a Two,
    request: Request,
    signed: Admitted,
}

impl<'a> Joining<'a> {
    fn new(from: &'a Two, name: &str) -> Self {
        let (request, now) = (Request::new().unwrap(), SystemTime::now());
        let secret = from.authority.invite(&node(name), HOUR, now).unwrap();
        let signed = from.authority.admit(&secret, request.der(), now).unwrap().unwrap();
        Self { from, request, signed }
    }

    fn keep(&self, path: &Path, certificate: &[u8]) -> Result<Identity, TrustError> {
        let (household, expelled) = (self.from.authority.certificate(), &self.signed.expelled);
        Identity::keep(path, &self.request, household, certificate, expelled)
    }
}

/// A household of one that gives way leaves nothing that would act for it, and one that was never
/// wholly made leaves no key by which another would sign.
#[test]
fn a_household_of_one_gives_way_and_none_of_its_keys_signs_for_another() {
    let (two, scratch) = (Two::new(), tempfile::tempdir().unwrap());
    let path = scratch.path().join("third");
    let read = |name: &str| std::fs::read(path.join(name)).unwrap();
    Authority::found(&path, &node("third"), SystemTime::now()).unwrap();
    let (key, ledger) = (read("household.key"), read("ledger.json"));
    let third = Joining::new(&two, "third");
    let certificate = &third.signed.certificate;
    third.keep(&path, certificate).unwrap();
    assert!(!path.join("household.key").exists() && !path.join("ledger.json").exists());
    let is_good = || {
        assert!(Authority::open(&path).unwrap().is_none());
        let third = Identity::open(&path).unwrap().unwrap();
        assert_eq!(meet(&third, &two.main, "main").unwrap(), node("third"));
    };
    is_good();
    // As it was left by a genii that did not take them away.
    std::fs::write(path.join("household.key"), &key).unwrap();
    std::fs::write(path.join("ledger.json"), ledger).unwrap();
    is_good();
    // What was cut short before there was a household.
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("household.key"), &key).unwrap();
    assert!(Identity::open(&path).unwrap().is_none() && Authority::open(&path).unwrap().is_none());
    third.keep(&path, certificate).unwrap();
    assert!(!path.join("household.key").exists());
    is_good();
}

#[test]
fn a_household_stays_as_it_is_where_what_came_from_another_cannot_be_kept() {
    let (two, other, scratch) = (Two::new(), Two::new(), tempfile::tempdir().unwrap());
    let path = scratch.path().join("third");
    let (authority, _) = Authority::found(&path, &node("third"), SystemTime::now()).unwrap();
    let stays = |refused: Result<Identity, TrustError>, what: &str| {
        let error = refused.err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
        let own = Identity::open(&path).unwrap().unwrap();
        assert_eq!(own.household(), authority.household());
        assert!(Authority::open(&path).unwrap().is_some());
    };
    let (third, stray) = (Joining::new(&two, "third"), Joining::new(&other, "third"));
    stays(third.keep(&path, two.pc2.certificate()), "KeyMismatch");
    let foreign = Joining { request: stray.request, ..third };
    stays(foreign.keep(&path, &stray.signed.certificate), "certificate");
    let third = Joining::new(&two, "third");
    let certificate = &third.signed.certificate;
    stays(third.keep(&path, b"nonsense"), "another household");
    // As where the disk is full.
    let draft = path.join(".household.crt.new");
    std::fs::create_dir(&draft).unwrap();
    stays(third.keep(&path, certificate), "household.crt");
    std::fs::remove_dir(&draft).unwrap();
    // It has others by now.
    authority.invite(&node("fourth"), HOUR, SystemTime::now()).unwrap();
    stays(third.keep(&path, certificate), "there is a household already");
}

/// A list of a household that was here before is none of the next.
#[test]
fn where_a_household_was_another_can_be_made() {
    let two = Two::new();
    two.authority.expel(&node("pc2"), SystemTime::now()).unwrap();
    let path = two.path("main");
    for name in ["household.crt", "household.key", "ledger.json", "node.crt"] {
        std::fs::remove_file(path.join(name)).unwrap();
    }
    let (authority, main) = Authority::found(&path, &node("main"), SystemTime::now()).unwrap();
    assert_eq!(main.expelled().number(), 0);
    let pc2 = join(&authority, "pc2", &two.path("next"), SystemTime::now());
    assert_eq!(meet(&pc2, &main, "main").unwrap(), node("pc2"));
}

/// Wherever a renewal is cut short, the folder holds a certificate with its key, and can be renewed.
#[test]
fn a_renewal_that_is_cut_short_leaves_an_identity() {
    let two = Two::new();
    let path = two.path("pc2");
    let read = |name: &str| std::fs::read(path.join(name)).unwrap();
    let renew = || {
        let request = Request::new().unwrap();
        let now = SystemTime::now();
        let shown = two.pc2.certificate();
        let signed = two.authority.renew(shown, request.der(), now).unwrap();
        Identity::open(&path).unwrap().unwrap().renew(&request, &signed).unwrap()
    };
    let (old, old_key) = (read("node.crt"), read("node.key"));
    renew();
    let (new, new_key) = (read("node.crt"), read("node.key"));
    assert!(old != new && old_key != new_key);
    assert!(!path.join("node.next.key").exists());
    // The certificate, its key, the key that waits, and a file that was half written.
    let states = [
        (&old, &old_key, None, Some(".node.next.key.new")),
        (&old, &old_key, Some(&new_key), None),
        (&old, &old_key, Some(&new_key), Some(".node.crt.new")),
        (&new, &old_key, Some(&new_key), None),
        (&new, &new_key, None, None),
        (&new, &new_key, Some(&old_key), None),
    ];
    for (at, (certificate, key, next, draft)) in states.into_iter().enumerate() {
        std::fs::write(path.join("node.crt"), certificate).unwrap();
        std::fs::write(path.join("node.key"), key).unwrap();
        let _seldom_there = std::fs::remove_file(path.join("node.next.key"));
        if let Some(next) = next {
            std::fs::write(path.join("node.next.key"), next).unwrap();
        }
        if let Some(draft) = draft {
            std::fs::write(path.join(draft), "-----BEGIN").unwrap();
        }
        let opened = Identity::open(&path).unwrap().unwrap();
        assert_eq!(meet(&opened, &two.main, "main").unwrap(), node("pc2"), "state {at}");
        let renewed = renew();
        assert_eq!(meet(&renewed, &two.main, "main").unwrap(), node("pc2"), "state {at}");
        let opened = Identity::open(&path).unwrap().unwrap();
        assert_eq!(opened.certificate(), renewed.certificate(), "state {at}");
    }
    // What was signed for another key, or by another household, is not kept.
    let (request, other) = (Request::new().unwrap(), Request::new().unwrap());
    let now = SystemTime::now();
    let signed = two.authority.renew(two.pc2.certificate(), request.der(), now).unwrap();
    let opened = || Identity::open(&path).unwrap().unwrap();
    assert!(opened().renew(&other, &signed).is_err());
    let foreign = Two::new();
    let shown = foreign.pc2.certificate();
    let foreign = foreign.authority.renew(shown, request.der(), now).unwrap();
    assert!(opened().renew(&request, &foreign).is_err());
    let main = two.authority.renew(two.main.certificate(), request.der(), now).unwrap();
    assert!(opened().renew(&request, &main).is_err());
    assert_eq!(meet(&opened(), &two.main, "main").unwrap(), node("pc2"));
}

/// Nobody can make the ledger grow without end.
#[test]
fn a_node_has_so_many_certificates_and_no_more() {
    let two = Two::new();
    let (request, now) = (Request::new().unwrap(), SystemTime::now());
    let renew = |shown: &Identity| two.authority.renew(shown.certificate(), request.der(), now);
    let refused = (0..200).find_map(|_| renew(&two.pc2).err()).unwrap();
    assert!(refused.to_string().contains("128 certificates that still count"), "{refused}");
    assert!(renew(&two.main).is_ok());
    // Those that have run out do not count.
    let later = now + 90 * 24 * HOUR + HOUR;
    let again = join(&two.authority, "pc2", &two.path("again"), later);
    assert!(two.authority.renew(again.certificate(), request.der(), later).is_ok());
    let old = two.authority.renew(two.pc2.certificate(), request.der(), later);
    assert!(matches!(old, Err(TrustError::CountsNoMore)));
}

#[test]
fn damaged_files_are_told_by_name() {
    let two = Two::new();
    for file in ["node.crt", "node.key", "household.crt", "expelled.crl"] {
        let path = two.path("pc2").join(file);
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&path, bad).unwrap();
            let opened = Identity::open(&two.path("pc2"));
            let usable = opened.and_then(|it| tls::client(&it.unwrap()).map(drop));
            let error = usable.unwrap_err().to_string();
            assert!(!error.contains("PRIVATE"), "{error}");
        }
        std::fs::write(&path, good).unwrap();
    }
    Identity::open(&two.path("pc2")).unwrap().unwrap();
}
