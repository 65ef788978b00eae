use super::*;
use crate::backend::session::initial_weights;
use crate::data::{Dataset, Features, Preprocessing, Scaling, Targets};
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::net::spec::{Net, Spec};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

fn model() -> Model {
    let features = Features::F32(Matrix::from_fn(4, 2, |r, c| (r * 3 + c) as f32 / 7.0));
    let targets = Targets::Numbers(Matrix::from_fn(4, 1, |r, _| r as f64));
    let data = Dataset::new("set", features, targets).unwrap();
    let net = Net::new(2).layer(3, Activation::LeakyRelu(0.2)).layer(1, Activation::Identity);
    let spec = Spec::new(net.clone(), Loss::Huber(0.5));
    Model {
        net,
        objective: spec.objective,
        preprocessing: Preprocessing::fit(&data, Scaling::Standard),
        members: vec![initial_weights(&spec)],
    }
}

/// Saves a model that `change` was done to, and loads it.
fn reload(change: impl FnOnce(&mut Model)) -> Result<Model> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let mut model = model();
    change(&mut model);
    save_model(&model, &path).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    load_model(&path)
}

/// A safetensors file of tensors in F64.
fn foreign(tensors: &[(&str, &[usize], &[f64])]) -> (tempfile::TempDir, PathBuf) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F64, shape.to_vec(), bytes);
        ((*name).to_string(), view.unwrap())
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    (directory, path)
}

#[test]
fn a_saved_model_reads_back_equal_with_its_provenance() {
    assert_eq!(reload(|_| ()).unwrap(), model());
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|name| directory.path().join(name));
    let provenance = Provenance {
        data: Some("houses".into()),
        config: Some("epochs = 3\n".into()),
        ..Provenance::default()
    };
    for path in [&first, &second] {
        save_model_with(&model(), &provenance, path).unwrap();
    }
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap(), "the bytes are the same");
    let found = load_model_with(&first).unwrap().1;
    assert_eq!(found.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((found.data, found.config), (provenance.data, provenance.config));
}

#[test]
fn a_model_that_does_not_fit_itself_is_refused_with_the_tensor() {
    let wrong = reload(|m| m.members[0][1].weight = Matrix::from_fn(1, 2, |_, _| 0.0)).unwrap_err();
    assert_eq!(wrong.kind().exit_code(), 3);
    assert!(wrong.to_string().contains("layers.1.weight is [1, 2]"), "{wrong}");
    let nan = reload(|m| m.members[0][0].weight.data_mut()[3] = f32::NAN).unwrap_err().to_string();
    assert!(nan.contains("layers.0.weight holds NaN") && nan.contains("row 2, column 2"), "{nan}");
    let columns = reload(|m| m.preprocessing.features.shift.push(0.0)).unwrap_err();
    assert!(columns.to_string().contains("doesn't fit"), "{columns}");
}

#[test]
fn a_file_cut_short_anywhere_is_refused_and_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    save_model(&model(), &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    for len in (0..bytes.len()).step_by(7) {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = load_model(&path).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3);
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    assert!(load_model(directory.path()).unwrap_err().to_string().contains("not a file"));
    assert_eq!(load_model(&directory.path().join("none")).unwrap_err().kind().exit_code(), 3);
}

#[test]
fn weights_from_elsewhere_need_the_names_and_shapes_of_the_net() {
    let net = Net::new(2).layer(1, Activation::Identity);
    let weight: (&str, &[usize], &[f64]) = ("layers.0.weight", &[1, 2], &[0.5, -1.5]);
    let bias: (&str, &[usize], &[f64]) = ("layers.0.bias", &[1], &[2.0]);
    let (_directory, path) = foreign(&[weight, bias]);
    let weights = load_weights(&path, &net).unwrap();
    assert_eq!(weights[0].weight.data(), [0.5, -1.5]);
    assert_eq!(weights[0].bias.as_deref(), Some(&[2.0][..]));
    let error = load_model(&path).unwrap_err().to_string();
    assert!(error.contains("no wgrad.net") && error.contains("--init"), "{error}");

    let (_directory, path) = foreign(&[weight]);
    assert!(load_weights(&path, &net.clone().bias(Bias::None)).is_ok());
    let error = load_weights(&path, &net).unwrap_err().to_string();
    assert!(error.contains("no tensor layers.0.bias"), "{error}");
    let error = load_weights(&path, &Net::new(3).layer(1, Activation::Identity)).unwrap_err();
    assert_eq!(error.kind().exit_code(), 2);
    assert!(error.to_string().contains("is [1, 2], but the net needs [1, 3]"), "{error}");
}

#[test]
fn a_write_that_fails_leaves_the_file_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write_atomically(&path, |out| out.write_all(b"before")).unwrap();
    let failed = write_atomically(&path, |out| {
        out.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind().exit_code(), 1);
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(write_atomically(Path::new("/dev/null"), |out| out.write_all(b"x")).is_ok());
    assert!(!fs::metadata("/dev/null").unwrap().is_file(), "a device is not replaced");
}

#[test]
fn a_model_from_before_columns_were_encoded_still_finds_its_columns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    save_model(&model(), &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    header["__metadata__"]["wgrad.columns"] =
        r#"{"header":true,"names":["a","y","b"],"targets":[1]}"#.into();
    let header = header.to_string();
    let mut old = (header.len() as u64).to_le_bytes().to_vec();
    old.extend(header.as_bytes());
    old.extend(&bytes[8 + len..]);
    fs::write(&path, old).unwrap();
    let found = load_model(&path).unwrap();
    assert_eq!(found.members[0], model().members[0]);
    let encoding = found.preprocessing.encoding.as_ref().unwrap();
    let columns: Vec<&str> = encoding.features.iter().map(|f| f.column.as_str()).collect();
    assert_eq!((columns, &encoding.targets[..]), (vec!["a", "b"], &["y".to_string()][..]));
    let table = directory.path().join("new.csv");
    fs::write(&table, "more,b,a\n9,2,5\n").unwrap();
    let options = crate::data::DataOptions::default();
    let inputs =
        crate::data::open_inputs(table.to_str().unwrap(), &found.preprocessing, &options).unwrap();
    assert_eq!((inputs.features.value(0, 0), inputs.features.value(0, 1)), (5.0, 2.0));
}

