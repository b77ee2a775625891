//! The simulator's certificates, shaped like Intel's: a root, a platform authority with the
//! platform's certificate under it, and a signer of TCB info.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq};

use super::key::Key;

/// Intel's extension with the platform's identity and security versions.
const SGX_EXTENSION: [u64; 7] = [1, 2, 840, 113741, 1, 13, 1];

pub(crate) const PPID: [u8; 16] = *b"subrosa-sim-ppid";
pub(crate) const FMSPC: [u8; 6] = [0x51, 0x0b, 0x05, 0xa0, 0x00, 0x00];
pub(crate) const PCE_ID: [u8; 2] = [0, 0];
/// The security version of each of the platform's sixteen components.
pub(crate) const COMPONENT_SVN: u8 = 5;
pub(crate) const PCE_SVN: u16 = 11;

/// The serial numbers of what is issued.
const ROOT_SERIAL: u64 = 1;
pub(crate) const PLATFORM_AUTHORITY_SERIAL: u64 = 2;
pub(crate) const TCB_SIGNER_SERIAL: u64 = 3;
pub(crate) const PCK_SERIAL: u64 = 4;

/// All certificates and the keys that go on signing.
pub(crate) struct Pki {
    root: Authority,
    platform_authority: Authority,
    tcb_signer_pem: String,
    pck_pem: String,
    pub(crate) tcb_signer_key: Key,
    pub(crate) pck_key: Key,
}

struct Authority {
    parameters: CertificateParams,
    key: Key,
    der: Vec<u8>,
    pem: String,
}

impl Pki {
    /// Makes the hierarchy under a root of this name.
    pub(crate) fn under(root_name: &str) -> Pki {
        let root = Authority::self_signed(root_name);
        let platform_authority = root.authority(&format!("{root_name}, platform authority"));
        let tcb_signer_key = Key::named(&format!("{root_name}, TCB signer"));
        let pck_key = Key::named(&format!("{root_name}, platform"));

        let tcb_signer = leaf(&format!("{root_name}, TCB signer"), TCB_SIGNER_SERIAL);
        let tcb_signer_pem = root.issue(&tcb_signer, &tcb_signer_key).pem();
        let mut pck = leaf(&format!("{root_name}, platform"), PCK_SERIAL);
        pck.custom_extensions =
            vec![CustomExtension::from_oid_content(&SGX_EXTENSION, sgx_extension())];
        let pck_pem = platform_authority.issue(&pck, &pck_key).pem();
        Pki { root, platform_authority, tcb_signer_pem, pck_pem, tcb_signer_key, pck_key }
    }

    pub(crate) fn root_der(&self) -> &[u8] {
        &self.root.der
    }

    /// The chain of the platform's certificate, as quotes carry it.
    pub(crate) fn pck_chain(&self) -> String {
        format!("{}{}{}", self.pck_pem, self.platform_authority.pem, self.root.pem)
    }

    pub(crate) fn platform_authority_chain(&self) -> String {
        format!("{}{}", self.platform_authority.pem, self.root.pem)
    }

    pub(crate) fn tcb_signer_chain(&self) -> String {
        format!("{}{}", self.tcb_signer_pem, self.root.pem)
    }

    /// What the root revoked, by serial numbers.
    pub(crate) fn root_crl(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        revoked: &[u64],
    ) -> Vec<u8> {
        self.root.crl(from, until, revoked)
    }

    /// What the platform authority revoked, by serial numbers.
    pub(crate) fn pck_crl(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        revoked: &[u64],
    ) -> Vec<u8> {
        self.platform_authority.crl(from, until, revoked)
    }
}

impl Authority {
    fn self_signed(name: &str) -> Authority {
        let (parameters, key) = (authority(name, ROOT_SERIAL), Key::named(name));
        let certificate = parameters.self_signed(&key).expect(ISSUES);
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Authority { parameters, key, der, pem }
    }

    fn authority(&self, name: &str) -> Authority {
        let (parameters, key) = (authority(name, PLATFORM_AUTHORITY_SERIAL), Key::named(name));
        let certificate = self.issue(&parameters, &key);
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Authority { parameters, key, der, pem }
    }

    fn issue(&self, parameters: &CertificateParams, key: &Key) -> rcgen::Certificate {
        parameters.signed_by(key, &self.issuer()).expect(ISSUES)
    }

    fn crl(&self, from: OffsetDateTime, until: OffsetDateTime, revoked: &[u64]) -> Vec<u8> {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: from,
            reason_code: None,
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
        parameters.signed_by(&self.issuer()).expect(ISSUES).der().to_vec()
    }

    fn issuer(&self) -> Issuer<'_, &Key> {
        Issuer::from_params(&self.parameters, &self.key)
    }
}

/// The reason that issuing cannot fail.
const ISSUES: &str = "fixed parameters and keys that are known to be good always issue";

fn authority(name: &str, serial: u64) -> CertificateParams {
    let mut parameters = certificate(name, serial);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn leaf(name: &str, serial: u64) -> CertificateParams {
    let mut parameters = certificate(name, serial);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters
}

fn certificate(name: &str, serial: u64) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    // Tests run at whatever time they like; collateral is what is dated.
    parameters.not_before = date_time_ymd(1970, 1, 1);
    parameters.not_after = date_time_ymd(2049, 12, 31);
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

/// The platform's identity: a sequence of pairs of an object identifier and a value.
fn sgx_extension() -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|pairs| {
            pair(pairs, &[1], |value| value.write_bytes(&PPID));
            pair(pairs, &[2], |value| value.write_sequence(security_versions));
            pair(pairs, &[3], |value| value.write_bytes(&PCE_ID));
            pair(pairs, &[4], |value| value.write_bytes(&FMSPC));
            pair(pairs, &[5], |value| value.write_enum(0));
            pair(pairs, &[7], |value| value.write_sequence(configuration));
        });
    })
}

fn security_versions(pairs: &mut DERWriterSeq<'_>) {
    for component in 1..=16 {
        pair(pairs, &[2, component], |value| value.write_u8(COMPONENT_SVN));
    }
    pair(pairs, &[2, 17], |value| value.write_u16(PCE_SVN));
    pair(pairs, &[2, 18], |value| value.write_bytes(&[COMPONENT_SVN; 16]));
}

/// As on servers: two threads a core, a platform that can grow, keys that Intel caches.
fn configuration(pairs: &mut DERWriterSeq<'_>) {
    for flag in 1..=3 {
        pair(pairs, &[7, flag], |value| value.write_bool(true));
    }
}

fn pair(pairs: &mut DERWriterSeq<'_>, below: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    let identifier = ObjectIdentifier::new([&SGX_EXTENSION, below].concat());
    pairs.next().write_sequence(|pair| {
        pair.next().write_oid(&identifier);
        value(pair.next());
    });
}
