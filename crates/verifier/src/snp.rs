//! AMD SEV-SNP: from the pinned root down to what the guest had signed (spec/evidence.md section
//! 11).

mod report;
mod vcek;

use sha2::{Digest, Sha256};
use subrosa_protocol::{B256, Timestamp};

use self::report::chip_id_bytes;
use self::vcek::Vcek;
use crate::certificate::{Algorithm, Certificate, RevocationList};
use crate::check::CheckName;
use crate::evidence::{AmdCollateral, SnpEvidence};
use crate::policy::{
    AmdPolicy, AmdProduct, Bit, Demand, GuestPolicyBits, HostData, IdBlock, KeyDigest, Machines,
    PlatformBits, Policy, Root,
};
use crate::quoted::{Against, Quoted};
use crate::report::Checks;

pub use self::report::{BadSnpReport, SNP_REPORT_BYTES, SnpReport};

/// Separates SEV-SNP measurements from those of other vendors in the list of releases.
const MEASUREMENT_TAG: &[u8] = b"subrosa/measurement/snp/v1";

/// What the name of an authority for chips' keys begins with; the generation follows.
const ASK_PREFIX: &str = "SEV-";
/// The same for keys that AMD gives to cloud providers.
const ASVK_PREFIX: &str = "SEV-VLEK-";
/// The name on every chip's certificate.
const VCEK_NAME: &str = "SEV-VCEK";

/// Bit 17 of a guest's policy, which is always set.
const GUEST_POLICY_ALWAYS: u64 = 1 << 17;
/// Bit 19 of a guest's policy: the host may debug the guest.
const GUEST_POLICY_DEBUG: u64 = 1 << 19;
/// The first bit of a guest's policy that nobody has given a meaning.
const GUEST_POLICY_UNKNOWN_FROM: u32 = 26;
/// The same for a platform's information.
const PLATFORM_UNKNOWN_FROM: u32 = 8;
/// The same for what a report says of keys.
const KEY_INFO_UNKNOWN_FROM: u32 = 5;

/// Bit 0: an author's key vouches for the key of the ID block.
const KEY_INFO_AUTHOR: u32 = 1 << 0;
/// Bit 1: the host had the chip's key masked.
const KEY_INFO_MASKED: u32 = 1 << 1;
/// Bits 2 to 4: which key signed.
const KEY_INFO_SIGNER_SHIFT: u32 = 2;
const SIGNER_VCEK: u32 = 0;
const SIGNER_VLEK: u32 = 1;

/// The measurement of an SEV-SNP image, as releases list it: SHA-256 of a tag, MEASUREMENT and
/// HOST_DATA.
pub fn snp_measurement(measurement: &[u8; 48], host_data: &[u8; 32]) -> B256 {
    let hash = Sha256::new().chain_update(MEASUREMENT_TAG);
    B256::from(<[u8; 32]>::from(hash.chain_update(measurement).chain_update(host_data).finalize()))
}

/// Appraises evidence; nothing where its signature is not known to be good.
pub(crate) fn appraise(
    evidence: &SnpEvidence,
    policy: &Policy,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Quoted> {
    let SnpEvidence { report, collateral } = evidence;
    appraise_report(report, collateral, policy, now, Against::Releases, checks)
}

/// Appraises a report, whatever it came in; nothing where its signature is not known to be good.
pub(crate) fn appraise_report(
    report: &[u8],
    collateral: &AmdCollateral,
    policy: &Policy,
    now: Timestamp,
    against: Against,
    checks: &mut Checks,
) -> Option<Quoted> {
    let report = read(report, checks)?;
    let chain = match Chain::check(collateral, policy.roots.amd, now) {
        Ok(chain) => chain,
        Err(seen) => {
            checks.fail(CheckName::TeeCertChain, seen);
            return None;
        }
    };
    checks.pass(CheckName::TeeCertChain, chain.seen.clone());
    let revocation = check_collateral(&report, &chain, collateral, &policy.amd, now, checks);
    if !check_signature(&report, &chain, checks) {
        return None;
    }

    check_revocation(&revocation, checks);
    check_tcb(&report, chain.product, &policy.amd, checks);
    check_debug(&report, checks);
    check_hardware(&report, chain.product, &policy.amd, checks);
    check_boot(&report, &policy.amd, checks);
    let measurement = snp_measurement(&report.measurement(), &report.host_data());
    against.check(measurement, policy, checks);
    check_machine(&report, chain.product, &policy.machines, checks);
    let expires = match revocation {
        Ok(Revocation::Clear { until }) => chain.expires.min(until),
        _ => chain.expires,
    };
    Some(Quoted { report_data: report.report_data(), measurement, expires })
}

/// A report as its structure has it, recorded; nothing of it is known to be signed.
pub(crate) fn read<'a>(bytes: &'a [u8], checks: &mut Checks) -> Option<SnpReport<'a>> {
    match SnpReport::parse(bytes) {
        Ok(report) => {
            let seen = format!("SEV-SNP version {}, {} bytes", report.version(), bytes.len());
            checks.pass(CheckName::TeeQuoteStructure, seen);
            Some(report)
        }
        Err(error) => {
            checks.fail(CheckName::TeeQuoteStructure, error.to_string());
            None
        }
    }
}