#[test]
fn only_temporary_files_of_checkpoints_are_tidied_away() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().join("checkpoint"), 1);
    fs::create_dir(store.directory()).unwrap();
    let stays = ["x.tmp", ".x.tmp", "00000001.safetensors", "00000002.safetensors.tmp", ".a.b.tmp"];
    let goes = [".00000002.safetensors.Zz09aB.tmp", ".00000003.safetensors.4711.tmp"];
    for name in stays.iter().chain(&goes) {
        fs::write(store.directory().join(name), "").unwrap();
    }
    store.tidy();
    for name in stays {
        assert!(store.directory().join(name).exists(), "{name} was removed");
    }
    for name in goes {
        assert!(!store.directory().join(name).exists(), "{name} is left");
    }
}

#[cfg(unix)]
#[test]
fn nothing_behind_a_link_is_tidied_away() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().unwrap();
    let name = ".00000002.safetensors.Zz09aB.tmp";
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join(name), "precious").unwrap();
    symlink(&elsewhere, place.path().join("checkpoint")).unwrap();
    Store::new(place.path().join("checkpoint"), 1).tidy();
    let own = place.path().join("own");
    fs::create_dir(&own).unwrap();
    symlink(elsewhere.join(name), own.join(name)).unwrap();
    Store::new(own.clone(), 1).tidy();
    assert_eq!(fs::read_to_string(elsewhere.join(name)).unwrap(), "precious");
    assert!(own.join(name).is_symlink());
}

#[test]
fn sizes_that_lie_are_refused_before_anything_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    const HUGE: u64 = 1 << 40;
    let tensor = |end: u64| {
        format!(
            "{{\"layers.0.weight\":{{\"dtype\":\"F32\",\"shape\":[1,{}],\"data_offsets\":[0,{end}]}}}}",
            end / 4
        )
    };
    let write = |declared: u64, header: &str, len: u64| {
        let mut file = File::create(&path).unwrap();
        file.write_all(&declared.to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        // What lies behind takes no room on disk.
        file.set_len(len).unwrap();
    };
    let whole = tensor(HUGE);
    let begin = 8 + whole.len() as u64;
    for (declared, header, len, what) in [
        (u64::MAX, "", HUGE, "HeaderTooLarge"),
        (HUGE, "", HUGE, "HeaderTooLarge"),
        (90_000_000, "{}", 10, "InvalidHeader"),
        (2, "{}", HUGE, "MetadataIncompleteBuffer"),
        (whole.len() as u64, &whole, begin + 16, "MetadataIncompleteBuffer"),
        (whole.len() as u64, &whole, begin + HUGE, "of memory"),
    ] {
        write(declared, header, len);
        let text = |error: Error| {
            assert_eq!(error.kind().exit_code(), 3, "{error}");
            error.to_string()
        };
        let safetensor = |error: &str| error.contains("not a complete safetensors file");
        for error in
            [text(load_model(&path).unwrap_err()), text(load_checkpoint(&path).unwrap_err())]
        {
            assert!(safetensor(&error) != (what == "of memory"), "{what}: {error}");
            assert!(error.contains("model.safetensors"), "{error}");
        }
    }
}

#[test]
fn shapes_and_widths_that_no_net_has_are_refused() {
    let colour = crate::data::Colour::Rgb;
    for (width, height) in [(u32::MAX, u32::MAX), (0, 7), (1, 1), (4096, 4096)] {
        let image = crate::data::ImageShape { width, height, colour, sixteen_bit: false };
        let error = reload(|model| model.preprocessing.image = Some(image)).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3, "{error}");
        assert!(error.to_string().contains("doesn't fit its net"), "{error}");
    }
    for (buckets, missing) in [(usize::MAX, true), (usize::MAX, false), (usize::MAX - 1, true)] {
        let error = reload(|model| {
            let hash = crate::data::HashEncoder { buckets, seen: 500, missing, known: None };
            let mut encoding = Encoding::plain(3, 1);
            encoding.features[0].encoder = crate::data::Encoder::Hash(hash);
            model.preprocessing.encoding = Some(encoding);
        });
        assert!(error.unwrap_err().to_string().contains("doesn't fit its net"));
    }
}

/// A model of three nets.
fn ensemble() -> Model {
    let one = model();
    let mut nets = vec![one.members[0].clone(); 3];
    for (k, net) in nets.iter_mut().enumerate() {
        net.iter_mut().flat_map(|layer| layer.weight.data_mut()).for_each(|w| *w *= 1.5 - k as f32);
    }
    Model { members: nets, ..one }
}

#[test]
fn an_ensemble_reads_back_with_all_of_its_nets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    save_model(&ensemble(), &path).unwrap();
    assert_eq!(load_model(&path).unwrap(), ensemble());
    let error = load_weights(&path, &model().net).unwrap_err().to_string();
    assert!(error.contains("net-1/model.safetensors"), "{error}");
    let mut lacking = ensemble();
    lacking.members[1].pop();
    save_model(&lacking, &path).unwrap();
    let error = load_model(&path).unwrap_err().to_string();
    assert!(error.contains("nets.1.layers.1.weight"), "{error}");
}
