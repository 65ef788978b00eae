//! The examples run, and what they assert of their results holds.

#[path = "../../examples/background.rs"]
mod background;
#[path = "../../examples/custom_loop.rs"]
mod custom_loop;
#[path = "../../examples/own_vectors.rs"]
mod own_vectors;
#[path = "../../examples/regression.rs"]
mod regression;
#[path = "../../examples/save_and_load.rs"]
mod save_and_load;
#[path = "../../examples/table.rs"]
mod table;
#[path = "../../examples/wgpu_device.rs"]
mod wgpu_device;

macro_rules! run {
    ($($example:ident: $claim:ident;)+) => {$(
        #[test]
        fn $claim() {
            $example::main().unwrap();
        }
    )+};
}

run! {
    own_vectors: a_classifier_learns_from_vectors_in_five_lines;
    regression: a_regressor_stops_early_and_calls_back;
    save_and_load: a_model_predicts_from_its_file;
    background: a_training_in_a_thread_is_cancelled_by_a_token;
    table: a_text_table_becomes_predictions;
    custom_loop: a_loop_of_ones_own_has_a_schedule_of_ones_own;
    wgpu_device: a_device_of_the_program_trains_and_stays_usable;
}
