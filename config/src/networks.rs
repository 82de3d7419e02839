//! Sets of IP networks: who is meant when a configuration lists addresses.
//!
//! IPv4 is one thing here however it is written: an address or network in its IPv6-mapped form
//! (`::ffff:192.0.2.1`, as dual-stack sockets report clients) is the IPv4 one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::values::ValueError;

/// Bits before the IPv4 address in its mapped form.
const MAPPED: u8 = 96;

/// Any number of networks; asking costs a binary search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    listed: Vec<IpNet>,
    /// Sorted and disjoint, as are the others.
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    pub fn new(listed: Vec<IpNet>) -> Self {
        let listed: Vec<_> = listed.into_iter().map(canonical).collect();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in &listed {
            match network {
                IpNet::V4(network) => v4.push(*network),
                IpNet::V6(network) => v6.push(*network),
            }
        }
        let (v4, v6) = (Ipv4Net::aggregate(&v4), Ipv6Net::aggregate(&v6));
        let mut networks = Self { listed, v4, v6 };
        networks.v4.sort_unstable();
        networks.v6.sort_unstable();
        networks
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let after = self.v4.partition_point(|network| network.network() <= address);
                self.v4[..after].last().is_some_and(|network| network.contains(&address))
            }
            IpAddr::V6(address) => {
                let after = self.v6.partition_point(|network| network.network() <= address);
                self.v6[..after].last().is_some_and(|network| network.contains(&address))
            }
        }
    }

    /// Whether every address of `network` is contained.
    pub fn covers(&self, network: &IpNet) -> bool {
        // What lies in the sum of disjoint networks lies in one of them: those that join were joined.
        match canonical(*network) {
            IpNet::V4(inner) => {
                let after = self.v4.partition_point(|outer| outer.network() <= inner.network());
                self.v4[..after].last().is_some_and(|outer| outer.contains(&inner))
            }
            IpNet::V6(inner) => {
                let after = self.v6.partition_point(|outer| outer.network() <= inner.network());
                self.v6[..after].last().is_some_and(|outer| outer.contains(&inner))
            }
        }
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.listed.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

/// `10.0.0.0/8`, `fd00::/8`, or one address. Bits behind the prefix are refused: one of the two
/// is a mistake, and which one decides who is let in.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, ValueError> {
    let wrong =
        |cure: &str| Err(ValueError(format!("`{text}` is not an IP address or network{cure}")));
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(canonical(IpNet::from(address)));
    }
    let Some((address, length)) = text.split_once('/') else {
        return wrong(": write `10.0.0.0/8` or `10.0.0.1`");
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return wrong(": write `10.0.0.0/8` or `10.0.0.1`");
    };
    // Signs and leading zeros mean other numbers to other tools.
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse::<u8>().ok().filter(|parsed| digits && parsed.to_string() == length);
    let most = if address.is_ipv4() { 32 } else { 128 };
    let Some(network) = length.and_then(|length| IpNet::new(address, length).ok()) else {
        return wrong(&format!(": the prefix is a number from 0 to {most}"));
    };
    if network.trunc() != network {
        let meant = network.trunc();
        return Err(ValueError(format!(
            "`{text}` has bits set behind its prefix: write `{meant}` for the network, or \
             `{address}` for one address"
        )));
    }
    Ok(canonical(network))
}

fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped: Option<Ipv4Addr> = Ipv6Addr::to_ipv4_mapped(&v6.network());
    match (mapped, v6.prefix_len().checked_sub(MAPPED)) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(listed: &[&str]) -> Networks {
        Networks::new(listed.iter().map(|text| parse_network(text).unwrap()).collect())
    }

    #[test]
    fn networks_are_read_strictly() {
        for (text, expected) in [
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("10.0.0.1", Ok("10.0.0.1/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("fd00::/8", Ok("fd00::/8")),
            ("::1", Ok("::1/128")),
            ("::/0", Ok("::/0")),
            ("::ffff:10.0.0.0/104", Ok("10.0.0.0/8")),
            ("::ffff:10.0.0.1", Ok("10.0.0.1/32")),
            ("10.0.0.1/8", Err("write `10.0.0.0/8` for the network, or `10.0.0.1`")),
            ("fd00::1/8", Err("write `fd00::/8`")),
            ("10.0.0.0/33", Err("from 0 to 32")),
            ("::/129", Err("from 0 to 128")),
            ("10.0.0.0/08", Err("from 0 to 32")),
            ("10.0.0.0/+8", Err("from 0 to 32")),
            ("10.0.0.0/", Err("from 0 to 32")),
            ("10.0.0.0/-1", Err("from 0 to 32")),
            ("10.0.0.0/255.0.0.0", Err("from 0 to 32")),
            ("10.0.0/8", Err("write `10.0.0.0/8`")),
            ("010.0.0.0/8", Err("write `10.0.0.0/8`")),
            ("10.0.0.1:80", Err("write `10.0.0.0/8`")),
            ("[::1]", Err("write `10.0.0.0/8`")),
            ("fe80::1%eth0", Err("write `10.0.0.0/8`")),
            ("localhost", Err("write `10.0.0.0/8`")),
            ("", Err("write `10.0.0.0/8`")),
        ] {
            match (parse_network(text), expected) {
                (Ok(network), Ok(expected)) => assert_eq!(network.to_string(), expected, "{text}"),
                (Err(error), Err(cure)) => assert!(error.0.contains(cure), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn who_is_contained() {
        // Listed out of order, one within another, two that join.
        let listed = [
            "fd00::/8",
            "192.0.2.7",
            "10.1.0.0/16",
            "10.0.0.0/8",
            "172.16.0.0/13",
            "172.24.0.0/13",
            "::1",
        ];
        let networks = networks(&listed);
        for inside in [
            "10.0.0.0",
            "10.1.2.3",
            "10.255.255.255",
            "192.0.2.7",
            "172.16.0.0",
            "172.31.255.255",
            "::ffff:10.9.9.9",
            "::ffff:192.0.2.7",
            "::1",
            "fdff::1",
        ] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "172.15.255.255",
            "172.32.0.0",
            "::ffff:11.0.0.0",
            "::2",
            "::",
            "fe00::",
            "fcff::1",
            "::10.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn which_networks_are_covered() {
        let networks = networks(&["10.0.0.0/9", "10.128.0.0/9", "192.0.2.0/24", "fd00::/8"]);
        for (network, expected) in [
            ("10.0.0.0/8", true),
            ("10.200.0.0/16", true),
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("fd12::/16", true),
            ("fd00::/8", true),
            ("0.0.0.0/0", false),
            ("10.0.0.0/7", false),
            ("192.0.2.0/23", false),
            ("192.0.3.0/24", false),
            ("9.0.0.0/8", false),
            ("fc00::/7", false),
            ("::/0", false),
        ] {
            assert_eq!(networks.covers(&parse_network(network).unwrap()), expected, "{network}");
        }
    }

    #[test]
    fn all_of_one_family_is_not_the_other() {
        let (v4, v6) = (networks(&["0.0.0.0/0"]), networks(&["::/0"]));
        for (address, is_v4) in [("192.0.2.1", true), ("::ffff:192.0.2.1", true), ("::1", false)] {
            let address = address.parse().unwrap();
            assert_eq!(v4.contains(address), is_v4);
            assert_eq!(v6.contains(address), !is_v4);
        }
        assert!(!Networks::default().contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
