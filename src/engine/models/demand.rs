//! A sender and a receiver in one process, which tell each other only what the other has to know.

use super::*;

#[test]
fn no_message_is_left_with_its_sender_while_the_receiver_sleeps() {
    explore(4, || {
        let (push, pull) = connected();
        let receiver = on(&pull, |pull| [1, 2].map(|_| recv(pull, Patience::Default)));
        for name in [1, 2] {
            send(&push, name, Patience::Default).unwrap();
        }
        assert_eq!(receiver.join().unwrap(), [Ok(1), Ok(2)]);
    });
}

#[test]
fn messages_of_two_senders_all_reach_a_receiver_that_sleeps() {
    explore(2, || {
        let (push, pull) = connected();
        let receiver = on(&pull, |pull| {
            let mut names = [1, 2].map(|_| recv(pull, Patience::Default).unwrap());
            names.sort_unstable();
            names
        });
        let sender = on(&push, |push| send(push, 1, Patience::Default));
        send(&push, 2, Patience::Default).unwrap();
        sender.join().unwrap().unwrap();
        assert_eq!(receiver.join().unwrap(), [1, 2]);
    });
}

#[test]
fn a_try_finds_what_was_sent_before_it() {
    explore(3, || {
        let (push, pull) = connected();
        send(&push, 1, Patience::Try).unwrap();
        let other = on(&push, |push| send(push, 2, Patience::Try));
        assert_eq!(recv(&pull, Patience::Try), Ok(1));
        other.join().unwrap().unwrap();
        assert_eq!(rest(&pull), [2]);
    });
}
