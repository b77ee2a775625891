//! The box: one payer, one pod, a network that the test cuts, a clock that the test turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use subrosa_attester::Simulator;
use subrosa_channel::payee::{self, Admitted, ChainView, Ledgers, Moment, Run, Terms};
use subrosa_channel::payer;
use subrosa_protocol::manifest::{Layer, ModelManifest};
use subrosa_protocol::workload::{Backend, BackendKind, WorkloadModel};
use subrosa_protocol::*;
use subrosa_seal::{Fields, InnerRequest, Pacing, ResponseEvent};
use subrosa_session::client::{AskRefusal, Asking, Question};
use subrosa_session::pod::{self, Answering};
use subrosa_session::receipts::{self, Query};
use subrosa_verifier::{AttestedOffer, Block, Freshness, Nonce, Policy, Releases, verify};

pub const START: Timestamp = Timestamp(1_790_000_000);
const IMAGE: &str = "pod 0.1";
const DOMAIN: Domain = Domain { chain_id: 31_337, escrow: Address::new([0xe5; 20]) };
/// Enough for every question of a test.
pub const DEPOSIT: Amount = Amount(1_000_000);
pub const JSON: &str = "application/json";
/// What every answer here is made of; one token each.
pub const WORD: &[u8] = b"word ";

pub fn pod_key() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).unwrap()
}

pub fn payer_key() -> SecretKey {
    SecretKey::from_bytes(&[2; 32]).unwrap()
}

fn manifest() -> ModelManifest {
    let sha256 = B256::repeat_byte(0x3a);
    let layer = Layer { role: "weights".into(), path: "model.gguf".into(), size: 1_000, sha256 };
    ModelManifest::new(vec![layer]).unwrap()
}

fn workload() -> Workload {
    let model = WorkloadModel { name: "smollm2".into(), manifest: manifest(), settings: vec![] };
    Workload {
        image: IMAGE.into(),
        backend: Backend { kind: BackendKind::Builtin, in_image: true, pulls: false },
        exits: vec![],
        models: vec![model],
    }
}

fn offer(workload: B256) -> Offer {
    // One unit a token, so that charges read as token counts.
    let price = Price { input: Amount(1_000_000), output: Amount(1_000_000) };
    let model = ModelOffer {
        digest: manifest().digest(),
        price,
        template_bound: 4,
        context_tokens: 4_096,
        output_tokens_max: 512,
    };
    Offer {
        chain_id: DOMAIN.chain_id,
        escrow: DOMAIN.escrow,
        token: Address::repeat_byte(4),
        payee: Address::repeat_byte(5),
        signer: pod_key().address(),
        withdraw_delay: Duration(86_400),
        workload,
        models: vec![model],
        expires: START.after(Duration(86_400)),
    }
}

/// A pod that passed a policy, by the simulator's evidence: the only way to an order.
fn attested_offer() -> AttestedOffer {
    static OFFER: OnceLock<AttestedOffer> = OnceLock::new();
    OFFER.get_or_init(attest).clone()
}

fn attest() -> AttestedOffer {
    let keyset = Keyset { signer: pod_key().address(), not_after: START.after(Duration(90_000)) };
    let (keyset, workload) = (keyset.to_bytes(), workload().to_bytes());
    let block =
        Block { number: 40, hash: B256::repeat_byte(0xb1), timestamp: START.before(Duration(60)) };
    let nonce = Nonce {
        verifier: B256::ZERO,
        chain_id: DOMAIN.chain_id,
        block_number: block.number,
        block_hash: block.hash,
    };
    let evidence = Simulator::new(IMAGE).evidence(&nonce, &keyset, &workload, START).unwrap();
    let releases = Releases {
        measurements: vec![Simulator::measurement(IMAGE)],
        models: vec![manifest().digest()],
    };
    let finalised = Block { number: 44, hash: B256::repeat_byte(0xb2), timestamp: START };
    let chain =
        subrosa_verifier::ChainView { chain_id: DOMAIN.chain_id, finalised, named: Some(block) };
    let freshness = Freshness { nonce: None, chain: Some(chain) };
    let attested = verify(&evidence, &Policy::simulated(releases), &freshness, START).unwrap();
    let offer = Signed::sign(offer(attested.workload_digest()), &DOMAIN, &pod_key());
    attested.check_offer(&offer, &DOMAIN, START).unwrap()
}

/// A pod: ledgers, a disk of records, and answers in memory.
pub struct Pod {
    pub terms: Terms,
    pub ledgers: Ledgers,
    pub disk: Vec<payee::Record>,
    pub memory: BTreeMap<RequestId, Vec<ResponseEvent>>,
    pub chain: ChainView,
    offer: Offer,
}

