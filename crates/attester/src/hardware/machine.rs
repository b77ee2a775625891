//! The hardware of one pod, put together: devices, then the quote that binds them, then what the
//! vendors state about both.

use subrosa_protocol::Timestamp;
use subrosa_verifier::{
    CpuEvidence, DeviceCollateral, Devices, EventLog, Evidence, Nonce, Parts, SgxEvidence,
    SnpEvidence, TdxEvidence, report_data,
};

use super::{
    ConfigfsTsm, Dstack, Gramine, Nvml, RawCpu, RawDevices, RawEventLog, SourceError, Switches,
};
use crate::{AttestError, Attestation, Endorser, SecondQuote};

/// Where a pod's processor and devices are asked, and who is asked about them.
#[derive(Debug)]
pub struct Machine {
    processor: ProcessorSource,
    devices: DeviceSource,
    endorser: Endorser,
}

/// Where the processor is asked.
#[derive(Clone, Debug)]
pub enum ProcessorSource {
    /// The kernel: TDX and SEV-SNP.
    ConfigfsTsm(ConfigfsTsm),
    /// dstack's guest agent: TDX with dstack's log, and SEV-SNP.
    Dstack(Dstack),
    /// Gramine: SGX.
    Gramine(Gramine),
}

/// Where the devices are asked.
#[derive(Clone, Debug)]
pub enum DeviceSource {
    /// dstack's guest agent: GPUs, and switches where it lists them.
    Dstack(Dstack),
    /// Nowhere: the pod computes on its processor alone.
    None,
    /// NVIDIA's libraries: GPUs, and the switches that they talk through.
    Nvml(Nvml),
}

impl Machine {
    /// A machine that is asked in these places; the endorser adds what the vendors state.
    pub fn new(processor: ProcessorSource, devices: DeviceSource, endorser: Endorser) -> Machine {
        Machine { processor, devices, endorser }
    }

    pub(crate) async fn evidence(
        &self,
        nonce: &Nonce,
        keyset: &[u8],
        workload: &[u8],
        now: Timestamp,
    ) -> Result<Attestation, AttestError> {
        let raw = self.devices.report(nonce.digest()).await?;
        let switches_missing = raw.switches_missing();
        let RawDevices { devices, .. } = raw;
        let bytes = devices.to_bytes();
        let quote = self.processor.report(report_data(nonce, keyset, &bytes, workload)).await?;
        let (cpu, device_collateral) = self.endorse(quote, &devices, now).await?;
        let evidence = Evidence::compose(Parts {
            nonce: *nonce,
            keyset: keyset.to_vec(),
            devices: bytes,
            workload: workload.to_vec(),
            cpu,
            device_collateral,
        });
        Ok(Attestation { evidence, switches_missing })
    }

    pub(crate) async fn second_quote(
        &self,
        report_data: [u8; 64],
        gpu_nonce: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<SecondQuote, AttestError> {
        let devices = match gpu_nonce {
            Some(nonce) => self.devices.report(nonce).await?.devices,
            None => Devices::default(),
        };
        let quote = self.processor.report(report_data).await?;
        let (cpu, device_collateral) = self.endorse(quote, &devices, now).await?;
        Ok(SecondQuote { cpu, devices, device_collateral })
    }

    async fn endorse(
        &self,
        quote: RawCpu,
        devices: &Devices,
        now: Timestamp,
    ) -> Result<(CpuEvidence, DeviceCollateral), AttestError> {
        let for_devices = async {
            match devices.0.is_empty() {
                true => Ok(DeviceCollateral::default()),
                false => self.endorser.nvidia(devices, now).await,
            }
        };
        let (cpu, devices) = tokio::join!(self.endorse_cpu(quote, now), for_devices);
        Ok((cpu?, devices?))
    }

    async fn endorse_cpu(&self, raw: RawCpu, now: Timestamp) -> Result<CpuEvidence, AttestError> {
        Ok(match raw {
            RawCpu::Sgx { quote } => {
                let collateral = self.endorser.intel(&quote, now).await?;
                CpuEvidence::Sgx(SgxEvidence { quote, collateral })
            }
            RawCpu::Snp { report, .. } => {
                let collateral = self.endorser.amd(&report, now).await?;
                CpuEvidence::Snp(SnpEvidence { report, collateral })
            }
            RawCpu::Tdx { quote, event_log } => {
                let collateral = self.endorser.intel(&quote, now).await?;
                CpuEvidence::Tdx(TdxEvidence { quote, collateral, event_log: event_log.into() })
            }
        })
    }
}

impl ProcessorSource {
    /// The processor's word over these bytes.
    async fn report(&self, report_data: [u8; 64]) -> Result<RawCpu, SourceError> {
        match self {
            ProcessorSource::ConfigfsTsm(tsm) => {
                let tsm = tsm.clone();
                wait(move || tsm.report(&report_data)).await
            }
            ProcessorSource::Dstack(dstack) => dstack.get_quote(&report_data).await,
            ProcessorSource::Gramine(gramine) => {
                let gramine = gramine.clone();
                wait(move || gramine.quote(&report_data)).await
            }
        }
    }
}

impl DeviceSource {
    /// A report of each device over this nonce.
    async fn report(&self, nonce: [u8; 32]) -> Result<RawDevices, SourceError> {
        match self {
            DeviceSource::Dstack(dstack) => dstack.attest_gpu(&nonce).await,
            DeviceSource::None => {
                let switches = Switches::Absent { reason: "no device is asked" };
                Ok(RawDevices { devices: Devices::default(), switches })
            }
            DeviceSource::Nvml(nvml) => nvml.devices(nonce).await,
        }
    }
}

impl From<RawEventLog> for EventLog {
    fn from(log: RawEventLog) -> EventLog {
        match log {
            RawEventLog::Ccel(log) => EventLog::Ccel { log },
            RawEventLog::Dstack { log_json: log, app_compose, .. } => {
                EventLog::Dstack { log, app_compose }
            }
            RawEventLog::None => EventLog::None,
        }
    }
}

/// Waits for a processor where that holds nobody up.
async fn wait<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(ask).await.expect("asking a processor does not panic")
}
