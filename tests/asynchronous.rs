//! Futures: they are woken when they should be, end with their socket, and leave nothing behind when they are dropped.

mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Later, SOON, Via, block_on, eventually, unique};
use futures_util::future::{join_all, try_join_all};
use wirebird::{
    Error, Event, Message, Pair0, Pull, Push, Rep, Req, Respondent, SocketOptions, Surveyor,
};

const SHORT: Duration = Duration::from_millis(40);

// ---- helpers ----

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future with a waker of its own.
struct Task<'a, T> {
    future: Later<'a, T>,
    woken: Arc<Count>,
}

impl<'a, T> Task<'a, T> {
    fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::default(),
        }
    }

    /// One that has been polled, and waits: at first it may ask to be polled again at once.
    fn waiting(future: impl Future<Output = T> + Send + 'a) -> Self {
        let mut task = Self::new(future);
        loop {
            assert!(task.poll().is_pending(), "there is nothing to wait for");
            if task.woken.0.swap(0, Ordering::SeqCst) == 0 {
                return task;
            }
        }
    }

    fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(self.woken.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst) > 0
    }

    /// Waits until it is woken, and polls it.
    #[track_caller]
    fn next_poll(&mut self) -> Poll<T> {
        eventually("the future is woken", || self.is_woken());
        self.woken.0.store(0, Ordering::SeqCst);
        self.poll()
    }
}

fn pipeline() -> (Push, Pull) {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    Via::Ipc.join(&pull, &push);
    (push, pull)
}

fn reqrep() -> (Req, Rep) {
    let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
    Via::Ipc.join(&rep, &req);
    (req, rep)
}

// ---- waking ----

#[test]
fn a_receive_that_another_overtook_leaves_no_waker_behind() {
    let (push, pull) = pipeline();
    let mut early = Task::waiting(pull.recv_async());
    let middle = Task::waiting(pull.recv_async());
    let mut late = Task::waiting(pull.recv_async());
    push.send("first").unwrap();
    eventually("the oldest is woken", || early.is_woken());
    assert!(matches!(late.poll(), Poll::Ready(Ok(_))));
    assert!(early.poll().is_pending());
    drop((early, middle));

    let mut last = Task::waiting(pull.recv_async());
    push.send("second").unwrap();
    let Poll::Ready(Ok(message)) = last.next_poll() else {
        panic!("the message is there");
    };
    assert_eq!(message.body(), b"second");
    drop(late);
}

#[test]
fn a_receive_that_is_dropped_after_it_was_woken_passes_the_wake_up_on() {
    let (push, pull) = pipeline();
    let first = Task::waiting(pull.recv_async());
    let mut second = Task::waiting(pull.recv_async());
    push.send("message").unwrap();
    eventually("the oldest is woken", || first.is_woken());
    drop(first);
    assert!(matches!(second.next_poll(), Poll::Ready(Ok(_))));
}

#[test]
fn a_send_that_is_dropped_after_it_was_woken_passes_the_wake_up_on() {
    let push = Push::new().unwrap();
    let first = Task::waiting(push.send_async("first"));
    let mut second = Task::waiting(push.send_async("second"));
    let pull = Pull::new().unwrap();
    Via::Inproc.join(&pull, &push);
    eventually("the oldest is woken", || first.is_woken());
    drop(first);
    assert!(matches!(second.next_poll(), Poll::Ready(Ok(()))));
    assert_eq!(pull.recv().unwrap().body(), b"second");
    assert_eq!(pull.try_recv(), Err(Error::WouldBlock));
}

#[test]
fn a_receive_asks_to_be_polled_again_for_as_long_as_it_may_spin_and_then_waits() {
    let (push, pull) = pipeline();
    for (spin, looks) in [(Duration::from_millis(10), true), (Duration::ZERO, false)] {
        pull.set_options(&SocketOptions::new().spin(spin)).unwrap();
        let mut task = Task::new(pull.recv_async());
        let began = Instant::now();
        let mut polls = 0;
        while task.poll().is_pending() && task.woken.0.swap(0, Ordering::SeqCst) > 0 {
            polls += 1;
        }
        assert_eq!(polls > 0, looks, "{polls} polls with {spin:?}");
        assert!(began.elapsed() < SOON);
        push.send("message").unwrap();
        assert!(matches!(task.next_poll(), Poll::Ready(Ok(_))));
    }
}

