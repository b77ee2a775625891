//! Calls into NVIDIA's management library (nvml.h). `loaded.rs` says what they lean on.
//!
//! *Start* here: there is no [`Library`] whose `nvmlInit_v2` did not succeed; `nvmlShutdown` is
//! called once, when it is dropped.

#![allow(unsafe_code)]

use std::ffi::{OsStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;

use crate::hardware::loaded::{Failure, find, load, to_text, written};

/// A function's answer: zero is success.
type Code = c_int;

/// `NVML_ERROR_NOT_SUPPORTED`.
const NOT_SUPPORTED: Code = 3;

/// `NVML_ERROR_FUNCTION_NOT_FOUND`.
const FUNCTION_NOT_FOUND: Code = 13;

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`.
const VERSION_MISMATCH: Code = 25;

/// An opaque handle, which the library makes and reads.
type Handle = *mut c_void;

/// `NVML_DEVICE_UUID_V2_BUFFER_SIZE`.
const UUID_BYTES: usize = 96;

/// `NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE`.
const VERSION_BYTES: usize = 80;

/// `NVML_CC_GPU_ATTESTATION_REPORT_SIZE`.
const REPORT_BYTES: usize = 0x2000;

/// `NVML_CC_GPU_CEC_ATTESTATION_REPORT_SIZE`.
const CEC_REPORT_BYTES: usize = 0x1000;

/// `NVML_GPU_CERT_CHAIN_SIZE`.
const CHAIN_BYTES: usize = 0x1000;

/// `NVML_GPU_ATTESTATION_CERT_CHAIN_SIZE`.
const ATTESTATION_CHAIN_BYTES: usize = 0x1400;

/// `nvmlConfComputeSystemState_t`.
#[repr(C)]
#[derive(Default)]
struct ConfComputeSystemState {
    environment: c_uint,
    cc_feature: c_uint,
    dev_tools_mode: c_uint,
}

/// `nvmlSystemConfComputeSettings_v1_t`.
#[repr(C)]
#[derive(Default)]
struct ConfComputeSettings {
    version: c_uint,
    environment: c_uint,
    cc_feature: c_uint,
    dev_tools_mode: c_uint,
    multi_gpu_mode: c_uint,
}

impl ConfComputeSettings {
    /// `NVML_STRUCT_VERSION(SystemConfComputeSettings, 1)`.
    const VERSION: c_uint = size_of::<ConfComputeSettings>() as c_uint | 1 << 24;
}

/// `nvmlConfComputeGpuCertificate_t`.
#[repr(C)]
struct GpuCertificate {
    chain_size: c_uint,
    attestation_chain_size: c_uint,
    chain: [u8; CHAIN_BYTES],
    attestation_chain: [u8; ATTESTATION_CHAIN_BYTES],
}

/// `nvmlConfComputeGpuAttestationReport_t`.
#[repr(C)]
struct GpuAttestationReport {
    is_cec_report_present: c_uint,
    report_size: c_uint,
    cec_report_size: c_uint,
    nonce: [u8; 32],
    report: [u8; REPORT_BYTES],
    cec_report: [u8; CEC_REPORT_BYTES],
}

type InitFn = unsafe extern "C" fn() -> Code;
type TextFn = unsafe extern "C" fn(*mut c_char, c_uint) -> Code;
type CountFn = unsafe extern "C" fn(*mut c_uint) -> Code;
type DeviceFn = unsafe extern "C" fn(c_uint, *mut Handle) -> Code;
type DeviceTextFn = unsafe extern "C" fn(Handle, *mut c_char, c_uint) -> Code;
type DeviceNumberFn = unsafe extern "C" fn(Handle, *mut c_uint) -> Code;
type StateFn = unsafe extern "C" fn(*mut ConfComputeSystemState) -> Code;
type SettingsFn = unsafe extern "C" fn(*mut ConfComputeSettings) -> Code;
type CertificateFn = unsafe extern "C" fn(Handle, *mut GpuCertificate) -> Code;
type ReportFn = unsafe extern "C" fn(Handle, *mut GpuAttestationReport) -> Code;

/// The library, loaded and started.
pub(super) struct Library {
    functions: Functions,
    /// Declared last: unloaded after everything that points into it.
    _library: libloading::Library,
}

struct Functions {
    shutdown: InitFn,
    driver_version: TextFn,
    device_count: CountFn,
    device: DeviceFn,
    uuid: DeviceTextFn,
    architecture: DeviceNumberFn,
    /// Only the first drivers with confidential mode lack the settings.
    settings: Option<SettingsFn>,
    state: StateFn,
    certificate: CertificateFn,
    report: ReportFn,
}

/// A GPU, as long as its library is open.
pub(super) struct Device<'a> {
    handle: Handle,
    library: PhantomData<&'a Library>,
}

/// How the driver runs its GPUs.
pub(super) struct ConfidentialCompute {
    pub(super) enabled: bool,
    pub(super) dev_tools: bool,
    pub(super) multi_gpu: u32,
}

impl Library {
    /// Loads and starts it.
    pub(super) fn open(path: &OsStr) -> Result<Library, Failure> {
        let library = load(path)?;
        // SAFETY: nvml.h declares each name with exactly the type that `Functions` gives it.
        let (init, functions) =
            unsafe { (find::<InitFn>(&library, "nvmlInit_v2")?, find_all(&library)?) };
        // SAFETY: it takes nothing, and may be called at any time.
        check(unsafe { init() })?;
        Ok(Library { functions, _library: library })
    }

    /// The driver's version.
    pub(super) fn driver_version(&self) -> Result<String, Failure> {
        let mut text = [0; VERSION_BYTES];
        // SAFETY: signatures, lifetime, start, pointers; the length is the buffer's.
        check(unsafe {
            (self.functions.driver_version)(text.as_mut_ptr(), VERSION_BYTES as c_uint)
        })?;
        to_text(&text)
    }

    /// How many GPUs there are.
    pub(super) fn device_count(&self) -> Result<u32, Failure> {
        let mut count = 0;
        // SAFETY: signatures, lifetime, start, pointers.
        check(unsafe { (self.functions.device_count)(&mut count) })?;
        Ok(count)
    }

    /// One of them.
    pub(super) fn device(&self, index: u32) -> Result<Device<'_>, Failure> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: signatures, lifetime, start, pointers. What the handle points to is never read
        // here, only passed back, and not after the library was closed: the device borrows it.
        check(unsafe { (self.functions.device)(index, &mut handle) })?;
        Ok(Device { handle, library: PhantomData })
    }

    /// A GPU's name for itself.
    pub(super) fn uuid(&self, device: &Device<'_>) -> Result<String, Failure> {
        let mut text = [0; UUID_BYTES];
        // SAFETY: signatures, lifetime, start, pointers; the length is the buffer's, and the handle
        // is of an open library.
        check(unsafe {
            (self.functions.uuid)(device.handle, text.as_mut_ptr(), UUID_BYTES as c_uint)
        })?;
        to_text(&text)
    }

    /// The number of its architecture.
    pub(super) fn architecture(&self, device: &Device<'_>) -> Result<u32, Failure> {
        let mut architecture = 0;
        // SAFETY: signatures, lifetime, start, pointers; the handle is of an open library.
        check(unsafe { (self.functions.architecture)(device.handle, &mut architecture) })?;
        Ok(architecture)
    }

    /// How the driver runs its GPUs.
    pub(super) fn confidential_compute(&self) -> Result<ConfidentialCompute, Failure> {
        if let Some(settings) = self.functions.settings {
            let version = ConfComputeSettings::VERSION;
            let mut answer = ConfComputeSettings { version, ..Default::default() };
            // SAFETY: signatures, lifetime, start, pointers; `version` tells the structure's size.
            match unsafe { settings(&mut answer) } {
                NOT_SUPPORTED | FUNCTION_NOT_FOUND | VERSION_MISMATCH => {}
                code => {
                    check(code)?;
                    return Ok(ConfidentialCompute {
                        enabled: answer.cc_feature != 0,
                        dev_tools: answer.dev_tools_mode != 0,
                        multi_gpu: answer.multi_gpu_mode,
                    });
                }
            }
        }
        let mut state = ConfComputeSystemState::default();
        // SAFETY: signatures, lifetime, start, pointers.
        match unsafe { (self.functions.state)(&mut state) } {
            // The word of GPUs that have no such mode.
            NOT_SUPPORTED => {}
            code => check(code)?,
        }
        Ok(ConfidentialCompute {
            enabled: state.cc_feature != 0,
            dev_tools: state.dev_tools_mode != 0,
            multi_gpu: 0,
        })
    }

    /// Its report over this nonce.
    pub(super) fn attestation_report(
        &self,
        device: &Device<'_>,
        nonce: &[u8; 32],
    ) -> Result<Vec<u8>, Failure> {
        let mut answer = Box::new(GpuAttestationReport {
            is_cec_report_present: 0,
            report_size: 0,
            cec_report_size: 0,
            nonce: *nonce,
            report: [0; REPORT_BYTES],
            cec_report: [0; CEC_REPORT_BYTES],
        });
        // SAFETY: signatures, lifetime, start, pointers; the handle is of an open library.
        check(unsafe { (self.functions.report)(device.handle, &mut *answer) })?;
        written(&answer.report, answer.report_size, "a report")
    }

    /// The certificates of the key that signs its reports.
    pub(super) fn certificate_chain(&self, device: &Device<'_>) -> Result<Vec<u8>, Failure> {
        let mut answer = Box::new(GpuCertificate {
            chain_size: 0,
            attestation_chain_size: 0,
            chain: [0; CHAIN_BYTES],
            attestation_chain: [0; ATTESTATION_CHAIN_BYTES],
        });
        // SAFETY: signatures, lifetime, start, pointers; the handle is of an open library.
        check(unsafe { (self.functions.certificate)(device.handle, &mut *answer) })?;
        written(&answer.attestation_chain, answer.attestation_chain_size, "certificates")
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: signatures, lifetime; it was started once, and this is its one end.
        unsafe { (self.functions.shutdown)() };
    }
}

/// Finds all functions but the one that starts.
///
/// # Safety
/// The library is NVML, or has its functions with its types.
unsafe fn find_all(library: &libloading::Library) -> Result<Functions, Failure> {
    // SAFETY: the caller's promise, for each of them.
    unsafe {
        Ok(Functions {
            shutdown: find(library, "nvmlShutdown")?,
            driver_version: find(library, "nvmlSystemGetDriverVersion")?,
            device_count: find(library, "nvmlDeviceGetCount_v2")?,
            device: find(library, "nvmlDeviceGetHandleByIndex_v2")?,
            uuid: find(library, "nvmlDeviceGetUUID")?,
            architecture: find(library, "nvmlDeviceGetArchitecture")?,
            settings: find(library, "nvmlSystemGetConfComputeSettings").ok(),
            state: find(library, "nvmlSystemGetConfComputeState")?,
            certificate: find(library, "nvmlDeviceGetConfComputeGpuCertificate")?,
            report: find(library, "nvmlDeviceGetConfComputeGpuAttestationReport")?,
        })
    }
}

fn check(code: Code) -> Result<(), Failure> {
    match code {
        0 => Ok(()),
        code => Err(Failure::Code { code, words: in_words(code) }),
    }
}

/// The library's numbers of errors (nvml.h, `nvmlReturn_t`), those that a pod can meet.
fn in_words(code: Code) -> &'static str {
    match code {
        1 => "the library was not started",
        2 => "it did not understand the question",
        3 => "the GPU cannot do this",
        4 => "this user may not ask",
        6 => "not found",
        9 => "the driver is not loaded",
        12 => "the library misses a part of itself",
        13 => "the library lacks a function",
        15 => "the GPU is lost",
        18 => "library and driver are of different versions",
        25 => "the library wants another version of the question",
        _ => "unknown to us",
    }
}
