//! A stand-in for NVIDIA's hardware: evidence and collateral of the real formats, under roots of
//! its own.
//!
//! Every key in it follows from a public name, so anybody can make its evidence. That is why
//! verifiers accept its roots on simulated networks alone. The same inputs give the same bytes.
//!
//! What it writes, it writes without the rest of this crate, so that writer and reader check each
//! other.

mod fault;
mod key;
mod ocsp;
mod pki;
mod platform;
mod report;
mod rim;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use rcgen::date_time_ymd;
use time::{Duration, OffsetDateTime};

pub use fault::Fault;
use ocsp::{Answer, Status, Window};
use pki::{CertificateFaults, Certified, DeviceAuthorities, DeviceCertificates, RimCertificates};
use platform::{BLACKWELL, HOPPER, LS10, Platform};
use report::{Contents, Protection};
use rim::Manifest;

use crate::Architecture;

/// SHA-256 of the certificate that simulated devices lead to.
pub const DEVICE_ROOT_SHA256: [u8; 32] = [
    0x75, 0xda, 0x74, 0xef, 0xde, 0x95, 0xf0, 0xa1, 0x7e, 0x76, 0xd3, 0x91, 0x6d, 0xc4, 0x6c, 0x64,
    0x5e, 0xcf, 0x7d, 0x57, 0xc4, 0xa9, 0x88, 0xe0, 0x69, 0xa7, 0x98, 0x21, 0x52, 0x85, 0x35, 0x7f,
];

/// SHA-256 of the certificate that simulated reference manifests lead to.
pub const RIM_ROOT_SHA256: [u8; 32] = [
    0xb1, 0xc7, 0x43, 0x9b, 0xef, 0x49, 0xfe, 0x87, 0xc5, 0x49, 0x4f, 0x18, 0x6e, 0x13, 0x80, 0xd9,
    0x84, 0x73, 0x32, 0xdf, 0x50, 0x8f, 0x2b, 0x71, 0xbc, 0x5a, 0x38, 0x36, 0xe4, 0xfa, 0xec, 0x33,
];

/// The key of the root that simulated devices lead to.
const DEVICE_ROOT_KEY: &str = "device root";
/// The key of the root that simulated manifests lead to.
const RIM_ROOT_KEY: &str = "manifest root";
/// A key that roots have which nobody trusts.
const OTHER_ROOT_KEY: &str = "root that nobody trusts";

/// Switches beside the GPUs of one node.
const SWITCHES: usize = 4;

/// A driver's measurement, for [`Fault::RimsOverlap`].
const OVERLAP: u8 = 36;

const DAY: Duration = Duration::days(1);

/// How long an answer about a certificate counts: longer than the day that it is dated back.
const OCSP_LIFE: Duration = Duration::days(7);

/// How long a revocation list counts, as NVIDIA's do.
const CRL_LIFE: Duration = Duration::days(60);

/// Times beyond this count as this, so that every date made from them can be written.
const LATEST: u64 = 253_000_000_000; // in the year 9987

/// Simulated GPUs and switches that share a machine.
pub struct Node {
    name: String,
    gpus: Option<(&'static Platform, usize)>,
    switches: usize,
    fault: Option<Fault>,
    built: OnceLock<Built>,
}

/// The devices, GPUs first, and the roots that they and their manifests lead to.
struct Built {
    devices: Vec<Device>,
    rim_root: Certified,
    /// Each kind of device, with the certificates behind its manifests.
    kinds: Vec<(&'static Platform, RimCertificates)>,
}

struct Device {
    platform: &'static Platform,
    name: String,
    certificates: DeviceCertificates,
    contents: Contents,
}

/// What one device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedDevice {
    /// Which kind of device it is.
    pub architecture: Architecture,
    /// SPDM request and response, ending with the signature.
    pub report: Vec<u8>,
    /// PEM: its certificate first, the root last.
    pub chain_pem: String,
}

/// What NVIDIA would state about the devices of a node at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatedCollateral {
    /// Reference manifests; each once, however many devices need it.
    pub rims: Vec<SimulatedRim>,
    /// Answers about single certificates, DER: of devices, then of manifests' signers.
    pub ocsp: Vec<Vec<u8>>,
    /// Revocation lists of roots and of the authorities below the device root, DER.
    pub crls: Vec<Vec<u8>>,
}

