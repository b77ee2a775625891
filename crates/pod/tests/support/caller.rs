//! A caller: attests the pod, seals, orders, reads the answer, checks the receipt.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use subrosa_chain::{BlockHead, Chain};
use subrosa_channel::payer::{Draft, Ledger};
use subrosa_protocol::hash::{request_hash, response_hash};
use subrosa_protocol::{
    Amount, B256, ChannelConfig, ChannelId, Domain, Duration, KeyConfig, Liveness, Message, Offer,
    Order, Receipt, RequestId, SecretKey, Signed, Timestamp,
};
use subrosa_seal::{
    Envelope, Fields, InnerRequest, MEDIA_TYPE_REQUEST, Pacing, RequestSealer, ResponseEvent,
    ResponseOpener, field,
};
use subrosa_verifier::{
    AttestedOffer, Block, ChainView, Evidence, Freshness, Policy, Releases, verify,
};

use super::http;

/// A caller of one pod, with its ledger.
pub struct Caller {
    pub base: String,
    pub http: reqwest::Client,
    pub key: SecretKey,
    pub domain: Domain,
    pub keys: Vec<u8>,
    pub offer: Signed<Offer>,
    pub ledger: Ledger,
    pub config: Option<ChannelConfig>,
    pub pacing: Pacing,
}

/// One question, which can be put again with the same order.
#[derive(Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: Vec<u8>,
    pub salt: [u8; 32],
    pub id: RequestId,
}

/// An answer, opened.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    pub pieces: usize,
}

impl Ask {
    pub fn chat(body: serde_json::Value) -> Ask {
        Ask::new("POST", "/v1/chat/completions", body.to_string().into_bytes())
    }

    pub fn get(path: impl Into<String>) -> Ask {
        Ask::new("GET", path, Vec::new())
    }

    pub fn new(method: &'static str, path: impl Into<String>, body: Vec<u8>) -> Ask {
        Ask {
            method,
            path: path.into(),
            body,
            salt: rand::random(),
            id: RequestId(B256::from(rand::random::<[u8; 32]>())),
        }
    }

    fn content_type(&self) -> &'static str {
        if self.method == "POST" { "application/json" } else { "" }
    }

    pub fn hash(&self) -> B256 {
        request_hash(&self.salt, self.method, &self.path, self.content_type(), &self.body)
    }
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn text(&self) -> String {
        self.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let value = field(&self.headers, name).or_else(|| field(&self.trailers, name))?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    }

    pub fn receipt(&self) -> Signed<Receipt> {
        Signed::from_base64(&self.header("subrosa-receipt").expect("an answer has a receipt"))
            .unwrap()
    }

    pub fn hash(&self, salt: &[u8; 32]) -> B256 {
        let content_type = self.header("content-type").unwrap();
        response_hash(salt, self.status, &content_type, &self.body)
    }
}

pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

impl Caller {
    /// Attests a pod and fetches its keys and offer, checking all of it.
    pub async fn meet(
        address: SocketAddr,
        releases: Releases,
        eyes: Eyes,
        domain: Domain,
        key: SecretKey,
    ) -> Caller {
        let (base, http) = (format!("https://{address}"), http::client());
        let nonce = B256::from(rand::random::<[u8; 32]>());
        let query = format!("nonce={}", hex::encode(nonce));
        let evidence =
            http.get(format!("{base}/subrosa/v1/evidence?{query}")).send().await.unwrap();
        let evidence = Evidence::parse(&evidence.bytes().await.unwrap()).unwrap();
        let chain = eyes.look(evidence.nonce().block_number).await;
        let freshness = Freshness { nonce: Some(nonce), chain };
        let attested = verify(&evidence, &Policy::simulated(releases), &freshness, now()).unwrap();
        let keys: serde_json::Value =
            get_json(&http, &format!("{base}/subrosa/v1/keys?{query}")).await;
        let config = signed::<KeyConfig>(&keys["key_config"]);
        let liveness = signed::<Liveness>(&keys["liveness"]);
        let keys = attested.check_key_config(&config, &liveness, &nonce, &domain, now()).unwrap();
        let offer: serde_json::Value = get_json(&http, &format!("{base}/subrosa/v1/offer")).await;
        let offer = signed::<Offer>(&offer["offer"]);
        let _: AttestedOffer = attested.check_offer(&offer, &domain, now()).unwrap();
        let keys = keys.ohttp_keys().to_vec();
        let config = (!domain.is_chainless()).then(|| channel_of(&offer, &key));
        let (ledger, _) = match &config {
            Some(config) => Ledger::open_channel(domain, config.clone()),
            None => Ledger::open_free(domain, key.address(), attested.signer()),
        };
        Caller { base, http, key, domain, keys, offer, ledger, config, pacing: Pacing::Off }
    }

    /// Puts a question with a good order.
    pub async fn ask(&mut self, ask: &Ask) -> Answer {
        let envelope = self.envelope(ask);
        self.send(ask, envelope).await
    }

    /// Puts a question with this envelope.
    pub async fn send(&self, ask: &Ask, envelope: Envelope) -> Answer {
        let (sealed, opener) = self.seal(ask, envelope);
        let response = self.post(sealed).await;
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        read(response, opener).await
    }

    pub fn seal(&self, ask: &Ask, envelope: Envelope) -> (Vec<u8>, ResponseOpener) {
        let headers = match ask.content_type() {
            "" => Fields::new(),
            value => vec![("content-type".to_owned(), value.as_bytes().to_vec())],
        };
        let request = InnerRequest {
            method: ask.method.to_owned(),
            path: ask.path.clone(),
            headers,
            body: ask.body.clone(),
            envelope,
            pacing: self.pacing,
        };
        RequestSealer::new(&self.keys).unwrap().seal(&request).unwrap()
    }

