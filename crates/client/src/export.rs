//! A receipt with everything that it takes to check it offline, for years.
//!
//! The file is JSON; what is signed stands in it as the exact bytes that were signed. [`check`] needs no
//! network: it re-appraises the evidence, follows every signature, and names each check.

use serde::{Deserialize, Serialize};
use subrosa_chain::{BlockHead, Chain, ChainError, Network, Pinned, ReleaseSet};
use subrosa_protocol::{
    Address, B256, ChannelConfig, Domain, Message, Offer, Order, Receipt, SignatureError, Signed,
    Timestamp, encoding,
};
use subrosa_verifier::{
    Claims, Cpu, Evidence, Outcome, Policy, ReleaseKind, ReleaseProof, Releases, Report, Verdict,
    recheck,
};

use crate::kept::Kept;
use crate::visit::now;

mod releases;

/// What the file calls itself.
const KIND: &str = "subrosa-receipt/v1";

/// A bundle holds one evidence document and little else.
pub const BUNDLE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The released digests that a pod's evidence needs, and where they were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasesSeen {
    /// At which block of the chain; none where a network file pins them.
    pub block: Option<BlockSeen>,
    /// Measurements of images.
    pub measurements: Vec<B256>,
    /// Digests of models.
    pub models: Vec<B256>,
    /// That each of these digests stood on chain at that block; none where no node gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ReleaseProof>,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSeen {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

impl ReleasesSeen {
    pub(crate) fn pinned(pinned: &Pinned) -> ReleasesSeen {
        let Pinned { measurements, models, .. } = pinned.clone();
        ReleasesSeen { block: None, measurements, models, proof: None }
    }

    pub(crate) fn on_chain(set: &ReleaseSet) -> ReleasesSeen {
        ReleasesSeen {
            block: Some(BlockSeen::of(&set.at)),
            measurements: set.measurements.iter().copied().collect(),
            models: set.models.iter().copied().collect(),
            proof: None,
        }
    }

    /// Only what a pod's evidence needs of what the chain lists.
    pub(crate) fn needed_by(&self, claims: &Claims) -> ReleasesSeen {
        let mut models: Vec<B256> =
            claims.workload().models.iter().map(|model| model.manifest.digest()).collect();
        models.sort();
        models.dedup();
        models.retain(|model| self.models.contains(model));
        let measurement = claims.measurement();
        let released = self.measurements.contains(&measurement);
        let measurements = released.then_some(measurement).into_iter().collect();
        ReleasesSeen { block: self.block, measurements, models, proof: None }
    }

    /// The proof of these digests, taken now from this block.
    pub(crate) async fn prove(&mut self, chain: &Chain, at: &BlockHead) -> Result<(), ChainError> {
        self.proof = Some(chain.prove_releases(&self.digests(), at).await?);
        self.block = Some(BlockSeen::of(at));
        Ok(())
    }

    fn digests(&self) -> Vec<(ReleaseKind, B256)> {
        let of = |kind: ReleaseKind, digests: &[B256]| {
            digests.iter().map(move |digest| (kind, *digest)).collect::<Vec<_>>()
        };
        let mut all = of(ReleaseKind::Measurement, &self.measurements);
        all.extend(of(ReleaseKind::Model, &self.models));
        all
    }

    /// Only what a network file pins, where it pins any of a kind.
    pub(crate) fn restricted_to(mut self, pinned: &Pinned) -> ReleasesSeen {
        let keep = |seen: &mut Vec<B256>, pins: &[B256]| {
            seen.retain(|digest| pins.is_empty() || pins.contains(digest));
        };
        keep(&mut self.measurements, &pinned.measurements);
        keep(&mut self.models, &pinned.models);
        self
    }

    /// Only what a policy of one's own names, where it names any of a kind.
    pub(crate) fn narrowed_to(mut self, own: &Releases) -> ReleasesSeen {
        let keep = |seen: &mut Vec<B256>, named: &[B256]| {
            seen.retain(|digest| named.is_empty() || named.contains(digest));
        };
        keep(&mut self.measurements, &own.measurements);
        keep(&mut self.models, &own.models);
        self
    }

    pub(crate) fn to_releases(&self) -> Releases {
        Releases { measurements: self.measurements.clone(), models: self.models.clone() }
    }

    fn told(&self) -> String {
        match (self.block, &self.proof) {
            (Some(BlockSeen { number, hash }), Some(_)) => {
                format!("as block {number} ({hash}) proves them")
            }
            (Some(BlockSeen { number, hash }), None) => {
                format!("as the exporter saw them on chain at block {number} ({hash})")
            }
            (None, _) => "as the exporter's network file pinned them".into(),
        }
    }
}

impl BlockSeen {
    fn of(head: &BlockHead) -> BlockSeen {
        BlockSeen { number: head.number, hash: head.hash }
    }
}