/// Certificates that lead from the pinned root to a chip's key, each signed and in date.
struct Chain {
    vcek: Certificate,
    ask: Certificate,
    ark: Certificate,
    /// The generation for which the authority signs.
    product: AmdProduct,
    /// The last second in which all three count.
    expires: Timestamp,
    seen: String,
}

impl Chain {
    fn check(collateral: &AmdCollateral, root: Root, now: Timestamp) -> Result<Chain, String> {
        let read = |name: &str, der: &[u8]| match der {
            [] => Err(format!("the collateral lacks the {name}")),
            der => Certificate::parse(der, Algorithm::RsaPss)
                .map_err(|error| format!("the {name} {error}")),
        };
        let ark = read("ARK", &collateral.ark)?;
        let ask = read("ASK", &collateral.ask)?;
        let vcek = read("VCEK", &collateral.vcek)?;

        let product = product_of(&ask)?;
        let fingerprint = B256::from(<[u8; 32]>::from(Sha256::digest(&collateral.ark)));
        if !root.is_amd(product, fingerprint) {
            return Err(format!(
                "the chain ends in the root {}, which policy does not pin for {product}",
                hex::encode(fingerprint)
            ));
        }
        ask.check_issued_by(&ark).map_err(|error| format!("the ASK {error}"))?;
        ask.check_authority().map_err(|error| format!("the ASK {error}"))?;
        vcek.check_issued_by(&ask).map_err(|error| format!("the VCEK {error}"))?;
        vcek.check_leaf().map_err(|error| format!("the VCEK {error}"))?;
        if vcek.common_name().as_deref() != Some(VCEK_NAME) {
            return Err("the certificate of the key that signed is not named SEV-VCEK".into());
        }
        let mut expires = Timestamp(u64::MAX);
        for (name, certificate) in [("ARK", &ark), ("ASK", &ask), ("VCEK", &vcek)] {
            let until =
                certificate.check_time(now).map_err(|error| format!("the {name} {error}"))?;
            expires = expires.min(until);
        }
        let seen = format!("VCEK of a {product} chip, root {}", hex::encode(fingerprint));
        Ok(Chain { vcek, ask, ark, product, expires, seen })
    }
}

/// The generation for which an authority signs chips' keys.
fn product_of(ask: &Certificate) -> Result<AmdProduct, String> {
    let name = ask.common_name().unwrap_or_default();
    if name.starts_with(ASVK_PREFIX) {
        return Err(
            "the ASK signs VLEKs, keys that a cloud provider holds in place of chips".into()
        );
    }
    let name = name.strip_prefix(ASK_PREFIX).ok_or("the ASK is no authority for chips' keys")?;
    let known = AmdProduct::ALL.into_iter().find(|product| product.as_str() == name);
    known.ok_or_else(|| "the ASK is of a product that this verifier does not know".into())
}

/// What AMD says of revocation.
enum Revocation {
    /// Its list names neither root nor authority.
    Clear {
        /// The last second in which the list counts.
        until: Timestamp,
    },
    /// Its list names the authority, or the root itself.
    Revoked {
        /// Which of them.
        which: &'static str,
    },
    /// There is no list, and policy demands none.
    Unknown,
}

