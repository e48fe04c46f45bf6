//! What every protocol promises, over every transport, in the blocking, the try and the async form.
//!
//! A row is a protocol: two sockets and how they talk. The checks know only the row's shape.

#[path = "conformance/checks.rs"]
mod checks;
mod common;
#[path = "conformance/delivery.rs"]
mod delivery;
#[path = "conformance/dialing.rs"]
mod dialing;
#[path = "conformance/dropping.rs"]
mod dropping;
#[path = "conformance/room.rs"]
mod room;
#[path = "conformance/rows.rs"]
mod rows;

macro_rules! matrix {
    ($($row:ident)*) => {$(
        mod $row {
            matrix!(@ $row inproc Inproc);
            matrix!(@ $row ipc Ipc);
            matrix!(@ $row abstract_name Abstract);
            matrix!(@ $row tcp Tcp);
            matrix!(@ $row tcp6 Tcp6);
            matrix!(@ $row tls Tls);
            matrix!(@ $row descriptor Descriptor);
            matrix!(@ $row ws Ws);
            matrix!(@ $row wss Wss);
        }
    )*};
    (@ $row:ident $name:ident $via:ident) => {
        mod $name {
            use crate::checks;
            use crate::common::Via::$via;
            use crate::dropping;
            use crate::room;
            use crate::rows::{Mode, $row};

            #[test]
            fn every_size_arrives_whole_when_blocking() {
                checks::every_size(&$row(), $via, Mode::Blocking);
            }

            #[test]
            fn every_size_arrives_whole_when_trying() {
                checks::every_size(&$row(), $via, Mode::Trying);
            }

            #[test]
            fn traffic_in_all_directions_keeps_its_order_when_blocking() {
                checks::all_directions(&$row(), $via, Mode::Blocking);
            }

            #[test]
            fn traffic_in_all_directions_keeps_its_order_when_trying() {
                checks::all_directions(&$row(), $via, Mode::Trying);
            }

            #[test]
            fn every_size_arrives_whole_when_awaited() {
                checks::every_size(&$row(), $via, Mode::Awaiting);
            }

            #[test]
            fn traffic_in_all_directions_keeps_its_order_when_awaited() {
                checks::all_directions(&$row(), $via, Mode::Awaiting);
            }

            #[test]
            fn dropping_futures_at_any_poll_loses_and_doubles_nothing() {
                dropping::loses_nothing(&$row(), $via);
            }

            #[test]
            fn receiving_ends_at_its_deadline() {
                checks::receive_deadlines(&$row(), $via);
            }

            #[test]
            fn sending_waits_or_drops_where_there_is_no_room() {
                room::sending_without_room(&$row(), $via);
            }

            #[test]
            fn a_socket_knows_what_it_could_do_at_once() {
                room::readiness(&$row(), $via);
            }

            #[test]
            fn closing_wakes_the_blocked_and_ends_every_operation() {
                checks::closing(&$row(), $via);
            }

            #[test]
            fn a_peer_of_another_protocol_is_refused_and_the_right_one_taken() {
                checks::wrong_protocol(&$row(), $via);
            }

            #[test]
            fn connections_come_about_and_come_back() {
                checks::reconnecting(&$row(), $via);
            }
        }
    };
}

matrix! {
    pair0 pair1 poly reqrep pubsub pipeline survey bus
    raw_pair0 raw_pair1 raw_reqrep raw_pubsub raw_pipeline raw_survey raw_bus
}
