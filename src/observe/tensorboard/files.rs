//! Event files: TFRecord frames of events, a new file each time a run is started or resumed.
//!
//! A frame is the length of its data as a little-endian u64, the masked CRC-32C of these eight bytes, the
//! data, and their masked CRC-32C; c is masked as ((c >> 15) | (c << 17)) + 0xa282ead8
//! (`tensorflow/core/lib/io/record_writer.h`, `lib/hash/crc32c.h`).

use super::messages::{Event, What};
use crate::base::error::{Error, Result};
use prost::Message;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The prefix of the names of event files.
const BEFORE: &str = "events.out.tfevents.";
/// The suffix of those written by this program.
const BEHIND: &str = ".wgrad";

/// Whether a file of this name is one of the event files that this program writes.
#[must_use]
pub fn is_event_file(name: &str) -> bool {
    let middle = name.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(BEHIND));
    middle.is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// An event file being written. Each event is one write, so that readers don't see half of one for long.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `directory`, whose name sorts after the existing ones: readers read files in the
    /// order of their names.
    ///
    /// # Errors
    /// When it can't be created or written.
    pub fn create(directory: &Path) -> Result<Self> {
        loop {
            let now = now();
            let name = format!("{BEFORE}{:010}.{:06}{BEHIND}", now.as_secs(), now.subsec_micros());
            let path = directory.join(name);
            match File::options().create_new(true).append(true).open(&path) {
                // Another file was started in the same microsecond.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create", &path, &e)),
                Ok(file) => {
                    let mut file = EventFile { file, path };
                    file.write(0, What::FileVersion("brain.Event:2".into()))?;
                    return Ok(file);
                }
            }
        }
    }

    /// Appends an event.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&mut self, step: u64, what: What) -> Result<()> {
        let wall_time = now().as_secs_f64();
        let event = Event { wall_time, step: step.cast_signed(), what: Some(what) };
        let frame = frame(&event.encode_to_vec());
        self.file.write_all(&frame).map_err(|e| Error::io("write", &self.path, &e))
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Data in their frame.
fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let [of_length, of_data] = [&length[..], data].map(|bytes| masked_crc(bytes).to_le_bytes());
    [&length, &of_length[..], data, &of_data].concat()
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The data of the first frame in `bytes`, and the remaining bytes; none if it is incomplete.
fn first_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (of_length, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*of_length) != masked_crc(length) {
        return None;
    }
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (of_data, rest) = rest.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*of_data) == masked_crc(data)).then_some((data, rest))
}

/// The events of a file, up to the first incomplete one: each with its offset.
#[must_use]
pub fn read(bytes: &[u8]) -> Vec<(usize, Event)> {
    let (mut all, mut rest) = (Vec::new(), bytes);
    while let Some((data, behind)) = first_frame(rest) {
        let Ok(event) = Event::decode(data) else { break };
        all.push((bytes.len() - rest.len(), event));
        rest = behind;
    }
    all
}

