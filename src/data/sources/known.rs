//! MNIST and Fashion-MNIST: found in a local directory, otherwise downloaded once into the cache.

use super::idx_set::{has_any_file, read_directory};
use crate::base::atomic::cache_directory;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::memory::Budget;
use crate::data::sets::dataset::Ready;
use crate::data::streams::download::{Agent, Hashed, agent, download};
use std::fs;
use std::path::Path;

/// A set of four IDX files that can be downloaded.
pub(in crate::data) struct KnownSet {
    pub(in crate::data) name: &'static str,
    classes: usize,
    /// Name and SHA-256 of each file.
    files: [(&'static str, &'static str); 4],
    hashed: Hashed,
    /// The base addresses of the files, in the order in which they are tried.
    mirrors: &'static [&'static str],
}

/// Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
///
/// Files with the same content are in circulation with different compression.
pub(super) const MNIST: KnownSet = KnownSet {
    name: "mnist",
    classes: 10,
    files: [
        (
            "train-images-idx3-ubyte.gz",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ],
    hashed: Hashed::Content,
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
};

/// H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
/// learning algorithms", arXiv:1708.07747, 2017.
///
/// The checksums are those that TensorFlow Datasets lists for the files at this address.
pub(super) const FASHION_MNIST: KnownSet = KnownSet {
    name: "fashion-mnist",
    classes: 10,
    files: [
        (
            "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ],
    hashed: Hashed::File,
    mirrors: &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
};

/// Opens a known set: from `data_dir` or the directory of its name in there, if its files are
/// there, otherwise from the cache, into which it is downloaded first if necessary.
///
/// # Errors
/// When the files are invalid, or missing and can't be downloaded.
pub(in crate::data) fn open(
    set: &KnownSet,
    data_dir: Option<&Path>,
    notify: Option<fn(&str)>,
) -> Result<Ready> {
    if let Some(dir) = data_dir {
        if !dir.is_dir() {
            return Err(Error::data(format!("there is no directory {}", dir.display()))
                .help("set the directory of the data with --data-dir or WGRAD_DATA_DIR"));
        }
        if let Some(place) = [dir.join(set.name), dir.into()].iter().find(|d| has_any_file(d)) {
            return read(set, place);
        }
    }
    let cache = cache_directory()
        .ok_or_else(|| {
            Error::data("there is no home directory for downloads")
                .help("set XDG_CACHE_HOME, or give a directory with the files by --data-dir")
        })?
        .join(set.name);
    fetch(set, &cache, &agent(), notify)?;
    read(set, &cache)
}

fn read(set: &KnownSet, dir: &Path) -> Result<Ready> {
    let mut found = read_directory(dir, Some(set.classes), Budget::default())?;
    found.train.name = set.name.to_string();
    if let Some(test) = &mut found.test {
        test.name = set.name.to_string();
    }
    Ok(found)
}

/// Downloads the files that aren't in `dir` yet, each from the first mirror with the right content.
fn fetch(set: &KnownSet, dir: &Path, agent: &Agent, notify: Option<fn(&str)>) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, &e))?;
    for (file, sha256) in set.files {
        let destination = dir.join(file);
        if destination.is_file() {
            continue;
        }
        let mut errors = Vec::new();
        let arrived = set.mirrors.iter().any(|mirror| {
            let url = format!("{mirror}{file}");
            if let Some(notify) = notify {
                notify(&format!("downloading {url} to {}", dir.display()));
            }
            let result = download(agent, &url, &destination, sha256, set.hashed);
            result.map_err(|e| errors.push(e)).is_ok()
        });
        if !arrived {
            return Err(unavailable(set, file, dir, &errors));
        }
    }
    Ok(())
}

fn unavailable(set: &KnownSet, file: &str, dir: &Path, errors: &[Error]) -> Error {
    let reasons: Vec<String> = errors.iter().map(|e| e.to_string().replace("\n ", ",")).collect();
    let is_wrong = errors.iter().any(|e| e.kind() == ErrorKind::Data);
    let kind = if is_wrong { ErrorKind::Data } else { ErrorKind::Failed };
    Error::new(kind, format!("{file} of {} is not available", set.name))
        .at(reasons.join("; "))
        .help(format!(
            "put the four files of {} into {} or a directory named by --data-dir ({})",
            set.name,
            dir.display(),
            set.files.map(|(file, _)| file).join(", ")
        ))
}

#[cfg(all(test, feature = "download"))]
mod tests {
    use super::super::idx_set::tests::write_quartet;
    use super::*;
    use crate::data::streams::download::tests::{local_agent, serve, sha256};
    use std::collections::HashMap;

    /// A set of 2 + 1 images, and what a server has to serve for it.
    fn tiny() -> (KnownSet, HashMap<String, Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        write_quartet(dir.path(), "-", true);
        let bytes = MNIST.files.map(|(name, _)| fs::read(dir.path().join(name)).unwrap());
        let mut files = MNIST.files;
        for ((_, sum), bytes) in files.iter_mut().zip(&bytes) {
            *sum = sha256(bytes).leak();
        }
        let served = MNIST.files.iter().map(|(name, _)| name.to_string()).zip(bytes).collect();
        let set = KnownSet { name: "tiny", classes: 10, files, hashed: Hashed::File, mirrors: &[] };
        (set, served)
    }

    fn with_mirrors(set: KnownSet, mirrors: &[String]) -> KnownSet {
        let mirrors: Vec<&'static str> = mirrors.iter().map(|m| &*m.clone().leak()).collect();
        KnownSet { mirrors: mirrors.leak(), ..set }
    }

    #[test]
    fn a_set_comes_from_the_first_mirror_that_has_it_right_and_then_from_the_cache() {
        let (set, files) = tiny();
        let mut wrong = files.clone();
        wrong.get_mut("t10k-images-idx3-ubyte.gz").unwrap()[20] ^= 1;
        wrong.remove("t10k-labels-idx1-ubyte.gz");
        let set = with_mirrors(set, &[serve(wrong), serve(files)]);
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache/tiny");
        fetch(&set, &cache, &local_agent(), None).unwrap();
        let found = read(&set, &cache).unwrap();
        assert_eq!(
            (found.train.name(), found.train.rows(), found.train.outputs()),
            ("tiny", 2, 10)
        );
        assert_eq!(found.test.unwrap().rows(), 1);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 4, "no incomplete file is left");
        let offline = with_mirrors(set, &[]);
        fetch(&offline, &cache, &local_agent(), None).unwrap();
    }

    #[test]
    fn what_no_mirror_has_right_is_said_with_every_reason_and_the_way_out() {
        let (set, mut files) = tiny();
        files.get_mut("train-images-idx3-ubyte.gz").unwrap()[20] ^= 1;
        let set = with_mirrors(set, &[serve(files), serve(HashMap::new())]);
        let dir = tempfile::tempdir().unwrap();
        let error = fetch(&set, dir.path(), &local_agent(), None).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind().exit_code(), 3);
        assert!(text.contains("a wrong checksum") && text.contains("404"), "{text}");
        assert!(text.contains("--data-dir"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_data_directory_is_used_as_it_is_or_by_the_name_of_the_set() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("mnist");
        fs::create_dir(&own).unwrap();
        write_quartet(&own, "-", false);
        for place in [dir.path(), &own] {
            let found = open(&MNIST, Some(place), None).unwrap();
            assert_eq!((found.train.name(), found.train.rows()), ("mnist", 2));
        }
        let error = open(&MNIST, Some(&dir.path().join("none")), None).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3);
    }
}
