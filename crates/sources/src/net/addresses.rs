//! Which addresses belong to the public internet.
//!
//! Promises: what is not known to be public is private, so a range that is given out later stays closed until it is named
//! here. Does not: resolve names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Networks of IPv4 that are not the public internet, or are a way around it, with what each is.
const CLOSED: [(Ipv4Addr, u8); 19] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network, unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // behind a carrier's translation, and a cloud's metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's wire server, at a public address
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, clouds' metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments, a cloud's metadata
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // relays
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, broadcast
];

/// The address that is meant: one of IPv4 in IPv6's clothes is the one of IPv4.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    if let Some(four) = six.to_ipv4_mapped() {
        return four.into();
    }
    // A translator of the network (NAT64) answers under this prefix for the address in the last 32 bits.
    match six.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
    }
}

/// Whether an address may be reached: it is public, or in one of the networks that the operator allows.
pub(super) fn is_open(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = plain(address);
    is_public(address) || is_allowed(address, allowed)
}

/// Whether an address lies in one of the networks that the operator allows.
pub(super) fn is_allowed(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = plain(address);
    allowed.iter().any(|network| network.contains(&address))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !CLOSED.iter().any(|&(first, bits)| contains(first, bits, four)),
        IpAddr::V6(six) => is_public_six(six),
    }
}

fn contains(first: Ipv4Addr, bits: u8, address: Ipv4Addr) -> bool {
    Ipv4Net::new(first, bits).is_ok_and(|network| network.contains(&address))
}

/// Of IPv6, only what is given out for the internet (2000::/3), without what is a way into IPv4, a benchmark or an example.
fn is_public_six(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let given_out = first & 0xe000 == 0x2000;
    let special = first == 0x2001 && second < 0x0200;
    let example = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    let into_four = first == 0x2002;
    given_out && !special && !example && !into_four
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_public_internet_is_open() {
        for (address, open) in [
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("168.63.129.15", true),
            ("198.20.0.1", true),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001:80b::200e", true),
            ("64:ff9b::808:808", true),
            ("::ffff:8.8.8.8", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.7", false),
            ("203.0.113.7", false),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::808:808", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("2001:10::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::", false),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_open(address.parse().unwrap(), &[]), open, "{address}");
        }
    }

    #[test]
    fn an_allowed_network_opens_its_addresses_alone_also_in_other_clothes() {
        let allowed = ["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()];
        for (address, open) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd00:1::7", true),
            ("10.2.0.1", false),
            ("fd00:2::7", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_open(address.parse().unwrap(), &allowed), open, "{address}");
        }
    }

    proptest! {
        #[test]
        fn a_private_address_stays_private_in_every_clothing(last in any::<[u8; 3]>()) {
            let [b, c, d] = last;
            for four in [Ipv4Addr::new(10, b, c, d), Ipv4Addr::new(127, b, c, d), Ipv4Addr::new(169, 254, c, d)] {
                let [a, b, c, d] = four.octets();
                let low = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
                for six in [
                    Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, low[0], low[1]),
                    Ipv6Addr::new(0, 0, 0, 0, 0, 0, low[0], low[1]),
                    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, low[0], low[1]),
                    Ipv6Addr::new(0x2002, low[0], low[1], 0, 0, 0, 0, 1),
                ] {
                    prop_assert!(!is_open(six.into(), &[]), "{six}");
                }
            }
        }
    }
}
