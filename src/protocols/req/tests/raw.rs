//! The raw form.

use super::*;

#[test]
fn raw_sends_to_a_free_pipe_or_waits() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    assert!(!raw.can_send());
    let unconnected = mock.try_send(&mut raw, SOCKET, "x");
    assert_eq!(unconnected, Err(Error::WouldBlock));
    let rep = mock.attach(&mut raw, 1, 1).unwrap();
    assert_eq!(mock.send_wakes, [SOCKET]);
    let mut message = Message::from("x");
    message.header_append_u32(FIRST).unwrap();
    mock.try_send(&mut raw, SOCKET, message).unwrap();
    assert_eq!(mock.sent(rep), [request(FIRST, "x")]);
    assert!(!raw.can_send());
    mock.detach(&mut raw, rep);
    assert!(!raw.can_send());
}

#[test]
fn raw_queues_as_many_messages_as_its_send_buffer_has_room_for() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    set(&mut mock, &mut raw, ProtocolOption::SendBuffer(2)).unwrap();
    mock.try_send(&mut raw, SOCKET, "one").unwrap();
    mock.try_send(&mut raw, SOCKET, "two").unwrap();
    assert!(!raw.can_send());
    set(&mut mock, &mut raw, ProtocolOption::SendBuffer(1)).unwrap();
    assert_eq!(mock.dropped, [Dropped::SendQueueFull]);
    assert_eq!(raw.unsent(), 1);
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    assert_eq!(mock.sent(rep), [b"one"]);
    assert_eq!(raw.unsent(), 0);
}

#[test]
fn raw_receives_the_stack_as_header() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    mock.arrive(&mut raw, rep, wire(&[2, 1, 0x8000_0123], b"x"));
    let message = mock.try_recv(&mut raw, SOCKET).unwrap();
    assert_eq!(message.header(), wire(&[2, 1, 0x8000_0123], b"").body());
    assert_eq!(message.body(), b"x");
}

#[test]
fn raw_closes_the_pipe_of_a_stack_without_end() {
    for garbage in [wire(&[1, 2], b"abc"), wire(&[1; 17], b"")] {
        let (mut mock, mut raw) = (Mock::new(), RawReq::new());
        let rep = mock.attach(&mut raw, 1, 9).unwrap();
        mock.arrive(&mut raw, rep, garbage);
        assert!(matches!(mock.closed(rep), Some(Error::Malformed(_))));
        assert!(!raw.can_recv());
    }
}

#[test]
fn raw_reads_one_message_ahead_of_its_full_receive_queue() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    for n in 0..4 {
        mock.arrive(&mut raw, rep, reply(FIRST + n, ""));
    }
    assert_eq!(mock.waiting(rep), 2);
    for n in 0..4 {
        let message = mock.try_recv(&mut raw, SOCKET).unwrap();
        assert_eq!(flat(&message), request(FIRST + n, ""));
    }
    assert!(!raw.can_recv());
}

#[test]
fn raw_keeps_queued_messages_of_a_lost_pipe_but_not_the_one_it_held() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    mock.arrive(&mut raw, rep, reply(FIRST, ""));
    mock.arrive(&mut raw, rep, reply(SECOND, ""));
    mock.detach(&mut raw, rep);
    assert_eq!(mock.dropped, [Dropped::NoPipe]);
    assert!(mock.try_recv(&mut raw, SOCKET).is_ok());
    let emptied = mock.try_recv(&mut raw, SOCKET);
    assert_eq!(emptied, Err(Error::WouldBlock));
}

#[test]
fn raw_receive_queue_can_be_resized() {
    let (mut mock, mut raw) = (Mock::new(), RawReq::new());
    let rep = mock.attach(&mut raw, 1, 9).unwrap();
    set(&mut mock, &mut raw, ProtocolOption::RecvBuffer(3)).unwrap();
    for n in 0..5 {
        mock.arrive(&mut raw, rep, reply(FIRST + n, ""));
    }
    assert_eq!(mock.waiting(rep), 1);
    set(&mut mock, &mut raw, ProtocolOption::RecvBuffer(0)).unwrap();
    assert_eq!(mock.dropped, [Dropped::RecvQueueFull; 3]);
    let held = mock.try_recv(&mut raw, SOCKET).unwrap();
    assert_eq!(flat(&held), request(FIRST + 3, ""));
    assert!(raw.can_recv());
}
