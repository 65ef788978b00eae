use super::super::read;
use super::super::want::{Known, Want};
use super::fault::{fault, of_parquet};
use super::*;
use crate::data::streams::stream::tests::{gzip, of_memory};
use crate::data::{Frame, Texts, Values};
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::builder::{ListBuilder, MapBuilder};
use arrow_array::types::{Float64Type, Int8Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array,
    Decimal128Array, Decimal256Array, DictionaryArray, DurationMillisecondArray,
    FixedSizeBinaryArray, Float16Array, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, IntervalYearMonthArray, LargeBinaryArray, LargeStringArray, ListArray, NullArray,
    StringArray, StringViewArray, StructArray, Time32SecondArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow_buffer::i256;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use half::f16;

fn arc(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

fn as_parquet(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn as_arrow(batches: &[RecordBatch], is_file: bool, codec: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let (mut bytes, schema) = (Vec::new(), batches[0].schema());
    if is_file {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    }
    bytes
}

/// The batch in each format.
fn in_each_format(batch: &RecordBatch) -> [(&'static str, Vec<u8>); 3] {
    let batches = [batch.clone()];
    [
        ("Parquet", as_parquet(batch, Compression::SNAPPY)),
        ("Arrow file", as_arrow(&batches, true, None)),
        ("Arrow stream", as_arrow(&batches, false, None)),
    ]
}

fn read(bytes: &[u8], want: Want) -> Result<Frame> {
    let wanted = |header: &Header| Ok(vec![want; header.names.len()]);
    read::read(&of_memory("t", bytes), Known::default(), wanted)
}

fn numbers(values: &[f64]) -> Values {
    narrow(values.to_vec())
}

fn texts(words: &[Option<&str>]) -> Values {
    Values::Texts(words.iter().copied().collect::<Texts>())
}

/// The same values, NaN like NaN.
fn assert_same(found: &Values, expected: &Values, what: &str) {
    let bits = |values: &Values| {
        let all: Vec<u64> = (0..values.len()).map(|row| values.number(row).to_bits()).collect();
        all
    };
    match (found, expected) {
        (Values::Texts(_), Values::Texts(_)) => assert_eq!(found, expected, "{what}"),
        _ => {
            let same = std::mem::discriminant(found) == std::mem::discriminant(expected);
            assert!(same && bits(found) == bits(expected), "{what}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn every_type_has_its_values_in_every_format() {
    const NAN: f64 = f64::NAN;
    let decimal = |digits: Vec<Option<i128>>, scale| {
        Decimal128Array::from(digits).with_precision_and_scale(38, scale).unwrap()
    };
    let wide: Vec<Option<i256>> = [Some(12_345), None, Some(-5)].map(|x| x.map(i256::from)).into();
    let wide = Decimal256Array::from(wide).with_precision_and_scale(50, 3).unwrap();
    let keys = Int8Array::from(vec![Some(2), None, Some(0)]);
    let words = StringArray::from(vec!["red", "unused", "blue"]);
    let days = Date32Array::from(vec![0, 1, 2]);
    let cents = decimal(vec![Some(150), Some(0), Some(225)], 2);
    let of = |values: ArrayRef| DictionaryArray::<Int8Type>::new(keys.clone(), values);
    let times = |values: &[f64]| Values::Times(values.to_vec());
    let micro = |tz: Option<&str>| {
        let array = TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(-500_000)]);
        array.with_timezone_opt(tz.map(Arc::from))
    };
    let uuid: [[u8; 2]; 3] = [[0xFF, 0x01], *b"ab", [0x80, 0x00]];
    let cases: Vec<(&str, ArrayRef, Values)> = vec![
        ("i8", arc(Int8Array::from(vec![-1, 0, 1])), numbers(&[-1.0, 0.0, 1.0])),
        ("u8", arc(UInt8Array::from(vec![0, 7, 255])), numbers(&[0.0, 7.0, 255.0])),
        (
            "u8 with a gap",
            arc(UInt8Array::from(vec![Some(0), None, Some(255)])),
            numbers(&[0.0, NAN, 255.0]),
        ),
        ("u16", arc(UInt16Array::from(vec![0, 7, 65_535])), numbers(&[0.0, 7.0, 65_535.0])),
        ("u32", arc(UInt32Array::from(vec![0, 7, u32::MAX])), numbers(&[0.0, 7.0, 4294967295.0])),
        (
            "i64",
            arc(Int64Array::from(vec![Some(-9_007_199_254_740_991), None, Some(3)])),
            numbers(&[-9_007_199_254_740_991.0, NAN, 3.0]),
        ),
        (
            "f16",
            arc(Float16Array::from(vec![f16::from_f32(1.5), f16::NAN, f16::from_f32(-0.25)])),
            numbers(&[1.5, NAN, -0.25]),
        ),
        ("f32", arc(Float32Array::from(vec![0.5, 2.0, -0.0])), numbers(&[0.5, 2.0, -0.0])),
        ("f64", arc(Float64Array::from(vec![0.1, 1e300, 2.0])), numbers(&[0.1, 1e300, 2.0])),
        (
            "decimal",
            arc(decimal(vec![Some(12_345), None, Some(-7)], 2)),
            numbers(&[123.45, NAN, -0.07]),
        ),
        (
            "whole decimal",
            arc(decimal(vec![Some(300), None, Some(-7)], 0)),
            numbers(&[300.0, NAN, -7.0]),
        ),
        ("decimal of 256 bits", arc(wide), numbers(&[12.345, NAN, -0.005])),
        (
            "boolean",
            arc(BooleanArray::from(vec![Some(true), None, Some(false)])),
            texts(&[Some("true"), None, Some("false")]),
        ),
        (
            "text",
            arc(StringArray::from(vec![Some("a"), None, Some("")])),
            texts(&[Some("a"), None, None]),
        ),
        (
            "large text",
            arc(LargeStringArray::from(vec![Some("ä"), None, Some("b")])),
            texts(&[Some("ä"), None, Some("b")]),
        ),
        (
            "text view",
            arc(StringViewArray::from(vec![Some("longer than twelve bytes"), None, Some("b")])),
            texts(&[Some("longer than twelve bytes"), None, Some("b")]),
        ),
        (
            "bytes",
            arc(BinaryArray::from(vec![Some(&b"a"[..]), None, Some(b"\xFFz")])),
            texts(&[Some("a"), None, Some("ff7a")]),
        ),
        (
            "large bytes",
            arc(LargeBinaryArray::from(vec![Some(&b"a"[..]), None, Some(b"b")])),
            texts(&[Some("a"), None, Some("b")]),
        ),
        (
            "bytes view",
            arc(BinaryViewArray::from(vec![Some(&b"a"[..]), None, Some(b"b")])),
            texts(&[Some("a"), None, Some("b")]),
        ),
        (
            "fixed bytes",
            arc(FixedSizeBinaryArray::try_from_iter(uuid.into_iter()).unwrap()),
            texts(&[Some("ff01"), Some("ab"), Some("8000")]),
        ),
        ("nothing", arc(NullArray::new(3)), numbers(&[NAN; 3])),
        ("texts by number", arc(of(arc(words))), texts(&[Some("blue"), None, Some("red")])),
        ("days by number", arc(of(arc(days))), times(&[172_800.0, NAN, 0.0])),
        ("decimals by number", arc(of(arc(cents))), numbers(&[2.25, NAN, 1.5])),
        (
            "day",
            arc(Date32Array::from(vec![Some(1), None, Some(-1)])),
            times(&[86_400.0, NAN, -86_400.0]),
        ),
        (
            "day in ms",
            arc(Date64Array::from(vec![Some(86_400_000), None, Some(0)])),
            times(&[86_400.0, NAN, 0.0]),
        ),
        ("moment", arc(micro(None)), times(&[1.5, NAN, -0.5])),
        ("moment of a zone", arc(micro(Some("Europe/Berlin"))), times(&[1.5, NAN, -0.5])),
        (
            "moment in ns",
            arc(TimestampNanosecondArray::from(vec![Some(2_500_000_000), None, Some(0)])),
            times(&[2.5, NAN, 0.0]),
        ),
        (
            "time of day",
            arc(Time32SecondArray::from(vec![Some(61), None, Some(0)])),
            times(&[61.0, NAN, 0.0]),
        ),
        (
            "time of day in ns",
            arc(Time64NanosecondArray::from(vec![Some(500_000_000), None, Some(0)])),
            times(&[0.5, NAN, 0.0]),
        ),
        (
            "duration",
            arc(DurationMillisecondArray::from(vec![Some(1500), None, Some(-1)])),
            numbers(&[1.5, NAN, -0.001]),
        ),
    ];
    let columns = cases.iter().map(|(name, array, _)| (*name, array.clone())).collect();
    for (format, bytes) in in_each_format(&batch(columns)) {
        let frame = read(&bytes, Want::Guess).unwrap();
        assert_eq!((frame.rows, frame.warnings.len()), (3, 0));
        for (name, _, expected) in &cases {
            assert_same(frame.column(name).unwrap(), expected, &format!("{format}: {name}"));
        }
    }
}

#[test]
fn every_codec_is_read_and_every_format_compressed_as_a_whole() {
    let x: Vec<f64> = (0..3000).map(|i| f64::from(i % 7) / 4.0).collect();
    let c = (0..3000).map(|i| Some(["red", "green"][i % 2])).collect::<StringArray>();
    let batch = batch(vec![("x", arc(Float64Array::from(x.clone()))), ("c", arc(c))]);
    let mut files: Vec<(String, Vec<u8>)> = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ]
    .map(|codec| (format!("{codec}"), as_parquet(&batch, codec)))
    .into();
    for codec in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        for is_file in [true, false] {
            let bytes = as_arrow(std::slice::from_ref(&batch), is_file, codec);
            files.push((format!("{codec:?}"), bytes));
        }
    }
    for (name, bytes) in files {
        let packed = [gzip(&bytes), zstd::encode_all(&bytes[..], 3).unwrap()];
        for bytes in packed.iter().chain([&bytes]) {
            let frame = read(bytes, Want::Guess).unwrap();
            assert_same(frame.column("x").unwrap(), &numbers(&x), &name);
            assert_eq!(frame.column("c").unwrap().text(2999).unwrap(), "green", "{name}");
        }
    }
}

#[test]
fn columns_of_lists_and_the_like_are_left_out_or_refused() {
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(
        (0..3).map(|i| Some(vec![Some(f64::from(i)), None])),
    );
    let mut tags = ListBuilder::new(StringBuilder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for i in 0..3 {
        tags.values().append_value("t");
        tags.append(true);
        map.keys().append_value("k");
        map.values().append_value(i);
        map.append(true).unwrap();
    }
    let x = arc(Float64Array::from(vec![0.5, 1.5, 2.5]));
    let named = Arc::new(arrow_schema::Field::new("part", x.data_type().clone(), true));
    let structs = StructArray::from(vec![(named, x.clone())]);
    let months = IntervalYearMonthArray::from(vec![1, 2, 3]);
    let nested: [(&str, ArrayRef, &str); 5] = [
        ("emb", arc(list), "lists of Float64"),
        ("tags", arc(tags.finish()), "lists of Utf8"),
        ("props", arc(map.finish()), "maps"),
        ("parts", arc(structs), "structs of part"),
        ("span", arc(months), "calendar intervals"),
    ];
    for (name, array, what) in nested {
        let batch = batch(vec![("x", x.clone()), (name, array), ("y", x.clone())]);
        for (format, bytes) in in_each_format(&batch) {
            if (name, format) == ("span", "Parquet") {
                // Has no such type.
                continue;
            }
            let frame = read(&bytes, Want::Guess).unwrap();
            assert_eq!(frame.column(name), None);
            assert_same(frame.column("y").unwrap(), &numbers(&[0.5, 1.5, 2.5]), name);
            let [warning] = &frame.warnings[..] else { panic!("{name}: {:?}", frame.warnings) };
            for text in [&format!("the column {name} holds {what}"), "not used", "--ignore"] {
                assert!(warning.contains(text), "{format}: no {text:?} in {warning}");
            }
            for want in [Want::Target, Want::Number, Want::Text, Want::Moment] {
                let error = read(&bytes, want).unwrap_err().to_string();
                for text in [what, &format!("column 2 ({name})"), "--target", "--ignore"] {
                    assert!(error.contains(text), "{format}: no {text:?} in {error}");
                }
            }
            let ignored = |_: &Header| Ok(vec![Want::Guess, Want::Nothing, Want::Target]);
            let frame = read::read(&of_memory("t", &bytes), Known::default(), ignored).unwrap();
            assert!(frame.warnings.is_empty());
        }
    }
}

#[test]
fn whole_numbers_that_f64_takes_for_one_another_keep_their_digits() {
    let large = 9_007_199_254_740_993i64;
    let signed = Int64Array::from(vec![large - 1, large, -large]);
    let unsigned = UInt64Array::from(vec![u64::MAX, u64::MAX - 1, 7]);
    let decimal = Decimal128Array::from(vec![10i128.pow(20), 10i128.pow(20) + 1, 5])
        .with_precision_and_scale(38, 0)
        .unwrap();
    let keys = Int32Array::from(vec![0, 1, 0]);
    let coded =
        DictionaryArray::<Int32Type>::new(keys, arc(Int64Array::from(vec![large, large + 1])));
    let columns: Vec<(&str, ArrayRef, [&str; 3])> = vec![
        ("i", arc(signed), ["9007199254740992", "9007199254740993", "-9007199254740993"]),
        ("u", arc(unsigned), ["18446744073709551615", "18446744073709551614", "7"]),
        ("d", arc(decimal), ["100000000000000000000", "100000000000000000001", "5"]),
        ("k", arc(coded), ["9007199254740993", "9007199254740994", "9007199254740993"]),
    ];
    let batch = batch(columns.iter().map(|(name, array, _)| (*name, array.clone())).collect());
    for (format, bytes) in in_each_format(&batch) {
        for want in [Want::Guess, Want::Target, Want::Text, Want::Class] {
            let frame = read(&bytes, want).unwrap();
            for (name, _, digits) in &columns {
                let expected = texts(&digits.map(Some));
                assert_same(frame.column(name).unwrap(), &expected, &format!("{format} {name}"));
            }
        }
        let frame = read(&bytes, Want::Number).unwrap();
        assert_eq!(frame.column("u").unwrap().number(0), u64::MAX as f64);
        assert_eq!(frame.column("d").unwrap().number(2), 5.0);
    }
}

/// Where only a later batch holds such numbers, the pass begins again; texts of digits are the same
/// either way.
#[test]
fn a_column_has_one_type_whichever_batch_holds_large_numbers() {
    let rows = 70_000;
    let value = |i: i64| if i == 69_000 { i64::MAX } else { i % 1000 };
    let whole = batch(vec![
        ("id", arc((0..rows).map(|i| Some(value(i))).collect::<Int64Array>())),
        ("x", arc((0..rows).map(|i| Some(i % 9)).collect::<Int64Array>())),
    ]);
    let parts: Vec<RecordBatch> = (0..2).map(|i| whole.slice(i * 35_000, 35_000)).collect();
    let files = [as_parquet(&whole, Compression::SNAPPY), as_arrow(&parts, false, None)];
    for bytes in files {
        for want in [Want::Guess, Want::Text] {
            let mut begun = 0;
            let select = |header: &Header| Ok(vec![want; header.names.len()].into());
            let source = of_memory("t", &bytes);
            read::pass(&source, Known::default(), select, |rows| {
                begun += usize::from(rows.first == 0);
                Ok(())
            })
            .unwrap();
            assert_eq!(begun, if want == Want::Guess { 2 } else { 1 }, "{want:?}");
            let frame = read(&bytes, want).unwrap();
            let id = frame.column("id").unwrap();
            assert!(matches!(id, Values::Texts(_)));
            assert_eq!(id.text(69_000).unwrap(), i64::MAX.to_string());
            assert_eq!((frame.rows, id.text(12_345).unwrap()), (70_000, "345".into()));
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let words = StringArray::from(vec![Some("a"), None, Some("b"), Some("a")]);
    let y = Float64Array::from(vec![1.0, 2.0, 3.0, 4.5]);
    let batch = batch(vec![("c", arc(words)), ("y", arc(y))]);
    for (format, bytes) in in_each_format(&batch) {
        assert_eq!(read(&bytes, Want::Guess).unwrap().rows, 4, "{format}");
        let mut whole = 0;
        for len in 8..bytes.len() {
            match read(&bytes[..len], Want::Guess) {
                Ok(frame) => {
                    // A stream may end without its mark of the end.
                    assert_eq!((format, frame.rows), ("Arrow stream", 4), "{len}");
                    whole += 1;
                }
                Err(error) => assert_eq!(error.kind().exit_code(), 3, "{format}, {len}: {error}"),
            }
        }
        assert_eq!(whole, usize::from(format == "Arrow stream"), "{format}");
    }
}

/// Every byte set to what is furthest from true: an error or other values, but no panic of ours, and no
/// reservation that ends the process.
#[test]
fn a_file_whose_headers_lie_is_refused_or_read() {
    let words = StringArray::from(vec![Some("a"), None, Some("b"), Some("a")]);
    let y = Float64Array::from(vec![1.0, 2.0, 3.0, 4.5]);
    let batch = batch(vec![("c", arc(words)), ("y", arc(y))]);
    let mut files: Vec<Vec<u8>> = in_each_format(&batch).map(|(_, bytes)| bytes).into();
    files.push(as_parquet(&batch, Compression::LZ4_RAW));
    files.push(as_arrow(&[batch], true, Some(CompressionType::ZSTD)));
    for bytes in files {
        for place in 6..bytes.len() {
            for lie in [0x7F, 0xFF] {
                let mut bytes = bytes.clone();
                bytes[place] = lie;
                let _ = read(&bytes, Want::Guess);
            }
        }
    }
}

#[test]
fn sizes_that_no_data_have_are_refused_before_memory_is_taken() {
    let batch = batch(vec![("y", arc(Float64Array::from(vec![1.5; 1000])))]);
    let lies = |mut bytes: Vec<u8>, from: &[u8], to: &[u8]| {
        let place = bytes.windows(from.len()).position(|w| w == from).unwrap();
        bytes[place..place + to.len()].copy_from_slice(to);
        read(&bytes, Want::Guess).unwrap_err().to_string()
    };
    // 8,000 bytes of values as Arrow compresses them.
    let zstd = as_arrow(std::slice::from_ref(&batch), true, Some(CompressionType::ZSTD));
    let error = lies(zstd, &8000i64.to_le_bytes(), &(1i64 << 40).to_le_bytes());
    assert!(error.contains("the size of compressed data that is impossible"), "{error}");
    // The rows of the batch, and of its only column.
    let plain = as_arrow(&[batch], false, None);
    let error = lies(plain, &1000i64.to_le_bytes(), &(1i64 << 40).to_le_bytes());
    assert!(error.contains("the number of rows that is impossible"), "{error}");
}

#[test]
fn what_a_decoder_lacks_is_not_called_damage() {
    let said = |error: ArrowError| fault(Format::Parquet, &error).to_string();
    let lzo = said(of_parquet(ParquetError::NYI("The codec type LZO is not supported yet".into())));
    assert!(lzo.contains("uses an unsupported feature") && lzo.contains("LZO"), "{lzo}");
    let io = std::io::Error::from_raw_os_error(5);
    let io = said(of_parquet(ParquetError::External(Box::new(io))));
    assert!(io.contains("can't be read") && !io.contains("damaged"), "{io}");
    assert!(said(of_parquet(ParquetError::EOF("x".into()))).contains("truncated or damaged"));
    let x = batch(vec![("x", arc(Int64Array::from(vec![1, 2])))]);
    let mut encrypted = as_parquet(&x, Compression::SNAPPY);
    let end = encrypted.len() - 1;
    encrypted[end] = b'E';
    let error = read(&encrypted, Want::Guess).unwrap_err().to_string();
    assert!(error.contains("ncrypt") && !error.contains("damaged"), "{error}");
}

#[test]
#[should_panic(expected = "ours")]
fn a_panic_of_ours_stays_one() {
    let x = batch(vec![("x", arc(Int64Array::from(vec![1, 2])))]);
    let bytes = as_parquet(&x, Compression::SNAPPY);
    let _ = super::pass(&of_memory("t", &bytes), Format::Parquet, |_| panic!("ours"), |_| Ok(()));
}

/// The header of the only page of a column, whose sizes are replaced by such of as many bytes.
#[test]
fn a_page_of_parquet_that_declares_too_much_is_refused() {
    const ROWS: usize = 100_000;
    let batch = batch(vec![("y", arc(Float64Array::from(vec![1.5; ROWS])))]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_dictionary_enabled(false)
        .set_write_batch_size(ROWS)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // Behind the magic bytes: field 1, the type of the page, then field 2, its size once decompressed.
    let [0x15, 0x00, 0x15, size @ ..] = &bytes[4..10] else { panic!("{:?}", &bytes[..10]) };
    assert!(size[0] >= 0x80 && size[1] >= 0x80 && size[2] < 0x80, "three bytes: {size:?}");
    assert_eq!(read(&bytes, Want::Guess).unwrap().rows, ROWS);
    bytes[7..10].copy_from_slice(&[0xFE, 0xFF, 0x7F]);
    let error = read(&bytes, Want::Guess).unwrap_err().to_string();
    assert!(error.contains("the size of a page in the column y is impossible"), "{error}");
}
