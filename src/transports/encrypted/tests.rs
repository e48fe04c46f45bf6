//! The stream against a TLS library driven by hand.

use std::io::Read;
use std::os::unix::net::UnixStream;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::tls::{TlsAuth, TlsConfig};

/// A dialing stream that is up, and the other end of it.
fn connected(change: impl FnOnce(&mut ServerConfig)) -> (Encrypted, ServerConnection, UnixStream) {
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["host".into()]).unwrap();
    let certificate = names.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    change(&mut config);
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    server.set_buffer_limit(None);

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let options = EndpointOptions::new().tls(TlsConfig::new().auth(TlsAuth::None));
    let url = Url::parse("tls+tcp://host:1").unwrap();
    let mut client = Encrypted::dialed(Plain::connected(ours.into()), &url, &options).unwrap();
    while matches!(client.establish().unwrap(), Establishing::Waiting { .. }) {
        server.read_tls(&mut theirs).unwrap();
        server.process_new_packets().unwrap();
        if server.is_handshaking() {
            server.write_tls(&mut theirs).unwrap();
        }
    }
    while server.is_handshaking() {
        server.read_tls(&mut theirs).unwrap();
        server.process_new_packets().unwrap();
    }
    theirs.set_nonblocking(true).unwrap();
    (client, server, theirs)
}

