//! What was measured, as JSON and as a table.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use subrosa_devnet::gas::GasReport;

use crate::first_token::FirstToken;
use crate::ollama::Engines;
use crate::throughput::{THREADS, Throughput};

/// Everything.
pub struct Report {
    pub machine: Machine,
    pub gas: GasReport,
    /// Milliseconds of one write.
    pub disk: f64,
    pub first_token: FirstToken,
    pub throughput: Throughput,
    pub engines: Engines,
}

/// Where it was measured. What cannot be read is left empty.
pub struct Machine {
    cpu: String,
    cores: usize,
    memory: String,
    kernel: String,
    /// The load when the bench began: what else was running.
    load: String,
}

impl Machine {
    /// Looks around.
    pub fn look() -> Machine {
        Machine {
            cpu: member("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: member("/proc/meminfo", "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease"),
            load: read("/proc/loadavg"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "memory": self.memory,
            "kernel": self.kernel,
            "load_at_start": self.load,
            "build": if cfg!(debug_assertions) { "dev" } else { "release" },
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn member(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

impl Report {
    fn json(&self) -> Value {
        let [direct, off, ticked] = self.first_token.medians();
        let [in_process, through] = self.throughput.medians();
        let [our_decode, our_prompt] = self.engines.builtin.medians();
        let [their_decode, their_prompt] = self.engines.ollama.medians();
        json!({
            "added_first_token_ms": {
                "p50": rounded(self.first_token.added(0.5)),
                "p99": rounded(self.first_token.added(0.99)),
                "ticked_p50": rounded(self.first_token.ticked()),
            },
            "throughput_ratio": rounded(self.throughput.ratio()),
            "engine_vs_ollama": {
                "decode": rounded(self.engines.decode()),
                "prompt": rounded(self.engines.prompt()),
            },
            "gas": self.gas,
            "machine": self.machine.json(),
            "detail": {
                "network": "private: no chain, an allow-list; evidence cached, account open",
                "first_token_rounds": self.first_token.rounds(),
                "first_token_ms": {
                    "direct": rounded(direct), "off": rounded(off), "ticked": rounded(ticked),
                },
                "durable_write_ms": rounded(self.disk),
                "added_without_disk_ms": rounded(self.first_token.added_in_memory()),
                "added_without_disk_and_prefill_ms": rounded(self.first_token.added_at_once()),
                "throughput_rounds": self.throughput.rounds(),
                "tokens_per_s": {"direct": rounded(in_process), "path": rounded(through)},
                "threads": THREADS,
                "builtin": {
                    "decode_tokens_per_s": rounded(our_decode),
                    "prompt_tokens_per_s": rounded(our_prompt),
                    "prompt_tokens": self.engines.builtin.prompt_tokens,
                },
                "ollama": {
                    "decode_tokens_per_s": rounded(their_decode),
                    "prompt_tokens_per_s": rounded(their_prompt),
                    "prompt_tokens": self.engines.ollama.prompt_tokens,
                },
            },
        })
    }

    /// Writes the JSON.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        fs::write(file, format!("{:#}\n", self.json()))
    }

    /// Prints the table.
    pub fn print(&self) -> anyhow::Result<()> {
        let [direct, off, ticked] = self.first_token.medians();
        let [in_process, through] = self.throughput.medians();
        let [our_decode, our_prompt] = self.engines.builtin.medians();
        let [their_decode, their_prompt] = self.engines.ollama.medians();
        let first = &self.first_token;
        let gas = &self.gas;
        let rows = [
            ("first token added, median, ticks off", ms(first.added(0.5)), "under 1 ms"),
            ("first token added, 99th percentile", ms(first.added(0.99)), ""),
            ("first token added, median, default tick", ms(first.ticked()), ""),
            ("  in process", ms(direct), ""),
            ("  whole path, ticks off", ms(off), ""),
            ("  whole path, default tick", ms(ticked), ""),
            ("  one durable write", ms(self.disk), ""),
            ("  added where ledgers are in memory", ms(first.added_in_memory()), ""),
            ("  and the engine answers at once", ms(first.added_at_once()), ""),
            ("throughput of the path", times(self.throughput.ratio()), "at least 0.990 ×"),
            ("  in process", speed(in_process), ""),
            ("  whole path, ticks off", speed(through), ""),
            ("decoding against Ollama", times(self.engines.decode()), "at least 1.000 ×"),
            ("  built in", speed(our_decode), ""),
            ("  Ollama", speed(their_decode), ""),
            ("prompt against Ollama", times(self.engines.prompt()), "at least 2.000 ×"),
            ("  built in", speed(our_prompt), ""),
            ("  Ollama", speed(their_prompt), ""),
            ("deposit", gas_of(gas.deposit), ""),
            ("claim of 1 channel", gas_of(gas.claim_1), ""),
            ("claim of 50 channels", gas_of(gas.claim_50), ""),
            ("  each further channel", gas_of(gas.further_row), "under 13,000"),
            ("settle", gas_of(gas.settle), ""),
        ];
        let mut out = io::stdout().lock();
        writeln!(out, "{:<42}{:>18}   mark", "", "measured")?;
        for (what, value, mark) in rows {
            writeln!(out, "{what:<42}{value:>18}   {mark}")?;
        }
        Ok(())
    }
}

/// Says what is being measured.
pub fn progress(what: &str) -> io::Result<()> {
    writeln!(io::stderr(), "bench: {what}")
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn ms(value: f64) -> String {
    format!("{value:.3} ms")
}

fn speed(value: f64) -> String {
    format!("{value:.1} tokens/s")
}

fn times(value: f64) -> String {
    format!("{value:.3} ×")
}

fn gas_of(value: u64) -> String {
    format!("{value} gas")
}