/// A receipt and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    kind: String,
    /// Chain and escrow that every signature is bound to.
    domain: Domain,
    /// Signed by the pod's attested key, base64.
    receipt: String,
    /// Signed by the payer, base64.
    order: String,
    /// Signed by the pod's attested key, base64.
    offer: String,
    /// The channel's config, base64; none for an allow-listed address.
    channel: Option<String>,
    /// The evidence document, base64 of its exact bytes.
    evidence: String,
    /// The released digests as the exporter knew them.
    releases: ReleasesSeen,
    /// When it was exported.
    exported_at: Timestamp,
}

impl Bundle {
    /// The bundle of a question whose receipt is there.
    pub(crate) fn of(kept: Kept, domain: &Domain, now: Timestamp) -> Option<Bundle> {
        Some(Bundle {
            kind: KIND.into(),
            domain: *domain,
            receipt: kept.receipt?.to_base64(),
            order: kept.order.to_base64(),
            offer: kept.offer,
            channel: kept.channel.map(|config| encoding::to_base64(&config)),
            evidence: encoding::to_base64(&kept.evidence),
            releases: kept.releases,
            exported_at: now,
        })
    }

    /// Whether its releases were read from a chain and no proof of them was kept: the node gave none then.
    pub fn lacks_proof(&self) -> bool {
        self.releases.block.is_some() && self.releases.proof.is_none()
    }

    /// How many bytes the proof of its releases has, where there is one.
    pub fn proof_bytes(&self) -> Option<usize> {
        self.releases.proof.as_ref().map(ReleaseProof::size)
    }

    /// Has the chain prove the releases where no proof was kept, at the newest final block: what was
    /// released before and is not revoked there was released all the time between.
    ///
    /// # Errors
    /// [`ChainError`] where the node gives no proof; the bundle stays as it was.
    pub async fn prove(&mut self, chain: &Chain) -> Result<(), ChainError> {
        if !self.lacks_proof() {
            return Ok(());
        }
        let at = chain.finalised(now()).await?;
        self.releases.prove(chain, &at).await
    }
}

/// What a check of a bundle says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleReport {
    /// Whether every check passed or was waived.
    pub verdict: Verdict,
    /// The name of the policy that the evidence was held against.
    pub policy: &'static str,
    /// Whether the evidence may be simulated, and so proves nothing about hardware.
    pub simulated: bool,
    /// The time that everything was checked for.
    pub at: Timestamp,
    /// Where the released digests come from.
    pub releases_from: String,
    /// The checks, in their order.
    pub checks: Vec<BundleCheck>,
    /// The receipt in words, where it is accepted.
    pub told: Vec<String>,
}

/// One named check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleCheck {
    /// Its name.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What it protects against.
    pub protects: String,
    /// What was seen.
    pub seen: String,
}

/// A file that is no bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than any bundle.
    #[error("the file is longer than {BUNDLE_BYTES_MAX} bytes, so it is no exported receipt")]
    TooLong,
    /// Not the JSON of a bundle.
    #[error("the file is no exported receipt: export one with `subrosa receipts export`")]
    NotABundle,
    /// A member is not what it should be.
    #[error("the exported receipt is damaged: its member {member} cannot be read")]
    Member {
        /// The member.
        member: &'static str,
    },
}

/// What a bundle is held against.
#[derive(Clone, Copy, Default)]
pub struct Against<'a> {
    /// A policy of one's own; else the preset of the network's trust, else the strict one.
    pub policy: Option<&'a Policy>,
    /// The network: its trust, its chain and escrow, and the digests that it pins.
    pub network: Option<&'a Network>,
    /// The time to check for; else that of the receipt, which is the pod's word only.
    pub at: Option<Timestamp>,
    /// The hash of a block that the caller knows to be the chain's.
    pub block: Option<B256>,
    /// Whether the caller made the bundle from records of their own, and so saw the releases.
    pub own: bool,
}

/// Whether bytes say that they are an exported receipt; nothing else about them is looked at.
pub fn is_bundle(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Labelled {
        kind: String,
    }
    serde_json::from_slice(bytes).is_ok_and(|labelled: Labelled| labelled.kind == KIND)
}

/// Which processor the evidence in a bundle is of.
///
/// # Errors
/// [`Unreadable`] where the bytes are no bundle.
pub fn cpu(bytes: &[u8]) -> Result<Cpu, Unreadable> {
    Parts::read(bytes).map(|parts| parts.evidence.cpu().cpu())
}

