//! Tokens: what the owner of a household gives to a client that is no machine of it.
//!
//! A token is a line with a public name and a secret of 256 bits. Only the digest of the secret is
//! kept, so who reads the file has no token. The file is written as a whole by `genii token`, also
//! while a node runs, which sees at once that it has changed; the node alone writes how often each
//! was used, into a file of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use genii_protocols::api::{Refused, Why};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::scope::{Pattern, Scope, Verb};
use super::{TrustError, hex, random, seconds};

/// The files, in the folder of trust.
const FILE: &str = "tokens.json";
const USES_FILE: &str = "token-uses.json";

/// What every token begins with. The number is that of its form.
const PREFIX: &str = "genii-token-1-";

/// How many bytes the public name of a token has, and how many its secret.
const ID_LEN: usize = 4;
const SECRET_LEN: usize = 32;

/// How many tokens are kept, with those that count no more.
pub const TOKENS_MAX: usize = 1_000;

/// How many patterns one token may have.
pub const PATTERNS_MAX: usize = 64;

/// How long a token counts at most: a year.
pub const TOKEN_SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How long a token that counts no more is kept, so that it can be told from one that never was.
const KEPT_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// The longest name of a token, in bytes.
pub const NAME_MAX_LEN: usize = 100;

/// A token, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public name.
    pub id: String,
    /// What it is for, in the words of who made it.
    pub name: String,
    /// What its holder may do.
    #[serde(flatten)]
    pub scope: Scope,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// Until when it counts, in seconds since 1970.
    pub expires: u64,
    /// When it was taken back, in seconds since 1970.
    pub revoked: Option<u64>,
    /// The digest of its secret.
    digest: String,
}

impl Token {
    /// Why it does not count any more, if it does not.
    pub fn ended(&self, now: SystemTime) -> Option<Why> {
        match self.revoked {
            Some(_) => Some(Why::Revoked),
            None if self.expires <= seconds(now) => Some(Why::Expired),
            None => None,
        }
    }

    /// From when on it counts no more, in seconds since 1970.
    fn ends(&self) -> u64 {
        self.revoked.map_or(self.expires, |revoked| revoked.min(self.expires))
    }
}

/// How often a token was used, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Uses {
    /// How often.
    pub count: u64,
    /// When last, in seconds since 1970; zero for never.
    pub last: u64,
}

/// A token as its holder has it. It is shown once, and never printed but on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer {
    id: String,
    secret: [u8; SECRET_LEN],
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer({})", self.id)
    }
}

impl Bearer {
    /// The whole of it, for its holder.
    pub fn line(&self) -> String {
        format!("{PREFIX}{}-{}", self.id, URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// A token that somebody has shown; `None` if it is none.
    pub fn read(line: &str) -> Option<Self> {
        let (id, secret) = line.strip_prefix(PREFIX)?.split_once('-')?;
        let is_id = id.len() == 2 * ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || secret.len() > 2 * SECRET_LEN {
            return None;
        }
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        Some(Self { id: id.to_owned(), secret })
    }

    fn digest(&self) -> String {
        hex(ring::digest::digest(&ring::digest::SHA256, &self.secret).as_ref())
    }
}

/// Why there is no such token to make or to take back.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The files cannot be read or written.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There are too many.
    #[error("there are {TOKENS_MAX} tokens already; those that ended go after 30 days")]
    TooMany,
    /// It is for nothing.
    #[error("a token needs a pattern and a verb at least, and {PATTERNS_MAX} patterns at most")]
    Scope,
    /// Its name is too long.
    #[error("the name of a token has {NAME_MAX_LEN} bytes at most")]
    Name,
    /// It would count for no time at all, or for too long.
    #[error("a token counts for a second at least, and for a year at most")]
    Span,
    /// There is none of this name.
    #[error("there is no token {0}")]
    Unknown(String),
}

/// What is wanted of a token.
#[derive(Debug, Clone)]
pub struct TokenSpec {
    /// What it is for.
    pub name: String,
    /// To what.
    pub allow: Vec<Pattern>,
    /// By which verbs.
    pub verbs: Vec<Verb>,
    /// How long it counts.
    pub span: Duration,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Book {
    tokens: Vec<Token>,
}

/// The tokens of a folder of trust, for who makes them and takes them back.
pub struct Tokens(Folder);

impl Tokens {
    /// The tokens of a folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(trust: &Path) -> Result<Self, TrustError> {
        Folder::make(trust).map(Self)
    }

