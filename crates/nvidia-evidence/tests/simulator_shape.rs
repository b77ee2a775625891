//! Simulated evidence has the shape of real evidence: the same fields of the same lengths in the
//! same order, the same elements and attributes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subrosa_nvidia_evidence::simulator::{Fault, Node};

const SDK: &str = "nvidia-attestation-sdk/unit-tests";

/// A real file, or `None` (said aloud) where the vectors are not here.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn vector(path: &str) -> Option<String> {
    let folder = std::env::var_os("SUBROSA_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let text = fs::read_to_string(folder.join(path)).ok();
    if text.is_none() {
        eprintln!("skipped: no {path}");
    }
    text
}

/// A report's blocks and opaque entries, read by this test's own small reader.
struct Shape {
    header: Vec<u8>,
    /// The first seven bytes of each block: index, specification, sizes, type.
    blocks: Vec<Vec<u8>>,
    entries: Vec<(u16, Vec<u8>)>,
    signature: usize,
}

impl Shape {
    fn of(report: &[u8]) -> Shape {
        let (request, response) = report.split_at(37);
        let header = [&request[..4], &request[36..], &response[..5]].concat();
        let bytes = usize::from(response[5]) | usize::from(response[6]) << 8;
        let (record, rest) = response[8..].split_at(bytes);
        let blocks = record.chunks(55).map(|block| block[..7].to_vec()).collect();
        let opaque = usize::from(u16::from_le_bytes([rest[32], rest[33]]));
        let (mut opaque, signature) = rest[34..].split_at(opaque);
        let mut entries = Vec::new();
        while let [k0, k1, l0, l1, after @ ..] = opaque {
            let (value, next) = after.split_at(u16::from_le_bytes([*l0, *l1]).into());
            entries.push((u16::from_le_bytes([*k0, *k1]), value.to_vec()));
            opaque = next;
        }
        assert!(opaque.is_empty());
        Shape { header, blocks, entries, signature: signature.len() }
    }

    /// Kinds and lengths; versions of drivers have any.
    fn lengths(&self) -> Vec<(u16, usize)> {
        let length =
            |(kind, value): &(u16, Vec<u8>)| (*kind, if *kind == 3 { 0 } else { value.len() });
        self.entries.iter().map(length).collect()
    }

    fn entry(&self, kind: u16) -> Option<&[u8]> {
        let found = self.entries.iter().find(|(known, _)| *known == kind);
        found.map(|(_, value)| value.as_slice())
    }
}

fn shapes(node: &Node) -> Vec<Shape> {
    node.evidence(&[1; 32]).iter().map(|device| Shape::of(&device.report)).collect()
}

#[track_caller]
fn same_shape(simulated: &Shape, real: &Shape) {
    assert_eq!(simulated.header, real.header);
    assert_eq!(simulated.blocks, real.blocks);
    assert_eq!(simulated.lengths(), real.lengths());
    assert_eq!(simulated.signature, real.signature);
}

#[test]
fn a_single_hopper_gpus_report_has_the_shape_of_a_real_one() {
    let Some(text) = vector(&format!("{SDK}/hopperAttestationReport.txt")) else { return };
    let real = Shape::of(&hex::decode(text.trim()).expect("the vector is hex"));
    same_shape(&shapes(&Node::hopper(1))[0], &real);
}

#[test]
fn the_report_of_a_hopper_gpu_behind_switches_has_the_shape_of_a_real_one() {
    let Some(text) = vector(&format!("{SDK}/evidence_hopper_590_12.json")) else { return };
    let json: serde_json::Value = serde_json::from_str(&text).expect("the vector is JSON");
    let report = json[0]["evidence"].as_str().expect("the vector has a report");
    let real = Shape::of(&STANDARD.decode(report).expect("the vector is base64"));
    let simulated = &shapes(&Node::hopper(8))[0];
    same_shape(simulated, &real);
    assert_eq!(simulated.entry(21), real.entry(21));
    assert_eq!(simulated.entry(36), real.entry(36));
}

#[test]
fn the_report_of_a_switch_has_the_shape_of_a_real_one() {
    let Some(text) = vector(&format!("{SDK}/switchAttestationReport.txt")) else { return };
    let real = Shape::of(&hex::decode(text.trim()).expect("the vector is hex"));
    same_shape(&shapes(&Node::switches(1))[0], &real);
}

#[test]
fn a_blackwell_gpus_report_begins_as_a_real_one_of_older_firmware() {
    let path = format!("{SDK}/sample_attestation_data/gpu/blackwellAttestationReport.txt");
    let Some(text) = vector(&path) else { return };
    let real = Shape::of(&hex::decode(text.trim()).expect("the vector is hex"));
    let mut simulated = shapes(&Node::blackwell(1)).remove(0);
    // Newer firmware names the chip and a feature flag.
    let newer = simulated.entries.split_off(real.entries.len());
    assert_eq!(newer.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [35, 36]);
    same_shape(&simulated, &real);
}