/// An admitted order that is being answered.
pub struct Running {
    pub run: Run,
    salt: [u8; 32],
}

/// What a pod does with a request.
pub enum Received {
    Reply(Vec<ResponseEvent>),
    Running(Running),
}

impl Pod {
    /// Takes an opened request as far as its durable admission.
    pub fn receive(&mut self, request: &InnerRequest, now: Timestamp) -> Received {
        let payment = pod::payment(&request.envelope).unwrap().expect("questions bring an order");
        let id = payment.order.unverified().request_id;
        let asked = pod::asked(request, manifest().digest(), max_tokens(request));
        let checked = match self.terms.check(payment, &asked, now) {
            Ok(checked) => checked,
            Err(refusal) => return Received::Reply(self.refuse(&refusal, None, request)),
        };
        let account = checked.account();
        let chain = Some(ChainView { seen_at: now, ..self.chain });
        let moment = Moment { now, chain, remembered: self.memory.contains_key(&id) };
        let decision = self.ledgers.admit(checked, &moment);
        self.disk.extend(decision.records);
        match decision.verdict {
            Ok(Admitted::Run(run)) => {
                Received::Running(Running { run, salt: request.envelope.salt })
            }
            Ok(Admitted::Remembered { .. }) => Received::Reply(self.memory[&id].clone()),
            Err(refusal) => Received::Reply(self.refuse(&refusal, Some(account), request)),
        }
    }

    fn refuse(
        &self,
        refusal: &payee::Refusal,
        account: Option<Account>,
        request: &InnerRequest,
    ) -> Vec<ResponseEvent> {
        let ledger = account.and_then(|account| self.ledgers.get(&account));
        let fields = pod::refusal_fields(refusal, ledger, &request.path, &self.offer, Amount::ZERO);
        reply(pod::refusal_status(refusal), fields)
    }

    /// Generates so many words, charges them durably, and returns the answer as it leaves.
    pub fn answer(
        &mut self,
        running: Running,
        words: u64,
        outcome: Outcome,
        now: Timestamp,
    ) -> Vec<ResponseEvent> {
        let Running { run, salt } = running;
        let (id, price) = (run.request(), run.price());
        let mut answering = Answering::new(&salt, 200, JSON);
        let mut events = vec![ResponseEvent::Head { status: 200, headers: content_type() }];
        for _ in 0..words {
            answering.body(WORD);
            events.push(ResponseEvent::Body(Bytes::from_static(WORD)));
        }
        let metered = answering.metered(3, words, outcome);
        let charge = self.ledgers.charge(run, &metered, &pod_key(), now).unwrap();
        self.disk.extend(charge.records);
        let trailers = pod::receipt_fields(&charge.receipt, price, Amount::ZERO);
        events.extend([ResponseEvent::Trailers(trailers), ResponseEvent::End]);
        if outcome == Outcome::Complete {
            self.memory.insert(id, events.clone());
        }
        events
    }

    /// The engine broke before the first token.
    pub fn fail(&mut self, running: Running) -> Vec<ResponseEvent> {
        self.disk.extend(self.ledgers.release(running.run).unwrap());
        reply(503, Vec::new())
    }

    /// Loses what is in memory, and the last `unsynced` records.
    pub fn crash(&mut self, unsynced: usize) {
        self.disk.truncate(self.disk.len() - unsynced);
        self.memory.clear();
        self.ledgers = Ledgers::restore(DOMAIN, self.disk.iter().cloned()).unwrap();
    }

    /// A receipt, for the owner of the account alone.
    pub fn receipt(&self, request: &InnerRequest, now: Timestamp) -> Option<Signed<Receipt>> {
        let payment = pod::payment(&request.envelope).unwrap().unwrap();
        let hash = pod::request_hash(request);
        let account = self.terms.authorise(&payment, hash, now).unwrap();
        let query = Query::parse(&request.path).unwrap();
        self.charges()
            .find(|(id, rerun, receipt)| {
                let right = match query {
                    Query::Order(order) => **id == order && !rerun,
                    Query::Seq(seq) => receipt.unverified().seq == seq,
                };
                right && receipt.unverified().account == account
            })
            .map(|(_, _, receipt)| receipt.clone())
    }

    /// Order id, whether a second run, receipt.
    pub fn charges(&self) -> impl Iterator<Item = (&RequestId, bool, &Signed<Receipt>)> {
        self.disk.iter().filter_map(|record| match record {
            payee::Record::Charged { request, rerun, receipt, .. } => {
                Some((request, *rerun, receipt))
            }
            _ => None,
        })
    }
}

