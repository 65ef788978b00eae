//! A reader of the safetensors format: a header of JSON that names tensors, and their bytes one after the other
//! (<https://github.com/huggingface/safetensors>, "Format").
//!
//! Our own reader instead of the crate, so that models are saved and loaded without it and its dependencies.

use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;

/// The number of bytes before the header, which hold its length.
pub(crate) const LENGTH: usize = 8;
/// The longest header that the format allows.
pub(crate) const LONGEST: u64 = 100_000_000;

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Fault {
    HeaderTooSmall,
    HeaderTooLarge,
    Json(serde_json::Error),
    /// The number of bytes differs from that in the header.
    Incomplete,
    /// A tensor's bytes don't start where those of the one before end.
    Offset(String),
    /// The number of a tensor's bytes doesn't match its shape and type.
    Size(String),
    UnknownType(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::HeaderTooSmall => f.write_str("header too small"),
            Fault::HeaderTooLarge => f.write_str("header too large"),
            Fault::Json(error) => write!(f, "invalid JSON in header: {error}"),
            Fault::Incomplete => f.write_str("incomplete metadata, file not fully covered"),
            Fault::Offset(name) => write!(f, "invalid offset for tensor `{name}`"),
            Fault::Size(name) => {
                write!(f, "shape and type of tensor `{name}` don't match its bytes")
            }
            Fault::UnknownType(name) => write!(f, "tensor `{name}` is of an unknown type"),
        }
    }
}

/// The place and type of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    /// The start and end of its bytes, from the end of the header on.
    data_offsets: [usize; 2],
}

impl Info {
    /// Its size in bytes, by shape and type.
    fn bytes(&self, name: &str) -> Result<usize, Fault> {
        let element = match self.dtype.as_str() {
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => 1,
            "U16" | "I16" | "F16" | "BF16" => 2,
            "U32" | "I32" | "F32" => 4,
            "U64" | "I64" | "F64" => 8,
            _ => return Err(Fault::UnknownType(name.into())),
        };
        let bytes = self.shape.iter().try_fold(element, |all: usize, &n| all.checked_mul(n));
        bytes.ok_or_else(|| Fault::Size(name.into()))
    }
}

/// The header of a file.
#[derive(Debug)]
pub(crate) struct Header {
    metadata: HashMap<String, String>,
    /// In the order of their bytes.
    tensors: Vec<(String, Info)>,
}

impl Header {
    /// Reads the JSON of a header.
    pub fn parse(json: &[u8]) -> Result<Self, Fault> {
        let mut entries: HashMap<String, serde_json::Value> =
            serde_json::from_slice(json).map_err(Fault::Json)?;
        let metadata = entries.remove("__metadata__");
        let metadata = metadata.map_or(Ok(HashMap::new()), serde_json::from_value);
        let info = |(name, value)| Ok((name, serde_json::from_value::<Info>(value)?));
        let tensors: Result<Vec<_>, _> = entries.into_iter().map(info).collect();
        let (metadata, mut tensors) =
            (metadata.map_err(Fault::Json)?, tensors.map_err(Fault::Json)?);
        tensors.sort_by(|(a, x), (b, y)| (x.data_offsets, a).cmp(&(y.data_offsets, b)));
        let mut begin = 0;
        for (name, info) in &tensors {
            let [first, end] = info.data_offsets;
            if first != begin || end < first {
                return Err(Fault::Offset(name.clone()));
            }
            if info.bytes(name)? != end - first {
                return Err(Fault::Size(name.clone()));
            }
            begin = end;
        }
        Ok(Header { metadata, tensors })
    }

    /// The size of all tensors in bytes.
    pub fn data_len(&self) -> usize {
        self.tensors.last().map_or(0, |(_, info)| info.data_offsets[1])
    }
}

/// A file in memory.
#[derive(Debug)]
pub(crate) struct Tensors<'a> {
    header: Header,
    header_len: usize,
    places: HashMap<String, usize>,
    data: &'a [u8],
}

/// One tensor of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'a> {
    /// Its name in the format: `F32`, `F64` and so on.
    pub dtype: &'a str,
    pub shape: &'a [usize],
    /// The elements in rows, little-endian.
    pub data: &'a [u8],
}

impl<'a> Tensors<'a> {
    /// Parses a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let length = bytes.first_chunk::<LENGTH>().ok_or(Fault::HeaderTooSmall)?;
        let length = u64::from_le_bytes(*length);
        if length > LONGEST {
            return Err(Fault::HeaderTooLarge);
        }
        let header_len = length as usize;
        let json = bytes.get(LENGTH..LENGTH + header_len).ok_or(Fault::Incomplete)?;
        let header = Header::parse(json)?;
        let data = &bytes[LENGTH + header_len..];
        if data.len() != header.data_len() {
            return Err(Fault::Incomplete);
        }
        let names = header.tensors.iter().enumerate();
        let places = names.map(|(place, (name, _))| (name.clone(), place)).collect();
        Ok(Tensors { header, header_len, places, data })
    }

    /// The metadata in the header.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.header.metadata
    }

    /// The size of the header in bytes.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// The names of the tensors, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.iter().map(|(name, _)| name.as_str())
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let (_, info) = &self.header.tensors[*self.places.get(name)?];
        let [first, end] = info.data_offsets;
        Some(Tensor { dtype: &info.dtype, shape: &info.shape, data: &self.data[first..end] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str, data: &[u8]) -> Vec<u8> {
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), data].concat()
    }

    #[test]
    fn tensors_are_found_by_name_in_the_order_of_their_bytes() {
        let json = r#"{"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[1,9]},
            "a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        let bytes = file(json, &[7, 0, 0, 128, 63, 0, 0, 0, 64]);
        let tensors = Tensors::parse(&bytes).unwrap();
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tensors.metadata()["k"], "v");
        assert_eq!(tensors.header_len(), json.len());
        let b = tensors.tensor("b").unwrap();
        assert_eq!((b.dtype, b.shape, b.data), ("F32", &[1, 2][..], &bytes[bytes.len() - 8..]));
        assert!(tensors.tensor("c").is_none());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let fault = |bytes: &[u8]| Tensors::parse(bytes).unwrap_err().to_string();
        assert_eq!(fault(&[0; 7]), "header too small");
        assert_eq!(fault(&u64::MAX.to_le_bytes()), "header too large");
        assert!(fault(&file("{", &[])).starts_with("invalid JSON"));
        assert!(fault(&file(&one("F32", "[1]", "[0,4]"), &[0; 3])).starts_with("incomplete"));
        assert!(fault(&file(&one("F32", "[1]", "[0,4]"), &[0; 5])).starts_with("incomplete"));
        assert!(fault(&file(&one("F32", "[1]", "[4,8]"), &[0; 8])).starts_with("invalid offset"));
        assert!(fault(&file(&one("F32", "[1]", "[4,0]"), &[0; 4])).starts_with("invalid offset"));
        assert!(
            fault(&file(&one("F32", "[2]", "[0,4]"), &[0; 4])).contains("don't match its bytes")
        );
        let large = one("F32", &format!("[{},8]", u64::MAX), "[0,4]");
        assert!(fault(&file(&large, &[0; 4])).contains("don't match its bytes"));
        assert!(fault(&file(&one("Q7", "[4]", "[0,4]"), &[0; 4])).contains("unknown type"));
        for cut in 0..8 {
            assert!(Tensors::parse(&file("{}", &[])[..cut]).is_err());
        }
    }
}
