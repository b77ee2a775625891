//! Libraries of the system that are loaded while a pod runs: what all calls into them lean on.
//!
//! Calls into NVIDIA's libraries stand in `nvml/library.rs` and `nscq/library.rs`, and nowhere else
//! is this crate unsafe. What each of them leans on:
//! - *Signatures.* Functions and structures are declared as NVIDIA's headers declare them; the
//!   libraries have kept them so since each was introduced, and version a name where it changes.
//! - *Lifetime.* Function pointers are called only through a `Library`, which owns the loaded
//!   library beside them, so that it cannot be unloaded before the last call.
//! - *Start.* Nothing is asked of a library that did not start, and it is ended once.
//! - *Pointers.* Every pointer that is passed is to a live, initialised, exclusively borrowed local
//!   of the type that the function writes, and the library keeps none of them.
//! - *Lengths.* A length that the library wrote is checked against the array before it is used.

#![allow(unsafe_code)]

use std::ffi::{OsStr, c_char, c_uint};

use super::SourceError;

/// Why a library gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is not on this machine.
    Absent,
    /// It gave something that cannot be.
    Bad(&'static str),
    /// It answered with this error.
    Code {
        /// Its number.
        code: i32,
        /// What its header says of the number.
        words: &'static str,
    },
    /// It is too old to have this function.
    MissingFunction(&'static str),
    /// It says that it wrote more than it can have.
    TooLong {
        /// What.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// It is there, but cannot be loaded: the loader's words.
    Unloadable(String),
}

impl Failure {
    /// The failure of `request`, as the source's that is asked through the library at `path`.
    pub(super) fn of(
        self,
        source_name: &'static str,
        request: &'static str,
        path: &OsStr,
    ) -> SourceError {
        match self {
            Failure::Absent => SourceError::Absent { source_name, at: path.into() },
            Failure::Bad(what) => SourceError::BadAnswer { source_name, what },
            Failure::Code { code, words } => {
                let code = format!("error {code}, {words}");
                SourceError::Refused { source_name, request, code }
            }
            Failure::MissingFunction(name) => {
                let code = format!("this driver's library has no {name}; a newer driver has");
                SourceError::Refused { source_name, request, code }
            }
            Failure::Unloadable(words) => {
                let error = std::io::Error::other(words);
                SourceError::Unusable { source_name, at: path.into(), error }
            }
            Failure::TooLong { what, max } => SourceError::TooLong { source_name, what, max },
        }
    }
}

/// Loads a library.
pub(super) fn load(path: &OsStr) -> Result<libloading::Library, Failure> {
    // SAFETY: loading runs the library's own initialisers. The path is the operator's, and NVIDIA's
    // libraries are made to be loaded by any program.
    let library = unsafe { libloading::Library::new(path) };
    library.map_err(|error| unloadable(path, &error))
}

/// The loader says the same of a library that is not there and of one that lacks another: only the
/// name before its words differs.
fn unloadable(path: &OsStr, error: &libloading::Error) -> Failure {
    let mut words = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        words = format!("{words}: {cause}");
    }
    match words.contains(&*path.to_string_lossy()) && words.contains("No such file or directory") {
        true => Failure::Absent,
        false => Failure::Unloadable(words),
    }
}

/// Finds one function.
///
/// # Safety
/// `F` is the type of the function pointer that the library's header gives this name, and what it
/// points to is not called after the library was unloaded.
pub(super) unsafe fn find<F: Copy>(
    library: &libloading::Library,
    name: &'static str,
) -> Result<F, Failure> {
    // SAFETY: the caller's promise.
    let symbol = unsafe { library.get::<F>(name) };
    symbol.map(|symbol| *symbol).map_err(|_| Failure::MissingFunction(name))
}

/// What was written into a buffer, where the length that came with it is possible.
pub(super) fn written(
    buffer: &[u8],
    length: c_uint,
    what: &'static str,
) -> Result<Vec<u8>, Failure> {
    let length = usize::try_from(length).ok();
    let bytes = length.and_then(|length| buffer.get(..length));
    bytes.map(<[u8]>::to_vec).ok_or(Failure::TooLong { what, max: buffer.len() })
}

/// A C string, which ends inside its buffer.
pub(super) fn to_text(buffer: &[c_char]) -> Result<String, Failure> {
    let bad = Failure::Bad("a text of the library has no end");
    let Some(end) = buffer.iter().position(|byte| *byte == 0) else { return Err(bad) };
    let bytes: Vec<u8> = buffer[..end].iter().map(|byte| byte.cast_unsigned()).collect();
    String::from_utf8(bytes).map_err(|_| bad)
}
