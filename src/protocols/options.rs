//! The ranges of protocol options.
//!
//! As in nng, every socket takes both buffer options, also where a protocol has no such buffer or one of fixed
//! depth: the value is then checked and has no effect.

use crate::error::{Error, Result};

/// The answer to an option that the protocol does not have.
pub(super) const NO_SUCH_OPTION: Error =
    Error::NotSupported("this protocol does not have the option");

/// The greatest depth of any queue whose depth can be set.
const MAX_DEPTH: usize = 8192;

/// The greatest time-to-live: a header has room for one word more.
const MAX_TTL: u8 = 15;

/// `depth`, if a send buffer of a protocol that needs at least `least` messages may have it.
pub(super) fn send_depth(depth: usize, least: usize) -> Result<usize> {
    checked_depth("send-buffer", depth, least)
}

/// `depth`, if a receive buffer of a protocol that needs at least `least` messages may have it.
pub(super) fn recv_depth(depth: usize, least: usize) -> Result<usize> {
    checked_depth("recv-buffer", depth, least)
}

/// `hops`, if it can be a time-to-live.
pub(super) fn ttl(hops: u8) -> Result<u8> {
    match hops {
        1..=MAX_TTL => Ok(hops),
        _ => Err(Error::bad_option("ttl-max", hops, "1 to 15")),
    }
}

fn checked_depth(option: &'static str, depth: usize, least: usize) -> Result<usize> {
    if (least..=MAX_DEPTH).contains(&depth) {
        return Ok(depth);
    }
    let allowed = match least {
        0 => "0 to 8192",
        _ => "1 to 8192",
    };
    Err(Error::bad_option(option, depth, allowed))
}

// ---- tests ----

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depth_is_accepted_when_it_lies_between_the_least_and_8192() {
        assert_eq!(send_depth(0, 0), Ok(0));
        assert_eq!(recv_depth(8192, 1), Ok(8192));
    }

    #[test]
    fn a_depth_out_of_range_is_refused_with_the_name_the_value_and_the_range() {
        let error = Error::bad_option("send-buffer", 0, "1 to 8192");
        assert_eq!(send_depth(0, 1), Err(error));
        let error = Error::bad_option("recv-buffer", 8193, "0 to 8192");
        assert_eq!(recv_depth(8193, 0), Err(error));
    }

    #[test]
    fn a_time_to_live_is_one_to_fifteen_hops() {
        assert_eq!(ttl(1), Ok(1));
        assert_eq!(ttl(15), Ok(15));
        for hops in [0, 16, 255] {
            assert_eq!(
                ttl(hops),
                Err(Error::bad_option("ttl-max", hops, "1 to 15"))
            );
        }
    }
}
