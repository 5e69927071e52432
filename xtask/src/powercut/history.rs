//! What disks can hold after a power cut, made from what they were told before it.
//!
//! At a cut, all that a disk was told before its last flush is on it. Of what came after that, any part can be: all of it,
//! or any of its blocks, for a disk writes what it holds in its cache in an order of its own.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sapwood_testkit::Random;

use super::disk::{self, Event};

/// What a disk writes at once.
const BLOCK_BYTES: usize = 4096;

/// A moment at which the power fails, and what becomes of what is not durable then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    /// How many events come before it.
    pub(crate) at: usize,
    /// Decides which blocks are lost; `None` if none is.
    pub(crate) seed: Option<u64>,
}

/// All that some disks were told.
#[derive(Debug)]
pub(crate) struct History {
    events: Vec<Event>,
    disks: usize,
}

impl History {
    pub(crate) fn new(events: Vec<Event>, disks: usize) -> Self {
        Self { events, disks }
    }

    /// How many writes there are, and how many flushes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |is: fn(&Event) -> bool| self.events.iter().filter(|event| is(event)).count();
        (
            count(|event| matches!(event, Event::Write { .. })),
            count(|event| matches!(event, Event::Flush { .. })),
        )
    }

    /// The steps that had returned before a cut.
    pub(crate) fn passed(&self, cut: Cut) -> Vec<&'static str> {
        let step = |event: &Event| match event {
            Event::Passed(step) => Some(*step),
            _ => None,
        };
        self.events.iter().take(cut.at).filter_map(step).collect()
    }

    /// A cut behind every flush that had something to make durable (or behind some of them, by chance), one at the end, and
    /// `random` ones anywhere, each losing a random part of what is not durable then.
    pub(crate) fn cuts(&self, flushes: Option<usize>, random: usize, numbers: &mut Random) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut dirty = vec![false; self.disks];
        for (index, event) in self.events.iter().enumerate() {
            match event {
                Event::Write { disk, .. } | Event::Discard { disk, .. } => set(&mut dirty, *disk, true),
                Event::Flush { disk } => {
                    if dirty.get(*disk) == Some(&true) {
                        cuts.push(Cut { at: index + 1, seed: None });
                    }
                    set(&mut dirty, *disk, false);
                }
                Event::Passed(_) => {}
            }
        }
        cuts.push(Cut { at: self.events.len(), seed: None });
        let ends: Vec<_> = cuts.iter().map(|cut| cut.at).collect();
        while flushes.is_some_and(|flushes| flushes < cuts.len()) {
            cuts.swap_remove(numbers.below(cuts.len()));
        }
        for number in 0..random {
            // Half of them just before a flush, where most is at stake.
            let at = match ends.get(numbers.below(ends.len())) {
                Some(flush) if number % 2 == 0 => flush.saturating_sub(1),
                _ => numbers.below(self.events.len()) + 1,
            };
            cuts.push(Cut { at, seed: Some(numbers.next_u64()) });
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// How many events before the cut are durable on a disk.
    fn durable(&self, cut: Cut, disk: usize) -> usize {
        let before = self.events.get(..cut.at).unwrap_or_default();
        let flushed = |event: &Event| matches!(event, Event::Flush { disk: flushed } if *flushed == disk);
        before.iter().rposition(flushed).map_or(0, |index| index + 1)
    }
}

fn set(all: &mut [bool], at: usize, value: bool) {
    if let Some(one) = all.get_mut(at) {
        *one = value;
    }
}

/// Makes the images of cuts, one after the other.
#[derive(Debug)]
pub(crate) struct Replay<'h> {
    history: &'h History,
    folder: PathBuf,
    /// Per disk, an image with what is durable, and how many events are in it.
    durable: Vec<(PathBuf, File, usize)>,
}

impl<'h> Replay<'h> {
    /// Begins with the images that the disks held before.
    pub(crate) fn new(history: &'h History, before: &[PathBuf], folder: &Path) -> Result<Self> {
        let mut durable = Vec::new();
        for (disk, image) in before.iter().enumerate() {
            let path = folder.join(format!("durable-{disk}"));
            disk::copy(image, &path)?;
            let file = File::options().write(true).open(&path)?;
            durable.push((path, file, 0));
        }
        Ok(Self { history, folder: folder.to_path_buf(), durable })
    }

