//! Every variant of every kernel: with the constants that real programs launch it with.

use std::collections::{BTreeMap, BTreeSet};
use wgrad::data::Storage;
use wgrad::kernels::mixed::{self, BLOCKS, MixedTuning};
use wgrad::kernels::products::tile::{self, Tuning};
use wgrad::kernels::{ALL, Kernel, REDUCE};
use wgrad::math::embedding::Embedding;
use wgrad::math::optim::GradientEdits;
use wgrad::net::precision::Precision;
use wgrad::net::spec::{Bias, Layer, Net, Norm, Spec, Units};
use wgrad::plan::{self, Plan, Purpose, Traits};
use wgrad::train::bench::CASES;
use wgrad::{Activation, Loss, Optimizer};

/// A kernel with its constants, as one pipeline has it.
pub struct Variant {
    pub kernel: &'static Kernel,
    pub overrides: Vec<(&'static str, f64)>,
    /// The invocations of a subgroup, where sums are left to subgroups.
    pub subgroups: Option<u32>,
    /// Of which nets and plans.
    pub of: BTreeSet<String>,
}

impl Variant {
    pub fn wgsl(&self) -> String {
        match self.subgroups {
            Some(size) => self.kernel.wgsl_for_subgroups(size),
            None => self.kernel.wgsl(),
        }
    }

    /// Whether it adds up what a workgroup has, which subgroups may do.
    pub fn adds_up(&self) -> bool {
        self.kernel.wgsl().contains(REDUCE)
    }

    pub fn with_subgroups(&self, subgroups: Option<u32>) -> Self {
        let (overrides, of) = (self.overrides.clone(), self.of.clone());
        Self { kernel: self.kernel, overrides, subgroups, of }
    }

    /// `NAME=VALUE,…`.
    pub fn constants(&self) -> String {
        let texts = self.overrides.iter().map(|(name, value)| format!("{name}={value}"));
        texts.collect::<Vec<_>>().join(",")
    }

    pub fn has_matrices(&self) -> bool {
        self.kernel.wgsl().contains("enable wgpu_cooperative_matrix;")
    }

    pub fn has_f16(&self) -> bool {
        self.kernel.wgsl().contains("enable f16;")
    }

