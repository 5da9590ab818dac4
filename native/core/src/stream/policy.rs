//! Which operating system a host is taken to run: it decides which of two overlapping pieces counts.

use std::net::IpAddr;

use crate::config::Config;

/// How a target treats overlapping segments and fragments, odd timestamps and resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// 4.4BSD; the default.
    #[default]
    Bsd,
    /// HP JetDirect and alike.
    BsdRight,
    /// Linux 2.2 and before.
    OldLinux,
    /// Linux.
    Linux,
    /// Solaris before 2.6.
    OldSolaris,
    /// Solaris.
    Solaris,
    /// HP-UX 10.
    Hpux10,
    /// HP-UX 11.
    Hpux11,
    /// IRIX.
    Irix,
    /// Mac OS.
    Macos,
    /// Windows before Vista.
    Windows,
    /// Windows Vista and later.
    Vista,
    /// Windows Server 2003.
    Windows2k3,
    /// The first piece counts.
    First,
    /// The last piece counts.
    Last,
}

impl Policy {
    fn named(name: &str) -> Option<Policy> {
        Some(match name {
            "bsd" => Policy::Bsd,
            "bsd-right" => Policy::BsdRight,
            "old-linux" => Policy::OldLinux,
            "linux" => Policy::Linux,
            "old-solaris" => Policy::OldSolaris,
            "solaris" => Policy::Solaris,
            "hpux10" => Policy::Hpux10,
            "hpux11" => Policy::Hpux11,
            "irix" => Policy::Irix,
            "macos" => Policy::Macos,
            "windows" => Policy::Windows,
            "vista" => Policy::Vista,
            "windows2k3" => Policy::Windows2k3,
            "first" => Policy::First,
            "last" => Policy::Last,
            _ => return None,
        })
    }

    /// What of it matters to TCP.
    pub fn for_tcp(self) -> Policy {
        match self {
            Policy::BsdRight => Policy::Bsd,
            Policy::OldSolaris => Policy::Solaris,
            other => other,
        }
    }
}

/// Policies by network; the longest prefix decides.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    networks: Vec<(u128, u128, bool, Policy)>,
}

impl Hosts {
    /// From the configuration. What is no network or no policy is left out (the configuration is checked elsewhere).
    pub fn new(config: &Config) -> Hosts {
        let mut networks = Vec::new();
        for (name, list) in &config.host_os_policy {
            let Some(policy) = Policy::named(name) else {
                continue;
            };
            networks.extend(
                list.iter()
                    .filter_map(|text| parse(text))
                    .map(|(net, mask, v6)| (net, mask, v6, policy)),
            );
        }
        networks.sort_by_key(|&(_, mask, _, _)| std::cmp::Reverse(mask));
        Hosts { networks }
    }

    /// The policy of a host.
    pub fn policy(&self, host: &IpAddr) -> Policy {
        let (number, is_v6) = match host {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), false),
            IpAddr::V6(v6) => (v6.to_bits(), true),
        };
        let found = self
            .networks
            .iter()
            .find(|&&(net, mask, v6, _)| v6 == is_v6 && number & mask == net);
        found.map_or(Policy::default(), |&(_, _, _, policy)| policy)
    }
}

fn parse(text: &str) -> Option<(u128, u128, bool)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    match address.trim().parse().ok()? {
        IpAddr::V4(v4) => {
            let length = length.unwrap_or(32).min(32);
            let mask = u128::from(u32::MAX.checked_shl(32 - length).unwrap_or(0));
            Some((u128::from(v4.to_bits()) & mask, mask, false))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128 - length.unwrap_or(128).min(128))
                .unwrap_or(0);
            Some((v6.to_bits() & mask, mask, true))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let mut config = Config::default();
        config
            .host_os_policy
            .insert("windows".into(), vec!["0.0.0.0/0".into()]);
        config.host_os_policy.insert(
            "linux".into(),
            vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
        );
        let hosts = Hosts::new(&config);
        assert_eq!(hosts.policy(&"192.0.2.9".parse().unwrap()), Policy::Linux);
        assert_eq!(hosts.policy(&"198.51.100.1".parse().unwrap()), Policy::Windows);
        assert_eq!(hosts.policy(&"2001:db8::1".parse().unwrap()), Policy::Linux);
        assert_eq!(hosts.policy(&"2001:db9::1".parse().unwrap()), Policy::Bsd);
    }
}
