//! Contexts, threads and handles: many conversations on one socket.

mod common;

use std::collections::HashSet;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{SOON, Via, asleep, await_added, await_removed, eventually, insist, this_thread};
use wirebird::{Bus, Error, Pair0, Pull, Push, Rep, Req, Respondent, SocketOptions, Sub, Surveyor};

const SHORT: Duration = Duration::from_millis(40);

fn patient() -> SocketOptions {
    SocketOptions::new()
        .send_timeout(SOON)
        .recv_timeout(SOON)
        .reconnect_min(Duration::from_millis(10))
}

fn req() -> Req {
    Req::with_options(&patient()).unwrap()
}

fn rep() -> Rep {
    Rep::with_options(&patient()).unwrap()
}

/// Runs a call that blocks on a thread of its own, and returns when it does.
fn blocked<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (tell, told) = mpsc::channel();
    let running = thread::spawn(move || {
        tell.send(this_thread()).unwrap();
        call()
    });
    asleep(told.recv().unwrap());
    running
}

/// The failure of a blocked send: the error, and the body it gave back.
fn failure(sent: Result<(), wirebird::SendError>) -> (Error, Vec<u8>) {
    let failed = sent.expect_err("it cannot be sent");
    assert!(failed.message.header().is_empty());
    (failed.error, failed.message.body().to_vec())
}

// ---- requests ----

#[test]
fn requests_of_many_contexts_before_there_is_a_peer_are_all_sent() {
    let (req, rep) = (req(), rep());
    let sends: Vec<_> = (0..3_u8)
        .map(|number| {
            let context = req.context().unwrap();
            blocked(move || {
                context.send([number]).unwrap();
                context.recv().unwrap().body().to_vec()
            })
        })
        .collect();
    Via::Tcp.join(&rep, &req);
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let request = rep.recv().unwrap();
        seen.insert(request.body().to_vec());
        rep.send(request).unwrap();
    }
    assert_eq!(seen.len(), 3);
    for (number, sent) in sends.into_iter().enumerate() {
        assert_eq!(sent.join().unwrap(), [number as u8]);
    }
}

#[test]
fn a_new_request_on_a_context_cancels_the_one_that_waits_to_be_sent() {
    let req = req();
    let context = std::sync::Arc::new(req.context().unwrap());
    let first = blocked({
        let context = context.clone();
        move || context.send("first")
    });
    let second = blocked({
        let context = context.clone();
        move || context.send("second")
    });
    assert_eq!(
        failure(first.join().unwrap()),
        (Error::Canceled, b"first".to_vec())
    );
    let rep = rep();
    Via::Inproc.join(&rep, &req);
    second.join().unwrap().expect("there is a peer now");
    assert_eq!(rep.recv().unwrap().body(), b"second");
    assert_eq!(rep.recv_timeout(SHORT), Err(Error::TimedOut));
}

#[test]
fn a_receive_that_times_out_cancels_the_request_that_waits_to_be_sent() {
    let req = req();
    let context = std::sync::Arc::new(req.context().unwrap());
    let send = blocked({
        let context = context.clone();
        move || context.send("unsent")
    });
    assert_eq!(context.recv_timeout(SHORT), Err(Error::TimedOut));
    assert_eq!(
        failure(send.join().unwrap()),
        (Error::Canceled, b"unsent".to_vec())
    );
    assert!(matches!(context.recv(), Err(Error::InvalidState(_))));
}

