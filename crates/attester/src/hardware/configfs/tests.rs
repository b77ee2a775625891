use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use subrosa_protocol::Timestamp;
use subrosa_verifier::CpuEvidence;

use super::*;
use crate::{SimulatedCpu, SimulatedGpus, SimulatedKind, Simulator};

const ASKED: [u8; 64] = [7; 64];

const NOW: Timestamp = Timestamp(1_790_000_000);

/// Linux's numbers of errors.
const EINVAL: i32 = 22;
const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const EACCES: i32 = 13;
const EAGAIN: i32 = 11;
const EEXIST: i32 = 17;

/// Plays the kernel as its documentation describes it: folders with attributes, a generation that
/// counts writes, a report made when `outblob` is read.
struct FakeKernel {
    /// What `provider` says; no driver at all where it is empty.
    provider: &'static str,
    floor: Option<&'static str>,
    report: Box<Reporting>,
    auxblob: Option<Vec<u8>>,
    ccel: io::Result<Vec<u8>>,
    /// What somebody else does while the report is made, and how often.
    intrusions: Mutex<(Intruder, u32)>,
    folders: Mutex<Folders>,
}

/// Makes what `outblob` holds for what `inblob` held.
type Reporting = dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync;

#[derive(Clone, Copy)]
enum Intruder {
    /// Writes, which only `generation` shows.
    Writes,
    /// Makes the kernel break off.
    Interrupts,
}

#[derive(Default)]
struct Folders {
    open: BTreeMap<PathBuf, Attributes>,
    made: usize,
    taken: usize,
    /// What each folder that is gone had as `privlevel`.
    levels: Vec<String>,
}

#[derive(Default)]
struct Attributes {
    inblob: Vec<u8>,
    privlevel: String,
    generation: u64,
}

impl fmt::Debug for FakeKernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FakeKernel")
    }
}

fn errno<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

impl TsmFiles for FakeKernel {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        assert_eq!(path.parent(), Some(Path::new("/tsm")));
        let mut folders = self.folders.lock().unwrap();
        if self.provider.is_empty() {
            return errno(ENXIO);
        }
        if folders.taken > 0 {
            folders.taken -= 1;
            return errno(EEXIST);
        }
        folders.made += 1;
        assert!(folders.open.insert(path.to_owned(), Attributes::default()).is_none());
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut folders = self.folders.lock().unwrap();
        let Some(attributes) = folders.open.remove(path) else { return errno(ENOENT) };
        folders.levels.push(attributes.privlevel);
        Ok(())
    }

    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>> {
        if path == Path::new("/ccel") {
            let ccel = self.ccel.as_ref().map_err(|error| error.kind())?;
            return Ok(ccel.iter().copied().take(max + 1).collect());
        }
        let mut folders = self.folders.lock().unwrap();
        let attributes = folders.open.get_mut(path.parent().unwrap()).expect("the folder is open");
        let bytes = match path.file_name().unwrap().to_str().unwrap() {
            "provider" => format!("{}\n", self.provider).into_bytes(),
            "generation" => format!("{}\n", attributes.generation).into_bytes(),
            "privlevel_floor" => match self.floor {
                Some(floor) => format!("{floor}\n").into_bytes(),
                None => return errno(ENOENT),
            },
            "outblob" => {
                if attributes.inblob.is_empty() {
                    return errno(EINVAL);
                }
                let mut intrusions = self.intrusions.lock().unwrap();
                if intrusions.1 > 0 {
                    intrusions.1 -= 1;
                    attributes.generation += 1;
                    if let Intruder::Interrupts = intrusions.0 {
                        return errno(EAGAIN);
                    }
                }
                (self.report)(&attributes.inblob)?
            }
            "auxblob" => match &self.auxblob {
                Some(auxblob) => auxblob.clone(),
                None => return errno(ENOENT),
            },
            _ => return errno(ENOENT),
        };
        Ok(bytes.into_iter().take(max + 1).collect())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut folders = self.folders.lock().unwrap();
        let attributes = folders.open.get_mut(path.parent().unwrap()).expect("the folder is open");
        match path.file_name().unwrap().to_str().unwrap() {
            "inblob" if bytes.len() > 64 => return errno(EINVAL),
            "inblob" => attributes.inblob = bytes.to_vec(),
            "privlevel" if bytes < self.floor.unwrap_or("0").as_bytes() => return errno(EINVAL),
            "privlevel" => attributes.privlevel = String::from_utf8(bytes.to_vec()).unwrap(),
            _ => return errno(ENOENT),
        }
        attributes.generation += 1;
        Ok(())
    }
}

