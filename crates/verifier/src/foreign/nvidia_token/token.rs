//! One JWT (RFC 7515, 7519), read strictly: three parts, no member twice, the claims that all tokens of
//! the service have.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subrosa_protocol::Timestamp;

use super::super::json::Foreign;
use crate::json::Value;

/// How much of a name in a token, which may be as long as the token, messages repeat.
const NAME_CHARS_MAX: usize = 128;

/// A token that is not believed yet.
pub(super) struct Token {
    /// The device's name; empty for the token over all.
    pub(super) label: String,
    /// The whole, whose digest stands in the token over all.
    pub(super) text: String,
    /// What was signed: header, dot and claims.
    pub(super) signed: String,
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    pub(super) signature: Vec<u8>,
    pub(super) statement: Statement,
}

/// What a token says.
pub(super) struct Statement {
    pub(super) issuer: String,
    pub(super) subject: Option<String>,
    pub(super) nonce: [u8; 32],
    pub(super) issued: Timestamp,
    pub(super) from: Option<Timestamp>,
    pub(super) until: Timestamp,
    /// The number of a device.
    pub(super) device_id: Option<String>,
    /// All other claims.
    pub(super) rest: Foreign,
}

/// A name as messages repeat it. What is compared is always the whole.
pub(super) fn shown(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_MAX).map_or(name, |(end, _)| &name[..end])
}

impl Token {
    pub(super) fn read(label: &str, text: &str) -> Result<Token, String> {
        let of = |error: String| match label {
            "" => error,
            label => format!("{label}: {error}"),
        };
        let not_a_token = || of("it is no JWT of three parts in base64url".into());
        let (signed, signature) = text.rsplit_once('.').ok_or_else(not_a_token)?;
        let (header, claims) = signed.split_once('.').ok_or_else(not_a_token)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| not_a_token());
        let object = |part: &str, name: &str| {
            let object = Foreign::parse(&decode(part)?).map_err(|error| of(error.to_string()))?;
            match object.has_doubled() {
                true => Err(of(format!("a member stands twice in its {name}"))),
                false => Ok(object),
            }
        };
        let signature = decode(signature)?;
        let mut header = object(header, "header")?;
        // RFC 7515 section 4.1.11: who does not know what is critical must refuse.
        if header.has("crit") {
            return Err(of("its header demands extensions (crit)".into()));
        }
        let algorithm = header.text("alg").map_err(|error| of(error.to_string()))?;
        let key_id = header.text_if_any("kid").map_err(|error| of(error.to_string()))?;
        let statement = Statement::read(object(claims, "claims")?).map_err(of)?;
        Ok(Token {
            label: label.into(),
            text: text.into(),
            signed: signed.into(),
            algorithm,
            key_id,
            signature,
            statement,
        })
    }

    /// What is said of this token, with the name of its device.
    pub(super) fn says(&self, seen: String) -> String {
        match self.label.as_str() {
            "" => seen,
            label => format!("{label}: {seen}"),
        }
    }
}

impl Statement {
    fn read(mut claims: Foreign) -> Result<Statement, String> {
        let time = |claims: &mut Foreign, name: &str| match claims.take(name) {
            Ok(None) => Ok(None),
            Ok(Some(Value::Number(number))) if number.is_u64() => {
                Ok(number.as_u64().map(Timestamp))
            }
            _ => Err(format!("{name} is no time in seconds after 1970")),
        };
        let missing = |name: &str| format!("{name} is missing");
        let text = |error: crate::Unreadable| error.to_string();
        Ok(Statement {
            issued: time(&mut claims, "iat")?.ok_or_else(|| missing("iat"))?,
            from: time(&mut claims, "nbf")?,
            until: time(&mut claims, "exp")?.ok_or_else(|| missing("exp"))?,
            nonce: claims
                .word_if_any("eat_nonce")
                .map_err(text)?
                .ok_or_else(|| missing("eat_nonce"))?,
            issuer: claims.text("iss").map_err(text)?,
            subject: claims.text_if_any("sub").map_err(text)?,
            device_id: claims.text_if_any("ueid").map_err(text)?,
            rest: claims,
        })
    }
}