#[test]
fn closing_the_socket_fails_what_its_contexts_wait_for() {
    let (requester, rep) = (req(), rep());
    Via::Tcp.join(&rep, &requester);
    let waiting = requester.context().unwrap();
    waiting.send("unanswered").unwrap();
    let receive = blocked(move || waiting.recv());
    let lonely = req();
    let unsent = lonely.context().unwrap();
    let send = blocked(move || unsent.send("unsent"));
    let idle = requester.context().unwrap();
    // Nobody takes the request from the peer's queue: closing says that it was not read.
    assert_eq!(requester.close(), Err(Error::TimedOut));
    lonely.close().unwrap();
    assert_eq!(receive.join().unwrap(), Err(Error::Closed));
    assert_eq!(
        failure(send.join().unwrap()),
        (Error::Closed, b"unsent".to_vec())
    );
    assert_eq!(failure(idle.send("later")).0, Error::Closed);
    assert_eq!(idle.recv(), Err(Error::Closed));
    assert_eq!(requester.context().err(), Some(Error::Closed));
}

#[test]
fn try_forms_of_a_context_would_block() {
    let (requester, rep) = (req(), rep());
    let context = requester.context().unwrap();
    assert_eq!(failure(context.try_send("nobody")).0, Error::WouldBlock);
    assert!(matches!(context.try_recv(), Err(Error::InvalidState(_))));
    Via::Inproc.join(&rep, &requester);
    insist(|| context.try_send("somebody").map_err(Error::from)).unwrap();
    assert_eq!(context.try_recv(), Err(Error::WouldBlock));
    let request = rep.recv().unwrap();
    rep.send(request).unwrap();
    assert_eq!(insist(|| context.try_recv()).unwrap().body(), b"somebody");
}

#[test]
fn a_dropped_context_gives_its_request_up() {
    let (requester, rep) = (req(), rep());
    Via::Inproc.join(&rep, &requester);
    let context = requester.context().unwrap();
    context.send("abandoned").unwrap();
    let request = rep.recv().unwrap();
    drop(context);
    rep.send(request).unwrap();
    eventually("the reply is dropped", || {
        requester.stats().dropped.unwanted == 1
    });
    requester.send("next").unwrap();
    let request = rep.recv().unwrap();
    rep.send(request).unwrap();
    assert_eq!(requester.recv().unwrap().body(), b"next");
}

#[test]
fn a_context_takes_the_options_of_the_socket_and_has_its_own() {
    let req = Req::with_options(&SocketOptions::new().recv_timeout(SHORT)).unwrap();
    let (rep, before) = (rep(), req.context().unwrap());
    Via::Inproc.join(&rep, &req);
    req.set_options(&patient()).unwrap();
    let own = req.context().unwrap();
    own.set_options(&SocketOptions::new().recv_timeout(SHORT))
        .unwrap();
    for context in [before, own] {
        context.send("unanswered").unwrap();
        let waiting = Instant::now();
        assert_eq!(context.recv(), Err(Error::TimedOut));
        let waited = waiting.elapsed();
        assert!((SHORT..SHORT * 20).contains(&waited), "{waited:?}");
    }
}