    /// Makes a token, and says how its holder has it. This is the only time that its secret is known.
    ///
    /// # Errors
    /// When it would be of no use, or cannot be written down.
    pub fn make(&self, spec: TokenSpec, now: SystemTime) -> Result<(Token, Bearer), TokenError> {
        let TokenSpec { name, allow, verbs, span } = spec;
        let has_scope = (1..=PATTERNS_MAX).contains(&allow.len()) && !verbs.is_empty();
        match () {
            () if !has_scope => return Err(TokenError::Scope),
            () if name.len() > NAME_MAX_LEN => return Err(TokenError::Name),
            () if span.as_secs() == 0 || span > TOKEN_SPAN_MAX => return Err(TokenError::Span),
            () => {}
        }
        let _alone = self.0.lock()?;
        let mut book = read(&self.0)?;
        let at = seconds(now);
        book.tokens.retain(|token| token.ends().saturating_add(KEPT_AFTER.as_secs()) > at);
        if book.tokens.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let bearer = loop {
            let bearer = Bearer { id: hex(&random::<ID_LEN>()?), secret: random()? };
            if book.tokens.iter().all(|token| token.id != bearer.id) {
                break bearer;
            }
        };
        let token = Token {
            id: bearer.id.clone(),
            name,
            scope: Scope { allow, verbs },
            made: at,
            expires: at + span.as_secs(),
            revoked: None,
            digest: bearer.digest(),
        };
        book.tokens.push(token.clone());
        write(&self.0, FILE, &book)?;
        Ok((token, bearer))
    }

    /// Takes a token back. One that was taken back before stays so.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be written down.
    pub fn revoke(&self, id: &str, now: SystemTime) -> Result<Token, TokenError> {
        let _alone = self.0.lock()?;
        let mut book = read(&self.0)?;
        let token = book.tokens.iter_mut().find(|token| token.id == id);
        let token = token.ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
        token.revoked.get_or_insert(seconds(now));
        let revoked = token.clone();
        write(&self.0, FILE, &book)?;
        Ok(revoked)
    }

    /// All tokens that are kept, oldest first, with how often each was used as far as a running
    /// node has written it down.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn list(&self) -> Result<Vec<(Token, Uses)>, TrustError> {
        let uses = read_uses(&self.0)?;
        let tokens = read(&self.0)?.tokens.into_iter();
        Ok(tokens.map(|token| (uses.get(&token.id).copied().unwrap_or_default(), token)))
            .map(|pairs| pairs.map(|(uses, token)| (token, uses)).collect())
    }
}

fn read(folder: &Folder) -> Result<Book, TrustError> {
    read_json(folder, FILE)
}

fn read_uses(folder: &Folder) -> Result<BTreeMap<String, Uses>, TrustError> {
    read_json(folder, USES_FILE)
}

fn read_json<T: Default + serde::de::DeserializeOwned>(
    folder: &Folder,
    file: &str,
) -> Result<T, TrustError> {
    let Some(text) = folder.read(file)? else { return Ok(T::default()) };
    serde_json::from_str(&text).map_err(|error| TrustError::Damaged {
        path: folder.path(file).display().to_string(),
        detail: error.to_string(),
    })
}

fn write<T: Serialize>(folder: &Folder, file: &str, what: &T) -> Result<(), TrustError> {
    let text = serde_json::to_string_pretty(what);
    folder.write(file, &text.map_err(|error| TrustError::Crypto(error.to_string()))?)
}

/// What tells one writing of a file from another.
type Stamp = (u64, u64, SystemTime);

/// The tokens by their public names.
type Known = Arc<HashMap<String, Arc<Token>>>;

/// The tokens, for a node that looks at what clients show.
pub(crate) struct TokenDoor {
    folder: Folder,
    path: PathBuf,
    known: Mutex<(Option<Stamp>, Known)>,
    uses: Mutex<BTreeMap<String, Uses>>,
    /// How many uses were counted that are not written down.
    unwritten: AtomicU64,
}

impl TokenDoor {
    /// The tokens of a folder of trust.
    pub(crate) fn new(trust: &Path) -> Self {
        let folder = Folder::at(trust);
        let uses = read_uses(&folder).unwrap_or_else(|error| {
            tracing::warn!("how often tokens were used is counted anew: {error}");
            BTreeMap::new()
        });
        let path = folder.path(FILE);
        let (known, uses) = (Mutex::default(), Mutex::new(uses));
        Self { folder, path, known, uses, unwritten: AtomicU64::new(0) }
    }

    /// The token that somebody has shown, and counts that it was used.
    ///
    /// # Errors
    /// Why it does not count.
    pub(crate) fn admit(&self, line: &str) -> Result<Arc<Token>, Refused> {
        let bearer = Bearer::read(line).ok_or_else(|| refused(Why::Malformed, ""))?;
        let token = self.tokens().get(&bearer.id).cloned();
        // Whoever has the name without the secret learns nothing of it.
        let token = token.filter(|token| is_same(&token.digest, &bearer.digest()));
        let token = token.ok_or_else(|| refused(Why::Unknown, ""))?;
        if let Some(why) = token.ended(SystemTime::now()) {
            return Err(refused(why, &token.id));
        }
        self.count(&token.id);
        Ok(token)
    }