    /// Whether its block is one of the largest, which take compilers the longest.
    pub fn is_large(&self) -> bool {
        self.kernel.entry.contains("128x")
    }
}

/// The largest binding that is counted on, in bytes.
const LARGEST: u64 = 1 << 31;

#[derive(Default)]
struct Found(BTreeMap<(&'static str, String), Variant>);

impl Found {
    fn add(&mut self, kernel: &'static Kernel, overrides: Vec<(&'static str, f64)>, of: &str) {
        let variant = Variant { kernel, overrides, subgroups: None, of: BTreeSet::new() };
        let key = (kernel.entry, variant.constants());
        self.0.entry(key).or_insert(variant).of.insert(of.into());
    }

    /// The launches of a plan; with `all_tiles` those of every tile and block that may be measured.
    fn add_plan(&mut self, plan: &Plan, storage: Storage, all_tiles: bool, of: &str) {
        let program = &plan.program;
        for op in &program.ops {
            let mut tunings = vec![Tuning::default()];
            let products = program.products(op);
            if all_tiles && !products.is_empty() {
                tunings.extend(tile::choices(&products, None).into_iter().map(|choice| {
                    let choices = [(products.clone(), choice)].into();
                    Tuning { choices, ..Tuning::default() }
                }));
                tunings.extend(BLOCKS.iter().enumerate().map(|(i, block)| {
                    let multiplier = block.multiplier();
                    let mixed = MixedTuning { multiplier, forced: Some(i), ..Default::default() };
                    Tuning { mixed, ..Tuning::default() }
                }));
            }
            for tuning in tunings {
                for launch in program.launches(op, storage, LARGEST as usize / 4, &tuning) {
                    self.add(launch.kernel, launch.overrides, of);
                }
            }
        }
    }

    /// All plans that a GPU may choose for a net.
    fn add_net(&mut self, name: &str, spec: &Spec, storage: Storage, all_tiles: bool) {
        spec.check().unwrap_or_else(|e| panic!("{name}: {e}"));
        let batch = spec.rows_at_a_time();
        let whole_net = Traits::Gpu { largest_binding: LARGEST, compiles_whole_nets: true };
        for (kind, traits) in
            [("plain", Traits::Plain), ("layers", Traits::LAYERS), ("whole net", whole_net)]
        {
            let plan = plan::plan(spec, batch, Purpose::Train, traits);
            self.add_plan(&plan, storage, all_tiles, &format!("{name}/{kind}"));
        }
    }
}

/// A small net for which all plans are possible.
fn small(loss: Loss) -> Spec {
    let mut net = Net::new(20).layer(24, Activation::Tanh).layer(24, Activation::Relu);
    net.layers.push(Layer::new(4, Activation::Identity));
    Spec::new(net, loss)
}

/// What each option of a net, a loss, an optimizer or a step makes of the small net.
fn with_each_option() -> Vec<(String, Spec)> {
    let mut all = Vec::new();
    let mut add = |name: String, change: &dyn Fn(&mut Spec)| {
        let mut spec = small(Loss::SquaredError);
        change(&mut spec);
        all.push((name, spec));
    };
    for loss in Loss::ALL {
        add(format!("loss {loss}"), &|spec| {
            spec.objective = loss.into();
            if loss == Loss::CrossEntropyProbabilities {
                spec.net.layers.last_mut().expect("layers").activation = Units::Softmax;
            }
        });
    }
    for activation in Activation::ALL {
        add(format!("activation {activation}"), &|spec| {
            spec.net.layers[0].activation = activation.into();
            spec.net.layers[1].activation = activation.into();
        });
    }
    for optimizer in Optimizer::ALL {
        add(format!("optimizer {optimizer}"), &|spec| {
            *spec = spec.clone().optimizer(optimizer);
            spec.weight_decay = 0.01;
        });
    }
    for bias in Bias::ALL {
        add(format!("bias {bias:?}"), &|spec| spec.net = spec.net.clone().bias(bias));
    }
    for norm in Norm::ALL {
        add(format!("norm {norm:?}"), &|spec| spec.net = spec.net.clone().norm(Some(norm)));
    }
    add("units of their own".into(), &|spec| {
        let each = (0..24).map(|i| Activation::ALL[i % Activation::ALL.len()]).collect();
        spec.net.layers[0].activation = Units::Each(each);
    });
    add("residual".into(), &|spec| spec.net = spec.net.clone().residual(1));
    add("dropout".into(), &|spec| {
        spec.net = spec.net.clone().dropout(0.5);
        spec.net.input_dropout = 0.2;
    });
    add("embeddings".into(), &|spec| {
        spec.net.embeddings = vec![Embedding::new(200, 8), Embedding::new(7, 4)];
    });
    add("max-norm".into(), &|spec| spec.max_norm = Some(2.0));
    add("mixup".into(), &|spec| spec.mixup = Some(0.2));
    add("smoothing".into(), &|spec| {
        spec.objective = Loss::CrossEntropy.into();
        spec.label_smoothing = 0.1;
    });
    add("micro-batches".into(), &|spec| spec.micro_batch = Some(16));
    add("augmentation".into(), &|spec| {
        spec.augment = Some(("standard".parse().expect("a name"), [5, 4, 1]));
    });
    let edits = [
        GradientEdits { l1: 0.1, ..GradientEdits::default() },
        GradientEdits { clip_value: Some(0.1), ..GradientEdits::default() },
        GradientEdits { clip_norm: Some(0.1), ..GradientEdits::default() },
        GradientEdits { clip_global_norm: Some(0.1), ..GradientEdits::default() },
        GradientEdits { noise: 0.1, ..GradientEdits::default() },
    ];
    for edit in edits {
        add(format!("{edit:?}"), &|spec| spec.edits = edit);
    }
    all
}

/// Every launch of the measured nets with every tile, of the small net with every option and kind of
/// rows, and the kernels that none of these has. Each once more with subgroups, where it adds up by them.
pub fn variants() -> Vec<Variant> {
    let mut found = Found::default();
    let numbers = Storage { bytes: false, classes: false, weighted: false };
    for case in CASES {
        let storage = Storage { bytes: case.classes, classes: case.classes, weighted: false };
        for precision in [Precision::F32, Precision::F16] {
            let spec = Spec { precision, ..case.spec() };
            found.add_net(&format!("{} {precision}", case.name), &spec, storage, true);
        }
    }
    for (name, spec) in with_each_option() {
        found.add_net(&name, &spec, numbers, false);
        let half = Spec { precision: Precision::F16, ..spec };
        if half.check().is_ok() {
            found.add_net(&format!("{name}, f16"), &half, numbers, false);
        }
    }
    for [bytes, classes, weighted] in (0..8).map(|i| [1, 2, 4].map(|bit| i & bit > 0)) {
        let storage = Storage { bytes, classes, weighted };
        let spec = small(Loss::CrossEntropy);
        found.add_net(&format!("{storage:?}"), &spec, storage, false);
    }
    let seen: BTreeSet<_> = found.0.keys().map(|(entry, _)| *entry).collect();
    let rest = ALL.iter().chain(mixed::ALL.iter()).filter(|kernel| !seen.contains(kernel.entry));
    rest.for_each(|kernel| found.add(kernel, Vec::new(), "other programs"));
    let all = found.0.into_values();
    all.flat_map(|variant| {
        let with = [None, Some(32)].into_iter().take(1 + usize::from(variant.adds_up()));
        with.map(|subgroups| variant.with_subgroups(subgroups)).collect::<Vec<_>>()
    })
    .collect()
}
