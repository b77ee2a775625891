//! The folder outside any checkout in which large files stay, keyed by their digest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use subrosa_protocol::B256;
use thiserror::Error;

/// No cache folder can be derived from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CacheError {
    /// None of the three variables is set.
    #[error("no cache folder: set SUBROSA_CACHE, XDG_CACHE_HOME or HOME")]
    NoFolder,
}

/// Where downloaded models are. It holds paths and makes no folder by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache that the environment names: `SUBROSA_CACHE`, else `$XDG_CACHE_HOME/subrosa`, else
    /// `$HOME/.cache/subrosa`. A variable that is empty counts as unset.
    ///
    /// # Errors
    /// [`CacheError::NoFolder`] where none of them is set.
    pub fn from_env() -> Result<Self, CacheError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// A cache in that folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Cache { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where models are.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Where a model's file of that SHA-256 is, or would be.
    pub fn model_file(&self, sha256: &B256) -> PathBuf {
        self.models().join(format!("sha256-{}", hex::encode(sha256)))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, CacheError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("SUBROSA_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("subrosa")))
            .or_else(|| set("HOME").map(|folder| folder.join(".cache/subrosa")))
            .map(Cache::at)
            .ok_or(CacheError::NoFolder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Cache, CacheError> {
        Cache::from_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_nearest_variable_names_the_folder() {
        let all = [("SUBROSA_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(with(&all), Ok(Cache::at("/a")));
        assert_eq!(with(&all[1..]), Ok(Cache::at("/b/subrosa")));
        assert_eq!(with(&all[2..]), Ok(Cache::at("/c/.cache/subrosa")));
        assert_eq!(with(&[]), Err(CacheError::NoFolder));
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = [("SUBROSA_CACHE", ""), ("XDG_CACHE_HOME", ""), ("HOME", "/c")];
        assert_eq!(with(&variables), Ok(Cache::at("/c/.cache/subrosa")));
    }

    #[test]
    fn a_file_is_named_by_its_digest() {
        let path = Cache::at("/a").model_file(&B256::repeat_byte(0xab));
        assert_eq!(path, Path::new("/a/models").join(format!("sha256-{}", "ab".repeat(32))));
    }
}
