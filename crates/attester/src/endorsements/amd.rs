//! AMD's key distribution service.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use subrosa_protocol::Timestamp;
use subrosa_verifier::{AmdCollateral, AmdProduct, AmdTcb, SnpReport};

use super::fetch::{Answer, FetchError, Fetcher, Question};
use super::{EndorseError, times};

/// The generations whose firmware wrote version 2 of the report, which does not name its chip.
const PRODUCTS_OF_VERSION_2: [AmdProduct; 2] = [AmdProduct::Milan, AmdProduct::Genoa];

/// The statuses by which the service says that it does not know what it was asked for.
const STATUSES_OF_UNKNOWN: [u16; 2] = [400, 404];

/// Turin's chips have short numbers; the service is asked without the zeros that fill them.
const TURIN_NUMBER_BYTES: usize = 8;

/// Three questions about the chip that made a report.
pub(super) async fn collateral(
    fetcher: &Fetcher,
    base: &str,
    report: &[u8],
    now: Timestamp,
) -> Result<AmdCollateral, EndorseError> {
    let unreadable = |_| EndorseError::Evidence("the SEV-SNP report cannot be read");
    let report = SnpReport::parse(report).map_err(unreadable)?;
    if report.chip_id() == [0; 64] {
        return Err(EndorseError::Evidence("the report hides its chip, let the host show it"));
    }
    let (product, vcek) = vcek(fetcher, base, &report, now).await?;
    let ask = |path: &str| Question::get(format!("{base}/vcek/v1/{product}/{path}"));
    let chain = fetcher.ask(&ask("cert_chain"), now, chain_ends).await?;
    let crl = fetcher.ask(&ask("crl"), now, list_ends).await?;
    let (authority, root) = authorities(&chain)?;
    Ok(AmdCollateral { vcek: vcek.body, ask: authority, ark: root, crl: crl.body })
}

/// The chip's certificate, and the generation under which the service has it.
async fn vcek(
    fetcher: &Fetcher,
    base: &str,
    report: &SnpReport<'_>,
    now: Timestamp,
) -> Result<(AmdProduct, Answer), EndorseError> {
    let question = |product| Question::get(vcek_address(base, product, report));
    if let Some(product) = report.product() {
        return Ok((product, fetcher.ask(&question(product), now, certificate_ends).await?));
    }
    let mut questions = PRODUCTS_OF_VERSION_2.map(|product| (product, question(product)));
    // What was found once is found again without asking in vain before.
    questions.sort_by_key(|(_, question)| !fetcher.has_kept(question, now));
    for (product, question) in questions {
        match fetcher.ask(&question, now, certificate_ends).await {
            Ok(vcek) if report.is_signed_by(&vcek.body) => return Ok((product, vcek)),
            Ok(_) => {}
            Err(EndorseError::Fetch(FetchError::Status { status, .. }))
                if STATUSES_OF_UNKNOWN.contains(&status) => {}
            Err(error) => return Err(error),
        }
    }
    Err(EndorseError::UnknownChip { service: base.to_owned() })
}

/// Where the certificate of a report's chip is, if the chip is of this generation.
///
/// It is asked for at the reported level, which may lag behind the current one: its key signed.
fn vcek_address(base: &str, product: AmdProduct, report: &SnpReport<'_>) -> String {
    let AmdTcb { fmc, boot_loader, tee, snp, microcode } = report.reported_tcb();
    let levels =
        format!("blSPL={boot_loader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}");
    let number = report.chip_id();
    let (number, levels) = match product {
        AmdProduct::Genoa | AmdProduct::Milan => (&number[..], levels),
        AmdProduct::Turin => (&number[..TURIN_NUMBER_BYTES], format!("fmcSPL={fmc:02}&{levels}")),
    };
    format!("{base}/vcek/v1/{product}/{}?{levels}", hex::encode(number))
}

pub(super) fn certificate_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    times::certificate_ends(&answer.body).ok_or_else(|| answer.wrong("it is no certificate"))
}

pub(super) fn list_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let ends = times::crl_ends(&answer.body);
    ends.ok_or_else(|| answer.wrong("it is no revocation list with a next update"))
}

pub(super) fn chain_ends(answer: &Answer) -> Result<Timestamp, EndorseError> {
    let (authority, _) = authorities(answer)?;
    times::certificate_ends(&authority).ok_or_else(|| answer.wrong("it holds no certificate"))
}

/// The authority that signs chips, and the root, DER each.
pub(super) fn authorities(answer: &Answer) -> Result<(Vec<u8>, Vec<u8>), EndorseError> {
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
    use crate::snp;

    fn report(product: AmdProduct) -> snp::SnpReport {
        snp::SnpReport::new(product, [0; 48], [0; 64])
    }

    #[test]
    fn the_chip_is_asked_for_under_its_generation_and_level() {
        let levels = "blSPL=01&teeSPL=02&snpSPL=07&ucodeSPL=208";
        for product in [AmdProduct::Milan, AmdProduct::Genoa] {
            let reported_tcb = [1, 2, 0, 0, 0, 0, 7, 208];
            let bytes = snp::SnpReport { reported_tcb, chip_id: [0xab; 64], ..report(product) };
            let bytes = bytes.sign();
            let address = vcek_address("kds", product, &SnpReport::parse(&bytes).unwrap());
            let chip = "ab".repeat(64);
            assert_eq!(address, format!("kds/vcek/v1/{product}/{chip}?{levels}"));
        }
        let reported_tcb = [1, 2, 3, 4, 0, 0, 0, 208];
        let turin = snp::SnpReport { reported_tcb, ..report(AmdProduct::Turin) }.sign();
        let address = vcek_address("kds", AmdProduct::Turin, &SnpReport::parse(&turin).unwrap());
        let chip = hex::encode(snp::chip_id(AmdProduct::Turin));
        let levels = "fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=208";
        assert_eq!(address, format!("kds/vcek/v1/Turin/{chip}?{levels}"));
    }
}
