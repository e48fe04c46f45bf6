//! Waiting for a socket's own descriptors.
//!
//! A thread that blocks on a socket with few pipes is woken by the kernel itself when something comes, with neither the
//! reactor nor a thread that leads it in between. The reactor still hears of what happens to these pipes, and only
//! takes note of it while a thread attends to them.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::core::Core;
use super::park::{self, Parker};
use super::spin::{self, DIRECT_PIPES};
use crate::error::Result;
use crate::message::PipeId;
use crate::transports::Connection;

/// What a thread attends to: the pipes, those that have one in front.
type Attended = [Option<Attention>; DIRECT_PIPES];

struct Attention {
    id: PipeId,
    connection: Arc<dyn Connection>,
    /// For room to write as well.
    writable: bool,
}

impl Core {
    /// Waits until `ready` gives a value or the deadline passes. `ready` is called with a waker for this thread, which
    /// it leaves where a wake-up may come from.
    pub(super) fn block<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut(&Waker) -> Option<T>,
    ) -> Result<T> {
        let sleep = |parker: &Parker, deadline| {
            if !self.attend(parker, deadline) {
                self.reactor.wait(parker, deadline);
            }
            spin::note_wait();
        };
        park::block_until(deadline, sleep, ready)
    }

    /// Sleeps until something happens to one of the socket's pipes, the thread is woken, or the deadline passes.
    /// Returns whether it could.
    #[cfg(target_os = "linux")]
    fn attend(&self, parker: &Parker, deadline: Option<Instant>) -> bool {
        use crate::sys::poller::{Awaited, FEW};

        let Some(attended) = self.begin_attending() else {
            return false;
        };
        let fd = |at: usize| attended[at].as_ref()?.connection.fd();
        let Some(first) = fd(0) else {
            self.end_attending(attended, [false; FEW], deadline);
            return false;
        };
        let mut few: [Awaited<'_>; FEW] = std::array::from_fn(|at| Awaited {
            fd: fd(at).unwrap_or(first),
            writable: attended[at].as_ref().is_some_and(|one| one.writable),
            ready: false,
        });
        let count = attended.iter().flatten().count();
        let waited = parker.wait_for(&mut few[..count], deadline);
        let ready = few.map(|awaited| awaited.ready);
        self.end_attending(attended, ready, deadline);
        waited
    }

    #[cfg(not(target_os = "linux"))]
    fn attend(&self, _: &Parker, _: Option<Instant>) -> bool {
        false
    }

    /// Makes this thread the one that attends to the socket's pipes, if they are few and nobody else does.
    fn begin_attending(&self) -> Option<Attended> {
        let mut state = self.lock();
        let pipes = &mut state.world.pipes;
        let few = (1..=DIRECT_PIPES).contains(&pipes.len());
        if !few
            || pipes.values().any(|pipe| {
                pipe.connection.fd().is_none()
                    || pipe.attended
                    || pipe.rx.readable
                    || pipe.tx.writing
            })
        {
            return None;
        }
        let mut attended = Attended::default();
        for (slot, (id, pipe)) in attended.iter_mut().zip(pipes.iter_mut()) {
            pipe.attended = true;
            *slot = Some(Attention {
                id,
                connection: pipe.connection.clone(),
                writable: pipe.tx.blocked,
            });
        }
        Some(attended)
    }

    /// Takes note of what happened, and reads for nobody in particular if the time is over.
    fn end_attending(
        &self,
        attended: Attended,
        ready: [bool; DIRECT_PIPES],
        deadline: Option<Instant>,
    ) {
        let mut state = self.lock();
        let mut room = Vec::new();
        for (attention, ready) in attended.into_iter().flatten().zip(ready) {
            let Attention {
                id,
                connection,
                writable,
            } = attention;
            if let Some(pipe) = state.world.pipes.get_mut(id) {
                pipe.attended = false;
                pipe.rx.readable |= ready;
                if ready && writable {
                    pipe.tx.blocked = false;
                    room.push(id);
                }
            }
            state.world.list_readable(id);
            state.world.put_back(id, connection);
        }
        for id in room {
            state = self.write(state, id, true);
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            state = self.read_noted(state);
        }
        self.finish(state);
    }
}

