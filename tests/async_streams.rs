//! Sockets as streams and sinks of the `futures` crates.
#![cfg(all(feature = "stream", feature = "sink"))]

mod common;

use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use common::{SOON, Via, block_on, eventually};
use futures_util::{SinkExt, StreamExt, stream};
use wirebird::{Error, Pull, Push, Respondent, SocketOptions, Surveyor};

const SHORT: Duration = Duration::from_millis(40);

fn pipeline() -> (Push, Pull) {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    Via::Ipc.join(&pull, &push);
    (push, pull)
}

#[test]
fn a_stream_gives_what_a_sink_was_given_and_ends_with_its_socket() {
    const COUNT: u32 = 500;
    let (push, pull) = pipeline();
    let own = pull.clone();
    let receiving = thread::spawn(move || {
        block_on(async {
            let mut number = 0_u32;
            let mut incoming = own.incoming();
            while let Some(message) = incoming.next().await {
                assert_eq!(message?.body(), number.to_be_bytes());
                number += 1;
                if number == COUNT {
                    own.close_async().await?;
                }
            }
            Ok::<_, Error>(number)
        })
    });
    let numbers = stream::iter((0..COUNT).map(|number| Ok(number.to_be_bytes())));
    let mut outgoing = push.outgoing();
    block_on(outgoing.send_all(&mut numbers.fuse())).unwrap();
    assert_eq!(receiving.join().unwrap(), Ok(COUNT));
}

#[test]
fn a_stream_goes_on_after_a_timeout_and_loses_nothing_when_it_is_dropped() {
    let (push, pull) = pipeline();
    pull.set_options(&SocketOptions::new().recv_timeout(SHORT))
        .unwrap();
    let mut incoming = pull.incoming();
    assert_eq!(block_on(incoming.next()), Some(Err(Error::TimedOut)));
    push.send("message").unwrap();
    assert!(matches!(block_on(incoming.next()), Some(Ok(_))));
    let mut task = Context::from_waker(Waker::noop());
    assert!(incoming.poll_next_unpin(&mut task).is_pending());
    push.send("another").unwrap();
    eventually("it has come", || pull.is_readable());
    drop(incoming);
    assert_eq!(pull.recv().unwrap().body(), b"another");
}

#[test]
fn a_sink_gives_back_what_it_could_not_send() {
    let push = Push::with_options(&SocketOptions::new().send_timeout(SHORT)).unwrap();
    let failed = block_on(push.outgoing().send("kept")).unwrap_err();
    assert_eq!(failed.error, Error::TimedOut);
    assert_eq!(failed.message.body(), b"kept");
}

#[test]
fn the_answers_to_a_survey_are_a_stream_that_ends_with_it() {
    let (surveyor, respondent) = (Surveyor::new().unwrap(), Respondent::new().unwrap());
    Via::Ipc.join(&respondent, &surveyor);
    let answers = surveyor.survey_timeout("question", 4 * SHORT).unwrap();
    let survey = respondent.accept().timeout(SOON).wait().unwrap();
    survey.reply("answer").wait().unwrap();
    let answers: Vec<_> = block_on(answers.collect());
    assert_eq!(answers.len(), 1);
    assert!(answers[0].as_ref().is_ok_and(|one| one.body() == b"answer"));
}
