//! Colours, dashes, markers and type: how everything in a report looks.
//!
//! Each policy has one look in all charts and tables. The hues of the first three and of the spare ones
//! are Okabe and Ito's (Color Universal Design, 2008), which stay apart under every common colour
//! blindness; a dash pattern and a marker say the same without colour. Every tone has a twin for dark pages, which the report swaps in.

use std::collections::BTreeMap;

use super::canvas::Type;

/// The name under which the embedded fonts are registered; in SVG, the list a browser chooses from.
pub(crate) const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// A colour on light pages, which images use, and on dark ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tone {
    pub(crate) light: [u8; 3],
    pub(crate) dark: [u8; 3],
}

impl Tone {
    const fn new(light: u32, dark: u32) -> Self {
        Self { light: split(light), dark: split(dark) }
    }

    /// The tone moved most of the way to the page's: for what stands behind the main thing.
    pub(crate) fn tint(self) -> Self {
        Self { light: mix(self.light, PAGE.light, 0.62), dark: mix(self.dark, PAGE.dark, 0.58) }
    }
}

const fn split(hex: u32) -> [u8; 3] {
    [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8]
}

fn mix(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    std::array::from_fn(|channel| {
        let (from, to) = (f64::from(from[channel]), f64::from(to[channel]));
        (from + (to - from) * share).round() as u8
    })
}

/// As CSS and plotters' SVG write it.
pub(crate) fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

pub(crate) const PAGE: Tone = Tone::new(0xFFFFFF, 0x15191E);
pub(crate) const INK: Tone = Tone::new(0x1B2128, 0xE8EBEE);
pub(crate) const SOFT_INK: Tone = Tone::new(0x56606B, 0xA5AFBA);
pub(crate) const AXIS: Tone = Tone::new(0x9AA3AD, 0x5F6975);
pub(crate) const GRID: Tone = Tone::new(0xE6E9ED, 0x2A3038);
/// Behind the time that a fault lasts.
pub(crate) const SPAN: Tone = Tone::new(0xFBF0DA, 0x332B1C);
pub(crate) const TARGET: Tone = Tone::new(0x3A424C, 0xC6CDD5);
pub(crate) const INVALID: Tone = Tone::new(0xB3261E, 0xE5534B);
/// Calls that are neither done nor failed.
pub(crate) const QUEUED: Tone = Tone::new(0xE3A12F, 0xB97F1E);
pub(crate) const SATURATED: Tone = Tone::new(0x8A5A00, 0xC98A1B);
pub(crate) const STAMP_INK: Tone = Tone::new(0xFFFFFE, 0x101317);

/// How a policy's points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Disc,
    Square,
    Diamond,
    Triangle,
}

/// How one policy is drawn, everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look {
    pub(crate) tone: Tone,
    /// Lengths drawn and left out, logical pixels; empty for a solid line.
    pub(crate) dashes: &'static [f64],
    pub(crate) marker: Marker,
}

const fn look(light: u32, dark: u32, dashes: &'static [f64], marker: Marker) -> Look {
    Look { tone: Tone::new(light, dark), dashes, marker }
}

/// The known policies in the order in which charts and tables show them. The rest follow by name.
const KNOWN: [(&str, Look); 9] = [
    ("pick_first", look(0xD55E00, 0xE8792B, &[2.5, 3.5], Marker::Diamond)),
    ("round_robin", look(0x0072B2, 0x4AA3DB, &[9.0, 4.0], Marker::Square)),
    ("least_load", look(0x009E73, 0x1DBE90, &[], Marker::Disc)),
    ("least_request", look(0x8E4EC6, 0xB283E0, &[6.0, 3.0], Marker::Triangle)),
    ("weighted_round_robin", look(0x3D5AD6, 0x8397F0, &[12.0, 3.0, 3.0, 3.0], Marker::Square)),
    ("peak_ewma", look(0xB07A00, 0xD6A437, &[4.0, 2.5], Marker::Diamond)),
    ("prequal", look(0xC2256B, 0xE56A9F, &[10.0, 2.5], Marker::Disc)),
    ("ring_hash", look(0x7B5141, 0xB98C79, &[2.0, 2.0, 7.0, 2.0], Marker::Triangle)),
    ("random", look(0x707B87, 0x97A2AE, &[1.5, 3.5], Marker::Square)),
];

/// For policies that have no look of their own.
const SPARE: [Look; 5] = [
    look(0xCC79A7, 0xD98FB8, &[9.0, 3.0, 2.5, 3.0], Marker::Triangle),
    look(0xE69F00, 0xEBAE2A, &[5.0, 3.0], Marker::Square),
    look(0x56B4E9, 0x74C3EF, &[12.0, 3.0], Marker::Diamond),
    look(0x6B6256, 0xB5AA9A, &[1.5, 2.5], Marker::Disc),
    look(0xA89F13, 0xE3D93B, &[6.0, 2.5, 1.5, 2.5, 1.5, 2.5], Marker::Triangle),
];

/// The policies' looks. A policy without one of its own gets the spare one that its name points at,
/// or the next free one.
pub(crate) fn looks<'a>(policies: impl Iterator<Item = &'a str>) -> BTreeMap<String, Look> {
    let mut names: Vec<&str> = policies.collect();
    names.sort_unstable();
    names.dedup();
    let mut taken = [false; SPARE.len()];
    let mut looks = BTreeMap::new();
    for name in names {
        let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, look)| *look);
        let look = known.unwrap_or_else(|| SPARE[spare(name, &mut taken)]);
        looks.insert(name.to_owned(), look);
    }
    looks
}

/// FNV-1a of the name, then linear probing; shared once all are taken.
fn spare(name: &str, taken: &mut [bool; SPARE.len()]) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let first = (hash % SPARE.len() as u64) as usize;
    let chosen = (0..SPARE.len())
        .map(|step| (first + step) % SPARE.len())
        .find(|&index| !taken[index])
        .unwrap_or(first);
    taken[chosen] = true;
    chosen
}

/// Where a policy stands in charts and tables.
pub(crate) fn rank(policy: &str) -> (usize, &str) {
    let known = KNOWN.iter().position(|(known, _)| *known == policy);
    (known.unwrap_or(KNOWN.len()), policy)
}

/// Every tone a figure may hold.
pub(crate) fn tones() -> Vec<Tone> {
    let policies = KNOWN.iter().map(|(_, look)| look.tone).chain(SPARE.iter().map(|l| l.tone));
    [PAGE, INK, SOFT_INK, AXIS, GRID, SPAN, TARGET, INVALID, QUEUED, SATURATED, STAMP_INK]
        .into_iter()
        .chain(policies.flat_map(|tone| [tone, tone.tint()]))
        .collect()
}

pub(crate) const TITLE: Type = Type { size: 17.0, bold: true, tone: INK };
pub(crate) const SUBTITLE: Type = Type { size: 12.0, bold: false, tone: SOFT_INK };
pub(crate) const LABEL: Type = Type { size: 12.0, bold: true, tone: INK };
pub(crate) const TEXT: Type = Type { size: 11.0, bold: false, tone: INK };
pub(crate) const TICK: Type = Type { size: 10.5, bold: false, tone: SOFT_INK };
pub(crate) const FOOTER: Type = Type { size: 9.5, bold: false, tone: SOFT_INK };
pub(crate) const STAMP: Type = Type { size: 9.0, bold: true, tone: STAMP_INK };