#[test]
fn a_future_wakes_the_task_that_polled_it_last() {
    let (push, pull) = pipeline();
    let mut moved = Task::waiting(pull.recv_async());
    let before = std::mem::take(&mut moved.woken);
    assert!(moved.poll().is_pending());
    push.send("message").unwrap();
    assert!(matches!(moved.next_poll(), Poll::Ready(Ok(_))));
    assert_eq!(before.0.load(Ordering::SeqCst), 0);
}

/// A task whose future lives and dies with its wakers.
struct Orphan(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_task_that_only_its_waker_holds_may_use_the_socket_while_it_is_dropped() {
    let (push, pull) = pipeline();
    let mut kept = Box::pin(pull.recv_async());
    let orphan = Arc::new(Orphan(Mutex::new(None)));
    let own = pull.clone();
    *orphan.0.lock().unwrap() = Some(Box::pin(async move {
        let _ = own.recv_async().await;
    }));
    let waker = Waker::from(orphan.clone());
    let mut inner = orphan.0.lock().unwrap();
    let polled = inner.as_mut().map(|future| {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    });
    assert!(matches!(polled, Some(Poll::Pending)));
    drop(inner);
    assert!(
        kept.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop((orphan, waker));
    // The new waker takes the place of the old one, which is the last to hold the orphan and its receive.
    let mut task = Context::from_waker(Waker::noop());
    assert!(kept.as_mut().poll(&mut task).is_pending());
    push.send("message").unwrap();
    assert_eq!(block_on(kept).unwrap().body(), b"message");
}

// ---- closing ----

#[test]
fn closing_a_socket_wakes_every_future_with_closed() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("tcp://{}", silent.local_addr().unwrap());
    let pair = Pair0::new().unwrap();
    let twin = pair.clone();
    let dialing = Task::waiting(async { pair.dial_async(&silent).await.map(drop) });
    let monitor = pair.monitor();
    let unit = |result: Result<Message, Error>| result.map(drop);
    let mut tasks = vec![
        Task::waiting(async { unit(pair.recv_async().await) }),
        Task::waiting(async { unit(pair.recv_async().timeout(SOON).await) }),
        Task::waiting(async { pair.send_async("kept").await.map_err(Error::from) }),
        Task::waiting(pair.wait_for_peers_async(1, SOON)),
        dialing,
        Task::waiting(async { monitor.recv_async().await.map(drop) }),
    ];
    twin.close().unwrap();
    for task in &mut tasks {
        let outcome = loop {
            // The monitor first tells what there was to tell.
            if let Poll::Ready(outcome) = task.next_poll() {
                break outcome;
            }
        };
        assert_eq!(outcome, Err(Error::Closed));
    }
}

#[test]
fn closing_a_socket_wakes_requests_accepts_and_answers_with_closed() {
    let (req, _rep) = reqrep();
    let requests: Vec<_> = (0..10).map(|_| Task::waiting(req.request("x"))).collect();
    req.set_options(&SocketOptions::new().linger(Duration::ZERO))
        .unwrap();
    // Nobody reads the requests, so that the time is over at once.
    let _ = req.close();
    for mut request in requests {
        assert_eq!(request.next_poll(), Poll::Ready(Err(Error::Closed)));
    }
    let (_other, rep) = reqrep();
    let mut accept = Task::waiting(rep.accept());
    rep.close().unwrap();
    assert!(matches!(
        accept.next_poll(),
        Poll::Ready(Err(Error::Closed))
    ));
    assert!(matches!(block_on(rep.accept()), Err(Error::Closed)));
    assert_eq!(block_on(req.request("x")), Err(Error::Closed));

    let surveyor = Surveyor::new().unwrap();
    let mut answers = surveyor.survey_timeout("x", SOON).unwrap();
    let mut answer = Task::waiting(answers.recv_async());
    surveyor.close().unwrap();
    assert_eq!(answer.next_poll(), Poll::Ready(Err(Error::Closed)));
}

#[test]
fn a_close_whose_future_is_dropped_delivers_all_the_same() {
    const COUNT: u64 = 50;
    for via in [Via::Inproc, Via::Ipc, Via::Tcp] {
        let options = SocketOptions::new().linger(SOON);
        let push = Push::with_options(&options).unwrap();
        let pull = Pull::new().unwrap();
        via.join(&pull, &push);
        for number in 0..COUNT {
            push.send(number.to_be_bytes()).unwrap();
        }
        let gone = push.monitor();
        drop(Task::waiting(push.close_async()));
        assert_eq!(push.try_send("x").unwrap_err().error, Error::Closed);
        for number in 0..COUNT {
            let message = pull.recv_timeout(SOON).unwrap();
            assert_eq!(message.body(), number.to_be_bytes());
        }
        while gone.recv_timeout(SOON) != Err(Error::Closed) {}
        assert_eq!(push.stats().dropped.unsent_bytes, 0);
    }
}

#[test]
fn an_awaited_close_ends_when_the_peer_has_read_everything() {
    let (push, pull) = pipeline();
    push.send("last").unwrap();
    let reading = thread::spawn(move || pull.recv_timeout(SOON));
    assert_eq!(block_on(push.close_async()), Ok(()));
    assert_eq!(reading.join().unwrap().unwrap().body(), b"last");
    assert_eq!(block_on(push.close_async()), Ok(()), "again does nothing");
}

#[test]
fn an_awaited_close_ends_with_the_linger_time() {
    let options = SocketOptions::new().linger(SHORT);
    let push = Push::with_options(&options).unwrap();
    let pull = Pull::new().unwrap();
    Via::Ipc.join(&pull, &push);
    push.send("unread").unwrap();
    let closing = Instant::now();
    assert_eq!(block_on(push.close_async()), Err(Error::TimedOut));
    assert!(closing.elapsed() >= SHORT);
}

// ---- deadlines ----

#[test]
fn the_timeouts_of_the_socket_hold_for_futures_too() {
    let options = SocketOptions::new().send_timeout(SHORT).recv_timeout(SHORT);
    let pair = Pair0::with_options(&options).unwrap();
    let waiting = Instant::now();
    assert_eq!(block_on(pair.recv_async()), Err(Error::TimedOut));
    let failed = block_on(pair.send_async("kept")).unwrap_err();
    assert_eq!(failed.error, Error::TimedOut);
    assert_eq!(failed.message.body(), b"kept");
    assert!(waiting.elapsed() >= 2 * SHORT);
    let req = Req::with_options(&options).unwrap();
    assert_eq!(block_on(req.request("x")), Err(Error::TimedOut));
    let rep = Rep::with_options(&options).unwrap();
    assert!(matches!(block_on(rep.accept()), Err(Error::TimedOut)));
    assert!(matches!(rep.accept().wait(), Err(Error::TimedOut)));
}

#[test]
fn a_timeout_of_one_call_takes_the_place_of_the_sockets() {
    let options = SocketOptions::new().send_timeout(SOON).recv_timeout(SOON);
    let pair = Pair0::with_options(&options).unwrap();
    assert_eq!(
        block_on(pair.recv_async().timeout(SHORT)),
        Err(Error::TimedOut)
    );
    let failed = block_on(pair.send_async("kept").timeout(SHORT)).unwrap_err();
    assert_eq!(failed.error, Error::TimedOut);
    let (req, rep) = reqrep();
    let unanswered = req.request("x").timeout(SHORT);
    assert_eq!(block_on(unanswered), Err(Error::TimedOut));
    assert_eq!(req.request("x").timeout(SHORT).wait(), Err(Error::TimedOut));
    drop((rep.recv().unwrap(), rep.recv().unwrap()));
    let none = rep.accept().timeout(SHORT);
    assert!(matches!(block_on(none), Err(Error::TimedOut)));
    assert_eq!(
        block_on(pair.wait_for_peers_async(1, SHORT)),
        Err(Error::TimedOut)
    );
}

#[test]
fn a_dial_that_times_out_or_is_dropped_leaves_nothing_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let pair = Pair0::new().unwrap();
    let timed_out = block_on(pair.dial_timeout_async(&url, SHORT));
    assert_eq!(timed_out.err(), Some(Error::TimedOut));
    let dialer = pair.dialer(&url).unwrap();
    drop(Task::waiting(dialer.start_and_wait_async(None)));
    // It is idle again: else starting it would be an error of state.
    let again = block_on(dialer.start_and_wait_async(Some(SHORT)));
    assert_eq!(again, Err(Error::TimedOut));
    assert_eq!(pair.stats().added, 0);
    let refused = block_on(pair.dial_async(&format!("inproc://{}", unique())));
    assert_eq!(refused.err(), Some(Error::ConnectionRefused));
}