/// Checks a bundle's bytes.
///
/// # Errors
/// [`Unreadable`] where the file is no bundle; everything else is a report.
pub fn check(bytes: &[u8], against: Against<'_>) -> Result<BundleReport, Unreadable> {
    let parts = Parts::read(bytes)?;
    let receipt = parts.receipt.unverified();
    let at = against.at.unwrap_or(receipt.issued_at);
    let (releases, releases_from) = parts.releases(against.network);
    let mut policy = match (against.policy, against.network) {
        (Some(policy), _) => policy.clone(),
        (None, Some(network)) if network.is_simulated() => Policy::simulated(Releases::default()),
        (None, _) => Policy::strict(Releases::default()),
    };
    policy.releases = releases.narrowed_to(&policy.releases).to_releases();

    let mut checks = Vec::new();
    let appraised = recheck(&parts.evidence, &policy, at);
    let report = match &appraised {
        Ok(rechecked) => rechecked.report(),
        Err(refusal) => refusal.report(),
    };
    take_report(report, &mut checks);
    let simulated = report.simulated;
    let claims = appraised.as_deref().ok();
    parts.check(claims, against.network, &mut checks);
    releases::check(&parts, &policy, against, &mut checks);
    let good = |check: &BundleCheck| matches!(check.outcome, Outcome::Passed | Outcome::Waived);
    let verdict = if checks.iter().all(good) { Verdict::Accepted } else { Verdict::Refused };
    let told = match (claims, verdict) {
        (Some(claims), Verdict::Accepted) => parts.tell(claims, against.at),
        _ => Vec::new(),
    };
    let policy = report.policy;
    Ok(BundleReport { verdict, policy, simulated, at, releases_from, checks, told })
}

fn take_report(report: &Report, checks: &mut Vec<BundleCheck>) {
    checks.extend(report.checks.iter().map(|check| BundleCheck {
        name: check.name.as_str().into(),
        outcome: check.outcome,
        protects: check.name.protects().into(),
        seen: check.seen.clone(),
    }));
}

/// A bundle whose members were read; nothing in it is believed yet.
struct Parts {
    bundle: Bundle,
    receipt: Signed<Receipt>,
    order: Signed<Order>,
    offer: Signed<Offer>,
    channel: Option<ChannelConfig>,
    evidence: Evidence,
}

