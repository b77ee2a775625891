//! Tokens of NVIDIA's attestation service: a JWT (RFC 7519) over all GPUs, which names by digest one
//! JWT for each (RFC 9711, detached EAT bundle).
//!
//! A good one says that the service, whose keys the user gave, found nothing wrong with GPUs that
//! answered a nonce. Nothing is compared here, so a token never counts as evidence or collateral of
//! devices.

mod claims;
mod keys;
mod token;

use sha2::{Digest, Sha256};
use subrosa_nvidia_evidence::Utc;
use subrosa_protocol::{B256, Timestamp};

use super::endorsements::Endorsements;
use super::json::Foreign;
use crate::check::CheckName;
use crate::devices::DEVICES_MAX;
use crate::evidence::Unreadable;
use crate::json::Value;
use crate::kind::Kind;
use crate::policy::{Machines, Policy};
use crate::report::Checks;
use claims::{check_device, check_members};
pub(super) use keys::{ServiceKey, read_keys};
use token::{Statement, Token, shown};

/// A GPU's token has 2 to 4 kB. Names of keys and of issuers are as long as a token lets them be, and
/// compared whole.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// The names of devices are a word and a number.
const DEVICE_NAME_BYTES_MAX: usize = 32;

/// How the service names itself.
const ISSUER: &str = "https://nras.attestation.nvidia.com";
const SUBJECT: &str = "NVIDIA-PLATFORM-ATTESTATION";

/// How the service names GPUs; a number follows.
const GPU_PREFIX: &str = "GPU-";

const ES384: &str = "ES384";

/// An answer of NVIDIA's attestation service: its tokens, of which nothing was looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvidiaTokens {
    /// The token over all devices.
    overall: String,
    /// The name and the token of each device.
    devices: Vec<(String, String)>,
}

impl NvidiaTokens {
    /// Whether a list is one of tokens: it begins with a list that begins with `JWT`.
    pub(super) fn is_one(list: &[Value]) -> bool {
        let Some(Value::List(overall)) = list.first() else { return false };
        matches!(overall.first(), Some(Value::Text(kind)) if kind == "JWT")
    }

    /// Reads `[["JWT", token], {name: token, …}]`, which stands at `member`.
    pub(super) fn read(value: Value, member: &str) -> Result<NvidiaTokens, Unreadable> {
        let wrong = || Unreadable::WrongType {
            member: member.into(),
            expected: "a list of a JWT and of devices with theirs",
        };
        let Value::List(parts) = value else { return Err(wrong()) };
        let [Value::List(overall), Value::Object(devices)] = parts.as_slice() else {
            return Err(wrong());
        };
        let [Value::Text(kind), Value::Text(overall)] = overall.as_slice() else {
            return Err(wrong());
        };
        if kind != "JWT" {
            return Err(wrong());
        }
        if devices.len() > DEVICES_MAX {
            let (member, got) = (member.into(), devices.len());
            return Err(Unreadable::ListTooLong { member, got, max: DEVICES_MAX });
        }
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, token) in devices {
            let Value::Text(token) = token else { return Err(wrong()) };
            if name.len() > DEVICE_NAME_BYTES_MAX || read.iter().any(|(known, _)| known == name) {
                return Err(wrong());
            }
            read.push((name.clone(), token.clone()));
        }
        let longest = read.iter().map(|(_, token)| token.len()).chain([overall.len()]).max();
        match longest {
            Some(got) if got > TOKEN_BYTES_MAX => {
                let member = member.into();
                Err(Unreadable::MemberTooLong { member, got, max: TOKEN_BYTES_MAX })
            }
            _ => Ok(NvidiaTokens { overall: overall.clone(), devices: read }),
        }
    }
}

/// Examines the token over all devices, and each device's.
pub(super) fn examine(
    answer: &NvidiaTokens,
    endorsements: &Endorsements,
    nonce: Option<B256>,
    policy: &Policy,
    at: Timestamp,
) -> Checks {
    let mut checks = Checks::new(Kind::NvidiaToken);
    if let Err(error) = policy.check() {
        checks.fail(CheckName::NvidiaNrasVerified, error.to_string());
        return checks;
    }
    match policy.machines {
        Machines::Any => {
            checks.waive(CheckName::CpuIdRegistry, "any machine, the tokens name none")
        }
        Machines::Listed(_) => {
            let seen = "the service names no machine that could be listed";
            checks.fail(CheckName::CpuIdRegistry, seen);
            return checks;
        }
    }
    if let Some(tokens) = record(&mut checks, CheckName::NvidiaTokenStructure, read(answer)) {
        check(&tokens, endorsements.service_keys(), nonce, at, &mut checks);
    }
    checks
}

/// All tokens, as their structure has them; nothing of them is known to be signed.
struct Tokens {
    overall: Token,
    submodules: Vec<Submodule>,
    devices: Vec<Token>,
}

/// A device, as the token over all of them names it.
struct Submodule {
    name: String,
    sha256: [u8; 32],
}

