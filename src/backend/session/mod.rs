//! A loaded program with its parameters: predictions and losses over whole data sets.

mod weights;

pub use weights::{LayerWeights, NormWeights, initial_weights, tensors};

use crate::backend::check::RowShape;
use crate::backend::{Backend, DataId, Values, ValuesMut};
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::data::{Preprocessing, Samples};
use crate::kernels::Step;
use crate::kernels::tensor::{Extent, HostTensor, Role, TensorId};
use crate::math::loss::Objective;
use crate::math::matrix::Matrix;
use crate::net::metrics::{Metrics, TargetSummary};
use crate::net::spec::Net;
use crate::plan::Plan;
use crate::plan::program::{NormTensors, Task};
use std::ops::Range;
use std::sync::Arc;
use weights::check_shapes;

/// A program on a backend.
pub struct Session {
    backend: Box<dyn Backend>,
    plan: Plan,
    objective: Objective,
    /// The unit of each target, in the caller's units, as it was last written.
    unit: Vec<f32>,
}

/// Rows on a backend, with what metrics need of them.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// The rows on the backend.
    pub id: DataId,
    /// The number of rows.
    pub rows: usize,
    targets: TargetSummary,
}

impl Session {
    /// Loads `plan` onto `backend`; all parameters are zero.
    ///
    /// # Errors
    /// When the device can't hold it.
    pub fn new(mut backend: Box<dyn Backend>, plan: Plan, objective: Objective) -> Result<Self> {
        // The previous program is no longer needed.
        backend.unload();
        backend.load(Arc::new(plan.program.clone())).block_on()?;
        Ok(Self::loaded(backend, plan, objective))
    }

    /// A session on a backend that has loaded the plan's program.
    pub(crate) fn loaded(backend: Box<dyn Backend>, plan: Plan, objective: Objective) -> Self {
        Session { backend, plan, objective, unit: Vec::new() }
    }

    /// Replaces the program by another one; returns the previous plan. Uploaded rows
    /// stay; all parameters are zero.
    ///
    /// # Errors
    /// When the device can't hold it beside the current one, which then stays loaded.
    pub fn replace(&mut self, plan: Plan) -> Result<Plan> {
        self.backend.load(Arc::new(plan.program.clone())).block_on()?;
        let before = std::mem::replace(&mut self.plan, plan);
        self.backend.write(self.plan.unit, Values::F32(&self.unit)).block_on()?;
        Ok(before)
    }

