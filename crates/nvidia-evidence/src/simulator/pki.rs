//! The simulator's certificates, shaped like NVIDIA's: five from a device's firmware to the device
//! root, and four from a manifest's signer to the manifest root.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, OtherNameValue, RevocationReason, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use yasna::Tag;
use yasna::models::ObjectIdentifier;

use super::key::Key;
use super::platform::{FirmwareIdentity, Platform};

/// The organisation of every simulated certificate.
const ORGANISATION: &str = "Subrosa SIMULATED, proves nothing";

pub(super) const DEVICE_ROOT: &str = "Device Identity CA SIMULATED";
pub(super) const RIM_ROOT: &str = "CoRIM signing Root CA SIMULATED";

const SERIAL_NUMBER_OID: [u64; 4] = [2, 5, 4, 5];
const COMPOSITE_DEVICE_OID: [u64; 6] = [2, 23, 133, 5, 4, 1];
const TCB_INFO_OID: [u64; 7] = [2, 23, 133, 5, 4, 1, 1];
const DEVICE_INFO_OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 412, 274, 1];
const AUTHORITY_ACCESS_OID: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP_OID: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 48, 1];
const OCSP_NO_CHECK_OID: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
pub(super) const SHA384_OID: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];
const EC_KEY_OID: [u64; 6] = [1, 2, 840, 10045, 2, 1];
const P384_OID: [u64; 5] = [1, 3, 132, 0, 34];

/// Addresses that exist nowhere: what they would answer travels with the evidence.
const OCSP_URL: &str = "http://ocsp.simulated.invalid";
const CRL_URL: &str = "http://crl.simulated.invalid/";

/// The reason that issuing cannot fail.
const ISSUES: &str = "fixed parameters and keys that are known to be good always issue";

/// A certificate with the key that it is for.
#[derive(Clone)]
pub(super) struct Certified {
    parameters: CertificateParams,
    pub(super) key: Key,
    pub(super) der: Vec<u8>,
    pem: String,
    pub(super) serial: Vec<u8>,
    /// The subject in DER, as children repeat it.
    pub(super) name: Vec<u8>,
}

/// What is to be certified.
struct Subject {
    name: Name,
    key: Key,
    serial: Vec<u8>,
    role: Role,
    not_after: OffsetDateTime,
    extensions: Vec<CustomExtension>,
    alternative_name: Option<SanType>,
    revocation_list: Option<String>,
}

#[derive(Clone, Copy)]
enum Role {
    Authority {
        /// Whether it signs revocation lists too.
        revokes: bool,
        path_length: Option<u8>,
    },
    /// Says so by basic constraints or, as devices do, by leaving them out.
    Signer {
        explicit: bool,
    },
    OcspResponder,
}

const AUTHORITY: Role = Role::Authority { revokes: true, path_length: None };

impl Certified {
    /// The root of devices, or another that calls itself so.
    pub(super) fn device_root(key_name: &str) -> Certified {
        Certified::root(Name::of(DEVICE_ROOT), key_name, end_of_devices())
    }

    /// The root of manifests, or another that calls itself so.
    pub(super) fn rim_root(key_name: &str) -> Certified {
        Certified::root(Name::of(RIM_ROOT), key_name, end_of_manifests())
    }

    fn root(name: Name, key_name: &str, not_after: OffsetDateTime) -> Certified {
        let mut subject = Subject::authority(name, key_name, not_after);
        subject.serial[0] &= 0x7F;
        let (key, parameters) = (subject.key.clone(), subject.parameters());
        let certificate = parameters.self_signed(&key).expect(ISSUES);
        subject.certified(parameters, certificate)
    }

    fn issue(&self, subject: Subject) -> Certified {
        let parameters = subject.parameters();
        let issuer = Issuer::from_params(&self.parameters, &self.key);
        let certificate = parameters.signed_by(&subject.key, &issuer).expect(ISSUES);
        subject.certified(parameters, certificate)
    }