/// The tags in order, each with its name and those of its attributes, without values.
fn skeleton(xml: &str) -> Vec<Vec<String>> {
    let tags = xml.split('<').skip(1).map(|tag| tag.split('>').next().unwrap_or_default());
    // How many alternatives a measurement has differs.
    let alternative = |name: &str| name.contains(":Hash") && !name.contains(":Hash0=");
    let names = |tag: &str| tag.split('"').step_by(2).map(|name| name.trim().to_owned()).collect();
    tags.map(|tag| {
        let names: Vec<String> = names(tag);
        names.into_iter().filter(|name| !alternative(name)).collect()
    })
    .collect()
}

#[test]
fn manifests_have_the_elements_and_attributes_of_real_ones() {
    let files = [
        ("NV_GPU_DRIVER_GH100_550.144.03.xml", Node::hopper(1)),
        ("switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml", Node::switches(1)),
    ];
    for (file, node) in files {
        let Some(real) = vector(&format!("{SDK}/{file}")) else { return };
        let simulated = node.collateral(1_790_000_000).rims.swap_remove(0).xml;
        let simulated = String::from_utf8(simulated).expect("manifests are text");
        assert_eq!(skeleton(&simulated), skeleton(&real), "{file}");
        let namespaces = |xml: &str| xml.matches("xmlns").count();
        assert_eq!(namespaces(&simulated), namespaces(&real));
    }
}

#[test]
fn chains_end_as_real_ones_do() {
    for device in Node::hopper(8).evidence(&[1; 32]) {
        assert_eq!(device.chain_pem.matches("-----BEGIN CERTIFICATE-----\n").count(), 5);
        assert!(device.chain_pem.ends_with("\n-----END CERTIFICATE-----\n"));
    }
}

/// The numbers of the switches behind a GPU's links, which it writes backwards.
fn linked(gpu: &Shape) -> impl Iterator<Item = Vec<u8>> {
    let numbers = gpu.entry(22).expect("a GPU behind switches names them").chunks(8);
    numbers.map(|number| number.iter().rev().copied().collect())
}

#[test]
fn gpus_and_switches_name_each_other() {
    let shapes = shapes(&Node::hopper(8));
    let (gpus, switches) = shapes.split_at(8);
    let mut own: Vec<_> =
        switches.iter().map(|switch| switch.entry(22).unwrap().to_vec()).collect();
    own.sort();
    for gpu in gpus {
        let mut seen: Vec<_> = linked(gpu).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, own);
    }
    for switch in switches {
        let seen = &switch.entry(26).unwrap()[..64];
        assert_eq!(seen, &switches[0].entry(26).unwrap()[..64]);
        assert_eq!(seen.chunks(8).collect::<BTreeSet<_>>().len(), 8);
    }
}

#[test]
fn a_switch_of_another_node_is_one_that_no_gpu_names() {
    let shapes = shapes(&Node::hopper(8).faulty(Fault::SwitchOfOtherNode));
    let stranger = shapes[11].entry(22).unwrap();
    let named = |gpu: &Shape| linked(gpu).any(|number| number == stranger);
    assert!(!shapes[..8].iter().any(named));
    assert_eq!(shapes.len(), 12);
}

/// Half of the genuine ones do, and need one more byte in DER.
#[test]
fn some_simulated_serial_numbers_have_their_top_bit_set() {
    let pem = Node::hopper(1).evidence(&[1; 32])[0].chain_pem.clone();
    let ders = pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(|it| {
        let base64 = it.split("-----END").next().unwrap().replace('\n', "");
        STANDARD.decode(base64).unwrap()
    });
    // The serial number follows the version, in DER: its tag, its length, its bytes.
    let version = [0xA0, 3, 2, 1, 2, 2];
    let signs = ders.map(|der| {
        let at = der.windows(version.len()).position(|it| it == version).unwrap();
        let [0, first] = der[at + version.len() + 1..][..2] else { return false };
        first >= 0x80
    });
    let signs: BTreeSet<bool> = signs.collect();
    assert_eq!(signs.len(), 2, "some have it, some have not");
}

/// Four ports to each GPU that there is, and none to one that is not.
#[test]
fn a_switch_tells_which_gpu_each_port_leads_to() {
    for (gpus, shapes) in [
        (8, shapes(&Node::hopper(8))),
        (2, shapes(&Node::hopper(2))),
        (0, shapes(&Node::switches(4))),
    ] {
        for switch in &shapes[gpus..] {
            let ports = &switch.entry(26).unwrap()[64..];
            let leads = |port: usize| if port / 4 < gpus { (port / 4) as u8 } else { 0xFF };
            assert_eq!(ports, (0..64).map(leads).collect::<Vec<_>>(), "{gpus} GPUs");
        }
    }
}
