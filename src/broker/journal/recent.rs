//! The newest offers of a log, which may have many more than are to be recognised.

use super::KeptOffer;
use crate::broker::dedupe::Limits;

pub(super) struct Recent {
    /// In milliseconds since 1970.
    oldest: i64,
    most: usize,
    offers: Vec<KeptOffer>,
}

impl Recent {
    pub(super) fn new(limits: Limits, now_ms: i64) -> Self {
        let age = i64::try_from(limits.age.as_millis()).unwrap_or(i64::MAX);
        Self {
            oldest: now_ms.saturating_sub(age),
            most: limits.entries,
            offers: Vec::new(),
        }
    }

    /// Adds an offer, in memory for twice as many as are wanted at most. Those made by a clock that was ahead are the newest.
    pub(super) fn add(&mut self, offer: KeptOffer) {
        if offer.at < self.oldest {
            return;
        }
        self.offers.push(offer);
        if self.offers.len() / 2 >= self.most {
            self.trim();
        }
    }

    /// The oldest first.
    pub(super) fn into_offers(mut self) -> Vec<KeptOffer> {
        self.trim();
        self.offers
    }

    fn trim(&mut self) {
        self.offers.sort_by_key(|offer| offer.at);
        let beyond = self.offers.len().saturating_sub(self.most);
        self.offers.drain(..beyond);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_offers_within_the_window_are_kept_and_no_more_than_twice_as_many_meanwhile() {
        let limits = Limits {
            age: Duration::from_millis(1000),
            entries: 5,
            ..Limits::default()
        };
        let mut recent = Recent::new(limits, 10_000);
        for at in (8000..10_100).rev().chain([20_000, 7]) {
            let key = Vec::new();
            let queue = "jobs".into();
            recent.add(KeptOffer { queue, at, key });
            assert!(recent.offers.len() <= 10);
        }
        let times = recent.into_offers().into_iter().map(|offer| offer.at);
        let expected = [10_096, 10_097, 10_098, 10_099, 20_000];
        assert_eq!(times.collect::<Vec<_>>(), expected);
        let mut recent = Recent::new(limits, 10_000);
        for at in [8999, 9000] {
            let key = Vec::new();
            let queue = "jobs".into();
            recent.add(KeptOffer { queue, at, key });
        }
        assert_eq!(recent.into_offers()[0].at, 9000);
    }
}
