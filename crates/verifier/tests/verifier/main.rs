//! The verifier against the simulator, broken documents, and real hardware's evidence.

mod amd;
mod amd_vectors;
mod appraisal;
mod devices;
mod document;
mod faults;
mod flips;
mod foreign;
mod foreign_devices;
mod foreign_gpus;
mod foreign_nitro;
mod foreign_token;
mod foreign_vllm;
mod freshness;
mod intel;
mod keys_and_offers;
mod ledger;
mod narrowed;
mod policy;
mod release_proof;
mod vectors;
mod workload;
mod world;
