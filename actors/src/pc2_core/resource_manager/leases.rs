//! Leases: promises of parts of the machine, each for a while and for somebody.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use genii_protocols::resources::{
    AcquireLease, Lease, LeaseRefused, Leases, Machine, Pool, Resource,
};
use genii_protocols::{Address, TimeSpan, Timestamp};

use super::ResourceSettings;

const RESOURCES: [Resource; 4] =
    [Resource::CpuMilli, Resource::MemoryMb, Resource::DiskMb, Resource::OpenFiles];

/// All leases, and what they are taken from.
pub(super) struct LeaseBook {
    leases: BTreeMap<u64, Lease>,
    limits: BTreeMap<Resource, u64>,
    lease_max: Duration,
    leases_max: usize,
    next: u64,
}

impl LeaseBook {
    pub(super) fn new(machine: &Machine, settings: &ResourceSettings) -> Self {
        let share = |amount: u64| {
            amount / 100 * u64::from(settings.reservable_percent)
                + amount % 100 * u64::from(settings.reservable_percent) / 100
        };
        let disk = machine.disks.iter().map(|disk| disk.available).max().unwrap_or_default();
        let limits = BTreeMap::from([
            (Resource::CpuMilli, share(u64::from(machine.cores) * 1_000)),
            (Resource::MemoryMb, share(machine.memory_total >> 20)),
            (Resource::DiskMb, share(disk >> 20)),
            (Resource::OpenFiles, share(machine.open_files_limit.unwrap_or(1_024))),
        ]);
        let (lease_max, leases_max) = (settings.lease_max.0, settings.leases_max);
        Self { leases: BTreeMap::new(), limits, lease_max, leases_max, next: 0 }
    }

    pub(super) fn acquire(
        &mut self,
        asked: AcquireLease,
        now: Timestamp,
    ) -> Result<Lease, LeaseRefused> {
        let AcquireLease { resource, amount, lasts, holder } = asked;
        let senseless = |why: String| Err(LeaseRefused::Senseless { why });
        if amount == 0 {
            return senseless("a lease on nothing".to_owned());
        }
        if lasts.0.is_zero() {
            return senseless("a lease for no time".to_owned());
        }
        if lasts.0 > self.lease_max {
            let max = TimeSpan(self.lease_max);
            return senseless(format!("a lease lasts {max} at most; renew it before it expires"));
        }
        if self.leases.len() >= self.leases_max {
            return Err(LeaseRefused::TooMany { limit: self.leases_max as u64 });
        }
        let limit = self.limits.get(&resource).copied().unwrap_or_default();
        let available = limit.saturating_sub(self.reserved(resource));
        if amount > available {
            return Err(LeaseRefused::NotEnough { resource, asked: amount, available, limit });
        }
        self.next += 1;
        let lease = Lease { id: self.next, resource, amount, holder, expires: after(now, lasts) };
        self.leases.insert(lease.id, lease.clone());
        Ok(lease)
    }

    /// Whether a holder holds one lease only, so that it has only begun to be one.
    pub(super) fn is_first_of(&self, holder: &Address) -> bool {
        self.leases.values().filter(|lease| lease.holder.as_ref() == Some(holder)).count() == 1
    }

    /// Lets a lease last until so long from now, but no longer than leases may.
    pub(super) fn renew(&mut self, id: u64, lasts: TimeSpan, now: Timestamp) -> Option<Lease> {
        let lasts = TimeSpan(lasts.0.min(self.lease_max));
        let lease = self.leases.get_mut(&id).filter(|lease| lease.expires > now)?;
        lease.expires = after(now, lasts);
        Some(lease.clone())
    }

    pub(super) fn release(&mut self, id: u64) -> Option<Lease> {
        self.leases.remove(&id)
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        self.leases.retain(|_, lease| lease.expires > now);
    }

    /// Takes back everything of a holder that is gone.
    pub(super) fn holder_gone(&mut self, holder: &Address) -> Vec<Lease> {
        let its = |lease: &Lease| lease.holder.as_ref() == Some(holder);
        let gone: Vec<Lease> = self.leases.values().filter(|lease| its(lease)).cloned().collect();
        self.leases.retain(|_, lease| !its(lease));
        gone
    }

