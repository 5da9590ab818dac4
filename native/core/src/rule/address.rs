//! Addresses and ports of a rule's header: lists, nesting, negation, variables, resolved to ranges.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::header::{AddressSet, PortSet};

/// Variables within variables, and lists within lists, go no deeper.
const MAX_DEPTH: usize = 64;

/// Inclusive ranges.
type Ranges<T> = Vec<(T, T)>;

/// What can be put in order and has a next one.
trait Ordinal: Copy + Ord {
    const FIRST: Self;
    const LAST: Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

macro_rules! ordinal {
    ($($type:ty),*) => {$(
        impl Ordinal for $type {
            const FIRST: Self = 0;
            const LAST: Self = <$type>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}

ordinal!(u16, u32, u128);

fn merged<T: Ordinal>(mut ranges: Ranges<T>) -> Ranges<T> {
    ranges.sort_unstable();
    let mut out: Ranges<T> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match out.last_mut() {
            Some(last) if last.1.next().is_none_or(|next| low <= next) => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}

/// `from` without `minus`; both merged.
fn without<T: Ordinal>(from: &[(T, T)], minus: &[(T, T)]) -> Ranges<T> {
    let mut out = Vec::new();
    for &(low, high) in from {
        let mut start = Some(low);
        for &(gone_low, gone_high) in minus {
            let Some(at) = start else { break };
            if gone_high < at || gone_low > high {
                continue;
            }
            if let Some(before) = gone_low.previous().filter(|&before| before >= at) {
                out.push((at, before));
            }
            start = gone_high.next();
        }
        if let Some(at) = start.filter(|&at| at <= high) {
            out.push((at, high));
        }
    }
    out
}

/// Items of a list with whether each is negated, variables and nesting resolved.
fn flatten(
    text: &str,
    negated: bool,
    variables: &BTreeMap<String, String>,
    depth: usize,
    out: &mut Vec<(String, bool)>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("variables or lists are nested too deep; does a variable name itself?".into());
    }
    // A list may do without its brackets, in a variable and at the top.
    let items = split_list(text)?;
    if items.len() > 1 {
        for item in items {
            flatten(item, negated, variables, depth + 1, out)?;
        }
        return Ok(());
    }
    let mut rest = text.trim();
    let mut negated = negated;
    while let Some(after) = rest.strip_prefix('!') {
        rest = after.trim_start();
        negated = !negated;
    }
    if let Some(inner) = rest.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .ok_or("a list does not end: ] is missing")?;
        if inner.trim().is_empty() {
            return Err("a list is empty".into());
        }
        // A comma may end the list.
        let inner = inner
            .strip_suffix(',')
            .filter(|inner| !inner.is_empty())
            .unwrap_or(inner);
        for item in split_list(inner)? {
            flatten(item, negated, variables, depth + 1, out)?;
        }
        return Ok(());
    }
    if let Some(name) = rest.strip_prefix('$') {
        let value = variables
            .get(name)
            .ok_or_else(|| format!("variable ${name} is not defined"))?;
        return flatten(value, negated, variables, depth + 1, out);
    }
    if rest.is_empty() {
        return Err("an item of the list is empty".into());
    }
    out.push((rest.to_string(), negated));
    Ok(())
}

fn split_list(text: &str) -> Result<Vec<&str>, String> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'[' => depth += 1,
            b']' => depth = depth.checked_sub(1).ok_or("a ] is too many")?,
            b',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err("a list does not end: ] is missing".into());
    }
    items.push(&text[start..]);
    Ok(items)
}

/// Addresses.
///
/// # Errors
/// Why the text is none, or why nothing would match.
pub fn addresses(text: &str, variables: &BTreeMap<String, String>) -> Result<AddressSet, String> {
    let mut items = Vec::new();
    flatten(text, false, variables, 0, &mut items)?;
    let (mut wanted4, mut wanted6, mut gone4, mut gone6) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut any = false;
    for (item, negated) in &items {
        if item.eq_ignore_ascii_case("any") {
            if *negated {
                return Err("!any matches nothing".into());
            }
            any = true;
            continue;
        }
        match range(item)? {
            Range::V4(low, high) => if *negated { &mut gone4 } else { &mut wanted4 }.push((low, high)),
            Range::V6(low, high) => if *negated { &mut gone6 } else { &mut wanted6 }.push((low, high)),
        }
    }
    let negated = !gone4.is_empty() || !gone6.is_empty();
    if any && !negated {
        return Ok(AddressSet {
            any: true,
            ..AddressSet::default()
        });
    }
    // What is only negated is all else of its family: !10.0.0.0/8 is no IPv6 address (Suricata's DetectAddressMergeNot).
    if any || wanted4.is_empty() && !gone4.is_empty() {
        wanted4.push((u32::FIRST, u32::LAST));
    }
    if any || wanted6.is_empty() && !gone6.is_empty() {
        wanted6.push((u128::FIRST, u128::LAST));
    }
    let v4 = without(&merged(wanted4), &merged(gone4));
    let v6 = without(&merged(wanted6), &merged(gone6));
    if v4.is_empty() && v6.is_empty() {
        return Err("no address is left after negation".into());
    }
    Ok(AddressSet {
        any: false,
        v4: v4.into(),
        v6: v6.into(),
        negated,
    })
}

enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

fn range(item: &str) -> Result<Range, String> {
    let bad = || format!("{item:?} is not an address, network or range");
    if let Some((address, mask)) = item.split_once('/') {
        let address: IpAddr = address.trim().parse().map_err(|_| bad())?;
        return match address {
            IpAddr::V4(address) => {
                let mask = if mask.contains('.') {
                    let mask: Ipv4Addr = mask.parse().map_err(|_| bad())?;
                    u32::from(mask)
                } else {
                    prefix_mask(mask, 32).ok_or_else(bad)? as u32
                };
                let low = u32::from(address) & mask;
                Ok(Range::V4(low, low | !mask))
            }
            IpAddr::V6(address) => {
                let mask = prefix_mask(mask, 128).ok_or_else(bad)?;
                let low = u128::from(address) & mask;
                Ok(Range::V6(low, low | !mask))
            }
        };
    }
    if let Some((low, high)) = item.split_once('-') {
        let (low, high) = (low.trim(), high.trim());
        if let (Ok(low), Ok(high)) = (low.parse::<Ipv4Addr>(), high.parse::<Ipv4Addr>()) {
            let (low, high) = (u32::from(low), u32::from(high));
            return if low <= high {
                Ok(Range::V4(low, high))
            } else {
                Err(bad())
            };
        }
        if let (Ok(low), Ok(high)) = (low.parse::<Ipv6Addr>(), high.parse::<Ipv6Addr>()) {
            let (low, high) = (u128::from(low), u128::from(high));
            return if low <= high {
                Ok(Range::V6(low, high))
            } else {
                Err(bad())
            };
        }
        return Err(bad());
    }
    match item.parse::<IpAddr>().map_err(|_| bad())? {
        IpAddr::V4(address) => Ok(Range::V4(address.into(), address.into())),
        IpAddr::V6(address) => Ok(Range::V6(address.into(), address.into())),
    }
}

/// The mask of a prefix length, in the lower `bits` bits.
fn prefix_mask(text: &str, bits: u32) -> Option<u128> {
    let length: u32 = text.trim().parse().ok()?;
    let ones = if bits == 128 { u128::MAX } else { (1 << bits) - 1 };
    match length {
        0 => Some(0),
        _ if length <= bits => Some(ones << (bits - length) & ones),
        _ => None,
    }
}

/// Ports.
///
/// # Errors
/// Why the text is none, or why nothing would match.
pub fn ports(text: &str, variables: &BTreeMap<String, String>) -> Result<PortSet, String> {
    let mut items = Vec::new();
    flatten(text, false, variables, 0, &mut items)?;
    let (mut wanted, mut gone) = (Vec::new(), Vec::new());
    let (mut any, mut positive) = (false, false);
    for (item, negated) in &items {
        if item.eq_ignore_ascii_case("any") {
            if *negated {
                return Err("!any matches nothing".into());
            }
            any = true;
            positive = true;
            continue;
        }
        positive |= !negated;
        let bad = || format!("{item:?} is not a port or range");
        let number = |text: &str, empty: u16| match text.trim() {
            "" => Ok(empty),
            text => text.parse::<u16>().map_err(|_| bad()),
        };
        let (low, high) = match item.split_once(':') {
            Some((low, high)) => (number(low, 0)?, number(high, u16::MAX)?),
            None => {
                let port = item.parse().map_err(|_| bad())?;
                (port, port)
            }
        };
        if low > high {
            return Err(bad());
        }
        if *negated { &mut gone } else { &mut wanted }.push((low, high));
    }
    if any && gone.is_empty() {
        return Ok(PortSet {
            any: true,
            ..PortSet::default()
        });
    }
    if any || !positive {
        wanted.push((0, u16::MAX));
    }
    let ranges = without(&merged(wanted), &merged(gone));
    if ranges.is_empty() {
        return Err("no port is left after negation".into());
    }
    Ok(PortSet {
        any: false,
        ranges: ranges.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [
            ("HOME_NET", "[10.0.0.0/8,192.168.0.0/16]"),
            ("EXTERNAL_NET", "!$HOME_NET"),
            ("LOOP", "$LOOP"),
            ("HTTP_PORTS", "80,8080"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    }

    #[test]
    fn negated_variables_are_everything_else_of_their_family() {
        let set = addresses("$EXTERNAL_NET", &variables()).unwrap();
        for (address, inside) in [
            ("10.1.2.3", false),
            ("192.168.255.255", false),
            ("11.0.0.0", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
        for (text, v4, v6) in [
            ("![10.0.0.0/8,2001:db9::/32]", true, true),
            ("[any,!10.0.0.0/8]", true, true),
            ("!2001:db9::/32", false, true),
            ("[!10.0.0.0/8,2001:db8::/32]", true, true),
        ] {
            let set = addresses(text, &variables()).unwrap();
            assert_eq!(set.contains("11.0.0.0".parse().unwrap()), v4, "{text}");
            assert_eq!(set.contains("2001:db8::1".parse().unwrap()), v6, "{text}");
        }
    }

    #[test]
    fn lists_ranges_masks_and_negation_are_resolved() {
        let set = addresses(
            "[10.0.0.0/8, !10.1.0.0/16, 1.2.3.4-1.2.3.6, 5.0.0.0/255.0.0.0]",
            &variables(),
        )
        .unwrap();
        for (address, inside) in [
            ("10.2.0.1", true),
            ("10.1.0.1", false),
            ("1.2.3.5", true),
            ("1.2.3.7", false),
            ("5.9.9.9", true),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn ports_are_ranges() {
        let set = ports("[$HTTP_PORTS,1024:,!2000:3000]", &variables()).unwrap();
        for (port, inside) in [
            (80, true),
            (8080, true),
            (81, false),
            (1023, false),
            (1024, true),
            (2500, false),
            (65535, true),
        ] {
            assert_eq!(set.contains(port), inside, "{port}");
        }
        assert!(ports("!80", &variables()).unwrap().contains(81));
    }

    #[test]
    fn what_matches_nothing_or_is_no_address_is_refused() {
        for bad in [
            "!any",
            "[]",
            "[1.1.1.1",
            "1.1.1.1]",
            "$NOPE",
            "$LOOP",
            "1.1.1.256",
            "1.1.1.1/33",
            "[1.1.1.1,!1.1.1.1]",
            "",
        ] {
            assert!(addresses(bad, &variables()).is_err(), "{bad}");
        }
        for bad in ["70000", "90:80", "!any", "[80,!80]", "http"] {
            assert!(ports(bad, &variables()).is_err(), "{bad}");
        }
    }
}
