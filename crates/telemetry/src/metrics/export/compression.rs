//! The series of compressed answers.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Counter, count_with};
use crate::metrics::compression::{Coded, Compression};

const FAMILIES: [Counter<Coded>; 3] = [
    (
        "pailou_compressed_responses",
        "Answers that the gateway compressed, by content coding",
        |coded| &coded.responses,
    ),
    (
        "pailou_compression_input_bytes",
        "Bytes of these answers before compression",
        |coded| &coded.bytes_in,
    ),
    (
        "pailou_compression_output_bytes",
        "Bytes of these answers after compression",
        |coded| &coded.bytes_out,
    ),
];

pub(super) fn export(out: &mut DescriptorEncoder<'_>, all: &Compression) -> fmt::Result {
    for (name, help, value) in FAMILIES {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (coding, coded) in all.all() {
            let labels = [("coding", coding)];
            count_with(&mut metric, &labels, value(coded).load(Ordering::Relaxed))?;
        }
    }
    Ok(())
}
