//! What a leaf says of its device.

use rcgen::SanType;

use super::*;
use crate::testing::{Issued, chain, signer, tlv};

/// A leaf that states `info` in the DMTF's name, or another name of that kind.
fn leaf(oid: &[u64], info: &str) -> Chain {
    let mut params = signer("leaf");
    let value = rcgen::OtherNameValue::Utf8String(info.to_owned());
    params.subject_alt_names = vec![SanType::OtherName((oid.to_vec(), value))];
    chain(&[&Issued::root(params)])
}

const DEVICE_INFO: &[u64] = &[1, 3, 6, 1, 4, 1, 412, 274, 1];

#[test]
fn a_leaf_is_of_the_family_whose_chip_it_states() {
    for (info, of) in [
        ("NVIDIA:GH100:48B02DB73E52137E", Architecture::Hopper),
        ("NVIDIA:GB100:48B02DD4C0CB1539", Architecture::Blackwell),
        ("NVIDIA:GB202:1", Architecture::Blackwell),
        ("NVIDIA:LS_10:48B02DFE0092CDDB", Architecture::Ls10),
    ] {
        let leaf = leaf(DEVICE_INFO, info);
        for claimed in [Architecture::Hopper, Architecture::Blackwell, Architecture::Ls10] {
            let found = architecture(&leaf, claimed);
            if claimed == of {
                assert_eq!(found, Ok(info.to_owned()));
            } else {
                assert!(matches!(found, Err(Refusal::Architecture { .. })), "{found:?}");
            }
        }
    }
}

#[test]
fn a_leaf_that_states_no_known_device_is_refused() {
    let unknown = |chain: &Chain| {
        let found = architecture(chain, Architecture::Hopper);
        assert_eq!(found, Err(Refusal::DeviceUnknown));
    };
    unknown(&chain(&[&Issued::root(signer("leaf"))]));
    for info in ["", "NVIDIA", "NVIDIA:GH100", "NVIDIA:GH100:1:2", "ACME:GH100:1", "nvidia:GH100:1"]
    {
        unknown(&leaf(DEVICE_INFO, info));
    }
    unknown(&leaf(&[1, 3, 6, 1, 4, 1, 412, 274, 2], "NVIDIA:GH100:1"));
    for chip in ["GH200", "GA100", "", "gh100"] {
        let found =
            architecture(&leaf(DEVICE_INFO, &format!("NVIDIA:{chip}:1")), Architecture::Hopper);
        assert!(matches!(found, Err(Refusal::Architecture { .. })), "{chip}: {found:?}");
    }
    let mut params = signer("leaf");
    let names = tlv(0x30, &[&[0x80]]);
    params.custom_extensions =
        vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
    unknown(&chain(&[&Issued::root(params)]));
}
