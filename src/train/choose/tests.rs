use super::*;
use crate::backend::{DataId, DeviceInfo, Pending, Values, ValuesMut};
use crate::data::{Samples, Scaling, digits};
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::net::spec::Net;
use crate::plan::program::Program;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The CPU, which takes its time for each step, and may have a compiler that refuses every kernel.
struct Slow(Cpu<f32>, Duration, Option<&'static str>);

impl Backend for Slow {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        self.0.load(program)
    }
    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
        self.0.upload(samples)
    }
    fn forget(&mut self, data: DataId) {
        self.0.forget(data);
    }
    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        self.0.write(tensor, values)
    }
    fn prepare(&mut self, _: DataId) -> Pending<'_> {
        Box::pin(async move {
            self.2.map_or(Ok(()), |said| Err(Error::device(said).help("take another")))
        })
    }
    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        Box::pin(async move {
            std::thread::sleep(self.1 * steps.len() as u32);
            self.0.run(ops, data, steps).await
        })
    }
    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        self.0.read(tensor, values)
    }
}

/// Candidates that take so many milliseconds for a step, or fail; and how often each was opened.
fn candidates(each: &[Option<u64>]) -> (Vec<Candidate>, Arc<Vec<AtomicUsize>>) {
    let opened: Arc<Vec<_>> = Arc::new(each.iter().map(|_| AtomicUsize::new(0)).collect());
    let candidate = |(i, slow): (usize, &Option<u64>)| {
        let (opened, slow) = (opened.clone(), *slow);
        Candidate {
            name: format!("device {i}"),
            key: format!("{i}: {slow:?}"),
            device: if i == 0 { Device::Cpu } else { Device::Index(i - 1) },
            open: Box::new(move || {
                opened[i].fetch_add(1, Ordering::SeqCst);
                let millis = slow.ok_or_else(|| Error::device("it is broken"))?;
                let cpu = Cpu::new(Some(1))?;
                Ok(Box::new(Slow(cpu, Duration::from_millis(millis), None)))
            }),
        }
    };
    (each.iter().enumerate().map(candidate).collect(), opened)
}

#[test]
fn the_fastest_device_is_taken_explained_and_remembered() {
    let data = digits();
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    let net = Net::new(64).layer(8, Activation::Relu).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy).epochs(1000);
    let rows = data.rows();
    let work = Work::training(&spec, &data, &preprocessing);
    let of_sample = Work::training_of(&spec, &data, &preprocessing, 100 * rows);
    assert_eq!(of_sample.amount(), Some((100 * rows).div_ceil(64) * 1000));
    let place = tempfile::tempdir().unwrap();
    let memory = || Some(place.path().join("deep/devices.json"));
    let counts = |opened: &[AtomicUsize]| -> Vec<usize> {
        opened.iter().map(|n| n.load(Ordering::SeqCst)).collect()
    };

    let (all, opened) = candidates(&[Some(20), None, Some(2), Some(40)]);
    let why = fastest(&all, &work, memory()).unwrap().why;
    assert!(why.contains("× the speed of device ") && why.ends_with("steps"), "{why}");
    let ratio: f64 = why.split(' ').next().unwrap().parse().unwrap();
    // How much faster than which one, a loaded machine decides.
    assert!(ratio > 1.0, "{why}");
    assert_eq!(counts(&opened), [1, 1, 1, 1]);
    let again = fastest(&all, &work, memory()).unwrap().why;
    assert_eq!(again, format!("{why}, as measured before"));
    assert_eq!(counts(&opened), [1, 1, 2, 1]);

    // Another batch is another measurement, and so is a memory that was damaged.
    let other = Spec { batch_size: 32, ..spec.clone() };
    fastest(&all, &Work::training(&other, &data, &preprocessing), memory()).unwrap();
    assert_eq!(counts(&opened), [2, 2, 3, 2]);
    std::fs::write(memory().unwrap(), b"{\"half").unwrap();
    fastest(&all, &work, memory()).unwrap();
    assert_eq!(counts(&opened), [3, 3, 4, 3]);

    // Independent of earlier choices: short runs on the CPU stay there.
    let few = Work::Training {
        spec: &spec,
        data: &data,
        preprocessing: &preprocessing,
        rows: data.rows(),
        steps: 3,
    };
    let (all, opened) = candidates(&[Some(100), Some(1)]);
    let long = fastest(&all, &work, memory()).unwrap();
    assert_eq!((long.device, counts(&opened)), (Device::Index(0), vec![1, 1]));
    let short = fastest(&all, &few, memory()).unwrap();
    assert_eq!((short.device, counts(&opened)), (Device::Cpu, vec![2, 1]));
    assert!(short.why.contains("it takes about 0."), "{}", short.why);

    // What the CPU does in no time needs no other device.
    let (all, opened) = candidates(&[Some(0), Some(0)]);
    let short = spec.clone().epochs(1);
    let why = fastest(&all, &Work::training(&short, &data, &preprocessing), None).unwrap().why;
    assert!(why.contains("it takes about 0."), "{why}");
    assert_eq!(counts(&opened), [1, 0]);
}