    /// A responder that this authority lets answer for it.
    pub(super) fn responder(&self) -> Certified {
        let name = Name::of("OCSP Responder SIMULATED");
        let key_name = format!("OCSP responder of {}", hex(&self.serial));
        let mut subject = Subject::authority(name, &key_name, end_of_manifests());
        subject.role = Role::OcspResponder;
        let null = yasna::construct_der(|writer| writer.write_null());
        subject.extensions = vec![CustomExtension::from_oid_content(&OCSP_NO_CHECK_OID, null)];
        self.issue(subject)
    }

    /// What this authority revoked.
    pub(super) fn revocation_list(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        revoked: &[&Certified],
    ) -> Vec<u8> {
        let revoked = revoked.iter().map(|certified| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&certified.serial),
            revocation_time: from,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let parameters = CertificateRevocationListParams {
            this_update: from,
            next_update: until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.parameters, &self.key);
        parameters.signed_by(&issuer).expect(ISSUES).der().to_vec()
    }
}

/// The authorities above one kind of device.
#[derive(Clone)]
pub(super) struct DeviceAuthorities {
    pub(super) root: Certified,
    pub(super) identity: Certified,
    pub(super) provisioner: Certified,
}

impl DeviceAuthorities {
    pub(super) fn of(platform: &Platform, root: &Certified) -> DeviceAuthorities {
        // Authorities under another root have other keys too.
        let under = hex(&Sha256::digest(&root.der)[..4]);
        let subject = |name: String, list: &str| {
            let mut subject =
                Subject::authority(Name::of(&name), &format!("{name} {under}"), end_of_devices());
            subject.extensions = vec![ocsp_address()];
            subject.revocation_list = Some(format!("{CRL_URL}{list}.crl"));
            subject
        };
        let identity = root.issue(subject(format!("{} SIMULATED", platform.identity), "l1-root"));
        let list = format!("l2-{}", platform.identity.to_lowercase().replace(" identity", ""));
        let provisioner =
            identity.issue(subject(format!("{} SIMULATED", platform.provisioner), &list));
        DeviceAuthorities { root: root.clone(), identity, provisioner }
    }
}

/// The certificates of one device.
#[derive(Clone)]
pub(super) struct DeviceCertificates {
    pub(super) authorities: DeviceAuthorities,
    pub(super) boot_rom: Certified,
    pub(super) firmware: Certified,
}

/// What is wrong with a device's certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CertificateFaults {
    /// Another boot ROM than the one in the chain signed the leaf.
    pub(super) other_issuer: bool,
    /// The leaf names its firmware in the extension of other chips.
    pub(super) other_extension: bool,
    /// The leaf does not name its firmware.
    pub(super) no_extension: bool,
}

impl DeviceCertificates {
    pub(super) fn of(
        platform: &Platform,
        authorities: &DeviceAuthorities,
        device: &str,
        faults: CertificateFaults,
    ) -> DeviceCertificates {
        let boot_rom = authorities.provisioner.issue(boot_rom(platform, device, "BROM"));
        let firmware = firmware(platform, device, faults);
        let firmware = match faults.other_issuer {
            true => authorities.provisioner.issue(boot_rom_like(platform, device)).issue(firmware),
            false => boot_rom.issue(firmware),
        };
        DeviceCertificates { authorities: authorities.clone(), boot_rom, firmware }
    }

    /// PEM, leaf first.
    pub(super) fn pem(&self) -> String {
        let DeviceAuthorities { root, identity, provisioner } = &self.authorities;
        [&self.firmware, &self.boot_rom, provisioner, identity, root]
            .map(|certified| certified.pem.as_str())
            .concat()
    }

    /// The certificates that revocation is asked about, each with its issuer.
    pub(super) fn revocable(&self) -> [(&Certified, &Certified); 3] {
        let DeviceAuthorities { root, identity, provisioner } = &self.authorities;
        [(&self.boot_rom, provisioner), (provisioner, identity), (identity, root)]
    }
}

/// The number that a device carries for life, eight bytes.
pub(super) fn device_number(device: &str) -> [u8; 8] {
    let hash = Sha256::digest(format!("subrosa/simulator/nvidia/device/v1/{device}"));
    hash[..8].try_into().expect("a hash is longer")
}

