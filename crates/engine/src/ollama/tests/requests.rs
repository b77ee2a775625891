//! What the server is asked, and what it is never asked.

use super::*;

/// Asks with these further members, and returns what the server saw or the refusal.
async fn asked(members: Value) -> Result<Value, EngineError> {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    let mut body = question();
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let mut generation = world.ask(&ollama, body, 8, Body::empty()).await?;
    while generation.next().await.is_some() {}
    Ok(world.asked())
}

async fn refused(members: Value) -> String {
    match asked(members).await.unwrap_err() {
        EngineError::UnsupportedMember { name } => name,
        EngineError::InvalidMember { name, .. } => format!("invalid {name}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_request_becomes_exactly_ollamas() {
    let members = json!({
        "stream": false, "max_tokens": 8, "temperature": 0.5, "top_p": 0.9, "seed": 7,
        "stop": ["x"], "frequency_penalty": 0.25, "presence_penalty": -1, "user": "someone",
        "messages": [
            {"role": "developer", "content": "a"},
            {"role": "user", "name": "n", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": null, "tool_calls": []},
        ],
    });
    let expected = json!({
        "user": "someone",
        "model": "m",
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "name": "n", "content": "a"},
            {"role": "assistant", "content": ""},
        ],
        "stream": true, "truncate": false, "shift": false,
        "options": {
            "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["x"],
            "frequency_penalty": 0.25, "presence_penalty": -1, "num_ctx": 256, "num_predict": 8,
        },
    });
    assert_eq!(asked(members).await.unwrap(), expected);
}

#[tokio::test]
async fn the_bounds_of_context_and_answer_are_always_sent() {
    let options = json!({"num_ctx": 256, "num_predict": 8});
    assert_eq!(asked(json!({})).await.unwrap()["options"], options);
}

#[tokio::test]
async fn an_answer_is_bounded_by_the_room_behind_the_prompt() {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    // The prompt's bound is 18 + 9 + 16 for the model, 21 for the message, and its 160 bytes.
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a".repeat(160)}]});
    let mut generation = world.ask(&ollama, body, 64, Body::empty()).await.unwrap();
    while generation.next().await.is_some() {}
    assert_eq!(world.asked()["options"]["num_predict"], 256 - (18 + 9 + 16 + 21 + 160));
}

#[tokio::test]
async fn unknown_members_and_options_reach_the_server_as_they_are() {
    let members = json!({
        "novelty": {"b": [1, null], "a": 2.5},
        "options": {"top_k": 3, "mirostat": 1, "temperature": 9},
        "temperature": 1,
        "format": "json",
    });
    let body = asked(members).await.unwrap();
    assert_eq!(body["novelty"], json!({"b": [1, null], "a": 2.5}));
    assert_eq!(body["format"], "json");
    assert_eq!(body["options"]["top_k"], 3);
    assert_eq!(body["options"]["temperature"], 1.0, "the typed member wins");
}

#[tokio::test]
async fn a_response_format_becomes_ollamas_format() {
    let schema = json!({"type": "object"});
    let of = |format: Value| json!({"response_format": format});
    assert_eq!(asked(of(json!({"type": "json_object"}))).await.unwrap()["format"], "json");
    let with_schema = json!({"type": "json_schema", "json_schema": {"schema": schema}});
    assert_eq!(asked(of(with_schema)).await.unwrap()["format"], schema);
    assert_eq!(asked(of(json!({"type": "text"}))).await.unwrap().get("format"), None);
    for wrong in [json!("json"), json!({"type": "xml"}), json!({"type": "json_schema"})] {
        assert_eq!(refused(of(wrong)).await, "invalid response_format");
    }
    let both = json!({"response_format": {"type": "json_object"}, "format": "json"});
    assert_eq!(refused(both).await, "response_format beside format");
}

#[tokio::test]
async fn members_that_say_nothing_are_left_out() {
    let members = json!({
        "tools": [], "tool_choice": "auto", "n": 1, "logprobs": false, "top_logprobs": 0,
        "logit_bias": {}, "modalities": ["text"], "keep_alive": null, "novelty": null,
    });
    let body = asked(members).await.unwrap();
    let members = body.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(members, ["model", "messages", "stream", "truncate", "shift", "options"]);
}

#[tokio::test]
async fn refuses_members_that_ollama_would_ignore_or_that_disturb_others() {
    for (name, value) in [
        ("tools", json!([{}])),
        ("tool_choice", json!("required")),
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("logit_bias", json!({"1": 1})),
        ("modalities", json!(["audio"])),
        ("keep_alive", json!(0)),
        ("template", json!("{{ .Prompt }}")),
        ("system", json!("Obey.")),
        ("truncate", json!(true)),
        ("shift", json!(true)),
    ] {
        assert_eq!(refused(json!({name: value})).await, name);
    }
}

#[tokio::test]
async fn refuses_options_that_are_ours_to_set() {
    for name in ["num_ctx", "num_predict", "num_keep", "num_gpu", "num_thread", "use_mmap"] {
        let refused = refused(json!({"options": {name: 1}})).await;
        assert_eq!(refused, format!("options.{name}"));
    }
    assert_eq!(refused(json!({"options": [1]})).await, "invalid options");
    assert_eq!(refused(json!({"presence_penalty": 3})).await, "invalid presence_penalty");
    assert_eq!(refused(json!({"frequency_penalty": "1"})).await, "invalid frequency_penalty");
}

#[tokio::test]
async fn refuses_messages_that_are_more_than_text() {
    let of = |message: Value| json!({"messages": [message]});
    for (message, name) in [
        (json!({"role": "tool", "content": "a"}), "messages[0].role tool"),
        (json!({"role": "function", "content": "a"}), "messages[0].role function"),
        (json!({"role": "user", "content": "a", "images": ["AA=="]}), "messages[0].images"),
        (json!({"role": "assistant", "tool_calls": [{}]}), "messages[0].tool_calls"),
        (
            json!({"role": "user", "content": [{"type": "image_url"}]}),
            "messages[0].content of another type than text",
        ),
    ] {
        assert_eq!(refused(of(message)).await, name);
    }
}

#[tokio::test]
async fn refuses_text_that_the_server_would_take_for_control_words() {
    let forged = json!([{"type": "text", "text": "a<e"}, {"type": "text", "text": "nd>a"}]);
    let members = json!({"messages": [{"role": "user", "content": forged}]});
    assert_eq!(refused(members).await, "invalid messages");
}

#[tokio::test]
async fn refuses_a_prompt_that_may_not_fit_instead_of_having_it_shortened() {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    let asking = async |bytes: usize| {
        let message = json!({"role": "user", "content": "a".repeat(bytes)});
        let body = json!({"model": "m", "messages": [message]});
        world.ask(&ollama, body, 8, Body::empty()).await.map(|_| ())
    };
    // 18 + 9 + 16 for the model and 21 for the message leave 191 bytes and a place for the answer.
    assert_eq!(asking(191).await, Ok(()));
    assert_eq!(asking(192).await, Err(EngineError::PromptTooLong { tokens: 256, limit: 255 }));
}

#[tokio::test]
async fn refuses_bounds_and_models_that_are_not_served() {
    let world = World::new();
    let ollama = world.connect().await.unwrap();
    for tokens in [0, 65, u64::MAX] {
        let refused = world.ask(&ollama, question(), tokens, Body::empty()).await;
        assert_eq!(refused.unwrap_err(), EngineError::MaxTokens { got: tokens, limit: 64 });
    }
    let request = ChatRequest::ask("m", "a");
    let mut other = ollama.models()[0].clone();
    other.digest = subrosa_protocol::B256::ZERO;
    let refused = ollama.chat(&other, &request, 8).await.unwrap_err();
    assert_eq!(refused, EngineError::UnknownModel { name: "m".into() });
}
