//! Comparison of a report's measurements with reference measurements.

use std::collections::BTreeMap;

use crate::hexes::Sha384;
use crate::report::Report;
use crate::rim::{Measurement, Rim, RimKind};

/// The video decoder's measurement: without meaning while the decoder is off.
const NVDEC_INDEX: u8 = 35;

/// How a report compares with one manifest. Indexes are the manifest's: they count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which manifest.
    pub kind: RimKind,
    /// How many active measurements were compared and are equal to one of their alternatives.
    pub equal: usize,
    /// Active measurements that were not compared, because the decoder they measure is off.
    pub skipped: Vec<u8>,
    /// Active measurements whose block has none of the good values.
    pub different: Vec<u8>,
    /// Active measurements that the report has no block for.
    pub absent: Vec<u8>,
}

impl Comparison {
    /// Compares the active measurements of `rim` with `report`.
    pub fn of(report: &Report, rim: &Rim, kind: RimKind) -> Self {
        let blocks: BTreeMap<u8, Sha384> =
            report.blocks().iter().map(|block| (block.index, block.value)).collect();
        let mut comparison =
            Self { kind, equal: 0, skipped: Vec::new(), different: Vec::new(), absent: Vec::new() };
        for measurement in rim.active() {
            if measurement.index == NVDEC_INDEX && report.nvdec_off() {
                comparison.skipped.push(measurement.index);
            } else {
                comparison.compare(measurement, &blocks);
            }
        }
        comparison
    }

    fn compare(&mut self, measurement: &Measurement, blocks: &BTreeMap<u8, Sha384>) {
        let index = measurement.index;
        let block = index.checked_add(1).and_then(|block| blocks.get(&block));
        match block {
            None => self.absent.push(index),
            Some(value) if measurement.alternatives.contains(value) => self.equal += 1,
            Some(_) => self.different.push(index),
        }
    }

    /// How many measurements were compared.
    pub fn compared(&self) -> usize {
        self.equal + self.different.len() + self.absent.len()
    }

    /// Whether every measurement that was compared is good, and at least one was.
    pub fn is_good(&self) -> bool {
        self.equal > 0 && self.equal == self.compared()
    }
}

/// The indexes that are active in both manifests. Which one would count, nobody says.
pub(crate) fn overlap(a: &Rim, b: &Rim) -> Vec<u8> {
    a.active().map(|it| it.index).filter(|index| b.is_active(*index)).collect()
}

#[cfg(test)]
mod tests;