impl Tokens {
    /// The token over all devices first.
    fn iter(&self) -> impl Iterator<Item = &Token> {
        [&self.overall].into_iter().chain(&self.devices)
    }
}

/// The checks in their order; those after the first that fails are not made.
fn check(
    tokens: &Tokens,
    keys: &[ServiceKey],
    nonce: Option<B256>,
    at: Timestamp,
    checks: &mut Checks,
) -> Option<()> {
    use CheckName::{
        NonceMatch, NvidiaClaims, NvidiaDistinctDevices, NvidiaNrasVerified, NvidiaTokenAlgorithm,
        NvidiaTokenBinding, NvidiaTokenValidity,
    };
    let overall = &tokens.overall.statement;
    record(checks, NvidiaTokenAlgorithm, each(tokens, check_algorithm).map(|()| told(ES384)))?;
    let validity = each(tokens, |token| check_validity(&token.statement, at));
    let until = Utc(overall.until.0);
    record(checks, NvidiaTokenValidity, validity.map(|()| told(format!("good until {until}"))))?;
    record(checks, NvidiaNrasVerified, check_signatures(tokens, keys))?;
    match nonce {
        Some(nonce) => {
            record(checks, NonceMatch, match_nonce(nonce, overall))?;
        }
        None => {
            let seen = "no nonce was given, and the one that the token repeats proves nothing";
            checks.absent(NonceMatch, seen);
        }
    }
    record(checks, NvidiaTokenBinding, check_devices_tokens(tokens))?;
    record(checks, NvidiaDistinctDevices, check_distinct(&tokens.devices))?;
    record(checks, NvidiaClaims, check_claims(tokens))?;
    Some(())
}

/// What was seen, beside nothing else.
fn told(seen: impl Into<String>) -> (String, ()) {
    (seen.into(), ())
}

/// Records a check, and goes on with what it found.
fn record<T>(
    checks: &mut Checks,
    name: CheckName,
    result: Result<(String, T), String>,
) -> Option<T> {
    match result {
        Ok((seen, found)) => {
            checks.pass(name, seen);
            Some(found)
        }
        Err(seen) => {
            checks.fail(name, seen);
            None
        }
    }
}

fn read(answer: &NvidiaTokens) -> Result<(String, Tokens), String> {
    let mut overall = Token::read("", &answer.overall)?;
    let submodules = read_submodules(&mut overall.statement.rest)?;
    let mut devices = Vec::new();
    for Submodule { name, .. } in &submodules {
        let found = answer.devices.iter().find(|(known, _)| known == name);
        let (_, text) = found.ok_or_else(|| format!("there is no token of {name}"))?;
        devices.push(Token::read(name, text)?);
    }
    if devices.len() != answer.devices.len() {
        return Err("there is a token of a device that the token over all does not name".into());
    }
    let seen = match devices.len() {
        1 => "a token over 1 GPU, and one of it".to_owned(),
        count => format!("a token over {count} GPUs, and one of each"),
    };
    Ok((seen, Tokens { overall, submodules, devices }))
}

/// `submods`: names, each with the digest of a token.
fn read_submodules(overall: &mut Foreign) -> Result<Vec<Submodule>, String> {
    let wrong = || "submods are not GPUs, each with the SHA-256 of its token".to_owned();
    let Ok(Some(Value::Object(entries))) = overall.take("submods") else { return Err(wrong()) };
    if entries.is_empty() || entries.len() > DEVICES_MAX {
        return Err(format!("submods name {} devices, from 1 to {DEVICES_MAX}", entries.len()));
    }
    let read = |(name, value): (String, Value)| {
        let is_gpu = name.strip_prefix(GPU_PREFIX).is_some_and(|number| {
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            digits && (1..=2).contains(&number.len())
        });
        let Value::List(digest) = value else { return Err(wrong()) };
        let [Value::Text(kind), Value::List(digest)] = digest.as_slice() else {
            return Err(wrong());
        };
        let [Value::Text(algorithm), Value::Text(digest)] = digest.as_slice() else {
            return Err(wrong());
        };
        // The service writes the first, NVIDIA's own verifiers the second.
        let is_sha256 = matches!(algorithm.as_str(), "SHA-256" | "SHA256");
        let sha256 = hex::decode(digest).ok().and_then(|digest| digest.try_into().ok());
        match sha256.filter(|_| is_gpu && is_sha256 && kind == "DIGEST") {
            Some(sha256) => Ok(Submodule { name, sha256 }),
            None => Err(wrong()),
        }
    };
    entries.into_iter().map(read).collect()
}

/// A check of every token, which names the device of the first that fails.
fn each(tokens: &Tokens, check: impl Fn(&Token) -> Result<(), String>) -> Result<(), String> {
    tokens.iter().try_for_each(|token| check(token).map_err(|seen| token.says(seen)))
}

fn check_algorithm(token: &Token) -> Result<(), String> {
    match token.algorithm.as_str() {
        ES384 => Ok(()),
        other => Err(format!("JWT with alg {}, the service signs with {ES384}", shown(other))),
    }
}

