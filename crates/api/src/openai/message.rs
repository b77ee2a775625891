//! One message of a chat: who speaks, and what.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ApiError;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The model.
    Assistant,
    /// The newer name of `system`.
    Developer,
    /// The result of a function, in the old form.
    Function,
    /// Instructions that stand above the user's.
    System,
    /// The result of a tool.
    Tool,
    /// The caller.
    User,
}

impl Role {
    const EXPECTED: &'static str = "one of assistant, developer, function, system, tool, user";

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Assistant => "assistant",
            Role::Developer => "developer",
            Role::Function => "function",
            Role::System => "system",
            Role::Tool => "tool",
            Role::User => "user",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "assistant" => Role::Assistant,
            "developer" => Role::Developer,
            "function" => Role::Function,
            "system" => Role::System,
            "tool" => Role::Tool,
            "user" => Role::User,
            _ => return None,
        })
    }
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: `null` or absent. Only an assistant may say it, beside tool calls.
    Null,
    /// Parts, of which only some may be text.
    Parts(Vec<Part>),
    /// Plain text.
    Text(String),
}

/// One part of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A part of another kind, such as an image; it stands in [`super::ChatRequest::raw`].
    Other,
    /// Text.
    Text(String),
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
    /// Names of the message's further members, such as `tool_calls` or `name`, in their order.
    pub other_members: Vec<String>,
}

impl Content {
    /// All of it as one text: parts are joined without anything between them, nothing is empty.
    /// `None` where a part is not text.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Content::Null => Some(Cow::Borrowed("")),
            Content::Text(text) => Some(Cow::Borrowed(text)),
            Content::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => Some(text.as_str()),
                    Part::Other => None,
                })
                .collect::<Option<String>>()
                .map(Cow::Owned),
        }
    }
}

impl Message {
    pub(super) fn parse(value: &Value, at: &str) -> Result<Self, ApiError> {
        let members = value.as_object().ok_or_else(|| ApiError::wrong_type(at, "an object"))?;
        let role = parse_role(members, &format!("{at}.role"))?;
        Ok(Message {
            role,
            content: parse_content(members.get("content"), role, &format!("{at}.content"))?,
            other_members: members
                .keys()
                .filter(|name| !matches!(name.as_str(), "role" | "content"))
                .cloned()
                .collect(),
        })
    }
}

fn parse_role(members: &Map<String, Value>, at: &str) -> Result<Role, ApiError> {
    match members.get("role") {
        None => Err(ApiError::Missing { param: at.into() }),
        Some(Value::String(word)) => Role::parse(word)
            .ok_or_else(|| ApiError::UnknownValue { param: at.into(), expected: Role::EXPECTED }),
        Some(_) => Err(ApiError::wrong_type(at, "a string")),
    }
}

fn parse_content(content: Option<&Value>, role: Role, at: &str) -> Result<Content, ApiError> {
    match content {
        None | Some(Value::Null) if role == Role::Assistant => Ok(Content::Null),
        None => Err(ApiError::Missing { param: at.into() }),
        Some(Value::String(text)) => Ok(Content::Text(text.clone())),
        Some(Value::Array(parts)) if parts.is_empty() => Err(ApiError::Empty { param: at.into() }),
        Some(Value::Array(parts)) => {
            let parts = parts.iter().enumerate();
            let parts = parts.map(|(i, part)| parse_part(part, &format!("{at}[{i}]")));
            Ok(Content::Parts(parts.collect::<Result<_, _>>()?))
        }
        Some(_) => Err(ApiError::wrong_type(at, "a string or a list of parts")),
    }
}

fn parse_part(part: &Value, at: &str) -> Result<Part, ApiError> {
    let members = part.as_object().ok_or_else(|| ApiError::wrong_type(at, "an object"))?;
    match members.get("type") {
        Some(Value::String(kind)) if kind == "text" => match members.get("text") {
            Some(Value::String(text)) => Ok(Part::Text(text.clone())),
            Some(_) => Err(ApiError::wrong_type(format!("{at}.text"), "a string")),
            None => Err(ApiError::Missing { param: format!("{at}.text") }),
        },
        Some(Value::String(_)) => Ok(Part::Other),
        Some(_) => Err(ApiError::wrong_type(format!("{at}.type"), "a string")),
        None => Err(ApiError::Missing { param: format!("{at}.type") }),
    }
}
