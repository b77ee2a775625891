//! What a chat request may look like, and by which name each wrong one is refused.

use proptest::prelude::*;
use serde_json::{Value, json};
use subrosa_api::openai::{ApiError, ChatRequest, Content, Limits, Part, Role};

fn parse(body: &Value) -> Result<ChatRequest, ApiError> {
    ChatRequest::parse(body.to_string().as_bytes(), &Limits::default())
}

/// A good request with one more member.
fn with(name: &str, value: Value) -> Result<ChatRequest, ApiError> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[name] = value;
    parse(&body)
}

/// A request of this one message.
fn of(message: Value) -> Result<ChatRequest, ApiError> {
    parse(&json!({"model": "m", "messages": [message]}))
}

fn refusal(result: Result<ChatRequest, ApiError>) -> (&'static str, String) {
    let error = result.expect_err("the request is wrong");
    (error.code(), error.param().unwrap_or("").to_owned())
}

#[test]
fn reads_every_typed_member() {
    let request = parse(&json!({
        "model": "smollm2",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": []},
        ],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_completion_tokens": 9,
        "temperature": 2,
        "top_p": 0.5,
        "seed": -7,
        "stop": ["x", "y"],
    }))
    .unwrap();
    assert_eq!(request.model(), "smollm2");
    assert!(request.stream() && request.include_usage());
    assert_eq!(request.max_tokens(), Some(9));
    assert_eq!((request.temperature(), request.top_p()), (Some(2.0), Some(0.5)));
    assert_eq!(request.seed(), Some(-7));
    assert_eq!(request.stop(), ["x", "y"]);
    let messages = request.messages();
    assert_eq!(messages[0].role, Role::System);
    assert_eq!(messages[0].content, Content::Text("Be brief.".into()));
    assert_eq!(messages[1].content.text().unwrap(), "ab");
    assert_eq!(messages[2].content, Content::Null);
    assert_eq!(messages[2].content.text().unwrap(), "");
    assert_eq!(messages[2].other_members, ["tool_calls"]);
}

#[test]
fn null_members_count_as_absent() {
    let request = parse(&json!({
        "model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": null,
        "stream_options": null, "max_tokens": null, "max_completion_tokens": null,
        "temperature": null, "top_p": null, "seed": null, "stop": null,
    }))
    .unwrap();
    assert!(!request.stream() && !request.include_usage());
    assert_eq!((request.max_tokens(), request.seed()), (None, None));
    assert_eq!((request.temperature(), request.top_p()), (None, None));
    assert!(request.stop().is_empty());
}

