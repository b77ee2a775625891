//! What AMD's certificate of a chip says of it (AMD document 57230, "VCEK certificate and KDS
//! interface specification").

use x509_cert::der::Decode;
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier};
use x509_cert::ext::Extension;

use super::report::chip_id_bytes;
use crate::certificate::Certificate;
use crate::policy::{AmdProduct, AmdTcb};

/// The arc of all of them.
const AMD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1");
const PRODUCT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
/// The arc of version numbers.
const TCB: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3");
const BOOT_LOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const CHIP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");

/// The tag of an OCTET STRING.
const OCTET_STRING: u8 = 0x04;

/// What a certificate says of its chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vcek {
    /// The generation.
    pub(crate) product: AmdProduct,
    /// The firmware for which the key was made.
    pub(crate) tcb: AmdTcb,
    /// The chip's number: 64 bytes, on Turin 8.
    pub(crate) chip_id: Vec<u8>,
}

impl Vcek {
    /// Reads the extensions of a chip's certificate.
    pub(crate) fn read(certificate: &Certificate) -> Result<Vcek, BadVcek> {
        let extensions = certificate.extensions();
        let product = read_product(value(extensions, PRODUCT)?)?;
        let fmc = match product {
            AmdProduct::Turin => read_number(extensions, FMC)?,
            AmdProduct::Genoa | AmdProduct::Milan => 0,
        };
        let tcb = AmdTcb {
            fmc,
            boot_loader: read_number(extensions, BOOT_LOADER)?,
            tee: read_number(extensions, TEE)?,
            snp: read_number(extensions, SNP)?,
            microcode: read_number(extensions, MICROCODE)?,
        };
        check_unused(extensions, product)?;
        let chip_id = read_chip_id(value(extensions, CHIP_ID)?, chip_id_bytes(product))?;
        Ok(Vcek { product, tcb, chip_id })
    }
}

/// The name of a generation, alone or with a stepping behind a hyphen.
fn read_product(value: &[u8]) -> Result<AmdProduct, BadVcek> {
    let text = Ia5StringRef::from_der(value).map_err(|_| BadVcek::Product)?;
    let name = text.as_str().split('-').next().unwrap_or_default();
    AmdProduct::ALL.into_iter().find(|product| product.as_str() == name).ok_or(BadVcek::Product)
}

/// Reads a chip's number: its bytes as they are, which may look like DER, or in an OCTET STRING. The
/// length alone tells which.
fn read_chip_id(value: &[u8], expected: usize) -> Result<Vec<u8>, BadVcek> {
    match value {
        raw if raw.len() == expected => Ok(raw.to_vec()),
        [OCTET_STRING, length, wrapped @ ..]
            if wrapped.len() == expected && usize::from(*length) == expected =>
        {
            Ok(wrapped.to_vec())
        }
        _ => Err(BadVcek::ChipId { got: value.len(), expected }),
    }
}

fn read_number(extensions: &[Extension], oid: ObjectIdentifier) -> Result<u8, BadVcek> {
    u8::from_der(value(extensions, oid)?).map_err(|_| BadVcek::Number { oid })
}

/// Version numbers that the report has no place for must be zero.
fn check_unused(extensions: &[Extension], product: AmdProduct) -> Result<(), BadVcek> {
    let used = |oid: &ObjectIdentifier| match *oid {
        FMC => product == AmdProduct::Turin,
        oid => [BOOT_LOADER, TEE, SNP, MICROCODE].contains(&oid),
    };
    for extension in extensions {
        let oid = extension.extn_id;
        let is_number = oid.parent() == Some(TCB);
        if is_number && !used(&oid) && read_number(extensions, oid)? != 0 {
            return Err(BadVcek::Number { oid });
        }
        // A certificate that says something new of its chip is not understood.
        if oid.starts_with(AMD) && !is_number && oid.parent() != Some(AMD) {
            return Err(BadVcek::Number { oid });
        }
    }
    Ok(())
}

fn value(extensions: &[Extension], oid: ObjectIdentifier) -> Result<&[u8], BadVcek> {
    let extension = extensions.iter().find(|extension| extension.extn_id == oid);
    extension.map(|found| found.extn_value.as_bytes()).ok_or(BadVcek::Missing { oid })
}

/// Why a certificate is of no chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadVcek {
    /// A chip's number of another length.
    #[error("the VCEK's chip id has {got} bytes, expected {expected}")]
    ChipId {
        /// Its length.
        got: usize,
        /// The length for this generation.
        expected: usize,
    },
    /// An extension is not there.
    #[error("the VCEK lacks the extension {oid}")]
    Missing {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// A version number that is none, or that nothing can be compared with.
    #[error("the VCEK has a version number at {oid} that this verifier cannot compare")]
    Number {
        /// Where.
        oid: ObjectIdentifier,
    },
    /// A generation that this verifier does not know.
    #[error("the VCEK is of a product that this verifier does not know")]
    Product,
}