fn boot_rom(platform: &Platform, device: &str, key: &str) -> Subject {
    let serial = [&[platform.serial_prefix][..], &device_number(device)].concat();
    let name = format!("{} A01 {} BROM SIMULATED", platform.chip, platform.signer);
    let name = Name::with_serial(&serial, &name);
    let mut subject = Subject::authority(name, &format!("{device} {key}"), end_of_devices());
    subject.serial = serial;
    subject.role = Role::Authority { revokes: false, path_length: None };
    subject
}

/// A boot ROM with the same name and another key.
fn boot_rom_like(platform: &Platform, device: &str) -> Subject {
    boot_rom(platform, device, "other BROM")
}

fn firmware(platform: &Platform, device: &str, faults: CertificateFaults) -> Subject {
    let key_name = format!("{device} FMC");
    let key = Key::named(&key_name);
    let serial = leaf_serial(&key);
    let name = format!("{} A01 {} FMC LF SIMULATED", platform.chip, platform.signer);
    let mut subject =
        Subject::authority(Name::with_serial(&serial, &name), &key_name, end_of_devices());
    subject.serial = serial;
    subject.role = Role::Signer { explicit: false };
    let info = format!("NVIDIA:{}:{}", platform.chip, hex(&device_number(device)));
    let oid = DEVICE_INFO_OID.to_vec();
    subject.alternative_name =
        Some(SanType::OtherName((oid, OtherNameValue::Utf8String(info.to_uppercase()))));
    let identity = match (platform.firmware.identity, faults.other_extension) {
        (FirmwareIdentity::CompositeDevice, false) | (FirmwareIdentity::TcbInfo, true) => {
            FirmwareIdentity::CompositeDevice
        }
        _ => FirmwareIdentity::TcbInfo,
    };
    if !faults.no_extension {
        subject.extensions = vec![firmware_extension(platform, identity, device)];
    }
    subject
}

/// The key's hash, with the two uppermost bits of a positive number that is always as long.
fn leaf_serial(key: &Key) -> Vec<u8> {
    let mut serial = Sha256::digest(key.point())[..20].to_vec();
    serial[0] = serial[0] & 0x3F | 0x40;
    serial
}

fn firmware_extension(
    platform: &Platform,
    identity: FirmwareIdentity,
    device: &str,
) -> CustomExtension {
    let firmware_id = platform.firmware_id();
    match identity {
        FirmwareIdentity::CompositeDevice => {
            let device_key = Key::named(&format!("{device} device id"));
            let content = composite_device(&device_key, &firmware_id);
            CustomExtension::from_oid_content(&COMPOSITE_DEVICE_OID, content)
        }
        FirmwareIdentity::TcbInfo => {
            CustomExtension::from_oid_content(&TCB_INFO_OID, tcb_info(platform, &firmware_id))
        }
    }
}

/// Version, the device's own public key, and the digest of its firmware.
fn composite_device(device_key: &Key, firmware_id: &[u8; 48]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_u8(1);
            fields.next().write_sequence(|key| {
                key.next().write_sequence(|algorithm| {
                    algorithm.next().write_oid(&oid(&EC_KEY_OID));
                    algorithm.next().write_oid(&oid(&P384_OID));
                });
                let bits = device_key.point().len() * 8;
                key.next().write_bitvec_bytes(device_key.point(), bits);
            });
            fields.next().write_sequence(|digest| {
                digest.next().write_oid(&oid(&SHA384_OID));
                digest.next().write_bytes(firmware_id);
            });
        });
    })
}

/// Vendor, model, version, SVN, layer, index, two digests (the second of zeros), flags, vendor
/// information and type.
fn tcb_info(platform: &Platform, firmware_id: &[u8; 48]) -> Vec<u8> {
    let model = format!("{} A01 {} SIMULATED", platform.chip, platform.signer);
    let fields: [(u64, &[u8]); 6] =
        [(0, b"SIMULATED"), (1, model.as_bytes()), (2, b"01"), (3, &[1]), (4, &[0]), (5, &[0])];
    let last: [(u64, &[u8]); 3] = [(7, &[0, 0x80, 0, 0, 1]), (8, &[0xC0]), (9, &[0])];
    yasna::construct_der(|writer| {
        writer.write_sequence(|sequence| {
            for (tag, bytes) in fields {
                let next = sequence.next();
                next.write_tagged_implicit(Tag::context(tag), |field| field.write_bytes(bytes));
            }
            sequence.next().write_tagged_implicit(Tag::context(6), |digests| {
                digests.write_sequence(|digests| {
                    for digest in [firmware_id, &[0; 48]] {
                        digests.next().write_sequence(|pair| {
                            pair.next().write_oid(&oid(&SHA384_OID));
                            pair.next().write_bytes(digest);
                        });
                    }
                });
            });
            for (tag, bytes) in last {
                let next = sequence.next();
                next.write_tagged_implicit(Tag::context(tag), |field| field.write_bytes(bytes));
            }
        });
    })
}

