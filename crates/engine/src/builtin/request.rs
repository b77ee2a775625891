//! What of a request the built-in engine understands, ignores, and refuses.

use serde_json::Value;
use subrosa_api::openai::{ChatRequest, Role};

use super::sampler::Sampling;
use super::template::Turn;
use crate::EngineError;

/// Members that are read, by the typed request or by the caller of the engine.
const READ: [&str; 10] = [
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
];
/// Members that cannot change an answer of this engine.
const IGNORED: [&str; 9] = [
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
];
/// Members of a message that cannot change an answer.
const IGNORED_OF_MESSAGE: [&str; 4] = ["annotations", "audio", "name", "refusal"];

/// How tokens are chosen where a request does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingDefaults {
    /// Zero takes the most likely token.
    pub temperature: f32,
    /// Nucleus.
    pub top_p: f32,
}

/// Refuses members that would change the answer and are not supported.
pub(super) fn check_members(request: &ChatRequest) -> Result<(), EngineError> {
    for (name, value) in request.raw() {
        let known = READ.contains(&name.as_str()) || IGNORED.contains(&name.as_str());
        if !known && !says_nothing(name, value) {
            return Err(unsupported(name));
        }
    }
    Ok(())
}

/// Members that have the value that they mean when they are absent. Clients send many.
fn says_nothing(name: &str, value: &Value) -> bool {
    let is_zero = value.as_f64() == Some(0.0);
    match name {
        _ if value.is_null() => true,
        "tools" | "functions" => value.as_array().is_some_and(Vec::is_empty),
        "tool_choice" | "function_call" => matches!(value.as_str(), Some("auto" | "none")),
        "response_format" => {
            value.get("type").and_then(Value::as_str) == Some("text")
                && value.as_object().is_some_and(|format| format.len() == 1)
        }
        "n" => value.as_u64() == Some(1),
        "logprobs" | "web_search_options" => value.as_bool() == Some(false),
        "frequency_penalty" | "presence_penalty" | "top_logprobs" => is_zero,
        "logit_bias" => value.as_object().is_some_and(serde_json::Map::is_empty),
        "modalities" => value.as_array().is_some_and(|list| list.len() == 1 && list[0] == "text"),
        _ => false,
    }
}

/// The messages as the template takes them, `system` before them where they have no own.
pub(super) fn turns(request: &ChatRequest, system: Option<&str>) -> Result<Vec<Turn>, EngineError> {
    let messages = request.messages();
    let mut turns = Vec::with_capacity(messages.len() + 1);
    if let Some(system) = system
        && !messages.iter().any(|message| role(message.role).is_ok_and(|role| role == "system"))
    {
        turns.push(Turn { role: "system", content: system.into() });
    }
    for (index, message) in messages.iter().enumerate() {
        for name in &message.other_members {
            let value = &request.raw()["messages"][index][name];
            let says_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !IGNORED_OF_MESSAGE.contains(&name.as_str()) && !says_nothing {
                return Err(unsupported(&format!("messages[].{name}")));
            }
        }
        let text = message.content.text().ok_or_else(|| EngineError::UnsupportedMember {
            name: "messages[].content of another type than text".into(),
        })?;
        turns.push(Turn { role: role(message.role)?, content: text.into_owned() });
    }
    Ok(turns)
}

fn role(role: Role) -> Result<&'static str, EngineError> {
    match role {
        Role::Assistant => Ok("assistant"),
        Role::Developer | Role::System => Ok("system"),
        Role::User => Ok("user"),
        Role::Function | Role::Tool => {
            let name = format!("messages[].role {}", role.as_str());
            Err(EngineError::UnsupportedMember { name })
        }
    }
}

/// How this request's tokens are chosen. A request without a seed gets a new one.
pub(super) fn sampling(request: &ChatRequest, defaults: SamplingDefaults) -> Sampling {
    Sampling {
        temperature: request.temperature().map_or(defaults.temperature, |value| value as f32),
        top_p: request.top_p().map_or(defaults.top_p, |value| value as f32),
        seed: request.seed().map_or_else(rand::random, i64::cast_unsigned),
    }
}

/// Refuses by name. The name is the caller's text, so it is kept short.
fn unsupported(name: &str) -> EngineError {
    EngineError::UnsupportedMember { name: super::shape::printable(name) }
}

#[cfg(test)]
mod tests {
    use subrosa_api::openai::Limits;

    use super::*;

    fn request(members: &str) -> ChatRequest {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{members}}}"#);
        ChatRequest::parse(body.as_bytes(), &Limits::default()).unwrap()
    }

    fn chat(messages: &str) -> ChatRequest {
        let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
        ChatRequest::parse(body.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn refuses_each_member_that_would_change_the_answer_by_name() {
        let cases = [
            (r#","tools":[{"type":"function"}]"#, "tools"),
            (r#","response_format":{"type":"json_object"}"#, "response_format"),
            (r#","logprobs":true"#, "logprobs"),
            (r#","top_logprobs":3"#, "top_logprobs"),
            (r#","n":2"#, "n"),
            (r#","frequency_penalty":0.5"#, "frequency_penalty"),
            (r#","logit_bias":{"1":5}"#, "logit_bias"),
            (r#","tool_choice":"required"#, "tool_choice"),
            (r#","reasoning_effort":"high"#, "reasoning_effort"),
            (r#","modalities":["text","audio"]"#, "modalities"),
            (r#","new_member":1"#, "new_member"),
        ];
        for (members, name) in cases {
            let closing = if members.matches('"').count() % 2 == 1 { "\"" } else { "" };
            let refusal = check_members(&request(&format!("{members}{closing}"))).unwrap_err();
            assert_eq!(refusal, EngineError::UnsupportedMember { name: name.into() });
        }
    }

    #[test]
    fn accepts_members_that_say_nothing_and_the_ignored_ones() {
        let members = r#","tools":[],"tool_choice":"auto","response_format":{"type":"text"},"n":1,
            "logprobs":false,"top_logprobs":null,"frequency_penalty":0,"presence_penalty":0.0,
            "logit_bias":{},"user":"u","metadata":{"a":"b"},"store":true,"stream":true,
            "stream_options":{"include_usage":true},"seed":4,"unknown":null"#;
        assert_eq!(check_members(&request(members)), Ok(()));
    }

    #[test]
    fn roles_and_contents_become_turns() {
        let request = chat(
            r#"{"role":"developer","content":"be brief"},{"role":"assistant","content":null},
               {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
        );
        let turns = turns(&request, Some("unused")).unwrap();
        let told: Vec<_> = turns.iter().map(|turn| (turn.role, turn.content.as_str())).collect();
        assert_eq!(told, [("system", "be brief"), ("assistant", ""), ("user", "ab")]);
    }

    #[test]
    fn the_models_own_system_prompt_comes_first_where_a_chat_has_none() {
        let request = chat(r#"{"role":"user","content":"x","name":"n","tool_calls":null}"#);
        let turns = turns(&request, Some("own")).unwrap();
        assert_eq!((turns[0].role, turns[0].content.as_str()), ("system", "own"));
        assert_eq!(turns.len(), 2);
    }

    #[test]
    fn refuses_pictures_tool_calls_and_tool_results() {
        for message in [
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#,
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"x"}]}"#,
            r#"{"role":"tool","content":"x"}"#,
        ] {
            let refusal = turns(&chat(message), None).unwrap_err();
            assert!(matches!(refusal, EngineError::UnsupportedMember { .. }), "{message}");
        }
    }
}
