//! `subrosa models`: the catalogue, and bringing its files here.

use std::process::ExitCode;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use subrosa_engine::Cache;
use subrosa_engine::catalogue::{self, Catalogue, Entry, Progress, Pulled, Step};

use crate::args::ModelsCommand;
use crate::output::{Output, Wait};

pub(crate) async fn run(command: &ModelsCommand, output: &Output) -> Result<ExitCode> {
    let cache = Cache::from_env()?;
    let catalogue = Catalogue::compiled_in();
    match command {
        ModelsCommand::List => list(&catalogue, &cache, output),
        ModelsCommand::Pull { name } => {
            let entry = find(&catalogue, name)?;
            let pulled = pull(entry, &cache, output).await?;
            output.value(&json!({
                "model": entry.name(),
                "digest": entry.digest(),
                "paths": pulled.paths,
                "fetched_bytes": pulled.fetched_bytes,
            }));
            let what = if pulled.fetched_bytes == 0 { "is here" } else { "was fetched" };
            let (name, digest) = (entry.name(), entry.digest());
            output.line(format!("{name} {what}, its digest {digest} is verified"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The catalogue's entry of that name, or an error that suggests the nearest.
fn find<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a Entry> {
    catalogue.find(name).with_context(|| {
        let known = catalogue.entries().iter().map(Entry::name);
        match subrosa_chain::strict::nearest(name, known) {
            Some(nearest) => {
                format!("no model {name:?} in the catalogue; did you mean {nearest:?}?")
            }
            None => format!("no model {name:?} in the catalogue; see `subrosa models list`"),
        }
    })
}

fn list(catalogue: &Catalogue, cache: &Cache, output: &Output) {
    let told: Vec<Value> = catalogue.entries().iter().map(|entry| told(entry, cache)).collect();
    output.value(&told);
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["model", "also", "MB", "licence", "in the cache", "digest"]);
    for entry in catalogue.entries() {
        table.add_row([
            entry.name().to_owned(),
            entry.aliases().join(", "),
            bytes(entry).div_ceil(1_000_000).to_string(),
            entry.licence().to_owned(),
            (if is_here(entry, cache) { "yes" } else { "no" }).to_owned(),
            entry.digest().to_string(),
        ]);
    }
    output.line(table.to_string());
}

fn told(entry: &Entry, cache: &Cache) -> Value {
    json!({
        "name": entry.name(),
        "aliases": entry.aliases(),
        "licence": entry.licence(),
        "context_tokens": entry.context_tokens(),
        "digest": entry.digest(),
        "bytes": bytes(entry),
        "in_cache": is_here(entry, cache),
    })
}

/// Whether all files are there; their bytes are checked when they are loaded.
fn is_here(entry: &Entry, cache: &Cache) -> bool {
    entry.files().iter().all(|file| cache.model_file(&file.sha256).is_file())
}

fn bytes(entry: &Entry) -> u64 {
    entry.files().iter().map(|file| file.size).sum()
}

/// Brings a model's files into the cache, with a bar on a terminal.
pub(crate) async fn pull(entry: &Entry, cache: &Cache, output: &Output) -> Result<Pulled> {
    let mut bar = Bar { name: entry.name().to_owned(), wait: output.bar() };
    Ok(catalogue::pull(entry, cache, &mut bar).await?)
}

struct Bar {
    name: String,
    wait: Wait,
}

impl Progress for Bar {
    fn step(&mut self, step: &Step) {
        let doing = match step {
            Step::Checking { path } => format!("verifying {path}"),
            Step::Downloading { from } => format!("downloading {from}"),
            Step::Unpacking { member } => format!("unpacking {member}"),
        };
        self.wait.tell(format!("{}: {doing}", self.name));
    }

    fn bytes(&mut self, have: u64, size: u64) {
        self.wait.bytes(have, size);
    }
}
