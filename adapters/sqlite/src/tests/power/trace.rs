//! A recorded trace, and what a disk may hold after the power went at some point of it.
//!
//! What was synced is there. Of what was written since, anything may be there: nothing, all, the first part, or any of
//! its sectors in any order. A file's name is there once the file or its directory was synced.

use std::{collections::BTreeMap, fs, path::Path};

const SECTOR: usize = 512;

/// What the process did to a file.
pub(super) enum Kind {
    Opened,
    Written(Vec<u8>),
    Cut,
    Synced,
    DirectorySynced,
    Unlinked,
}

pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) name: String,
    offset: usize,
}

/// The steps of a trace; one that was cut off at its end is left out.
pub(super) fn read(path: &Path) -> Vec<Step> {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut steps = Vec::new();
    while rest.len() >= 15 {
        let (head, body) = rest.split_at(15);
        let name = usize::from(u16::from_ne_bytes(head[1..3].try_into().unwrap()));
        let data = u32::from_ne_bytes(head[3..7].try_into().unwrap()) as usize;
        let offset = u64::from_ne_bytes(head[7..15].try_into().unwrap()) as usize;
        if body.len() < name + data {
            break;
        }
        let (name, after) = body.split_at(name);
        let (data, after) = after.split_at(data);
        rest = after;
        let kind = match head[0] {
            b'C' => Kind::Opened,
            b'W' => Kind::Written(data.to_vec()),
            b'T' => Kind::Cut,
            b'S' => Kind::Synced,
            b'D' => Kind::DirectorySynced,
            b'U' => Kind::Unlinked,
            other => panic!("not a record: {other}"),
        };
        steps.push(Step { kind, name: String::from_utf8(name.to_vec()).unwrap(), offset });
    }
    steps
}

/// Numbers that are the same in every run (xorshift64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }
}

/// A change of a file that was not synced.
#[derive(Clone)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// Its name survives.
    is_named: bool,
    /// Its name is gone, and that may not survive.
    is_unlinked: bool,
}

/// What of the unsynced survives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Luck {
    Nothing,
    All,
    FirstPart,
    Sectors,
    SectorsInAnyOrder,
}

impl Luck {
    pub(super) const ALL: [Self; 5] =
        [Self::Nothing, Self::All, Self::FirstPart, Self::Sectors, Self::SectorsInAnyOrder];
}

/// The disk at some point of a trace.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<String, File>,
}

impl Disk {
    pub(super) fn apply(&mut self, step: &Step) {
        if let Kind::DirectorySynced = step.kind {
            self.files.retain(|_, it| !it.is_unlinked);
            self.files.values_mut().for_each(|it| it.is_named = true);
            return;
        }
        let file = self.files.entry(step.name.clone()).or_default();
        match &step.kind {
            Kind::Opened if file.is_unlinked => *file = File::default(),
            Kind::Opened | Kind::DirectorySynced => {}
            Kind::Written(bytes) => file.unsynced.push(Unsynced::Write(step.offset, bytes.clone())),
            Kind::Cut => file.unsynced.push(Unsynced::Length(step.offset)),
            Kind::Synced => {
                file.unsynced.drain(..).for_each(|it| change(&mut file.synced, &it));
                file.is_named = true;
            }
            Kind::Unlinked => file.is_unlinked = true,
        }
    }

    /// Writes what survives to an empty directory. The index of a write-ahead log is made again from the log.
    pub(super) fn survive(&self, into: &Path, luck: Luck, dice: &mut Dice) {
        for (name, file) in &self.files {
            let is_lost = (!file.is_named && dice.below(2) == 0) || (file.is_unlinked && dice.below(2) == 0);
            if is_lost || name.ends_with("-shm") || name.contains('/') {
                continue;
            }
            let mut bytes = file.synced.clone();
            for survivor in lucky(&file.unsynced, luck, dice) {
                change(&mut bytes, &survivor);
            }
            fs::write(into.join(name), bytes).unwrap();
        }
    }
}

fn lucky(unsynced: &[Unsynced], luck: Luck, dice: &mut Dice) -> Vec<Unsynced> {
    match luck {
        Luck::Nothing => Vec::new(),
        Luck::All => unsynced.to_vec(),
        Luck::FirstPart => {
            let most = dice.below(unsynced.len() + 1);
            let mut first = unsynced[..most].to_vec();
            if let Some(Unsynced::Write(_, bytes)) = first.last_mut() {
                let sectors = dice.below(bytes.len() / SECTOR + 1);
                bytes.truncate(sectors * SECTOR);
            }
            first
        }
        Luck::Sectors | Luck::SectorsInAnyOrder => {
            let mut survivors = Vec::new();
            for one in unsynced {
                match one {
                    Unsynced::Write(offset, bytes) => survivors.extend(
                        bytes
                            .chunks(SECTOR)
                            .enumerate()
                            .map(|(number, it)| Unsynced::Write(offset + number * SECTOR, it.to_vec())),
                    ),
                    Unsynced::Length(length) => survivors.push(Unsynced::Length(*length)),
                }
            }
            survivors.retain(|_| dice.below(2) == 0);
            if let Luck::SectorsInAnyOrder = luck {
                for place in (1..survivors.len()).rev() {
                    survivors.swap(place, dice.below(place + 1));
                }
            }
            survivors
        }
    }
}

fn change(bytes: &mut Vec<u8>, by: &Unsynced) {
    match by {
        Unsynced::Length(length) => bytes.resize(*length, 0),
        Unsynced::Write(offset, data) => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
    }
}