/// The certificates behind a manifest, signer first.
#[derive(Clone)]
pub(super) struct RimCertificates {
    root: Certified,
    authority: Certified,
    intermediate: Certified,
    pub(super) signer: Certified,
}

impl RimCertificates {
    /// A signer whose time ends where the caller says.
    pub(super) fn of(
        platform: &Platform,
        root: &Certified,
        signer_ends: OffsetDateTime,
    ) -> RimCertificates {
        let (product, under) = (platform.product, hex(&Sha256::digest(&root.der)[..4]));
        let subject = |name: String| {
            let mut subject =
                Subject::authority(Name::of(&name), &format!("{name} {under}"), end_of_manifests());
            subject.extensions = vec![ocsp_address()];
            subject
        };
        let mut authority = subject(format!("Reference Value {product} CA SIMULATED"));
        authority.revocation_list = Some(format!("{CRL_URL}l1-corim"));
        let authority = root.issue(authority);
        let mut intermediate = subject(format!("Reference Value L3 {product} 001 SIMULATED"));
        intermediate.role = Role::Authority { revokes: true, path_length: Some(0) };
        let intermediate = authority.issue(intermediate);
        let mut signer = subject(format!("Reference Value L4 {product} SIMULATED"));
        signer.role = Role::Signer { explicit: true };
        signer.not_after = signer_ends;
        let signer = intermediate.issue(signer);
        RimCertificates { root: root.clone(), authority, intermediate, signer }
    }

    /// DER, signer first.
    pub(super) fn chain(&self) -> [&[u8]; 4] {
        [&self.signer, &self.intermediate, &self.authority, &self.root]
            .map(|certified| certified.der.as_slice())
    }

    /// The certificates that revocation is asked about, each with its issuer.
    pub(super) fn revocable(&self) -> [(&Certified, &Certified); 3] {
        [
            (&self.signer, &self.intermediate),
            (&self.intermediate, &self.authority),
            (&self.authority, &self.root),
        ]
    }
}

/// Long after any test, as on real devices.
fn end_of_devices() -> OffsetDateTime {
    date_time_ymd(9999, 12, 31) + Duration::seconds(86_399)
}

/// The last day that certificates write with two digits for the year.
pub(super) fn end_of_manifests() -> OffsetDateTime {
    date_time_ymd(2049, 12, 31)
}

impl Subject {
    fn authority(name: Name, key_name: &str, not_after: OffsetDateTime) -> Subject {
        // Some have their top bit set, as many genuine ones do; all are as long.
        let mut serial = Sha256::digest(format!("serial {key_name}"))[..16].to_vec();
        serial[0] |= 0x40;
        Subject {
            name,
            key: Key::named(key_name),
            serial,
            role: AUTHORITY,
            not_after,
            extensions: Vec::new(),
            alternative_name: None,
            revocation_list: None,
        }
    }

