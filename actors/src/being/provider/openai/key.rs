//! Keys: read when they are first needed, and never shown.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use tokio::io::AsyncReadExt;

use super::super::ProviderShare;
use super::super::settings::KeySource;

/// How long a key may be, in bytes.
const KEY_LEN_MAX: usize = 4_096;

/// A key. Whoever prints it sees none.
pub(super) struct Key(String);

/// Why there is no key. None of it repeats one.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("the key file {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} holds no key; one has 1 to {KEY_LEN_MAX} visible ASCII characters on one line")]
    Senseless(String),
}

impl Key {
    /// Reads the key, if the server wants one.
    pub(super) async fn read(
        source: &KeySource,
        share: &ProviderShare,
    ) -> Result<Option<Self>, KeyError> {
        let key = match source {
            KeySource::Nowhere => return Ok(None),
            KeySource::Env(name) => {
                let text = std::env::var_os(name).ok_or_else(|| KeyError::NotSet(name.clone()))?;
                let place = || format!("the environment variable {name}");
                Self::parse(text.as_encoded_bytes(), place)?
            }
            KeySource::File(path) => {
                let unreadable = |source| KeyError::Unreadable { path: path.clone(), source };
                let bytes = read_file(path, share).await.map_err(unreadable)?;
                Self::parse(&bytes, || format!("the key file {}", path.display()))?
            }
        };
        Ok(Some(key))
    }

    fn parse(bytes: &[u8], place: impl Fn() -> String) -> Result<Self, KeyError> {
        let bytes = bytes.trim_ascii();
        let is_fine =
            (1..=KEY_LEN_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        let text = str::from_utf8(bytes).ok().filter(|_| is_fine);
        text.map(|text| Self(text.to_owned())).ok_or_else(|| KeyError::Senseless(place()))
    }

    /// What lets a question in.
    pub(super) fn authorization(&self) -> HeaderValue {
        let value = HeaderValue::try_from(format!("Bearer {}", self.0));
        let mut value = value.expect("a key is of visible ASCII characters");
        value.set_sensitive(true);
        value
    }

    /// The key itself, to look for it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

async fn read_file(path: &Path, share: &ProviderShare) -> io::Result<Vec<u8>> {
    let metadata = tokio::fs::metadata(path).await?;
    // A pipe or a device could keep who reads it for ever.
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if is_open_to_all(&metadata) && share.is_news(&path.display().to_string()) {
        tracing::warn!(file = %path.display(), "everybody on this machine can read this key file; chmod 600 it");
    }
    let file = tokio::fs::File::open(path).await?;
    let mut bytes = Vec::new();
    // One byte more than a key may have, and some for blanks around it, so that what is too long is seen.
    file.take(2 * KEY_LEN_MAX as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(unix)]
fn is_open_to_all(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open_to_all(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Key, KeyError> {
        Key::parse(bytes, || "the file".to_owned())
    }

    async fn read(source: KeySource) -> Result<Option<Key>, String> {
        Key::read(&source, &ProviderShare::new()).await.map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_is_trimmed_and_hidden() {
        let key = parse(b" \tsk-secret\r\n").unwrap();
        assert_eq!(key.reveal(), "sk-secret");
        let header = key.authorization();
        assert_eq!(header, "Bearer sk-secret");
        assert!(!format!("{key:?} {header:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_key_is_refused_unseen() {
        let long = vec![b'x'; KEY_LEN_MAX + 1];
        for senseless in [&b""[..], b" \n", b"two lines\nsecret", b"sch\xc3\xb6n", b"\xff", &long] {
            let error = parse(senseless).unwrap_err().to_string();
            assert!(error.starts_with("the file holds no key"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn keys_come_from_where_they_are_said_to_be() {
        assert!(read(KeySource::Nowhere).await.unwrap().is_none());
        let missing = read(KeySource::Env("GENII_NO_SUCH_KEY".to_owned())).await.unwrap_err();
        assert_eq!(missing, "the environment variable GENII_NO_SUCH_KEY is not set");
        let path = std::env::var("PATH").unwrap();
        let found = read(KeySource::Env("PATH".to_owned())).await.unwrap().unwrap();
        assert_eq!(found.reveal(), path);
        let folder = tempfile::tempdir().unwrap();
        let no_file = read(KeySource::File(folder.path().to_owned())).await.unwrap_err();
        assert!(no_file.ends_with("it is no file"), "{no_file}");
        let nowhere = read(KeySource::File(folder.path().join("key"))).await.unwrap_err();
        assert!(nowhere.contains("cannot be read: No such file"), "{nowhere}");
        std::fs::write(folder.path().join("key"), "abc\n").unwrap();
        let found = read(KeySource::File(folder.path().join("key"))).await.unwrap().unwrap();
        assert_eq!(found.reveal(), "abc");
    }
}