#[test]
fn a_device_that_cannot_compile_is_passed_over_with_one_line_each_time() {
    let data = digits();
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    let net = Net::new(64).layer(8, Activation::Relu).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy).epochs(1000);
    let work = Work::training(&spec, &data, &preprocessing);
    let place = tempfile::tempdir().unwrap();
    let memory = || Some(place.path().join("devices.json"));
    let refusing = |all: &mut Vec<Candidate>, i: usize| {
        all[i].open = Box::new(|| {
            let said = "the device can't compile the kernel loss: error X3507\n    line 2";
            Ok(Box::new(Slow(Cpu::new(Some(1))?, Duration::ZERO, Some(said))))
        });
    };
    let (mut all, _) = candidates(&[Some(40), Some(1), None, Some(1)]);
    refusing(&mut all, 1);
    // It would be the fastest.
    let expected = [
        "device 1 is skipped: the device can't compile the kernel loss: error X3507",
        "device 2 is skipped: it is broken",
    ];
    for _ in 0..2 {
        let Opened { device, passed_over, .. } = fastest(&all, &work, memory()).unwrap();
        assert_eq!(device, Device::Index(2));
        assert_eq!(passed_over, expected);
    }
    let (mut all, _) = candidates(&[Some(20), Some(1)]);
    refusing(&mut all, 1);
    let Opened { device, why, passed_over, .. } = fastest(&all, &work, None).unwrap();
    assert_eq!((device, why.as_str()), (Device::Cpu, "the only device that can be used"));
    assert_eq!(passed_over, expected[..1]);
    // Where none is left, the error has all that the compiler said.
    refusing(&mut all, 0);
    let Err(error) = fastest(&all, &work, None) else { panic!("none is left") };
    assert!(error.to_string().contains("line 2\n  help: take another"), "{error}");
}

#[test]
fn a_few_predictions_stay_on_the_cpu_and_many_are_made_where_they_are_fastest() {
    let data = digits();
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    let net = Net::new(64).layer(8, Activation::Relu).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy);
    let cpu = Box::new(Cpu::<f32>::new(Some(1)).unwrap());
    let model = Trainer::new(&spec, &data, preprocessing, cpu).unwrap().model().unwrap();
    let features = data.features_shared();
    let (all, opened) = candidates(&[Some(0), Some(0)]);
    let few = fastest(&all, &Work::predictions(&model, &features), None).unwrap();
    assert_eq!(few.device, Device::Cpu);
    assert_eq!(opened[1].load(Ordering::SeqCst), 0, "no GPU is opened");
    assert!(few.why.contains("it takes about 0."), "{}", few.why);
    // Far enough apart for a machine with much else to do.
    let (all, _) = candidates(&[Some(200), Some(1)]);
    for rows in [Some(100_000_000), None] {
        let work = Work::Predictions { model: &model, features: &features, rows };
        let many = fastest(&all, &work, None).unwrap();
        assert_eq!(many.device, Device::Index(0), "{}", many.why);
        assert!(many.why.ends_with(" rows"), "{}", many.why);
    }
}
