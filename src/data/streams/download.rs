//! Downloads of files whose checksum is known.

use super::stream::{ByteStream, read_error};
use crate::base::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "download")]
use std::time::Duration;

#[cfg(feature = "download")]
pub(in crate::data) use ureq::Agent;

/// The placeholder for a client without the feature `download`.
#[cfg(not(feature = "download"))]
pub(in crate::data) struct Agent;

/// The largest size of a file of a known set, compressed or not.
const MAX_BYTES: u64 = 256 << 20;

/// The bytes of a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Hashed {
    /// The file as served.
    File,
    /// The decompressed content of the file.
    Content,
}

/// A client with timeouts that doesn't decode files.
#[cfg(feature = "download")]
pub(in crate::data) fn agent() -> Agent {
    agent_builder().build().into()
}

#[cfg(feature = "download")]
fn agent_builder() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .user_agent(concat!("wgrad/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
}

/// As with the feature `download`.
#[cfg(not(feature = "download"))]
pub(in crate::data) fn agent() -> Agent {
    Agent
}

/// Refuses to download: the program was built without the feature `download`.
///
/// # Errors
/// Always.
#[cfg(not(feature = "download"))]
pub(in crate::data) fn download(_: &Agent, url: &str, _: &Path, _: &str, _: Hashed) -> Result<()> {
    Err(Error::failed(format!(
        "cannot download {url}: wgrad was built without the feature download"
    )))
}

/// Downloads `url` to `destination`, which appears only when it is complete and its SHA-256 is right.
///
/// # Errors
/// When the server can't be reached or answers with an error, the body is cut off or too long, the
/// checksum is wrong, or the file can't be written.
#[cfg(feature = "download")]
pub(in crate::data) fn download(
    agent: &Agent,
    url: &str,
    destination: &Path,
    sha256: &str,
    hashed: Hashed,
) -> Result<()> {
    let network = |e: ureq::Error| Error::failed(format!("cannot download {url}: {e}"));
    let part = Part::beside(destination);
    let mut response = agent.get(url).call().map_err(network)?;
    let body = response.body_mut().with_config().limit(MAX_BYTES).reader();
    let mut file = File::create_new(&part.0).map_err(|e| Error::io("create", &part.0, &e))?;
    copy(body, &mut file).map_err(|e| match e {
        CopyError::Read(e) => Error::failed(format!("the download of {url} was interrupted: {e}")),
        CopyError::Write(e) => Error::io("write", &part.0, &e),
    })?;
    file.sync_all().map_err(|e| Error::io("write", &part.0, &e))?;
    drop(file);
    let found = checksum(&part.0, hashed)?;
    if found != sha256 {
        return Err(Error::data(format!("{url} has a wrong checksum"))
            .at(format!("SHA-256 {found} instead of {sha256}")));
    }
    fs::rename(&part.0, destination).map_err(|e| Error::io("create", destination, &e))
}

/// A file with a temporary name, removed when the download fails.
struct Part(PathBuf);

impl Part {
    fn beside(destination: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = destination.file_name().unwrap_or_default().to_string_lossy();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = format!(".{name}.{}-{count}.part", std::process::id());
        Part(destination.with_file_name(own))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a success it has been renamed; after a failure nothing more can be done.
        let _ = fs::remove_file(&self.0);
    }
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Copies everything, and distinguishes read errors from write errors.
fn copy(mut from: impl Read, to: &mut impl Write) -> std::result::Result<(), CopyError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n]).map_err(CopyError::Write)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(CopyError::Read(e)),
        }
    }
}

/// The SHA-256 of a file or of its decompressed content, in hexadecimal digits.
fn checksum(path: &Path, hashed: Hashed) -> Result<String> {
    let mut hash = Sha256::new();
    let reader: Box<dyn Read> = match hashed {
        Hashed::File => Box::new(File::open(path).map_err(|e| Error::io("read", path, &e))?),
        Hashed::Content => Box::new(ByteStream::open(path)?.into_reader()),
    };
    let mut reader = reader.take(MAX_BYTES);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(read_error(path, &e)),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(all(test, feature = "download"))]
pub(in crate::data) mod tests {
    use super::super::stream::tests::gzip;
    use super::*;
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    /// A client that asks no proxy for what is served on this machine.
    pub(in crate::data) fn local_agent() -> Agent {
        agent_builder().proxy(None).build().into()
    }

    /// Serves files by name from a thread, until the process ends; gives the base address.
    ///
    /// A body is cut in half if its name begins with `cut`.
    pub(in crate::data) fn serve(files: HashMap<String, Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let name = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_string();
                let Some(body) = files.get(&name) else {
                    let _ =
                        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
                    continue;
                };
                let sent = if name.starts_with("cut") { body.len() / 2 } else { body.len() };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(&[head.as_bytes(), &body[..sent]].concat());
            }
        });
        base
    }

    pub(in crate::data) fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    fn files_in(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_file_arrives_whole_and_checked_by_either_checksum() {
        let zipped = gzip(&b"content".repeat(50_000));
        let base = serve(HashMap::from([("a.gz".to_string(), zipped.clone())]));
        let dir = tempfile::tempdir().unwrap();
        let sums = [
            (Hashed::File, sha256(&zipped)),
            (Hashed::Content, sha256(&b"content".repeat(50_000))),
        ];
        for (hashed, sum) in sums {
            let path = dir.path().join("a.gz");
            download(&local_agent(), &format!("{base}a.gz"), &path, &sum, hashed).unwrap();
            assert_eq!(fs::read(&path).unwrap(), zipped);
        }
        assert_eq!(files_in(dir.path()), 1);
    }

    #[test]
    fn a_failed_download_leaves_nothing_and_says_why() {
        let body = vec![7; 100_000];
        let files = ["a", "cut"].map(|name| (name.to_string(), body.clone()));
        let base = serve(HashMap::from(files));
        let dir = tempfile::tempdir().unwrap();
        let fail = |url: &str, sum: &str| {
            let path = dir.path().join("file");
            let error = download(&local_agent(), url, &path, sum, Hashed::File).unwrap_err();
            assert_eq!(files_in(dir.path()), 0, "{error}");
            (error.kind().exit_code(), error.to_string())
        };
        let (code, text) = fail(&format!("{base}a"), &sha256(b"other"));
        assert!(code == 3 && text.contains(&sha256(&body)), "{text}");
        let (code, text) = fail(&format!("{base}cut"), &sha256(&body));
        assert!(code == 1 && text.contains("was interrupted"), "{text}");
        let (code, text) = fail(&format!("{base}none"), &sha256(&body));
        assert!(code == 1 && text.contains("404"), "{text}");
        let (code, _) = fail("http://127.0.0.1:1/a", &sha256(&body));
        assert_eq!(code, 1);
    }
}
