//! Networks: `192.168.0.0/16`, `2001:db8::/32`, and single addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network. An IPv4 address that is mapped into IPv6 counts as what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network {
    /// Without the bits behind the prefix.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of that prefix that an address is in. The prefix may be longer than the address.
    pub(super) fn around(address: IpAddr, prefix: u8) -> Self {
        let address = address.to_canonical();
        let prefix = prefix.min(bits(address));
        let address = match address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & !host).into())
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & !host).into())
            }
        };
        Self { address, prefix }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && Self::around(address, self.prefix).address == self.address
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Network {
    type Err = ();

    /// A bare address is a network of its own.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = bits(address);
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                let prefix = digits.parse().map_err(|_| ())?;
                if prefix > most {
                    return Err(());
                }
                prefix
            }
            Some(_) => return Err(()),
        };
        // Of a mapped address, the prefix counts from where the IPv4 address begins.
        let mapped = most - bits(address.to_canonical());
        if prefix < mapped {
            return Err(());
        }
        Ok(Self::around(address, prefix - mapped))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_if_it_begins_with_its_prefix() {
        for (network, address) in [
            ("0.0.0.0/0", "255.1.2.3"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.1.2.3/8", "10.9.9.9"),
            ("192.168.1.128/25", "192.168.1.200"),
            ("127.0.0.1", "127.0.0.1"),
            ("::/0", "2001:db8::1"),
            ("2001:db8::/33", "2001:db8:7fff::1"),
            ("::1", "::1"),
        ] {
            assert!(contains(network, address), "{network} {address}");
        }
        for (network, address) in [
            ("10.0.0.0/8", "11.0.0.0"),
            ("192.168.1.128/25", "192.168.1.127"),
            ("127.0.0.1", "127.0.0.2"),
            ("2001:db8::/33", "2001:db8:8000::1"),
            ("::1", "::2"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "1.2.3.4"),
        ] {
            assert!(!contains(network, address), "{network} {address}");
        }
    }

    #[test]
    fn a_mapped_address_counts_as_the_one_it_stands_for() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "::ffff:11.1.2.3"));
        assert!(!contains("::/0", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::ffff:10.0.0.0/8",
            "localhost",
            "10.0.0.0/8/8",
            " 10.0.0.1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(()), "{text:?}");
        }
    }

    #[test]
    fn a_network_prints_without_the_bits_behind_its_prefix() {
        let print = |text: &str| text.parse::<Network>().unwrap().to_string();
        assert_eq!(print("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(print("10.1.2.3"), "10.1.2.3/32");
        assert_eq!(print("2001:DB8::1/32"), "2001:db8::/32");
        assert_eq!(print("::1"), "::1/128");
    }

    proptest! {
        #[test]
        fn addresses_that_differ_behind_the_prefix_only_are_in_the_same_network(
            address: u128, noise: u128, prefix in 0_u8..=128,
        ) {
            let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let other: IpAddr = IpAddr::V6(((address & !host) | (noise & host)).into());
            let address = IpAddr::V6(address.into());
            prop_assume!(address.to_canonical().is_ipv6() && other.to_canonical().is_ipv6());
            prop_assert!(Network::around(address, prefix).contains(other));
        }
    }
}