    /// Why a token that was good does not count any more, if it does not.
    pub(crate) fn ended(&self, id: &str) -> Option<Refused> {
        let token = self.tokens().get(id).cloned();
        let why = match token {
            Some(token) => token.ended(SystemTime::now())?,
            None => Why::Unknown,
        };
        Some(refused(why, id))
    }

    /// The tokens as the file has them now; none if it cannot be read.
    fn tokens(&self) -> Known {
        self.known().unwrap_or_default()
    }

    /// The same; nothing if the file cannot be read, or is not there, which tells nothing of any
    /// token.
    fn known(&self) -> Option<Known> {
        let stamp = stamp(&self.path);
        let mut known = self.known.lock();
        if known.0 != stamp {
            match read(&self.folder) {
                Ok(book) => {
                    let tokens = book.tokens.into_iter();
                    let tokens = tokens.map(|token| (token.id.clone(), Arc::new(token)));
                    *known = (stamp, Arc::new(tokens.collect()));
                }
                Err(error) => {
                    // Better nobody is let in than somebody whose token was taken back.
                    tracing::error!("no token counts as long as they cannot be read: {error}");
                    *known = (None, Arc::default());
                }
            }
        }
        known.0.map(|_| known.1.clone())
    }

    fn count(&self, id: &str) {
        let mut uses = self.uses.lock();
        let uses = uses.entry(id.to_owned()).or_default();
        (uses.count, uses.last) = (uses.count + 1, seconds(SystemTime::now()));
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes down how often tokens were used, if that has changed. What cannot be written is written
    /// the next time. It waits for the disk.
    pub(crate) fn write_uses(&self) {
        let unwritten = self.unwritten.swap(0, Ordering::Relaxed);
        if unwritten == 0 {
            return;
        }
        if let Err(error) = write(&self.folder, USES_FILE, &self.counted()) {
            self.unwritten.fetch_add(unwritten, Ordering::Relaxed);
            tracing::warn!("how often tokens were used cannot be written down: {error}");
        }
    }

    /// How often each token was used. What is known of no more need not be counted; as long as
    /// nothing is known, everything is.
    fn counted(&self) -> BTreeMap<String, Uses> {
        let known = self.known();
        let mut uses = self.uses.lock();
        if let Some(tokens) = known {
            uses.retain(|id, _| tokens.contains_key(id));
        }
        uses.clone()
    }
}

fn refused(why: Why, id: &str) -> Refused {
    Refused { why, token: id.to_owned(), verb: String::new(), target: String::new() }
}

/// Whether two digests are the same, in a time that does not tell where they differ.
fn is_same(one: &str, other: &str) -> bool {
    let differ = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |differ, (one, other)| std::hint::black_box(differ | (one ^ other)));
    one.len() == other.len() && differ == 0
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(span: Duration) -> TokenSpec {
        let (allow, verbs) = (vec!["memory/*".parse().unwrap()], vec![Verb::Ask]);
        TokenSpec { name: "a game".to_owned(), allow, verbs, span }
    }

    #[test]
    fn a_token_counts_until_it_expires_or_is_taken_back_and_each_use_is_counted() {
        let scratch = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(scratch.path()).unwrap();
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let (token, bearer) = tokens.make(spec(day), now).unwrap();
        let door = TokenDoor::new(scratch.path());
        assert_eq!(door.admit(&bearer.line()).unwrap().id, token.id);
        assert_eq!(door.admit(&bearer.line()).unwrap().name, "a game");
        door.write_uses();
        assert_eq!(tokens.list().unwrap()[0].1.count, 2);

        let (_, old) = tokens.make(spec(day), now - 2 * day).unwrap();
        assert_eq!(door.admit(&old.line()).unwrap_err().why, Why::Expired);
        assert_eq!(door.ended(&token.id), None);
        tokens.revoke(&token.id, now).unwrap();
        assert_eq!(door.ended(&token.id).unwrap().why, Why::Revoked);
        assert_eq!(door.admit(&bearer.line()).unwrap_err().why, Why::Revoked);

        // Uses go on from where they were written down.
        let (_, other) = tokens.make(spec(day), now).unwrap();
        let door = TokenDoor::new(scratch.path());
        door.admit(&other.line()).unwrap();
        door.write_uses();
        let counts: Vec<u64> = tokens.list().unwrap().iter().map(|(_, uses)| uses.count).collect();
        assert_eq!(counts, [2, 0, 1]);
    }