// ---- giving up ----

#[test]
fn a_send_that_is_cancelled_gives_its_message_back() {
    let push = Push::new().unwrap();
    let mut send = push.send_async("kept");
    let mut task = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut send).poll(&mut task).is_pending());
    assert_eq!(send.cancel().unwrap().body(), b"kept");
    assert_eq!(
        push.send_async("unpolled").cancel().unwrap().body(),
        b"unpolled"
    );
    let pull = Pull::new().unwrap();
    Via::Inproc.join(&pull, &push);
    let mut send = push.send_async("sent");
    assert!(Pin::new(&mut send).poll(&mut task).is_ready());
    assert_eq!(send.cancel(), None);
    assert_eq!(pull.recv().unwrap().body(), b"sent");
}

#[test]
fn a_dropped_receive_leaves_the_request_outstanding() {
    let (req, rep) = reqrep();
    req.send("question").unwrap();
    drop(Task::waiting(req.recv_async()));
    let request = rep.recv().unwrap();
    let between = Task::waiting(req.recv_async());
    rep.send(request).unwrap();
    eventually("the reply has come", || between.is_woken());
    drop(between);
    assert_eq!(block_on(req.recv_async()).unwrap().body(), b"question");
}

#[test]
fn a_dropped_receive_leaves_the_survey_running() {
    let (surveyor, respondent) = (Surveyor::new().unwrap(), Respondent::new().unwrap());
    Via::Ipc.join(&respondent, &surveyor);
    let mut answers = surveyor.survey_timeout("question", SOON).unwrap();
    drop(Task::waiting(answers.recv_async()));
    block_on(async {
        respondent
            .accept()
            .await?
            .reply("answer")
            .await
            .map_err(Error::from)
    })
    .unwrap();
    let answer = block_on(answers.recv_async()).unwrap().unwrap();
    assert_eq!(answer.body(), b"answer");
}