#[test]
fn unknown_members_survive_in_their_order() {
    let text = r#"{"zeta":{"b":1,"a":[1.5,null]},"model":"m","messages":[{"role":"user","content":"Hi","name":"x"}],"alpha":18446744073709551615}"#;
    let request = ChatRequest::parse(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(request.to_body(), text.as_bytes());
    assert_eq!(request.raw()["zeta"]["b"], 1);
}

#[test]
fn a_request_is_read_back_from_its_body_after_changes() {
    let mut request = with("max_completion_tokens", json!(5)).unwrap();
    request.set_model("other");
    request.set_max_tokens(3);
    request.set_stream(true);
    let again = ChatRequest::parse(&request.to_body(), &Limits::default()).unwrap();
    assert_eq!(again, request);
    assert_eq!(again.model(), "other");
    assert_eq!(again.max_tokens(), Some(3));
    assert!(again.include_usage());
    request.set_stream(false);
    let again = ChatRequest::parse(&request.to_body(), &Limits::default()).unwrap();
    assert_eq!(again, request);
    assert!(!again.stream());
}

#[test]
fn a_question_in_a_line_is_what_parsing_its_body_gives() {
    let request = ChatRequest::ask("m", "Why \"so\"?");
    let again = ChatRequest::parse(&request.to_body(), &Limits::default()).unwrap();
    assert_eq!(again, request);
    assert_eq!(
        request.to_body(),
        br#"{"model":"m","messages":[{"role":"user","content":"Why \"so\"?"}]}"#
    );
}

#[test]
fn usage_is_included_only_in_a_stream() {
    let request = with("stream_options", json!({"include_usage": true})).unwrap();
    assert!(!request.include_usage());
}

#[test]
fn refuses_limits_that_are_zero_negative_fractional_huge_or_no_number() {
    for name in ["max_tokens", "max_completion_tokens"] {
        for value in [json!(0), json!(-1), json!(1.5), json!(16.0), json!(1e300), json!(u64::MAX)] {
            assert_eq!(refusal(with(name, value)), ("out_of_range", name.into()));
        }
        for value in [json!("5"), json!([5]), json!(true), json!({})] {
            assert_eq!(refusal(with(name, value)), ("wrong_type", name.into()));
        }
    }
    assert_eq!(with("max_tokens", json!(1)).unwrap().max_tokens(), Some(1));
    assert_eq!(with("max_tokens", json!(1_000_000)).unwrap().max_tokens(), Some(1_000_000));
}

#[test]
fn refuses_two_limits_that_differ_and_takes_two_that_agree() {
    let body = |old: u64, new: u64| {
        let message = json!({"role": "user", "content": "Hi"});
        json!({"model": "m", "messages": [message], "max_tokens": old, "max_completion_tokens": new})
    };
    assert_eq!(parse(&body(4, 5)), Err(ApiError::ConflictingLimits));
    assert_eq!(parse(&body(4, 4)).unwrap().max_tokens(), Some(4));
}

#[test]
fn refuses_sampling_outside_its_range() {
    for (name, value) in [
        ("temperature", json!(-0.1)),
        ("temperature", json!(2.01)),
        ("temperature", json!(1e308)),
        ("top_p", json!(-1)),
        ("top_p", json!(1.0001)),
        ("seed", json!(0.5)),
        ("seed", json!(u64::MAX)),
    ] {
        assert_eq!(refusal(with(name, value)), ("out_of_range", name.into()));
    }
    for name in ["temperature", "top_p", "seed"] {
        assert_eq!(refusal(with(name, json!("1"))), ("wrong_type", name.into()));
    }
}

#[test]
fn refuses_stop_strings_that_are_empty_too_long_too_many_or_no_strings() {
    let long = "x".repeat(1025);
    for (value, code, param) in [
        (json!(""), "empty", "stop"),
        (json!(["a", ""]), "empty", "stop[1]"),
        (json!([long]), "too_long", "stop[0]"),
        (json!(vec!["a"; 17]), "too_many", "stop"),
        (json!([1]), "wrong_type", "stop[0]"),
        (json!(1), "wrong_type", "stop"),
    ] {
        assert_eq!(refusal(with("stop", value)), (code, param.into()));
    }
    assert_eq!(with("stop", json!("END")).unwrap().stop(), ["END"]);
    assert!(with("stop", json!([])).unwrap().stop().is_empty());
}

#[test]
fn refuses_a_stream_flag_that_is_none() {
    assert_eq!(refusal(with("stream", json!("true"))), ("wrong_type", "stream".into()));
    assert_eq!(
        refusal(with("stream_options", json!(true))),
        ("wrong_type", "stream_options".into())
    );
    assert_eq!(
        refusal(with("stream_options", json!({"include_usage": 1}))),
        ("wrong_type", "stream_options.include_usage".into())
    );
}

#[test]
fn refuses_a_model_that_is_missing_empty_long_or_no_string() {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let missing = json!({"messages": messages});
    assert_eq!(refusal(parse(&missing)), ("missing", "model".into()));
    for (value, code) in [
        (Value::Null, "missing"),
        (json!(""), "empty"),
        (json!("x".repeat(257)), "too_long"),
        (json!(["m"]), "wrong_type"),
    ] {
        assert_eq!(refusal(with("model", value)), (code, "model".into()));
    }
}

#[test]
fn refuses_messages_that_are_missing_empty_too_many_or_no_list() {
    assert_eq!(refusal(parse(&json!({"model": "m"}))), ("missing", "messages".into()));
    assert_eq!(refusal(with("messages", json!([]))), ("empty", "messages".into()));
    assert_eq!(refusal(with("messages", json!("Hi"))), ("wrong_type", "messages".into()));
    assert_eq!(refusal(with("messages", json!(["Hi"]))), ("wrong_type", "messages[0]".into()));
    let many = vec![json!({"role": "user", "content": "Hi"}); 4097];
    assert_eq!(refusal(with("messages", json!(many))), ("too_many", "messages".into()));
}

#[test]
fn refuses_odd_roles() {
    for (role, code) in [
        (json!("root"), "unknown_value"),
        (json!("User"), "unknown_value"),
        (json!(""), "unknown_value"),
        (json!(1), "wrong_type"),
        (Value::Null, "wrong_type"),
    ] {
        let refused = refusal(of(json!({"role": role, "content": "Hi"})));
        assert_eq!(refused, (code, "messages[0].role".into()));
    }
    let refused = refusal(of(json!({"content": "Hi"})));
    assert_eq!(refused, ("missing", "messages[0].role".into()));
}

#[test]
fn knows_the_roles_of_the_interface() {
    for role in ["assistant", "developer", "function", "system", "tool", "user"] {
        let request = of(json!({"role": role, "content": "Hi"})).unwrap();
        assert_eq!(request.messages()[0].role.as_str(), role);
    }
}

#[test]
fn only_an_assistant_may_say_nothing() {
    assert!(of(json!({"role": "assistant"})).is_ok());
    let refused = refusal(of(json!({"role": "user"})));
    assert_eq!(refused, ("missing", "messages[0].content".into()));
    let refused = refusal(of(json!({"role": "user", "content": null})));
    assert_eq!(refused, ("wrong_type", "messages[0].content".into()));
}

#[test]
fn refuses_content_of_odd_shape() {
    for (content, code, place) in [
        (json!(1), "wrong_type", ""),
        (json!({}), "wrong_type", ""),
        (json!([]), "empty", ""),
        (json!(["x"]), "wrong_type", "[0]"),
        (json!([{}]), "missing", "[0].type"),
        (json!([{"type": 1}]), "wrong_type", "[0].type"),
        (json!([{"type": "text"}]), "missing", "[0].text"),
        (json!([{"type": "text", "text": null}]), "wrong_type", "[0].text"),
    ] {
        let refused = refusal(of(json!({"role": "user", "content": content})));
        assert_eq!(refused, (code, format!("messages[0].content{place}")));
    }
}

#[test]
fn keeps_parts_of_other_kinds_but_calls_them_no_text() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let content = json!([{"type": "text", "text": "What is this?"}, image]);
    let request = of(json!({"role": "user", "content": content})).unwrap();
    let content = &request.messages()[0].content;
    assert_eq!(content.text(), None);
    let parts = vec![Part::Text("What is this?".into()), Part::Other];
    assert_eq!(*content, Content::Parts(parts));
    assert_eq!(request.raw()["messages"][0]["content"][1], image);
}