    #[test]
    fn no_file_holds_the_secret_and_nobody_gets_in_with_what_they_hold() {
        let scratch = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(scratch.path()).unwrap();
        let (token, bearer) =
            tokens.make(spec(Duration::from_secs(60)), SystemTime::now()).unwrap();
        let kept = std::fs::read_to_string(scratch.path().join(FILE)).unwrap();
        let secret = bearer.line().rsplit_once(&token.id).unwrap().1[1..].to_owned();
        assert!(!kept.contains(&secret) && !kept.contains(&hex(&bearer.secret)));
        assert!(!format!("{bearer:?}").contains(&secret));
        let door = TokenDoor::new(scratch.path());
        let forged = Bearer { secret: [0; SECRET_LEN], ..bearer.clone() };
        assert_eq!(door.admit(&forged.line()).unwrap_err().why, Why::Unknown);
        let nobodys = Bearer { id: "00000000".to_owned(), ..bearer };
        assert_eq!(door.admit(&nobodys.line()).unwrap_err().why, Why::Unknown);
        let garbage = ["", "x", PREFIX, "genii-token-1-zz-", "genii-token-1-00000000-????"];
        for garbage in garbage.into_iter().map(str::to_owned).chain([kept]) {
            assert_eq!(door.admit(&garbage).unwrap_err().why, Why::Malformed, "{garbage}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in() {
        let scratch = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(scratch.path()).unwrap();
        let (_, bearer) = tokens.make(spec(Duration::from_secs(60)), SystemTime::now()).unwrap();
        let door = TokenDoor::new(scratch.path());
        door.admit(&bearer.line()).unwrap();
        std::fs::write(scratch.path().join(FILE), "{").unwrap();
        assert_eq!(door.admit(&bearer.line()).unwrap_err().why, Why::Unknown);
        assert!(matches!(tokens.list(), Err(TrustError::Damaged { .. })));
    }

    #[test]
    fn uses_outlive_a_file_that_cannot_be_read_or_written_for_a_moment() {
        let scratch = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(scratch.path()).unwrap();
        let (_, bearer) = tokens.make(spec(Duration::from_secs(60)), SystemTime::now()).unwrap();
        let count = || tokens.list().unwrap()[0].1.count;
        let door = TokenDoor::new(scratch.path());
        let file = scratch.path().join(FILE);
        let good = std::fs::read(&file).unwrap();
        door.admit(&bearer.line()).unwrap();
        for (broken, expected) in [(Some("{"), 2), (None, 4)] {
            match broken {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            door.write_uses();
            std::fs::write(&file, &good).unwrap();
            door.admit(&bearer.line()).unwrap();
            door.write_uses();
            assert_eq!(count(), expected, "{broken:?}");
            door.admit(&bearer.line()).unwrap();
        }
        // A folder where the file should be: nothing is written, until it is gone.
        let uses = scratch.path().join(USES_FILE);
        std::fs::remove_file(&uses).unwrap();
        std::fs::create_dir_all(uses.join("in the way")).unwrap();
        door.write_uses();
        std::fs::remove_dir_all(&uses).unwrap();
        door.write_uses();
        assert_eq!(count(), 5);
    }

    #[test]
    fn what_counts_no_more_is_kept_for_thirty_days_from_then_on() {
        let scratch = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(scratch.path()).unwrap();
        let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
        let (revoked, _) = tokens.make(spec(300 * day), now).unwrap();
        let (expiring, _) = tokens.make(spec(day), now).unwrap();
        tokens.revoke(&revoked.id, now).unwrap();
        let kept = |days: u32| {
            tokens.make(spec(day), now + days * day).unwrap();
            let all = tokens.list().unwrap();
            let is_kept = |id: &str| all.iter().any(|(token, _)| token.id == id);
            (is_kept(&revoked.id), is_kept(&expiring.id))
        };
        assert_eq!(kept(29), (true, true));
        assert_eq!(kept(30), (false, true));
        assert_eq!(kept(31), (false, false));
    }

    #[test]
    fn tokens_have_bounds() {
        let scratch = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(scratch.path()).unwrap();
        let now = SystemTime::now();
        let refused = |spec| tokens.make(spec, now).unwrap_err().to_string();
        let minute = Duration::from_secs(60);
        assert!(refused(TokenSpec { verbs: Vec::new(), ..spec(minute) }).contains("a verb"));
        assert!(refused(TokenSpec { allow: Vec::new(), ..spec(minute) }).contains("a pattern"));
        assert!(refused(spec(2 * TOKEN_SPAN_MAX)).contains("a year at most"));
        assert!(refused(spec(Duration::ZERO)).contains("a second at least"));
        let named = |name: &str| TokenSpec { name: name.repeat(60), ..spec(minute) };
        assert!(refused(named("ab")).contains("100 bytes"));
        assert!(tokens.revoke("00000000", now).unwrap_err().to_string().contains("no token"));
    }
}
