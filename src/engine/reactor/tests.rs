use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::*;

/// Takes its time, and always has more to do.
struct Busy(AtomicU64);

impl Source for Busy {
    fn ready(self: Arc<Self>, _: Event) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        while began.elapsed() < TURN / 4 {
            std::hint::spin_loop();
        }
        true
    }
}

/// Takes note of how often the busy ones were told before it.
struct Polite(Arc<Busy>, AtomicU64);

impl Source for Polite {
    fn ready(self: Arc<Self>, _: Event) -> bool {
        self.1
            .store(self.0.0.load(Ordering::Relaxed), Ordering::Relaxed);
        false
    }
}

#[test]
fn who_has_just_become_ready_waits_for_few_of_those_that_always_have_more_to_do() {
    const BUSY: u64 = 50;
    let reactor = Reactor::new().unwrap();
    let mut streams: Vec<_> = (0..=BUSY).map(|_| UnixStream::pair().unwrap()).collect();
    let busy = Arc::new(Busy(AtomicU64::new(0)));
    let polite = Arc::new(Polite(busy.clone(), AtomicU64::new(0)));
    let (mut theirs, ours) = streams.pop().unwrap();
    reactor.add(ours.as_fd(), polite.clone(), false).unwrap();
    for (one, other) in &mut streams {
        reactor.add(one.as_fd(), busy.clone(), false).unwrap();
        other.write_all(b"x").unwrap();
    }
    let mut lead = Lead::default();
    let turn = |lead: &mut Lead| {
        let before = busy.0.load(Ordering::Relaxed);
        reactor.turn(lead, Some(Instant::now()), None);
        busy.0.load(Ordering::Relaxed) - before
    };
    assert_eq!(turn(&mut lead), BUSY);
    assert!((1..=4).contains(&turn(&mut lead)));
    theirs.write_all(b"x").unwrap();
    let before = busy.0.load(Ordering::Relaxed);
    turn(&mut lead);
    assert_eq!(polite.1.load(Ordering::Relaxed), before);
    // And of those that have more to do each gets its turn.
    let rounds = (0..BUSY).map(|_| turn(&mut lead)).min();
    assert!(rounds >= Some(1));
}