    pub async fn post(&self, sealed: Vec<u8>) -> reqwest::Response {
        let request = self.http.post(format!("{}/subrosa/v1/ask", self.base));
        request.header("content-type", MEDIA_TYPE_REQUEST).body(sealed).send().await.unwrap()
    }

    /// An envelope without a payment.
    pub fn bare(&self, ask: &Ask) -> Envelope {
        Envelope { time: now(), salt: ask.salt, ..Envelope::default() }
    }

    /// An envelope with a good order, and a voucher where one is needed.
    pub fn envelope(&mut self, ask: &Ask) -> Envelope {
        if ask.method == "GET" {
            return self.own(ask);
        }
        let model = self.offer.unverified().models[0].clone();
        let draft = Draft {
            offer: self.offer.digest(&self.domain),
            model: model.digest,
            price: model.price,
            workload: self.offer.unverified().workload,
            request_id: ask.id,
            request_hash: ask.hash(),
            max_charge: self.max_charge(ask),
            expires: now().after(Duration(600)),
        };
        let placed = self.ledger.order(&draft, &self.key).unwrap();
        Envelope {
            channel_config: self.config.as_ref().map(Message::encode),
            order: Some(placed.order.to_bytes()),
            voucher: placed.voucher.map(|voucher| voucher.to_bytes()),
            last_receipt: self.ledger.last_receipt().map(Signed::to_bytes),
            ..self.bare(ask)
        }
    }

    /// An envelope with an order for something of the caller's own, which costs nothing.
    fn own(&self, ask: &Ask) -> Envelope {
        let order = Order {
            account: self.ledger.account(),
            offer: self.offer.digest(&self.domain),
            request_id: ask.id,
            request_hash: ask.hash(),
            max_charge: Amount::ZERO,
            ceiling: Amount::ZERO,
            expires: now().after(Duration(600)),
        };
        Envelope {
            channel_config: self.config.as_ref().map(Message::encode),
            order: Some(Signed::sign(order, &self.domain, &self.key).to_bytes()),
            ..self.bare(ask)
        }
    }

    /// The most that a question can cost; nothing for what is no question.
    pub fn max_charge(&self, ask: &Ask) -> Amount {
        let body: serde_json::Value = serde_json::from_slice(&ask.body).unwrap_or_default();
        let tokens = body["max_tokens"].as_u64().unwrap_or(0);
        match ask.method {
            "POST" => self.offer.unverified().models[0].max_charge(ask.body.len() as u64, tokens),
            _ => Amount::ZERO,
        }
    }

    /// The channel's id.
    pub fn channel(&self) -> ChannelId {
        self.config.as_ref().unwrap().id(&self.domain)
    }

    /// Checks an answer's receipt as a payer does, and takes it into the ledger.
    pub fn accept(&mut self, ask: &Ask, answer: &Answer) -> Receipt {
        let receipt = answer.receipt();
        let verdict = self.ledger.accept(receipt.clone(), Some(answer.hash(&ask.salt)));
        assert_eq!(verdict.outcome, Ok(ask.id));
        receipt.unverified().clone()
    }
}

/// How a verifier sees the chain.
pub enum Eyes {
    /// It needs none.
    Closed,
    /// Through the chain in memory.
    Memory(ChainView),
    /// Through a node.
    Node(Chain),
}

impl Eyes {
    async fn look(self, named: u64) -> Option<ChainView> {
        let chain = match self {
            Eyes::Closed => return None,
            Eyes::Memory(view) => return Some(view),
            Eyes::Node(chain) => chain,
        };
        let block = |head: BlockHead| Block {
            number: head.number,
            hash: head.hash,
            timestamp: head.timestamp,
        };
        let finalised = block(chain.finalised(now()).await.unwrap());
        let named = chain.block(named).await.unwrap().map(block);
        Some(ChainView { chain_id: chain.domain().chain_id, finalised, named })
    }
}

/// The channel that a payer with this key opens to the pod of this offer.
pub fn channel_of(offer: &Signed<Offer>, key: &SecretKey) -> ChannelConfig {
    let offer = offer.unverified();
    ChannelConfig {
        payer: key.address(),
        payer_authorizer: key.address(),
        receiver: offer.payee,
        receiver_authorizer: offer.signer,
        token: offer.token,
        withdraw_delay: offer.withdraw_delay,
        salt: B256::ZERO,
    }
}

/// Reads a sealed answer to its authenticated end.
pub async fn read(mut response: reqwest::Response, mut opener: ResponseOpener) -> Answer {
    let mut answer = Answer::default();
    while let Some(bytes) = response.chunk().await.unwrap() {
        for event in opener.push(&bytes).unwrap() {
            take(&mut answer, event);
        }
    }
    opener.finish().unwrap();
    answer
}

pub fn take(answer: &mut Answer, event: ResponseEvent) {
    match event {
        ResponseEvent::Head { status, headers } => {
            answer.status = status;
            answer.headers = headers;
        }
        ResponseEvent::Body(bytes) => {
            answer.pieces += 1;
            answer.body.extend_from_slice(&bytes);
        }
        ResponseEvent::Trailers(trailers) => answer.trailers = trailers,
        ResponseEvent::End => {}
    }
}

async fn get_json(http: &reqwest::Client, url: &str) -> serde_json::Value {
    http.get(url).send().await.unwrap().json().await.unwrap()
}

fn signed<T: Message>(value: &serde_json::Value) -> Signed<T> {
    Signed::from_base64(value.as_str().unwrap()).unwrap()
}
