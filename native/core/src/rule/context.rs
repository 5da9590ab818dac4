//! What all rules of a load share: variables, classifications, references, names, datasets, what was read already.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::state::Names;
use crate::config::Config;

/// Reads the data files that configuration and rules name. The core does no I/O itself.
pub trait Files: Send + Sync {
    /// The octets of a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// No file can be read.
#[derive(Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path} cannot be read here"))
    }
}

/// What a dataset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetKind {
    /// Strings, as octets.
    String,
    /// MD5 hashes.
    Md5,
    /// SHA-256 hashes.
    Sha256,
    /// IPv4 addresses.
    Ipv4,
    /// Addresses, IPv4 as mapped ones.
    Ip,
}

/// A dataset as the configuration or the first rule that names it defines it.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name.
    pub name: Box<str>,
    /// Kind.
    pub kind: DatasetKind,
    /// What was loaded: value, with its reputation where it has one.
    pub initial: Vec<(Box<[u8]>, Option<u16>)>,
    /// File it is saved to, "" for none.
    pub save: Box<str>,
    /// Octets it may take; 0 is the default limit.
    pub memcap: u64,
    /// Entries it is made for; 0 is the default.
    pub hash_size: u64,
}

/// A classification: description and priority.
#[derive(Clone, Debug)]
pub struct Classification {
    /// `alert.category`
    pub description: Arc<str>,
    /// 1 to 255.
    pub priority: u8,
}

/// The countries of addresses: a MaxMind database.
pub struct Countries(maxminddb::Reader<Vec<u8>>);

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Countries")
    }
}

#[derive(serde::Deserialize)]
struct Located<'d> {
    #[serde(borrow)]
    country: Option<Country<'d>>,
}

#[derive(serde::Deserialize)]
struct Country<'d> {
    iso_code: Option<&'d str>,
}

impl Countries {
    /// # Errors
    /// It is no such database.
    pub fn new(octets: Vec<u8>) -> Result<Countries, String> {
        let reader = maxminddb::Reader::from_source(octets).map_err(|error| error.to_string())?;
        Ok(Countries(reader))
    }

    /// The ISO code of an address's country.
    pub fn country(&self, address: IpAddr) -> Option<&str> {
        let found: Located<'_> = self.0.lookup(address).ok()?;
        found.country?.iso_code
    }
}