    /// The images that a cut leaves, in files that whoever gets them removes. Cuts come in order.
    pub(crate) fn images(&mut self, cut: Cut) -> Result<Vec<PathBuf>> {
        let mut images = Vec::new();
        for (disk, (path, file, done)) in self.durable.iter_mut().enumerate() {
            let durable = self.history.durable(cut, disk);
            for event in self.history.events.get(*done..durable).unwrap_or_default() {
                write(file, disk, event, None)?;
            }
            *done = durable.max(*done);
            // A new name each time: nothing that the kernel remembers of another image may count.
            let seed = cut.seed.unwrap_or_default();
            let image = self.folder.join(format!("image-{disk}-{}-{seed:x}", cut.at));
            disk::copy(path, &image)?;
            let file = File::options().write(true).open(&image)?;
            let mut numbers =
                cut.seed.map(|seed| Random::new(seed ^ u64::try_from(disk).unwrap_or_default()));
            for event in self.history.events.get(durable..cut.at).unwrap_or_default() {
                write(&file, disk, event, numbers.as_mut())?;
            }
            images.push(image);
        }
        Ok(images)
    }
}

/// Does what the event says, if it is about this disk; with `numbers`, each block by chance only.
fn write(file: &File, disk: usize, event: &Event, numbers: Option<&mut Random>) -> Result<()> {
    match event {
        Event::Write { disk: of, at, bytes, durable } if *of == disk => {
            let Some(numbers) = numbers.filter(|_| !durable) else {
                return Ok(file.write_all_at(bytes, *at)?);
            };
            for (block, bytes) in (0..).zip(bytes.chunks(BLOCK_BYTES)) {
                if numbers.below(2) == 0 {
                    file.write_all_at(bytes, at + block * BLOCK_BYTES as u64)?;
                }
            }
            Ok(())
        }
        Event::Discard { disk: of, at, len } if *of == disk => {
            if numbers.is_none_or(|numbers| numbers.below(2) == 0) {
                disk::zero(file, *at, *len)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn byte(disk: usize, at: u64, value: u8) -> Event {
        Event::Write { disk, at: at * BLOCK_BYTES as u64, bytes: vec![value; BLOCK_BYTES], durable: false }
    }

    /// The first byte of each of three blocks of each image.
    fn blocks(images: &[PathBuf]) -> Vec<Vec<u8>> {
        let first =
            |image: &PathBuf| std::fs::read(image).unwrap().chunks(BLOCK_BYTES).map(|b| b[0]).collect();
        images.iter().map(first).collect()
    }

    #[test]
    fn what_was_flushed_is_on_its_disk_and_of_the_rest_any_part() {
        let folder = tempfile::tempdir().unwrap();
        let before: Vec<_> = ["a", "b"].map(|name| folder.path().join(name)).into();
        for image in &before {
            File::create(image).unwrap().set_len(3 * BLOCK_BYTES as u64).unwrap();
        }
        let events = vec![
            byte(0, 0, 1),
            byte(1, 0, 2),
            Event::Flush { disk: 0 },
            byte(0, 1, 3),
            Event::Passed("step"),
            byte(1, 2, 4),
            Event::Discard { disk: 0, at: 0, len: BLOCK_BYTES as u64 },
            Event::Flush { disk: 1 },
        ];
        let history = History::new(events, 2);
        let all = history.cuts(None, 0, &mut Random::new(1));
        assert_eq!(all.iter().map(|cut| cut.at).collect::<Vec<_>>(), [3, 8]);
        assert_eq!(history.passed(all[0]), Vec::<&str>::new());
        assert_eq!(history.passed(all[1]), ["step"]);

        let mut replay = Replay::new(&history, &before, folder.path()).unwrap();
        assert_eq!(blocks(&replay.images(all[0]).unwrap()), [[1, 0, 0], [2, 0, 0]]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let found = blocks(&replay.images(Cut { at: 6, seed: Some(seed) }).unwrap());
            assert_eq!((found[0][0], found[0][2], found[1][1]), (1, 0, 0), "durable, or never written");
            seen.insert((found[0][1], found[1][0], found[1][2]));
        }
        // Three blocks are at stake.
        assert_eq!(seen.len(), 8);
        assert_eq!(blocks(&replay.images(all[1]).unwrap()), [[0, 3, 0], [2, 0, 4]]);
    }
}
