//! Answers about single certificates (RFC 6960), signed by a responder of the issuing authority.

use sha2::{Digest, Sha384};
use time::OffsetDateTime;
use yasna::tags::TAG_GENERALIZEDTIME;
use yasna::{DERWriter, Tag};

use super::pki::{Certified, SHA384_OID, oid};

const BASIC_RESPONSE_OID: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
const ECDSA_SHA384_OID: [u64; 7] = [1, 2, 840, 10045, 4, 3, 3];

/// What a responder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Good,
    /// With the reason's number.
    Revoked(i64),
    Unknown,
}

pub(super) const KEY_COMPROMISE: i64 = 1;
pub(super) const CERTIFICATE_HOLD: i64 = 6;

/// When an answer counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

/// One answer, before it is signed.
pub(super) struct Answer<'a> {
    pub(super) subject: &'a Certified,
    /// Who issued the subject.
    pub(super) issuer: &'a Certified,
    /// Who signs the answer.
    pub(super) responder: &'a Certified,
    pub(super) status: Status,
    pub(super) window: Window,
    /// Whether the signature gets a flipped bit.
    pub(super) broken: bool,
}

impl Answer<'_> {
    /// The whole OCSPResponse.
    pub(super) fn der(&self) -> Vec<u8> {
        let basic = self.basic_response();
        yasna::construct_der(|writer| {
            writer.write_sequence(|fields| {
                fields.next().write_enum(0);
                fields.next().write_tagged(Tag::context(0), |bytes| {
                    bytes.write_sequence(|pair| {
                        pair.next().write_oid(&oid(&BASIC_RESPONSE_OID));
                        pair.next().write_bytes(&basic);
                    });
                });
            });
        })
    }

    fn basic_response(&self) -> Vec<u8> {
        let data = yasna::construct_der(|writer| self.write_data(writer));
        let mut signature = self.responder.key.sign_der(&data);
        if self.broken {
            *signature.last_mut().expect("a signature is not empty") ^= 1;
        }
        yasna::construct_der(|writer| {
            writer.write_sequence(|fields| {
                fields.next().write_der(&data);
                fields.next().write_sequence(|algorithm| {
                    algorithm.next().write_oid(&oid(&ECDSA_SHA384_OID));
                });
                fields.next().write_bitvec_bytes(&signature, signature.len() * 8);
                fields.next().write_tagged(Tag::context(0), |certificates| {
                    certificates.write_sequence_of(|list| {
                        list.next().write_der(&self.responder.der);
                    });
                });
            });
        })
    }

    fn write_data(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|fields| {
            let by_name = fields.next();
            by_name.write_tagged(Tag::context(1), |name| name.write_der(&self.responder.name));
            write_time(fields.next(), self.window.from);
            fields.next().write_sequence_of(|answers| {
                answers.next().write_sequence(|single| {
                    write_certificate_id(single.next(), self.subject, self.issuer);
                    write_status(single.next(), self.status, self.window.from);
                    write_time(single.next(), self.window.from);
                    single.next().write_tagged(Tag::context(0), |next_update| {
                        write_time(next_update, self.window.until);
                    });
                });
            });
        });
    }
}

fn write_certificate_id(writer: DERWriter<'_>, subject: &Certified, issuer: &Certified) {
    writer.write_sequence(|id| {
        id.next().write_sequence(|algorithm| {
            algorithm.next().write_oid(&oid(&SHA384_OID));
            algorithm.next().write_null();
        });
        id.next().write_bytes(&Sha384::digest(&issuer.name));
        id.next().write_bytes(&Sha384::digest(issuer.key.point()));
        id.next().write_bigint_bytes(&subject.serial, true);
    });
}

fn write_status(writer: DERWriter<'_>, status: Status, since: OffsetDateTime) {
    match status {
        Status::Good => writer.write_tagged_implicit(Tag::context(0), |none| none.write_null()),
        Status::Unknown => writer.write_tagged_implicit(Tag::context(2), |none| none.write_null()),
        Status::Revoked(reason) => writer.write_tagged_implicit(Tag::context(1), |revoked| {
            revoked.write_sequence(|fields| {
                write_time(fields.next(), since);
                fields.next().write_tagged(Tag::context(0), |field| field.write_enum(reason));
            });
        }),
    }
}

/// GeneralizedTime to the second.
fn write_time(writer: DERWriter<'_>, time: OffsetDateTime) {
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    writer.write_tagged_implicit(TAG_GENERALIZEDTIME, |bytes| bytes.write_bytes(text.as_bytes()));
}