/// What a session has to say.
fn output(server: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn kind(result: io::Result<usize>) -> io::ErrorKind {
    result.expect_err("no data").kind()
}

#[test]
fn a_peer_that_sends_everything_but_data_does_not_keep_the_reader_for_ever() {
    let (client, mut server, mut peer) = connected(|config| config.send_tls13_tickets = 600);
    let mut tickets = output(&mut server);
    assert!(tickets.len() > 40_000, "{} bytes", tickets.len());
    server.writer().write_all(b"data").unwrap();
    tickets.append(&mut output(&mut server));
    let mut rest = tickets.as_slice();
    let mut into = [0; 100];
    let mut breaks = 0;
    loop {
        while !rest.is_empty() {
            match peer.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if would_block(&error) => break,
                Err(error) => panic!("{error}"),
            }
        }
        match client.read(&mut into) {
            Ok(count) => {
                assert_eq!(&into[..count], b"data");
                break;
            }
            Err(error) if would_block(&error) && client.has_unread() => breaks += 1,
            Err(error) if would_block(&error) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(breaks > 0, "others get their turn");
    assert!(!client.has_unread());
}

#[test]
fn what_came_before_a_fault_is_read_before_it_is_told_of() {
    let (client, mut server, mut peer) = connected(|_| {});
    server.writer().write_all(b"good").unwrap();
    let mut bytes = output(&mut server);
    server.writer().write_all(b"bad").unwrap();
    let mut bad = output(&mut server);
    *bad.last_mut().unwrap() ^= 1;
    bytes.append(&mut bad);
    peer.write_all(&bytes).unwrap();
    let mut into = [0; 100];
    assert_eq!(client.read(&mut into).unwrap(), 4);
    assert_eq!(&into[..4], b"good");
    assert!(client.has_unread(), "no event tells of the rest");
    for _ in 0..2 {
        let error = Error::from(client.read(&mut into).unwrap_err());
        assert!(
            matches!(&error, Error::Tls(error) if error.fault == TlsFault::Violation),
            "{error:?}"
        );
    }
}

#[test]
fn a_read_of_less_than_there_is_leaves_the_rest_to_be_asked_for() {
    let (client, mut server, mut peer) = connected(|_| {});
    server.writer().write_all(&[7; 40_000]).unwrap();
    peer.write_all(&output(&mut server)).unwrap();
    let mut into = [0; 15_000];
    for (count, unread) in [(15_000, true), (15_000, true), (10_000, false)] {
        assert_eq!(client.read(&mut into).unwrap(), count);
        assert_eq!(client.has_unread(), unread);
    }
    assert_eq!(kind(client.read(&mut into)), io::ErrorKind::WouldBlock);
    server.send_close_notify();
    peer.write_all(&output(&mut server)).unwrap();
    assert_eq!(client.read(&mut into).unwrap(), 0);
    assert!(!client.has_unread());
}

#[test]
fn the_end_behind_data_is_asked_for_too() {
    let (client, mut server, mut peer) = connected(|_| {});
    server.writer().write_all(b"last").unwrap();
    server.send_close_notify();
    let mut bytes = output(&mut server);
    // Nothing counts after the word for the end.
    bytes.extend_from_slice(b"garbage");
    peer.write_all(&bytes).unwrap();
    let mut into = [0; 100];
    assert_eq!(client.read(&mut into).unwrap(), 4);
    assert!(client.has_unread());
    assert_eq!(client.read(&mut into).unwrap(), 0);
    assert_eq!(client.read(&mut into).unwrap(), 0);
}

#[test]
fn an_end_without_a_word_for_it_is_an_end() {
    let (client, mut server, mut peer) = connected(|_| {});
    server.writer().write_all(b"last").unwrap();
    peer.write_all(&output(&mut server)).unwrap();
    drop(peer);
    let mut into = [0; 100];
    assert_eq!(client.read(&mut into).unwrap(), 4);
    assert_eq!(client.read(&mut into).unwrap(), 0);
}

#[test]
fn a_write_that_did_not_go_whole_is_told_of_when_it_has() {
    let (client, mut server, mut peer) = connected(|_| {});
    let message = vec![9; 4 << 20];
    let mut written = 0;
    let mut received = Vec::new();
    let mut blocked = 0;
    while received.len() < message.len() {
        match client.write(&[IoSlice::new(&message[written..])]) {
            Ok(count) => written += count,
            Err(error) => {
                assert!(would_block(&error), "{error}");
                assert!(client.owes());
                blocked += 1;
                while server.read_tls(&mut peer).is_ok_and(|count| count > 0) {
                    server.process_new_packets().unwrap();
                    let mut part = [0; 100_000];
                    while let Ok(count) = server.reader().read(&mut part) {
                        received.extend_from_slice(&part[..count]);
                    }
                }
            }
        }
        if written == message.len() {
            assert!(!client.owes());
            break;
        }
    }
    assert!(blocked > 0, "the socket's buffer is smaller");
    assert_eq!(written, message.len());
}

#[test]
fn an_alert_that_the_socket_does_not_take_is_owed() {
    let (client, _server, mut peer) = connected(|_| {});
    // Fills the socket past the session.
    while client.plain.write(&[IoSlice::new(&[1; 50_000])]).is_ok() {}
    while client.plain.write(&[IoSlice::new(&[1])]).is_ok() {}
    assert!(!client.owes());
    peer.write_all(b"no record").unwrap();
    let mut into = [0; 100];
    assert_eq!(kind(client.read(&mut into)), io::ErrorKind::Other);
    assert!(client.owes());
    let mut drained = vec![0; 1 << 20];
    while client.owes() {
        while peer.read(&mut drained).is_ok() {}
        match client.write(&[]) {
            Ok(_) => {}
            Err(error) => assert!(would_block(&error), "{error}"),
        }
    }
}

#[test]
fn a_write_to_a_peer_that_has_closed_tells_why_it_did() {
    let (client, mut server, mut peer) = connected(|_| {});
    // What it cannot decrypt it answers with an alert.
    server
        .read_tls(&mut &b"\x17\x03\x03\0\x20_______________________________!"[..])
        .unwrap();
    server.process_new_packets().unwrap_err();
    peer.write_all(&output(&mut server)).unwrap();
    drop(peer);
    let error = loop {
        match client.write(&[IoSlice::new(b"anybody?")]) {
            Ok(_) => {}
            Err(error) => break Error::from(error),
        }
    };
    assert!(
        matches!(&error, Error::Tls(error) if error.fault == TlsFault::Refused),
        "{error:?}"
    );
}

#[test]
fn a_stream_that_is_dropped_says_that_it_ends() {
    let (client, mut server, mut peer) = connected(|_| {});
    client.write(&[IoSlice::new(b"last")]).unwrap();
    drop(client);
    while server.read_tls(&mut peer).unwrap() > 0 {}
    assert!(server.process_new_packets().unwrap().peer_has_closed());
    let mut into = [0; 100];
    assert_eq!(server.reader().read(&mut into).unwrap(), 4);
    assert_eq!(server.reader().read(&mut into).unwrap(), 0);
}

#[test]
fn what_came_before_a_write_failed_is_asked_for() {
    let (client, mut server, mut peer) = connected(|_| {});
    server.writer().write_all(b"last").unwrap();
    peer.write_all(&output(&mut server)).unwrap();
    drop(peer);
    assert!(!client.has_unread());
    while client.write(&[IoSlice::new(b"anybody?")]).is_ok() {}
    assert!(client.has_unread());
    let mut into = [0; 100];
    assert_eq!(client.read(&mut into).unwrap(), 4);
    assert_eq!(client.read(&mut into).unwrap(), 0);
}
