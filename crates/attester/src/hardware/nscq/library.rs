//! Calls into NVIDIA's switch library (nscq.h, nscq_attestation.h). `loaded.rs` says what they lean on.
//!
//! The library answers through callbacks, one call a switch, while it is asked. *Start* here: there
//! is no [`Session`] that the library did not make; it ends once, when it is dropped.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::marker::PhantomData;

use subrosa_verifier::DEVICES_MAX;

use crate::hardware::loaded::{Failure, find, load, to_text, written};

/// `nscq_rc_t`: zero is success, less is an error, more a warning.
type Code = i8;

/// An opaque session, which the library makes and reads.
type Handle = *mut c_void;

/// `NSCQ_SESSION_CREATE_MOUNT_DEVICES`: the session sees all switches.
const MOUNT_DEVICES: u32 = 1;

/// `NSCQ_ATTESTATION_REPORT_SIZE`.
const REPORT_BYTES: usize = 0x2000;

/// `NSCQ_CERTIFICATE_CERT_CHAIN_MAX_SIZE`.
const CHAIN_BYTES: usize = 0x1400;

/// Where the library keeps what switches call themselves.
const UUIDS: &CStr = c"/drv/nvswitch/{device}/uuid";

/// `nscq_uuid_t`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Uuid([u8; 16]);

/// `nscq_label_t`.
#[repr(C)]
struct Label([c_char; 64]);

/// `nscq_session_result_t`.
#[repr(C)]
struct SessionResult {
    code: Code,
    session: Handle,
}

/// `nscq_attestation_report_t`.
#[repr(C)]
struct Report {
    size: u32,
    report: [u8; REPORT_BYTES],
}

/// `nscq_attestation_certificate_t`.
#[repr(C)]
struct Certificate {
    chain: [u8; CHAIN_BYTES],
    size: u32,
}

/// `nscq_fn_t`: a callback of any type; the path that is observed says of which.
type AnyCallback = unsafe extern "C" fn();
/// The callback of a path whose values are of this type.
type Callback<V> = extern "C" fn(*const Uuid, Code, V, *mut c_void);

type CreateFn = unsafe extern "C" fn(u32) -> SessionResult;
type DestroyFn = unsafe extern "C" fn(Handle);
type ObserveFn = unsafe extern "C" fn(Handle, *const c_char, AnyCallback, *mut c_void, u32) -> Code;
type InputFn = unsafe extern "C" fn(Handle, u32, *mut c_void, u32) -> Code;
type LabelFn = unsafe extern "C" fn(*const Uuid, *mut Label, u32) -> Code;

/// The library, loaded.
pub(in crate::hardware) struct Library {
    create: CreateFn,
    destroy: DestroyFn,
    observe: ObserveFn,
    set_input: InputFn,
    label: LabelFn,
    /// Declared last: unloaded after everything that points into it.
    _library: libloading::Library,
}

/// A conversation with the switches, for as long as the library is loaded and the nonces that it
/// was given live: it may look at a nonce whenever it is asked for something.
pub(super) struct Session<'a> {
    handle: Handle,
    library: &'a Library,
    nonces: PhantomData<Cell<&'a [u8; 32]>>,
}

impl Library {
    /// Loads it.
    pub(super) fn open(path: &OsStr) -> Result<Library, Failure> {
        let library = load(path)?;
        // SAFETY: the headers declare each name with exactly the type that its field has.
        unsafe {
            Ok(Library {
                create: find(&library, "nscq_session_create")?,
                destroy: find(&library, "nscq_session_destroy")?,
                observe: find(&library, "nscq_session_path_observe")?,
                set_input: find(&library, "nscq_session_set_input")?,
                label: find(&library, "nscq_uuid_to_label")?,
                _library: library,
            })
        }
    }

    /// Starts a conversation.
    pub(super) fn session(&self) -> Result<Session<'_>, Failure> {
        // SAFETY: signatures, lifetime; it may be called at any time.
        let SessionResult { code, session } = unsafe { (self.create)(MOUNT_DEVICES) };
        check(code)?;
        match session.is_null() {
            true => Err(Failure::Bad("it started a session that is none")),
            false => Ok(Session { handle: session, library: self, nonces: PhantomData }),
        }
    }

    /// What a switch calls itself, fit to stand in a path.
    fn label(&self, uuid: &Uuid) -> Result<String, Failure> {
        let mut label = Label([0; 64]);
        // SAFETY: signatures, lifetime, pointers.
        check(unsafe { (self.label)(uuid, &mut label, 0) })?;
        let text = to_text(&label.0)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match !text.is_empty() && text.bytes().all(plain) {
            true => Ok(text),
            false => Err(Failure::Bad("the name of a switch has letters that names do not have")),
        }
    }
}

impl<'a> Session<'a> {
    /// What the switches call themselves.
    pub(super) fn switches(&self) -> Result<Vec<String>, Failure> {
        let uuids = self.observe::<*const Uuid>(UUIDS)?;
        uuids.iter().map(|uuid| self.library.label(uuid)).collect()
    }

