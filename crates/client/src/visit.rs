//! Visiting a pod: evidence, offer and keys over a connection that is not yet trusted, then a pinned one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use serde::Deserialize;
use subrosa_chain::{BlockHead, Chain};
use subrosa_protocol::{Address, B256, Domain, Signed, Timestamp};
use subrosa_verifier::{
    Attested, AttestedKeys, Block, ChainView, DOCUMENT_BYTES_MAX, Evidence, Freshness, NonceKind,
    Policy, Report,
};

use crate::export::ReleasesSeen;
use crate::pod::{Past, Pod};
use crate::transport::{Trust, http_client};

/// A pod has this long to answer each question about itself.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Offer and key config are far smaller.
const JSON_BYTES_MAX: usize = 256 * 1024;

/// What the registry says of a pod, or a network file without a chain.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: B256,
    pub(crate) endpoint: String,
    /// Signer and offer digest as registered; none without a registry.
    pub(crate) registered: Option<(Address, B256)>,
}

/// Why a pod may not be asked.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The check, by name.
    pub(crate) check: String,
    /// For people.
    pub(crate) reason: String,
    /// Where its evidence was appraised: all checks.
    pub(crate) report: Option<Report>,
}

impl Refused {
    fn new(check: &str, reason: impl ToString) -> Refused {
        Refused { check: check.into(), reason: reason.to_string(), report: None }
    }
}

/// The base URL that a text is, in its one spelling; none where it may not be spoken to. A registry
/// entry is anybody's text: only HTTPS is spoken, and no query or fragment may swallow the paths that
/// are appended, so that whoever registers a pod cannot choose what clients fetch from other machines.
pub(crate) fn endpoint(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none();
    let whole = url.query().is_none() && url.fragment().is_none();
    let usable = url.scheme() == "https" && url.has_host() && bare && whole;
    usable.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// What the checks are held against.
pub(crate) struct Terms<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) releases: &'a ReleasesSeen,
    /// The block at which the chain listed them.
    pub(crate) at: Option<BlockHead>,
    pub(crate) domain: Domain,
    pub(crate) chain: Option<&'a Chain>,
}

