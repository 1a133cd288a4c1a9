//! What was read of indices, within a bound. When there is no room, what was used the longest time ago goes; and what
//! nobody has used for a long time goes with whatever is read next: it may be of an index that was replaced, whose
//! files are on the disk as long as they are open here, or of a being that sleeps or is gone.
//!
//! LanceDB's own cache keeps what was used often, and lets in what is new only as far as that leaves room.
//! With every step of upkeep segments take the place of others which nobody will ever ask for again; those
//! would fill it, and what took their place be read from the disk at each search.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lance::cache::{CacheBackend, CacheCodec, CacheEntry, InternalCacheKey};
use moka::future::Cache;
use moka::policy::EvictionPolicy;

/// Something that was read, and how many bytes it takes.
#[derive(Clone)]
struct Kept {
    entry: CacheEntry,
    bytes: usize,
}

pub(super) struct RecentlyUsed {
    kept: Cache<InternalCacheKey, Kept>,
    most: usize,
}

impl RecentlyUsed {
    /// One for so many bytes, each of which is used again within a time or goes.
    pub(super) fn new(most: usize, idle_max: Duration) -> Self {
        let weight = |key: &InternalCacheKey, kept: &Kept| {
            u32::try_from(size_of_val(key).saturating_add(kept.bytes)).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder()
            .max_capacity(most as u64)
            .weigher(weight)
            .time_to_idle(idle_max)
            .eviction_policy(EvictionPolicy::lru());
        Self { kept: kept.build(), most }
    }
}

impl fmt::Debug for RecentlyUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, most) = (self.kept.weighted_size(), self.most);
        f.debug_struct("RecentlyUsed").field("bytes", &bytes).field("most", &most).finish()
    }
}

type Loading<'a> = Pin<Box<dyn Future<Output = lance::Result<(CacheEntry, usize)>> + Send + 'a>>;

#[async_trait]
impl CacheBackend for RecentlyUsed {
    async fn get_resident(&self, key: &InternalCacheKey) -> Option<CacheEntry> {
        self.kept.get(key).await.map(|kept| kept.entry)
    }

    async fn peek_resident(&self, key: &InternalCacheKey) -> bool {
        self.kept.contains_key(key)
    }

    async fn get(&self, key: &InternalCacheKey, _: Option<CacheCodec>) -> Option<CacheEntry> {
        self.get_resident(key).await
    }

    async fn insert(
        &self,
        key: &InternalCacheKey,
        entry: CacheEntry,
        bytes: usize,
        _: Option<CacheCodec>,
    ) {
        self.kept.insert(*key, Kept { entry, bytes }).await;
    }

    async fn get_or_insert<'a>(
        &self,
        key: &InternalCacheKey,
        loading: Loading<'a>,
        _: Option<CacheCodec>,
    ) -> lance::Result<(CacheEntry, bool)> {
        let is_loaded = AtomicBool::new(false);
        let load = async {
            is_loaded.store(true, Ordering::Relaxed);
            loading.await.map(|(entry, bytes)| Kept { entry, bytes })
        };
        match self.kept.try_get_with(*key, load).await {
            Ok(kept) => Ok((kept.entry, !is_loaded.load(Ordering::Relaxed))),
            Err(error) => Err(Arc::try_unwrap(error)
                .unwrap_or_else(|shared| lance::Error::wrapped(Box::new(Shared(shared))))),
        }
    }

    async fn clear(&self) {
        self.kept.invalidate_all();
        self.kept.run_pending_tasks().await;
    }

    async fn num_entries(&self) -> usize {
        self.kept.run_pending_tasks().await;
        self.approx_num_entries()
    }

    async fn size_bytes(&self) -> usize {
        self.kept.run_pending_tasks().await;
        self.approx_size_bytes()
    }

    fn approx_num_entries(&self) -> usize {
        usize::try_from(self.kept.entry_count()).unwrap_or(usize::MAX)
    }

    fn approx_size_bytes(&self) -> usize {
        usize::try_from(self.kept.weighted_size()).unwrap_or(usize::MAX)
    }

    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.most)
    }
}

/// An error that several met who waited for the same thing.
#[derive(Debug)]
struct Shared(Arc<lance::Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long anything may take before a test gives up on it.
    const LONG: Duration = Duration::from_secs(120);

    fn key(number: u8) -> InternalCacheKey {
        InternalCacheKey::from_bytes([number; 16])
    }

    fn entry(number: u8) -> CacheEntry {
        Arc::new(number)
    }

    #[tokio::test]
    async fn what_was_used_the_longest_time_ago_makes_room() {
        let cache = RecentlyUsed::new(4 * 116, LONG);
        for number in 0..4 {
            cache.insert(&key(number), entry(number), 100, None).await;
            // However often it was used before.
            for _ in 0..20 {
                assert!(cache.get(&key(0), None).await.is_some());
            }
        }
        for number in 1..4 {
            assert!(cache.get(&key(number), None).await.is_some());
        }
        cache.insert(&key(4), entry(4), 100, None).await;
        assert_eq!((cache.num_entries().await, cache.size_bytes().await), (4, 4 * 116));
        assert!(cache.get(&key(0), None).await.is_none());
        assert!(cache.peek_resident(&key(4)).await);
        cache.clear().await;
        assert_eq!(cache.num_entries().await, 0);
    }

    #[tokio::test]
    async fn what_nobody_uses_goes() {
        let cache = RecentlyUsed::new(1_000, Duration::from_millis(1));
        cache.insert(&key(1), entry(1), 100, None).await;
        let gone = async {
            while cache.num_entries().await > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, gone).await.unwrap();
        assert_eq!(cache.size_bytes().await, 0);
    }

    #[tokio::test]
    async fn those_who_want_the_same_wait_for_one_of_them() {
        let cache = RecentlyUsed::new(1_000, LONG);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let first = Box::pin(async {
            gone.await.unwrap();
            Ok((entry(1), 10))
        });
        let second = Box::pin(async { panic!("it was read already") });
        let key = key(1);
        let (first, second, ()) = tokio::join!(
            cache.get_or_insert(&key, first, None),
            cache.get_or_insert(&key, second, None),
            async { go.send(()).unwrap() },
        );
        assert!(!first.unwrap().1);
        assert!(second.unwrap().1);
        // What could not be read is tried again by the next.
        let other = InternalCacheKey::from_bytes([2; 16]);
        let failing = Box::pin(async { Err(lance::Error::internal("no such file".to_owned())) });
        let error = cache.get_or_insert(&other, failing, None).await.unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
        let reading = Box::pin(async { Ok((entry(2), 10)) });
        assert!(!cache.get_or_insert(&other, reading, None).await.unwrap().1);
    }
}