impl FakeKernel {
    fn new(
        provider: &'static str,
        report: impl Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> FakeKernel {
        FakeKernel {
            provider,
            floor: None,
            report: Box::new(report),
            auxblob: None,
            ccel: errno(ENOENT),
            intrusions: Mutex::new((Intruder::Writes, 0)),
            folders: Mutex::default(),
        }
    }

    /// A TDX guest whose quotes end in 70 zeros, as some do.
    fn tdx() -> FakeKernel {
        FakeKernel::new("tdx_guest", |asked| {
            Ok([simulated(SimulatedCpu::Tdx, asked), vec![0; 70]].concat())
        })
    }

    fn snp() -> FakeKernel {
        FakeKernel::new("sev_guest", |asked| Ok(simulated(SimulatedCpu::Snp, asked)))
    }
}

/// What a simulated processor says.
fn simulated(cpu: SimulatedCpu, asked: &[u8]) -> Vec<u8> {
    let kind = SimulatedKind { cpu, gpus: SimulatedGpus::None };
    let said = Simulator::of(kind, "image").cpu_evidence(asked.try_into().unwrap(), NOW);
    match said.unwrap() {
        CpuEvidence::Sgx(sgx) => sgx.quote,
        CpuEvidence::Snp(snp) => snp.report,
        CpuEvidence::Tdx(tdx) => tdx.quote,
    }
}

/// Asks a kernel for a report; every folder must be gone afterwards, whatever came out.
fn ask(kernel: FakeKernel) -> (Result<RawCpu, SourceError>, usize) {
    let kernel = Arc::new(kernel);
    let files = kernel.clone();
    let tsm = ConfigfsTsm { root: "/tsm".into(), ccel: "/ccel".into(), files };
    let report = tsm.report(&ASKED);
    let folders = kernel.folders.lock().unwrap();
    assert!(folders.open.is_empty(), "a folder was left behind");
    (report, folders.made)
}

fn refusal(kernel: FakeKernel) -> SourceError {
    ask(kernel).0.expect_err("the kernel misbehaves")
}

#[test]
fn reads_a_quote_of_tdx_without_its_padding() {
    let (report, folders) = ask(FakeKernel::tdx());
    let quote = simulated(SimulatedCpu::Tdx, &ASKED);
    assert_eq!(report.unwrap(), RawCpu::Tdx { quote, event_log: RawEventLog::None });
    assert_eq!(folders, 1);
}

#[test]
fn reads_the_firmwares_log_without_the_unused_rest() {
    let kind = SimulatedKind { cpu: SimulatedCpu::TdxCcel, gpus: SimulatedGpus::None };
    let said = Simulator::of(kind, "image").cpu_evidence(ASKED, NOW).unwrap();
    let CpuEvidence::Tdx(tdx) = said else { panic!("the kind is TDX") };
    let subrosa_verifier::EventLog::Ccel { log } = tdx.event_log else { panic!("it has a log") };
    for unused in [0x00, 0xFF] {
        let mut kernel = FakeKernel::tdx();
        kernel.ccel = Ok([log.clone(), vec![unused; 4_096]].concat());
        let Ok(RawCpu::Tdx { event_log, .. }) = ask(kernel).0 else { panic!("it is TDX") };
        assert_eq!(event_log, RawEventLog::Ccel(log.clone()));
    }
}

#[test]
fn refuses_a_log_that_cannot_be_read_or_is_none() {
    let mut kernel = FakeKernel::tdx();
    kernel.ccel = errno(EACCES);
    assert!(matches!(refusal(kernel), SourceError::Unusable { .. }));

    let mut kernel = FakeKernel::tdx();
    kernel.ccel = Ok(b"no log".to_vec());
    assert!(matches!(refusal(kernel), SourceError::BadAnswer { .. }));

    let mut kernel = FakeKernel::tdx();
    kernel.ccel = Ok(vec![0; EVENT_LOG_BYTES_MAX + 1]);
    assert!(matches!(refusal(kernel), SourceError::TooLong { .. }));
}

#[test]
fn reads_a_report_of_snp_with_the_hosts_certificates() {
    for (auxblob, expected) in
        [(None, None), (Some(vec![]), None), (Some(vec![1, 2, 3]), Some(vec![1, 2, 3]))]
    {
        let mut kernel = FakeKernel::snp();
        kernel.auxblob = auxblob;
        let report = simulated(SimulatedCpu::Snp, &ASKED);
        let raw = RawCpu::Snp { report, certificates: expected };
        assert_eq!(ask(kernel).0.unwrap(), raw);
    }
}

#[test]
fn asks_for_no_level_that_is_not_its_own() {
    for (floor, asked) in [(None, ""), (Some("0"), ""), (Some("2"), "2")] {
        let kernel = Arc::new(FakeKernel { floor, ..FakeKernel::snp() });
        let files = kernel.clone();
        let tsm = ConfigfsTsm { root: "/tsm".into(), ccel: "/ccel".into(), files };
        tsm.report(&ASKED).unwrap();
        assert_eq!(kernel.folders.lock().unwrap().levels, [asked], "{floor:?}");
    }
}

#[test]
fn takes_another_folder_where_one_was_left_behind() {
    let kernel = FakeKernel::tdx();
    kernel.folders.lock().unwrap().taken = 3;
    ask(kernel).0.unwrap();

    let kernel = FakeKernel::tdx();
    kernel.folders.lock().unwrap().taken = 1_000;
    assert!(matches!(refusal(kernel), SourceError::Busy { .. }));
}

#[test]
fn asks_again_after_a_race_and_gives_up_after_some() {
    for intruder in [Intruder::Writes, Intruder::Interrupts] {
        let kernel = FakeKernel::tdx();
        *kernel.intrusions.lock().unwrap() = (intruder, 2);
        let (report, folders) = ask(kernel);
        report.unwrap();
        assert_eq!(folders, 3);

        let kernel = FakeKernel::tdx();
        *kernel.intrusions.lock().unwrap() = (intruder, u32::MAX);
        let (report, folders) = ask(kernel);
        assert!(matches!(report, Err(SourceError::Raced { tries: TRIES, .. })));
        assert_eq!(folders, TRIES as usize);
    }
}

#[test]
fn refuses_a_report_over_other_bytes() {
    for (provider, cpu) in [("tdx_guest", SimulatedCpu::Tdx), ("sev_guest", SimulatedCpu::Snp)] {
        let kernel = FakeKernel::new(provider, move |_| Ok(simulated(cpu, &[8; 64])));
        assert!(matches!(refusal(kernel), SourceError::AnotherReportData { .. }));
    }
}

#[test]
fn refuses_a_short_report() {
    for length in [0, 1, 47, 48, 631, 632, 1_183] {
        for provider in ["tdx_guest", "sev_guest"] {
            let kernel = FakeKernel::new(provider, move |asked| {
                let cpu = match provider {
                    "tdx_guest" => SimulatedCpu::Tdx,
                    _ => SimulatedCpu::Snp,
                };
                Ok(simulated(cpu, asked)[..length].to_vec())
            });
            let refusal = refusal(kernel);
            let is_named = match provider {
                "tdx_guest" => matches!(refusal, SourceError::BadQuote { .. }),
                _ => matches!(refusal, SourceError::BadSnpReport { .. }),
            };
            assert!(is_named, "{provider} {length}: {refusal}");
        }
    }
}

#[test]
fn refuses_a_report_longer_than_the_kernel_gives() {
    let kernel = FakeKernel::new("tdx_guest", |_| Ok(vec![0; BLOB_BYTES_MAX + 1]));
    assert!(matches!(refusal(kernel), SourceError::TooLong { .. }));
}

#[test]
fn refuses_a_quote_of_sgx_from_the_tdx_driver() {
    let kernel = FakeKernel::new("tdx_guest", |asked| Ok(simulated(SimulatedCpu::Sgx, asked)));
    assert!(matches!(refusal(kernel), SourceError::OtherCpu { got: Cpu::Sgx, .. }));
}

#[test]
fn refuses_processors_that_documents_cannot_carry() {
    let kernel = FakeKernel::new("arm_cca_guest", |asked| Ok(asked.to_vec()));
    let error = refusal(kernel);
    assert_eq!(
        error.to_string(),
        "configfs-tsm is of a kind that documents cannot carry: arm_cca_guest"
    );
}

#[test]
fn says_what_the_kernel_refused() {
    let kernel = FakeKernel::new("tdx_guest", |_| errno(EACCES));
    let error = refusal(kernel);
    assert!(matches!(error, SourceError::Unusable { .. }));
    assert!(error.to_string().contains("outblob"), "{error}");

    let kernel = FakeKernel::new("", |_| errno(EACCES));
    assert!(matches!(refusal(kernel), SourceError::Unusable { .. }));
}

#[test]
fn a_machine_without_the_interface_has_no_source() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("report");
    let error = ConfigfsTsm::at(&root, "/ccel").report(&ASKED).unwrap_err();
    assert!(matches!(error, SourceError::Absent { at, .. } if at == root));
}

#[test]
fn a_plain_folder_is_not_the_kernels_and_is_left_empty() {
    let folder = tempfile::tempdir().unwrap();
    let tsm = ConfigfsTsm::at(folder.path(), "/ccel");
    assert!(matches!(tsm.report(&ASKED), Err(SourceError::Unusable { .. })));
    assert!(matches!(tsm.provider(), Err(SourceError::Unusable { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_kernels_files_are_read_up_to_a_bound_and_written_only_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (file, absent) = (folder.path().join("file"), folder.path().join("absent"));
    std::fs::write(&file, b"0123456789").unwrap();
    assert_eq!(Kernel.read(&file, 10).unwrap(), b"0123456789");
    assert_eq!(Kernel.read(&file, 4).unwrap(), b"01234");
    assert_eq!(Kernel.write(&absent, b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
    Kernel.write(&file, b"ab").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"ab23456789");
}
