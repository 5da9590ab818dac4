//! How rule files load. `check_rules FILE.rules...` prints what was loaded, the reasons of what was not, and the time;
//! `check_rules FILE.jsonl` compares with recorded verdicts ({"rule", "loads", "error"} a line), prints
//! disagreements, and exits with 1 when fewer than 97 % agree.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use tapwarden_core::config::Config;
use tapwarden_core::rule::context::Files;
use tapwarden_core::rule::load::load;
use tapwarden_core::rule::signature::ProblemKind;

/// Verdicts that have to agree.
const AIM_PERCENT: f64 = 97.0;

/// A directory, and files that are there but empty.
struct Disk(String, Vec<String>);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if self.1.iter().any(|known| known == path) {
            return Ok(Vec::new());
        }
        std::fs::read(Path::new(&self.0).join(path)).map_err(|error| error.to_string())
    }
}

fn config() -> Config {
    let mut config = Config::default();
    for name in ["HTTP", "SMTP", "SQL", "DNS", "TELNET"] {
        config
            .address_vars
            .insert(format!("{name}_SERVERS"), "$HOME_NET".into());
    }
    for name in [
        "DC_SERVERS",
        "DNP3_SERVER",
        "DNP3_CLIENT",
        "MODBUS_CLIENT",
        "MODBUS_SERVER",
        "ENIP_CLIENT",
        "ENIP_SERVER",
    ] {
        config.address_vars.insert(name.into(), "$HOME_NET".into());
    }
    config.address_vars.insert(
        "HOME_NET".into(),
        "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]".into(),
    );
    config
        .address_vars
        .insert("EXTERNAL_NET".into(), "!$HOME_NET".into());
    config
        .address_vars
        .insert("AIM_SERVERS".into(), "$EXTERNAL_NET".into());
    for (name, ports) in [
        ("HTTP_PORTS", "80"),
        ("SHELLCODE_PORTS", "!80"),
        ("ORACLE_PORTS", "1521"),
        ("SSH_PORTS", "22"),
        ("DNP3_PORTS", "20000"),
        ("MODBUS_PORTS", "502"),
        ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
        ("FTP_PORTS", "21"),
        ("GENEVE_PORTS", "6081"),
        ("VXLAN_PORTS", "4789"),
        ("TEREDO_PORTS", "3544"),
        ("SIP_PORTS", "[5060, 5061]"),
    ] {
        config.port_vars.insert(name.into(), ports.into());
    }
    config
}

fn main() -> ExitCode {
    let verbose = std::env::args().any(|argument| argument == "-v");
    let mut met = true;
    for path in std::env::args().skip(1).filter(|argument| argument != "-v") {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("cannot read")).into_owned();
        if path.ends_with(".jsonl") {
            met &= verdicts(&text, verbose);
            continue;
        }
        let started = Instant::now();
        let loaded = load(
            &config(),
            &[(path.clone(), text)],
            Box::new(Disk(".".into(), Vec::new())),
            ".",
        );
        println!(
            "{path}: {} loaded, {} not, {:.2} s",
            loaded.signatures.len(),
            loaded.errors.len(),
            started.elapsed().as_secs_f64()
        );
        let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for error in &loaded.errors {
            let entry = reasons
                .entry(format!("{}: {}", error.keyword, error.reason))
                .or_default();
            entry.0 += 1;
            entry.1 = format!(
                "{}:{}:{} sid {:?}",
                error.file, error.line, error.column, error.sid
            );
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (reason, (count, example)) in reasons.iter().take(40) {
            println!("  {count:6} {reason}  ({example})");
        }
    }
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Compare, print; whether enough agree.
fn verdicts(text: &str, verbose: bool) -> bool {
    let (mut agree, mut differ, mut not_there) = (0, 0, 0);
    for line in text.lines() {
        let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
        let rule = verdict["rule"].as_str().unwrap();
        let loads = verdict["loads"].as_bool().unwrap();
        let names = verdict["aux_files"].as_array().into_iter().flatten();
        let files = names.filter_map(|name| name.as_str().map(String::from)).collect();
        let loaded = load(
            &config(),
            &[("rule".into(), rule.into())],
            Box::new(Disk(".".into(), files)),
            ".",
        );
        // A rule for another engine is left out, and is no error.
        let ours = loaded.errors.is_empty();
        let error = loaded.errors.first().or(loaded.warnings.last());
        if error.is_some_and(|error| error.kind == ProblemKind::NotThereYet) {
            not_there += 1;
            if verbose {
                println!(
                    "NOT YET {}\n    {rule}",
                    error.map(|e| e.reason.as_str()).unwrap_or("")
                );
            }
            continue;
        }
        if ours == loads {
            agree += 1;
        } else {
            differ += 1;
            println!(
                "{} {}\n    {rule}",
                if loads { "REFUSED" } else { "ACCEPTED" },
                if loads {
                    error
                        .map(|e| format!("{}: {}", e.keyword, e.reason))
                        .unwrap_or_default()
                } else {
                    verdict["error"].to_string()
                }
            );
        }
    }
    let rate = 100.0 * f64::from(agree) / f64::from((agree + differ).max(1));
    println!(
        "{agree} agree, {differ} differ ({:.1} %), {not_there} not there yet",
        rate
    );
    rate >= AIM_PERCENT
}