    fn parameters(&self) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        // Tests run at whatever time they like; answers about revocation are what is dated.
        parameters.not_before = date_time_ymd(1970, 1, 1);
        parameters.not_after = self.not_after;
        parameters.serial_number = Some(SerialNumber::from_slice(&self.serial));
        parameters.distinguished_name = self.name.distinguished();
        parameters.use_authority_key_identifier_extension = true;
        parameters.custom_extensions = self.extensions.clone();
        parameters.subject_alt_names = self.alternative_name.iter().cloned().collect();
        parameters.crl_distribution_points = self
            .revocation_list
            .iter()
            .map(|url| CrlDistributionPoint { uris: vec![url.clone()] })
            .collect();
        match self.role {
            Role::Authority { revokes, path_length } => {
                let constraints = path_length
                    .map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained);
                parameters.is_ca = IsCa::Ca(constraints);
                parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
                parameters.key_usages.extend(revokes.then_some(KeyUsagePurpose::CrlSign));
            }
            Role::Signer { explicit } => {
                parameters.is_ca = if explicit { IsCa::ExplicitNoCa } else { IsCa::NoCa };
                parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }
            Role::OcspResponder => {
                parameters.is_ca = IsCa::ExplicitNoCa;
                parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            }
        }
        parameters
    }

    fn certified(
        self,
        parameters: CertificateParams,
        certificate: rcgen::Certificate,
    ) -> Certified {
        Certified {
            parameters,
            key: self.key,
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            serial: self.serial,
            name: self.name.der(),
        }
    }
}

/// A subject's name: a device's number where it has one, the organisation, a common name.
struct Name {
    serial: Option<String>,
    common: String,
}

impl Name {
    fn of(common: &str) -> Name {
        Name { serial: None, common: common.into() }
    }

    fn with_serial(serial: &[u8], common: &str) -> Name {
        Name { serial: Some(hex(serial).to_uppercase()), common: common.into() }
    }

    fn distinguished(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Some(serial) = &self.serial {
            let serial = serial.as_str().try_into().expect("hex digits are printable");
            let kind = DnType::CustomDnType(SERIAL_NUMBER_OID.to_vec());
            name.push(kind, DnValue::PrintableString(serial));
        }
        name.push(DnType::OrganizationName, DnValue::Utf8String(ORGANISATION.into()));
        name.push(DnType::CommonName, DnValue::Utf8String(self.common.clone()));
        name
    }

    /// The same in DER, for those who hash it.
    fn der(&self) -> Vec<u8> {
        let (organisation, common) = (DnType::OrganizationName, DnType::CommonName);
        yasna::construct_der(|writer| {
            writer.write_sequence(|parts| {
                if let Some(serial) = &self.serial {
                    parts.next().write_set(|set| {
                        set.next().write_sequence(|pair| {
                            pair.next().write_oid(&oid(&SERIAL_NUMBER_OID));
                            pair.next().write_printable_string(serial);
                        });
                    });
                }
                for (kind, value) in [(organisation, ORGANISATION), (common, &self.common)] {
                    parts.next().write_set(|set| {
                        set.next().write_sequence(|pair| {
                            pair.next().write_oid(&oid(dn_oid(&kind)));
                            pair.next().write_utf8_string(value);
                        });
                    });
                }
            });
        })
    }
}

fn dn_oid(kind: &DnType) -> &'static [u64] {
    match kind {
        DnType::CommonName => &[2, 5, 4, 3],
        _ => &[2, 5, 4, 10],
    }
}

/// Where one would ask about revocation.
fn ocsp_address() -> CustomExtension {
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|places| {
            places.next().write_sequence(|place| {
                place.next().write_oid(&oid(&OCSP_OID));
                place.next().write_tagged_implicit(Tag::context(6), |address| {
                    address.write_ia5_string(OCSP_URL);
                });
            });
        });
    });
    CustomExtension::from_oid_content(&AUTHORITY_ACCESS_OID, content)
}

pub(super) fn oid(components: &[u64]) -> ObjectIdentifier {
    ObjectIdentifier::from_slice(components)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(outer: &[u8], inner: &[u8]) -> bool {
        outer.windows(inner.len()).any(|window| window == inner)
    }

    #[test]
    fn the_name_that_is_hashed_is_the_one_in_the_certificate() {
        let platform = &super::super::platform::HOPPER;
        let authorities = DeviceAuthorities::of(platform, &Certified::device_root("root"));
        let faults = CertificateFaults::default();
        let device = DeviceCertificates::of(platform, &authorities, "device", faults);
        assert!(contains(&device.firmware.der, &device.boot_rom.name));
        assert!(contains(&device.boot_rom.der, &authorities.provisioner.name));
        assert!(contains(&authorities.identity.der, &authorities.root.name));
    }
}
