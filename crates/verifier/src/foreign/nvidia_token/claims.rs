//! What the service claims of one device: everything that it looked at must be right.

use super::super::json::Foreign;
use super::token::shown;
use crate::json::Value;

/// Claims of the service's own begin so; those that are true or false say what it looked at.
const PREFIX: &str = "x-nvidia-";

/// What must have been looked at in a GPU's report, whatever version the claims have.
const DEMANDED: [&str; 4] = [
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-signature-verified",
];

/// Claims in words, which have one good value, wherever they stand.
const GOOD_WORDS: [(&str, &str); 2] =
    [("x-nvidia-cert-status", "valid"), ("x-nvidia-cert-ocsp-status", "good")];

/// Claims that say nothing where nothing is wrong, wherever they stand.
const EMPTY: [&str; 3] = [
    "x-nvidia-attestation-warning",
    "x-nvidia-cert-revocation-reason",
    "x-nvidia-mismatch-measurement-records",
];

/// Checks a device's claims; says what device it is.
pub(super) fn check_device(claims: &Foreign) -> Result<String, String> {
    let text = |name: &str| match claims.get(name) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    if text("measres") != Some("success") {
        return Err("measres is not success: its measurements are not the published ones".into());
    }
    if claims.get("secboot") != Some(&Value::Bool(true)) {
        return Err("secboot is not true".into());
    }
    if text("dbgstat") != Some("disabled") {
        return Err("dbgstat is not disabled: it can be debugged".into());
    }
    for name in DEMANDED {
        if claims.get(name) != Some(&Value::Bool(true)) {
            return Err(format!("{name} is not true"));
        }
    }
    check_members(claims.members())?;
    let model = text("hwmodel").unwrap_or("of unknown model");
    let driver = text("x-nvidia-gpu-driver-version").unwrap_or("unknown");
    Ok(format!("({}, driver {})", shown(model), shown(driver)))
}

/// The claims in an object, or in the objects of a list.
fn check_inside(value: &Value) -> Result<(), String> {
    match value {
        Value::List(list) => list.iter().try_for_each(check_inside),
        Value::Object(members) => check_members(members),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_) => Ok(()),
    }
}

/// No claim may be false, or say that something is wrong, at whatever depth it stands.
pub(super) fn check_members(members: &[(String, Value)]) -> Result<(), String> {
    for (name, value) in members {
        check_inside(value)?;
        if *value == Value::Bool(false) && name.starts_with(PREFIX) {
            return Err(format!("{} is false", shown(name)));
        }
        let good = GOOD_WORDS.iter().find(|(known, _)| known == name);
        if let Some((_, good)) = good.filter(|(_, good)| *value != Value::Text((*good).into())) {
            return Err(format!("{name} is not {good}"));
        }
        if EMPTY.contains(&name.as_str()) && *value != Value::Null {
            return Err(format!("{name} is not empty"));
        }
    }
    Ok(())
}