    /// Resets what steps change besides parameters (the optimizer's state, gradients, sums) to its state after
    /// loading.
    ///
    /// # Errors
    /// When the device was lost.
    pub(crate) fn reset(&mut self) -> Result<()> {
        let program = &self.plan.program;
        for (i, t) in program.tensors.iter().enumerate() {
            let is_left =
                matches!(t.role, Role::State | Role::Gradient | Role::Metric | Role::Total);
            if is_left && t.rows != Extent::Batch {
                let zeros = vec![0.0; program.len(TensorId(i))];
                self.backend.write(TensorId(i), Values::F32(&zeros)).block_on()?;
            }
        }
        for (id, values) in &program.constants {
            self.backend.write(*id, Values::F32(values)).block_on()?;
        }
        self.backend.write(self.plan.unit, Values::F32(&self.unit)).block_on()
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// The backend, mutable.
    pub fn backend_mut(&mut self) -> &mut dyn Backend {
        self.backend.as_mut()
    }

    /// The plan, and the backend to run it on.
    pub(crate) fn plan_and_backend(&mut self) -> (&Plan, &mut dyn Backend) {
        (&self.plan, self.backend.as_mut())
    }

    /// The backend, for other uses; uploaded rows stay.
    #[must_use]
    pub fn into_backend(self) -> Box<dyn Backend> {
        self.backend
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Uploads samples encoded by `preprocessing`.
    ///
    /// # Errors
    /// When their columns or targets don't fit the net, or the device can't hold them.
    pub fn upload(
        &mut self,
        samples: impl Into<Arc<Samples>>,
        preprocessing: &Preprocessing,
    ) -> Result<Loaded> {
        let samples = samples.into();
        self.check(&samples, preprocessing)?;
        let targets = TargetSummary::new(&samples, preprocessing, self.targets_of_row());
        let rows = samples.rows();
        let unit: Vec<f32> = match preprocessing.classes {
            Some(_) => vec![1.0; self.targets_of_row()],
            None => preprocessing.targets.units().0,
        };
        self.backend.write(self.plan.unit, Values::F32(&unit)).block_on()?;
        self.unit = unit;
        let id = self.backend.upload(samples).block_on()?;
        Ok(Loaded { id, rows, targets })
    }

    /// Refuses samples that the net's program would read differently, and a preprocessing that doesn't
    /// match.
    fn check(&self, samples: &Samples, preprocessing: &Preprocessing) -> Result<()> {
        let program = &self.plan.program;
        let shape = RowShape::of(samples)?;
        shape.check(program, program.routines.predict.clone())?;
        if shape.has_targets() {
            shape.check(program, program.routines.evaluate.clone())?;
        }
        let (targets, scaled) = (program.tensor(self.plan.unit).cols, preprocessing.targets.cols());
        if preprocessing.classes.is_none() && scaled != targets {
            return Err(Error::usage(format!(
                "the preprocessing has {scaled} targets, but the net has {targets}"
            )));
        }
        Ok(())
    }

    /// Prepares the backend to run any of the program's ops on uploaded samples.
    ///
    /// # Errors
    /// When the device can't compile a kernel, or was lost.
    pub fn prepare(&mut self, data: &Loaded) -> Result<()> {
        self.backend.prepare(data.id).block_on()
    }

    /// Frees uploaded samples.
    pub fn forget(&mut self, data: &Loaded) {
        self.backend.forget(data.id);
    }

    /// Writes the parameters of all layers.
    ///
    /// # Errors
    /// When their shapes are not those of the net: the layer, its shape and the expected one.
    pub fn set_weights(&mut self, net: &Net, weights: &[LayerWeights]) -> Result<()> {
        check_shapes(net, weights)?;
        for (tensor, values) in tensors(&self.plan, weights) {
            self.backend.write(tensor, Values::F32(&values)).block_on()?;
        }
        Ok(())
    }

    /// Reads the parameters of all layers.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn weights(&mut self) -> Result<Vec<LayerWeights>> {
        let layers = self.plan.layers.clone();
        let mut weights = Vec::with_capacity(layers.len());
        for tensors in layers {
            let weight = self.read(tensors.weight)?;
            let bias = tensors.bias.map(|bias| self.read(bias)).transpose()?.map(Matrix::into_data);
            let norm = tensors.norm.map(|norm| self.norm_weights(&norm)).transpose()?;
            weights.push(LayerWeights { weight, bias, norm, embeddings: Vec::new() });
        }
        let tables: Vec<TensorId> = self.plan.embeddings.iter().map(|e| e.table).collect();
        if let Some(first) = weights.first_mut() {
            first.embeddings = tables.into_iter().map(|t| self.read(t)).collect::<Result<_>>()?;
        }
        Ok(weights)
    }

    fn norm_weights(&mut self, norm: &NormTensors) -> Result<NormWeights> {
        let running = norm.running.map(|tensor| self.read(tensor)).transpose()?;
        Ok(NormWeights {
            scale: self.read(norm.forward.scale)?.into_data(),
            shift: self.read(norm.forward.shift)?.into_data(),
            running: running.map(|running| [running.row(0).to_vec(), running.row(1).to_vec()]),
        })
    }

    /// Reads a tensor of a fixed shape.
    fn read(&mut self, id: TensorId) -> Result<Matrix<f32>> {
        let t = self.plan.program.tensor(id);
        let (rows, cols) = (t.rows.rows(self.plan.program.batch), t.cols);
        let mut values = vec![0.0; rows * cols];
        self.backend.read(id, ValuesMut::F32(&mut values)).block_on()?;
        Matrix::new(rows, cols, values)
    }

    /// Sets the running sums to zero.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn clear_sums(&mut self) -> Result<()> {
        self.backend.write(self.plan.sums, Values::F32(&[0.0; 4])).block_on()
    }