/// The time, as everything that is pure gets it.
pub(crate) fn now() -> Timestamp {
    // A clock before 1970 makes everything stale, which refuses.
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// Fetches and checks everything about a pod; `before` is what the last visit made of it.
pub(crate) async fn visit(
    listed: &Listed,
    terms: &Terms<'_>,
    before: Option<&Pod>,
    past: Past,
) -> Result<Pod, Refused> {
    let http = http_client(Trust::Unpinned).map_err(|error| Refused::new("tls", error))?;
    let (attested, document) = attest(listed, terms, &http).await?;
    let (offer, releases) =
        tokio::join!(fetch_offer(listed, &http), releases(terms, &attested, before));
    let offer = offer?;
    if let Some((signer, digest)) = listed.registered {
        if attested.signer() != signer {
            return Err(Refused::new(
                "signer_registered",
                "the attested key is not the registered one",
            ));
        }
        // Clients take only the registered offer, so that a price cannot differ from caller to caller.
        if offer.digest(&terms.domain) != digest {
            return Err(Refused::new("offer_registered", "the offer is not the registered one"));
        }
    }
    let attested_offer = attested
        .check_offer(&offer, &terms.domain, now())
        .map_err(|error| Refused::new("offer", error))?;
    let keys = fetch_keys(listed, &attested, &terms.domain, &http).await?;
    let pinned = pinned(&keys)?;
    Ok(Pod::new(
        listed.id,
        listed.endpoint.clone(),
        attested,
        attested_offer,
        offer.to_base64(),
        document,
        releases,
        (keys, pinned),
        past,
    ))
}

/// The releases that the pod's evidence needs, with the chain's proof of them where the node gives one:
/// nodes prove their newest blocks only, so it is taken now and kept with every question.
async fn releases(terms: &Terms<'_>, attested: &Attested, before: Option<&Pod>) -> ReleasesSeen {
    let (Some(chain), Some(at)) = (terms.chain, &terms.at) else { return terms.releases.clone() };
    let same = before.filter(|pod| pod.attested.evidence_digest() == attested.evidence_digest());
    if let Some(pod) = same
        && pod.releases.proof.is_some()
    {
        return pod.releases.clone();
    }
    let mut releases = terms.releases.needed_by(attested);
    if let Err(error) = releases.prove(chain, at).await {
        tracing::info!(%error, "the node proves no releases; receipts can be exported without");
    }
    releases
}

/// Fetches fresh keys of a pod that was attested before.
pub(crate) async fn renew(pod: &Pod, domain: &Domain) -> Result<(), Refused> {
    let listed = Listed { id: pod.id, endpoint: pod.endpoint.clone(), registered: None };
    let http = http_client(Trust::Unpinned).map_err(|error| Refused::new("tls", error))?;
    let keys = fetch_keys(&listed, &pod.attested, domain, &http).await?;
    let pinned = pinned(&keys)?;
    pod.renew_keys(keys, pinned);
    Ok(())
}

fn pinned(keys: &AttestedKeys) -> Result<reqwest::Client, Refused> {
    http_client(Trust::Pinned(keys.tls_key())).map_err(|error| Refused::new("tls", error))
}

async fn attest(
    listed: &Listed,
    terms: &Terms<'_>,
    http: &reqwest::Client,
) -> Result<(Attested, Vec<u8>), Refused> {
    let shared = terms.policy.nonce.kind == NonceKind::Shared && terms.chain.is_some();
    let nonce = (!shared).then(|| B256::from(rand::random::<[u8; 32]>()));
    let query = nonce.map(|nonce| format!("?nonce={}", hex::encode(nonce))).unwrap_or_default();
    let url = format!("{}/subrosa/v1/evidence{query}", listed.endpoint);
    let document = fetch(http, &url, DOCUMENT_BYTES_MAX).await?;
    let evidence =
        Evidence::parse(&document).map_err(|error| Refused::new("evidence_readable", error))?;
    let chain = match terms.chain {
        Some(chain) => Some(view(chain, &evidence).await?),
        None => None,
    };
    let freshness = Freshness { nonce, chain };
    match subrosa_verifier::verify(&evidence, terms.policy, &freshness, now()) {
        Ok(attested) => Ok((attested, document)),
        Err(refusal) => Err(Refused {
            check: refusal.failed().name.as_str().into(),
            reason: refusal.to_string(),
            report: Some(refusal.report().clone()),
        }),
    }
}

/// Our own node's view of the block that the evidence names.
async fn view(chain: &Chain, evidence: &Evidence) -> Result<ChainView, Refused> {
    let unread = |error: subrosa_chain::ChainError| Refused::new("chain_view", error);
    let head = chain.finalised(now()).await.map_err(unread)?;
    let number = evidence.nonce().block_number;
    let named =
        if number <= head.number { chain.block(number).await.map_err(unread)? } else { None };
    let block = |head: subrosa_chain::BlockHead| Block {
        number: head.number,
        hash: head.hash,
        timestamp: head.timestamp,
    };
    let chain_id = chain.domain().chain_id;
    Ok(ChainView { chain_id, finalised: block(head), named: named.map(block) })
}

#[derive(Deserialize)]
struct OfferAnswer {
    offer: String,
}

async fn fetch_offer(
    listed: &Listed,
    http: &reqwest::Client,
) -> Result<Signed<subrosa_protocol::Offer>, Refused> {
    let url = format!("{}/subrosa/v1/offer", listed.endpoint);
    let answer: OfferAnswer = json(&fetch(http, &url, JSON_BYTES_MAX).await?)?;
    Signed::from_base64(&answer.offer).map_err(|error| Refused::new("offer", error))
}

#[derive(Deserialize)]
struct KeysAnswer {
    key_config: String,
    liveness: String,
}

async fn fetch_keys(
    listed: &Listed,
    attested: &Attested,
    domain: &Domain,
    http: &reqwest::Client,
) -> Result<AttestedKeys, Refused> {
    let nonce = B256::from(rand::random::<[u8; 32]>());
    let url = format!("{}/subrosa/v1/keys?nonce={}", listed.endpoint, hex::encode(nonce));
    let answer: KeysAnswer = json(&fetch(http, &url, JSON_BYTES_MAX).await?)?;
    let malformed = |error| Refused::new("key_config", error);
    let config = Signed::from_base64(&answer.key_config).map_err(malformed)?;
    let liveness = Signed::from_base64(&answer.liveness).map_err(malformed)?;
    attested
        .check_key_config(&config, &liveness, &nonce, domain, now())
        .map_err(|error| Refused::new("key_config", error))
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes)
        .map_err(|_| Refused::new("readable", "the pod's answer is no JSON of ours"))
}

/// A bounded GET. What the pod says on failure is not repeated: it is the pod's text, not ours.
async fn fetch(http: &reqwest::Client, url: &str, bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let unreachable = || Refused::new("reachable", "the pod does not answer");
    let fetching = async {
        let response = http.get(url).send().await.map_err(|_| unreachable())?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(Refused::new("reachable", format!("the pod answers with status {status}")));
        }
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|_| unreachable())?);
            if body.len() > bytes_max {
                return Err(Refused::new("readable", "the pod's answer is too long"));
            }
        }
        Ok(body)
    };
    tokio::time::timeout(ANSWER_TIME, fetching).await.unwrap_or_else(|_| Err(unreachable()))
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn an_endpoint_is_a_bare_https_url() {
        assert_eq!(endpoint("https://pod.example/").as_deref(), Some("https://pod.example"));
        assert_eq!(
            endpoint("https://127.0.0.1:8443/a").as_deref(),
            Some("https://127.0.0.1:8443/a")
        );
        for wrong in [
            "",
            "pod.example",
            "http://pod.example",
            "file:///etc/passwd",
            "https://user@pod.example",
            "https://user:word@pod.example",
            "https://inner.example/reboot?now=",
            "https://inner.example/reboot?",
            "https://inner.example/reboot#",
        ] {
            assert_eq!(endpoint(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_has_no_control_characters_to_print() {
        let told = endpoint("https://pod.example/\u{1b}[2J\u{7}").unwrap();
        assert!(told.bytes().all(|byte| byte.is_ascii_graphic()), "{told}");
    }
}
