//! What the catalogue says of a model is what an engine serves.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use subrosa_engine::catalogue::{Catalogue, verified_path};
use subrosa_engine::{Builtin, BuiltinConfig, Cache};

#[test]
fn the_builtin_engine_serves_a_model_under_the_catalogues_digest() {
    let cache = Cache::from_env().unwrap();
    let catalogue = Catalogue::compiled_in();
    let entry = catalogue.find("smollm2").unwrap();
    if let Err(fault) = verified_path(entry.weights().unwrap(), &cache) {
        assert!(std::env::var_os("SUBROSA_REQUIRE_MODEL").is_none(), "{fault}");
        eprintln!("skipped: {fault}");
        return;
    }
    let config = BuiltinConfig::from_catalogue(entry, &cache).unwrap();
    let engine = Builtin::open(config).unwrap();
    let served = &engine.models()[0];
    assert_eq!(served.name, entry.name());
    assert_eq!(served.manifest, *entry.manifest());
    assert_eq!(served.digest, entry.digest());
    assert_eq!(served.context_tokens, entry.context_tokens());
}