    /// The running sums.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn sums(&mut self) -> Result<[f32; 4]> {
        let mut sums = [0.0; 4];
        self.backend.read(self.plan.sums, ValuesMut::F32(&mut sums)).block_on()?;
        Ok(sums)
    }

    /// Sets the running sums.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn set_sums(&mut self, sums: [f32; 4]) -> Result<()> {
        self.backend.write(self.plan.sums, Values::F32(&sums)).block_on()
    }

    /// The state that one step passes to the next: all parameters, each as a separate tensor, and the
    /// state of the optimizer.
    #[must_use]
    pub fn state(&self) -> Vec<TensorId> {
        let all = self.plan.program.tensors.iter().enumerate();
        all.filter(|(_, t)| matches!(t.role, Role::Parameter | Role::State))
            .map(|(i, _)| TensorId(i))
            .filter(|id| *id != self.plan.parameters)
            .collect()
    }

    /// The part of it that predictions read: all parameters, and other state of the forward pass.
    #[must_use]
    pub fn predicting(&self) -> Vec<TensorId> {
        let program = &self.plan.program;
        let ops = program.ops[program.routines.predict.clone()].iter();
        let read =
            |op| Vec::from_iter(program.effects(op).iter().flat_map(Task::read).map(|s| s.tensor));
        let used: Vec<TensorId> = ops.flat_map(read).collect();
        let is_read =
            |id: &TensorId| program.tensor(*id).role == Role::Parameter || used.contains(id);
        self.state().into_iter().filter(is_read).collect()
    }

    /// Reads tensors, none of which has a row for each row of the batch.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn read_tensors(&mut self, tensors: &[TensorId]) -> Result<Vec<HostTensor>> {
        let read = |&id: &TensorId| {
            let matrix = self.read(id)?;
            let shape = [matrix.rows(), matrix.cols()];
            let name = self.plan.program.tensor(id).name.clone();
            Ok(HostTensor { name, shape, values: matrix.into_data() })
        };
        tensors.iter().map(read).collect()
    }

    /// Writes tensors, by their names.
    ///
    /// # Errors
    /// When the program has no such tensor or one of another shape, or the device was lost.
    pub fn write_tensors(&mut self, tensors: &[HostTensor]) -> Result<()> {
        let program = &self.plan.program;
        for HostTensor { name, shape, values } in tensors {
            let id = program.find(name).ok_or_else(|| {
                Error::data(format!("the program has no tensor {name}"))
                    .help("it was written for a different net or optimizer")
            })?;
            let t = program.tensor(id);
            let expected = [t.rows.rows(program.batch), t.cols];
            if *shape != expected {
                return Err(Error::data(format!("{name} is {shape:?}, not {expected:?}"))
                    .help("it was written for a different net or optimizer"));
            }
            self.backend.write(id, Values::F32(values)).block_on()?;
            let layer = self.plan.layers.iter().find(|layer| layer.weight == id);
            if let Some(shadow) = layer.and_then(|layer| layer.shadow) {
                self.backend.write(shadow, Values::F32(values)).block_on()?;
            }
        }
        Ok(())
    }

    /// Loss and metrics from the running sums over the last `rows` rows of `data`.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn metrics(&mut self, data: &Loaded, rows: usize) -> Result<Metrics> {
        self.metrics_over(rows, &data.targets)
    }

    /// As [`Session::metrics`], over rows of several uploads.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn metrics_over(&mut self, rows: usize, targets: &TargetSummary) -> Result<Metrics> {
        let mut sums = [0.0; 4];
        self.backend.read(self.plan.sums, ValuesMut::F64(&mut sums)).block_on()?;
        Ok(Metrics::from_sums(sums, rows, self.objective, targets))
    }

    /// Loss and metrics over all of `data`.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn evaluate(&mut self, data: &Loaded) -> Result<Metrics> {
        self.clear_sums()?;
        self.add_scores(data)?;
        self.metrics(data, data.rows)
    }

    /// Adds loss and scores over all of `data` to the running sums.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn add_scores(&mut self, data: &Loaded) -> Result<()> {
        self.add_scores_of(data, 0..data.rows)
    }

    /// As [`Session::add_scores`], over some rows of `data`.
    ///
    /// # Errors
    /// When the device was lost, or there are no such rows.
    pub fn add_scores_of(&mut self, data: &Loaded, rows: Range<usize>) -> Result<()> {
        let steps: Vec<Step> = self.batches(rows).collect();
        self.backend.run(self.plan.program.routines.evaluate.clone(), data.id, &steps).block_on()
    }

    /// The summary of targets with this variation, over several uploads together.
    #[must_use]
    pub fn summary(&self, variation: f64, preprocessing: &Preprocessing) -> TargetSummary {
        TargetSummary::of_variation(variation, preprocessing, self.targets_of_row())
    }

    /// The targets of a row: half of the outputs where these are means and variances.
    fn targets_of_row(&self) -> usize {
        self.plan.program.tensor(self.plan.unit).cols
    }

    /// The net's outputs for all of `data`, in order: calls `take` with (first row, (rows, n_L)).
    ///
    /// # Errors
    /// When the device was lost, and errors of `take`.
    pub fn outputs(
        &mut self,
        data: &Loaded,
        mut take: impl FnMut(usize, Matrix<f32>) -> Result<()>,
    ) -> Result<()> {
        let cols = self.plan.program.tensor(self.plan.output).cols;
        for step in self.batches(0..data.rows).collect::<Vec<_>>() {
            self.backend
                .run(self.plan.program.routines.predict.clone(), data.id, &[step])
                .block_on()?;
            let mut values = vec![0.0; step.rows as usize * cols];
            self.backend.read(self.plan.output, ValuesMut::F32(&mut values)).block_on()?;
            take(step.first as usize, Matrix::new(step.rows as usize, cols, values)?)?;
        }
        Ok(())
    }

    /// Steps over rows in order, in batches as large as the program allows: the default permutation changes nothing.
    fn batches(&self, rows: Range<usize>) -> impl Iterator<Item = Step> + use<> {
        let (batch, end) = (self.plan.program.batch, rows.end);
        rows.step_by(batch).map(move |first| Step {
            rows: batch.min(end - first) as u32,
            first: first as u32,
            ..Step::default()
        })
    }
}
