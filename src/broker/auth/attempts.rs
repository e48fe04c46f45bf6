//! How often somebody may fail to log in: each user and each address may a number of times at once, and again as time
//! passes. An attempt from within the machine has no address.
//!
//! Only failures count, so that any number of clients can come back at once after a broker was restarted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::cidr::Network;

/// After this time, one more failure is allowed.
const PERIOD: Duration = Duration::from_secs(5);
/// Failures at once from one address, and for one user, who may be attacked from several.
const FROM_ADDRESS: u32 = 10;
const FOR_USER: u32 = 20;
/// What is remembered at most. Hashing is too slow for an attacker to fill this before it is forgotten.
const MOST: usize = 10_000;
/// How much of an IPv6 address tells one site from another.
const SITE: u8 = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Site(Network),
    User(Box<str>),
}

/// Who has failed lately.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When all failures will be forgotten.
    debts: HashMap<Key, Instant>,
}

impl Attempts {
    /// Whether there may be another attempt.
    pub(super) fn permits(&self, user: &str, source: Option<IpAddr>, now: Instant) -> bool {
        keys(user, source).all(|(key, most)| {
            let debt = self.debts.get(&key);
            debt.is_none_or(|&until| until.saturating_duration_since(now) + PERIOD <= PERIOD * most)
        })
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, user: &str, source: Option<IpAddr>, now: Instant) {
        for (key, _) in keys(user, source) {
            if self.debts.len() >= MOST && !self.debts.contains_key(&key) {
                self.make_room(now);
            }
            let until = self.debts.entry(key).or_insert(now);
            *until = (*until).max(now) + PERIOD;
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.debts.retain(|_, until| *until > now);
        if self.debts.len() >= MOST {
            let soonest = self.debts.iter().min_by_key(|(_, until)| **until);
            if let Some(soonest) = soonest.map(|(key, _)| key.clone()) {
                self.debts.remove(&soonest);
            }
        }
    }
}

fn keys(user: &str, source: Option<IpAddr>) -> impl Iterator<Item = (Key, u32)> {
    let site = source.map(|address| {
        let prefix = if address.to_canonical().is_ipv4() {
            32
        } else {
            SITE
        };
        (Key::Site(Network::around(address, prefix)), FROM_ADDRESS)
    });
    [(Key::User(user.into()), FOR_USER)].into_iter().chain(site)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    const HERE: Option<IpAddr> = None;

    #[test]
    fn an_address_may_fail_a_number_of_times_whoever_it_says_it_is() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..FROM_ADDRESS {
            let user = number.to_string();
            assert!(attempts.permits(&user, from("10.0.0.1"), now));
            attempts.failed(&user, from("10.0.0.1"), now);
        }
        assert!(!attempts.permits("new", from("10.0.0.1"), now));
        assert!(!attempts.permits("new", from("::ffff:10.0.0.1"), now));
        assert!(attempts.permits("new", from("10.0.0.2"), now));
        assert!(attempts.permits("new", HERE, now));
        let later = now + PERIOD;
        assert!(attempts.permits("new", from("10.0.0.1"), later));
        attempts.failed("new", from("10.0.0.1"), later);
        assert!(!attempts.permits("new", from("10.0.0.1"), later));
    }

    #[test]
    fn a_user_may_fail_a_number_of_times_wherever_it_comes_from() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..FOR_USER {
            let source = from(&format!("10.0.0.{number}"));
            assert!(attempts.permits("u", source, now));
            attempts.failed("u", source, now);
        }
        assert!(!attempts.permits("u", HERE, now));
        assert!(attempts.permits("v", HERE, now));
        assert!(attempts.permits("u", HERE, now + PERIOD));
    }

    #[test]
    fn addresses_of_one_ipv6_site_are_one() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..FROM_ADDRESS {
            attempts.failed("u", from(&format!("2001:db8::{number:x}")), now);
        }
        assert!(!attempts.permits("v", from("2001:db8::ffff"), now));
        assert!(attempts.permits("v", from("2001:db8:0:1::1"), now));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_stay() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..FOR_USER {
            attempts.failed("attacked", HERE, now);
        }
        for number in 0..MOST + 10 {
            attempts.failed(&number.to_string(), HERE, now);
        }
        assert_eq!(attempts.debts.len(), MOST);
        assert!(!attempts.permits("attacked", HERE, now));
    }
}