/// Records whether the certificate is of this chip and its TCB, and whether the list counts.
fn check_collateral(
    report: &SnpReport<'_>,
    chain: &Chain,
    collateral: &AmdCollateral,
    policy: &AmdPolicy,
    now: Timestamp,
    checks: &mut Checks,
) -> Result<Revocation, String> {
    let revocation = read_revocation(chain, &collateral.crl, policy.revocation, now);
    let result = match (endorse(report, chain), &revocation) {
        (Err(seen), _) => Err(seen),
        (_, Err(seen)) => Err(seen.clone()),
        (Ok(seen), Ok(Revocation::Clear { until })) => Ok(format!("{seen}; CRL until {until}")),
        // The list itself is good; what it says has a check of its own.
        (Ok(seen), Ok(Revocation::Revoked { .. })) => Ok(format!("{seen}; CRL in date")),
        (Ok(seen), Ok(Revocation::Unknown)) => Ok(format!("{seen}; no CRL, none demanded")),
    };
    checks.record(CheckName::AmdKdsCollateral, result);
    revocation
}

/// Checks that the chain's certificate is of the chip and of the TCB that the report names.
fn endorse(report: &SnpReport<'_>, chain: &Chain) -> Result<String, String> {
    let vcek = Vcek::read(&chain.vcek).map_err(|error| error.to_string())?;
    if vcek.product != chain.product {
        let (chip, authority) = (vcek.product, chain.product);
        return Err(format!("the VCEK is of a {chip} chip, its authority signs for {authority}"));
    }
    if !report.has_layout_of(vcek.product) {
        let named = report.product().map_or("an older chip", AmdProduct::as_str);
        return Err(format!("the VCEK is of a {} chip, the report of {named}", vcek.product));
    }
    let chip_id = report.chip_id();
    let (number, filling) = chip_id.split_at(vcek.chip_id.len());
    if chip_id == [0; 64] {
        return Err("the report masks the chip's number".into());
    }
    if number != vcek.chip_id || filling.iter().any(|byte| *byte != 0) {
        return Err("the VCEK is of another chip than the report".into());
    }
    let reported = report.tcbs().reported;
    if vcek.tcb != reported {
        return Err(format!("the VCEK is for {}, the report names {reported}", vcek.tcb));
    }
    Ok(format!("VCEK of this chip, for {reported}"))
}

fn read_revocation(
    chain: &Chain,
    crl: &[u8],
    demand: Demand,
    now: Timestamp,
) -> Result<Revocation, String> {
    match (crl, demand) {
        ([], Demand::Waived) => return Ok(Revocation::Unknown),
        ([], Demand::Required) => return Err("there is no CRL, policy demands one".into()),
        _ => {}
    }
    let list = RevocationList::parse(crl).map_err(|error| format!("the CRL {error}"))?;
    list.check_issued_by(&chain.ark).map_err(|error| format!("the CRL {error}"))?;
    let until = list.check_time(now).map_err(|error| format!("the CRL {error}"))?;
    Ok(if list.lists(&chain.ask) {
        Revocation::Revoked { which: "ASK" }
    } else if list.lists(&chain.ark) {
        Revocation::Revoked { which: "ARK" }
    } else {
        Revocation::Clear { until }
    })
}

impl SnpReport<'_> {
    /// Whether the key of this certificate, DER, signed the report. It tells the right certificate
    /// among some; who issued it, and whether it still counts, is another question.
    pub fn is_signed_by(&self, certificate: &[u8]) -> bool {
        Certificate::parse(certificate, Algorithm::RsaPss)
            .and_then(|certificate| certificate.check_ecdsa(self.signed(), &self.signature()))
            .is_ok()
    }
}

fn check_signature(report: &SnpReport<'_>, chain: &Chain, checks: &mut Checks) -> bool {
    let result = match chain.vcek.check_ecdsa(report.signed(), &report.signature()) {
        Ok(()) => Ok("signed by the chip's key (VCEK)".into()),
        Err(_) => Err("the chip's key (VCEK) did not sign this report".into()),
    };
    checks.record(CheckName::TeeQuoteSignature, result)
}