/// One reference manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedRim {
    /// The name by which a report's versions ask for it, such as `NV_GPU_DRIVER_GH100_570.172.08`.
    pub id: String,
    /// The XML file.
    pub xml: Vec<u8>,
}

impl Node {
    /// Hopper GPUs: one that is alone, or several with protected PCIe and four switches.
    ///
    /// # Panics
    /// Where there are none.
    pub fn hopper(gpus: usize) -> Node {
        let switches = if gpus > 1 { SWITCHES } else { 0 };
        Node::of(Some((&HOPPER, gpus)), switches)
    }

    /// Blackwell GPUs.
    ///
    /// # Panics
    /// Where there are none.
    pub fn blackwell(gpus: usize) -> Node {
        Node::of(Some((&BLACKWELL, gpus)), 0)
    }

    /// LS10 switches without GPUs.
    ///
    /// # Panics
    /// Where there are none.
    pub fn switches(switches: usize) -> Node {
        Node::of(None, switches)
    }

    fn of(gpus: Option<(&'static Platform, usize)>, switches: usize) -> Node {
        assert!(gpus.map_or(switches, |(_, gpus)| gpus) > 0, "a node has devices");
        let (name, built) = (String::new(), OnceLock::new());
        Node { name, gpus, switches, fault: None, built }
    }

    /// The same node with devices of its own: nodes of different names share none.
    pub fn named(self, name: &str) -> Node {
        Node { name: name.into(), built: OnceLock::new(), ..self }
    }

    /// The same node, which now does something wrong. Evidence panics where a fault is asked of
    /// devices that cannot have it, such as firmware identities of switches.
    pub fn faulty(self, fault: Fault) -> Node {
        Node { fault: Some(fault), built: OnceLock::new(), ..self }
    }

    /// What each device answers to a nonce, GPUs first.
    pub fn evidence(&self, nonce: &[u8; 32]) -> Vec<SimulatedDevice> {
        let devices = &self.built().devices;
        let mut answers: Vec<_> = devices.iter().map(|device| device.answer(nonce)).collect();
        let first = &mut answers[0];
        match self.fault {
            Some(Fault::CertificateMissing) => first.chain_pem = without(&first.chain_pem, 1),
            Some(Fault::OtherNonce) => {
                let mut other = *nonce;
                other[0] ^= 1;
                first.report = devices[0].answer(&other).report;
            }
            Some(Fault::ReportSignature) => {
                let last = first.report.len() - 1;
                first.report[last] ^= 1;
            }
            Some(Fault::TrailingByte) => first.report.push(0),
            Some(Fault::DuplicateDevice) => {
                let last = answers.len() - 1;
                answers[last] = answers[0].clone();
            }
            Some(Fault::SwitchMissing) => drop(answers.pop()),
            _ => {}
        }
        answers
    }

    /// Collateral that was issued the day before `at` (seconds since 1970), so that a verifier
    /// whose clock is behind accepts it too.
    pub fn collateral(&self, at: u64) -> SimulatedCollateral {
        let today = at.min(LATEST) as i64 / 86_400 * 86_400;
        let today = OffsetDateTime::from_unix_timestamp(today).expect("the time was bounded");
        SimulatedCollateral {
            rims: self.rims(),
            ocsp: self.answers(today - DAY),
            crls: self.revocation_lists(today - DAY),
        }
    }

    fn built(&self) -> &Built {
        self.built.get_or_init(|| Built::of(self))
    }

    fn rims(&self) -> Vec<SimulatedRim> {
        let mut rims = Vec::new();
        for (platform, certificates) in &self.built().kinds {
            for (id, mut manifest) in manifests(platform) {
                let first = rims.is_empty();
                match self.fault {
                    Some(Fault::RimOfOtherDevice) if first => manifest.product = "AD102",
                    Some(Fault::RimsOverlap) if rims.len() == 1 => manifest.list(platform, OVERLAP),
                    _ => {}
                }
                let fault = self.fault.filter(|_| first).and_then(Fault::of_signature);
                rims.push(SimulatedRim { id, xml: manifest.signed(certificates, fault) });
            }
        }
        if self.fault == Some(Fault::RimMissing) {
            rims.remove(0);
        }
        rims
    }

    /// Answers about every certificate below the roots, each once.
    fn answers(&self, from: OffsetDateTime) -> Vec<Vec<u8>> {
        let Built { devices, kinds, .. } = self.built();
        let devices = devices.iter().map(|device| (device.certificates.revocable(), false));
        let manifests = kinds.iter().map(|(_, certificates)| (certificates.revocable(), true));
        let pairs = devices.chain(manifests).flat_map(|(pairs, of_manifest)| {
            pairs.map(|(subject, issuer)| (subject, issuer, of_manifest))
        });
        let mut responders: BTreeMap<&[u8], Certified> = BTreeMap::new();
        let mut answered: BTreeSet<&[u8]> = BTreeSet::new();
        let mut fault = self.fault;
        let mut answers = Vec::new();
        for (subject, issuer, of_manifest) in pairs {
            if !answered.insert(&subject.der) {
                continue;
            }
            let responder = responders.entry(&issuer.der).or_insert_with(|| issuer.responder());
            // The fault is in the first answer of its kind: about a boot ROM, or about a signer.
            let fault = fault.take_if(|fault| fault.in_answer(of_manifest));
            answers.extend(answer(subject, issuer, responder, from, fault));
        }
        answers
    }

    fn revocation_lists(&self, from: OffsetDateTime) -> Vec<Vec<u8>> {
        let until = from + CRL_LIFE;
        let Built { devices, rim_root, .. } = self.built();
        let authorities = &devices[0].certificates.authorities;
        let mut lists = vec![
            authorities.root.revocation_list(from, until, &[]),
            rim_root.revocation_list(from, until, &[]),
        ];
        let mut listed: Vec<&Certified> = Vec::new();
        for device in devices {
            let DeviceAuthorities { identity, provisioner, .. } = &device.certificates.authorities;
            if listed.iter().all(|known| known.der != identity.der) {
                let revoked = self.fault == Some(Fault::CrlRevoked) && listed.is_empty();
                let revoked = if revoked { &[provisioner][..] } else { &[] };
                lists.push(identity.revocation_list(from, until, revoked));
                listed.push(identity);
            }
        }
        lists
    }
}

impl Node {
    /// The kinds of devices, GPUs first, each with the names of its devices.
    fn groups(&self) -> Vec<(&'static Platform, Vec<String>)> {
        let switches = (self.switches > 0).then_some((&LS10, self.switches));
        let named = |(platform, count): (&'static Platform, usize)| {
            let name = |index| format!("{} {} {index}", self.name, platform.product);
            (platform, (0..count).map(name).collect())
        };
        self.gpus.into_iter().chain(switches).map(named).collect()
    }

