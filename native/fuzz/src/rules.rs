//! Rules and the files beside them, of any octets.

use tapwarden_core::config::Config;
use tapwarden_core::rule::context::Files;
use tapwarden_core::rule::load::load;
use tapwarden_core::rule::RuleSet;

/// Every file there is has these octets.
struct Same(Vec<u8>);

impl Files for Same {
    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }
}

/// A rule file.
pub fn text(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets).into_owned();
    let loaded = load(
        &Config::default(),
        &[("rules".into(), text)],
        Box::new(Same(Vec::new())),
        ".",
    );
    RuleSet::new(loaded);
}

/// What stands beside rules: thresholds, reputation, datasets, lists of hashes, classification, references.
pub fn data(octets: &[u8]) {
    let mut config = Config::default();
    config.detect.threshold_file = "thresholds".into();
    config.detect.reputation_categories_file = "categories".into();
    config.detect.reputation_files = vec!["reputation".into()];
    config.detect.classification_file = "classification".into();
    config.detect.reference_file = "references".into();
    let loaded = load(
        &config,
        &[("rules".into(), RULES.into())],
        Box::new(Same(octets.to_vec())),
        ".",
    );
    RuleSet::new(loaded);
}

const RULES: &str = r#"
alert dns any any -> any any (dns.query; dataset:isset,a,type string,load a.lst; sid:1;)
alert dns any any -> any any (dns.query; to_md5; dataset:isset,b,type md5,load b.lst; sid:2;)
alert ip any any -> any any (ip.src; dataset:isset,c,type ip,load c.lst; sid:3;)
alert dns any any -> any any (dns.query; to_sha256; datarep:d,>,5,load d.rep,type sha256; sid:4;)
alert http any any -> any any (filemd5:list; sid:5;)
alert ip any any -> any any (iprep:src,CnC,>,5; sid:6;)
alert tcp any any -> any any (flags:S; threshold:type limit,track by_src,count 1,seconds 60; classtype:x; sid:7;)
"#;