#[test]
fn a_hundred_contexts_answered_in_reverse_each_get_their_own() {
    for via in [Via::Inproc, Via::Ipc, Via::Tcp] {
        let (req, rep) = (req(), rep());
        via.join(&rep, &req);
        let answering: Vec<_> = (0..100).map(|_| rep.context().unwrap()).collect();
        let asking: Vec<_> = (0..100_u32)
            .map(|number| {
                let context = req.context().unwrap();
                thread::spawn(move || {
                    for round in 0..5_u32 {
                        let question = [number.to_be_bytes(), round.to_be_bytes()].concat();
                        context.send(question.clone()).unwrap();
                        assert_eq!(context.recv().unwrap().body(), question);
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            let requests: Vec<_> = answering
                .iter()
                .map(|context| context.recv().unwrap())
                .collect();
            for (context, request) in answering.iter().zip(requests).rev() {
                context.send(request).unwrap();
            }
        }
        for asking in asking {
            asking.join().unwrap();
        }
        assert_eq!(req.stats().dropped, Default::default());
    }
}

#[test]
fn many_clients_each_get_their_own_answers_from_many_threads() {
    let rep = rep();
    let listener = rep.listen(&Via::Tcp.place().url).unwrap();
    let serving: Vec<_> = (0..4)
        .map(|_| {
            let context = rep.context().unwrap();
            thread::spawn(move || {
                while let Ok(request) = context.recv() {
                    context.send(request).unwrap();
                }
            })
        })
        .collect();
    let clients: Vec<_> = (0..20_u32)
        .map(|number| {
            let url = listener.url();
            thread::spawn(move || {
                let req = req();
                req.dial(&url).unwrap();
                for round in 0..50_u32 {
                    let question = [number.to_be_bytes(), round.to_be_bytes()].concat();
                    req.send(question.clone()).unwrap();
                    assert_eq!(req.recv().unwrap().body(), question);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    rep.close().unwrap();
    for serving in serving {
        serving.join().unwrap();
    }
}

#[test]
fn a_request_goes_to_the_next_peer_when_its_own_is_lost() {
    let req = req();
    let first = rep();
    let place = Via::Tcp.place();
    let listener = req.listen(&place.url).unwrap();
    first.dial(&listener.url()).unwrap();
    req.send("persistent").unwrap();
    assert_eq!(first.recv().unwrap().body(), b"persistent");
    drop(first);
    let second = rep();
    second.dial(&listener.url()).unwrap();
    let request = second.recv().unwrap();
    second.send(request).unwrap();
    assert_eq!(req.recv().unwrap().body(), b"persistent");
}

#[test]
fn a_request_that_is_not_resent_is_reset_with_its_peer() {
    let req = Req::with_options(&patient().resend_time(None)).unwrap();
    let rep = rep();
    Via::Tcp.join(&req, &rep);
    req.send("lost").unwrap();
    rep.recv().unwrap();
    let receive = blocked({
        let req = req.clone();
        move || req.recv()
    });
    drop(rep);
    assert_eq!(receive.join().unwrap(), Err(Error::ConnectionReset));
    assert!(matches!(req.recv(), Err(Error::InvalidState(_))));
}

#[test]
fn an_unanswered_request_is_sent_again_in_time() {
    let options = patient()
        .resend_time(Duration::from_millis(30))
        .resend_tick(Duration::from_millis(10));
    let req = Req::with_options(&options).unwrap();
    let rep = rep();
    Via::Inproc.join(&rep, &req);
    let sending = Instant::now();
    req.send("again").unwrap();
    for _ in 0..4 {
        assert_eq!(rep.recv().unwrap().body(), b"again");
    }
    assert!(sending.elapsed() >= 3 * Duration::from_millis(30));
    rep.send("answer").unwrap();
    assert_eq!(req.recv().unwrap().body(), b"answer");
}

// ---- subscriptions ----

#[test]
fn contexts_of_a_subscriber_get_what_they_subscribed_to() {
    let publisher = wirebird::Pub::new().unwrap();
    let sub = Sub::with_options(&patient()).unwrap();
    let contexts: Vec<_> = (0..3).map(|_| sub.context().unwrap()).collect();
    contexts[0].subscribe("a").unwrap();
    contexts[0].subscribe("common").unwrap();
    contexts[1].subscribe("b").unwrap();
    contexts[1].subscribe("common").unwrap();
    Via::Tcp.join(&publisher, &sub);
    for body in ["common 1", "a 1", "nobody", "b 1", "common 2", "a 2", "end"] {
        publisher.send(body).unwrap();
    }
    let expected: [&[&str]; 2] = [
        &["common 1", "a 1", "common 2", "a 2"],
        &["common 1", "b 1", "common 2"],
    ];
    for (context, bodies) in contexts.iter().zip(expected) {
        for body in bodies {
            assert_eq!(context.recv().unwrap().body(), body.as_bytes());
        }
        assert_eq!(context.recv_timeout(SHORT), Err(Error::TimedOut));
    }
    assert_eq!(contexts[2].try_recv(), Err(Error::WouldBlock));
    assert_eq!(sub.try_recv(), Err(Error::WouldBlock));
    assert_eq!(contexts[0].unsubscribe("b"), Err(Error::NotFound));
    contexts[0].unsubscribe("a").unwrap();
    publisher.send("a 3").unwrap();
    publisher.send("common 3").unwrap();
    assert_eq!(contexts[0].recv().unwrap().body(), b"common 3");
}

#[test]
fn closing_a_subscriber_wakes_every_context() {
    let sub = Sub::with_options(&patient()).unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let context = sub.context().unwrap();
            context.subscribe("").unwrap();
            blocked(move || context.recv())
        })
        .collect();
    sub.close().unwrap();
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), Err(Error::Closed));
    }
}

// ---- surveys ----

#[test]
fn parallel_surveys_get_their_own_answers_in_any_order() {
    let surveyor = Surveyor::with_options(&patient().survey_time(SOON)).unwrap();
    let respondents = [(); 3].map(|()| Respondent::with_options(&patient()).unwrap());
    for respondent in &respondents {
        Via::Tcp.join(&surveyor, respondent);
    }
    let contexts: Vec<_> = (0..5).map(|_| surveyor.context().unwrap()).collect();
    for (number, context) in contexts.iter().enumerate() {
        context.send([number as u8]).unwrap();
    }
    for respondent in &respondents {
        for _ in 0..5 {
            let survey = respondent.recv().unwrap();
            respondent.send(survey).unwrap();
        }
    }
    for (number, context) in contexts.iter().enumerate().rev() {
        for _ in 0..3 {
            assert_eq!(context.recv().unwrap().body(), [number as u8]);
        }
        assert_eq!(context.recv_timeout(SHORT), Err(Error::TimedOut));
    }
}

#[test]
fn a_survey_ends_with_its_time() {
    let surveyor = Surveyor::with_options(&patient().survey_time(SHORT)).unwrap();
    let respondent = Respondent::with_options(&patient()).unwrap();
    Via::Inproc.join(&surveyor, &respondent);
    let (slow, quick) = (surveyor.context().unwrap(), surveyor.context().unwrap());
    slow.set_options(&patient().survey_time(SOON)).unwrap();
    let asking = Instant::now();
    slow.send("slow").unwrap();
    quick.send("quick").unwrap();
    assert_eq!(quick.recv(), Err(Error::TimedOut));
    let waited = asking.elapsed();
    assert!((SHORT..SHORT * 20).contains(&waited), "{waited:?}");
    assert!(matches!(quick.recv(), Err(Error::InvalidState(_))));
    for _ in 0..2 {
        let survey = respondent.recv().unwrap();
        respondent.send(survey).unwrap();
    }
    assert_eq!(slow.recv().unwrap().body(), b"slow");
    eventually("the late answer is dropped", || {
        surveyor.stats().dropped.unwanted == 1
    });
}

#[test]
fn a_new_survey_cancels_the_receives_of_the_one_before() {
    let surveyor = Surveyor::with_options(&patient().survey_time(SOON)).unwrap();
    surveyor.send("first").unwrap();
    let waiting = [(); 2].map(|()| {
        let surveyor = surveyor.clone();
        blocked(move || surveyor.recv())
    });
    surveyor.send("second").unwrap();
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), Err(Error::Canceled));
    }
}

// ---- threads and handles ----

#[test]
fn sockets_and_handles_can_be_shared_between_threads() {
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Req>();
    shareable::<wirebird::RawSocket>();
    shareable::<wirebird::Context<wirebird::pattern::Request>>();
    shareable::<wirebird::Dialer>();
    shareable::<wirebird::Listener>();
    shareable::<wirebird::Pipe>();
    shareable::<wirebird::Monitor>();
    shareable::<wirebird::Message>();
}

#[test]
fn many_threads_on_one_socket_lose_and_repeat_nothing() {
    const THREADS: u32 = 4;
    const EACH: u32 = 2000;
    for via in [Via::Inproc, Via::Ipc, Via::Tcp] {
        let push = Push::with_options(&patient()).unwrap();
        let pull = Pull::with_options(&patient()).unwrap();
        via.join(&pull, &push);
        let pulling: Vec<_> = (0..THREADS)
            .map(|number| {
                let pull = pull.clone();
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    loop {
                        let message = match number % 2 {
                            0 => pull.recv(),
                            _ => insist(|| pull.try_recv()),
                        };
                        match message {
                            Ok(message) if message.is_empty() => return seen,
                            Ok(mut message) => seen.push(message.trim_u64().unwrap()),
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let pushing: Vec<_> = (0..THREADS)
            .map(|number| {
                let push = push.clone();
                thread::spawn(move || {
                    for count in 0..EACH {
                        let body = u64::from(number) << 32 | u64::from(count);
                        match count % 2 {
                            0 => push.send(body.to_be_bytes()).unwrap(),
                            _ => insist(|| Ok(push.try_send(body.to_be_bytes())?)).unwrap(),
                        }
                    }
                })
            })
            .collect();
        for pushing in pushing {
            pushing.join().unwrap();
        }
        for _ in 0..THREADS {
            push.send("").unwrap();
        }
        let mut all = HashSet::new();
        for pulling in pulling {
            let seen = pulling.join().unwrap();
            for number in 0..THREADS {
                let of_one = seen.iter().filter(|&&body| body >> 32 == u64::from(number));
                assert!(of_one.is_sorted(), "one thread sees another's in order");
            }
            for body in seen {
                assert!(all.insert(body), "{body:#x} came twice");
            }
        }
        assert_eq!(all.len(), (THREADS * EACH) as usize);
    }
}

#[test]
fn receivers_that_wait_get_what_comes_at_once_for_all_of_them() {
    for round in 0..50 {
        let bus = Bus::with_options(&patient()).unwrap();
        let other = Bus::new().unwrap();
        Via::Tcp.join(&bus, &other);
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let bus = bus.clone();
                thread::spawn(move || bus.recv())
            })
            .collect();
        for _ in 0..4 {
            other.send([round]).unwrap();
        }
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap().unwrap().body(), [round]);
        }
    }
}

#[test]
fn the_last_handle_closes_the_socket_and_no_other() {
    let pull = Pull::with_options(&patient()).unwrap();
    let push = Push::with_options(&patient()).unwrap();
    Via::Tcp.join(&pull, &push);
    let events = pull.monitor();
    let handles: Vec<Push> = (0..10).map(|_| push.clone()).collect();
    drop(push);
    for (number, handle) in handles.into_iter().enumerate() {
        handle.send([number as u8]).unwrap();
        assert_eq!(pull.recv().unwrap().body(), [number as u8]);
        assert_eq!(pull.stats().pipes, 1);
    }
    assert_eq!(await_removed(&events), Error::ConnectionShut);
}

#[test]
fn a_context_keeps_its_socket_open() {
    let (requester, rep) = (req(), rep());
    Via::Inproc.join(&rep, &requester);
    let events = rep.monitor();
    let context = requester.context().unwrap();
    drop(requester);
    context.send("still open").unwrap();
    let request = rep.recv().unwrap();
    rep.send(request).unwrap();
    assert_eq!(context.recv().unwrap().body(), b"still open");
    drop(context);
    assert_eq!(await_removed(&events), Error::ConnectionShut);
}

#[test]
fn endpoint_and_pipe_handles_do_not_keep_a_socket_open() {
    let (one, other) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    let events = other.monitor();
    let listener = one.listen(&Via::Tcp.place().url).unwrap();
    other.dial_background(&listener.url()).unwrap();
    await_added(&events);
    one.wait_for_peers(1, SOON).unwrap();
    let pipe = one.pipes().remove(0);
    drop(one);
    assert_eq!(await_removed(&events), Error::ConnectionShut);
    assert_eq!(pipe.close(), Err(Error::NotFound));
    assert_eq!(listener.start(), Err(Error::Closed));
}