    pub(super) fn list(&self) -> Leases {
        let pool = |resource: &Resource| Pool {
            resource: *resource,
            limit: self.limits.get(resource).copied().unwrap_or_default(),
            reserved: self.reserved(*resource),
        };
        let leases = self.leases.values().cloned().collect();
        Leases { leases, pools: RESOURCES.iter().map(pool).collect() }
    }

    fn reserved(&self, resource: Resource) -> u64 {
        let of_it = self.leases.values().filter(|lease| lease.resource == resource);
        of_it.map(|lease| lease.amount).sum()
    }
}

fn after(now: Timestamp, lasts: TimeSpan) -> Timestamp {
    let then: SystemTime = now.system_time() + lasts.0;
    then.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> LeaseBook {
        let machine = Machine {
            at: Timestamp::now(),
            cores: 4,
            cpu_percent: 0.0,
            load: [0.0; 3],
            memory_total: 1_000 << 20,
            memory_available: 0,
            swap_total: 0,
            swap_used: 0,
            disks: Vec::new(),
            open_files: None,
            open_files_limit: Some(1_000),
        };
        LeaseBook::new(&machine, &ResourceSettings { leases_max: 3, ..ResourceSettings::default() })
    }

    fn ask(amount: u64, secs: u64, holder: Option<&str>) -> AcquireLease {
        AcquireLease {
            resource: Resource::MemoryMb,
            amount,
            lasts: TimeSpan::from_secs(secs),
            holder: holder.map(|holder| Address::parse(holder).unwrap()),
        }
    }

    #[test]
    fn no_more_is_promised_than_there_is() {
        let mut book = book();
        let now = Timestamp::now();
        let lease = book.acquire(ask(600, 60, None), now).unwrap();
        let refused = book.acquire(ask(301, 60, None), now).unwrap_err();
        let said = "301 of MemoryMb was asked for, and 300 of 900 is left";
        assert_eq!(refused.to_string(), said);
        book.release(lease.id).unwrap();
        assert!(book.release(lease.id).is_none());
        book.acquire(ask(900, 60, None), now).unwrap();
        let pool = &book.list().pools[1];
        assert_eq!((pool.limit, pool.reserved), (900, 900));
    }

    #[test]
    fn leases_expire_unless_they_are_renewed() {
        let mut book = book();
        let now = Timestamp::now();
        let one = book.acquire(ask(1, 10, None), now).unwrap();
        let two = book.acquire(ask(1, 10, None), now).unwrap();
        book.renew(one.id, TimeSpan::from_secs(100), now).unwrap();
        let later = after(now, TimeSpan::from_secs(11));
        assert!(book.renew(two.id, TimeSpan::from_secs(9), later).is_none(), "it has expired");
        book.expire(later);
        assert_eq!(book.list().leases.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut book = book();
        let now = Timestamp::now();
        assert!(book.acquire(ask(0, 1, None), now).is_err());
        assert!(book.acquire(ask(1, 0, None), now).is_err());
        let long = book.acquire(ask(1, 10_000_000, None), now).unwrap_err().to_string();
        assert!(long.contains("renew it"), "{long}");
        for _ in 0..3 {
            book.acquire(ask(1, 1, None), now).unwrap();
        }
        assert_eq!(book.acquire(ask(1, 1, None), now), Err(LeaseRefused::TooMany { limit: 3 }));
    }

    #[test]
    fn the_leases_of_one_that_goes_are_taken_back() {
        let mut book = book();
        let now = Timestamp::now();
        book.acquire(ask(1, 60, Some("a/1")), now).unwrap();
        let holder = Address::parse("a/1").unwrap();
        assert!(book.is_first_of(&holder));
        book.acquire(ask(1, 60, Some("a/1")), now).unwrap();
        assert!(!book.is_first_of(&holder));
        book.acquire(ask(1, 60, Some("a/2")), now).unwrap();
        assert_eq!(book.holder_gone(&holder).len(), 2);
        assert_eq!(book.list().leases.len(), 1);
    }
}
