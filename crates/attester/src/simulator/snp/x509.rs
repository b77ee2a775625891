//! Certificates and revocation lists as AMD writes them, byte by byte.

use subrosa_protocol::Timestamp;
use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, Tag};

use super::rsa::RsaKey;
use crate::AttestError;

const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];
const RSA: [u64; 7] = [1, 2, 840, 113_549, 1, 1, 1];
const RSASSA_PSS: [u64; 7] = [1, 2, 840, 113_549, 1, 1, 10];
const MGF1: [u64; 7] = [1, 2, 840, 113_549, 1, 1, 8];
const SHA384: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];
const EC_PUBLIC_KEY: [u64; 6] = [1, 2, 840, 10_045, 2, 1];
const SECP384R1: [u64; 5] = [1, 3, 132, 0, 34];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const CRL_NUMBER: [u64; 4] = [2, 5, 29, 20];

/// The version of certificates that have extensions.
const V3: u8 = 2;
/// The version of lists that have extensions.
const V2: u8 = 1;

/// An extension of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpExtension {
    /// Which.
    pub oid: Vec<u64>,
    /// Whether it must be understood.
    pub critical: bool,
    /// Its value, without the OCTET STRING around it.
    pub value: Vec<u8>,
}

/// What a certificate says.
pub(crate) struct Certificate<'a> {
    pub(crate) serial: u64,
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) key: PublicKey<'a>,
    pub(crate) extensions: &'a [SnpExtension],
}

/// The key of a certificate.
pub(crate) enum PublicKey<'a> {
    /// RSAPublicKey, DER.
    Rsa(&'a [u8]),
    /// An uncompressed point of P-384.
    P384(&'a [u8]),
}

/// What a revocation list says.
pub(crate) struct RevocationList<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) serials: &'a [u64],
    pub(crate) extensions: &'a [SnpExtension],
}

impl Certificate<'_> {
    /// The certificate, DER.
    pub(crate) fn sign(&self, key: &RsaKey) -> Result<Vec<u8>, AttestError> {
        let (from, until) = (Moment::of(self.from)?, Moment::of(self.until)?);
        let inner = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(V3));
                writer.next().write_u64(self.serial);
                write_algorithm(writer.next());
                write_name(writer.next(), self.issuer);
                writer.next().write_sequence(|writer| {
                    from.write(writer.next());
                    until.write(writer.next());
                });
                write_name(writer.next(), self.subject);
                self.key.write(writer.next());
                write_extensions(writer.next(), 3, self.extensions);
            });
        });
        Ok(seal(&inner, key))
    }
}

impl RevocationList<'_> {
    /// The list, DER.
    pub(crate) fn sign(&self, key: &RsaKey) -> Result<Vec<u8>, AttestError> {
        let (from, until) = (Moment::of(self.from)?, Moment::of(self.until)?);
        let number =
            SnpExtension { oid: CRL_NUMBER.into(), critical: false, value: vec![0x02, 0x01, 0x01] };
        let extensions = [&[number], self.extensions].concat();
        let inner = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_u8(V2);
                write_algorithm(writer.next());
                write_name(writer.next(), self.issuer);
                from.write(writer.next());
                until.write(writer.next());
                if !self.serials.is_empty() {
                    writer.next().write_sequence_of(|writer| {
                        for serial in self.serials {
                            writer.next().write_sequence(|writer| {
                                writer.next().write_u64(*serial);
                                from.write(writer.next());
                            });
                        }
                    });
                }
                write_extensions(writer.next(), 0, &extensions);
            });
        });
        Ok(seal(&inner, key))
    }
}

impl PublicKey<'_> {
    fn write(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| match self {
                PublicKey::Rsa(_) => {
                    write_oid(writer, &RSA);
                    writer.next().write_null();
                }
                PublicKey::P384(_) => {
                    write_oid(writer, &EC_PUBLIC_KEY);
                    write_oid(writer, &SECP384R1);
                }
            });
            let (PublicKey::Rsa(key) | PublicKey::P384(key)) = self;
            writer.next().write_bitvec_bytes(key, key.len() * 8);
        });
    }
}