    /// The number of a switch's architecture.
    pub(super) fn architecture(&self, switch: &str) -> Result<i8, Failure> {
        self.one::<i8>(switch, "id/arch")
    }

    /// The certificates of the key that signs a switch's reports.
    pub(super) fn certificate_chain(&self, switch: &str) -> Result<Vec<u8>, Failure> {
        self.one::<Certificate>(switch, "config/certificate")
    }

    /// A switch's report over this nonce.
    pub(super) fn attestation_report(
        &self,
        switch: &str,
        nonce: &'a [u8; 32],
    ) -> Result<Vec<u8>, Failure> {
        let input: *const [u8; 32] = nonce;
        // SAFETY: signatures, lifetime, start. An input is only read, and lives as long as the
        // session, which may keep the pointer; the length is the array's.
        check(unsafe { (self.library.set_input)(self.handle, 0, input.cast_mut().cast(), 32) })?;
        self.one::<Report>(switch, "config/attestation_report")
    }

    /// What one switch says at a path of its own.
    fn one<V: Value>(&self, switch: &str, of_it: &str) -> Result<V::Kept, Failure> {
        let path = CString::new(format!("/{switch}/{of_it}"));
        let mut answers = self.observe::<V>(&path.expect("neither part has a NUL"))?;
        match (answers.pop(), answers.is_empty()) {
            (Some(answer), true) => Ok(answer),
            _ => Err(Failure::Bad("a switch did not answer exactly once")),
        }
    }

    /// What all switches say at a path whose values are of this type.
    fn observe<V: Value>(&self, path: &CStr) -> Result<Vec<V::Kept>, Failure> {
        let mut answers = Answers::<V::Kept>(Ok(Vec::new()));
        let callback: Callback<V> = keep::<V>;
        // SAFETY: both are pointers to functions, and the library calls this one with the values of
        // the path, which the callers above know to be of this type.
        let callback = unsafe { std::mem::transmute::<Callback<V>, AnyCallback>(callback) };
        // SAFETY: signatures, lifetime, start, pointers. The callback is called before the function
        // returns, with `answers` as the type that it was passed as.
        let code = unsafe {
            let answers: *mut Answers<V::Kept> = &mut answers;
            (self.library.observe)(self.handle, path.as_ptr(), callback, answers.cast(), 0)
        };
        check(code)?;
        answers.0
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: signatures, lifetime; it was made once, and this is its one end.
        unsafe { (self.library.destroy)(self.handle) };
    }
}

/// What the callbacks left, or the first that was wrong.
struct Answers<K>(Result<Vec<K>, Failure>);

/// A value as the library passes it.
trait Value {
    /// What is kept of it.
    type Kept;

    fn kept(self) -> Result<Self::Kept, Failure>;
}

impl Value for *const Uuid {
    type Kept = Uuid;

    fn kept(self) -> Result<Uuid, Failure> {
        // SAFETY: where it is not null, the library points to a UUID that lives during the call.
        let uuid = unsafe { self.as_ref() };
        uuid.copied().ok_or(Failure::Bad("a switch has no UUID"))
    }
}

impl Value for i8 {
    type Kept = i8;

    fn kept(self) -> Result<i8, Failure> {
        Ok(self)
    }
}

impl Value for Report {
    type Kept = Vec<u8>;

    fn kept(self) -> Result<Vec<u8>, Failure> {
        written(&self.report, self.size, "a report")
    }
}

impl Value for Certificate {
    type Kept = Vec<u8>;

    fn kept(self) -> Result<Vec<u8>, Failure> {
        written(&self.chain, self.size, "certificates")
    }
}

/// The callback. It must not panic: there is a foreign function between it and its caller.
extern "C" fn keep<V: Value>(_: *const Uuid, code: Code, value: V, answers: *mut c_void) {
    // SAFETY: the pointer that `observe` passed, to its own exclusively borrowed local of this type.
    let Some(Answers(answers)) = (unsafe { answers.cast::<Answers<V::Kept>>().as_mut() }) else {
        return;
    };
    let Ok(kept) = answers else { return };
    match check(code).and_then(|()| value.kept()) {
        Ok(_) if kept.len() >= DEVICES_MAX => {
            *answers = Err(Failure::Bad("it counts more switches than a node has"));
        }
        Ok(value) => kept.push(value),
        Err(failure) => *answers = Err(failure),
    }
}

fn check(code: Code) -> Result<(), Failure> {
    match code {
        0 => Ok(()),
        code => Err(Failure::Code { code: code.into(), words: in_words(code) }),
    }
}

/// The library's numbers of errors and warnings (nscq.h, `nscq_rc_t`).
fn in_words(code: Code) -> &'static str {
    match code {
        1 => "it could not start its recorder",
        -1 => "the library cannot do this",
        -2 => "there is no such switch",
        -3 => "a switch cannot be reached",
        -4 => "an answer does not fit",
        -5 => "it did not understand the question",
        -6 => "library and driver are of different versions",
        -7 => "the driver failed",
        -8 => "the driver did not answer in time",
        _ => "unknown to us",
    }
}