/// RFC 7519 section 4.1: a token counts from `nbf` on and no more at `exp`.
fn check_validity(statement: &Statement, at: Timestamp) -> Result<(), String> {
    let Statement { issued, from, until, .. } = *statement;
    let starts = from.unwrap_or(issued).max(issued);
    if starts >= until {
        Err(format!("JWT counts from {} to {}, which is never", Utc(starts.0), Utc(until.0)))
    } else if at < starts {
        Err(format!("JWT counts only from {}", Utc(starts.0)))
    } else if at >= until {
        Err(format!("JWT expired {}", Utc(until.0)))
    } else {
        Ok(())
    }
}

/// Whether each token is the service's, by the keys that were given for it.
fn check_signatures(tokens: &Tokens, keys: &[ServiceKey]) -> Result<(String, ()), String> {
    if keys.is_empty() {
        return Err("no key set of the service was given, nobody can tell who signed".into());
    }
    each(tokens, |token| {
        let (id, key) = named_key(token, keys)?;
        if !key.verify(token.signed.as_bytes(), &token.signature) {
            return Err(format!("the ES384 signature is not of the key {}", shown(id)));
        }
        match token.statement.issuer.as_str() {
            ISSUER => Ok(()),
            other => Err(format!("the issuer is {}, not {ISSUER}", shown(other))),
        }
    })?;
    let (id, key) = named_key(&tokens.overall, keys)?;
    let (id, thumbprint) = (shown(id), key.thumbprint());
    // Whoever wrote the key set chose the name; the thumbprint is of the key itself.
    Ok(told(format!("ES384 signatures good, by the given key {id}, thumbprint {thumbprint}")))
}

/// The key that a token names, with that name.
fn named_key<'a>(
    token: &'a Token,
    keys: &'a [ServiceKey],
) -> Result<(&'a str, &'a ServiceKey), String> {
    let id = token.key_id.as_deref().ok_or("the JWT names no key (kid)")?;
    let key = keys.iter().find(|key| key.id == id);
    let key = key.ok_or_else(|| format!("the given key set has no key {}", shown(id)))?;
    Ok((id, key))
}

fn match_nonce(ours: B256, overall: &Statement) -> Result<(String, ()), String> {
    if ours.is_zero() {
        Err("a nonce of zero asks for nothing".into())
    } else if ours == overall.nonce {
        Ok(told(format!("our nonce {ours}")))
    } else {
        Err(format!("the token answers {}, we asked {ours}", hex::encode(overall.nonce)))
    }
}

/// Whether each device's token is the one that the token over all names, of the same answer.
fn check_devices_tokens(tokens: &Tokens) -> Result<(String, ()), String> {
    let overall = &tokens.overall.statement;
    for (submodule, token) in tokens.submodules.iter().zip(&tokens.devices) {
        let name = &submodule.name;
        let sha256: [u8; 32] = Sha256::digest(token.text.as_bytes()).into();
        if sha256 != submodule.sha256 {
            return Err(format!("the token of {name} is not the one whose digest was signed"));
        }
        let device = &token.statement;
        if device.nonce != overall.nonce {
            return Err(format!("{name} answers the nonce {}", hex::encode(device.nonce)));
        }
        if device.issuer != overall.issuer {
            return Err(format!("the token of {name} is of another issuer"));
        }
        let times = |of: &Statement| (of.issued, of.from, of.until);
        if times(device) != times(overall) {
            return Err(format!("the token of {name} is of another time"));
        }
    }
    Ok(told("the digests of all devices' tokens are signed, for one nonce and one time"))
}

/// Whether no device stands twice, by the number that NVIDIA gave it.
fn check_distinct(devices: &[Token]) -> Result<(String, ()), String> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for token in devices {
        let id = token.statement.device_id.as_deref();
        let id = id.ok_or_else(|| token.says("it has no number (ueid)".into()))?;
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == id) {
            return Err(format!("{other} and {} have the number {}", token.label, shown(id)));
        }
        seen.push((&token.label, id));
    }
    Ok(told(format!("{} numbers (ueid), each once", seen.len())))
}

fn check_claims(tokens: &Tokens) -> Result<(String, ()), String> {
    let overall = &tokens.overall.statement;
    if overall.subject.as_deref() != Some(SUBJECT) {
        return Err(format!("the token over all is not about {SUBJECT}"));
    }
    let result = overall.rest.get("x-nvidia-overall-att-result");
    if result != Some(&Value::Bool(true)) {
        return Err("x-nvidia-overall-att-result is not true".into());
    }
    check_members(overall.rest.members())?;
    let devices = tokens.devices.iter().map(|token| {
        let described = check_device(&token.statement.rest).map_err(|seen| token.says(seen))?;
        Ok(format!("{} {described}", token.label))
    });
    let devices = devices.collect::<Result<Vec<String>, String>>()?;
    let devices = devices.join(", ");
    Ok(told(format!("the service found nothing wrong with {devices}; nothing was compared here")))
}