#[test]
fn refuses_a_body_beyond_its_bound_before_reading_it() {
    let limits = Limits { body_bytes_max: 8, ..Limits::default() };
    assert_eq!(
        ChatRequest::parse(b"not JSON at all", &limits),
        Err(ApiError::BodyTooLarge { limit: 8 })
    );
}

#[test]
fn refuses_bodies_that_are_no_object_no_json_or_ambiguous() {
    let parse = |body: &[u8]| ChatRequest::parse(body, &Limits::default());
    assert_eq!(parse(b"[]"), Err(ApiError::NotObject));
    assert_eq!(parse(b"{"), Err(ApiError::NotJson { line: 1, column: 1 }));
    let twice = br#"{"model":"m","max_tokens":1,"max_tokens":99}"#;
    assert_eq!(parse(twice), Err(ApiError::DuplicateMember { line: 1, column: 40 }));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(deep.as_bytes()), Err(ApiError::TooDeep));
}

#[test]
fn no_refusal_repeats_the_callers_text() {
    let secret = "hunter2";
    for body in [
        json!({"model": {"x": secret}, "messages": []}),
        json!({"model": "m", "messages": [{"role": secret, "content": secret}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": [{"type": secret}, secret]}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stop": [secret, 1]}),
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": secret}),
    ] {
        let error = parse(&body).expect_err("the request is wrong");
        assert!(!error.to_string().contains(secret), "{error}");
    }
    for text in [r#"{"hunter2":1,"hunter2":2}"#, r#"{"a":hunter2}"#] {
        let error = ChatRequest::parse(text.as_bytes(), &Limits::default()).unwrap_err();
        assert!(!error.to_string().contains(secret), "{error}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = ChatRequest::parse(&bytes, &Limits::default());
    }

    #[test]
    fn a_good_request_survives_a_round_trip(text: String, tokens in 1u64..1_000_000) {
        let mut request = ChatRequest::ask("m", &text);
        request.set_max_tokens(tokens);
        let again = ChatRequest::parse(&request.to_body(), &Limits::default()).unwrap();
        prop_assert_eq!(again, request);
    }
}