/// Without a list that counts the check stays absent: the collateral has failed.
fn check_revocation(revocation: &Result<Revocation, String>, checks: &mut Checks) {
    let name = CheckName::TeeTcbNotRevoked;
    match revocation {
        Ok(Revocation::Clear { .. }) => checks.pass(name, "AMD's list names no key of this chain"),
        Ok(Revocation::Revoked { which }) => {
            checks.fail(name, format!("AMD has revoked the {which}"));
        }
        Ok(Revocation::Unknown) => checks.waive(name, "no CRL, none demanded"),
        Err(_) => {}
    }
}

fn check_tcb(report: &SnpReport<'_>, product: AmdProduct, policy: &AmdPolicy, checks: &mut Checks) {
    let tcbs = report.tcbs();
    let floor = policy.tcb_min.of(product);
    let named = [
        ("current", tcbs.current),
        ("reported", tcbs.reported),
        ("committed", tcbs.committed),
        ("launch", tcbs.launch),
    ];
    let low = named.into_iter().find(|(_, tcb)| !tcb.reaches(&floor));
    let provisional =
        policy.firmware_committed == Demand::Required && tcbs.current != tcbs.committed;
    let result = match low {
        Some((name, tcb)) => Err(format!("{name} TCB {tcb}, policy demands {floor}")),
        None if provisional => Err(format!(
            "current TCB {}, committed TCB {}: the host can roll its firmware back",
            tcbs.current, tcbs.committed
        )),
        None => Ok(format!("current TCB {}, reported {}", tcbs.current, tcbs.reported)),
    };
    checks.record(CheckName::TeeTcbCurrent, result);
}

fn check_debug(report: &SnpReport<'_>, checks: &mut Checks) {
    let seen = format!("guest policy {:#x}", report.guest_policy());
    let result = match report.guest_policy() & GUEST_POLICY_DEBUG {
        0 => Ok(seen),
        _ => Err(format!("{seen}: the host can debug the guest")),
    };
    checks.record(CheckName::TeeDebugDisabled, result);
}

fn check_hardware(
    report: &SnpReport<'_>,
    product: AmdProduct,
    policy: &AmdPolicy,
    checks: &mut Checks,
) {
    let seen = format!(
        "{product}, guest policy {:#x}, platform {:#x}, VMPL {}",
        report.guest_policy(),
        report.platform_info(),
        report.vmpl()
    );
    let fault = fault_of_product(report, product, policy)
        .or_else(|| fault_of_keys(report))
        .or_else(|| fault_of_level(report, policy.vmpl))
        .or_else(|| fault_of_guest_policy(report.guest_policy(), &policy.guest_policy))
        .or_else(|| fault_of_platform(report.platform_info(), &policy.platform));
    let result = match fault {
        None => Ok(seen),
        Some(fault) => Err(format!("{seen}: {fault}")),
    };
    checks.record(CheckName::TeeHardwareConfig, result);
}

fn fault_of_product(
    report: &SnpReport<'_>,
    product: AmdProduct,
    policy: &AmdPolicy,
) -> Option<String> {
    if !policy.products.contains(&product) {
        return Some(match product {
            AmdProduct::Milan => "policy does not accept Milan, the seed of whose keys can be \
                                  read out by software, so that its reports can be forged"
                .into(),
            AmdProduct::Genoa | AmdProduct::Turin => format!("policy does not accept {product}"),
        });
    }
    let (got, least) = (report.version(), policy.report_version_min);
    (got < least).then(|| format!("report version {got}, policy demands {least}"))
}

fn fault_of_keys(report: &SnpReport<'_>) -> Option<String> {
    let info = report.key_info();
    let signer = (info >> KEY_INFO_SIGNER_SHIFT) & 0b111;
    let fault = if info >> KEY_INFO_UNKNOWN_FROM != 0 {
        "what it says of its keys is unknown to this verifier"
    } else if info & KEY_INFO_MASKED != 0 {
        "the chip's key was masked"
    } else if signer == SIGNER_VLEK {
        "it is signed with a VLEK, a key that a cloud provider holds"
    } else if signer != SIGNER_VCEK {
        "it is signed with no chip's key"
    } else if info & KEY_INFO_AUTHOR != 0 || report.author_key_digest() != [0; 48] {
        "an author's key vouches for its ID block"
    } else {
        return None;
    };
    Some(fault.into())
}

