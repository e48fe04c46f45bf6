//! The raw form.

use super::*;

#[test]
fn raw_shows_the_pipe_and_the_stack_and_routes_by_them() {
    let (mut mock, mut raw) = (Mock::new(), RawRep::new());
    let req = mock.attach(&mut raw, 5, 9).unwrap();
    assert!(!raw.can_recv());
    mock.arrive(&mut raw, req, wire(&[1, ID], b"ping"));
    assert!(raw.can_recv());
    let ping = mock.try_recv(&mut raw, SOCKET).unwrap();
    assert_eq!(ping.header(), wire(&[5, 1, ID], b"").body());
    mock.try_send(&mut raw, SOCKET, ping).unwrap();
    assert_eq!(mock.sent(req), [flat(&wire(&[1, ID], b"ping"))]);
}

#[test]
fn raw_drops_what_no_pipe_is_named_for() {
    let (mut mock, mut raw) = (Mock::new(), RawRep::new());
    assert!(raw.can_send());
    mock.try_send(&mut raw, SOCKET, "no header").unwrap();
    for word in [0, 7, ID] {
        let mut message = Message::from("lost");
        message.header_append_u32(word).unwrap();
        mock.try_send(&mut raw, SOCKET, message).unwrap();
    }
    assert_eq!(mock.dropped, [Dropped::NoPipe; 4]);
}

/// Sends 100 messages to a pipe that takes one, and returns how many of them it gets.
fn flood(raw: &mut dyn Protocol) -> usize {
    let mut mock = Mock::new();
    let req = mock.attach(raw, 1, 1).unwrap();
    for _ in 0..100 {
        let mut message = Message::from("x");
        message.header_append_u32(1).unwrap();
        message.header_append_u32(ID).unwrap();
        mock.try_send(raw, SOCKET, message).unwrap();
        assert!(raw.can_send());
    }
    let queued = raw.unsent();
    assert_eq!(mock.dropped, vec![Dropped::SendQueueFull; 99 - queued]);
    mock.drain(raw, req, 200);
    assert_eq!((raw.unsent(), mock.sent(req).len()), (0, queued));
    queued + 1
}

#[test]
fn raw_never_waits_for_a_slow_pipe() {
    assert_eq!(flood(&mut RawRep::new()), 65);
    assert_eq!(flood(&mut RawRespondent::new()), 3);
}

#[test]
fn raw_discards_what_was_queued_for_a_lost_pipe() {
    let (mut mock, mut raw) = (Mock::new(), RawRep::new());
    let req = mock.attach(&mut raw, 1, 1).unwrap();
    for _ in 0..3 {
        let mut message = Message::from("x");
        message.header_append_u32(1).unwrap();
        mock.try_send(&mut raw, SOCKET, message).unwrap();
    }
    mock.detach(&mut raw, req);
    assert_eq!(mock.dropped, [Dropped::NoPipe; 2]);
    assert_eq!(raw.unsent(), 0);
}

#[test]
fn raw_limits_hops_and_closes_on_garbage() {
    let (mut mock, mut raw) = (Mock::new(), RawRep::new());
    raw.set_option(SOCKET, ProtocolOption::Ttl(3), &mut mock)
        .unwrap();
    let req = mock.attach(&mut raw, 1, 9).unwrap();
    for (words, header) in [(&[1, ID][..], 12), (&[1, 2, ID], 16)] {
        mock.arrive(&mut raw, req, wire(words, b"x"));
        let message = mock.try_recv(&mut raw, SOCKET).unwrap();
        assert_eq!(message.header().len(), header);
    }
    mock.arrive(&mut raw, req, wire(&[1, 2, 3, ID], b"x"));
    assert_eq!(mock.dropped, [Dropped::Ttl]);
    assert!(mock.closed(req).is_none() && !raw.can_recv());
    mock.arrive(&mut raw, req, Message::from("abc"));
    assert!(mock.closed(req).is_some() && !raw.can_recv());
}

#[test]
fn raw_header_has_room_for_the_longest_stack() {
    let (mut mock, mut raw) = (Mock::new(), RawRep::new());
    raw.set_option(SOCKET, ProtocolOption::Ttl(15), &mut mock)
        .unwrap();
    let req = mock.attach(&mut raw, 1, 9).unwrap();
    let mut stack = [1; 15];
    stack[14] = ID;
    mock.arrive(&mut raw, req, wire(&stack, b"x"));
    let message = mock.try_recv(&mut raw, SOCKET).unwrap();
    assert_eq!(message.header().len(), 64);
}
