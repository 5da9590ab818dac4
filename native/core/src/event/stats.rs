//! `stats` records: the counters as a tree.

use std::collections::BTreeMap;

use super::json::Json;
use super::sink::Records;
use crate::time::Timestamp;

#[derive(Default)]
struct Node {
    value: Option<u64>,
    children: BTreeMap<String, Node>,
}

/// Write one; `uptime_s` is the time since the first packet.
pub fn write(now: Timestamp, uptime_s: i64, counters: &[(String, u64)], records: &mut Records) {
    let mut root = Node::default();
    for (name, value) in counters {
        let mut node = &mut root;
        for part in name.split('.') {
            node = node.children.entry(part.to_string()).or_default();
        }
        node.value = Some(*value);
    }
    records.record(|text| {
        let mut json = Json::new(text);
        json.open();
        json.display("timestamp", now);
        json.str("event_type", "stats");
        json.open_object("stats");
        json.num("uptime", uptime_s);
        members(&mut json, &root);
        json.close_object();
        json.close_object();
    });
}

fn members(json: &mut Json<'_>, node: &Node) {
    for (name, child) in &node.children {
        if child.children.is_empty() {
            json.num(name, child.value.unwrap_or(0));
        } else {
            json.open_object(name);
            members(json, child);
            json.close_object();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_become_a_tree() {
        let mut records = Records::default();
        write(
            Timestamp(0),
            3,
            &[("tcp.syn".into(), 2), ("decoder.pkts".into(), 9)],
            &mut records,
        );
        let value: serde_json::Value = serde_json::from_slice(&records.text).unwrap();
        assert_eq!(value["stats"]["decoder"]["pkts"], 9);
        assert_eq!(value["stats"]["tcp"]["syn"], 2);
        assert_eq!(value["stats"]["uptime"], 3);
    }
}