#[test]
fn a_dropped_request_is_given_up_and_no_other_is_touched() {
    let (req, rep) = reqrep();
    let given_up = Task::waiting(req.request("given up"));
    let first = rep.accept().wait().unwrap();
    let mut kept = Task::waiting(req.request("kept"));
    let second = rep.accept().wait().unwrap();
    drop(given_up);
    first.reply("too late").wait().unwrap();
    second.reply("in time").wait().unwrap();
    let Poll::Ready(Ok(reply)) = kept.next_poll() else {
        panic!("the reply is there");
    };
    assert_eq!(reply.body(), b"in time");
    assert_eq!(req.stats().dropped.unwanted, 1);
}

#[test]
fn a_dropped_accept_leaves_the_request_for_another() {
    let (req, rep) = reqrep();
    let first = Task::waiting(rep.accept());
    let mut second = Task::waiting(rep.accept());
    req.send("question").unwrap();
    eventually("one of them is woken", || {
        first.is_woken() || second.is_woken()
    });
    drop(first);
    let Poll::Ready(Ok(request)) = second.next_poll() else {
        panic!("the request is there");
    };
    block_on(request.reply("answer")).unwrap();
    assert_eq!(req.recv().unwrap().body(), b"answer");
}

#[test]
fn a_reply_may_be_made_of_its_request() {
    let (req, rep) = reqrep();
    let asking = Task::waiting(req.request("ping"));
    let mut request = rep.accept().wait().unwrap();
    assert_eq!(request.body(), b"ping");
    assert_eq!(request.pipe(), Some(rep.pipes()[0].id()));
    let mut message = request.take_message();
    message.append(b"-pong");
    request.reply(message).wait().unwrap();
    assert_eq!(block_on(asking.future).unwrap().body(), b"ping-pong");
}

#[test]
fn a_request_of_a_context_is_made_in_that_context() {
    let (req, rep) = reqrep();
    let context = req.context().unwrap();
    let mut first = Task::waiting(context.request("first"));
    let mut second = Task::waiting(context.request("second"));
    assert_eq!(first.next_poll(), Poll::Ready(Err(Error::Canceled)));
    assert_eq!(rep.accept().wait().unwrap().body(), b"first");
    rep.accept().wait().unwrap().reply("reply").wait().unwrap();
    assert!(matches!(second.next_poll(), Poll::Ready(Ok(_))));
}

// ---- many at once ----

