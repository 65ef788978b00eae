use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The stream of bytes in memory, as if they stood in a file of that name.
pub(in crate::data) fn of_bytes(name: &str, bytes: &[u8]) -> Result<ByteStream> {
    ByteStream::new(Path::new(name), Cursor::new(bytes.to_vec()), Some(bytes.len() as u64))
}

/// The stream of what may have no end.
pub(in crate::data) fn of_reader(reader: impl Read + 'static) -> ByteStream {
    ByteStream::new(Path::new("endless"), reader, None).unwrap()
}

/// The same as a source.
pub(in crate::data) fn of_memory(name: &str, bytes: &[u8]) -> Source {
    Source::Memory(PathBuf::from(name), bytes.into())
}

pub(in crate::data) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn content(stream: ByteStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.into_reader().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_comes_once_can_be_read_again_from_memory_or_from_a_file() {
    let text = b"some text ".repeat(300_000);
    for (held, is_spooled) in [(u64::MAX, false), (1000, true), (3_000_000, true)] {
        let source = Source::kept(Path::new("pipe"), &text[..], held).unwrap();
        assert_eq!(matches!(source, Source::Spooled(..)), is_spooled, "{held}");
        let (first, mut second) = (source.open().unwrap(), source.open().unwrap());
        assert_eq!((first.exact_len(), first.path()), (Some(3_000_000), Path::new("pipe")));
        let mut begin = [0; 4];
        second.rest.read_exact(&mut begin).unwrap();
        assert_eq!(content(first), text);
        let seekable = source.seekable().unwrap();
        let mut bytes = Vec::new();
        seekable.at(7).read_to_end(&mut bytes).unwrap();
        assert_eq!((seekable.len(), &bytes[..]), (3_000_000, &text[7..]));
        assert_eq!(content(source.open().unwrap()), text);
    }
}

/// A named pipe that a thread writes to, which is told when the other end is opened.
#[cfg(unix)]
fn pipe(place: &Path, name: &str, text: &'static [u8]) -> PathBuf {
    let path = place.join(name);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let own = path.clone();
    std::thread::spawn(move || fs::write(own, text).unwrap());
    path
}

#[cfg(unix)]
#[test]
fn a_pipe_is_kept_by_its_handle_and_goes_away_with_it() {
    let place = tempfile::tempdir().unwrap();
    let path = pipe(place.path(), "first", b"some text");
    let pipes = Pipes::default();
    let source = Source::of(&path, &pipes).unwrap();
    let Source::Memory(_, bytes) = &source else { panic!("in memory") };
    let kept = Arc::downgrade(bytes);
    drop(source);
    let again = Source::of(&path, &pipes.clone()).unwrap();
    assert_eq!(content(again.open().unwrap()), b"some text");
    drop(again);
    assert!(kept.upgrade().is_some());
    drop(pipes);
    assert!(kept.upgrade().is_none(), "nobody can ask for it any more");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_holds_up_no_other() {
    let place = tempfile::tempdir().unwrap();
    let slow = place.path().join("slow");
    assert!(std::process::Command::new("mkfifo").arg(&slow).status().unwrap().success());
    let pipes = Pipes::default();
    let (own, path) = (pipes.clone(), slow.clone());
    let waiting = std::thread::spawn(move || Source::of(&path, &own).unwrap());
    while pipes.0.lock().unwrap().get(&slow).is_none_or(|slot| slot.try_lock().is_ok()) {
        std::thread::yield_now();
    }
    let quick = pipe(place.path(), "quick", b"quick");
    assert_eq!(content(Source::of(&quick, &pipes).unwrap().open().unwrap()), b"quick");
    fs::write(&slow, "slow").unwrap();
    assert_eq!(content(waiting.join().unwrap().open().unwrap()), b"slow");
}

#[test]
fn what_is_compressed_as_a_whole_is_unpacked_up_to_a_bound() {
    let text = b"some text ".repeat(1000);
    for packed in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
        let source = of_memory("t", &packed).unpacked_to(10_000).unwrap();
        assert_eq!(content(source.open().unwrap()), text);
        assert_eq!(source.path(), Path::new("t"));
    }
    let bomb = zstd::encode_all(&vec![0; 1 << 20][..], 3).unwrap();
    assert!(bomb.len() < 5000);
    let error = of_memory("t", &bomb).unpacked_to(10_000).err().unwrap();
    assert!(error.to_string().contains("100 times its size"), "{error}");
    let plain = of_memory("t", &text).unpacked_to(0).unwrap();
    assert_eq!(content(plain.open().unwrap()), text);
    let cut = &gzip(&text)[..60];
    assert!(of_memory("t", cut).unpacked().err().unwrap().to_string().contains("truncated"));
}

#[test]
fn gzip_is_told_by_its_bytes_whatever_the_name() {
    let text = b"some text ".repeat(20_000);
    let zipped = of_bytes("text", &gzip(&text)).unwrap();
    assert_eq!(zipped.exact_len(), None);
    assert!(zipped.most_bytes().unwrap() >= text.len() as u64);
    assert_eq!(content(zipped), text);
    let plain = of_bytes("text.gz", &text).unwrap();
    assert_eq!(plain.exact_len(), Some(200_000));
    assert_eq!(content(plain), text);
    assert_eq!(content(of_bytes("short", b"x").unwrap()), b"x");
    assert_eq!(content(of_bytes("none", b"").unwrap()), b"");
}

#[test]
fn gzip_that_is_cut_or_damaged_is_bad_data() {
    let zipped = gzip(b"some text");
    let mut damaged = zipped.clone();
    damaged[12] ^= 0xFF;
    for bytes in [&zipped[..zipped.len() - 3], &damaged, &zipped[..2]] {
        let error = of_bytes("text.gz", bytes).err().unwrap();
        assert_eq!(error.kind().exit_code(), 3, "{error}");
        assert!(error.to_string().contains("where: text.gz"), "{error}");
    }
}

#[test]
fn a_set_is_named_after_its_file_without_endings() {
    for (path, name) in
        [("a/houses.csv.gz", "houses"), ("b.c.tsv", "b.c"), (".csv", ".csv"), ("plain", "plain")]
    {
        assert_eq!(set_name(Path::new(path)), name);
    }
}