/// Shared by all rules of a load.
pub struct Context {
    /// Read when the first rule asks for a country.
    countries: Option<Result<Arc<Countries>, String>>,
    /// Address variables.
    pub address_vars: BTreeMap<String, String>,
    /// Port variables.
    pub port_vars: BTreeMap<String, String>,
    /// The whole configuration.
    pub config: Config,
    /// By short name.
    pub classifications: HashMap<String, Classification>,
    /// Prefix by reference key (lower case).
    pub references: HashMap<String, Arc<str>>,
    /// Names of bits and variables.
    pub names: Names,
    /// Datasets by index.
    pub datasets: Vec<Dataset>,
    /// Reputation categories: short name to number.
    pub reputation_categories: HashMap<String, u8>,
    /// (gid, sid) to revision of what was loaded.
    pub loaded: HashMap<(u32, u32), u32>,
    /// Data files.
    pub files: Box<dyn Files>,
    /// Directory that a rule's data files are relative to.
    pub base_dir: String,
    /// Warned about already.
    pub warned: HashSet<String>,
    /// Address and port lists resolved already.
    pub address_cache: HashMap<String, Arc<super::header::AddressSet>>,
    /// See `address_cache`.
    pub port_cache: HashMap<String, Arc<super::header::PortSet>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("loaded", &self.loaded.len())
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The countries of addresses, as the configuration's database has them.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn countries(&mut self) -> Result<Arc<Countries>, String> {
        if let Some(known) = &self.countries {
            return known.clone();
        }
        let path = self.config.detect.geoip_database.clone();
        let read = match path.as_str() {
            "" => Err("there is no GeoIP database".to_string()),
            path => self
                .files
                .read(path)
                .and_then(Countries::new)
                .map(Arc::new)
                .map_err(|reason| format!("the GeoIP database {path}: {reason}")),
        };
        self.countries = Some(read.clone());
        read
    }

    /// What a configuration says; its files are read through `files`. Problems with them are returned as texts.
    pub fn new(config: &Config, files: Box<dyn Files>, base_dir: &str) -> (Context, Vec<String>) {
        let mut context = Context {
            countries: None,
            address_vars: config.address_vars.clone(),
            port_vars: config.port_vars.clone(),
            config: config.clone(),
            classifications: HashMap::new(),
            references: HashMap::new(),
            names: Names::default(),
            datasets: Vec::new(),
            reputation_categories: HashMap::new(),
            loaded: HashMap::new(),
            files,
            base_dir: base_dir.to_string(),
            warned: HashSet::new(),
            address_cache: HashMap::new(),
            port_cache: HashMap::new(),
        };
        let mut problems = Vec::new();
        let detect = &config.detect;
        for (path, take) in [
            (
                &detect.classification_file,
                Context::classification as fn(&mut Context, &str),
            ),
            (&detect.reference_file, Context::reference),
            (&detect.reputation_categories_file, Context::reputation_category),
        ] {
            if path.is_empty() {
                continue;
            }
            match context.text(path) {
                Ok(text) => text.lines().for_each(|line| take(&mut context, line.trim())),
                Err(reason) => problems.push(format!("{path}: {reason}")),
            }
        }
        if context.classifications.is_empty() {
            for (name, priority, description) in CLASSIFICATIONS {
                let classification = Classification {
                    description: (*description).into(),
                    priority: *priority,
                };
                context.classifications.insert((*name).into(), classification);
            }
        }
        for (key, prefix) in REFERENCES {
            context
                .references
                .entry((*key).into())
                .or_insert_with(|| (*prefix).into());
        }
        (context, problems)
    }

    /// A file's text; octets that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn text(&self, path: &str) -> Result<String, String> {
        Ok(String::from_utf8_lossy(&self.files.read(path)?).into_owned())
    }

    /// `config classification: short name,description,priority`
    fn classification(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("config classification:") else {
            return;
        };
        let mut parts = rest.splitn(2, ',');
        let (Some(name), Some(rest)) = (parts.next(), parts.next()) else {
            return;
        };
        let Some((description, priority)) = rest.rsplit_once(',') else {
            return;
        };
        let Ok(priority) = priority.trim().parse::<u8>() else {
            return;
        };
        let classification = Classification {
            description: description.trim().into(),
            priority,
        };
        self.classifications
            .entry(name.trim().to_ascii_lowercase())
            .or_insert(classification);
    }

    /// `config reference: key url-prefix`
    fn reference(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("config reference:") else {
            return;
        };
        let mut parts = rest.split_whitespace();
        if let (Some(key), Some(prefix)) = (parts.next(), parts.next()) {
            self.references.insert(key.to_ascii_lowercase(), prefix.into());
        }
    }

    /// `id,short name,description`
    fn reputation_category(&mut self, line: &str) {
        let mut parts = line.split(',');
        if let (Some(id), Some(name)) = (parts.next(), parts.next()) {
            if let Ok(id @ 1..=59) = id.trim().parse() {
                self.reputation_categories.insert(name.trim().to_string(), id);
            }
        }
    }
}

