//! Sockets that come and go while others talk: nothing hangs, nothing panics, and whoever stays is served.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Node, SOON, Via, pattern};
use wirebird::{
    Bus, Message, Pair0, Pair1, Pub, Pull, Push, Rep, Req, Respondent, Socket, SocketOptions, Sub,
    Surveyor,
};

const THREADS: u64 = 4;
const ROUNDS: u64 = 60;

fn hasty() -> SocketOptions {
    let short = Duration::from_millis(2);
    SocketOptions::new()
        .send_timeout(short)
        .recv_timeout(short)
        .linger(short)
        .reconnect_min(Duration::from_millis(1))
}

fn patient() -> SocketOptions {
    SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .reconnect_min(Duration::from_millis(1))
}

/// A small generator, so that a failure comes back with the same numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn any_socket(dice: &mut Dice) -> Box<dyn Node> {
    macro_rules! one_of {
        ($($number:literal $kind:ident)*) => {
            match dice.roll(11) {
                $($number => Box::new($kind::with_options(&hasty()).unwrap()),)*
                _ => Box::new(Pair0::with_options(&hasty()).unwrap()),
            }
        };
    }
    one_of!(0 Pair1 1 Req 2 Rep 3 Pub 4 Sub 5 Push 6 Pull 7 Surveyor 8 Respondent 9 Bus)
}

#[test]
fn sockets_of_every_kind_come_and_go_at_common_places() {
    let places: Vec<_> = [Via::Inproc, Via::Ipc, Via::Abstract]
        .into_iter()
        .flat_map(|via| [via.place(), via.place()])
        .collect();
    thread::scope(|scope| {
        for number in 1..=THREADS {
            let places = &places;
            scope.spawn(move || {
                let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                for _ in 0..ROUNDS {
                    let socket = any_socket(&mut dice);
                    for _ in 0..1 + dice.roll(4) {
                        let url = &places[dice.roll(places.len() as u64) as usize].url;
                        // Any of it may fail; none of it may hang.
                        match dice.roll(4) {
                            0 => drop(socket.listen(url)),
                            1 => drop(socket.dial_timeout(url, Duration::from_millis(2))),
                            _ => drop(socket.dial_background(url)),
                        }
                        let size = dice.roll(3000) as usize;
                        let _ = socket.send(Message::from(pattern(size, number)));
                        let _ = socket.recv();
                        if let Some(pipe) = socket.pipes().first() {
                            let _ = pipe.close();
                        }
                    }
                    if dice.roll(2) == 0 {
                        let _ = socket.close();
                    }
                }
            });
        }
    });
    // What they leave behind is as good as new.
    for place in &places {
        let (one, other) = (Pair1::new().unwrap(), Pair1::new().unwrap());
        one.listen(&place.url).expect("nobody is there any more");
        other.dial(&place.url).expect("somebody is there");
        other.send("hello").unwrap();
        assert_eq!(one.recv_timeout(SOON).unwrap().body(), b"hello");
    }
}

#[test]
fn requests_are_answered_although_their_listener_comes_and_goes() {
    for via in [Via::Ipc, Via::Tcp] {
        let rep = Rep::with_options(&patient()).unwrap();
        let place = via.place();
        let url = rep.listen(&place.url).unwrap().url();
        let over = AtomicBool::new(false);
        let answering = {
            let rep = rep.clone();
            thread::spawn(move || {
                while let Ok(request) = rep.recv() {
                    rep.send(request).unwrap();
                }
            })
        };
        thread::scope(|scope| {
            let asking = (0..2).map(|number| {
                let url = &url;
                scope.spawn(move || {
                    let req = Req::with_options(&patient()).unwrap();
                    req.dial_background(url).unwrap();
                    for round in 0..200_u64 {
                        let question = pattern(200, 1000 * number + round);
                        req.send(question.clone()).unwrap();
                        assert_eq!(req.recv().unwrap().body(), question);
                    }
                })
            });
            let asking: Vec<_> = asking.collect();
            scope.spawn(|| flap(&rep, &over));
            for asking in asking {
                let result = asking.join();
                over.store(true, Ordering::Relaxed);
                result.unwrap();
            }
        });
        rep.close().unwrap();
        answering.join().unwrap();
    }
}

/// Closes a pipe whenever there is one.
fn flap(rep: &Rep, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        match rep.pipes().first() {
            // It may be gone already.
            Some(pipe) => drop(pipe.close()),
            None => drop(rep.wait_for_peers(1, Duration::from_millis(10))),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn pipes_can_be_looked_at_while_they_come_and_go() {
    let pull = Pull::with_options(&patient()).unwrap();
    let url = pull.listen(&Via::Tcp.place().url).unwrap().url();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                for pipe in pull.pipes() {
                    assert!(pipe.info().is_some_and(|info| !info.dialed));
                    let _ = pipe.stats();
                    seen += 1;
                }
            }
            seen
        });
        let coming: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let push: Socket<_> = Push::with_options(&patient()).unwrap();
                        push.dial(&url).unwrap();
                        push.send("x").unwrap();
                        push.close().unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..200 {
            assert_eq!(pull.recv().unwrap().body(), b"x");
        }
        for coming in coming {
            coming.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        assert!(looking.join().unwrap() > 0);
    });
}