/// What makes a certificate one of an authority.
pub(crate) fn authority_extensions() -> [SnpExtension; 2] {
    let constraints = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| writer.next().write_bool(true));
    });
    // keyCertSign and cRLSign, bits 5 and 6.
    let usage = yasna::construct_der(|writer| writer.write_bitvec_bytes(&[0x06], 7));
    let critical = |oid: [u64; 4], value| SnpExtension { oid: oid.into(), critical: true, value };
    [critical(BASIC_CONSTRAINTS, constraints), critical(KEY_USAGE, usage)]
}

/// What was signed, how, and the signature.
fn seal(inner: &[u8], key: &RsaKey) -> Vec<u8> {
    let signature = key.sign(inner);
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(inner);
            write_algorithm(writer.next());
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    })
}

/// RSASSA-PSS with its parameters, the trailer spelled out as AMD does.
fn write_algorithm(writer: DERWriter<'_>) {
    let write_hash = |writer: DERWriter<'_>| {
        writer.write_sequence(|writer| {
            write_oid(writer, &SHA384);
            writer.next().write_null();
        });
    };
    writer.write_sequence(|writer| {
        write_oid(writer, &RSASSA_PSS);
        writer.next().write_sequence(|writer| {
            writer.next().write_tagged(Tag::context(0), write_hash);
            writer.next().write_tagged(Tag::context(1), |writer| {
                writer.write_sequence(|writer| {
                    write_oid(writer, &MGF1);
                    write_hash(writer.next());
                });
            });
            writer.next().write_tagged(Tag::context(2), |writer| writer.write_u8(48));
            writer.next().write_tagged(Tag::context(3), |writer| writer.write_u8(1));
        });
    });
}

fn write_name(writer: DERWriter<'_>, common_name: &str) {
    writer.write_sequence(|writer| {
        for (oid, text) in [(&ORGANIZATION, "Subrosa SIMULATED"), (&COMMON_NAME, common_name)] {
            writer.next().write_set(|writer| {
                writer.next().write_sequence(|writer| {
                    write_oid(writer, oid);
                    writer.next().write_utf8_string(text);
                });
            });
        }
    });
}

fn write_extensions(writer: DERWriter<'_>, tag: u64, extensions: &[SnpExtension]) {
    writer.write_tagged(Tag::context(tag), |writer| {
        writer.write_sequence_of(|writer| {
            for extension in extensions {
                writer.next().write_sequence(|writer| {
                    write_oid(writer, &extension.oid);
                    if extension.critical {
                        writer.next().write_bool(true);
                    }
                    writer.next().write_bytes(&extension.value);
                });
            }
        });
    });
}

fn write_oid(writer: &mut DERWriterSeq<'_>, oid: &[u64]) {
    writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
}

/// A time as certificates spell it.
struct Moment {
    tag: u8,
    text: String,
}

impl Moment {
    fn of(at: Timestamp) -> Result<Moment, AttestError> {
        let clock = || AttestError::Clock { now: at };
        let seconds = i64::try_from(at.0).map_err(|_| clock())?;
        let at = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| clock())?;
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        let rest = format!("{:02}{day:02}{hour:02}{minute:02}{second:02}Z", u8::from(month));
        // RFC 5280: two digits of the year through 2049.
        Ok(match year {
            ..2050 => Moment { tag: 0x17, text: format!("{:02}{rest}", year % 100) },
            _ => Moment { tag: 0x18, text: format!("{year:04}{rest}") },
        })
    }

    fn write(&self, writer: DERWriter<'_>) {
        let length = u8::try_from(self.text.len()).expect("times have fifteen characters at most");
        let head = [self.tag, length];
        writer.write_der(&[&head, self.text.as_bytes()].concat());
    }
}