#[cfg(all(test, target_os = "linux", not(wirebird_loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::engine::Listening;
    use crate::message::Message;
    use crate::protocols::{CtxId, OpId, subscribe::Subscribe};
    use crate::{Pub, SocketOptions};

    const SOON: Duration = Duration::from_secs(10);

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn eventually(what: &str, so: impl Fn() -> bool) {
        let until = Instant::now() + SOON;
        while !so() {
            assert!(Instant::now() < until, "{what} never came to be");
            thread::yield_now();
        }
    }

    /// A socket with two contexts that subscribe to everything, and a publisher that is connected to it.
    fn subscriber() -> (Arc<Core>, [CtxId; 2], Pub) {
        let core = Core::new(Box::new(Subscribe::new()), false, &SocketOptions::default()).unwrap();
        let contexts = [core.open_context().unwrap(), core.open_context().unwrap()];
        for ctx in contexts {
            core.subscribe(ctx, b"").unwrap();
        }
        let listener = Listening::new(&core, "tcp://127.0.0.1:0").unwrap();
        listener.start().unwrap();
        let publisher = Pub::new().unwrap();
        publisher.dial(&listener.url().to_string()).unwrap();
        core.wait_for_peers(1, SOON).unwrap();
        (core, contexts, publisher)
    }

    fn is_noted(core: &Core) -> bool {
        core.lock().world.noted().next().is_some()
    }

    #[test]
    fn what_came_while_a_thread_attended_is_read_for_others_when_it_leaves() {
        let (core, [here, other], publisher) = subscriber();
        let (mine, next) = (OpId(1), OpId(2));
        let (woken, mut message) = (Arc::new(Woken::default()), Message::new());
        let waker = Waker::from(woken.clone());
        let attended = eventually_attending(&core);
        // The first one gets to this thread while it attends, by another's read.
        publisher.send("first").unwrap();
        eventually("the first", || is_noted(&core));
        assert!(matches!(
            core.poll_recv(other, next, &mut message, &waker),
            Ok(true)
        ));
        assert!(matches!(
            core.poll_recv(other, next, &mut message, &waker),
            Ok(false)
        ));
        // An event tells of the second one, once.
        publisher.send("second").unwrap();
        eventually("the second", || is_noted(&core));
        core.end_attending(attended, [true; DIRECT_PIPES], None);
        let nobody = Waker::noop();
        assert!(matches!(
            core.poll_recv(here, mine, &mut message, nobody),
            Ok(true)
        ));
        assert_eq!(message.body(), b"first");
        eventually("a wake-up", || woken.0.load(Ordering::SeqCst));
        assert!(matches!(
            core.poll_recv(other, next, &mut message, &waker),
            Ok(true)
        ));
        assert_eq!(message.body(), b"second");
        core.close().unwrap();
    }

    #[test]
    fn what_is_left_over_is_read_though_no_event_tells_of_it() {
        let (core, [_, other], publisher) = subscriber();
        let (woken, mut message) = (Arc::new(Woken::default()), Message::new());
        let waker = Waker::from(woken.clone());
        let attended = eventually_attending(&core);
        assert!(matches!(
            core.poll_recv(other, OpId(1), &mut message, &waker),
            Ok(false)
        ));
        publisher.send("rest").unwrap();
        eventually("the rest", || is_noted(&core));
        let mut state = core.lock();
        core.read_later(&mut state.world, attended[0].as_ref().unwrap().id);
        core.finish(state);
        eventually("a wake-up", || woken.0.load(Ordering::SeqCst));
        assert!(matches!(
            core.poll_recv(other, OpId(1), &mut message, &waker),
            Ok(true)
        ));
        core.end_attending(attended, [true; DIRECT_PIPES], None);
        core.close().unwrap();
    }

    #[test]
    fn an_end_that_came_during_a_receive_is_found_though_nobody_receives_any_more() {
        let core = Core::new(Box::new(Subscribe::new()), false, &SocketOptions::default()).unwrap();
        let listener = Listening::new(&core, "inproc://ends-amid-a-receive").unwrap();
        listener.start().unwrap();
        let publisher = Pub::new().unwrap();
        publisher.dial("inproc://ends-amid-a-receive").unwrap();
        core.wait_for_peers(1, SOON).unwrap();
        let mut state = core.lock();
        let id = state.world.pipes.ids().next().unwrap();
        state.world.pipes.get_mut(id).unwrap().rx.reading = true;
        drop(state);
        publisher.close().unwrap();
        eventually("the end", || {
            core.lock().world.pipes.get(id).unwrap().rx.hangup
        });
        // The receive ends with another result.
        let mut state = core.lock();
        state.world.pipes.get_mut(id).unwrap().rx.reading = false;
        state.world.unread.push(id);
        core.finish(state);
        assert!(core.lock().world.pipes.is_empty());
        core.close().unwrap();
    }

    #[cfg(feature = "tls")]
    #[test]
    fn what_was_read_and_not_decrypted_is_decrypted_though_a_thread_attends() {
        use crate::protocols::pull::Pull;
        use crate::sys::poller::Event;
        use crate::tls::{TlsAuth, TlsConfig};
        use crate::transports::Otherwise;
        use crate::{EndpointOptions, Push};

        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let papers = TlsConfig::new()
            .certificate(own.cert.pem(), own.signing_key.serialize_pem())
            .unwrap();
        let options = EndpointOptions::new().tls(papers);
        let options = SocketOptions::new().endpoint(options);
        let core = Core::new(Box::new(Pull::new()), false, &options).unwrap();
        let listener = Listening::new(&core, "tls+tcp://127.0.0.1:0").unwrap();
        listener.start().unwrap();
        let trusting = EndpointOptions::new().tls(TlsConfig::new().auth(TlsAuth::None));
        let push = Push::with_options(&SocketOptions::new().endpoint(trusting)).unwrap();
        push.dial(&listener.url().to_string()).unwrap();
        core.wait_for_peers(1, SOON).unwrap();

        let (woken, mut message) = (Arc::new(Woken::default()), Message::new());
        let waker = Waker::from(woken.clone());
        let attended = eventually_attending(&core);
        let Attention { id, connection, .. } = attended[0].as_ref().unwrap();
        assert!(matches!(
            core.poll_recv(CtxId::SOCKET, OpId(1), &mut message, &waker),
            Ok(false)
        ));
        // As much as the kernel takes without its being read: no event is to tell of a rest.
        push.send(vec![7; 50_000]).unwrap();
        push.flush(SOON).unwrap();
        eventually("a part", || {
            let mut state = core.lock();
            let rx = &mut state.world.pipes.get_mut(*id).unwrap().rx;
            let _ = connection.recv(&mut rx.decoder, Otherwise::Waits);
            connection.has_arrivals()
        });
        // The reactor had begun to read before the thread attended, and goes on.
        let event = Event {
            key: 0,
            readable: true,
            writable: false,
            hangup: false,
        };
        eventually("the rest", || !core.pipe_ready(*id, event));
        eventually("a wake-up", || woken.0.load(Ordering::SeqCst));
        core.end_attending(attended, [false; DIRECT_PIPES], None);
        core.close().unwrap();
    }

    /// Begins to attend once the event that tells of a new pipe has been seen.
    fn eventually_attending(core: &Core) -> Attended {
        let until = Instant::now() + SOON;
        loop {
            if let Some(attended) = core.begin_attending() {
                return attended;
            }
            assert!(Instant::now() < until, "the pipe stays readable");
            core.can_recv();
            thread::yield_now();
        }
    }
}