/// The event files that this program wrote into `directory`, in the order of their names.
///
/// # Errors
/// When the directory can't be read.
pub fn event_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Files behind a link aren't its own.
        if entry.file_type()?.is_file() && is_event_file(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the event files that this program wrote into `directory`.
///
/// # Errors
/// When one can't be removed.
pub fn remove(directory: &Path) -> Result<()> {
    let files = event_files(directory).map_err(|e| Error::io("read", directory, &e))?;
    let remove = |path: &PathBuf| fs::remove_file(path).map_err(|e| Error::io("remove", path, &e));
    files.iter().try_for_each(remove)
}

/// Removes all events after step `step` from the event files in `directory`: a run resumed from there
/// writes them again. Files without other events are removed.
///
/// # Errors
/// When a file can't be read or truncated.
pub fn cut(directory: &Path, step: u64) -> Result<()> {
    let files = event_files(directory).map_err(|e| Error::io("read", directory, &e))?;
    for path in files {
        let bytes = fs::read(&path).map_err(|e| Error::io("read", &path, &e))?;
        let events = read(&bytes);
        let later = events.iter().position(|(_, event)| event.step > step.cast_signed());
        let kept = later.unwrap_or(events.len());
        // In a file that ends in the middle of an event, as after a full disk, the complete events are kept.
        let end = match events.get(kept) {
            Some((begin, _)) => *begin,
            None => events.last().map_or(0, |(begin, _)| {
                let rest = bytes.get(*begin..).unwrap_or_default();
                bytes.len() - first_frame(rest).map_or(rest.len(), |(_, behind)| behind.len())
            }),
        };
        let done = match kept {
            0 | 1 => fs::remove_file(&path),
            _ if end == bytes.len() => Ok(()),
            _ => File::options().write(true).open(&path).and_then(|file| file.set_len(end as u64)),
        };
        done.map_err(|e| Error::io("cut", &path, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Kind, Summary, value};
    use super::*;

    fn scalar(x: f32) -> What {
        What::Summary(Summary { values: vec![value("loss", Kind::Scalar(x))] })
    }

    #[test]
    fn the_mask_is_that_of_tensorflow() {
        // RFC 3720, B.4: 32 bytes of zeros have the CRC 0x8a9136aa.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        // Rotated right by 15 bits, plus 0xa282ead8.
        assert_eq!(masked_crc(&[0; 32]), 0x0fd7_fffa);
    }

    #[test]
    fn what_is_written_reads_back_and_what_is_broken_ends_it() {
        let place = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(place.path()).unwrap();
        file.write(7, scalar(0.5)).unwrap();
        let path = event_files(place.path()).unwrap().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let events = read(&bytes);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].1.what, Some(What::FileVersion("brain.Event:2".into())));
        assert_eq!((events[1].1.step, &events[1].1.what), (7, &Some(scalar(0.5))));
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).len() <= 1, "{end}");
        }
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(read(&bytes).len(), 1);
    }

    #[test]
    fn later_steps_are_cut_off_and_files_of_them_alone_removed() {
        let place = tempfile::tempdir().unwrap();
        for steps in [[5, 10], [15, 20], [25, 30]] {
            let mut file = EventFile::create(place.path()).unwrap();
            steps.iter().for_each(|&step| file.write(step, scalar(step as f32)).unwrap());
        }
        let steps = || -> Vec<Vec<i64>> {
            let files = event_files(place.path()).unwrap();
            let of = |path: &PathBuf| read(&fs::read(path).unwrap());
            files.iter().map(|path| of(path).iter().map(|(_, e)| e.step).collect()).collect()
        };
        cut(place.path(), 30).unwrap();
        assert_eq!(steps(), [[0, 5, 10], [0, 15, 20], [0, 25, 30]]);
        // Half an event, as a full disk leaves it.
        let second = event_files(place.path()).unwrap().remove(1);
        let length = fs::metadata(&second).unwrap().len();
        File::options().write(true).open(&second).unwrap().set_len(length - 3).unwrap();
        cut(place.path(), 20).unwrap();
        assert_eq!(steps(), [vec![0, 5, 10], vec![0, 15]]);
        assert!(fs::metadata(&second).unwrap().len() < length - 3);
        cut(place.path(), 5).unwrap();
        assert_eq!(steps(), [[0, 5]]);
        fs::write(place.path().join("events.out.tfevents.1.host"), "another's").unwrap();
        remove(place.path()).unwrap();
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            1,
            "what another program wrote stays"
        );
    }

    #[test]
    fn only_its_own_names_are_event_files() {
        assert!(is_event_file("events.out.tfevents.1764400000.000123.wgrad"));
        for other in ["events.out.tfevents.1.host", "events.out.tfevents..wgrad.x", "x.wgrad", "a"]
        {
            assert!(!is_event_file(other), "{other}");
        }
    }
}
