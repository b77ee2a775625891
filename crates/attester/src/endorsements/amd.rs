//! AMD's key distribution service.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use subrosa_protocol::Timestamp;
use subrosa_verifier::{AmdCollateral, AmdProduct};

use super::fetch::{Answer, Fetcher, Question};
use super::{EndorseError, times};

/// Bytes of an SEV-SNP report.
const REPORT_BYTES: usize = 1_184;

/// Which chip made a report, as the service names it.
struct Chip {
    product: &'static str,
    hwid: String,
    levels: String,
}

/// Three questions about the chip that made a report.
pub(super) async fn collateral(
    fetcher: &Fetcher,
    base: &str,
    report: &[u8],
    now: Timestamp,
) -> Result<AmdCollateral, EndorseError> {
    let Chip { product, hwid, levels } = Chip::of(report)?;
    let ask = |path: String| Question::get(format!("{base}/vcek/v1/{product}/{path}"));
    let vcek = fetcher.ask(&ask(format!("{hwid}?{levels}")), now, certificate_ends).await?;
    let chain = fetcher.ask(&ask("cert_chain".into()), now, chain_ends).await?;
    let crl = fetcher.ask(&ask("crl".into()), now, list_ends).await?;
    let (authority, root) = authorities(&chain)?;
    Ok(AmdCollateral { vcek: vcek.body, ask: authority, ark: root, crl: crl.body })
}

impl Chip {
    fn of(report: &[u8]) -> Result<Chip, EndorseError> {
        let report: &[u8; REPORT_BYTES] = report
            .try_into()
            .map_err(|_| EndorseError::Evidence("an SEV-SNP report has 1184 bytes"))?;
        let version = u32::from_le_bytes(field(report, 0));
        let (family, model) = (report[0x188], report[0x189]);
        let product = match AmdProduct::of_processor(family, model) {
            // Version 2 does not say. Milan's firmware writes it; Genoa's first did, which is older
            // than the strict policy accepts.
            _ if version == 2 => "Milan",
            Some(AmdProduct::Genoa) => "Genoa",
            Some(AmdProduct::Milan) => "Milan",
            Some(AmdProduct::Turin) => "Turin",
            None => {
                return Err(EndorseError::Evidence("the report is of a chip that is not known"));
            }
        };
        let chip_id: [u8; 64] = field(report, 0x1a0);
        if chip_id == [0; 64] {
            return Err(EndorseError::Evidence("the report hides its chip, let the host show it"));
        }
        // The certificate is of the reported level, which may lag behind the current one.
        let tcb: [u8; 8] = field(report, 0x180);
        let (hwid, levels) = match product {
            "Turin" => {
                let [fmc, boot, tee, snp, .., microcode] = tcb;
                let levels = format!(
                    "fmcSPL={fmc:02}&blSPL={boot:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}"
                );
                (hex::encode(&chip_id[..8]), levels)
            }
            _ => {
                let [boot, tee, .., snp, microcode] = tcb;
                let levels = format!(
                    "blSPL={boot:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}"
                );
                (hex::encode(chip_id), levels)
            }
        };
        Ok(Chip { product, hwid, levels })
    }
}

fn field<const N: usize>(report: &[u8; REPORT_BYTES], offset: usize) -> [u8; N] {
    report[offset..offset + N].try_into().expect("every field lies inside the report")
}

fn certificate_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    times::certificate_ends(&answer.body).ok_or_else(|| answer.wrong("it is no certificate"))
}

fn list_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let ends = times::crl_ends(&answer.body);
    ends.ok_or_else(|| answer.wrong("it is no revocation list with a next update"))
}

fn chain_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let (authority, _) = authorities(answer)?;
    times::certificate_ends(&authority).ok_or_else(|| answer.wrong("it holds no certificate"))
}

/// The authority that signs chips, and the root, DER each.
fn authorities(answer: &Answer) -> Result<(Vec<u8>, Vec<u8>), EndorseError> {
    let pem = CertificateDer::pem_slice_iter(&answer.body);
    let chain: Vec<_> = pem.collect::<Result<_, _>>().map_err(|_| answer.wrong("it is not PEM"))?;
    match chain.as_slice() {
        [authority, root] => Ok((authority.to_vec(), root.to_vec())),
        _ => Err(answer.wrong("it does not hold the authority and the root")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(version: u32, family: u8, model: u8) -> Vec<u8> {
        let mut report = vec![0; REPORT_BYTES];
        report[..4].copy_from_slice(&version.to_le_bytes());
        report[0x180..0x188].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 208]);
        (report[0x188], report[0x189]) = (family, model);
        report[0x1a0..0x1e0].copy_from_slice(&[0xab; 64]);
        report
    }

    #[test]
    fn the_chip_is_asked_for_under_its_generation_and_level() {
        let levels = "blSPL=01&teeSPL=02&snpSPL=07&ucodeSPL=208";
        for (report, product) in [
            (report(2, 0, 0), "Milan"),
            (report(3, 0x19, 0x01), "Milan"),
            (report(3, 0x19, 0x11), "Genoa"),
            (report(5, 0x19, 0xa0), "Genoa"),
        ] {
            let chip = Chip::of(&report).unwrap();
            assert_eq!((chip.product, chip.levels.as_str()), (product, levels));
            assert_eq!(chip.hwid, "ab".repeat(64));
        }
        let turin = Chip::of(&report(5, 0x1a, 0x02)).unwrap();
        assert_eq!((turin.product, turin.hwid), ("Turin", "ab".repeat(8)));
        assert_eq!(turin.levels, "fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=208");
    }

    #[test]
    fn a_report_that_names_no_chip_is_refused() {
        let mut hidden = report(3, 0x19, 0x01);
        hidden[0x1a0..0x1e0].fill(0);
        for wrong in [hidden, report(3, 0x18, 0), report(3, 0x1a, 0x50), vec![0; 1_183], vec![]] {
            assert!(matches!(Chip::of(&wrong), Err(EndorseError::Evidence(_))));
        }
    }
}
