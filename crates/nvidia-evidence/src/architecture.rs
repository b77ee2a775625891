//! The families of devices that this crate knows.

use std::fmt;

/// Which family a device belongs to: it decides where the firmware's identity stands in the
/// certificate and which reference measurements a report needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Architecture {
    /// GPUs on a GH100 die: H100, H200, GH200.
    Hopper,
    /// GPUs on a GB100 die or one of its successors: B200, GB200, B300.
    Blackwell,
    /// NVSwitch of the third generation, beside eight Hopper GPUs.
    Ls10,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hopper, Self::Blackwell, Self::Ls10];

    /// The architecture that a document names, as NVIDIA's own tools spell it: `HOPPER`,
    /// `BLACKWELL`, `LS10`. Nothing else is understood.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The name that NVIDIA's own tools use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hopper => "HOPPER",
            Self::Blackwell => "BLACKWELL",
            Self::Ls10 => "LS10",
        }
    }

    /// Whether this is a GPU (a switch has no driver, hence no reference measurements of one).
    pub const fn is_gpu(self) -> bool {
        matches!(self, Self::Hopper | Self::Blackwell)
    }

    /// The family of a chip, as certificates name it: `GH100`, `GB100`, `LS_10`.
    pub fn of_chip(chip: &str) -> Option<Self> {
        match chip {
            "LS_10" | "LS10" => Some(Self::Ls10),
            _ if chip.starts_with("GH1") => Some(Self::Hopper),
            _ if chip.starts_with("GB1") || chip.starts_with("GB2") => Some(Self::Blackwell),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