/// A payer: its ledger and a disk of records.
pub struct Payer {
    pub ledger: payer::Ledger,
    pub disk: Vec<payer::Record>,
}

impl Payer {
    pub fn crash(&mut self) {
        self.ledger = payer::Ledger::restore(DOMAIN, self.disk.iter().cloned()).unwrap();
    }
}

/// Both, the dice, and the time.
pub struct Pair {
    pub pod: Pod,
    pub payer: Payer,
    pub rng: StdRng,
    pub now: Timestamp,
    pub offer: AttestedOffer,
}

impl Pair {
    pub fn new(seed: u64) -> Pair {
        let offer = attested_offer();
        let config = ChannelConfig {
            payer: payer_key().address(),
            payer_authorizer: payer_key().address(),
            receiver: offer.payee,
            receiver_authorizer: offer.signer,
            token: offer.token,
            withdraw_delay: offer.withdraw_delay,
            salt: B256::ZERO,
        };
        let (mut ledger, opened) = payer::Ledger::open_channel(DOMAIN, config);
        let funded = ledger.fund(DEPOSIT);
        let chain = ChainView {
            balance: DEPOSIT,
            claimed: Amount::ZERO,
            withdraw_requested_at: None,
            seen_at: START,
        };
        let pod = Pod {
            terms: Terms::new(DOMAIN, offer.signer, [(*offer).clone()], []),
            ledgers: Ledgers::new(DOMAIN),
            disk: Vec::new(),
            memory: BTreeMap::new(),
            chain,
            offer: (*offer).clone(),
        };
        let payer = Payer { ledger, disk: vec![opened, funded] };
        Pair { pod, payer, rng: StdRng::seed_from_u64(seed), now: START, offer }
    }

    /// Orders a question of up to so many words; its order is on the payer's disk.
    pub fn ask(&mut self, max_tokens: u64) -> Asking {
        self.try_ask(max_tokens).unwrap()
    }

    pub fn try_ask(&mut self, max_tokens: u64) -> Result<Asking, AskRefusal> {
        let question = Question {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: content_type(),
            body: max_tokens.to_string().into_bytes(),
            model: manifest().digest(),
            max_tokens,
        };
        let (ledger, rng) = (&mut self.payer.ledger, &mut self.rng);
        let (asking, records) =
            Asking::begin(question, &self.offer, ledger, &payer_key(), rng, self.now)?;
        self.payer.disk.extend(records);
        Ok(asking)
    }

    pub fn request(&self, asking: &Asking) -> InnerRequest {
        asking.request(&self.payer.ledger, Pacing::Off, self.now)
    }

    /// Sends a question as it stands and expects the pod to run it.
    pub fn run(&mut self, asking: &Asking) -> Running {
        match self.pod.receive(&self.request(asking), self.now) {
            Received::Running(running) => running,
            Received::Reply(events) => panic!("expected a run, got {events:?}"),
        }
    }

    /// Sends a question as it stands and expects a reply without a run.
    pub fn reply(&mut self, asking: &Asking) -> VecDeque<ResponseEvent> {
        match self.pod.receive(&self.request(asking), self.now) {
            Received::Running(_) => panic!("expected a reply, got a run"),
            Received::Reply(events) => events.into(),
        }
    }

    /// Concludes a question, and persists what its ledger did.
    pub fn conclude(&mut self, asking: &mut Asking) -> subrosa_session::client::Ending {
        let conclusion = asking.conclude(&mut self.payer.ledger, &payer_key());
        self.payer.disk.extend(conclusion.records);
        conclusion.ending
    }

    /// Fetches one receipt inside the seal and shows it to the ledger.
    pub fn fetch(&mut self, query: Query) -> bool {
        let (ledger, offer) = (&self.payer.ledger, self.offer.digest());
        let (path, key) = (query.path(), payer_key());
        let request =
            receipts::own_request(path, offer, ledger, &key, &DOMAIN, &mut self.rng, self.now);
        let Some(receipt) = self.pod.receipt(&request, self.now) else { return false };
        let verdict = self.payer.ledger.accept(receipt, None);
        self.payer.disk.extend(verdict.records);
        verdict.outcome.unwrap();
        true
    }
}

fn max_tokens(request: &InnerRequest) -> u64 {
    std::str::from_utf8(&request.body).unwrap().parse().unwrap()
}

fn content_type() -> Fields {
    vec![("content-type".to_owned(), JSON.as_bytes().to_vec())]
}

fn reply(status: u16, mut headers: Fields) -> Vec<ResponseEvent> {
    headers.extend(content_type());
    vec![
        ResponseEvent::Head { status, headers },
        ResponseEvent::Trailers(Vec::new()),
        ResponseEvent::End,
    ]
}
