//! Test backends that forward all but a few methods to another backend.

/// Forwards the named methods of a `Backend` to a field: `forward!(0: info load upload);`.
macro_rules! forward {
    ($to:tt: $($method:ident)+) => { $(crate::forward::method!($to $method);)+ };
}

macro_rules! method {
    ($to:tt info) => {
        fn info(&self) -> &wgrad::backend::DeviceInfo {
            self.$to.info()
        }
    };
    ($to:tt traits) => {
        fn traits(&self) -> wgrad::plan::Traits {
            self.$to.traits()
        }
    };
    ($to:tt load) => {
        fn load(
            &mut self,
            program: std::sync::Arc<wgrad::plan::program::Program>,
        ) -> wgrad::backend::Pending<'_> {
            self.$to.load(program)
        }
    };
    ($to:tt unload) => {
        fn unload(&mut self) {
            self.$to.unload();
        }
    };
    ($to:tt upload) => {
        fn upload(
            &mut self,
            samples: std::sync::Arc<wgrad::data::Samples>,
        ) -> wgrad::backend::Pending<'_, wgrad::backend::DataId> {
            self.$to.upload(samples)
        }
    };
    ($to:tt forget) => {
        fn forget(&mut self, data: wgrad::backend::DataId) {
            self.$to.forget(data);
        }
    };
    ($to:tt write) => {
        fn write<'a>(
            &'a mut self,
            tensor: wgrad::kernels::tensor::TensorId,
            values: wgrad::backend::Values<'a>,
        ) -> wgrad::backend::Pending<'a> {
            self.$to.write(tensor, values)
        }
    };
    ($to:tt run) => {
        fn run<'a>(
            &'a mut self,
            ops: std::ops::Range<usize>,
            data: wgrad::backend::DataId,
            steps: &'a [wgrad::kernels::Step],
        ) -> wgrad::backend::Pending<'a> {
            self.$to.run(ops, data, steps)
        }
    };
    ($to:tt read) => {
        fn read<'a>(
            &'a mut self,
            tensor: wgrad::kernels::tensor::TensorId,
            values: wgrad::backend::ValuesMut<'a>,
        ) -> wgrad::backend::Pending<'a> {
            self.$to.read(tensor, values)
        }
    };
    ($to:tt traffic) => {
        fn traffic(&self) -> wgrad::backend::Traffic {
            self.$to.traffic()
        }
    };
}

pub(crate) use {forward, method};
