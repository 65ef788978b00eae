//! Reductions by subgroups give the bits of those by barriers, on any available adapter.

use crate::adapter::{has_gpu, say};
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Preprocessing, Scaling, digits};
use wgrad::kernels::ALL;
use wgrad::math::optim::GradientEdits;
use wgrad::net::metrics::Metrics;
use wgrad::net::spec::{Layer, Net, Norm, PlanKind, Spec, Units};
use wgrad::{Activation, Loss, Trainer};

/// Every kernel's text for subgroups of any size is valid, and differs where it reduces.
#[test]
fn kernels_for_subgroups_are_valid() {
    use naga::valid::{
        Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
    };
    let mut reduce = 0;
    for kernel in ALL.iter() {
        for size in [4, 8, 16, 32, 64] {
            let text = kernel.wgsl_for_subgroups(size);
            let reduces = kernel.wgsl().contains("fn workgroup_sum(");
            assert_eq!(text != kernel.wgsl(), reduces, "{}", kernel.entry);
            if text == kernel.wgsl() {
                break;
            }
            reduce += 1;
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|e| panic!("{}: {}", kernel.entry, e.emit_to_string(&text)));
            Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP)
                .subgroup_stages(ShaderStages::COMPUTE)
                .subgroup_operations(SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.entry));
        }
    }
    assert!(reduce >= 5 * 10, "{reduce} texts differ");
}

/// The kind of reductions in a run.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Barriers,
    Subgroups,
    /// With shaders that assume missing invocations.
    PartialSubgroups,
}

#[test]
fn reductions_by_subgroups_give_the_same_bits() {
    if !has_gpu("reductions by subgroups") {
        return;
    }
    let data = digits().split(0.8, 0).unwrap().0;
    let Some(size) = Gpu::open(0).unwrap().subgroup_size() else {
        return say("skipped: no subgroups of one size: reductions by subgroups\n");
    };
    let run = |spec: &Spec, by: By| -> (Vec<LayerWeights>, Metrics) {
        let mut gpu = Gpu::open(0).unwrap();
        match by {
            By::Barriers => gpu.without_subgroups(),
            By::Subgroups => {}
            By::PartialSubgroups => assert!(gpu.take_subgroups_for_partial()),
        }
        assert_eq!(gpu.subgroup_size().is_some(), by != By::Barriers);
        let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
        let mut trainer = Trainer::new(spec, &data, preprocessing, Box::new(gpu)).unwrap();
        trainer.fit(None, &mut ()).unwrap();
        let metrics = trainer.evaluate(&data).unwrap();
        (trainer.weights().unwrap(), metrics)
    };
    let net = |output: Units| {
        let mut net = Net::new(64);
        for (units, norm) in [(37, Norm::Batch), (70, Norm::Layer)] {
            let layer = Layer::new(units, Activation::Tanh);
            net.layers.push(Layer { norm: Some(norm), ..layer });
        }
        net.layers.push(Layer::new(10, output));
        net
    };
    let softmax = Spec::new(net(Units::Softmax), Loss::CrossEntropyProbabilities);
    let logits = Spec::new(net(Activation::Identity.into()), Loss::CrossEntropy);
    for mut spec in [softmax, logits] {
        spec.epochs = 1;
        spec.batch_size = 90;
        spec.plan = PlanKind::Plain;
        spec.max_norm = Some(1.0);
        spec.edits = GradientEdits { clip_norm: Some(0.1), ..GradientEdits::default() };
        let by_barriers = run(&spec, By::Barriers);
        assert!(run(&spec, By::Subgroups) == by_barriers);
        match size {
            64 => say("skipped: subgroups of 64 can't be taken for partial: partial subgroups\n"),
            _ => assert!(run(&spec, By::PartialSubgroups) == by_barriers),
        }
    }
}
