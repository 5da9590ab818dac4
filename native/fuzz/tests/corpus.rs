//! Every target over the kept corpus and mutations of it, without libFuzzer: a stable toolchain is all it takes.
//!
//! `TAPWARDEN_FUZZ_MS` is the time for each target (200 by default), `TAPWARDEN_FUZZ_SEED` where the mutations start (1): the
//! same seed gives the same inputs. What fails is written to `artifacts/` and named; put it into the corpus with the mend.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tapwarden_core::app::PROTOCOLS;
use tapwarden_fuzz::{Target, TARGETS};

/// Longest input that mutations make.
const MAX_OCTETS: usize = 4096;

/// An input that takes longer (in a build without optimisation, on a busy machine) takes too long.
const SLOW: Duration = Duration::from_secs(20);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder("corpus").join(target)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // The same order everywhere, so that a seed means the same.
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Xorshift: enough to choose mutations by.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Octets that parsers trip over.
const TELLING: [u8; 12] = [0, 1, 2, 0x0a, 0x0d, 0x20, 0x2f, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(input.len());
        match random.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 if !input.is_empty() => input[at] = TELLING[random.below(TELLING.len())],
            2 if !input.is_empty() => {
                let upto = (at + 1 + random.below(8)).min(input.len());
                input.drain(at..upto);
            }
            3 => {
                let new: Vec<u8> = (0..=random.below(8)).map(|_| random.below(256) as u8).collect();
                input.splice(at..at, new);
            }
            4 if !input.is_empty() => {
                let upto = (at + 1 + random.below(64)).min(input.len());
                let again = input[at..upto].to_vec();
                input.splice(at..at, again);
            }
            5 => input.truncate(at),
            // The end of another one, or of itself.
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ if input.len() > 1 => {
                let word = [0u16, 1, 0x7fff, 0x8000, 0xffff][random.below(5)].to_be_bytes();
                let at = at.min(input.len() - 2);
                input[at..at + 2].copy_from_slice(&word);
            }
            _ => {}
        }
    }
    input.truncate(MAX_OCTETS);
}

/// Run one input. On a panic, or when it takes too long, it is kept and told.
fn run(target: &Target, input: &[u8]) {
    let started = Instant::now();
    let held = catch_unwind(|| (target.run)(input)).is_ok();
    let took = started.elapsed();
    if held && took < SLOW {
        return;
    }
    let kept = folder("artifacts").join(target.name);
    fs::create_dir_all(&kept).unwrap();
    let path = kept.join("found");
    fs::write(&path, input).unwrap();
    panic!(
        "{}: {} octets, {took:?}: see {}",
        target.name,
        input.len(),
        path.display()
    );
}

#[test]
fn every_target_takes_the_corpus_and_mutations_of_it() {
    let time = Duration::from_millis(setting("TAPWARDEN_FUZZ_MS", 200));
    let seed = setting("TAPWARDEN_FUZZ_SEED", 1);
    for (number, target) in TARGETS.iter().enumerate() {
        let seeds = corpus(target.name);
        assert!(!seeds.is_empty(), "{} has no corpus", target.name);
        for input in &seeds {
            run(target, input);
        }
        let mut random = Random(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(number as u64 + 1)
                | 1,
        );
        let (started, mut runs) = (Instant::now(), 0u32);
        while started.elapsed() < time {
            let mut input = seeds[random.below(seeds.len())].clone();
            mutate(&mut input, &seeds, &mut random);
            run(target, &input);
            runs += 1;
        }
        println!(
            "{:16} {:3} inputs of the corpus, {runs:7} mutations",
            target.name,
            seeds.len()
        );
    }
}

#[test]
fn every_parser_has_a_target_and_every_target_its_files() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    for protocol in PROTOCOLS.iter().filter(|protocol| protocol.start.is_some()) {
        let wanted = format!("app_{}", protocol.name.replace('-', "_"));
        assert!(
            names.contains(&*wanted),
            "{} has no fuzz target {wanted}",
            protocol.name
        );
    }
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in &names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\n")),
            "{name} is not in Cargo.toml"
        );
        let file = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap_or_default();
        assert!(
            file.contains(&format!("run(\"{name}\"")),
            "fuzz_targets/{name}.rs does not run it"
        );
    }
    for entry in fs::read_dir(folder("fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(names.contains(stem), "{stem} is no target of the table");
    }
}
