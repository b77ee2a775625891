//! Where the real SmolLM2 is, on machines that have it.

use std::path::PathBuf;

/// SHA-256 of `SmolLM2-135M-Instruct.Q4_1.gguf`.
pub const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The file in the user's cache, or `None`, with the reason on standard error.
pub fn cached() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = variable("SUBROSA_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| PathBuf::from(path).join("subrosa")))
        .or_else(|| variable("HOME").map(|path| PathBuf::from(path).join(".cache/subrosa")));
    let file = folder.map(|folder| folder.join("models").join(format!("sha256-{SHA256}")));
    let found = file.filter(|file| file.exists());
    if found.is_none() {
        skipped();
    }
    found
}

#[allow(
    clippy::print_stderr,
    reason = "whoever runs the tests must see which of them were skipped"
)]
fn skipped() {
    eprintln!("skipped: SmolLM2 is not in the cache, `subrosa models pull smollm2` fetches it");
}
