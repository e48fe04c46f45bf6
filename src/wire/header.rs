//! The connection header: eight bytes that each side sends once, before anything else.

use crate::error::{Error, Result};

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// The header a side with this protocol number sends.
pub(crate) fn encode(protocol: u16) -> [u8; HEADER_LEN] {
    let [high, low] = protocol.to_be_bytes();
    [0, b'S', b'P', 0, high, low, 0, 0]
}

/// The protocol number in a peer's header.
///
/// Every other byte is fixed, the two reserved ones included: a peer that sets them speaks a later version.
pub(crate) fn decode(header: [u8; HEADER_LEN]) -> Result<u16> {
    match header {
        [0, b'S', b'P', 0, high, low, 0, 0] => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Error::BadHandshake),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_req_is_the_documented_bytes() {
        assert_eq!(encode(0x30), [0, 0x53, 0x50, 0, 0, 0x30, 0, 0]);
    }

    #[test]
    fn decode_returns_every_protocol_that_was_encoded() {
        for protocol in [0, 0x10, 0x63, 0x640, u16::MAX] {
            assert_eq!(decode(encode(protocol)), Ok(protocol));
        }
    }

    #[test]
    fn decode_refuses_a_change_in_any_fixed_byte() {
        for index in [0, 1, 2, 3, 6, 7] {
            for bit in 0..8 {
                let mut header = encode(0x10);
                header[index] ^= 1 << bit;
                assert_eq!(
                    decode(header),
                    Err(Error::BadHandshake),
                    "byte {index} bit {bit}"
                );
            }
        }
    }
}