impl Parts {
    fn read(bytes: &[u8]) -> Result<Parts, Unreadable> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let bundle: Bundle = serde_json::from_slice(bytes).map_err(|_| Unreadable::NotABundle)?;
        if bundle.kind != KIND {
            return Err(Unreadable::NotABundle);
        }
        let member = |member| move |_| Unreadable::Member { member };
        let evidence = encoding::from_base64(&bundle.evidence)
            .map_err(|_| Unreadable::Member { member: "evidence" })?;
        let channel = match &bundle.channel {
            None => None,
            Some(text) => {
                let damaged = Unreadable::Member { member: "channel" };
                let bytes = encoding::from_base64(text).map_err(|_| damaged)?;
                Some(ChannelConfig::decode(&bytes).map_err(|_| damaged)?)
            }
        };
        Ok(Parts {
            receipt: Signed::from_base64(&bundle.receipt).map_err(member("receipt"))?,
            order: Signed::from_base64(&bundle.order).map_err(member("order"))?,
            offer: Signed::from_base64(&bundle.offer).map_err(member("offer"))?,
            channel,
            evidence: Evidence::parse(&evidence)
                .map_err(|_| Unreadable::Member { member: "evidence" })?,
            bundle,
        })
    }

    /// The digests that count as released, and where they come from. A network file without a chain pins
    /// them all; one with a chain narrows what the exporter saw there.
    fn releases(&self, network: Option<&Network>) -> (ReleasesSeen, String) {
        let seen = &self.bundle.releases;
        match network {
            Some(network) if network.chain.is_none() => {
                (ReleasesSeen::pinned(&network.pinned), "as the network file pins them".into())
            }
            Some(network) => (seen.clone().restricted_to(&network.pinned), seen.told()),
            None => (seen.clone(), seen.told()),
        }
    }

    /// Everything beyond the evidence. Where the evidence is refused there is no signer to hold against.
    fn check(
        &self,
        claims: Option<&Claims>,
        network: Option<&Network>,
        checks: &mut Vec<BundleCheck>,
    ) {
        let domain = self.bundle.domain;
        let receipt = self.receipt.unverified();
        let order = self.order.unverified();
        let offer = self.offer.unverified();
        let home = network.map(|network| network.domain() == domain);
        let place = format!("chain {}, escrow {}", domain.chain_id, domain.escrow);
        checks.push(BundleCheck {
            name: "network".into(),
            outcome: match home {
                Some(true) => Outcome::Passed,
                Some(false) => Outcome::Failed,
                // There is nothing to compare with; the place is told.
                None => Outcome::Waived,
            },
            protects: "a receipt of another chain or escrow".into(),
            seen: place,
        });
        let mut note = |name: &str, protects: &str, outcome: Option<bool>, seen: String| {
            let outcome = match outcome {
                None => Outcome::Absent,
                Some(true) => Outcome::Passed,
                Some(false) => Outcome::Failed,
            };
            checks.push(BundleCheck {
                name: name.into(),
                outcome,
                protects: protects.into(),
                seen,
            });
        };

        let signed = |result: Result<Address, SignatureError>| {
            result.map_or_else(|error| error.to_string(), |by| format!("by {by}"))
        };
        let by_signer =
            |by: &Result<Address, SignatureError>| claims.map(|claims| *by == Ok(claims.signer()));
        let by = self.receipt.signer(&domain);
        note(
            "receipt_signature",
            "a receipt that no attested pod signed",
            by_signer(&by),
            signed(by),
        );
        let by = self.offer.signer(&domain);
        note("offer_signature", "prices that the pod never offered", by_signer(&by), signed(by));

        let workload = claims.map(|claims| {
            claims.workload_digest() == receipt.workload && offer.workload == receipt.workload
        });
        note(
            "workload_binding",
            "an answer of other code or models",
            workload,
            receipt.workload.to_string(),
        );
        let model = claims.map(|claims| claims.workload().model(&receipt.model).is_some());
        note(
            "model_measured",
            "weights that the image did not measure",
            model,
            receipt.model.to_string(),
        );

        let same_offer =
            self.offer.digest(&domain) == receipt.offer && order.offer == receipt.offer;
        note(
            "offer_binding",
            "prices of another offer",
            Some(same_offer),
            receipt.offer.to_string(),
        );
        let same_request =
            order.request_hash == receipt.request_hash && order.account == receipt.account;
        note(
            "order_binding",
            "an answer to another request",
            Some(same_request),
            receipt.request_hash.to_string(),
        );

        let authorizer = self.authorizer(&domain);
        let by = self.order.signer(&domain);
        let ordered = authorizer.map(|authorizer| by == Ok(authorizer));
        note(
            "order_signature",
            "an order that the payer never gave",
            Some(ordered == Some(true)),
            signed(by),
        );

        let fair = receipt.charged <= order.max_charge && self.charge_is_due();
        let seen = format!("{} of at most {}", receipt.charged, order.max_charge);
        note("charge", "a charge above the order or beyond what was counted", Some(fair), seen);
        let sums = receipt.cumulative >= receipt.charged && receipt.seq > 0;
        let seen = format!("number {}, {} in all", receipt.seq, receipt.cumulative);
        note("receipt_chain", "a receipt outside the account's chain", Some(sums), seen);
    }

    /// Who signs orders for the account: the channel's authorizer, or the allow-listed address itself.
    fn authorizer(&self, domain: &Domain) -> Option<Address> {
        let account = self.receipt.unverified().account;
        match &self.channel {
            Some(config) => (config.id(domain).0 == account.0).then_some(config.payer_authorizer),
            None => account.as_address(),
        }
    }

    /// A re-run of an answered order is free; every other charge follows from the counts.
    fn charge_is_due(&self) -> bool {
        let receipt = self.receipt.unverified();
        let Some(model) = self.offer.unverified().model(&receipt.model) else { return false };
        let due = model.price.charge(receipt.input_tokens, receipt.output_tokens);
        receipt.charged == due || receipt.charged.0 == 0
    }

    fn tell(&self, claims: &Claims, at_given: Option<Timestamp>) -> Vec<String> {
        let receipt = self.receipt.unverified();
        let name = claims.workload().model(&receipt.model).map_or("?", |model| model.name.as_str());
        let hardware = match claims.is_simulated() {
            true => "SIMULATED evidence, which proves nothing about hardware",
            false => "genuine hardware",
        };
        let block = claims.nonce();
        let checked = at_given.map(|at| format!("checked for {at}, the time given by you"));
        let mut told = vec![
            format!(
                "answered by {} on image {} ({hardware})",
                claims.signer(),
                claims.measurement()
            ),
            format!("with the weights {} ({name})", receipt.model),
            format!(
                "{} tokens read, {} written; {}",
                receipt.input_tokens,
                receipt.output_tokens,
                ending(receipt.outcome)
            ),
            format!(
                "charged {} atomic units, {} on this account in all",
                receipt.charged, receipt.cumulative
            ),
            format!(
                "issued at {} (time asserted by the pod only); evidence names block {} of chain {}",
                receipt.issued_at, block.block_number, block.chain_id
            ),
        ];
        told.extend(checked);
        told
    }
}

/// How an answer ended, in words.
fn ending(outcome: subrosa_protocol::Outcome) -> &'static str {
    match outcome {
        subrosa_protocol::Outcome::Complete => "the answer came to its own end",
        subrosa_protocol::Outcome::Cancelled => "the caller went away before its end",
        subrosa_protocol::Outcome::Limit => "the answer was cut at its limit",
        subrosa_protocol::Outcome::Failed => "the engine broke off",
    }
}