/// What published rules use, when no classification file is given: name, priority, description.
const CLASSIFICATIONS: &[(&str, u8, &str)] = &[
    ("not-suspicious", 3, "Not Suspicious Traffic"),
    ("unknown", 3, "Unknown Traffic"),
    ("bad-unknown", 2, "Potentially Bad Traffic"),
    ("attempted-recon", 2, "Attempted Information Leak"),
    ("successful-recon-limited", 2, "Information Leak"),
    ("successful-recon-largescale", 2, "Large Scale Information Leak"),
    ("attempted-dos", 2, "Attempted Denial of Service"),
    ("successful-dos", 2, "Denial of Service"),
    ("attempted-user", 1, "Attempted User Privilege Gain"),
    ("unsuccessful-user", 1, "Unsuccessful User Privilege Gain"),
    ("successful-user", 1, "Successful User Privilege Gain"),
    ("attempted-admin", 1, "Attempted Administrator Privilege Gain"),
    ("successful-admin", 1, "Successful Administrator Privilege Gain"),
    ("rpc-portmap-decode", 2, "Decode of an RPC Query"),
    ("shellcode-detect", 1, "Executable code was detected"),
    ("string-detect", 3, "A suspicious string was detected"),
    (
        "suspicious-filename-detect",
        2,
        "A suspicious filename was detected",
    ),
    (
        "suspicious-login",
        2,
        "An attempted login using a suspicious username was detected",
    ),
    ("system-call-detect", 2, "A system call was detected"),
    ("tcp-connection", 4, "A TCP connection was detected"),
    ("trojan-activity", 1, "A Network Trojan was detected"),
    (
        "unusual-client-port-connection",
        2,
        "A client was using an unusual port",
    ),
    ("network-scan", 3, "Detection of a Network Scan"),
    ("denial-of-service", 2, "Detection of a Denial of Service Attack"),
    (
        "non-standard-protocol",
        2,
        "Detection of a non-standard protocol or event",
    ),
    ("protocol-command-decode", 3, "Generic Protocol Command Decode"),
    (
        "web-application-activity",
        2,
        "access to a potentially vulnerable web application",
    ),
    ("web-application-attack", 1, "Web Application Attack"),
    ("misc-activity", 3, "Misc activity"),
    ("misc-attack", 2, "Misc Attack"),
    ("icmp-event", 3, "Generic ICMP event"),
    ("inappropriate-content", 1, "Inappropriate Content was Detected"),
    ("policy-violation", 1, "Potential Corporate Privacy Violation"),
    (
        "default-login-attempt",
        2,
        "Attempt to login by a default username and password",
    ),
    ("targeted-activity", 1, "Targeted Malicious Activity was Detected"),
    ("exploit-kit", 1, "Exploit Kit Activity Detected"),
    (
        "external-ip-check",
        2,
        "Device Retrieving External IP Address Detected",
    ),
    ("domain-c2", 1, "Domain Observed Used for C2 Detected"),
    ("pup-activity", 2, "Possibly Unwanted Program Detected"),
    ("credential-theft", 1, "Successful Credential Theft Detected"),
    ("social-engineering", 2, "Possible Social Engineering Attempted"),
    ("coin-mining", 2, "Crypto Currency Mining Activity Detected"),
    (
        "command-and-control",
        1,
        "Malware Command and Control Activity Detected",
    ),
];

/// Reference keys that published rules use.
const REFERENCES: &[(&str, &str)] = &[
    ("url", "http://"),
    ("cve", "http://cve.mitre.org/cgi-bin/cvename.cgi?name="),
    ("bugtraq", "http://www.securityfocus.com/bid/"),
    ("md5", "http://www.threatexpert.com/report.aspx?md5="),
    ("nessus", "http://cgi.nessus.org/plugins/dump.php3?id="),
    ("arachnids", "http://www.whitehats.com/info/IDS"),
    ("mcafee", "http://vil.nai.com/vil/dispVirus.asp?virus_k="),
    ("et", "http://doc.emergingthreats.net/"),
    ("etpro", "http://doc.emergingthreatspro.com/"),
    ("telus", "http://"),
    ("osvdb", "http://osvdb.org/show/osvdb/"),
    ("exploitdb", "http://www.exploit-db.com/exploits/"),
    ("openpacket", "https://www.openpacket.org/capture/grab/"),
    ("securitytracker", "http://securitytracker.com/id?"),
    ("secunia", "http://secunia.com/advisories/"),
    ("xforce", "http://xforce.iss.net/xforce/xfdb/"),
    ("msft", "http://technet.microsoft.com/security/bulletin/"),
    ("threatexpert", "http://www.threatexpert.com/report.aspx?md5="),
];