fn fault_of_level(report: &SnpReport<'_>, demanded: u32) -> Option<String> {
    (report.vmpl() != demanded).then(|| format!("policy demands VMPL {demanded}"))
}

fn fault_of_guest_policy(bits: u64, policy: &GuestPolicyBits) -> Option<String> {
    if bits & GUEST_POLICY_ALWAYS == 0 || bits >> GUEST_POLICY_UNKNOWN_FROM != 0 {
        return Some("the guest policy has bits that are unknown to this verifier".into());
    }
    let rules = [
        ("smt", 16, policy.smt),
        ("migration_agent", 18, policy.migration_agent),
        ("single_socket", 20, policy.single_socket),
        ("cxl", 21, policy.cxl),
        ("mem_aes_256_xts", 22, policy.mem_aes_256_xts),
        ("rapl_disabled", 23, policy.rapl_disabled),
        ("ciphertext_hiding", 24, policy.ciphertext_hiding),
        ("page_swap_disabled", 25, policy.page_swap_disabled),
    ];
    first_broken(bits, rules).map(|rule| format!("guest policy: {rule}"))
}

fn fault_of_platform(bits: u64, policy: &PlatformBits) -> Option<String> {
    if bits >> PLATFORM_UNKNOWN_FROM != 0 {
        return Some("the platform has bits that are unknown to this verifier".into());
    }
    let rules = [
        ("smt", 0, policy.smt),
        ("tsme", 1, policy.tsme),
        ("ecc", 2, policy.ecc),
        ("rapl_disabled", 3, policy.rapl_disabled),
        ("ciphertext_hiding", 4, policy.ciphertext_hiding),
        ("alias_check_complete", 5, policy.alias_check_complete),
        ("iommu_write_safe", 6, policy.iommu_write_safe),
        ("tio", 7, policy.tio),
    ];
    first_broken(bits, rules).map(|rule| format!("platform: {rule}"))
}

fn first_broken<const N: usize>(bits: u64, rules: [(&str, u32, Bit); N]) -> Option<String> {
    let broken = |(_, bit, rule): &(&str, u32, Bit)| !rule.allows(bits & (1 << bit) != 0);
    let (name, _, rule) = rules.into_iter().find(broken)?;
    let demanded = if rule == Bit::Set { "set" } else { "clear" };
    Some(format!("{name} is not {demanded}"))
}

fn check_boot(report: &SnpReport<'_>, policy: &AmdPolicy, checks: &mut Checks) {
    let host_data = report.host_data();
    let key = report.id_key_digest();
    let names = report.family_id() != [0; 16] || report.image_id() != [0; 16];
    let has_block = key != [0; 48] || names || report.guest_svn() != 0;
    let fault = match &policy.id_block {
        _ if policy.host_data == HostData::Zero && host_data != [0; 32] => {
            Some("policy demands no host data")
        }
        IdBlock::None if has_block => Some("policy accepts no ID block"),
        IdBlock::Signed(keys) if !keys.contains(&KeyDigest(key)) => {
            Some("policy does not list the key of the ID block")
        }
        IdBlock::Any | IdBlock::None | IdBlock::Signed(_) => None,
    };
    let block = match has_block {
        false => "no ID block".into(),
        true => format!("ID block of key {}", hex::encode(key)),
    };
    let seen = format!("host data {}, {block}", hex::encode(host_data));
    let result = match fault {
        None => Ok(seen),
        Some(fault) => Err(format!("{seen}: {fault}")),
    };
    checks.record(CheckName::TeeBootConfig, result);
}

fn check_machine(
    report: &SnpReport<'_>,
    product: AmdProduct,
    machines: &Machines,
    checks: &mut Checks,
) {
    let chip_id = hex::encode(&report.chip_id()[..chip_id_bytes(product)]);
    let name = CheckName::CpuIdRegistry;
    match machines {
        Machines::Any => checks.waive(name, format!("any machine, chip {chip_id}")),
        Machines::Listed(listed) if listed.contains(&chip_id) => {
            checks.pass(name, format!("chip {chip_id}"));
        }
        Machines::Listed(_) => checks.fail(name, format!("chip {chip_id} is not listed")),
    }
}