    /// Makes a device wrong where that is the fault.
    fn spoil(&self, slot: &mut Slot, index: usize, last: bool) {
        match self.fault {
            Some(Fault::PpcieMixed) if index == 1 => slot.contents.protection = Protection::Single,
            Some(Fault::SwitchOfOtherNode) if last => slot.name.push_str(" of another node"),
            Some(fault) if index == 0 => {
                slot.contents.spoil(slot.platform, fault);
                slot.faults = fault.of_certificates();
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gpus = self.gpus.map(|(platform, gpus)| (platform.architecture, gpus));
        formatter
            .debug_struct("Node")
            .field("name", &self.name)
            .field("gpus", &gpus)
            .field("switches", &self.switches)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl Built {
    fn of(node: &Node) -> Built {
        let root = match node.fault {
            Some(Fault::OtherDeviceRoot) => Certified::device_root(OTHER_ROOT_KEY),
            _ => Certified::device_root(DEVICE_ROOT_KEY),
        };
        let rim_root = match node.fault {
            Some(Fault::OtherRimRoot) => Certified::rim_root(OTHER_ROOT_KEY),
            _ => Certified::rim_root(RIM_ROOT_KEY),
        };
        let groups = node.groups();
        let count: usize = groups.iter().map(|(_, names)| names.len()).sum();
        let (mut devices, mut kinds) = (Vec::new(), Vec::new());
        for (platform, names) in &groups {
            let authorities = DeviceAuthorities::of(platform, &root);
            let rim = RimCertificates::of(platform, &rim_root, signers_end(node.fault));
            kinds.push((*platform, rim));
            let links = numbers_beside(platform, &groups);
            let protection = if count == 1 { Protection::Single } else { Protection::Multiple };
            for name in names {
                let mut slot = Slot {
                    platform,
                    name: name.clone(),
                    contents: Contents::good(platform, protection, links.clone()),
                    faults: CertificateFaults::default(),
                };
                let index = devices.len();
                node.spoil(&mut slot, index, index + 1 == count);
                devices.push(slot.fill(&authorities));
            }
        }
        Built { devices, rim_root, kinds }
    }
}

/// A device before it has certificates.
struct Slot {
    platform: &'static Platform,
    name: String,
    contents: Contents,
    faults: CertificateFaults,
}

impl Slot {
    fn fill(self, authorities: &DeviceAuthorities) -> Device {
        let Slot { platform, name, contents, faults } = self;
        let certificates = DeviceCertificates::of(platform, authorities, &name, faults);
        Device { platform, name, certificates, contents }
    }
}

impl Device {
    fn answer(&self, nonce: &[u8; 32]) -> SimulatedDevice {
        SimulatedDevice {
            architecture: self.platform.architecture,
            report: report::signed(
                self.platform,
                &self.name,
                &self.certificates,
                &self.contents,
                nonce,
            ),
            chain_pem: self.certificates.pem(),
        }
    }
}

/// The root certificate of every simulated device, DER.
pub fn device_root_der() -> Vec<u8> {
    Certified::device_root(DEVICE_ROOT_KEY).der
}

/// The root certificate of every simulated reference manifest, DER.
pub fn rim_root_der() -> Vec<u8> {
    Certified::rim_root(RIM_ROOT_KEY).der
}

/// The numbers of the devices of other kinds: a GPU sees switches, a switch sees GPUs.
fn numbers_beside(
    platform: &Platform,
    groups: &[(&'static Platform, Vec<String>)],
) -> Vec<[u8; 8]> {
    let others = groups.iter().filter(|(other, _)| other.product != platform.product);
    others.flat_map(|(_, names)| names).map(|name| pki::device_number(name)).collect()
}

/// When the certificates of manifests' signers end.
fn signers_end(fault: Option<Fault>) -> OffsetDateTime {
    match fault {
        Some(Fault::RimExpired) => date_time_ymd(1971, 1, 1),
        _ => pki::end_of_manifests(),
    }
}

/// What a kind of device is compared with: each manifest with the name that reports ask for.
fn manifests(platform: &Platform) -> Vec<(String, Manifest)> {
    let driver = platform.driver.as_ref().map(|driver| {
        let id = format!("{}{}", driver.rim_prefix, driver.version);
        (id, Manifest::of_driver(platform, driver))
    });
    let firmware = &platform.firmware;
    let id = format!("{}{}", firmware.rim_prefix, firmware.version.replace('.', ""));
    driver.into_iter().chain([(id, Manifest::of_firmware(platform))]).collect()
}

/// One answer about a certificate, or none where that is the fault.
fn answer(
    subject: &Certified,
    issuer: &Certified,
    responder: &Certified,
    from: OffsetDateTime,
    fault: Option<Fault>,
) -> Option<Vec<u8>> {
    let mut window = Window { from, until: from + OCSP_LIFE };
    let mut status = Status::Good;
    let impostor;
    let mut responder = responder;
    match fault {
        Some(Fault::CertificateHold) => status = Status::Revoked(ocsp::CERTIFICATE_HOLD),
        Some(Fault::OcspExpired) => {
            window = Window { from: from - OCSP_LIFE * 2, until: from - OCSP_LIFE };
        }
        Some(Fault::OcspMissing) => return None,
        Some(Fault::OcspOtherResponder) => {
            impostor = Certified::device_root(OTHER_ROOT_KEY).responder();
            responder = &impostor;
        }
        Some(Fault::OcspUnknown) => status = Status::Unknown,
        Some(Fault::Revoked | Fault::RimSignerRevoked) => {
            status = Status::Revoked(ocsp::KEY_COMPROMISE);
        }
        _ => {}
    }
    let broken = fault == Some(Fault::OcspSignature);
    Some(Answer { subject, issuer, responder, status, window, broken }.der())
}

/// A chain without one of its certificates.
fn without(chain_pem: &str, left_out: usize) -> String {
    let certificates = chain_pem.split_inclusive("-----END CERTIFICATE-----\n").enumerate();
    certificates.filter(|(index, _)| *index != left_out).map(|(_, pem)| pem).collect()
}