#[test]
fn thousands_of_requests_on_one_socket_each_get_their_own_reply() {
    const REQUESTS: u32 = 5000;
    let (req, rep) = reqrep();
    let server = thread::spawn(move || {
        let serve = async || -> Result<(), Error> {
            loop {
                let mut request = rep.accept().await?;
                let message = request.take_message();
                request.reply(message).await?;
            }
        };
        block_on(join_all([serve(), serve(), serve(), serve()]))
    });
    let replies = block_on(try_join_all(
        (0..REQUESTS).map(|number| req.request(number.to_be_bytes())),
    ))
    .unwrap();
    for (number, reply) in (0_u32..).zip(&replies) {
        assert_eq!(reply.body(), number.to_be_bytes());
    }
    assert_eq!(req.stats().dropped.unwanted, 0);
    drop(req);
    drop(server);
}

#[test]
fn threads_and_tasks_share_what_comes_on_one_socket() {
    const COUNT: u32 = 4000;
    let (push, pull) = pipeline();
    let seen = Mutex::new(BTreeSet::new());
    let take = |message: Message| {
        let number = u32::from_be_bytes(message.body().try_into().unwrap());
        let mut seen = seen.lock().unwrap();
        assert!(seen.insert(number), "{number} came twice");
        if seen.len() == COUNT as usize {
            pull.close().unwrap();
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(message) = pull.recv() {
                    take(message);
                }
            });
            scope.spawn(|| {
                let task = async || {
                    while let Ok(message) = pull.recv_async().await {
                        take(message);
                    }
                };
                block_on(join_all([task(), task(), task()]));
            });
        }
        scope.spawn(|| {
            for number in 0..COUNT / 2 {
                push.send(number.to_be_bytes()).unwrap();
            }
        });
        scope.spawn(|| {
            block_on(async {
                for number in COUNT / 2..COUNT {
                    push.send_async(number.to_be_bytes()).await.unwrap();
                }
            });
        });
    });
    assert_eq!(seen.into_inner().unwrap().len(), COUNT as usize);
}

#[test]
fn waiting_receives_are_served_in_turn() {
    let (push, pull) = pipeline();
    let mut tasks: Vec<_> = (0..4).map(|_| Task::waiting(pull.recv_async())).collect();
    for number in 0..4_u8 {
        push.send([number]).unwrap();
        // One that got its message wakes the next, which may be too early.
        let message = loop {
            if let Poll::Ready(message) = tasks[usize::from(number)].next_poll() {
                break message;
            }
        };
        assert_eq!(message.unwrap().body(), [number]);
    }
}

#[test]
fn surveys_at_the_same_time_get_their_own_answers() {
    let (surveyor, respondent) = (Surveyor::new().unwrap(), Respondent::new().unwrap());
    Via::Ipc.join(&respondent, &surveyor);
    let mut one = surveyor.survey_timeout("one", SOON).unwrap();
    let mut other = surveyor.survey_timeout("other", SOON).unwrap();
    for _ in 0..2 {
        let mut survey = respondent.accept().wait().unwrap();
        let message = survey.take_message();
        survey.reply(message).wait().unwrap();
    }
    assert_eq!(other.recv().unwrap().unwrap().body(), b"other");
    assert_eq!(one.recv().unwrap().unwrap().body(), b"one");
}

#[test]
fn the_answers_end_with_the_survey() {
    let surveyor = Surveyor::new().unwrap();
    let mut answers = surveyor.survey_timeout("anybody?", SHORT).unwrap();
    assert_eq!(block_on(answers.recv_async()), Ok(None));
    assert_eq!(answers.recv(), Ok(None));
    assert_eq!(answers.into_iter().next(), None);
}

// ---- events ----

#[test]
fn events_are_awaited_in_their_order() {
    let (one, other) = (Pair0::new().unwrap(), Pair0::new().unwrap());
    let monitor = one.monitor();
    let mut first = Task::waiting(monitor.recv_async());
    Via::Ipc.join(&one, &other);
    assert!(matches!(
        first.next_poll(),
        Poll::Ready(Ok(Event::Added(_)))
    ));
    let dropped = Task::waiting(monitor.recv_async());
    let mut second = Task::waiting(monitor.recv_async());
    other.close().unwrap();
    eventually("the oldest is woken", || dropped.is_woken());
    drop(dropped);
    assert!(matches!(
        second.next_poll(),
        Poll::Ready(Ok(Event::Removed { .. }))
    ));
}
